"""Two routes for one request: found at start, because the loser would be silent."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from watchword.core.errors import ConfigError

PARAMETER = re.compile(r"\{[^}]+\}")


def refuse(routes: Sequence[BaseRoute], ours: Collection[Any]) -> None:
    """Raise ConfigError when a route of the application answers where one of ours should, or the other way round.

    `ours` are our endpoints. A catch-all of the application behind ours is no collision: ours answer first.
    """
    seen: list[tuple[str, str, Any, bool]] = []
    for context in iter_route_contexts(routes):
        path, endpoint = context.path_format or context.path, context.endpoint
        if path is None or endpoint is None:
            continue
        for method in sorted(context.methods or ()):
            here = (method, path, endpoint, endpoint in ours)
            for earlier in seen:
                if earlier[3] != here[3] and earlier[0] == method and _answers(earlier[1], path):
                    raise ConfigError(_text(earlier, here))
            seen.append(here)


def _answers(earlier: str, later: str) -> bool:
    """Whether every request for the path `later` is taken by the route `earlier` (as `/{page}` takes `/me`)."""
    pattern = PARAMETER.split(earlier)
    parameters = PARAMETER.findall(earlier)
    expression = re.escape(pattern[0])
    for parameter, literal in zip(parameters, pattern[1:], strict=True):
        expression += (".*" if parameter.endswith(":path}") else "[^/]+") + re.escape(literal)
    return re.fullmatch(expression, PARAMETER.sub("x", later)) is not None


def _text(earlier: tuple[str, str, Any, bool], later: tuple[str, str, Any, bool]) -> str:
    names = [
        f"{method} {path} ({endpoint.__module__}.{endpoint.__qualname__})"
        for method, path, endpoint, _ in (earlier, later)
    ]
    return (
        f"Two routes collide: {names[0]} answers before {names[1]} can. Give Watchword's routes a prefix of their own, "
        'auth.install(app, prefix="/auth"), or move yours.'
    )
