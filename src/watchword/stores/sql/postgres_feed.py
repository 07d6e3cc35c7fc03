"""PostgreSQL's feed: a trigger on `watchword_feed` notifies of each row, within the transaction that inserts it.

A thread with an event loop of its own holds one connection. It listens first and loads the whole live set then, after every
connect: so neither the order of notifications nor a gap ever matters. A notification to itself, twice in a second, is the
heartbeat: PostgreSQL delivers in the order of commits, so who hears it has heard everything before it.
"""

import asyncio
import contextlib
import logging
import threading
import weakref
from collections import deque
from concurrent.futures import Future
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from watchword.core.clock import machine_time, system_entropy
from watchword.core.errors import ConfigError
from watchword.stores.sql.heard import Heard
from watchword.stores.sql.tables import feed

logger: logging.Logger = logging.getLogger("watchword.feed")

CHANNEL = "watchword_feed"
"""What the trigger of migration 0004 notifies: `<session, or - for the keys> <generation> <expiry>`."""

BEAT_SECONDS = 0.5
SILENT_SECONDS = 1.5
"""How long a heartbeat may take before the connection is given up."""

CONNECT_SECONDS = 5.0
FIRST_BACK_OFF, LAST_BACK_OFF = 0.05, 2.0
"""Seconds between attempts to connect: twice as many each time, less some by chance."""

STOP_SECONDS = 5.0
"""How long a stop waits for the thread."""

LIVE = select(feed.c.position, feed.c.session_id, feed.c.generation, feed.c.expires_at)
NAME = text("SELECT set_config('application_name', 'watchword feed', false)")
"""So that whoever looks into pg_stat_activity knows what it is that never ends."""

PID = text("SELECT pg_backend_pid()")
BEAT = text("SELECT pg_notify(:channel, :number), extract(epoch FROM clock_timestamp())::float8 AS clock")
GREETING = "greeting"

CLOCKS = 8
"""How many heartbeats the clock's offset is taken from: the one that came back soonest knows it best."""

POOLED = (
    "WATCHWORD_DATABASE_URL leads to a pooler in transaction mode (PgBouncer's pool_mode=transaction), and what one worker "
    "revokes would not be heard by the others: LISTEN needs a connection of its own. Give the server's own address, beside "
    "the pooler, in WATCHWORD_FEED_DATABASE_URL."
)


class PostgresFeed:
    """Follows the database in a thread of its own, on an engine of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.own: str = f"watchword_{system_entropy(8).hex()}"
        """A channel that nobody else notifies."""
        self._engine = engine
        self._end = _End()
        self._greeted = threading.Event()
        self._thread: threading.Thread | None = None

    async def start(self, heard: Heard) -> None:
        """See `heard.Feed.start`. Returns after the first attempt; when that fails the set is not fresh yet.

        Raises ConfigError behind a pooler that shares connections.
        """
        tried: Future[None] = Future()
        ear = _Ear(weakref.ref(heard), self.own, self._greeted)
        work = _Follower(ear, self._engine, self._end, tried)
        self._thread = threading.Thread(target=_run, args=(work,), name="watchword-feed", daemon=True)
        self._thread.start()
        weakref.finalize(heard, self._end.call)
        await asyncio.wrap_future(tried)

    async def greeted(self) -> bool:
        """Whether `GREETING`, said to the own channel by way of another connection, is heard."""
        return await asyncio.to_thread(self._greeted.wait, SILENT_SECONDS)

    async def stop(self) -> None:
        """See `heard.Feed.stop`."""
        self._end.call()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)


class _End:
    """Called from any thread, awaited on the feed's event loop."""

    def __init__(self) -> None:
        self.called = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._guard = threading.Lock()

    def begin(self) -> None:
        """On the loop that will wait."""
        with self._guard:
            self._loop = asyncio.get_running_loop()
            if self.called:
                self._event.set()

    def call(self) -> None:
        with self._guard:
            self.called = True
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop has closed by itself
                    self._loop.call_soon_threadsafe(self._event.set)

    async def within(self, seconds: float, lost: asyncio.Event | None = None) -> bool:
        """Wait so long at most, and no longer than until `lost`; whether it was called."""
        waits = [asyncio.create_task(event.wait()) for event in (self._event, lost) if event is not None]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self.called


class _Follower:
    """The life of a feed: connect, follow, and connect again, until the end is called or nobody wants to hear any more."""

    def __init__(self, ear: "_Ear", engine: AsyncEngine, end: _End, tried: "Future[None]") -> None:
        self._ear = ear
        self._engine = engine
        self._end = end
        self._tried = tried
        self._failures = 0

    async def live(self) -> None:
        self._end.begin()
        while not self._end.called and self._ear.heard() is not None:
            try:
                await self._connected()
            except Exception as error:
                self._failed(error)
            self._try_over()
            if not self._end.called:
                await self._end.within(_back_off(self._failures))
        self._try_over()
        await self._engine.dispose()

    def _failed(self, error: Exception) -> None:
        """A failure is silence, and silence makes requests ask the database."""
        if isinstance(error, ConfigError) and not self._tried.done():
            self._tried.set_exception(error)
            self._end.call()
            return
        if (heard := self._ear.heard()) is not None:
            heard.silent(error)
        self._failures += 1

    def _try_over(self) -> None:
        if not self._tried.done():
            self._tried.set_result(None)

    async def _connected(self) -> None:
        """Follow one connection, to its end or ours."""
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await self._engine.connect()
        driver: Any = None
        lost = asyncio.Event()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            driver = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(lambda _: lost.set())
            await _refuse_pooler(self._engine, connection, driver)
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._listen(connection, driver)
            self._failures = 0
            self._try_over()
            await self._follow(connection, lost)
        finally:
            if driver is not None:
                driver.terminate()  # a server that does not answer would not say good-bye either
            with contextlib.suppress(Exception):
                await connection.invalidate()
                await connection.close()

    async def _listen(self, connection: AsyncConnection, driver: Any) -> None:
        """Listen, and load everything then."""
        await connection.execute(NAME)
        await driver.add_listener(CHANNEL, self._ear.row)
        await driver.add_listener(self._ear.own, self._ear.beat)
        if (heard := self._ear.heard()) is not None:
            at = heard.monotonic()
            heard.revoked.note()
            heard.reload((await connection.execute(LIVE.where(feed.c.expires_at > heard.dead_by()))).all())
            heard.up_to(at)

    async def _follow(self, connection: AsyncConnection, lost: asyncio.Event) -> None:
        """Go on as long as the heart beats. After a connection that is lost the next beat comes at once, and fails."""
        clocks: deque[tuple[float, float]] = deque(maxlen=CLOCKS)
        while (number := self._ear.next_beat()) is not None:
            async with asyncio.timeout(SILENT_SECONDS):
                clocks.append(await self._beat(connection, number))
                await self._ear.beaten()
            if (heard := self._ear.heard()) is not None:
                heard.set_right(min(clocks)[1])
            del heard
            if await self._end.within(BEAT_SECONDS, lost):
                return

    async def _beat(self, connection: AsyncConnection, number: str) -> tuple[float, float]:
        """Seconds that the way there and back took, and by how much the database's clock was ahead of the machine's."""
        sent = machine_time()
        answer = (await connection.execute(BEAT, {"channel": self._ear.own, "number": number})).one()
        came = machine_time()
        return came - sent, answer.clock - (sent + came) / 2


class _Ear:
    """What comes in. It holds whoever wants to hear weakly."""

    def __init__(self, heard: "weakref.ref[Heard]", own: str, greeted: threading.Event) -> None:
        self.heard = heard
        self.own = own
        self._greeted = greeted
        self._number = 0
        self._sent: tuple[str, float] = ("", 0.0)
        self._came = asyncio.Event()

    def row(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        """A row of the feed; what is none is nobody's of ours."""
        if (heard := self.heard()) is None:
            return
        try:
            session, generation, until = str(payload).split(" ")
            row = (0, None if session == "-" else session, int(generation), float(until))
        except ValueError:
            logger.warning("somebody else notifies %s", CHANNEL)
            return
        heard.advance([row])

    def next_beat(self) -> str | None:
        """Its number; None when nobody wants to hear any more."""
        if (heard := self.heard()) is None:
            return None
        self._number += 1
        self._came.clear()
        self._sent = (str(self._number), heard.monotonic())
        return self._sent[0]

    def beat(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        """Everything that was committed before this beat has been heard."""
        number, at = self._sent
        if payload == GREETING:
            self._greeted.set()
        elif payload == number and (heard := self.heard()) is not None:
            heard.up_to(at)
            self._came.set()

    async def beaten(self) -> None:
        """Until the last beat has come back."""
        await self._came.wait()


def _run(follower: _Follower) -> None:
    asyncio.run(follower.live())


async def _refuse_pooler(engine: AsyncEngine, connection: AsyncConnection, driver: Any) -> None:
    """Raise ConfigError where a pooler gives each transaction whichever connection is free.

    The process that answers is then not the one that the handshake named; and while another client holds it in a transaction,
    a third one answers. A pooler in session mode, where LISTEN works, passes.
    """
    backend = (await connection.execute(PID)).scalar_one()
    if backend == driver.get_server_pid():
        return
    try:
        async with asyncio.timeout(CONNECT_SECONDS), engine.connect() as other, other.begin():
            await other.execute(PID)
            now = (await connection.execute(PID)).scalar_one()
    except (TimeoutError, PoolTimeoutError, DBAPIError):
        raise ConfigError(POOLED) from None
    if now != backend:
        raise ConfigError(POOLED)


def _back_off(failures: int) -> float:
    longest: float = min(FIRST_BACK_OFF * 2 ** min(failures - 1, 10), LAST_BACK_OFF) if failures else 0.0
    return longest * (0.5 + system_entropy(1)[0] / 512)
