"""The command line. What it needs is loaded by the command that needs it, so that `--help` is quick."""

import asyncio
import getpass
import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from watchword.core.errors import AuthError, ConfigError, InvalidInput

if TYPE_CHECKING:
    from watchword.core.models import User
    from watchword.flows.kit import Kit
    from watchword.settings import Settings

R = TypeVar("R")

app = typer.Typer(help="Watchword: authentication for FastAPI.", no_args_is_help=True, pretty_exceptions_enable=False)
users = typer.Typer(help="Accounts. WHOM is an email address, a username or a user id.", no_args_is_help=True)
app.add_typer(users, name="users")

Whom = Annotated[str, typer.Argument(metavar="WHOM", help="email address, username or user id")]
Json = Annotated[bool, typer.Option("--json", help="JSON, for other programs")]


def run() -> None:
    """The entry of the command: a refusal is one clear text on stderr and exit code 1, never a traceback."""
    try:
        app()
    except (ConfigError, AuthError) as error:
        sys.exit(f"watchword: {_text(error)}")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="processes")] = 1,
    database: Annotated[str | None, typer.Option(help="database URL; also WATCHWORD_DATABASE_URL")] = None,
) -> None:
    """Run the server."""
    import uvicorn

    from watchword import settings as settings_module

    settings_module.hand_on("WATCHWORD_ISSUER", f"http://localhost:{port}", default=True)
    settings = _settings(database)
    if settings.loopback and not _only_here(host):
        raise ConfigError(
            f"--host {host} would serve other machines, but the issuer {settings.issuer} is this machine alone. Set "
            "WATCHWORD_ISSUER to the public https address and WATCHWORD_MASTER_KEYS to a secret of your own."
        )
    asyncio.run(_welcome(settings))
    uvicorn.run(
        "watchword.server.app:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        access_log=False,
    )


@app.command()
def migrate(
    database: Annotated[str | None, typer.Option(help="database URL; also WATCHWORD_DATABASE_URL")] = None,
) -> None:
    """Bring the database to the schema of this version. Safe to run again, and by several machines at once."""
    from watchword.home import Home
    from watchword.stores.sql import migrate as schema

    home = Home(_settings(database))

    async def upgrade() -> tuple[str | None, str]:
        home.db.settle(here=True)
        try:
            return await schema.version(home.db), await schema.upgrade(home.db)
        finally:
            await home.db.close()

    before, after = asyncio.run(upgrade())
    done = "is at" if before == after else f"was brought from {before or 'nothing'} to"
    typer.echo(f"{home.db.public_url} {done} schema {after}.")


@users.command()
def add(
    email: str,
    username: Annotated[str | None, typer.Option(help="a second name to sign in with")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="what the user may do; may be repeated")] = None,
) -> None:
    """Make an account. The password is asked for, or read from stdin."""
    from watchword.core import scopes
    from watchword.flows import accounts

    granted = scopes.parse(" ".join(scope or []))
    password = _password()
    made = _with_kit(lambda kit: accounts.add(kit, email, password, username, granted))
    typer.echo(f"{made.email} is user {made.id}.")


@users.command("list")
def list_users(as_json: Json = False) -> None:
    """All accounts, in the order of their addresses."""
    found = _with_kit(_all_users)
    if as_json:
        typer.echo(json.dumps([_described(user) for user in found], ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("email", "username", "scopes", "state", "created", "id")
    for user in found:
        shown = _described(user)
        table.add_row(
            user.email,
            user.username or "",
            " ".join(shown["scopes"]),
            "disabled" if user.disabled else "active",
            f"{user.created_at:%Y-%m-%d %H:%M}",
            user.id,
        )
    Console(markup=False).print(table if found else "There are no users yet. Make one with: watchword users add EMAIL")


@users.command()
def grant(whom: Whom, scopes: list[str]) -> None:
    """Add scopes to a user."""
    _change_scopes(whom, scopes, taking=False)


@users.command()
def revoke(whom: Whom, scopes: list[str]) -> None:
    """Take scopes from a user. Access tokens that carry them end at once; the sessions live on."""
    _change_scopes(whom, scopes, taking=True)


@users.command()
def disable(whom: Whom) -> None:
    """Lock an account and end all its sessions."""
    from watchword.flows import accounts

    user = _act(whom, accounts.disable)
    typer.echo(f"{user.email} is disabled, and signed out everywhere.")


@users.command()
def enable(whom: Whom) -> None:
    """Unlock an account."""
    from watchword.flows import accounts

    user = _act(whom, accounts.enable)
    typer.echo(f"{user.email} is enabled.")


@users.command("set-password")
def set_password(whom: Whom) -> None:
    """Give an account another password, and end all its sessions. The password is asked for, or read from stdin."""
    from watchword.flows import accounts

    password = _password()
    user = _act(whom, lambda kit, user_id: accounts.set_password(kit, user_id, password))
    typer.echo(f"{user.email} has a new password, and is signed out everywhere.")


@users.command()
def delete(whom: Whom, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Remove an account with its sessions."""
    from watchword.flows import accounts

    if not yes:
        typer.confirm(f"Delete {whom} with all sessions?", abort=True)
    user = _act(whom, accounts.delete)
    typer.echo(f"{user.email} is deleted.")


def _settings(database: str | None = None) -> "Settings":
    """The settings; a database that the command names is handed to every worker by the environment."""
    from watchword import settings

    if database is not None:
        settings.hand_on("WATCHWORD_DATABASE_URL", database)
    return settings.Settings()


def _with_kit(work: Callable[["Kit"], Awaitable[R]]) -> R:
    """Run one act on the deployment that the settings name. Running workers hear of it by the feed."""
    from watchword.auth import Auth

    async def act() -> R:
        auth = Auth(_settings())
        await auth.start()
        try:
            return await work(await auth.open())
        finally:
            await auth.stop()

    return asyncio.run(act())


def _act(whom: str, work: Callable[["Kit", str], Awaitable[Any]]) -> "User":
    from watchword.flows import accounts

    async def act(kit: "Kit") -> "User":
        user = await accounts.find(kit, whom)
        await work(kit, user.id)
        return user

    return _with_kit(act)


def _change_scopes(whom: str, words: list[str], *, taking: bool) -> None:
    from watchword.core import scopes
    from watchword.flows import accounts

    changed = scopes.parse(" ".join(words))
    change = accounts.revoke if taking else accounts.grant

    async def act(kit: "Kit") -> str:
        user = await accounts.find(kit, whom)
        return (
            f"{user.email} may now: {scopes.text(await change(kit, user.id, changed)) or 'nothing beyond signing in'}"
        )

    typer.echo(_with_kit(act))


async def _all_users(kit: "Kit") -> "list[User]":
    found: list[User] = []
    while page := await kit.users.page(found[-1].email if found else "", 500):
        found += page
    return found


def _described(user: "User") -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "scopes": sorted(user.scopes),
        "disabled": user.disabled,
        "created_at": user.created_at.isoformat(),
    }


def _password() -> str:
    """A new password: asked for twice at a terminal, one line from stdin otherwise. Never an argument: others see those."""
    if not sys.stdin.isatty():
        try:
            password = sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError("the password on stdin is not UTF-8. Nothing was changed.") from None
        if not password:
            raise ConfigError("no password came on stdin. Write: printf '%s' \"$PASSWORD\" | watchword users …")
        return password
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise ConfigError("the two passwords differ. Nothing was changed.")
    return password


def _command() -> str:
    """How this command is called from here."""
    return "watchword" if shutil.which("watchword") else f"{sys.executable} -m watchword"


def _only_here(host: str) -> bool:
    from watchword.web.client import TEST_HOSTS, is_local

    return host not in TEST_HOSTS and is_local(f"[{host}]" if ":" in host else host)


async def _welcome(settings: "Settings") -> None:
    """Start once, so that every fault is told here and not by each worker; say where things are, and what comes next."""
    from watchword.auth import Auth

    auth = Auth(settings)
    await auth.start()
    try:
        lines = [f"Watchword at {settings.issuer}", *auth.describe()]
        if not await (await auth.open()).users.page("", 1):
            lines += [f"Make your first user:  {_command()} users add you@example.com --scope admin"]
        lines += [f"Then look at           {settings.issuer}/docs"]
    finally:
        await auth.stop()
    typer.echo("\n  ".join(lines))


def _text(error: Exception) -> str:
    if isinstance(error, InvalidInput) and error.fields:
        return " ".join(f"{name}: {text}" for name, text in error.fields.items())
    if isinstance(error, AuthError):
        return error.detail if error.because == error.detail else f"{error.detail} ({error.because})"
    return str(error)
