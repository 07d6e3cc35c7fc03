"""`watchword users …`: accounts, as their operator sees them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.core.errors import ConfigError
from watchword.server.cli.terminal import Json, password, with_kit

if TYPE_CHECKING:
    from watchword.core.models import Account
    from watchword.flows.kit import Kit

users: typer.Typer = typer.Typer(
    help="Accounts. WHOM is an email address, a username or a user id.", no_args_is_help=True
)

PAGE = 500
"""How many accounts are read, and shown in one table."""

IN_A_PIPE = 1000
"""How wide a table may be that no terminal shows: nothing is cut, so grep finds it."""

Whom = Annotated[str, typer.Argument(metavar="WHOM", help="email address, username or user id")]


@users.command()
def add(
    email: str,
    username: Annotated[str | None, typer.Option(help="a second name to sign in with")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="what the user may do; may be repeated")] = None,
) -> None:
    """Make an account. The password is asked for, or read from stdin."""
    from watchword.core import emails, scopes
    from watchword.flows import accounts

    granted = scopes.parse(" ".join(scope or []))
    emails.accept_email(email)
    if username is not None:
        emails.accept_username(username)
    new = password()
    made = with_kit(lambda kit: accounts.add(kit, email, new, username, granted))
    typer.echo(f"{made.email} is user {made.id}.")


@users.command("list")
def list_users(
    as_json: Json = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    after: Annotated[str, typer.Option(metavar="EMAIL", help="those behind this address alone")] = "",
) -> None:
    """All accounts, in the order of their addresses. They are read and printed page by page.

    --json prints one list of objects: id, email, username (or null), scopes (a list), disabled (true or false) and
    created_at (ISO 8601, in UTC).
    """
    if not after.isprintable():  # no database takes the rest
        raise ConfigError("--after is no address. Nobody stands behind it.")
    printed = with_kit(lambda kit: _print(_pages(kit, after, limit), _json_lines if as_json else _table))
    if as_json:
        typer.echo("]" if printed else "[]")
    elif not printed:
        behind = "There are no users behind this address." if after else "There are no users yet."
        typer.echo(f"{behind} Make one with: watchword users add EMAIL")


@users.command()
def grant(whom: Whom, scopes: list[str]) -> None:
    """Add scopes to a user."""
    _change_scopes(whom, scopes, taking=False)


@users.command()
def revoke(whom: Whom, scopes: list[str]) -> None:
    """Take scopes from a user. Access tokens that carry them end at once; the sessions live on.

    What a role of the user gives stays: see watchword roles.
    """
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
    from watchword.flows import accounts, roles

    changed = scopes.parse(" ".join(words))
    change = accounts.revoke if taking else accounts.grant

    async def act(kit: "Kit") -> str:
        user = await accounts.find(kit, whom)
        may = await change(kit, user.id, changed)
        said = f"{user.email} may now: {scopes.text(may) or 'nothing beyond signing in'}"
        holding = await roles.of_user(kit, user.id) if taking else None
        still = scopes.narrowed(changed, holding.of_roles) if holding else frozenset[str]()
        giving = [role.name for role in holding.roles if scopes.narrowed(changed, role.scopes)] if holding else []
        return f"{said}\nBy a role still: {scopes.text(still)} ({', '.join(giving)})" if still else said

    typer.echo(with_kit(act))


async def _pages(kit: "Kit", after: str, limit: int | None) -> "AsyncIterator[Sequence[Account]]":
    """Pages of at most PAGE accounts, `limit` in all."""
    from watchword.core import emails

    after = emails.fold(after)
    while page := await kit.users.page(after, PAGE if limit is None else min(PAGE, limit)):
        yield [one.user for one in page]
        after = page[-1].user.email
        if limit is not None:
            limit -= len(page)
            if limit == 0:
                return


async def _print(pages: "AsyncIterator[Sequence[Account]]", shown: "Callable[[Sequence[Account], int], None]") -> int:
    """Show each page as it comes; how many users there were."""
    printed = 0
    async for page in pages:
        shown(page, printed)
        printed += len(page)
    return printed


def _json_lines(page: "Sequence[Account]", before: int) -> None:
    """A user on each line, so that the whole list is one JSON array."""
    for number, user in enumerate(page, before):
        typer.echo(("," if number else "[\n") + json.dumps(_described(user), ensure_ascii=False))


def _table(page: "Sequence[Account]", _before: int) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    whole = {"email", "id"}  # what is copied into the next command
    names = ("email", "username", "scopes", "state", "created", "id")
    table = Table(*(Column(name, overflow="fold" if name in whole else "ellipsis") for name in names))
    for user in page:
        table.add_row(
            user.email,
            user.username or "",
            " ".join(sorted(user.scopes)),
            "disabled" if user.disabled else "active",
            f"{user.created_at:%Y-%m-%d %H:%M}",
            user.id,
        )
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = IN_A_PIPE
    console.print(table)


def _described(user: "Account") -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "scopes": sorted(user.scopes),
        "disabled": user.disabled,
        "created_at": user.created_at.isoformat(),
    }
