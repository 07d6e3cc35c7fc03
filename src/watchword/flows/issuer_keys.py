"""The keys of another server, the issuer: fetched, kept, fetched anew. A `Keyring` that makes none."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from watchword.core.clock import Clock
from watchword.core.errors import Unavailable
from watchword.core.published import Metadata, PublishedKeys
from watchword.ports import Issuer

logger: logging.Logger = logging.getLogger("watchword.issuer")

COOL_DOWN = 5.0
"""Seconds between two fetches that tokens with unknown keys asked for, however many there are."""

TICK_SECONDS = 0.2
"""How often it is looked whether the keys are due."""

MAX_STALE = 24 * 3600.0
"""Seconds that keys are believed while the issuer can't be asked. No token lives that long; an outage may."""

MAX_RETIRED = 1000
"""Stopped keys that are remembered: those that were named last, and all that the last list named."""

EMPTY = (
    "the issuer publishes no key that could verify a token. With WATCHWORD_SIGNING_ALG=HS256 it has none to publish: "
    "choose ES256 there"
)

Elsewhere = Callable[[Coroutine[Any, Any, bool]], Awaitable[bool]]
"""Runs a coroutine on the event loop that fetches, and waits for it on the caller's."""


class IssuerKeys:
    """Replaced as a whole by what the issuer publishes, so a key that is missing there is dead here.

    A key that was stopped stays so while the process lives, whatever key set comes.
    """

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self.elsewhere: Elsewhere = _here
        self.changed: Callable[[], None] = lambda: None
        """Called after every fetch of keys, on the event loop that fetches."""
        self.tried: bool = False
        """Whether the issuer was asked at all."""
        self._ring: PublishedKeys | None = None
        self._retired: list[str] = []
        self._metadata: Metadata | None = None
        self._taken_at = self._looked_at = self._due_at = float("-inf")
        self._looking: asyncio.Task[bool] | None = None

    @property
    def ring(self) -> PublishedKeys:
        """The keys as they were last published. Raises Unavailable before the first, and after a very long silence."""
        if self._ring is None:
            raise Unavailable("the issuer was not reached yet")
        if self._clock.monotonic() - self._taken_at > MAX_STALE:
            raise Unavailable("the issuer's keys were not seen for a day")
        return self._ring

    @property
    def stale(self) -> bool:
        """News are loaded when they are heard."""
        return False

    @property
    def metadata(self) -> Metadata | None:
        """Where the issuer's things are, once that is known."""
        return self._metadata

    def alive(self, kid: str, timestamp: float) -> bool:
        """Whether the issuer still publishes this key."""
        return self.ring.alive(kid, timestamp)

    def retire(self, kids: frozenset[str]) -> None:
        """The issuer says that these keys were stopped: believed at once, and against a cached key set too."""
        older = [kid for kid in self._retired if kid not in kids]
        self._retired = [*older, *kids][-max(MAX_RETIRED, len(kids)) :]
        if self._ring is not None and not kids <= self._ring.retired:
            self._ring = replace(self._ring, retired=frozenset(self._retired))
            self.changed()

    async def follow(self, *, heard: bool) -> None:
        """Nothing is loaded for a request; it is refused while there are no keys."""
        _ = heard, self.ring

    async def reload(self) -> None:
        """See `follow`."""

    async def look_again(self) -> bool:
        """Fetch the keys because of a token with an unknown one; whether that was done.

        Whoever asks during a fetch waits for that one; within the cool-down after it nobody gets another.
        """
        if self._looking is None and self._cooling():
            return False
        return await self.elsewhere(self._look())

    async def keep(self) -> None:
        """A step of following: once the keys have been kept as long as they may be, fetch the metadata and the keys.

        Raises Unavailable when that fails; what is known stays.
        """
        if self._clock.monotonic() < self._due_at:
            await asyncio.sleep(TICK_SECONDS)
            return
        self._looked_at = self._clock.monotonic()
        try:
            self._metadata = await self._issuer.metadata()
            await self._take(self._metadata)
        finally:
            self.tried = True

    async def _look(self) -> bool:
        if self._looking is None:
            if self._cooling() or self._metadata is None:
                return False
            self._looked_at = self._clock.monotonic()
            self._looking = asyncio.create_task(self._try(self._metadata))
        return await asyncio.shield(self._looking)

    async def _try(self, metadata: Metadata) -> bool:
        try:
            await self._take(metadata)
        except Unavailable as error:
            logger.warning("a token names an unknown key, and %s", error.because)
            return False
        finally:
            self._looking = None
        return True

    async def _take(self, metadata: Metadata) -> None:
        asked_at = self._clock.monotonic()
        ring, seconds = await self._issuer.keys(metadata.jwks_uri)
        if asked_at < self._taken_at:
            return  # a later question was answered first: it must not be undone
        if not len(ring.keys):
            logger.error(EMPTY)
        ring = replace(ring, retired=frozenset(self._retired))
        self._ring, self._taken_at, self._due_at = ring, asked_at, asked_at + seconds
        self.changed()

    def _cooling(self) -> bool:
        return self._clock.monotonic() - self._looked_at < COOL_DOWN


async def _here(work: Coroutine[Any, Any, bool]) -> bool:
    return await work
