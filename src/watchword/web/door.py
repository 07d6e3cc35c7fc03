"""The ASGI middleware that `install` puts in front of the application. It decides nothing about who is there."""

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from watchword.core.errors import Misdirected
from watchword.web import client, errors
from watchword.web.headers import HTTPS, protect
from watchword.web.lines import LINE, Line


class Door:
    """Keeps a loopback issuer on this machine, tells our routes whether it is https, and holds the lines of WebSockets."""

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
        if self._loopback and not client.is_local(_host(scope)):
            await self._misdirected(scope, receive, send)
        elif scope["type"] == "http" or LINE in scope:
            await self._app(scope, receive, send)
        else:
            line = scope[LINE] = Line(receive, send)
            try:
                await self._app(scope, line.receive, line.send)
            finally:
                line.done()

    async def _misdirected(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = errors.problem(Misdirected("the Host is not this machine's"))
        protect(response.headers, https=self._https)
        if scope["type"] == "http":
            await response(scope, receive, send)
        else:
            await errors.refuse_socket(WebSocket(scope, receive, send), response)


def _host(scope: Scope) -> str | None:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return hosts[0].decode("latin-1") if len(hosts) == 1 else None
