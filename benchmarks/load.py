"""Load from few cycles: keep-alive connections that speak just enough HTTP/1.1 to ask and to read the answer.

An ordinary client costs more CPU for a request than the servers measured here, and would be what is measured.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

IDLE_SECONDS = 2.0
"""A server hangs up on whoever says nothing for a while (uvicorn after five seconds)."""


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer, and how many seconds it took."""

    status: int
    body: bytes
    headers: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One keep-alive connection, opened on first use."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "localhost", parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._used = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _: object, _tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def get(self, path: str, token: str | None = None) -> Answer:
        return await self._ask("GET", path, token, b"", "")

    async def post(self, path: str, form: dict[str, str], token: str | None = None) -> Answer:
        return await self._ask("POST", path, token, urlencode(form).encode(), "application/x-www-form-urlencoded")

    async def post_json(self, path: str, value: Any) -> Answer:
        return await self._ask("POST", path, None, json.dumps(value).encode(), "application/json")

    async def _ask(self, method: str, path: str, token: str | None, body: bytes, kind: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{self._port}"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if kind:
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        request = "\r\n".join([*lines, "", ""]).encode() + body
        since = time.perf_counter()
        if since - self._used > IDLE_SECONDS:
            self.close()
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        content = await self._reader.readexactly(length) if length else b""
        self._used = time.perf_counter()
        seconds = self._used - since
        if b"connection: close" in head.lower():
            self.close()
        return Answer(int(head[9:12]), content, head, seconds)


@dataclass
class Latencies:
    """Seconds of each answer, and of the whole."""

    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.elapsed if self.elapsed else 0.0

    def quantile(self, share: float) -> float:
        """Milliseconds within which so large a share was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0


async def at_once(clients: list[Callable[[], Awaitable[Answer]]], seconds: float) -> Latencies:
    """Let each client ask again and again for so long; all together."""
    found = Latencies()
    start = time.perf_counter()

    async def go(ask: Callable[[], Awaitable[Answer]]) -> None:
        while time.perf_counter() - start < seconds:
            found.seconds.append((await ask()).seconds)

    await asyncio.gather(*(go(ask) for ask in clients))
    found.elapsed = time.perf_counter() - start
    return found
