"""A wire to PostgreSQL that can be cut at the worst moment: before COMMIT arrives there, or after, with the answer lost.

It passes bytes on, and reads just enough of the protocol to see a COMMIT: a simple query ('Q'), as asyncpg sends it; or the
statement of a refresh, prepared once ('P') and then bound ('B'), which is a transaction by itself. No TLS.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum

from sqlalchemy.engine import make_url

SSL_REQUEST = (80877103).to_bytes(4, "big")
READY = b"Z\x00\x00\x00\x05"
"""The head of ReadyForQuery, with which every answer ends."""


BY_ITSELF = b"WITH turned AS"
"""How a statement begins that is committed where it ends."""

DONE = (b"COMMIT\x00", b"SELECT ")
"""Tags of CommandComplete, for either."""


class Fault(Enum):
    """What the wire does wrong."""

    NONE = "none"
    BEFORE_COMMIT = "before commit"
    """The next COMMIT does not arrive; the connection is cut."""

    AFTER_COMMIT = "after commit"
    """The next COMMIT arrives and is done; its answer does not come back, and the connection is cut."""

    SILENCE = "silence"
    """Nothing passes any more, and nothing is said."""

    REFUSAL = "refusal"
    """Connections are cut, and new ones too."""


class _Answer:
    """Of one connection: whether the next one is lost, and that it has come."""

    def __init__(self) -> None:
        self.lost = False
        self.came = asyncio.Event()


class Wire:
    """Listens on a port of its own. `cuts` counts the COMMITs that met a fault; each heals by that."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._server: asyncio.Server | None = None
        self._fault = Fault.NONE
        self._working = asyncio.Event()
        self._skip = 0
        self._connections: set[asyncio.Task[None]] = set()
        self.cuts = 0

    @property
    def url(self) -> str:
        """The database's URL, by way of the wire."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return self._target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    def fail(self, fault: Fault, *, skip: int = 0) -> None:
        """From now on, or at the next COMMIT; the first ones may be let by."""
        self._fault, self._skip = fault, skip
        if fault is Fault.SILENCE:
            self._working.clear()
        else:
            self._working.set()
        if fault is Fault.REFUSAL:
            for connection in self._connections:
                connection.cancel()

    async def start(self) -> None:
        self._working.set()
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if self._fault is not Fault.REFUSAL:
                await self._connected(reader, writer)
        except asyncio.CancelledError:
            pass  # cut, by us
        finally:
            self._connections.discard(task)
            await _close(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            away, there = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            return
        answer = _Answer()
        forth = asyncio.create_task(self._requests(reader, there, answer))
        back = asyncio.create_task(self._answers(away, writer, answer))
        try:
            await asyncio.wait([forth, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.close()  # first: whoever stops the wire cancels what comes after
            for pump in (forth, back):
                pump.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)
            await _close(there)

    async def _requests(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter, answer: "_Answer") -> None:
        """Pass messages on, one by one; return where the wire is cut."""
        started = False
        alone: set[bytes] = set()
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                kind, body, whole = await _message(reader, started)
                started = started or body[:4] != SSL_REQUEST
                await self._working.wait()
                if kind == b"P":
                    name, statement, _ = body.split(b"\0", 2)
                    if statement.startswith(BY_ITSELF):
                        alone.add(name)
                commits = kind == b"Q" and body.startswith(b"COMMIT")
                if kind == b"B" and body.split(b"\0", 2)[1] in alone:
                    commits = True
                    while kind != b"S":  # what it is asked for comes in several messages
                        kind, _, more = await _message(reader, started)
                        whole += more
                if commits and await self._cut(whole, there, answer):
                    return
                there.write(whole)
                await there.drain()

    async def _cut(self, commit: bytes, there: asyncio.StreamWriter, answer: "_Answer") -> bool:
        """Whether this COMMIT is the one at which the wire is cut."""
        fault = self._fault
        if fault not in (Fault.BEFORE_COMMIT, Fault.AFTER_COMMIT):
            return False
        if self._skip:
            self._skip -= 1
            return False
        self.cuts += 1
        if fault is Fault.AFTER_COMMIT:
            answer.lost = True
            there.write(commit)
            await there.drain()
            await answer.came.wait()
        self._fault = Fault.NONE
        return True

    async def _answers(self, away: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: "_Answer") -> None:
        with contextlib.suppress(OSError):
            while data := await away.read(65536):
                await self._working.wait()
                if answer.lost and READY in data and any(tag in data for tag in DONE):
                    answer.came.set()
                    return
                writer.write(data)
                await writer.drain()


async def _message(reader: asyncio.StreamReader, started: bool) -> tuple[bytes, bytes, bytes]:
    """Its kind, what it says, and all of it."""
    kind = await reader.readexactly(1) if started else b""
    size = await reader.readexactly(4)
    body = await reader.readexactly(int.from_bytes(size, "big") - 4)
    return kind, body, kind + size + body


@contextlib.asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A wire to this database, whole at first."""
    made = Wire(url)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()
