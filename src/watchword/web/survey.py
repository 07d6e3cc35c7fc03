"""Every route of an application, and who may use it. For `watchword routes`, and for a start that refuses contradictions."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Host, Mount

from watchword.core.errors import ConfigError
from watchword.web.guard import GUARDED, Guard
from watchword.web.protection import has_routes, is_public


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A route: its methods (`WS` for a WebSocket, `*` for all below a mount), its path, who answers, and what it asks for.

    `asks` is "public", "token", or with what `requires` asks in addition; None where nobody is asked.
    """

    methods: tuple[str, ...]
    path: str
    endpoint: Any
    asks: str | None
    ours: bool = False
    contradiction: bool = False

    @property
    def name(self) -> str:
        """Where the endpoint is defined."""
        named = self.endpoint if hasattr(self.endpoint, "__qualname__") else type(self.endpoint)
        return f"{named.__module__}.{named.__qualname__}"


def survey(
    routes: Sequence[BaseRoute],
    guard: Guard,
    ours: Collection[Any],
    *,
    protected: bool,
    below: str = "",
    marked_above: bool = False,
) -> Iterator[Surveyed]:
    """The routes in the order in which they are asked, those of mounted applications included."""
    for context in iter_route_contexts(routes):
        route = context.original_route
        path = below + (context.path or "")
        if isinstance(route, Mount | Host):
            path = below + (context.path or "" if isinstance(route, Mount) else f"({route.host})")
            marked = marked_above or is_public(route.app)
            inner = getattr(route.app, "routes", None)
            if inner is not None and has_routes(route.app):
                yield from survey(inner, guard, ours, protected=protected, below=path, marked_above=marked)
            else:
                yield Surveyed(("*",), f"{path}/", route.app, _by_default(marked, protected=protected))
            continue
        endpoint = context.endpoint
        asked = asks(context, guard)
        marked = marked_above or is_public(endpoint)
        mine = any(endpoint is one for one in ours)
        yield Surveyed(
            tuple(sorted(context.methods or ("WS",))),
            path,
            endpoint,
            asked or ("public" if mine else _by_default(marked, protected=protected)),
            ours=mine,
            contradiction=marked and asked is not None,
        )


def refuse_both(surveyed: Iterable[Surveyed]) -> None:
    """Raise ConfigError for a route that is marked as public and asks for a token."""
    for one in surveyed:
        if one.contradiction:
            raise ConfigError(
                f"{' '.join(one.methods)} {one.path} ({one.name}) is marked with auth.public and asks for a token "
                f"({one.asks}). Leave one of them out; for a route that serves both, Depends(auth.optional) is enough."
            )


def asks(context: RouteContext, guard: Guard) -> str | None:
    """What the dependencies of a route ask for: "token", "token, user", "token, scopes items:write"; None for nothing."""
    dependant = getattr(context, "dependant", None)
    if dependant is None:
        return None
    scopes: set[str] = set()
    more: list[str] = []
    if not _walk(dependant, guard, scopes, more):
        return None
    return ", ".join(["token", *dict.fromkeys(more), *([f"scopes {' '.join(sorted(scopes))}"] if scopes else [])])


def _walk(dependant: Any, guard: Guard, scopes: set[str], more: list[str]) -> bool:
    """Whether the guard is among these dependencies; collects what is asked beside a token."""
    if dependant.call is guard:
        scopes.update(dependant.parent_oauth_scopes or (), dependant.own_oauth_scopes or ())
        return True
    found = [_walk(one, guard, scopes, more) for one in dependant.dependencies]
    if any(found) and (asked := getattr(dependant.call, GUARDED, None)):
        more.append(asked)
    return any(found)


def _by_default(marked: bool, *, protected: bool) -> str | None:
    return "public" if marked else "token" if protected else None
