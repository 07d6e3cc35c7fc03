"""The revocation feed, mostly on SQLite: what it hears, and what happens when it does not."""

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert

from watchword.core.errors import Unavailable
from watchword.core.keys import KeyRecord
from watchword.core.models import Revoked
from watchword.core.policy import CLOCK_JUMP, Policy
from watchword.ports import KeysChanged
from watchword.stores.sql.engine import Database
from watchword.stores.sql.keys import SqlKeys
from watchword.stores.sql.revocations import SqlRevocations
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.tables import feed
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock
from watchword.testing.contracts import NOW, opened, user

DEADLINE = 10.0


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
async def stores(sqlite_url: str, clock: FrozenClock) -> AsyncIterator[SimpleNamespace]:
    db = Database(sqlite_url)
    db.settle(here=True)
    following, writing = SqlRevocations(db, clock, Policy()), SqlRevocations(db, clock, Policy())
    yield SimpleNamespace(
        db=db,
        users=SqlUsers(db),
        sessions=SqlSessions(db),
        keys=SqlKeys(db),
        revocations=writing,
        following=following,
    )
    await following.stop()
    await db.close()


async def becomes_true(question: Callable[[], Any]) -> None:
    give_up = time.monotonic() + DEADLINE
    while not question():
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(0.01)


async def test_what_another_connection_commits_is_heard(stores: SimpleNamespace) -> None:
    session = await opened(stores, await user(stores))
    await stores.following.start()
    assert stores.following.fresh()
    assert not stores.following.covers(session.id, 0)
    await stores.sessions.close(session.id, None, NOW)
    await becomes_true(lambda: stores.following.covers(session.id, 0))


async def test_a_published_key_is_told(stores: SimpleNamespace) -> None:
    changes: list[object] = []
    stores.following.watch(changes.append)
    await stores.following.start()
    changes.clear()
    assert await stores.keys.add(
        KeyRecord(1, "kid", "ES256", b"sealed", NOW, NOW), await stores.keys.recognise("check")
    )
    await becomes_true(lambda: changes == [KeysChanged()])


async def test_a_feed_that_was_not_heard_lately_is_not_trusted(stores: SimpleNamespace, clock: FrozenClock) -> None:
    """RV-06: a worker whose feed died must not go on accepting what others have revoked."""
    await stores.following.start()
    assert stores.following.fresh()
    await stores.following.stop()
    clock.tick(60)
    assert not stores.following.fresh()
    session = await opened(stores, await user(stores))
    await stores.sessions.close(session.id, None, NOW)
    assert not stores.following.covers(session.id, 0)
    assert await stores.following.ask(session.id, 0)


async def test_after_a_stop_the_file_is_whole_and_nobody_holds_it(stores: SimpleNamespace) -> None:
    """An operator who stops the server and copies the file has a backup. With the feed still at its end beside the others,
    what was committed last stayed in a log next to the file, and the copy had no signing key."""
    ada = await user(stores)
    for number in range(3):
        before = set(threading.enumerate())
        await stores.following.start()
        (follower,) = {thread for thread in threading.enumerate() if thread.name == "watchword-feed"} - before
        await stores.sessions.close((await opened(stores, ada, number + 1)).id, None, NOW)
        await stores.following.stop()
        assert not follower.is_alive()
        await stores.db.close()
        assert [path.name for path in stores.db.path.parent.iterdir()] == [stores.db.path.name]
        stores.db.settle(here=True)


async def test_a_rewound_feed_is_loaded_anew(stores: SimpleNamespace) -> None:
    """A restored backup gives positions again that were seen already: the new rows behind them must not be missed."""
    ada = await user(stores)
    first, second = await opened(stores, ada, 1), await opened(stores, ada, 2)
    for number in range(5):
        await stores.sessions.close((await opened(stores, ada, 10 + number)).id, None, NOW)
    await stores.following.start()
    await stores.sessions.close(first.id, None, NOW)
    await becomes_true(lambda: stores.following.covers(first.id, 0))
    connection = sqlite3.connect(stores.db.path)
    connection.executescript("DELETE FROM watchword_feed; DELETE FROM sqlite_sequence;")
    connection.execute(
        "INSERT INTO watchword_feed (session_id, generation, expires_at) VALUES (?, ?, ?)", (second.id, 5, 1e12)
    )
    connection.commit()
    connection.close()
    await becomes_true(lambda: stores.following.covers(second.id, 5))
    assert not stores.following.covers(first.id, 0), "the set is that of the database again"


async def test_a_start_loads_what_lives_and_not_what_waits_for_upkeep(database_url: str, clock: FrozenClock) -> None:
    """Where upkeep had not run for long, a million dead rows took longer to load than a start on PostgreSQL may; and upkeep
    follows a start."""
    db = Database(database_url)
    db.settle(here=True)
    at = clock.timestamp()
    ends = [at - CLOCK_JUMP.total_seconds(), at - 1, at + 60]
    rows = [{"session_id": f"s{place}", "generation": 0, "expires_at": end} for place, end in enumerate(ends)]
    async with db.write() as connection:
        await connection.execute(insert(feed), rows)
    store = SqlRevocations(db, clock, Policy())
    await store.start()
    assert [store.covers(f"s{place}", 0) for place in range(3)] == [False, True, True]
    await store.stop()
    await db.close()


async def test_a_listener_that_fails_does_not_stop_the_feed(stores: SimpleNamespace) -> None:
    def fail(change: object) -> None:
        raise RuntimeError

    stores.revocations.watch(fail)
    stores.revocations.apply([Revoked("s", 1, NOW.timestamp())])
    assert stores.revocations.covers("s", 1)


async def test_the_feed_s_thread_survives_any_fault(
    stores: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread that a fault ends is silence for ever: each request would ask the database until the next start."""
    ada = await user(stores)
    first, second = await opened(stores, ada, 1), await opened(stores, ada, 2)
    await stores.following.start()
    broken = threading.Event()

    def fail(*_: object) -> None:
        broken.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(stores.following._heard, "advance", fail)
        patched.setattr(stores.following._heard, "reload", fail)
        await stores.sessions.close(first.id, None, NOW)
        assert await asyncio.to_thread(broken.wait, DEADLINE)
    await becomes_true(lambda: stores.following.covers(first.id, 0))
    await becomes_true(lambda: "the revocation feed is back" in caplog.text)
    await stores.sessions.close(second.id, None, NOW)
    await becomes_true(lambda: stores.following.covers(second.id, 0))
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == ["the revocation feed is silent (ZeroDivisionError); requests ask the database until it is back"]


async def test_a_house_that_is_dropped_leaves_no_thread(sqlite_url: str, clock: FrozenClock) -> None:
    """An application that never calls `stop` must not keep its feed, and with it the whole house, for ever."""
    db = Database(sqlite_url)
    db.settle(here=True)
    before = set(threading.enumerate())
    revocations = SqlRevocations(db, clock, Policy())
    await revocations.start()
    (feed,) = [thread for thread in set(threading.enumerate()) - before if thread.name == "watchword-feed"]
    del revocations
    gc.collect()
    await becomes_true(lambda: not feed.is_alive())
    await db.close()


async def test_a_database_that_is_away_is_unavailable_and_never_a_yes(tmp_path: Any, clock: FrozenClock) -> None:
    """FT-01: nobody to ask means 503, not a guess."""
    db = Database("postgresql://nobody@127.0.0.1:9/nothing")
    db.settle(here=True)
    with pytest.raises(Unavailable):
        await SqlRevocations(db, clock, Policy()).ask("s", 0)
    await db.close()


async def test_a_worker_forgets_also_while_more_is_dead_than_it_can_remove(stores: SimpleNamespace) -> None:
    """Where revocations die faster than they are pruned, the last batch never comes, and the memory grew with them."""
    for name in ("a", "b", "c"):
        stores.revocations.apply([Revoked(name, 0, NOW.timestamp())])
    async with stores.db.write() as connection:
        rows = [{"session_id": name, "generation": 0, "expires_at": NOW.timestamp()} for name in ("a", "b", "c")]
        await connection.execute(insert(feed), rows)
    assert await stores.revocations.prune(NOW, 1) == 1
    assert not stores.revocations.covers("c", 0)
