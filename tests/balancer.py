"""A small proxy for HTTP before several workers: it asks each for `/readyz`, and sends nobody to one that does not say 200.

It keeps connections to the workers open, as proxies do, and tries nothing again: what a worker drops is lost, and counted.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

ASK_SECONDS = 0.1
IDLE_SECONDS = 2.0
"""How long a connection may be kept unused: less than the five seconds after which uvicorn closes it."""

PATIENCE = 120.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter, float]
BROKEN = (OSError, EOFError, ValueError)
ASK = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LOST = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Backend:
    """A worker's port. `passed` were sent there, `under_way` are not answered yet; `last` is what /readyz said last."""

    port: int
    ready: bool = False
    under_way: int = 0
    passed: int = 0
    last: bytes = b""
    idle: list[Connection] = field(default_factory=list)


class Balancer:
    """Listens on a port of its own; `lost` are requests that were sent to a worker and not answered."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.backends = [Backend(port) for port in ports]
        self.lost: list[str] = []
        self._turns = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://localhost:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self._tasks |= {asyncio.create_task(self._watch(backend)) for backend in self.backends}

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for backend in self.backends:
            for _, writer, _ in backend.idle:
                writer.close()

    async def until(self, backend: Backend, *, ready: bool) -> None:
        """Until the balancer knows that of it; and until all that it had sent there is answered, if it is not ready."""
        async with asyncio.timeout(PATIENCE):
            while backend.ready is not ready or (not ready and backend.under_way):  # noqa: ASYNC110 - many wait for much
                await asyncio.sleep(0.01)

    async def _watch(self, backend: Backend) -> None:
        while True:
            backend.last = b""
            with contextlib.suppress(*BROKEN):
                backend.last = await _asked(backend.port)
            backend.ready = b" 200 " in backend.last.partition(b"\r\n")[0]
            await asyncio.sleep(ASK_SECONDS)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(*BROKEN, asyncio.CancelledError):
                while request := await _message(reader):
                    writer.write(await self._passed(request))
                    await writer.drain()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _passed(self, request: bytes) -> bytes:
        backend = await self._chosen()
        backend.under_way += 1
        try:
            reader, writer, _ = connection = await self._connection(backend)
            writer.write(request)
            answer = await _message(reader)
            if not answer:
                raise EOFError("the worker hung up")
            backend.passed += 1
            if b"\r\nconnection: close\r\n" in answer.lower():
                writer.close()
            else:
                backend.idle.append((*connection[:2], asyncio.get_running_loop().time()))
            return answer
        except BROKEN as error:
            self.lost.append(f"{request.partition(b' HTTP')[0]!r}: {error!r}")
            return LOST
        finally:
            backend.under_way -= 1

    async def _chosen(self) -> Backend:
        """One of those that are ready, in turn; while there is none, the client waits."""
        async with asyncio.timeout(PATIENCE):
            while not (ready := [one for one in self.backends if one.ready]):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        return ready[next(self._turns) % len(ready)]

    async def _connection(self, backend: Backend) -> Connection:
        now = asyncio.get_running_loop().time()
        while backend.idle:
            connection = backend.idle.pop()
            if connection[0].at_eof() or connection[1].is_closing() or now - connection[2] > IDLE_SECONDS:
                connection[1].close()
            else:
                return connection
        return (*await asyncio.open_connection("127.0.0.1", backend.port), now)


async def _asked(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(ASK)
        return await _message(reader)
    finally:
        writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer as a whole; nothing at the end. Raises EOFError in the midst of one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
    length = 0
    for line in head.lower().split(b"\r\n"):
        assert not line.startswith(b"transfer-encoding"), "nobody here sends in chunks"
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def balancing(ports: Sequence[int]) -> AsyncIterator[Balancer]:
    """A balancer before the workers on these ports."""
    made = Balancer(ports)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
