"""Databases with many accounts, seeded in bulk and kept below `benchmarks/results/growth` for the next run.

Everything in them follows from a number: the id of user 7, and what its second session is called, need not be read first.
"""

import asyncio
import hashlib
import itertools
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from benchmarks.report import RESULTS
from tests import databases
from tests.house import CHEAP, PASSWORD
from tests.servers import PostgresServer

from watchword.core import lookalikes, opaque, passwords
from watchword.core.policy import Policy
from watchword.stores.sql.tables import feed, hits, sessions, users

FOLDER = RESULTS / "growth"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""When the rows are from. The benchmark's clock starts there, so a database that was kept does not grow old."""

SESSIONS = 5
REVOKED = 1000
"""Live revocations, whatever the number of users: they live for ten minutes, so there are as many as there were logouts."""

CHUNK = 50_000
POLICY = Policy()
HASH = passwords.hash_password(PASSWORD, CHEAP)
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36"

MOMENTS = 20_000
"""How many different instants there are: to write each down once is quicker."""

Rows = Iterator[tuple[Any, ...]]
Write = Callable[[datetime], Any]
"""Makes of an instant what a driver takes."""


@dataclass(frozen=True)
class Plan:
    """What a database holds: living users and sessions, and of sessions, revocations and hits so many `dead` each."""

    users: int
    dead: int = 0

    @property
    def name(self) -> str:
        return f"users{self.users}dead{self.dead}"

    @property
    def rows(self) -> int:
        return self.users * (2 + SESSIONS) + REVOKED + 3 * self.dead


def digest(word: str, number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=64, person=word.encode()).digest()


def user_id(number: int) -> str:
    return opaque.identifier(digest("user", number)[:16])


def email(number: int) -> str:
    return _email(digest("user", number), number)


def username(number: int) -> str:
    return _username(digest("user", number), number)


def session_id(number: int) -> str:
    """Session `number` is one of user `number // SESSIONS`."""
    return opaque.identifier(digest("session", number)[:16])


def secret(number: int) -> bytes:
    """The random bits of the session's refresh tokens."""
    return digest("session", number)[16:48]


def _email(chance: bytes, number: int) -> str:
    return f"{chance[16:20].hex()}.{number}@mail{number % 50}.example.com"


def _username(chance: bytes, number: int) -> str:
    return f"{chance[24:28].hex()}_{number}"


def of_users(plan: Plan, write: Write) -> Rows:
    created = write(NOW - timedelta(days=60))
    for number in range(plan.users):
        chance = digest("user", number)
        name = opaque.identifier(chance[:16])
        username = _username(chance, number)
        owners = (None, None, None, None, lookalikes.skeleton(username))
        yield (name, _email(chance, number), username, HASH, "read write", 0, created, None, *owners)


def of_sessions(plan: Plan, write: Write) -> Rows:
    """The dead stand among the living: every other one went idle, the rest were closed."""
    living = plan.users * SESSIONS
    total = living + plan.dead
    alive, dead = itertools.count(), itertools.count(living)
    times = {state: [_times(state, moment, write) for moment in range(MOMENTS)] for state in ("live", "idle", "closed")}
    whose = ""
    for place in range(total):
        is_dead = (place + 1) * plan.dead // total > place * plan.dead // total
        number = next(dead) if is_dead else next(alive)
        chance = digest("session", number)
        if is_dead:
            user = user_id(int.from_bytes(chance[52:56]) % plan.users)
        elif number % SESSIONS == 0:
            user = whose = user_id(number // SESSIONS)
        else:
            user = whose
        state = ("idle", "closed")[number % 2] if is_dead else "live"
        turned, created, idle, expires, access, closed = times[state][int.from_bytes(chance[48:52]) % MOMENTS]
        yield (
            opaque.identifier(chance[:16]), user, opaque.fingerprint(chance[16:48]), 0, 0, turned, "read write", True, "pwd",
            created, "first-party", created, turned, idle, expires, access, closed, AGENT, f"203.0.{chance[56]}.{chance[57]}",
        )  # fmt: skip


def _times(state: str, moment: int, write: Write) -> tuple[Any, ...]:
    """When a session was last used, and what follows from it."""
    used = NOW - timedelta(seconds=12_000 + moment * 13 * 86400 / MOMENTS)
    if state == "idle":
        used -= timedelta(days=16)
    created = used - timedelta(hours=moment % 200)
    ends = (used + POLICY.refresh_idle, created + POLICY.refresh_absolute, used + POLICY.access_ttl)
    closed = write(used + timedelta(minutes=5)) if state == "closed" else None
    return (write(used), write(created), *map(write, ends), closed)


def of_feed(plan: Plan) -> Rows:
    now = NOW.timestamp()
    for number in range(plan.dead):
        yield (opaque.identifier(digest("gone", number)[:16]), opaque.MAX_GENERATION, now - 9000 - number % 86400)
    for number in range(REVOKED):
        yield (opaque.identifier(digest("revoked", number)[:16]), opaque.MAX_GENERATION, now + 40_000)


def of_hits(plan: Plan) -> Rows:
    """For each user a network that is known; and dead attempts."""
    now = int(NOW.timestamp() * 1000)
    for number in range(plan.dead):
        yield (digest("attempt", number).hex()[:43], now - 9_000_000 - number)
    for number in range(plan.users):
        yield (digest("network", number).hex()[:43], now + 86_400_000 * 60 + number)


def tables(plan: Plan, write: Write) -> list[tuple[str, list[str], Rows]]:
    """Name, columns and rows."""
    numbered = [column.name for column in feed.columns if column.name != "position"]
    return [
        (users.name, [column.name for column in users.columns], of_users(plan, write)),
        (sessions.name, [column.name for column in sessions.columns], of_sessions(plan, write)),
        (feed.name, numbered, of_feed(plan)),
        (hits.name, [column.name for column in hits.columns], of_hits(plan)),
    ]


class Progress:
    """A bar on stderr."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._since = what, total, 0, time.monotonic()

    def on(self, rows: int) -> None:
        self._done += rows
        full = 30 * self._done // self._total
        seconds = time.monotonic() - self._since
        bar = f"{'█' * full}{'·' * (30 - full)} {100 * self._done // self._total:3} %"
        print(f"\r{self._what:40} {bar} {self._done:>10,} rows {seconds:5.0f} s", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        print(file=sys.stderr)


def sqlite(plan: Plan) -> Path:
    """The seeded file, made unless it is there already."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{plan.name}.db"
    if path.exists():
        return path
    draft = FOLDER / f"{plan.name}.draft"
    _remove(draft)
    asyncio.run(databases.migrated(f"sqlite:///{draft}"))
    connection = sqlite3.connect(draft, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1500000", "locking_mode=EXCLUSIVE"):
        connection.execute(f"PRAGMA {pragma}")
    progress = Progress(f"SQLite, {plan.name}", plan.rows)
    made = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE 'watchword%'"
    indexes = connection.execute(made).fetchall()  # sorted once, they are made far quicker than row by row
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for table, columns, rows in tables(plan, _text):
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        for chunk in _chunks(rows):
            connection.execute("BEGIN")
            connection.executemany(statement, chunk)
            connection.execute("COMMIT")
            progress.on(len(chunk))
    for _, statement in indexes:
        connection.execute(statement)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    progress.end()
    draft.rename(path)
    return path


def _text(instant: datetime) -> str:
    """As SQLAlchemy keeps it."""
    return instant.strftime("%Y-%m-%d %H:%M:%S.%f")


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)


def sqlite_copy(plan: Plan) -> str:
    """The URL of a copy of a seeded file, to change as one likes. It is on the disk when this returns: what is
    still to be written would be measured with the rest."""
    copy = FOLDER / "copy.db"
    _remove(copy)
    shutil.copyfile(sqlite(plan), copy)
    os.sync()
    return f"sqlite:///{copy}"


def postgresql_copy(server: PostgresServer, plan: Plan) -> str:
    """The same of a seeded database."""
    seeded = postgresql(server, plan)
    server.execute('DROP DATABASE IF EXISTS "copy" WITH (FORCE)')
    server.create_database(template=seeded, name="copy")
    server.execute("CHECKPOINT")
    os.sync()
    return seeded.removesuffix(plan.name) + "copy"


def postgresql(server: PostgresServer, plan: Plan) -> str:
    """The URL of the seeded database, made unless it is there already."""
    draft = f"{plan.name}draft"
    url = f"postgresql+asyncpg://postgres@127.0.0.1:{server.port}/"
    if asyncio.run(_exists(url, plan.name)):
        return url + plan.name
    server.execute(f'DROP DATABASE IF EXISTS "{draft}"')
    server.create_database(name=draft)
    asyncio.run(databases.migrated(url + draft))
    asyncio.run(_fill(url + draft, plan))
    server.execute(f'ALTER DATABASE "{draft}" RENAME TO "{plan.name}"')
    return url + plan.name


async def _exists(url: str, name: str) -> bool:
    connection = await asyncpg.connect(f"{plain(url)}postgres")
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name))
    finally:
        await connection.close()


async def _fill(url: str, plan: Plan) -> None:
    connection = await asyncpg.connect(plain(url))
    progress = Progress(f"PostgreSQL, {plan.name}", plan.rows)
    await connection.execute("SET synchronous_commit = off")
    indexes = await connection.fetch(
        "SELECT indexname AS name, indexdef AS statement FROM pg_indexes WHERE tablename LIKE 'watchword%' "
        "AND indexname NOT IN (SELECT conname FROM pg_constraint)"
    )
    for index in indexes:
        await connection.execute(f'DROP INDEX "{index["name"]}"')
    for table, columns, rows in tables(plan, _as_it_is):
        for chunk in _chunks(rows):
            await connection.copy_records_to_table(table, records=chunk, columns=columns, timeout=600)
            progress.on(len(chunk))
    for index in indexes:
        await connection.execute(index["statement"], timeout=1200)
    await connection.execute("VACUUM ANALYZE", timeout=1200)
    await connection.execute("CHECKPOINT", timeout=1200)
    await connection.close()
    progress.end()


def _as_it_is(instant: datetime) -> datetime:
    return instant


def read_through(path: Path) -> None:
    """Have the operating system keep the file, or all files below a folder, in memory: a cold disk is not what grows."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as read:
                while read.read(1 << 24):
                    pass


def plain(url: str) -> str:
    """The URL as asyncpg wants it."""
    return url.replace("+asyncpg", "")


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    rows = iter(rows)
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk
