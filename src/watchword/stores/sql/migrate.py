"""The schema's version: read at every start, changed by `watchword migrate` (and by the first start on a loopback issuer).

Two versions run on one database while machines are upgraded one by one. So within a minor version migrations only add, and the
database says which code it still serves.
"""

import contextlib
import importlib
import logging
import os
from pathlib import Path

from sqlalchemy import Connection, column, delete, insert, inspect, select, table, text

from watchword.core.errors import ConfigError
from watchword.stores.sql.engine import Database
from watchword.stores.sql.faults import unavailable
from watchword.stores.sql.tables import COMPATIBLE_FROM, SCHEMA_VERSION, facts, schema_of

logger: logging.Logger = logging.getLogger("watchword.schema")

VERSION_TABLE = "watchword_schema"
OLDEST = "compatible_from"
"""The fact of this name is the oldest schema whose code may use the database. Whoever migrates writes it."""

LOCK = 0x77617463  # "watc"


async def version(db: Database) -> str | None:
    """The migration that the database is at; None when it holds nothing of ours, or its file is not made yet."""
    if db.path is not None and not db.path.exists():
        return None

    async def read() -> str | None:
        with unavailable():
            async with db.read() as connection:
                return await connection.run_sync(_version)

    return await db.call(read)


async def compatible(db: Database) -> bool:
    """Whether whoever brought the database to a newer schema than this code's says that this code may use it all the same."""

    async def read() -> bool:
        with unavailable():
            async with db.read() as connection:
                return await connection.run_sync(_compatible)

    return await db.call(read)


async def check(db: Database, *, may_migrate: bool) -> None:
    """Make the schema ready, or raise ConfigError when the database is older than the code, or too new for it.

    Only `may_migrate` (a loopback issuer) lets a start change the schema: elsewhere that is an operator's act.
    """
    found = await version(db)
    if found == SCHEMA_VERSION:
        return
    if found is not None and found > SCHEMA_VERSION:
        if not await compatible(db):
            raise ConfigError(_too_new(found))
        logger.info(
            "the database is at schema %s, this code at %s, which may use it: a newer version was installed beside this one",
            found,
            SCHEMA_VERSION,
        )
        return
    if not may_migrate:
        state = "is empty" if found is None else f"is at schema {found}, older than this code ({SCHEMA_VERSION})"
        raise ConfigError(f"The database of WATCHWORD_DATABASE_URL {state}. Run: watchword migrate")
    await upgrade(db)


async def upgrade(db: Database) -> str:
    """Bring the database to this code's schema; the version it is at then. Any number may call this at once.

    A newer one that this code may use is left as it is; for another one ConfigError is raised.
    """

    async def run() -> str:
        with unavailable():
            if db.path is not None:
                _make_private(db.path)
            importlib.import_module("alembic.command")  # before the lock, for which others wait: it takes a second
            async with db.write() as connection:
                if not db.is_sqlite:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
                return await connection.run_sync(_upgrade)

    return await db.call(run)


def _too_new(found: str) -> str:
    return (
        f"The database of WATCHWORD_DATABASE_URL is at schema {found}, which is newer than this code ({SCHEMA_VERSION}), "
        "and not made to serve it too. Install the version of watchword that migrated it, or a newer one."
    )


def _make_private(path: Path) -> None:
    """A new file with password hashes is its owner's alone, whatever the umask; SQLite gives its companions the same mode.

    One that is there is not opened: closing it would take the locks from under SQLite's own connections of this process, and
    whoever closes last elsewhere would remove the log that they write to. (How To Corrupt An SQLite Database File, 2.2.)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _version(connection: Connection) -> str | None:
    schema = schema_of(connection)
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return None
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE, schema=schema))).scalar()


def _compatible(connection: Connection) -> bool:
    """A database that does not say so is not taken for compatible."""
    schema = schema_of(connection)
    if not inspect(connection).has_table(facts.name, schema=schema):
        return False
    told = connection.execute(select(facts.c.value).where(facts.c.name == OLDEST)).scalar()
    return told is not None and told <= SCHEMA_VERSION


def _upgrade(connection: Connection) -> str:
    """Alembic is loaded here alone: it costs more to import than everything else together, and is rarely needed."""
    found = _version(connection)
    if found is not None and found > SCHEMA_VERSION:
        if not _compatible(connection):
            raise ConfigError(_too_new(found))
        return found
    command = importlib.import_module("alembic.command")
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.execute(delete(facts).where(facts.c.name == OLDEST))
    connection.execute(insert(facts).values(name=OLDEST, value=COMPATIBLE_FROM))
    return SCHEMA_VERSION
