"""`watchword doctor`."""

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from watchword.core.errors import ConfigError
from watchword.server.cli.terminal import Json, auth

if TYPE_CHECKING:
    from watchword.server.doctor import Report


def doctor(
    url: Annotated[str | None, typer.Option(help="the running server to try; its issuer, unless said")] = None,
    no_try: Annotated[bool, typer.Option("--no-try", help="look at configuration and deployment only")] = False,
    as_json: Json = False,
) -> None:
    """Say what is weak in this configuration and deployment and how to mend it; exit 1 when something is.

    The running server is tried with a list of attacks, with two accounts of the doctor's own that are gone at the end.
    """
    from watchword.refusals import web_address

    if url is not None and web_address(url) is None:
        raise ConfigError("--url is not a web address. Write https://auth.example.com or http://127.0.0.1:8000.")
    try:
        report = asyncio.run(_examine(url, trying=not no_try))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("watchword: stopped; the doctor's accounts are removed.")
    if as_json:
        typer.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
    else:
        from rich.console import Console

        from watchword.server.doctor.show import show

        show(report, Console(markup=False, highlight=False))
    if report.weak:
        raise typer.Exit(1)


async def _examine(url: str | None, *, trying: bool) -> "Report":
    """Told to stop, it still cleans up."""
    from watchword.server.doctor import examine
    from watchword.settings import named_app

    task = asyncio.current_task()
    if task is not None and hasattr(signal, "SIGTERM") and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    own = auth() if named_app() else None
    try:
        return await examine(url, auth=own, trying=trying)
    finally:
        if own is not None:
            await own.dispose()
