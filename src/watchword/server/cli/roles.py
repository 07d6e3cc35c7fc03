"""`watchword roles …`: names under which scopes are given to many at once."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from watchword.server.cli.terminal import Json, with_kit
from watchword.server.cli.users import IN_A_PIPE, Whom

if TYPE_CHECKING:
    from watchword.core.roles import Role
    from watchword.flows.kit import Kit

roles: typer.Typer = typer.Typer(
    help="Roles: scopes under one name, for many users. WHOM is an email address, a username or a user id.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="see: watchword roles list")]


@roles.command("list")
def list_roles(as_json: Json = False) -> None:
    """All roles, in the order of their names.

    --json prints one list of objects: name, scopes (a list) and description.
    """
    found = with_kit(lambda kit: kit.roles.listed())
    if as_json:
        typer.echo(json.dumps([_described(role) for role in found], ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo("There are no roles yet. Make one with: watchword roles set NAME SCOPE…")
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("name", overflow="fold"), Column("scopes", overflow="fold"), "description")
    for role in found:
        table.add_row(role.name, " ".join(sorted(role.scopes)), role.description)
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = IN_A_PIPE
    console.print(table)


@roles.command()
def show(name: Name, as_json: Json = False) -> None:
    """One role, and everybody who has it.

    --json prints one object: name, scopes (a list), description, and members, a list of objects with id and email (null for
    an account that is gone).
    """
    from watchword.flows import roles as flow

    async def act(kit: "Kit") -> "tuple[Role, list[tuple[str, str | None]]]":
        role, members, after = await flow.find(kit, name), [], ""
        while page := await flow.members(kit, name, after):
            for user_id in page:
                found = await kit.users.get(user_id)
                members.append((user_id, found.user.email if found else None))
            after = page[-1]
        return role, members

    role, members = with_kit(act)
    if as_json:
        listed = [{"id": user_id, "email": email} for user_id, email in members]
        typer.echo(json.dumps(_described(role) | {"members": listed}, ensure_ascii=False, indent=2))
        return
    typer.echo(f"{role.name}: {role.description}" if role.description else role.name)
    typer.echo(f"scopes   {_words(role.scopes)}")
    typer.echo(f"members  {len(members)}")
    for user_id, email in members:
        typer.echo(f"  {email or 'an account that is gone'}  {user_id}")


@roles.command("set")
def set_role(
    name: Name,
    scopes: Annotated[list[str] | None, typer.Argument(help="exactly what it gives from now on")] = None,
    description: Annotated[str | None, typer.Option(help="what it is for; left out, it stays")] = None,
) -> None:
    """Make a role, or change what it gives. Everybody who has it follows; sessions live on."""
    from watchword.core.scopes import parse
    from watchword.flows import roles as flow

    given = parse(" ".join(scopes or []))
    role = with_kit(lambda kit: flow.put(kit, name, given, description))
    typer.echo(f"{role.name} gives: {_words(role.scopes)}")


@roles.command()
def remove(name: Name, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Take a role from everybody, and forget it."""
    from watchword.flows import roles as flow

    if not yes:
        typer.confirm(f"Take {name} from everybody who has it, and forget it?", abort=True)
    with_kit(lambda kit: flow.remove(kit, name))
    typer.echo(f"{name} is removed, and nobody has it any more.")


@roles.command()
def give(whom: Whom, role: Name) -> None:
    """Give a role to a user."""
    from watchword.flows import roles as flow

    _change(whom, lambda kit, user_id: flow.give(kit, user_id, role))


@roles.command()
def take(whom: Whom, role: Name) -> None:
    """Take a role from a user. Access tokens that carry what is lost end at once; the sessions live on."""
    from watchword.flows import roles as flow

    _change(whom, lambda kit, user_id: flow.take(kit, user_id, role))


def _change(whom: str, change: "Callable[[Kit, str], Awaitable[frozenset[str]]]") -> None:
    from watchword.flows import accounts

    async def act(kit: "Kit") -> str:
        user = await accounts.find(kit, whom)
        return f"{user.email} may now: {_words(await change(kit, user.id), 'nothing beyond signing in')}"

    typer.echo(with_kit(act))


def _words(scopes: frozenset[str], nothing: str = "nothing") -> str:
    from watchword.core.scopes import text

    return text(scopes) or nothing


def _described(role: "Role") -> dict[str, object]:
    return {"name": role.name, "scopes": sorted(role.scopes), "description": role.description}
