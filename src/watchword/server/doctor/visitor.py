"""The doctor's way to the server: few requests, small answers, bounded time, and to one address alone."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from watchword.server.doctor.attack import NotTried

SECONDS = 5.0
"""For one request, however slowly it is answered."""

MAX_ANSWER = 256 * 1024
PATIENCE = 2
"""After so many requests in a row that were not answered, no more is sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the headers by lower-case name, and the beginning of a body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def fields(self) -> dict[str, Any]:
        """The members of a JSON object; empty for anything else."""
        value = self.json()
        return value if isinstance(value, dict) else {}


class Unreachable(NotTried):
    """The request was not answered."""


class Visitor:
    """Sends requests to `url`, in the name of `host`. Proxies of the environment and redirects are not followed."""

    def __init__(self, url: str, host: str) -> None:
        self.url: str = url.rstrip("/")
        self.host = host
        self.refusals: list[Answer] = []
        self._silent = 0
        self._client = httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=SECONDS)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """One request and its answer. Raises Unreachable when none comes in time."""
        if self._silent >= PATIENCE:
            raise Unreachable("the server has stopped answering")
        listed = list(headers.items()) if isinstance(headers, Mapping) else list(headers or ())
        if not any(name.lower() == "host" for name, _ in listed):
            listed.append(("Host", self.host))
        listed.append(("Accept-Encoding", "identity"))
        if token is not None:
            listed.append(("Authorization", f"Bearer {token}"))
        name = self.host.rpartition(":")[0] or self.host if not self.host.endswith("]") else self.host
        try:
            async with asyncio.timeout(SECONDS):
                request = self._client.build_request(
                    method,
                    self.url + path,
                    headers=httpx2.Headers(listed, encoding="latin-1"),
                    data=form,
                    content=content,
                    extensions={"sni_hostname": name.strip("[]")},
                )
                answer = await self._read(request)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError, UnicodeError) as error:
            self._silent += 1
            raise Unreachable(f"no answer ({type(error).__name__})") from error
        self._silent = 0
        if answer.status >= 400:
            self.refusals.append(answer)
        return answer

    async def raw(self, request: bytes) -> int:
        """The status that answers these very bytes. Raises Unreachable when none comes in time."""
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        context = ssl.create_default_context() if secure else None
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
                try:
                    writer.write(request)
                    await writer.drain()
                    line = await reader.readline()
                finally:
                    writer.close()
                return int(line.split()[1])
        except (OSError, TimeoutError, ValueError, IndexError) as error:
            raise Unreachable(f"no answer ({type(error).__name__})") from error

    async def _read(self, request: httpx2.Request) -> Answer:
        """The bytes as they come, whatever encoding the server claims: a small answer may unpack to more than memory holds."""
        response = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER:
                    break
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body[:MAX_ANSWER]))
