"""The door in front of the host's routes: who makes this request?

No `from __future__ import annotations` here: FastAPI would turn the guards' parameters into query parameters.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any

from fastapi import Security
from fastapi.dependencies.utils import get_dependant
from fastapi.openapi.models import HTTPBearer, OAuthFlowPassword, OAuthFlows
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.types import Scope

from watchword.core.errors import AuthError, InvalidRequest, InvalidToken, MissingToken
from watchword.core.models import Account, Principal
from watchword.core.tokens import Access
from watchword.flows import authenticate
from watchword.flows.kit import Checking, Kit
from watchword.web import client
from watchword.web.errors import Refused
from watchword.web.lines import LINE, Line, Switchboard

logger: logging.Logger = logging.getLogger("watchword.guard")

FOUND = "watchword.found"
"""Where a guard leaves what it has found for those behind it: itself, the headers that it looked at, and the access. So a
request is looked at, and counted, once, however many guards stand before its route. For other headers it was not found."""

NOTHING: tuple[None, None, Any] = (None, None, None)

GUARDED = "__watchword_asks__"
"""On a dependency of ours: what it asks for beside a token, in words."""

Open = Callable[[], Awaitable[Kit]]
"""Gives the kit, and starts the house first where no lifespan did."""

OpenChecking = Callable[[], Awaitable[Checking]]
"""The same, where nothing but tokens is looked at."""

BEARER: SecurityModel = HTTPBearer(bearerFormat="JWT", description="An access token of the issuer.")
"""What OpenAPI says where tokens are only checked, and signing in is another server's."""


def password_login(prefix: str) -> SecurityModel:
    """What OpenAPI says where one can sign in, so that Swagger's Authorize button works."""
    return OAuth2Model(flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl=f"{prefix}/login")))


class Guard(SecurityBase):
    """A dependency that gives the Principal, on HTTP and WebSocket routes, and appears in OpenAPI.

    `Security(auth.principal, scopes=[...])` is honoured, with any scopes of the routes above it.
    """

    def __init__(self, open_house: OpenChecking, model: SecurityModel, opened: Callable[[], Checking | None]) -> None:
        self.scheme_name = "Watchword"
        self.model: SecurityModel = model
        self._open = open_house
        self._opened = opened
        self._switchboard = Switchboard()
        self._installed = model is BEARER

    def moved_to(self, prefix: str) -> None:
        """The token URL that OpenAPI names, under the prefix of `install`."""
        self.model = password_login(prefix)
        self._installed = True

    async def __call__(self, connection: HTTPConnection, needed: SecurityScopes) -> Principal:
        if not self._installed:
            self._installed = True  # once is enough
            logger.warning("a guard stands before a route, but auth.install(app) was not called: there is no /login")
        scope = connection.scope
        try:
            guard, headers, found = scope.get(FOUND, NOTHING)
            access: Access = found
            if guard is not self or headers != scope["headers"]:  # nobody has found it already
                access = self.at_once(scope) or await self.found(scope)
                self.leave(scope, access)
            if needed.scopes:
                authenticate.require(await self._open(), access.principal, frozenset(needed.scopes), None, frozenset())
        except AuthError as error:
            raise Refused(error) from error
        return access.principal

    async def require(self, who: Principal, max_age: int | None, methods: frozenset[str]) -> None:
        """Freshness (seconds) and factors."""
        try:
            authenticate.require(await self._open(), who, frozenset(), max_age, methods)
        except AuthError as error:
            raise Refused(error) from error

    def leave(self, scope: Scope, access: Access) -> None:
        """Leave what was found for the guards behind this one."""
        scope[FOUND] = (self, scope["headers"], access)

    def at_once(self, scope: Scope) -> Access | None:
        """The access of an HTTP request whose token was verified before; None where that takes more than a look."""
        kit = self._opened()
        if kit is None or scope["type"] != "http":
            return None
        credentials = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                if credentials is not None:
                    return None  # two, which `presented` refuses
                credentials = value
        return None if credentials is None else authenticate.at_once(kit, credentials)

    async def found(self, scope: Scope) -> Access:
        """The access that this request's token gives. Raises AuthError."""
        kit = await self._open()
        line: Line | None = scope.get(LINE)
        token, subprotocol = presented(scope)
        if token is None:
            raise MissingToken("no credentials")
        access = await authenticate.bearer(kit, token, lambda: client.describe(HTTPConnection(scope), kit.policy))
        if scope["type"] == "websocket":
            if line is None:
                raise InvalidToken("a guarded WebSocket needs install(app) on the application that serves it")
            line.subprotocol = subprotocol
            line.watched = self._switchboard.watch(line, access, kit)
        return access


def user_of(guard: Guard, open_house: Open) -> Callable[..., Awaitable[Account]]:
    """The dependency behind `auth.user`: the principal's row, read now."""

    async def user(who: Annotated[Principal, Security(guard)]) -> Account:
        try:
            return await authenticate.user(await open_house(), who)
        except AuthError as error:
            raise Refused(error) from error

    setattr(user, GUARDED, "user")
    return user


def signed_in_of(guard: Guard) -> Callable[..., Awaitable[Principal]]:
    """A dependency for one's own account: the principal, where somebody has signed in. An API key is refused."""

    async def signed_in(who: Annotated[Principal, Security(guard)]) -> Principal:
        try:
            authenticate.signed_in(who)
        except AuthError as error:
            raise Refused(error) from error
        return who

    return signed_in


def optional_of(guard: Guard) -> Callable[..., Awaitable[Principal | None]]:
    """The dependency behind `auth.optional`: None where no token came; one that is not good is refused all the same."""

    async def optional(connection: HTTPConnection) -> Principal | None:
        try:
            return await guard(connection, SecurityScopes())
        except Refused as refused:
            if isinstance(refused.error, MissingToken):
                return None
            raise

    return optional


def stands_in(dependency: Any, guard: Guard) -> bool:
    """Whether this dependency, or one that it depends on, is the guard."""
    if dependency is guard:
        return True
    return any(stands_in(below.call, guard) for below in get_dependant(path="/", call=dependency).dependencies)


def requirement(
    guard: Guard, scopes: str | Iterable[str], *more: str, max_age: int | None, methods: Iterable[str]
) -> Callable[..., Awaitable[Principal]]:
    """The dependency behind `requires(...)`: the scopes stand in OpenAPI too."""
    needed = sorted({*(scopes.split() if isinstance(scopes, str) else scopes), *more})
    factors = frozenset(methods)

    async def requires(who: Annotated[Principal, Security(guard, scopes=needed)]) -> Principal:
        await guard.require(who, max_age, factors)
        return who

    asked = [f"methods {' '.join(sorted(factors))}"] if factors else []
    setattr(requires, GUARDED, ", ".join([*asked, *([f"max_age {max_age}"] if max_age is not None else [])]))
    return requires


def presented(scope: Scope) -> tuple[str | None, str | None]:
    """The bearer token of a request, and the subprotocol to answer with where it came as one.

    Only the Authorization header (RFC 6750 2.1) or, on a WebSocket, the subprotocols `bearer, <token>`; never the query.
    Raises InvalidRequest for two tokens in one request.
    """
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    offered: list[str] = []
    if scope["type"] == "websocket":
        offered = [name for name in scope.get("subprotocols", []) if name]
    from_socket = offered[1] if len(offered) == 2 and offered[0].lower() == "bearer" else None
    if len(given) + (from_socket is not None) > 1:
        raise InvalidRequest("two tokens in one request", detail="The request carries more than one token.")
    if from_socket is not None:
        return from_socket, offered[0]
    if not given:
        return None, None
    scheme, _, token = given[0].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        return None, None
    return token.strip(" "), None
