"""`watchword keys …`: the keys that sign access tokens, as their operator sees them."""

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from watchword.server.cli.terminal import Json, with_auth

if TYPE_CHECKING:
    from watchword.auth import Auth
    from watchword.core.keys import KeyRecord
    from watchword.flows.kit import Kit
    from watchword.flows.signing_keys import Listed, Listing

R = TypeVar("R")

MIN_WIDTHS = {"kid": 26, "state": 9}
"""What is typed again, or looked for, is never cut."""

LOST = (
    "This database belongs to a master key that is not given here. If it is lost for good, {keys} signing keys are given up: "
    "every session ends, and everybody has to sign in again. Users and passwords stay. It can't be undone, also when the "
    "lost key is found. Give them up?"
)

WIDE = 100
"""Characters of a terminal that has room for everything."""

keys: typer.Typer = typer.Typer(
    help="Signing keys. They rotate by themselves; these commands are for looking, and for emergencies.",
    no_args_is_help=True,
)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """All signing keys, oldest first, and which master key sealed each (1 is the first of WATCHWORD_MASTER_KEYS).

    States: published (signs later), signing, verifying (its last tokens still live), expired and retired (verify
    nothing; upkeep removes them), left_out (no master key opens it).

    --json prints one object. keys: a list of generation, kid, alg, state, created_at, signs_from, verifies_until (null
    while that is not decided), retired_at (or null), master_key (its position, or null). master_keys: for each that was
    given its position, signing_keys (how many it sealed), and database (whether the database is known by it). Times are
    ISO 8601 in UTC.
    """
    from watchword.flows import signing_keys

    listing = _with_keys(signing_keys.listed)
    if as_json:
        typer.echo(json.dumps(_described(listing), indent=2))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(markup=False)
    names = ("gen", "kid", "alg", "state", "signs from", "verifies until", "master key")
    table = Table(*(Column(name, min_width=MIN_WIDTHS.get(name)) for name in names), box=SIMPLE, padding=0)
    if console.width >= WIDE:
        table.add_column("created")
    for one in listing.keys:
        record = one.record
        until = f"{one.ends_at:%Y-%m-%d %H:%M}" if one.ends_at else ""
        master = "none" if one.master is None else str(one.master + 1)
        cells = (str(record.generation), record.kid, record.alg, one.state.value, f"{record.signs_from:%Y-%m-%d %H:%M}")
        created = (f"{record.created_at:%Y-%m-%d %H:%M}",) if console.width >= WIDE else ()
        table.add_row(*cells, until, master, *created)
    console.print(table)
    for line in _about_masters(listing):
        typer.echo(line)


@keys.command()
def rotate(
    now: Annotated[
        bool, typer.Option("--now", help="for emergencies: sign with it at once; other services may not know it yet")
    ] = False,
) -> None:
    """Publish the next signing key though none is due. It signs ten minutes later, when everybody has heard of it.

    Where one waits already, no other is made. With --now it signs at once: services that keep the published keys refuse its
    tokens until they look again, for up to five minutes. The key before goes on verifying; `keys retire` stops it.
    """
    from watchword.flows import signing_keys

    done = _with_keys(lambda kit: signing_keys.publish(kit, at_once=now))
    record = done.record
    signs = "signs now" if done.record == done.signing else f"signs from {_instant(record.signs_from)} on"
    typer.echo(f"{_named(record)} {'is published and' if done.made else 'was made already: it'} {signs}.")
    if not done.made:
        typer.echo("No other one was made.")
    elif now:
        typer.echo(f"Other services may refuse its tokens for up to {_max_age()}, until they load the keys anew.")
    if record.alg != done.signing.alg:
        typer.echo(f"It replaces a key of {done.signing.alg}, as WATCHWORD_SIGNING_ALG says here.")


@keys.command()
def retire(
    key: Annotated[str, typer.Argument(metavar="KEY", help="kid or generation; see: watchword keys list")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Stop a signing key at once, on every worker: for one that was stolen. It can't be undone.

    Every access token that it signed is refused; clients refresh, and nobody has to sign in again. Where no other key can
    sign, a new one is made before. A key that was retired already stays so, with exit code 0.
    """
    from watchword.core.keys import State
    from watchword.flows import signing_keys

    async def act(kit: "Kit") -> tuple["Listed", Any]:
        found = await signing_keys.find(kit, key)
        if not yes and found.state is not State.RETIRED:
            typer.confirm(_warning(found), abort=True)
        return found, await signing_keys.retire(kit, found.record.generation)

    found, done = _with_keys(act)
    if not done.done:
        at = found.record.retired_at
        why = f"was retired at {_instant(at)} already" if at else "had expired, or was retired at this very moment"
        typer.echo(f"{_named(found.record)} {why}: it verifies nothing. Nothing was changed.")
        return
    typer.echo(f"{_named(found.record)} is retired: what it signed is refused. {_named(done.signing)} signs now.")
    typer.echo(
        f"Other services hear of it when they load the keys anew, within {_max_age()}; until then they accept what it "
        "signed, and may refuse the tokens of a new key."
    )


@keys.command()
def reseal() -> None:
    """Seal every signing key with the first master key, so that an older one can leave the list.

    First give every worker WATCHWORD_MASTER_KEYS="NEW,OLD". Then run this, wait until the time that it names, and give
    every worker NEW alone.
    """
    from watchword.flows import signing_keys

    done = _with_keys(signing_keys.reseal)
    if done.keys is None:
        typer.echo("Every signing key is sealed with the first master key already. Nothing was changed.")
        return
    typer.echo(
        f"The database is known by the first master key now, and seals with it ({done.keys} signing keys were moved)."
    )
    typer.echo(
        f"Refresh tokens of before were made under the older master key: keep it behind the first until "
        f"{_instant(done.old_until)}. Who has refreshed between now and then stays signed in without it."
    )


@keys.command()
def abandon(yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """For a master key that is lost for good: give up every signing key, and begin anew with the first one given here.

    Every session ends, and everybody has to sign in again; users and passwords stay. It can't be undone. First look for the
    lost key (a worker that still runs has it in its environment), and stop every worker. Where a master key that is given
    opens the database, nothing is lost, and nothing is changed.
    """
    from watchword.flows import signing_keys

    async def act(kit: "Kit") -> Any:
        lost = await signing_keys.lost(kit)
        if lost is None:
            return None
        if not yes:
            typer.confirm(LOST.format(keys=lost.keys), abort=True)
        return await signing_keys.abandon(kit, lost)

    done = _with_keys(act, foreign=True)
    if done is None:
        typer.echo("A master key that is given here opens this database: nothing is lost. Nothing was changed.")
        typer.echo(
            "To stop a signing key: watchword keys retire. To move to another master key: watchword keys reseal."
        )
        return
    typer.echo(f"{done.keys} signing keys are given up, and {done.sessions} sessions have ended.")
    typer.echo(f"{_named(done.signing)} signs now. Users and their passwords are as they were.")
    typer.echo(
        f"Start the workers with this master key. Other services may refuse the new tokens for up to {_max_age()}, until they "
        "load the keys anew."
    )


def _with_keys(work: Callable[["Kit"], Awaitable[R]], *, foreign: bool = False) -> R:
    """Run one act, also where a key does not open: that is what the operator has to see. `foreign`: on a database of another
    master key too."""

    async def act(house: "Auth[Any]") -> R:
        async with house.unlocked(foreign=foreign) as kit:
            return await work(kit)

    return with_auth(act)


def _warning(found: "Listed") -> str:
    return (
        f"{_named(found.record)}, {found.record.alg}, is {found.state.value}. Retired, it is stopped for good: every access "
        "token that it signed is refused at once, and clients have to refresh. Retire it?"
    )


def _described(listing: "Listing") -> dict[str, Any]:
    return {
        "keys": [
            {
                "generation": one.record.generation,
                "kid": one.record.kid,
                "alg": one.record.alg,
                "state": one.state.value,
                "created_at": one.record.created_at.isoformat(),
                "signs_from": one.record.signs_from.isoformat(),
                "verifies_until": one.ends_at.isoformat() if one.ends_at else None,
                "retired_at": one.record.retired_at.isoformat() if one.record.retired_at else None,
                "master_key": None if one.master is None else one.master + 1,
            }
            for one in listing.keys
        ],
        "master_keys": [
            {
                "position": position + 1,
                "signing_keys": sum(one.master == position for one in listing.keys),
                "database": listing.master == position,
            }
            for position in range(listing.masters)
        ],
    }


def _about_masters(listing: "Listing") -> list[str]:
    """Which master keys are needed, where there are several."""
    if listing.masters == 1:
        return []
    if listing.master != 0:
        known = "one that is not given here" if listing.master is None else f"number {listing.master + 1}"
        return [f"The database is known by master key {known}. To move it to the first one: watchword keys reseal"]
    held = {one.master for one in listing.keys}
    idle = [str(position + 1) for position in range(1, listing.masters) if position not in held]
    return [f"No signing key needs master key {one} any more; sessions may, until `keys reseal` said." for one in idle]


def _named(record: "KeyRecord") -> str:
    return f"Key {record.kid} (generation {record.generation})"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _max_age() -> str:
    from watchword.core.policy import JWKS_MAX_AGE

    return f"{int(JWKS_MAX_AGE.total_seconds() // 60)} minutes"
