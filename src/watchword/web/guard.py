"""The door in front of the host's routes: who makes this request?

No `from __future__ import annotations` here: FastAPI would turn the guards' parameters into query parameters.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Security
from fastapi.dependencies.utils import get_dependant
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from watchword.core.errors import AuthError, InvalidRequest, InvalidToken, MissingToken
from watchword.core.models import Account, Principal
from watchword.core.tokens import Access
from watchword.flows import authenticate
from watchword.flows.kit import Kit
from watchword.web.errors import Refused
from watchword.web.lines import LINE, Line, Switchboard

logger: logging.Logger = logging.getLogger("watchword.guard")

Open = Callable[[], Awaitable[Kit]]
"""Gives the kit, and starts the house first where no lifespan did."""


class Guard(SecurityBase):
    """A dependency that gives the Principal, on HTTP and WebSocket routes, and appears in OpenAPI.

    `Security(auth.principal, scopes=[...])` is honoured, with any scopes of the routes above it.
    """

    def __init__(self, open_house: Open) -> None:
        self.scheme_name = "Watchword"
        self.model: SecurityModel = OAuth2Model(flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="/login")))
        self._open = open_house
        self._switchboard = Switchboard()
        self._installed = False

    def moved_to(self, prefix: str) -> None:
        """The token URL that OpenAPI names, under the prefix of `install`."""
        self.model = OAuth2Model(flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl=f"{prefix}/login")))
        self._installed = True

    async def __call__(self, connection: HTTPConnection, needed: SecurityScopes) -> Principal:
        if not self._installed:
            self._installed = True  # once is enough
            logger.warning("a guard stands before a route, but auth.install(app) was not called: there is no /login")
        try:
            kit = await self._open()
            access = await self._access(connection, kit)
            if needed.scopes:
                authenticate.require(kit, access.principal, frozenset(needed.scopes), None, frozenset())
        except AuthError as error:
            raise Refused(error) from error
        return access.principal

    async def user(self, who: Principal) -> Account:
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


def user_of(guard: Guard) -> Callable[..., Awaitable[Account]]:
    """The dependency behind `auth.user`."""

    async def user(who: Annotated[Principal, Security(guard)]) -> Account:
        return await guard.user(who)

    return user


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
