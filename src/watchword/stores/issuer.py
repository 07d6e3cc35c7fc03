"""`ports.Issuer` over HTTP. The other side is believed in nothing but what is signed, and waited for never long.

No redirects, no proxy of the environment, no compression (a small body could unpack to a large one), a cap on bytes that is
counted while they come, and one on the time of the whole exchange. This is the only module that fetches for a Verifier.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from watchword.core import published
from watchword.core.errors import Unavailable
from watchword.core.published import Metadata, PublishedKeys
from watchword.core.revocation_list import MAX_LIST, MEDIA_TYPE

MAX_DOCUMENT = 64 * 1024
"""Bytes of metadata, or of a key set."""

SECONDS = 5.0
"""From the first packet to the last byte of a document."""

MIN_AGE, DEFAULT_AGE, MAX_AGE = 30.0, 300.0, 3600.0
"""Seconds that a key set is kept, whatever its Cache-Control says."""

WAIT = 10.0
"""Seconds that a list may be late, because there are no news: twice what the issuer takes."""

MAX_AGE_OF = re.compile(r"(?:^|[,\s])max-age=\"?(\d{1,9})\b", re.IGNORECASE)
NAME = re.compile(r'(?:W/)?"([A-Za-z0-9_-]{1,64})"')
"""An ETag that goes back as it came."""

NO_CACHE = {"Cache-Control": "no-cache"}
"""A key that an operator stopped would live on in a cache in between."""


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    headers: Mapping[str, str]


class HttpIssuer:
    """One issuer, at its address. `service_key` is shown to it where revocations are asked for, and nowhere else."""

    def __init__(
        self, issuer: str, service_key: str | None = None, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._issuer = issuer
        self._service_key = service_key
        self._transport = transport
        self._client: httpx2.AsyncClient | None = None

    async def start(self) -> None:
        """See `ports.Issuer.start`."""
        self._client = httpx2.AsyncClient(
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,
            headers={"Accept-Encoding": "identity", "User-Agent": "watchword"},
        )

    async def stop(self) -> None:
        """See `ports.Issuer.stop`. A transport that was given stays its giver's."""
        client, self._client = self._client, None
        if client is not None and self._transport is None:
            await client.aclose()

    async def metadata(self) -> Metadata:
        """See `ports.Issuer.metadata`."""
        *others, last = published.metadata_urls(self._issuer)
        for url in others:
            try:
                return published.read_metadata((await self._get(url, "metadata")).body, self._issuer)
            except Unavailable:
                continue
        return published.read_metadata((await self._get(last, "metadata")).body, self._issuer)

    async def keys(self, uri: str) -> tuple[PublishedKeys, float]:
        """See `ports.Issuer.keys`."""
        answer = await self._get(uri, "key set", headers=NO_CACHE)
        match = MAX_AGE_OF.search(answer.headers.get("cache-control", ""))
        age = float(match[1]) if match else DEFAULT_AGE
        return published.read_keys(answer.body), min(max(age, MIN_AGE), MAX_AGE)

    async def revocations(self, uri: str, seen: str | None) -> tuple[str, str]:
        """See `ports.Issuer.revocations`."""
        headers = {"Authorization": f"Bearer {self._service_key}", "Accept": MEDIA_TYPE}
        if seen is not None:
            headers["If-None-Match"] = f'"{seen}"'
        answer = await self._get(uri, "list of revocations", cap=MAX_LIST, wait=WAIT, headers=headers)
        name = NAME.fullmatch(answer.headers.get("etag", ""))
        return answer.body.decode("latin-1"), name[1] if name else ""

    async def _get(
        self,
        url: str,
        what: str,
        *,
        cap: int = MAX_DOCUMENT,
        wait: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        """The body that answers with 200, which may be `wait` seconds late. Raises Unavailable for everything else."""
        if self._client is None:
            raise Unavailable("the verifier was stopped")
        try:
            async with asyncio.timeout(SECONDS + wait), self._client.stream("GET", url, headers=headers) as response:
                if response.status_code != 200:
                    raise Unavailable(_status(what, response.status_code))
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise Unavailable(f"the issuer's {what} came compressed, which nobody asked for")
                return _Answer(await _bounded(response, what, cap), response.headers)
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unavailable(f"the issuer's {what} can't be fetched ({type(error).__name__})") from error


async def _bounded(response: httpx2.Response, what: str, cap: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():  # nothing is unpacked: a compressed answer was refused
        body += chunk
        if len(body) > cap:
            raise Unavailable(f"the issuer's {what} is over {cap} bytes")
    return bytes(body)


def _status(what: str, status: int) -> str:
    why = ", and redirects are not followed" if 300 <= status < 400 else ""
    if status == 401:
        why = ": the key of this service is not in WATCHWORD_SERVICE_KEYS there"
    return f"the issuer answered {status} for its {what}{why}"
