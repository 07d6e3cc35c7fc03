"""SQLite's log comes into the file beside the writers, so that no commit waits for the pages of a thousand others."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from tests.house import PATIENCE
from tests.services import until
from tests.stores.test_hot import LATER, NOW, R, opened, session

from watchword.core.policy import LEEWAY
from watchword.stores.sql import checkpoints
from watchword.stores.sql.engine import Database
from watchword.stores.sql.kept import MOST, REFRESHES
from watchword.stores.sql.sessions import SqlSessions


@pytest.fixture
async def db(sqlite_url: str) -> AsyncIterator[Database]:
    async for one in opened(sqlite_url):
        yield one


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)


def in_the_file(path: Path) -> int:
    """How many sessions the file has without its log."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM watchword_sessions").fetchone()
    return int(found)


async def test_what_was_written_is_soon_in_the_file(db: Database, at_once: None) -> None:
    assert db.path is not None
    path = db.path
    await SqlSessions(db).open(session("s"), R)

    async def there() -> bool:
        return in_the_file(path) == 1

    await until(there)


async def test_no_commit_waits_for_the_pages_of_a_thousand_others(db: Database) -> None:
    async with db.read() as connection:
        pages = (await connection.execute(text("PRAGMA wal_autocheckpoint"))).scalar_one()
    assert pages == checkpoints.AT_LAST


async def test_a_host_s_engine_is_left_as_it_is(sqlite_url: str, db: Database, at_once: None) -> None:
    engine = create_async_engine(db.url)
    hosts = Database.of_host(engine)
    await SqlSessions(hosts).open(session("s"), R)
    await hosts.checkpoint()
    assert db.path is not None
    assert in_the_file(db.path) == 0
    async with hosts.read() as connection:
        assert (await connection.execute(text("PRAGMA wal_autocheckpoint"))).scalar_one() == 1000
    await engine.dispose()


async def test_what_is_pruned_is_in_the_file_at_once(db: Database) -> None:
    """The pages of many batches would be one long wait for whoever commits meanwhile."""
    store = SqlSessions(db)
    assert db.path is not None
    for name in ("a", "b", "c"):
        await store.open(session(name), R)
    await db.checkpoint()
    assert in_the_file(db.path) == 3
    assert await store.prune(LATER + LEEWAY, 2) == 2
    assert in_the_file(db.path) == 1


async def test_a_log_that_is_long_is_brought_in_to_its_end_while_nobody_writes(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody always writes, each checkpoint ends behind the newest page, and the log would grow for ever: it begins
    anew only when all of it is in the file."""
    known, alone = checkpoints._checkpoint, []

    def watched(connection: sqlite3.Connection) -> int:
        alone.append(db._writing._locks[loop].locked())
        return known(connection)

    loop = asyncio.get_running_loop()
    await SqlSessions(db).open(session("s"), R)
    monkeypatch.setattr(checkpoints, "_checkpoint", watched)
    await db.checkpoint()
    assert alone == [False], "a short one is not worth a wait"
    monkeypatch.setattr(checkpoints, "LONG", 1)
    await db.checkpoint()
    assert alone == [False, False, True]


@pytest.mark.parametrize(
    "fault", [sqlite3.OperationalError("database or disk is full"), PoolTimeoutError("no connection is left")]
)
async def test_a_checkpoint_that_fails_harms_nobody(
    db: Database, fault: Exception, at_once: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full, or another process is at it: what was committed is in the log, and comes in at the next time."""
    store = SqlSessions(db)
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(_connection: sqlite3.Connection) -> int:
        loop.call_soon_threadsafe(tried.set)
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_checkpoint", full)
        await store.open(session("a"), R)
        await tried.wait()
        await store.open(session("b"), R)
        await db.checkpoint()
    await db.checkpoint()
    assert db.path is not None
    assert in_the_file(db.path) == 2
    assert caplog.records == []


async def test_a_close_waits_for_the_one_that_is_at_work(
    db: Database, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be the last to close, after the engine, and leave a log beside the file that whoever copies it misses."""
    begun = asyncio.Event()
    go_on = asyncio.Event()
    known = db.kept[REFRESHES].lend

    async def slow(work: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await known(work)

    monkeypatch.setattr(db.kept[REFRESHES], "lend", slow)
    path = db.path
    assert path is not None
    async with db.write() as connection:
        await connection.execute(text("DELETE FROM watchword_hits"))
    await begun.wait()
    ending = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    assert not ending.done()
    go_on.set()
    await ending
    assert not path.with_name(f"{path.name}-wal").exists()


async def test_checkpoints_that_wait_for_the_writers_leave_the_readers_their_connections(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is long, since a backup reads for minutes, and commits are slow: after each of them one more checkpoint waited
    for its turn, until they held every connection, and whoever came with an access token was told 503."""
    monkeypatch.setattr(checkpoints, "LONG", 1)
    store, those = SqlSessions(db), db._checkpoints
    assert those is not None
    await store.open(session("s"), R)
    async with db.writing():
        for _ in range(MOST):
            those._begin()
        assert await store.get("s", NOW)


@pytest.mark.parametrize("way", ["lifespan", "own loop", "collected"])
async def test_while_a_close_waits_for_others_no_checkpoint_begins(
    sqlite_url: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would wait for it: its loop ended before it, or its connection was closed last and by itself. The log stayed
    beside the file, and the connection's thread for ever."""
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 3600.0)
    made = Database(sqlite_url)
    made.settle(here=way == "lifespan")
    path, loop, those, retire = made.path, made.home, made._checkpoints, made._retire
    assert path is not None
    assert loop is not None
    assert those is not None
    written, go_on, begun = threading.Event(), asyncio.Event(), threading.Event()
    take = those.take

    async def work() -> None:
        async with made.write() as connection:
            await connection.execute(text("DELETE FROM watchword_hits"))
        written.set()
        await go_on.wait()

    async def watched() -> None:
        begun.set()
        await take()

    monkeypatch.setattr(those, "take", watched)
    working = asyncio.create_task(made.call(work))
    await asyncio.to_thread(written.wait, PATIENCE)
    if way == "collected":
        assert retire is not None
        ending = asyncio.create_task(asyncio.to_thread(retire))

        async def is_ending() -> bool:
            return any("_end" in repr(one.get_coro()) for one in asyncio.all_tasks(loop))

        await until(is_ending)
    else:
        ending = asyncio.create_task(made.close())
        await asyncio.sleep(0)
    loop.call_soon_threadsafe(those._begin)
    loop.call_soon_threadsafe(go_on.set)
    await working
    await ending
    assert not begun.is_set()
    assert not path.with_name(f"{path.name}-wal").exists()


def test_a_loop_that_ended_before_its_checkpoint_is_not_the_last_that_takes_one(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script runs one loop after another, on one database. The first took its timer with it, and the log grew until SQLite
    made somebody's commit wait for ten thousand pages."""
    made = Database(sqlite_url)
    path = made.path
    assert path is not None
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 3600.0)
    asyncio.run(SqlSessions(made).open(session("a"), R))
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)

    async def there() -> bool:
        return in_the_file(path) == 2

    async def second() -> None:
        await SqlSessions(made).open(session("b"), R)
        await until(there)
        await made.close()

    asyncio.run(second())
