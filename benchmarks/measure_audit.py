"""Logins with the audit log and without it, by turns; and the verification of a long log."""

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report
from sqlalchemy import insert
from tests import databases, servers
from tests.house import PASSWORD

from watchword import Auth, Settings
from watchword.core import audit
from watchword.core.audit import Link, Row
from watchword.core.clock import system_entropy
from watchword.core.events import Event, LoggedIn
from watchword.core.models import NOWHERE, Client
from watchword.flows import accounts, audit_verification, password, session
from watchword.flows.kit import Kit
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import audit as table
from watchword.stores.sql.tables import audit_checkpoints

MASTER_KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
CLIENTS = 4
BOUND = 1.05
HERE = Client("a browser that says a lot about itself, as browsers do", "203.0.113.7")
PART = 5000
LIVE = 80
"""Logins of one person: fewer than the sessions that one can have at once. The next login ends one, which is an event more."""


class Nobody:
    """Records nothing."""

    def note(self, event: Event, client: Client = NOWHERE) -> None:
        """As it would be without an audit log."""

    async def drain(self) -> None:
        """There is nothing."""


async def logins(kit: Kit, names: Iterator[str], count: int) -> float:
    """Seconds for a login, of `count` by clients that log in one after another; what is written beside them counts too."""

    async def client() -> None:
        for _ in range(count // CLIENTS):
            proof = await password.prove(kit, next(names), PASSWORD, HERE)
            await session.open(kit, proof, None, HERE)

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    await kit.recorder.drain()
    return (time.perf_counter() - begun) / count


async def measure_logins(url: str, folder: Path, rounds: int, count: int) -> list[tuple[float, float]]:
    """For each round the seconds of a login without the log and with it."""
    auth = Auth(Settings(database_url=url, data_dir=folder, master_keys=MASTER_KEY))
    await auth.start()
    try:
        kit = await auth.open()
        bare = dataclasses.replace(kit, recorder=Nobody())  # type: ignore[arg-type]
        people = [f"user{number}@example.com" for number in range(1 + (rounds + 2) * count * 2 // LIVE)]
        for email in people:
            await accounts.add(kit, email, PASSWORD, None, frozenset())
        names = itertools.cycle(people)
        for one in (bare, kit):
            await logins(one, names, count)
        found = []
        for number in range(rounds):
            pair = {}
            for one in (bare, kit) if number % 2 else (kit, bare):
                pair[one is kit] = await logins(one, names, count)
            found.append((pair[False], pair[True]))
            print(f"\r{number + 1}/{rounds} rounds", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return found
    finally:
        await auth.stop()


def made(first: int, count: int) -> Iterator[Row]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(first, first + count):
        event = LoggedIn(f"user-{number % 10_000}", f"session-{number}")
        yield audit.row(event, HERE, at, system_entropy)._replace(number=number)


async def fill(kit: Kit, db: Database, count: int) -> None:
    """So many rows more, sealed."""
    extent = await kit.audit.extent()
    last = Link(extent.last, extent.newest.hash if extent.newest else audit.BEGINNING.hash)
    begins = audit.BEGINNING
    for first in range(extent.last + 1, count + 1, PART):
        rows = []
        for one in made(first, min(PART, count + 1 - first)):
            last = Link(last.position + 1, audit.chained(last.hash, one))
            rows.append(one._replace(position=last.position, hash=last.hash)._asdict())
        now = kit.clock.now()
        signed = audit.sign(kit.keyring.ring.signer(now), audit.Claims(last, begins, audit.BEGUN, now))
        async with db.write() as connection:
            await connection.execute(insert(table), rows)
            await connection.execute(insert(audit_checkpoints), [signed._asdict()])
        print(f"\r{last.position:,} rows", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


async def measure_verification(url: str, folder: Path, count: int) -> dict[str, Any]:
    """Seconds for a log of `count` rows."""
    auth = Auth(Settings(database_url=url, data_dir=folder, master_keys=MASTER_KEY))
    await auth.start()
    try:
        kit = await auth.open()
        await kit.recorder.drain()
        assert auth._home is not None
        await fill(kit, auth._home.db, count)
        begun = time.perf_counter()
        found = await audit_verification.verify(kit)
        seconds = time.perf_counter() - begun
        assert (found.count, found.rows) == (0, count), found
        return {"rows": count, "seconds": seconds}
    finally:
        await auth.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--logins", type=int, default=40, help="of each kind in each round")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = report.arguments(parser)
    with tempfile.TemporaryDirectory(prefix="watchword-") as name, contextlib.ExitStack() as open_:
        folder = Path(name)
        os.chmod(folder, 0o755)  # PostgreSQL may have to run as somebody else
        server = servers.postgres(folder)
        open_.callback(servers.stop, folder)
        server.wait_for_the_disk()
        taken, verified = {}, {}
        for way in ("SQLite", "PostgreSQL"):
            (there := folder / way).mkdir()
            if way == "SQLite":
                url = databases.copy(databases.sqlite_template(there), there)
            else:
                url = server.create_database()
                asyncio.run(databases.migrated(url))
            taken[way] = asyncio.run(measure_logins(url, there, arguments.rounds, arguments.logins))
        for way in ("SQLite", "PostgreSQL"):
            (there := folder / f"long {way}").mkdir()
            if way == "SQLite":
                url = databases.copy(databases.sqlite_template(there), there)
            else:
                url = server.create_database()
                asyncio.run(databases.migrated(url))
            verified[way] = asyncio.run(measure_verification(url, there, arguments.rows))
    tell(taken, verified, arguments)


def tell(
    taken: Mapping[str, Sequence[tuple[float, float]]],
    verified: dict[str, dict[str, Any]],
    arguments: argparse.Namespace,
) -> None:
    rows, bars = [], []
    for way, pairs in taken.items():
        bare, noted = (statistics.median(one) * 1000 for one in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for other, one in pairs)
        rows.append(report.Row(f"{way}: a login without the audit log", bare, "ms", ratio=1.0))
        rows.append(report.Row(f"{way}: a login with it", noted, "ms", ratio=ratio))
        rows.append(report.Row(f"{way}: with the audit log times without", ratio, bound=BOUND))
        bars.append(report.Bar(way, ratio, mark=BOUND, ours=True))
    for way, found in verified.items():
        rows.append(report.Row(f"{way}: {found['rows']:,} rows verified", found["seconds"], "s"))
    report.Report(
        "audit",
        "A login with the audit log, times one without",
        "What a login takes with every event written, chained and signed beside it, as a multiple of what it takes without.",
        rows,
        bars,
        "×",
        raw={"logins": taken, "verified": verified},
    ).finish(arguments)


if __name__ == "__main__":
    main()
