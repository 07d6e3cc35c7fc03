"""The ASGI middleware that `install` puts in front of the application. It decides nothing about who is there."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if self._https:
            scope[HTTPS] = True
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1:  # a proxy may believe the first, and the application the last. RFC 9112 3.2
            two = InvalidRequest("two Host headers", detail="The request names more than one host.")
            await self._refuse(two, scope, receive, send)
        elif self._loopback and not client.is_local(next(iter(hosts), None)):
            await self._refuse(Misdirected("the Host is not this machine's"), scope, receive, send)
        elif scope["type"] == "http" or LINE in scope:
            await self._app(scope, receive, send)
        else:
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
