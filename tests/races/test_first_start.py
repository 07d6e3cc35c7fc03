"""Many first starts at once make one of everything."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests import databases, fleet

from watchword.core.keys import KeyRecord
from watchword.stores.sql.engine import Database
from watchword.stores.sql.keys import SqlKeys

pytestmark = pytest.mark.xdist_group("races")

WORKERS = 8
MIGRATIONS = 4


async def stored_keys(url: str) -> list[KeyRecord]:
    db = Database(url)
    db.settle(here=True)
    try:
        return await SqlKeys(db).load()
    finally:
        await db.close()


def test_many_workers_on_an_empty_folder_make_one_key_and_one_master_key(tmp_path: Path) -> None:
    """KY-10: two first keys (or master keys) would make half the tokens unreadable to half the workers."""
    url = f"sqlite:///{tmp_path / 'watchword.db'}"
    with fleet.running(WORKERS, url, tmp_path):
        records = asyncio.run(stored_keys(url))
    assert [record.generation for record in records] == [1]
    folder = tmp_path / ".watchword"
    assert [path.name for path in folder.glob("*key*")] == ["master.key"]
    assert (folder / "master.key").stat().st_mode & 0o777 == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"


def test_many_workers_on_an_empty_postgresql_make_one_key(postgres_url: str, tmp_path: Path) -> None:
    """KY-10: the same with the migration, which all of them run at once."""
    with fleet.running(WORKERS, postgres_url, tmp_path):
        assert [record.generation for record in asyncio.run(stored_keys(postgres_url))] == [1]


def test_many_migrations_at_once_all_succeed(postgres_url: str, tmp_path: Path) -> None:
    """Several machines are deployed at one moment, and each runs `watchword migrate`. A SQLite file's folder is
    made."""
    for url in (postgres_url, f"sqlite:///{tmp_path / 'new' / 'watchword.db'}"):
        migrations = [
            subprocess.Popen(
                [sys.executable, "-m", "watchword", "migrate"],
                cwd=tmp_path,
                env=fleet.settings(url, tmp_path),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(MIGRATIONS)
        ]
        said = [migration.communicate()[0] for migration in migrations]
        assert [migration.returncode for migration in migrations] == [0] * MIGRATIONS, said
        assert asyncio.run(stored_keys(url)) == [], "the tables are there, and empty"


def test_the_sqlite_file_is_durable(sqlite_template: Path, tmp_path: Path) -> None:
    """A logout must survive a power cut: WAL with synchronous=FULL, on every connection that writes."""

    async def pragmas() -> tuple[object, ...]:
        db = Database(databases.copy(sqlite_template, tmp_path))
        async with db.write() as connection:
            found = [
                (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        await db.close()
        return tuple(found)

    assert asyncio.run(pragmas()) == ("wal", 2, 1)
    assert sqlite3.sqlite_version_info >= (3, 35), "RETURNING"
