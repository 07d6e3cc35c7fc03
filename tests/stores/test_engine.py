"""The engine: where its file is, and how it is given back."""

import asyncio
import sys
from pathlib import Path

import pytest

from watchword.core.errors import ConfigError
from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.stores.sql.users import SqlUsers
from watchword.testing.contracts import NOW, new_user


async def test_a_relative_file_stays_where_it_was_when_the_process_changes_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that becomes a daemon goes to `/`. Connections that it opens then would make an empty database there, in
    which nobody was ever revoked."""
    started, later = tmp_path / "started", tmp_path / "later"
    started.mkdir()
    later.mkdir()
    monkeypatch.chdir(started)
    db = Database("sqlite:///watchword.db")
    db.settle(here=True)
    monkeypatch.chdir(later)
    await migrate.upgrade(db)
    await SqlUsers(db).add(new_user())
    assert db.path == started / "watchword.db"
    await db.close()
    db.settle(here=True)  # and is used again
    assert [one.user.id for one in await SqlUsers(db).page("", 2)] == ["id-ada"]
    await db.close()
    assert (started / "watchword.db").is_file()
    assert not list(later.iterdir())


def test_without_the_driver_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"asyncpg is missing: pip install asyncpg"):
        Database("postgresql://user@127.0.0.1/watchword")


def test_it_may_be_closed_when_the_loop_that_it_lived_on_has_gone(sqlite_url: str) -> None:
    """A test client starts a house on a loop of its own, and the application is stopped from another one."""
    db = Database(sqlite_url)

    async def visit() -> None:
        db.settle(here=True)
        await SqlUsers(db).get("nobody")
        await db.engine.dispose()

    asyncio.run(visit())
    asyncio.run(db.close())

    async def return_later() -> None:
        db.settle(here=True)
        assert await SqlUsers(db).find("nobody@example.com") is None
        await SqlUsers(db).add(new_user(created_at=NOW))
        await db.close()

    asyncio.run(return_later())
