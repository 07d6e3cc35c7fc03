"""Requests that are cancelled in the middle of a transaction: by a timeout, by a server, or by whoever hangs up in time."""

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from tests.house import ADA, PATIENCE

from watchword.ports import NewUser
from watchword.stores.sql.engine import Database
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock

NOW = FrozenClock().now()
USER = "u" * 26


def path_of(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


def now_there(sqlite_url: str) -> str:
    """The user's scopes, read under a lock that nobody else may hold."""
    other = sqlite3.connect(path_of(sqlite_url), timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (scopes,) = other.execute("SELECT scopes FROM watchword_users").fetchone()
    other.close()
    return str(scopes)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What only the garbage collector would let go stays: nobody knows when it comes."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["ours", "the host's"])
async def db(request: pytest.FixtureRequest, sqlite_url: str) -> AsyncIterator[Database]:
    engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"), pool_size=2, max_overflow=0)
    made = Database(sqlite_url) if request.param == "ours" else Database.of_host(engine)
    made.settle(here=True)
    await SqlUsers(made).add(NewUser(USER, ADA, None, None, frozenset(), NOW))
    yield made
    await made.close()
    await engine.dispose()


@pytest.mark.parametrize("moment", ["BEGIN IMMEDIATE", "UPDATE watchword_users"])
async def test_a_request_that_is_cancelled_leaves_no_lock_behind(db: Database, sqlite_url: str, moment: str) -> None:
    """The attack: hang up while the server writes. The connection was thrown away with its transaction open, and every
    login, refresh and logout after it was answered with 503, until the garbage collector came by."""
    store = SqlUsers(db)
    acting = asyncio.create_task(store.set_scopes(USER, frozenset({"a"}), NOW))

    def hang_up(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(moment):
            acting.cancel()

    event.listen(db.engine.sync_engine, "before_cursor_execute", hang_up)
    with pytest.raises(asyncio.CancelledError):
        await acting
    await db.close()
    assert now_there(sqlite_url) == "a", "the act came to its end"


async def given_up(db: Database) -> None:
    """A change of scopes to `a`, on the database's own loop, whose caller hangs up in its middle."""
    store = SqlUsers(db)
    await store.add(NewUser(USER, ADA, None, None, frozenset(), NOW))
    here = asyncio.get_running_loop()
    acting = asyncio.create_task(store.set_scopes(USER, frozenset({"a"}), NOW))
    begun = asyncio.Event()
    told = False

    def hang_up(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal told
        if statement.startswith("UPDATE watchword_users") and not told:
            told = True
            here.call_soon_threadsafe(acting.cancel)
            here.call_soon_threadsafe(begun.set)

    event.listen(db.engine.sync_engine, "before_cursor_execute", hang_up)
    await begun.wait()
    with pytest.raises(asyncio.CancelledError):
        await acting


def own_loop(sqlite_url: str) -> tuple[Database, threading.Thread]:
    """A database in a thread of its own, as where an application is mounted and its lifespan never ran."""
    before = set(threading.enumerate())
    db = Database(sqlite_url)
    db.settle(here=False)
    (thread,) = {thread for thread in threading.enumerate() if thread.name == "watchword-database"} - before
    return db, thread


async def test_whoever_is_cancelled_on_another_loop_leaves_no_lock_either(sqlite_url: str) -> None:
    db, _ = own_loop(sqlite_url)
    await given_up(db)
    assert await SqlUsers(db).set_scopes(USER, frozenset({"b"}), NOW) == ()
    await db.close()


async def test_a_stop_waits_for_what_is_at_work_on_another_loop(sqlite_url: str) -> None:
    """Else the transaction is torn in its middle, and its lock goes when the garbage collector comes by."""
    db, thread = own_loop(sqlite_url)
    await given_up(db)
    await db.close()
    assert not thread.is_alive()
    assert now_there(sqlite_url) == "a"
    assert len(list(path_of(sqlite_url).parent.iterdir())) == 1, "nothing is left beside the file"


async def test_work_that_is_the_last_to_hold_a_database_lets_it_go(sqlite_url: str) -> None:
    """Its loop's own thread then ends the loop: it can't wait for itself, and must not hang."""
    db, thread = own_loop(sqlite_url)
    await given_up(db)
    del db
    await asyncio.to_thread(gc.collect)
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()
    assert now_there(sqlite_url) == "a"
    assert len(list(path_of(sqlite_url).parent.iterdir())) == 1, "nothing is left beside the file"
