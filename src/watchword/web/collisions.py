"""Two routes for one request: found at start, because the loser would be silent."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Mount, compile_path

from watchword.core.errors import ConfigError

ALL = "GET", "POST", "PUT", "PATCH", "DELETE"
"""What a mount takes away from ours: everything."""

SAMPLES = "x/y", "x", "1", "00000000-0000-0000-0000-000000000000"
"""One of them fits each parameter: a path, a text, a number, a UUID."""


@dataclass(frozen=True, slots=True)
class _Way:
    """A method and a path, and who answers."""

    method: str
    path: str
    endpoint: Any
    ours: bool

    def __str__(self) -> str:
        named = self.endpoint if hasattr(self.endpoint, "__qualname__") else type(self.endpoint)
        return f"{self.method} {self.path} ({named.__module__}.{named.__qualname__})"

    def answers(self, later: "_Way") -> bool:
        """Whether the requests for `later` come here instead (as `/{page}` takes `/me`)."""
        if self.ours == later.ours or self.method != later.method:
            return False
        return compile_path(self.path)[0].match(_sample(later.path)) is not None


def refuse(routes: Sequence[BaseRoute], ours: Collection[Any]) -> None:
    """Raise ConfigError when a route of the application answers where one of ours should, or the other way round.

    `ours` are our endpoints. A catch-all of the application behind ours is no collision: ours answer first.
    """
    seen: list[_Way] = []
    for context in iter_route_contexts(routes):
        for way in _ways(context, ours):
            for earlier in seen:
                if earlier.answers(way):
                    raise ConfigError(
                        f"Two routes collide: {earlier} answers before {way} can. Give Watchword's routes a prefix of "
                        'their own, auth.install(app, prefix="/auth"), or move yours: a catch-all stands behind the install.'
                    )
            seen.append(way)


def _ways(context: RouteContext, ours: Collection[Any]) -> Iterator[_Way]:
    route = context.original_route
    if isinstance(route, Mount):
        for method in ALL:
            yield _Way(method, (context.path or "") + "/{path:path}", route.app, False)
    elif context.path is not None and context.endpoint is not None:
        for method in sorted(context.methods or ()):
            yield _Way(method, context.path, context.endpoint, context.endpoint in ours)


def _sample(path: str) -> str:
    """A request for this path."""
    _, template, convertors = compile_path(path)
    values = {
        name: next((sample for sample in SAMPLES if re.fullmatch(convertor.regex, sample)), "x")
        for name, convertor in convertors.items()
    }
    return template.format(**values)
