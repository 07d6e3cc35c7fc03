"""Requests that are cancelled in the middle of a transaction: by a timeout, by a server, or by whoever hangs up in time."""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from tests.house import ADA

from watchword.ports import NewUser
from watchword.stores.sql.engine import Database
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock

NOW = FrozenClock().now()
USER = "u" * 26


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
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert other.execute("SELECT scopes FROM watchword_users").fetchall() == [("a",)], "the act came to its end"
    other.close()


async def test_whoever_is_cancelled_on_another_loop_leaves_no_lock_either(sqlite_url: str) -> None:
    """The same where the engine lives in a thread of its own: a mounted application, whose lifespan never ran."""
    db = Database(sqlite_url)
    db.settle(here=False)
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
    changed = await store.set_scopes(USER, frozenset({"b"}), NOW)
    assert changed == ()
    await db.close()
