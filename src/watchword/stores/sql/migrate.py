"""The schema's version: read at every start, changed by `watchword migrate` (and by the first start on a loopback issuer)."""

import importlib
import os
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table, text

from watchword.core.errors import ConfigError
from watchword.stores.sql.engine import Database, unavailable
from watchword.stores.sql.tables import SCHEMA_VERSION

VERSION_TABLE = "watchword_schema"
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


async def check(db: Database, *, may_migrate: bool) -> None:
    """Make the schema ready, or raise ConfigError when the database is older or newer than the code.

    Only `may_migrate` (a loopback issuer) lets a start change the schema: elsewhere that is an operator's act.
    """
    found = await version(db)
    if found == SCHEMA_VERSION:
        return
    if found is not None and found > SCHEMA_VERSION:
        raise ConfigError(
            f"The database of WATCHWORD_DATABASE_URL is at schema {found}, which is newer than this code ({SCHEMA_VERSION}). "
            "Install the version of watchword that migrated it, or a newer one."
        )
    if not may_migrate:
        state = "is empty" if found is None else f"is at schema {found}, older than this code ({SCHEMA_VERSION})"
        raise ConfigError(f"The database of WATCHWORD_DATABASE_URL {state}. Run: watchword migrate")
    await upgrade(db)


async def upgrade(db: Database) -> str:
    """Bring the database to this code's schema; the version it is at then. Any number may call this at once."""

    async def run() -> None:
        with unavailable():
            if db.path is not None:
                _make_private(db.path)
            importlib.import_module("alembic.command")  # before the lock, for which others wait: it takes a second
            async with db.write() as connection:
                if not db.is_sqlite:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
                await connection.run_sync(_upgrade)

    await db.call(run)
    return SCHEMA_VERSION


def _make_private(path: Path) -> None:
    """A new file with password hashes is its owner's alone, whatever the umask; SQLite gives its companions the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _version(connection: Connection) -> str | None:
    """Where a host's engine moves tables without a schema into one (`schema_translate_map`), ours are there too."""
    moved = connection.get_execution_options().get("schema_translate_map") or {}
    schema = moved.get(None)
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return None
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE, schema=schema))).scalar()


def _upgrade(connection: Connection) -> None:
    """Alembic is loaded here alone: it costs more to import than everything else together, and is rarely needed."""
    command = importlib.import_module("alembic.command")
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
