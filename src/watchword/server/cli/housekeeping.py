"""`watchword upkeep`: one round of housekeeping, for cron."""

import json
from dataclasses import asdict

import typer

from watchword.server.cli.terminal import Json, with_kit


def upkeep(as_json: Json = False) -> None:
    """One round of housekeeping now: forget what is dead, rotate the signing key if that is due.

    A running server does this by itself every hour; run it from cron where none runs for long. Any number may run at once.

    --json prints one object: sessions, revocations, keys, attempts, mails, accounts, features and events (how many were
    removed), roles (how many accounts were brought to their roles, where somebody had not come to the end of that), rotated
    (whether this round published a signing key), left (whether more is left than it had time for).
    """
    from watchword.flows import upkeep as housekeeping

    done = with_kit(housekeeping.run)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    removed = (
        f"{done.sessions} ended sessions",
        f"{done.revocations} revocations that no token can meet any more",
        f"{done.keys} signing keys that verify nothing",
        f"{done.events} events older than WATCHWORD_AUDIT_DAYS",
    )
    typer.echo(f"Removed: {', '.join(removed)}.")
    typer.echo("Published the next signing key." if done.rotated else "No signing key was due.")
