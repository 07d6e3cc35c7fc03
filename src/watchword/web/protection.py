"""Deny by default: an ASGI guard around all routes of an application. What is not marked as public needs a good token.

A good token goes straight through. Whoever comes without one is followed to the route that the application itself chooses, and
refused there, before the route begins: so nothing here has to know how an application finds its routes, and a route that was
added later is not forgotten.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchword.core.errors import AuthError, ConfigError
from watchword.web.errors import Refused, problem
from watchword.web.guard import Guard

PUBLIC = "__watchword_public__"

T = TypeVar("T")


def public(endpoint: T) -> T:
    """Mark what answers as open to everybody: an endpoint, or an application that is mounted. Gives it back.

    Raises ConfigError for what can't be marked.
    """
    try:
        setattr(endpoint, PUBLIC, True)
    except AttributeError:
        raise ConfigError(
            f"auth.public: {endpoint!r} can't be marked. Mark the function, the class or the mounted application."
        ) from None
    return endpoint


def is_public(endpoint: Any) -> bool:
    """Whether this very thing was marked. What is derived from a public class is not."""
    return PUBLIC in getattr(endpoint, "__dict__", {})


def has_routes(endpoint: Any) -> bool:
    """Whether this is an application with routes of its own, each of which is looked at."""
    return isinstance(endpoint, Starlette | Router)


class Protection:
    """Stands between an application's middleware and its routes, so that CORS and whatever else is in front works as ever."""

    def __init__(self, app: ASGIApp, guard: Guard, ours: Callable[[], Collection[Any]]) -> None:
        self._app = app
        self._guard = guard
        self._ours = ours

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine of its own: what nothing has to be waited for goes straight through."""
        try:
            access = self._guard.at_once(scope)
        except AuthError:
            access = None
        if access is None:
            return self._ask(scope, receive, send)
        self._guard.leave(scope, access)
        return self._app(scope, receive, send)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            access = await self._guard.found(scope)
        except AuthError as error:
            stranger = _Stranger(scope, error, self._ours())
            try:
                await self._app(stranger, receive, stranger.sending(send))
            except Refused:
                if not stranger.refused:
                    raise
            return
        self._guard.leave(scope, access)
        await self._app(scope, receive, send)


class _Stranger(dict[str, Any]):
    """The scope of somebody who may go to public routes alone. A router writes into it which endpoint it has chosen, before it
    lets that begin."""

    def __init__(self, scope: Scope, error: AuthError, ours: Collection[Any]) -> None:
        super().__init__(scope)
        self._error = error
        self._ours = ours
        self._let_in = False
        self._everywhere = False
        self._within = False
        self.refused = False

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "endpoint":
            self._look_at(value)
        super().__setitem__(name, value)

    def update(self, *others: Any, **more: Any) -> None:
        """As a router does with what it has chosen."""
        found = dict(*others, **more)
        if "endpoint" in found:
            self._look_at(found["endpoint"])
        super().update(found)

    def __iter__(self) -> Iterator[str]:
        """So `dict(scope)` and `{**scope}` come by here."""
        self._stay()
        return super().__iter__()

    def keys(self) -> Any:
        self._stay()
        return super().keys()

    def items(self) -> Any:
        self._stay()
        return super().items()

    def copy(self) -> dict[str, Any]:
        self._stay()
        return super().copy()

    def __or__(self, other: Any) -> Any:
        self._stay()
        return super().__or__(other)

    def __ror__(self, other: Any) -> Any:
        self._stay()
        return super().__ror__(other)

    def _stay(self) -> None:
        """Raise Refused where middleware of a mounted application takes a copy: into that one no router would tell us what it
        has chosen, before it begins."""
        if self._within:
            raise Refused(self._error)

    def _look_at(self, endpoint: Any) -> None:
        """Raise Refused where nobody may go without a token."""
        if self._everywhere:
            return
        self._within = False
        if is_public(endpoint):
            self._let_in = True
            self._everywhere = has_routes(endpoint)
        elif any(endpoint is one for one in self._ours):  # an application may have no hash, and any notion of equality
            self._let_in = True
        elif has_routes(endpoint):
            self._let_in, self._within = False, True
        else:
            self._let_in = False
            raise Refused(self._error)

    def sending(self, send: Send) -> Send:
        """A `send` that says nothing of a route that did not tell its name: it refuses in its place."""

        async def sent(message: Message) -> None:
            if self.refused or self._let_in or message.get("status") == self._error.status:
                if not self.refused:
                    await send(message)
            elif message["type"] == "websocket.accept":
                raise Refused(self._error)
            elif message["type"] == "http.response.start":
                self.refused, self._within = True, False
                await problem(self._error)(self, _nothing, send)
            else:
                await send(message)

        return sent


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
