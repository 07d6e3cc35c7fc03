"""`watchword audit …`: what has happened, and whether somebody has changed what is written of it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.core.errors import ConfigError
from watchword.server.cli.terminal import Json, with_kit

if TYPE_CHECKING:
    from watchword.core.audit import Link, Row
    from watchword.flows.audit_verification import Verified
    from watchword.flows.kit import Kit

audit: typer.Typer = typer.Typer(
    help="The audit log: every event, chained and signed, so that a changed past is found.", no_args_is_help=True
)

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


@audit.command()
def verify(
    as_json: Json = False,
    since: Annotated[
        int | None, typer.Option("--from", min=0, max=2**63 - 1, help="only what stands behind this position")
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="POSITION:HASH", help="a head that was printed before, and noted elsewhere")
    ] = None,
) -> None:
    """Read the whole log and say whether anything was changed, removed or re-ordered. Exit code 1 if so.

    What is printed as head proves, noted elsewhere and given later as --head, that nobody has put an older log in the place of
    this one.

    --json prints one object: whole (true or false), rows, first and last (positions), unsealed (rows that are not chained
    yet), erased (rows without their personal fields), checkpoints, unknown (checkpoints whose keys are forgotten), head
    (position and hash, or null), signed_at (ISO 8601, or null), count (of faults), and faults: a list of position, kind
    (changed, removed, re-ordered, added, erased, bad checkpoint, unproved) and text, the first hundred.
    """
    from watchword.flows import audit_verification

    noted = None if head is None else _link(head)
    with _progress() as told:
        found = with_kit(lambda kit: audit_verification.verify(kit, since=since, noted=noted, told=told))
    if as_json:
        typer.echo(json.dumps(_described(found), indent=2))
    else:
        _tell(found)
    if found.count:
        raise typer.Exit(1)


@audit.command()
def export(
    since: Annotated[datetime | None, typer.Option(formats=FORMATS, help="from this time on, in UTC")] = None,
    until: Annotated[datetime | None, typer.Option(formats=FORMATS, help="before this time, in UTC")] = None,
) -> None:
    """Print what is sealed as JSON, an event on each line, in the order of the chain.

    Fields of a line: position, at, kind, user_id (or null), facts, personal (null where there is nothing, or it was
    erased), and what a program of your own needs to verify the chain: number, salt, personal_hash, hash (hex, or null).
    """

    async def act(kit: "Kit") -> None:
        from watchword.flows import audit as log

        async for one in log.export(kit, _utc(since), _utc(until)):
            typer.echo(json.dumps(_line(one)))

    with_kit(act)


@audit.command()
def tail(
    count: Annotated[int, typer.Option("-n", min=0, help="so many")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what comes")] = False,
) -> None:
    """Print the last events, as they were sealed; with --follow also those that come, until it is stopped."""

    async def act(kit: "Kit") -> None:
        from watchword.flows import audit as log

        async for one in log.tail(kit, count, follow=follow):
            typer.echo(_text(one))

    with_kit(act)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("rows", total=None)
        yield lambda rows, of: progress.update(bar, completed=rows, total=of)


def _link(text: str) -> "Link":
    from watchword.core.audit import Link

    noted = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text)
    if noted is None:
        raise ConfigError("--head is what `watchword audit verify` prints: POSITION:HASH.")
    return Link(int(noted[1]), bytes.fromhex(noted[2]))


def _tell(found: "Verified") -> None:
    if not found.rows:
        typer.echo("No row is sealed yet.")
    else:
        typer.echo(f"{found.rows} rows, from position {found.first} to {found.last}.")
    if found.unsealed:
        typer.echo(f"{found.unsealed} rows are not sealed yet.")
    if found.erased:
        typer.echo(f"{found.erased} rows have erased personal fields.")
    if found.checkpoints:
        typer.echo(
            f"{found.checkpoints} checkpoints; the keys of {found.unknown} are forgotten, the newest covers them."
        )
    for fault in found.faults:
        typer.echo(f"position {fault.position}: {fault.kind}: {fault.text}")
    if found.count > len(found.faults):
        typer.echo(f"and {found.count - len(found.faults)} more")
    if found.head is not None:
        typer.echo(f"head {found.head.position}:{found.head.hash.hex()}")
    typer.echo(f"The audit log is NOT whole: {found.count} faults." if found.count else "The audit log is whole.")


def _described(found: "Verified") -> dict[str, Any]:
    head = found.head
    return {
        "whole": not found.count,
        "rows": found.rows,
        "first": found.first,
        "last": found.last,
        "unsealed": found.unsealed,
        "erased": found.erased,
        "checkpoints": found.checkpoints,
        "unknown": found.unknown,
        "head": None if head is None else {"position": head.position, "hash": head.hash.hex()},
        "signed_at": found.signed_at.isoformat() if found.signed_at else None,
        "count": found.count,
        "faults": [fault._asdict() for fault in found.faults],
    }


def _line(one: "Row") -> dict[str, Any]:
    return {
        "position": one.position,
        "at": one.at.isoformat(timespec="microseconds"),
        "kind": one.kind,
        "user_id": one.user_id,
        "facts": json.loads(one.facts),
        "personal": json.loads(one.personal) if one.personal else None,
        "number": one.number,
        "salt": one.salt.hex() if one.salt else None,
        "personal_hash": one.personal_hash.hex() if one.personal_hash else None,
        "hash": one.hash.hex(),
    }


def _text(one: "Row") -> str:
    facts = json.loads(one.facts) | (json.loads(one.personal) if one.personal else {})
    said = " ".join(f"{name}={json.dumps(value)}" for name, value in facts.items())
    return f"{one.at:%Y-%m-%d %H:%M:%S} {one.position} {one.kind} {one.user_id or '-'} {said}".rstrip()


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)
