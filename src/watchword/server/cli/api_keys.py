"""`watchword api-keys …`: keys for programs, as their operator sees them."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from watchword.core.errors import ConfigError, NotFound
from watchword.server.cli.terminal import Json, with_kit

if TYPE_CHECKING:
    from watchword.features.api_keys import rules
    from watchword.features.api_keys.flow import ApiKeysAnnex, Shown
    from watchword.features.api_keys.rules import ApiKey
    from watchword.flows.kit import Kit

R = TypeVar("R")

IN_A_PIPE = 1000
"""How wide a table may be that no terminal shows: nothing is cut, so grep finds it."""

api_keys: typer.Typer = typer.Typer(
    help="API keys. OWNER is a user (email address, username or id) or the id of a service account.",
    no_args_is_help=True,
)

Owner = Annotated[str, typer.Argument(metavar="OWNER", help="a user, or the id of a service account")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="the id of an API key; see: watchword api-keys list")]


@api_keys.command()
def create(
    owner: Owner,
    name: Annotated[str, typer.Argument(metavar="NAME", help="what the key is for")],
    scope: Annotated[list[str] | None, typer.Option(help="some of what the owner may do; may be repeated")] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="days after which it ends; else it has no end")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="requests per minute on each worker; else as many as come")
    ] = None,
) -> None:
    """Make an API key. The key alone goes to stdout, this once; what is told of it goes to stderr."""
    from watchword.core import scopes
    from watchword.features.api_keys import flow
    from watchword.features.api_keys.rules import Wanted

    lives = None if days is None else timedelta(days=days)
    wanted = Wanted(name, scopes.parse(" ".join(scope or [])), lives, limit)

    async def act(kit: "Kit", keys: "ApiKeysAnnex") -> "Shown":
        return await keys.create(*await _owner(kit, keys, owner), wanted, flow.OPERATOR)

    _show(with_keys(act))


@api_keys.command("list")
def list_keys(owner: Owner, as_json: Json = False) -> None:
    """The live API keys of an owner, the newest first.

    --json prints one list of objects: id, name, shown (how the key begins), scopes (a list), limit_per_minute,
    created_at, expires_at, last_used_at, rotated_to (the id of its successor). Times are ISO 8601 in UTC; what is not
    there is null.
    """

    async def act(kit: "Kit", keys: "ApiKeysAnnex") -> "list[ApiKey]":
        return await keys.of_owner(*await _owner(kit, keys, owner))

    found = with_keys(act)
    if as_json:
        typer.echo(json.dumps([_described(one) for one in found], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo("There are no live API keys. Make one with: watchword api-keys create OWNER NAME")
        return
    columns = ("name", "key", "scopes", "ends", "last used", "id")
    rows = [
        (one.name, f"{one.shown}…", " ".join(sorted(one.scopes)), _day(one.expires_at), _day(one.last_used_at), one.id)
        for one in found
    ]
    table(columns, rows)


@api_keys.command()
def rotate(
    key: Key,
    overlap: Annotated[int, typer.Option(min=0, max=168, help="hours for which both keys are good")] = 24,
) -> None:
    """Make the successor of an API key, with its name and limit, and those of its scopes that the owner has. The old one ends
    after the overlap.

    The new key alone goes to stdout, this once.
    """
    from watchword.features.api_keys import flow

    async def act(_: "Kit", keys: "ApiKeysAnnex") -> "Shown":
        before = await keys.find(key)
        return await keys.rotate(before.owner, before.owner_id, key, timedelta(hours=overlap), flow.OPERATOR)

    _show(with_keys(act))


@api_keys.command()
def revoke(key: Key) -> None:
    """End an API key at once, on every worker."""
    from watchword.features.api_keys import flow

    async def act(_: "Kit", keys: "ApiKeysAnnex") -> "ApiKey":
        found = await keys.find(key)
        await keys.revoke(found.owner, found.owner_id, key, flow.OPERATOR)
        return found

    found = with_keys(act)
    typer.echo(f"{found.shown}… ({found.name}) is revoked.")


def with_keys(work: "Callable[[Kit, ApiKeysAnnex], Awaitable[R]]") -> R:
    """Run one act on the deployment's API keys. Raises ConfigError where the application has none."""
    from watchword.features.api_keys import flow

    async def act(kit: "Kit") -> R:
        try:
            keys = flow.annex_of(kit)
        except LookupError:
            raise ConfigError(
                "The Auth of WATCHWORD_APP has no API keys. Add the feature: Auth(features=[ApiKeys()])."
            ) from None
        return await work(kit, keys)

    return with_kit(act)


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table whose ids are never cut: they are copied into the next command."""
    from rich.console import Console
    from rich.table import Column, Table

    whole = {"id", "key"}
    shown = Table(*(Column(name, overflow="fold" if name in whole else "ellipsis") for name in columns))
    for row in rows:
        shown.add_row(*row)
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = IN_A_PIPE
    console.print(shown)


async def _owner(kit: "Kit", keys: "ApiKeysAnnex", named: str) -> "tuple[rules.Owner, str]":
    """The service account or the user that is meant, by what it is and its id. A service account's id is looked for first: a
    user whose id is the same, in a host's table, can be named by the email address. Raises NotFound."""
    from watchword.features.api_keys.rules import Owner
    from watchword.flows import accounts

    try:
        return Owner.SERVICE_ACCOUNT, (await keys.account(named)).id
    except NotFound:
        return Owner.USER, (await accounts.find(kit, named)).id


def _show(made: "Shown") -> None:
    ends = f", ends {_day(made.key.expires_at)} UTC" if made.key.expires_at else ""
    typer.echo(f"API key {made.key.id} ({made.key.name}){ends}. It is shown this once:", err=True)
    typer.echo(made.text)


def _day(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""


def _described(key: "ApiKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "shown": key.shown,
        "scopes": sorted(key.scopes),
        "limit_per_minute": key.limit,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
        "rotated_to": key.rotated_to,
    }
