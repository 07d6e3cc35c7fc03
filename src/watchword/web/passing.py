"""How a router passes over the routes of the house on its way to those of the application."""

from collections.abc import Callable, Iterable, Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

NONE = Match.NONE
"""By a name of its own: to look a member of an Enum up takes longer than the look at a path."""

Matches = Callable[[Scope], tuple[Match, Scope]]


def pass_over(routes: Iterable[BaseRoute]) -> None:
    """Let a router pass over these routes with one look at the path, where a request is not for them.

    They stand in front of the host's own, and a router that asks each of them takes longer for that than for the rest of a
    request. Whatever comes through is matched as ever, so a look may let through too much, but keeps nothing away.
    """
    for route in routes:
        paths = [context.path for context in iter_route_contexts([route]) if context.path]
        look = _look if len(paths) > 1 else _look_for_one
        object.__setattr__(route, "matches", look(route.matches, paths))


def _look(matches: Matches, paths: Sequence[str]) -> Matches:
    whole = frozenset(path for path in paths if "{" not in path)
    ends = tuple(whole)
    starts = tuple({path.partition("{")[0] for path in paths if "{" in path})

    def look(scope: Scope) -> tuple[Match, Scope]:
        path: str = scope["path"]
        if path in whole or path.startswith(starts):
            return matches(scope)
        if scope.get("root_path") and (path.endswith(ends) or any(start in path for start in starts)):
            return matches(scope)  # below a mount the path begins elsewhere
        return NONE, {}

    return look


def _look_for_one(matches: Matches, paths: Sequence[str]) -> Matches:
    (only,) = paths

    def look(scope: Scope) -> tuple[Match, Scope]:
        return matches(scope) if scope["path"].endswith(only) else (NONE, {})

    return look
