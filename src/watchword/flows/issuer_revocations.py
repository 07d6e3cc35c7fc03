"""What an issuer has revoked, as a service that only verifies knows it: told by a signed list, if it is told at all."""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from watchword.core import revocation_list
from watchword.core.clock import Clock
from watchword.core.errors import InvalidToken, Unavailable, UnknownKey
from watchword.core.models import Revoked
from watchword.core.revocation_list import RevocationList
from watchword.core.revoked import RevokedSet
from watchword.flows.issuer_keys import IssuerKeys
from watchword.ports import Change, Issuer, KeysChanged

logger: logging.Logger = logging.getLogger("watchword.issuer")

BREATH_SECONDS = 0.2
"""Between two questions, at the least: an issuer that answers at once, whatever it is asked, is not asked in a circle."""

UNANNOUNCED = (
    "the issuer's metadata announces no revocations. Give this service a key there too, in WATCHWORD_SERVICE_KEYS, or "
    "make the Verifier without service_key"
)

Stale = Literal["open", "closed"]
"""What a token is worth while nobody knows whether it was revoked: believed until it expires, or 503."""


class IssuerRevocations:
    """`kit.KnownRevocations` of a service. Nothing that was revoked once comes back to life: an older list adds nothing.

    Without `stale` nothing is followed, and tokens are believed until they expire.
    """

    def __init__(self, name: str, issuer: Issuer, keys: IssuerKeys, clock: Clock, stale: Stale | None) -> None:
        self._name = name
        self._issuer = issuer
        self._keys = keys
        self._clock = clock
        self._stale = stale
        self._set = RevokedSet()
        self._fresh_until = self._lasts_until = self._newest = float("-inf")
        self._seen: str | None = None
        self._complained = False
        self._listeners: list[Callable[[Change], None]] = []

    def fresh(self) -> bool:
        """Whether the last list still stands for what is revoked.

        Two clocks have to say so: one that is set back makes no list young again, and the other stands still while the
        machine sleeps.
        """
        if self._stale is None:
            return True
        return self._clock.timestamp() < self._fresh_until and self._clock.monotonic() < self._lasts_until

    def covers(self, session_id: str, generation: int) -> bool:
        """Whether a list has revoked this generation of the session."""
        return self._set.covers(session_id, generation)

    async def ask(self, session_id: str, generation: int) -> bool:
        """The same while no list is fresh. Raises Unavailable where that is not enough (`closed`)."""
        if self._stale == "closed" and not self.fresh():
            raise Unavailable("the issuer's list of revocations is too old")
        if not self._complained and not self.fresh():
            self._complained = True
            logger.error("the issuer's list of revocations is too old; tokens are believed all the same (stale='open')")
        return self.covers(session_id, generation)

    def watch(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` with each change, from any thread; call the result to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def keys_changed(self) -> None:
        """Tell that tokens that were good may not be any more."""
        self._tell(KeysChanged())

    async def keep(self) -> None:
        """A step of following: ask for the list, which the issuer answers when it has changed. Raises Unavailable."""
        metadata = self._keys.metadata
        if metadata is None:
            await self._keys_first()
            return
        if metadata.revocations_uri is None:
            raise Unavailable(UNANNOUNCED)
        breath = asyncio.create_task(asyncio.sleep(BREATH_SECONDS))
        try:
            text, seen = await self._issuer.revocations(metadata.revocations_uri, self._seen)
            self._take(await self._read(text))
            self._seen = seen
            await breath
        finally:
            breath.cancel()

    async def _keys_first(self) -> None:
        """Without keys no list can be read."""
        while not self._keys.tried:  # noqa: ASYNC110 - that is the other step's, and soon
            await asyncio.sleep(0.01)
        await asyncio.sleep(BREATH_SECONDS if self._keys.metadata is None else 0)

    async def _read(self, text: str) -> RevocationList:
        """The genuine list. A key that is not known yet signed it, perhaps, after one was retired in a hurry."""
        try:
            try:
                return revocation_list.read(text, self._keys.ring, self._name, self._clock.timestamp())
            except UnknownKey:
                if not await self._keys.look_again():
                    raise
                return revocation_list.read(text, self._keys.ring, self._name, self._clock.timestamp())
        except InvalidToken as error:
            raise Unavailable(f"the issuer's list of revocations is refused: {error.because}") from error

    def _take(self, listed: RevocationList) -> None:
        monotonic, timestamp = self._clock.monotonic(), self._clock.timestamp()
        for revoked in listed.revoked:
            if self._set.add(revoked):
                self._tell(revoked)
        self._keys.retire(listed.retired)
        self._set.forget(timestamp)
        if (issued_at := listed.expires_at - listed.life) <= self._newest:
            return  # said again, by a cache or a thief: what was known then says nothing of now
        self._newest = issued_at
        self._fresh_until = max(self._fresh_until, listed.expires_at)
        self._lasts_until = max(self._lasts_until, monotonic + min(listed.expires_at - timestamp, listed.life))
        if self._complained:
            self._complained = False
            logger.warning("the issuer's list of revocations is fresh again")

    def _tell(self, change: Revoked | KeysChanged) -> None:
        for listener in list(self._listeners):
            try:
                listener(change)
            except Exception:
                logger.exception("a listener failed")
