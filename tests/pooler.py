"""A pooler in front of PostgreSQL that does what PgBouncer does in its two modes: a client has a server's connection for as
long as it is connected (session), or for one transaction (transaction). No TLS, no passwords.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy.engine import make_url

SSL_REQUEST = (80877103).to_bytes(4, "big")
IDLE = b"I"
OWN_KEY = b"K" + (12).to_bytes(4, "big") + (0x7FFFFFF0).to_bytes(4, "big") + bytes(4)
"""BackendKeyData of the pooler's own: it is the pooler that a client would ask to cancel."""


@dataclass
class Server:
    """A connection to PostgreSQL that is past its handshake."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes
    """What it said of itself: its parameters."""


@dataclass
class Pooler:
    """Listens on a port of its own. `most` is how many connections it opens to the server."""

    target: str
    mode: str
    most: int = 20
    _idle: list[Server] = field(default_factory=list)
    _opened: int = 0
    _free: asyncio.Condition = field(default_factory=asyncio.Condition)
    _clients: set[asyncio.Task[None]] = field(default_factory=set)
    _listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._listening is not None
        port = self._listening.sockets[0].getsockname()[1]
        return make_url(self.target).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    async def start(self) -> None:
        self._listening = await asyncio.start_server(self._accepted, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for server in self._idle:
            server.writer.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            await self._serve(reader, writer)
        self._clients.discard(task)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await _packet(reader)
        if startup[4:8] == SSL_REQUEST:
            writer.write(b"N")
            startup = await _packet(reader)
        server = await self.take(startup)
        writer.write(server.greeting + OWN_KEY + b"Z\x00\x00\x00\x05" + IDLE)
        if self.mode == "transaction":
            await self.give(server)
        link = _Link(self, startup, writer, server if self.mode == "session" else None)
        try:
            while (message := await _message(reader))[:1] != b"X":
                await link.send(message)
        finally:
            await link.end()

    async def take(self, startup: bytes) -> Server:
        """The one that was used last, or a new one."""
        async with self._free:
            await self._free.wait_for(lambda: self._idle or self._opened < self.most)
            if self._idle:
                return self._idle.pop()
            self._opened += 1
        url = make_url(self.target)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(startup)
        greeting = b""
        while (message := await _message(reader))[:1] != b"Z":
            greeting += message if message[:1] != b"K" else b""
        return Server(reader, writer, greeting)

    async def give(self, server: Server) -> None:
        async with self._free:
            self._idle.append(server)
            self._free.notify()


class _Link:
    """Which server's connection a client has now, and what comes back from there."""

    def __init__(self, pooler: Pooler, startup: bytes, writer: asyncio.StreamWriter, server: Server | None) -> None:
        self._pooler = pooler
        self._startup = startup
        self._writer = writer
        self._server = server
        self._back = asyncio.create_task(self._answers(server)) if server is not None else None
        self._asked = 0

    async def send(self, message: bytes) -> None:
        if self._server is None:
            self._server = await self._pooler.take(self._startup)
            self._back = asyncio.create_task(self._answers(self._server))
        self._asked += message[:1] in (b"Q", b"S")  # each of them is answered by a ReadyForQuery
        self._server.writer.write(message)

    async def _answers(self, server: Server) -> None:
        while True:
            answer = await _message(server.reader)
            self._writer.write(answer)
            self._asked -= answer[:1] == b"Z"
            if answer[:1] == b"Z" and answer[5:6] == IDLE and not self._asked and self._pooler.mode == "transaction":
                self._server = None
                await self._pooler.give(server)
                return

    async def end(self) -> None:
        if self._back is not None:
            self._back.cancel()
            await asyncio.gather(self._back, return_exceptions=True)
        if self._server is not None:
            await self._pooler.give(self._server)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """A message without a kind, as the first ones are."""
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big") - 4)


async def _message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(1) + await _packet(reader)


@contextlib.asynccontextmanager
async def pooler(url: str, mode: str, *, most: int = 20) -> AsyncIterator[Pooler]:
    """A pooler in front of this database."""
    made = Pooler(url, mode, most)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
