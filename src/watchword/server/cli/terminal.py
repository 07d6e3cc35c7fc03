"""What the commands share: the deployment that they act on, the person at the keyboard, and how answers look."""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from watchword.core.errors import AuthError, ConfigError, InvalidInput

if TYPE_CHECKING:
    from watchword.flows.kit import Kit
    from watchword.settings import Settings

R = TypeVar("R")

Json = Annotated[bool, typer.Option("--json", help="JSON, for other programs")]


def settings(database: str | None = None) -> "Settings":
    """The settings; a database that the command names is handed to every worker by the environment."""
    from watchword import settings as house

    if database is not None:
        house.hand_on("WATCHWORD_DATABASE_URL", database)
    return house.Settings()


def with_kit(work: Callable[["Kit"], Awaitable[R]]) -> R:
    """Run one act on the deployment that the settings name. Running workers hear of it by the feed."""
    from watchword.auth import Auth

    async def act() -> R:
        auth = Auth(settings())
        await auth.start()
        try:
            return await work(await auth.open())
        finally:
            await auth.stop()

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
    if isinstance(error, AuthError):
        return error.detail if error.because == error.detail else f"{error.detail} ({error.because})"
    return str(error)
