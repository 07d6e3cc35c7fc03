"""`watchword service-accounts …`: owners of API keys that are nobody, as their operator sees them."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from watchword.server.cli.api_keys import table, with_keys
from watchword.server.cli.terminal import Json

if TYPE_CHECKING:
    from watchword.features.api_keys.flow import ApiKeysAnnex
    from watchword.features.api_keys.rules import ServiceAccount
    from watchword.flows.kit import Kit

service_accounts: typer.Typer = typer.Typer(
    help="Service accounts: owners of API keys that are nobody's, for jobs and machines.", no_args_is_help=True
)


@service_accounts.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what it is, for people")],
    scope: Annotated[list[str] | None, typer.Option(help="what its keys may do; may be repeated")] = None,
) -> None:
    """Make a service account. Then make its key: watchword api-keys create ID NAME"""
    from watchword.core import scopes
    from watchword.features.api_keys import flow

    granted = scopes.parse(" ".join(scope or []))
    made = with_keys(lambda _, keys: keys.add_account(name, granted, flow.OPERATOR))
    typer.echo(f"{made.name} is service account {made.id}.")


@service_accounts.command("list")
def list_accounts(as_json: Json = False) -> None:
    """All service accounts that are not disabled, by their names.

    --json prints one list of objects: id, name, scopes (a list) and created_at (ISO 8601, in UTC).
    """
    found = with_keys(lambda _, keys: keys.accounts())
    if as_json:
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "scopes": sorted(one.scopes),
                "created_at": one.created_at.isoformat(),
            }
            for one in found
        ]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not found:
        typer.echo("There are no service accounts. Make one with: watchword service-accounts add NAME")
    else:
        table(
            ("name", "scopes", "created", "id"),
            [(one.name, " ".join(sorted(one.scopes)), f"{one.created_at:%Y-%m-%d %H:%M}", one.id) for one in found],
        )


@service_accounts.command()
def disable(
    account: Annotated[str, typer.Argument(metavar="ID", help="see: watchword service-accounts list")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Disable a service account for good, and end its API keys at once, on every worker."""
    from watchword.features.api_keys import flow

    async def act(_: "Kit", keys: "ApiKeysAnnex") -> "ServiceAccount":
        found = await keys.account(account)
        if not yes:
            typer.confirm(f"Disable {found.name} for good, with all its API keys?", abort=True)
        await keys.disable_account(account, flow.OPERATOR)
        return found

    found = with_keys(act)
    typer.echo(f"{found.name} is disabled, and its API keys have ended.")
