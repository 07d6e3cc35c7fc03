"""Every migration keeps what the one before had made."""

import asyncio
import importlib
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, inspect, select, text

from watchword.core import opaque
from watchword.core.policy import Policy
from watchword.ports import Turn
from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.tables import SCHEMA_VERSION, metadata, sessions, users
from watchword.stores.sql.users import SqlUsers
from watchword.testing.contracts import ABSOLUTE, ACCESS, IDLE, NOW, R

USER = {"id": "u1", "email": "ada@example.com", "password_hash": "h", "scopes": "read", "epoch": 3, "created_at": NOW}
SESSION = {
    "id": opaque.identifier(bytes(16)), "user_id": "u1", "r_hash": opaque.fingerprint(R), "generation": 4, "answer": 0,
    "turned_at": NOW, "scopes": "read", "follows_user": True, "methods": "pwd", "auth_time": NOW, "client_id": "c",
    "created_at": NOW, "used_at": NOW, "idle_expires_at": NOW + IDLE, "expires_at": NOW + ABSOLUTE,
    "access_expires_at": NOW + ACCESS, "closed_at": None, "user_agent": None, "ip": None,
}  # fmt: skip


def to(connection: Connection, revision: str) -> None:
    """Bring a database to a revision of the past."""
    command = importlib.import_module("alembic.command")
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    (command.upgrade if revision == "0001" else command.downgrade)(config, revision.removeprefix("-"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_sessions_live_on_when_their_foreign_key_goes(empty_url: str) -> None:
    async def journey() -> None:
        db = Database(empty_url)
        db.settle(here=True)
        async with db.write() as connection:
            await connection.run_sync(to, "0001")
            await connection.execute(insert(users).values(**USER))
            await connection.execute(insert(sessions).values(**SESSION))
        assert await migrate.version(db) == "0001"
        await migrate.upgrade(db)
        store = SqlSessions(db)
        presented = opaque.Presented(str(SESSION["id"]), 4, R)
        policy = Policy()
        turned = await store.turn(
            presented, NOW, grace=policy.refresh_grace, idle=policy.refresh_idle, access_ttl=timedelta(minutes=10)
        )
        assert turned.answer is Turn.TURNED
        found = (await SqlUsers(db).page("", 10))[0].user
        assert (found.id, found.epoch, found.scopes) == ("u1", 3, frozenset({"read"}))
        async with db.write() as connection:  # a session of a host's user, whom our table does not know
            await connection.execute(insert(sessions).values(**{**SESSION, "id": "z", "user_id": "host-7"}))
        async with db.write() as connection:
            await connection.run_sync(to, "-0001")
            left = [row.id for row in await connection.execute(select(sessions.c.id))]
            assert left == [SESSION["id"]], "going back, only sessions of our own users stay"
            await connection.execute(text("DELETE FROM watchword_users"))
            assert (await connection.execute(select(sessions.c.id))).first() is None, (
                "and they go with their users again"
            )
        await db.close()

    asyncio.run(journey())


async def test_a_downgrade_takes_all_tables_and_an_upgrade_brings_them_back(database_url: str) -> None:
    db = Database(database_url)
    db.settle(here=True)
    async with db.write() as connection:
        await connection.run_sync(to, "-base")
    async with db.read() as connection:
        left = await connection.run_sync(lambda found: inspect(found).get_table_names())
    assert [name for name in left if name in metadata.tables] == []
    assert await migrate.upgrade(db) == SCHEMA_VERSION
    async with db.read() as connection:
        assert metadata.tables.keys() <= {*await connection.run_sync(lambda found: inspect(found).get_table_names())}
    await db.close()


ELSEWHERE = (
    "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM watchword_users').fetchall()"
)


async def test_a_start_takes_no_lock_from_under_connections_that_are_there(sqlite_url: str) -> None:
    """Closing any descriptor of a file drops the locks that a process has on it. Whoever closes last elsewhere would remove
    the log that this process goes on writing to, and what it commits then would be lost."""
    db = Database(sqlite_url)
    db.settle(here=True)
    assert db.path is not None
    async with db.write() as connection:
        await connection.execute(insert(users).values(USER))
    await migrate.upgrade(db)
    assert await asyncio.to_thread(has_log_behind_another, db.path)
    await db.close()


def has_log_behind_another(path: Path) -> bool:
    """Whether the file has its log still when another process has come and gone."""
    subprocess.run([sys.executable, "-c", ELSEWHERE, path], check=True)
    return Path(f"{path}-wal").exists()
