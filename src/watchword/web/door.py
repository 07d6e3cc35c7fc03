"""The ASGI middleware that `install` puts in front of the application. It decides nothing about who is there."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from watchword.core.errors import AuthError, InvalidRequest, Misdirected
from watchword.web import client, errors
from watchword.web.headers import HTTPS, protect
from watchword.web.lines import LINE, Line


class Door:
    """Keeps a loopback issuer on this machine, refuses two Hosts in one request, tells our routes whether the issuer is https,
    and holds the lines of WebSockets."""

    def __init__(self, app: ASGIApp, loopback: bool, https: bool) -> None:
        self._app = app
        self._loopback = loopback
        self._https = https
        self._local = b"localhost"
        """The Host that was last found to be this machine's: it nearly always comes again."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine of its own: an HTTP request that nothing is wrong with goes straight through."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            return self._app(scope, receive, send)
        if self._https:
            scope[HTTPS] = True
        host: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:  # a proxy may believe the first, and the application the last. RFC 9112 3.2
                    two = InvalidRequest("two Host headers", detail="The request names more than one host.")
                    return self._refuse(two, scope, receive, send)
                host = value
        if self._loopback and host != self._local:
            if host is None or not client.is_local(host.decode("latin-1")):
                return self._refuse(Misdirected("the Host is not this machine's"), scope, receive, send)
            self._local = host
        if kind == "http" or LINE in scope:
            return self._app(scope, receive, send)
        return self._hold(scope, receive, send)

    async def _hold(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = scope[LINE] = Line(receive, send)
        try:
            await self._app(scope, line.receive, line.send)
        finally:
            line.done()

    async def _refuse(self, error: AuthError, scope: Scope, receive: Receive, send: Send) -> None:
        response = errors.problem(error)
        protect(response.headers, https=self._https)
        if scope["type"] == "http":
            await response(scope, receive, send)
        else:
            await errors.refuse_socket(WebSocket(scope, receive, send), response)
