"""`watchword users …`: accounts, as their operator sees them."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.server.cli.terminal import Json, password, with_kit

if TYPE_CHECKING:
    from watchword.core.models import Account
    from watchword.flows.kit import Kit

users = typer.Typer(help="Accounts. WHOM is an email address, a username or a user id.", no_args_is_help=True)

Whom = Annotated[str, typer.Argument(metavar="WHOM", help="email address, username or user id")]


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
    new = password()
    made = with_kit(lambda kit: accounts.add(kit, email, new, username, granted))
    typer.echo(f"{made.email} is user {made.id}.")


@users.command("list")
def list_users(as_json: Json = False) -> None:
    """All accounts, in the order of their addresses."""
    found = with_kit(_all_users)
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

    new = password()
    user = _act(whom, lambda kit, user_id: accounts.set_password(kit, user_id, new))
    typer.echo(f"{user.email} has a new password, and is signed out everywhere.")


@users.command()
def delete(whom: Whom, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Remove an account with its sessions."""
    from watchword.flows import accounts

    if not yes:
        typer.confirm(f"Delete {whom} with all sessions?", abort=True)
    user = _act(whom, accounts.delete)
    typer.echo(f"{user.email} is deleted.")


def _act(whom: str, work: Callable[["Kit", str], Awaitable[Any]]) -> "Account":
    from watchword.flows import accounts

    async def act(kit: "Kit") -> "Account":
        user = await accounts.find(kit, whom)
        await work(kit, user.id)
        return user

    return with_kit(act)


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

    typer.echo(with_kit(act))


async def _all_users(kit: "Kit") -> "list[Account]":
    found: list[Account] = []
    while page := await kit.users.page(found[-1].email if found else "", 500):
        found += page
    return found


def _described(user: "Account") -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "scopes": sorted(user.scopes),
        "disabled": user.disabled,
        "created_at": user.created_at.isoformat(),
    }
