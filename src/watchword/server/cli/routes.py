"""`watchword routes`: every route of an application, and what it asks for."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.core.errors import ConfigError
from watchword.server.cli.terminal import Json, imported

if TYPE_CHECKING:
    from watchword.auth import Auth

NOBODY = "nobody is asked"


def routes(
    app: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="your application, as uvicorn is told: main:app")],
    as_json: Json = False,
) -> None:
    """Every route of an application, in the order in which they are asked, and what each asks for.

    "token" is a good access token, with what else is needed behind it; "public" is what auth.public marks, and Watchword's
    own routes. Where nothing is said, nobody is asked. The application is imported and not started.

    --json prints one list of objects: methods (a list; WS for a WebSocket, * for all below a mount), path, endpoint, asks
    (null where nobody is asked) and ours (true for Watchword's own).
    """
    surveyed = _auth(imported(app, "watchword routes", "main:app"), app).routes()
    if as_json:
        listed = [
            {"methods": one.methods, "path": one.path, "endpoint": one.name, "asks": one.asks, "ours": one.ours}
            for one in surveyed
        ]
        typer.echo(json.dumps(listed))
        return
    rows = [(" ".join(one.methods), one.path, one.asks or NOBODY, one.name) for one in surveyed]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for *cells, last in rows:
        typer.echo("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last]))
    if open_ := sum(one.asks is None for one in surveyed):
        typer.echo(
            f"\n{open_} of {len(rows)} routes ask nobody. auth.install(app, protect=True) makes every route ask for a token "
            "that is not marked with auth.public.",
            err=True,
        )


def _auth(found: Any, name: str) -> "Auth[Any]":
    """The Auth of what was imported: it may be that itself, or the application that it was installed in."""
    from watchword.auth import Auth

    auth = found if isinstance(found, Auth) else getattr(getattr(found, "state", None), "watchword", None)
    if not isinstance(auth, Auth):
        raise ConfigError(f"{name} is no application that auth.install(app) was called with.")
    return auth
