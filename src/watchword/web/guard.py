"""The door in front of the host's routes: who makes this request?

No `from __future__ import annotations` here: FastAPI would turn the guards' parameters into query parameters.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Security
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from watchword.core.errors import AuthError, InvalidRequest, InvalidToken, Misdirected, MissingToken
from watchword.core.models import Principal, User
from watchword.core.tokens import Access
from watchword.flows import authenticate
from watchword.flows.kit import Kit
from watchword.web import client, errors
from watchword.web.errors import Refused
from watchword.web.lines import Line, Switchboard

Open = Callable[[], Awaitable[Kit]]
"""Gives the kit, and starts the house first where no lifespan did."""

LINE = "watchword.line"


class Guard(SecurityBase):
    """A dependency that gives the Principal, on HTTP and WebSocket routes, and appears in OpenAPI.

    `Security(auth.principal, scopes=[...])` is honoured, with any scopes of the routes above it.
    """

    def __init__(self, open_house: Open) -> None:
        self.scheme_name = "Watchword"
        self.model = OAuth2Model(flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="/login")))
        self._open = open_house
        self._switchboard = Switchboard()

    def moved_to(self, prefix: str) -> None:
        """The token URL that OpenAPI names, under the prefix of `install`."""
        self.model = OAuth2Model(flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl=f"{prefix}/login")))

    async def __call__(self, connection: HTTPConnection, needed: SecurityScopes) -> Principal:
        try:
            kit = await self._open()
            access = await self._access(connection, kit)
            if needed.scopes:
                authenticate.require(kit, access.principal, frozenset(needed.scopes), None, frozenset())
        except AuthError as error:
            raise Refused(error) from error
        return access.principal

    async def user(self, who: Principal) -> User:
        """The principal's row, read now."""
        try:
            return await authenticate.user(await self._open(), who)
        except AuthError as error:
            raise Refused(error) from error

    async def require(self, who: Principal, max_age: int | None, methods: frozenset[str]) -> None:
        """Freshness (seconds) and factors."""
        try:
            authenticate.require(await self._open(), who, frozenset(), max_age, methods)
        except AuthError as error:
            raise Refused(error) from error

    async def _access(self, connection: HTTPConnection, kit: Kit) -> Access:
        line: Line | None = connection.scope.get(LINE)
        token, subprotocol = presented(connection)
        if token is None:
            raise MissingToken("no credentials")
        access = await authenticate.bearer(kit, token)
        if connection.scope["type"] == "websocket":
            if line is None:
                raise InvalidToken("a guarded WebSocket needs auth.install(app) on the application that serves it")
            line.subprotocol = subprotocol
            line.watched = self._switchboard.watch(line, access, kit)
        return access


def user_of(guard: Guard) -> Callable[..., Awaitable[User]]:
    """The dependency behind `auth.user`."""

    async def user(who: Annotated[Principal, Security(guard)]) -> User:
        return await guard.user(who)

    return user


def requirement(
    guard: Guard, scopes: frozenset[str], max_age: int | None, methods: frozenset[str]
) -> Callable[..., Awaitable[Principal]]:
    """The dependency behind `auth.requires(...)`: the scopes stand in OpenAPI too."""

    async def requires(who: Annotated[Principal, Security(guard, scopes=sorted(scopes))]) -> Principal:
        await guard.require(who, max_age, methods)
        return who

    return requires


def presented(connection: HTTPConnection) -> tuple[str | None, str | None]:
    """The bearer token of a request, and the subprotocol to answer with where it came as one.

    Only the Authorization header (RFC 6750 2.1) or, on a WebSocket, the subprotocols `bearer, <token>`; never the query.
    Raises InvalidRequest for two tokens in one request.
    """
    given = connection.headers.getlist("authorization")
    offered: list[str] = []
    if connection.scope["type"] == "websocket":
        offered = [name for name in connection.scope.get("subprotocols", []) if name]
    from_socket = offered[1] if len(offered) == 2 and offered[0].lower() == "bearer" else None
    if len(given) + (from_socket is not None) > 1:
        raise InvalidRequest("two tokens in one request", detail="The request carries more than one token.")
    if from_socket is not None:
        return from_socket, offered[0]
    if not given:
        return None, None
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer":
        return None, None
    return token.strip(" "), None


class Door:
    """The ASGI middleware that `install` puts in front of the application: it keeps a loopback issuer on this machine,
    and holds the lines of WebSockets for the guards."""

    def __init__(self, app: ASGIApp, loopback: bool) -> None:
        self._app = app
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._loopback and not client.is_local(_host(scope)):
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
        if scope["type"] == "http":
            await response(scope, receive, send)
        else:
            await errors.refuse_socket(WebSocket(scope, receive, send), response)


def _host(scope: Scope) -> str | None:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return hosts[0].decode("latin-1") if len(hosts) == 1 else None
