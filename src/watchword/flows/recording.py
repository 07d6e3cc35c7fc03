"""From an event to its sealed row in the audit log, beside the request: nobody waits for it, and no request fails for it.

What is announced while others are written goes into the next insert. Half a second after an insert somebody seals, whichever
worker it is; so there is no timer where nothing happens. While the store is away, rows wait here.
"""

import asyncio
import contextlib
import logging
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextvars import Context

from watchword.core import audit
from watchword.core.audit import Batch, Link, Row, Tail
from watchword.core.clock import Clock, Entropy
from watchword.core.errors import AuthError
from watchword.core.events import Event, KeysAbandoned, UserDeleted
from watchword.core.models import NOWHERE, Client
from watchword.flows.keyring import Keyring
from watchword.ports import Audit, Change, KeysChanged

logger: logging.Logger = logging.getLogger("watchword.recording")

MAX_WAITING = 10_000
"""Rows that may wait while the store is away; what comes on top is logged as lost, and memory stays bounded."""

TOGETHER = 64
"""Rows of one insert."""

SEALED_TOGETHER = 500
SEAL_SECONDS = 0.5
"""How long rows wait for others to be sealed with."""

RETRY_SECONDS = 1.0
DRAIN_SECONDS = 10.0
"""How long a stop waits for a store that does not answer."""

rest: Callable[[float], Awaitable[None]] = asyncio.sleep
"""Waits for so many seconds."""

Home = Callable[[], asyncio.AbstractEventLoop]


class Recorder:
    """Writes what one worker announces. `home` is the event loop that stays, whichever one a request is on."""

    def __init__(self, store: Audit, keyring: Keyring, clock: Clock, entropy: Entropy, home: Home) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._entropy = entropy
        self._waiting: deque[Row] = deque()
        self._gone: set[str] = set()
        self._seen: Link | None = None
        """The furthest end of the chain that this worker has sealed or found, where nobody with the database can reach it."""

        self._away = False
        self._writing = _Errand(self._write, home)
        self._sealing = _Errand(self._seal_soon, home)

    def note(self, event: Event, client: Client = NOWHERE) -> None:
        """Have this written. Returns at once, and never raises for what becomes of it."""
        made = audit.row(event, client, self._clock.now(), self._entropy)
        if len(self._waiting) >= MAX_WAITING:
            logger.error("the audit log can't be written, and too much waits: %s was lost to it", made.kind)
            return
        self._waiting.append(made)
        self._writing.ask()

    async def room(self) -> None:
        """For whoever announces thousands: wait for what is written, before so much waits that some is lost."""
        if len(self._waiting) >= MAX_WAITING // 2:
            await self._writing.done()

    def on_change(self, change: Change) -> None:
        """The feed's listener, called from any thread: what a key signed that is retired now is signed with another."""
        if isinstance(change, KeysChanged):
            self._sealing.ask()

    async def drain(self) -> None:
        """Write and seal all that was announced, for DRAIN_SECONDS at most; what is left then is logged as lost."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                if self._waiting:
                    self._writing.ask()  # its loop may have gone
                await self._writing.done()
                if self._sealing.stop():
                    await self._seal_all()
        except TimeoutError:
            self._writing.stop()
            self._sealing.stop()
            logger.error("the audit log was not whole at the stop")
        if self._waiting:
            kinds = Counter(one.kind for one in self._waiting)
            logger.error("lost to the audit log: %s", ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
            self._waiting.clear()

    async def seal(self, old: Link | None = None) -> Batch | None:
        """Seal what waits, once; None while another worker is at it. The chain then begins behind the row `old`."""

        seen = self._seen
        known = None if seen is None else seen.position

        def chain(tail: Tail, rows: Sequence[Row]) -> Batch:
            return audit.seal(tail, rows, self._keyring.ring, self._clock.now(), old=old, seen=seen)

        def heard(tail: Tail, rows: Sequence[Row]) -> Batch:
            if tail.newest is not None and tail.newest.kid not in self._keyring.ring.private:
                raise _Unheard
            return chain(tail, rows)

        await self._keyring.follow(heard=True)
        try:
            batch = await self._store.seal(heard, SEALED_TOGETHER, known)
        except _Unheard:  # of a key that another worker has made, and signed with at once
            await self._keyring.reload()
            batch = await self._store.seal(chain, SEALED_TOGETHER, known)
        if batch is None:
            return None
        if batch.head is not None and (self._seen is None or batch.head.position > self._seen.position):
            self._seen = batch.head
        if batch.broken:
            given_up = any(one.kind == KeysAbandoned.__name__ for one in batch.rows)
            logger.log(
                logging.INFO if given_up else logging.ERROR,
                "the audit log is not as its newest checkpoint says, or ends before where it did: somebody changed it, an "
                "older database was put back, or the key is unknown. See what is wrong: watchword audit verify",
            )
        return batch

    async def _write(self) -> None:
        """One insert after another, as long as there is anything. What an insert fails for is written row by row, so that one
        row alone is lost."""
        alone = 0
        while self._waiting:
            rows = [self._waiting[place] for place in range(1 if alone else min(TOGETHER, len(self._waiting)))]
            try:
                await self._store.append(rows)
            except AuthError as error:
                if not self._away:
                    logger.error("the audit log can't be written, and waits: %s", error.because)
                self._away = True
                await rest(RETRY_SECONDS)
                continue
            except Exception:
                if len(rows) > 1:
                    alone = len(rows)
                    continue
                logger.exception("lost to the audit log: %s", rows[0].kind)
            self._away = False
            alone = max(0, alone - 1)
            for one in rows:
                self._waiting.popleft()
                if one.kind == UserDeleted.__name__ and one.user_id is not None:
                    self._gone.add(one.user_id)
            self._sealing.ask()

    async def _seal_soon(self) -> None:
        await rest(SEAL_SECONDS)
        if not await self._seal_all():
            await rest(RETRY_SECONDS)
            self._sealing.ask()

    async def _seal_all(self) -> bool:
        """Until nothing is left that this worker has written. False where the store is away, or no key can sign."""
        try:
            for user_id in tuple(self._gone):
                await self._store.forget(user_id)
                self._gone.discard(user_id)
            while (batch := await self.seal()) is None or len(batch.rows) == SEALED_TOGETHER:
                if batch is None:
                    await rest(SEAL_SECONDS)
        except AuthError as error:
            logger.warning("the audit log was not sealed, and will be later: %s", error.because)
            return False
        except Exception:
            logger.exception("the audit log was not sealed; it will be with the next event")
        return True


class _Unheard(Exception):
    """The newest checkpoint is of a key that this worker does not know."""


class _Errand:
    """What is done in the background, on the loop that stays: once at a time, and once more if it was asked for meanwhile."""

    def __init__(self, work: Callable[[], Awaitable[None]], home: Home) -> None:
        self._work = work
        self._home = home
        self._lock = threading.Lock()
        self._asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._running: Future[None] | None = None

    def ask(self) -> None:
        """Have it done, from whichever loop or thread. Where no loop is there to do it, it waits until the next one asks."""
        with self._lock, contextlib.suppress(RuntimeError):
            self._asked = True
            if self._running is None or self._loop is None or self._loop.is_closed():
                self._loop = self._somewhere()
                # not in the context of the request that came first: the next event is somebody else's
                running: Future[None] = Future()
                self._loop.call_soon_threadsafe(self._begin, running, context=Context())
                self._running = running

    async def done(self) -> None:
        """Wait until it is, or its loop has gone."""
        running, loop = self._running, self._loop
        if running is not None and loop is not None and not loop.is_closed():
            await asyncio.wait([asyncio.wrap_future(running)])

    def stop(self) -> bool:
        """Break it off; whether it was still to be done."""
        with self._lock:
            asked, self._asked = self._asked, False
            running = self._running
            if running is not None and self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())
            return asked or running is not None

    def _somewhere(self) -> asyncio.AbstractEventLoop:
        """The loop that stays; where none does (a host's engine) and this is no loop's thread, the one of the last time."""
        try:
            return self._home()
        except RuntimeError:
            if self._loop is None:
                raise
            return self._loop

    def _begin(self, running: Future[None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(running))

    async def _run(self, running: Future[None]) -> None:
        try:
            while self._is_asked():
                await self._work()
        finally:
            with self._lock:
                if self._running is running:  # it was broken off; else somebody may have asked anew already
                    self._running = None
            running.set_result(None)

    def _is_asked(self) -> bool:
        """Whether to go on. Whoever asks after a no starts it anew."""
        with self._lock:
            if not self._asked:
                self._running = None
            asked, self._asked = self._asked, False
            return asked
