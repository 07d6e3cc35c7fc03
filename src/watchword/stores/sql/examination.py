"""What `watchword doctor` asks a database. It only reads, and makes nothing that is not there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from watchword.core.clock import Clock
from watchword.core.keys import KeyRecord
from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.stores.sql.faults import unavailable
from watchword.stores.sql.keys import CHECK, COLUMNS
from watchword.stores.sql.tables import facts, keys, sessions, users

MAGIC = b"SQLite format 3\0"
WAL = b"\x02\x02"
"""Bytes 18 and 19 of the file: how it is written and read. https://www.sqlite.org/fileformat.html, 1.3.3."""

LONG_DEAD = timedelta(days=2)
"""Upkeep prunes every hour; what lies about for longer says that it does not run."""

SERVER = (
    "SELECT current_setting('fsync') fsync, current_setting('full_page_writes') full_page_writes, "
    "current_setting('synchronous_commit') synchronous_commit, "
    "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user) superuser, "
    "coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) encrypted"
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the tables hold, as far as it tells how the deployment is kept."""

    keys: tuple[KeyRecord, ...]
    check_value: str | None
    dead_sessions: int
    outdated_hashes: int


@dataclass(frozen=True, slots=True)
class Postgres:
    """The server's own settings and this connection. `offset` is how far its clock is ahead of ours, in seconds."""

    settings: Mapping[str, str]
    superuser: bool
    encrypted: bool
    offset: float


def is_sqlite(path: Path) -> bool:
    """Whether a file is a SQLite database at all (an empty one becomes one)."""
    with path.open("rb") as file:
        return file.read(16) in (MAGIC, b"")


def journal_is_wal(path: Path) -> bool:
    """Whether the file is in WAL mode, as its header says. Opening it with our engine would change that."""
    with path.open("rb") as file:
        return file.read(20)[18:] == WAL


async def version(db: Database) -> str | None:
    """See `migrate.version`."""
    return await migrate.version(db)


async def compatible(db: Database) -> bool:
    """See `migrate.compatible`."""
    return await migrate.compatible(db)


async def contents(db: Database, now: datetime, hash_prefix: str) -> Contents:
    """Read the tables. `hash_prefix` is how the PHC strings of today's parameters begin. Raises Unavailable."""
    long_dead = now - LONG_DEAD
    dead = (
        select(func.count())
        .select_from(sessions)
        .where((sessions.c.idle_expires_at <= long_dead) | (sessions.c.closed_at <= long_dead))
        .where(sessions.c.access_expires_at <= long_dead)
    )
    outdated = (
        select(func.count())
        .select_from(users)
        .where(users.c.password_hash.is_not(None), ~users.c.password_hash.startswith(hash_prefix, autoescape=True))
    )
    with unavailable():
        async with db.read() as connection:
            rows = (await connection.execute(select(keys).order_by(keys.c.generation))).all()
            check = (await connection.execute(select(facts.c.value).where(facts.c.name == CHECK))).scalar()
            return Contents(
                keys=tuple(KeyRecord(**{name: row._mapping[name] for name in COLUMNS}) for row in rows),
                check_value=check,
                dead_sessions=int((await connection.execute(dead)).scalar_one()),
                outdated_hashes=int((await connection.execute(outdated)).scalar_one()),
            )


async def postgres(db: Database, clock: Clock) -> Postgres:
    """Ask a PostgreSQL server about itself. Raises Unavailable."""
    with unavailable():
        async with db.read() as connection:
            row: Any = (await connection.execute(text(SERVER))).one()
            offsets = [await _offset(connection, clock) for _ in range(3)]
    settings = {name: str(row._mapping[name]) for name in ("fsync", "full_page_writes", "synchronous_commit")}
    return Postgres(settings, bool(row.superuser), bool(row.encrypted), min(offsets, key=abs))


async def _offset(connection: Any, clock: Clock) -> float:
    """The database's clock against the middle of the time that asking took; the least of three has waited least."""
    before = clock.timestamp()
    theirs = float(
        (await connection.execute(text("SELECT extract(epoch FROM clock_timestamp())::float8"))).scalar_one()
    )
    return theirs - (before + clock.timestamp()) / 2
