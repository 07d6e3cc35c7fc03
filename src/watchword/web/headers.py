"""The headers that every answer of ours carries, so that a browser makes nothing of it but what it is.

The host's own routes are the host's: embedded, only the routes of this package and the door's refusals get them.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HTTPS = "watchword.https"
"""Where the ASGI scope says that the issuer is https, off localhost."""

FRAMES = "frame-ancestors 'none'"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": f"default-src 'none'; {FRAMES}",
}
HSTS = "max-age=31536000"
"""A year, for this host alone: what stands beside it is not ours to speak for. RFC 6797 6.1."""


def protect(headers: MutableHeaders, *, https: bool, stored: bool = False) -> None:
    """Add what is missing; what a route said itself stays. Nothing is kept by a cache unless the answer may be `stored`."""
    for name, value in ALWAYS.items():
        headers.setdefault(name, value)
    if https:
        headers.setdefault("Strict-Transport-Security", HSTS)
    if not stored:
        headers.setdefault("Cache-Control", "no-store")


class Headers:
    """ASGI middleware of the stand-alone server: every answer of its host is ours. `pages` load scripts from elsewhere."""

    def __init__(self, app: ASGIApp, https: bool, pages: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._https = https
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if scope["path"] in self._pages:
                    headers["Content-Security-Policy"] = FRAMES
                protect(headers, https=self._https, stored=True)
            await send(message)

        await self._app(scope, receive, answer if scope["type"] == "http" else send)
