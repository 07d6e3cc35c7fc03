"""What the commands share: the deployment that they act on, the person at the keyboard, and how answers look."""

import asyncio
import getpass
import importlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from watchword.core.errors import AuthError, ConfigError, InvalidInput, NotFound, Unavailable
from watchword.server.cli import cures

if TYPE_CHECKING:
    from watchword.auth import Auth
    from watchword.flows.kit import Kit
    from watchword.settings import Settings

R = TypeVar("R")

NOT_HERE = "If yours is elsewhere, run commands in your application's folder, or set WATCHWORD_DATA_DIR."

Json = Annotated[bool, typer.Option("--json", help="JSON, for other programs")]


def settings(database: str | None = None) -> "Settings":
    """The settings; a database that the command names is handed to every worker by the environment."""
    from watchword import settings as house

    if database is not None:
        house.hand_on("WATCHWORD_DATABASE_URL", database)
    return house.Settings()


def auth() -> "Auth[Any]":
    """The Auth that the commands act on: the application's own where WATCHWORD_APP (or --app) names it, else of the settings.

    Raises ConfigError when there is none at that name.
    """
    from watchword import settings as house
    from watchword.auth import Auth
    from watchword.server import annexes

    named = house.named_app()
    if named is None:
        return Auth(settings(), features=annexes.standard())
    found = imported(named, "WATCHWORD_APP", "main:auth")
    if not isinstance(found, Auth):
        raise ConfigError(f"WATCHWORD_APP: {named} is no Auth. Name your application's Auth as module:name, main:auth.")
    return found


def imported(named: str, by: str, example: str) -> Any:
    """What stands at `module:name` in the application's folder; `by` named it. Raises ConfigError when nothing does."""
    cure = f"Name it as module:name, {example}"
    module, _, path = named.partition(":")
    if module.startswith("."):
        raise ConfigError(f"{by}: {named} is relative. {cure}.")
    if not module or not path:
        raise ConfigError(f"{by}: {named} names nothing. {cure}.")
    sys.path.insert(0, str(Path.cwd()))  # as `uvicorn main:app` finds it
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{by}: {named} is not there ({error}). {cure}, and run the command in the application's folder."
        ) from None
    return found


def with_kit(work: Callable[["Kit"], Awaitable[R]]) -> R:
    """Run one act on the deployment. Running workers hear of it by the feed."""

    async def act(house: "Auth[Any]") -> R:
        new = _is_new(house.whereabouts())
        await house.start()
        if new:
            typer.echo(
                f"watchword: a new database was made in {house.settings.data_dir.absolute()}. {NOT_HERE}", err=True
            )
        try:
            return await work(await house.open())
        finally:
            await house.stop()

    return with_auth(act)


def _is_new(where: "Settings") -> bool:
    """Whether a start would make the database, which an operator in the wrong folder does not mean."""
    from watchword.home import DATABASE_FILE

    return where.database_url is None and not (where.data_dir / DATABASE_FILE).exists()


def with_auth(work: Callable[["Auth[Any]"], Awaitable[R]]) -> R:
    """Run one act on the Auth, started or not as the act likes; nothing of the application's engine stays open behind it."""

    async def act() -> R:
        house = auth()
        try:
            return await work(house)
        finally:
            await house.dispose()

    return asyncio.run(act())


def password() -> str:
    """A new password: asked for twice at a terminal, one line from stdin otherwise. Never an argument: others see those."""
    if not sys.stdin.isatty():
        try:
            given = sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError("the password on stdin is not UTF-8. Nothing was changed.") from None
        if not given:
            raise ConfigError("no password came on stdin. Write: printf '%s' \"$PASSWORD\" | watchword users …")
        return given
    given = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != given:
        raise ConfigError("the two passwords differ. Nothing was changed.")
    return given


def text(error: Exception) -> str:
    """What a refusal says to the person at the keyboard."""
    if isinstance(error, InvalidInput) and error.fields:
        return " ".join(f"{name}: {text}" for name, text in error.fields.items())
    if isinstance(error, Unavailable) and (told := cures.database(error)):
        return told
    if isinstance(error, NotFound):
        return error.detail
    if isinstance(error, AuthError):
        return error.detail if error.because == error.detail else f"{error.detail} ({error.because})"
    return str(error)
