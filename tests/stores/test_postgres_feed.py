"""The revocation feed on PostgreSQL: what it hears, what happens when it does not, and who may not stand in between."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from tests.pooler import pooler
from tests.proxy import Fault, Wire, wire

from watchword.core import clock
from watchword.core.clock import SystemClock
from watchword.core.errors import ConfigError, Unavailable
from watchword.core.keys import KeyRecord
from watchword.core.models import Revoked
from watchword.core.policy import Policy
from watchword.ports import Change, KeysChanged
from watchword.stores.sql import engine, postgres_feed, revocations
from watchword.stores.sql.engine import Database
from watchword.stores.sql.keys import SqlKeys
from watchword.stores.sql.revocations import SqlRevocations
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock
from watchword.testing.contracts import NOW, opened, user

PATIENCE = 20.0
INSERT = "INSERT INTO watchword_feed (session_id, generation, expires_at) VALUES (:session, 0, 4e9)"
LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'watchword feed' AND datname = current_database()"
)


@dataclass
class Worker:
    """A worker that follows, and another that writes."""

    db: Database
    following: SqlRevocations
    clock: FrozenClock
    elsewhere: Database

    async def revoke(self, *sessions: str) -> None:
        """Another machine commits this, with code that knows nothing of notifications."""
        async with self.elsewhere.write() as connection:
            for session in sessions:
                await connection.execute(text(INSERT), {"session": session})

    async def hears(self, session: str) -> None:
        await becomes_true(lambda: self.following.covers(session, 0))

    async def cut(self) -> int:
        """End the connection that listens, as an administrator may; how many there were."""
        async with self.elsewhere.write() as connection:
            pids = (await connection.execute(text(LISTENERS))).scalars().all()
            for pid in pids:
                await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        return len(pids)


async def becomes_true(question: Callable[[], Any]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(0.01)


@pytest.fixture
async def database(postgres_server: Any, postgres_template: str) -> AsyncIterator[str]:
    url = postgres_server.create_database(postgres_template.rsplit("/", 1)[1])
    yield url
    postgres_server.drop_database(url)


def started(url: str) -> Database:
    db = Database(url)
    db.settle(here=True)
    return db


@pytest.fixture
async def between(database: str) -> AsyncIterator[Wire]:
    """The wire that the following worker's bytes pass."""
    async with wire(database) as made:
        yield made


@pytest.fixture
async def worker(database: str, between: Wire) -> AsyncIterator[Worker]:
    clock = FrozenClock()
    db, elsewhere = started(between.url), started(database)
    made = Worker(db, SqlRevocations(db, clock, Policy()), clock, elsewhere)
    await made.following.start()
    yield made
    await made.following.stop()
    await db.close()
    await elsewhere.close()


async def test_what_another_machine_commits_is_heard(worker: Worker) -> None:
    assert worker.following.fresh()
    await worker.revoke("a", "b")
    await worker.hears("a")
    await worker.hears("b")
    assert not worker.following.covers("c", 0)


async def test_a_real_logout_is_heard(worker: Worker) -> None:
    stores: Any = SimpleNamespace(users=SqlUsers(worker.elsewhere), sessions=SqlSessions(worker.elsewhere))
    session = await opened(stores, await user(stores))
    await stores.sessions.close(session.id, None, NOW)
    await worker.hears(session.id)


async def test_a_published_key_is_told(worker: Worker) -> None:
    changes: list[Change] = []
    worker.following.watch(changes.append)
    keys = SqlKeys(worker.elsewhere)
    assert await keys.add(KeyRecord(1, "kid", "ES256", b"sealed", NOW, NOW), await keys.recognise("check"))
    await becomes_true(lambda: changes == [KeysChanged()])


async def test_what_is_rolled_back_is_not_heard(worker: Worker) -> None:
    async def fail() -> None:
        async with worker.elsewhere.write() as connection:
            await connection.execute(text(INSERT), {"session": "a"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await worker.revoke("b")
    await worker.hears("b")
    assert not worker.following.covers("a", 0)


async def test_what_was_revoked_while_the_connection_was_away_is_known_when_it_is_back(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """RV-06: notifications to nobody are lost; so each new connection listens first and reads everything then."""
    for number in range(5):
        await worker.revoke(f"before {number}")
        assert await worker.cut() == 1
        await worker.revoke(f"after {number}")
        await worker.hears(f"before {number}")
        await worker.hears(f"after {number}")
    await becomes_true(lambda: caplog.text.count("the revocation feed is back") == 5)
    assert caplog.text.count("the revocation feed is silent") == 5


async def test_a_connection_that_is_lost_is_not_waited_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next heartbeat would find out, and until then nothing would be heard: here it comes in an hour."""
    monkeypatch.setattr(postgres_feed, "BEAT_SECONDS", 3600)
    beside = SqlRevocations(worker.db, worker.clock, Policy())
    await beside.start()
    assert await worker.cut() == 2
    await worker.revoke("a")
    await becomes_true(lambda: beside.covers("a", 0))
    await beside.stop()


async def test_silence_is_not_taken_for_quiet(worker: Worker, between: Wire) -> None:
    """RV-06: a network that swallows everything breaks no connection. Without a heartbeat a worker would go on accepting
    what others have revoked."""
    between.fail(Fault.SILENCE)
    await worker.revoke("a")
    worker.clock.tick(2.1)
    await asyncio.to_thread(lambda: None)
    assert not worker.following.fresh()
    assert not worker.following.covers("a", 0)
    between.fail(Fault.NONE)
    await worker.hears("a")
    await becomes_true(worker.following.fresh)


async def test_a_heart_that_beats_keeps_the_feed_fresh(worker: Worker) -> None:
    for _ in range(3):
        worker.clock.tick(1.9)
        await becomes_true(lambda: worker.following._heard._up_to == worker.clock.monotonic())
        assert worker.following.fresh()


async def test_a_start_while_the_feed_cannot_connect_asks_the_database(
    database: str, between: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """FT-01: it is no reason not to start, and none to trust an empty set."""
    db, elsewhere = started(between.url), started(database)
    following = SqlRevocations(db, FrozenClock(), Policy())
    between.fail(Fault.REFUSAL)
    await following.start()
    assert not following.fresh()
    between.fail(Fault.NONE)
    await becomes_true(following.fresh)
    assert "the revocation feed is back" in caplog.text
    await following.stop()
    await db.close()
    await elsewhere.close()


async def test_what_this_worker_commits_while_the_set_is_read_stays_in_it(worker: Worker) -> None:
    """A logout that is applied between the SELECT of everything and the replacement by it would be undone in memory."""
    heard = worker.following._heard
    heard.revoked.note()
    worker.following.apply([Revoked("a", 0, 4e9)])
    heard.reload([])
    assert worker.following.covers("a", 0)
    heard.revoked.note()
    heard.reload([])
    assert not worker.following.covers("a", 0)


async def test_who_notifies_something_else_on_the_channel_is_not_heard(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may connect to the database may notify: that must not end the feed."""
    caplog.set_level(logging.WARNING)
    async with worker.elsewhere.write() as connection:
        for payload in ("", "a b", "a b c", "a 1 x", "a 1 1 1", "🎉" * 100):
            await connection.execute(text("SELECT pg_notify('watchword_feed', :payload)"), {"payload": payload})
    await worker.revoke("a")
    await worker.hears("a")
    assert "somebody else notifies watchword_feed" in caplog.text
    assert "silent" not in caplog.text


def following_threads() -> set[threading.Thread]:
    """Those of other tests of this process among them."""
    return {thread for thread in threading.enumerate() if thread.name == "watchword-feed"}


async def test_a_stop_leaves_neither_thread_nor_connection(worker: Worker) -> None:
    thread = worker.following._feed._thread  # type: ignore[union-attr]
    await worker.following.stop()
    assert thread is not None
    assert not thread.is_alive()
    assert not worker.following.fresh()
    assert await worker.cut() == 0


async def test_a_house_that_is_dropped_leaves_no_thread(database: str) -> None:
    """An application that never calls `stop` must not keep its feed, and with it the whole house, for ever."""
    db = started(database)
    revocations, others = SqlRevocations(db, FrozenClock(), Policy()), following_threads()
    await revocations.start()
    (thread,) = following_threads() - others
    del revocations
    gc.collect()
    await becomes_true(lambda: not thread.is_alive())
    await db.close()


async def test_a_clock_that_is_wrong_is_set_right_by_the_database(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RF-05: a machine whose clock is ahead would take an honest retry of a refresh for a copy, and end the session."""
    monkeypatch.setattr(clock, "machine_time", lambda: time.time() + 100)
    monkeypatch.setattr(postgres_feed, "machine_time", lambda: time.time() + 100)
    ours, db = SystemClock(), started(database)
    following = SqlRevocations(db, ours, Policy())
    assert ours.timestamp() > time.time() + 90
    await following.start()
    await becomes_true(lambda: abs(ours.timestamp() - time.time()) < 10)
    assert abs(ours.ahead + 100) < 10
    await following.stop()
    await db.close()


async def test_whoever_is_asked_in_place_of_the_feed_has_to_answer_soon(
    worker: Worker, between: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FT-01, RV-06: the network swallows everything. A request that waits for ever is not refused, and holds its place."""
    monkeypatch.setattr(revocations, "ASK_SECONDS", 0.1)
    assert not await worker.following.ask("a", 0)
    between.fail(Fault.SILENCE)
    with pytest.raises(Unavailable):
        await worker.following.ask("a", 0)


async def test_no_verb_waits_for_ever(worker: Worker, between: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """FT-01: the same for whatever else wants something of the database."""
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 0.1)
    between.fail(Fault.SILENCE)
    with pytest.raises(Unavailable):
        await SqlUsers(worker.db).find("ada@example.com")


async def test_an_address_of_its_own_for_the_feed(database: str) -> None:
    """Behind a pooler the feed goes round it."""
    async with pooler(database, "transaction") as between:
        db, elsewhere = (
            started(between.url + "?prepared_statement_cache_size=0&statement_cache_size=0"),
            started(database),
        )
        worker = Worker(db, SqlRevocations(db, FrozenClock(), Policy(), database), FrozenClock(), elsewhere)
        await worker.following.start()
        assert worker.following.fresh()
        await worker.revoke("a")
        await worker.hears("a")
        await worker.following.stop()
        await db.close()
        await elsewhere.close()


@pytest.mark.parametrize("where", ["another database", "nowhere"])
async def test_an_address_for_the_feed_that_leads_elsewhere_is_refused(
    database: str, postgres_server: Any, postgres_template: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RV-06: the feed of a copy of the database is well and says nothing: no logout would ever be heard."""
    monkeypatch.setattr(postgres_feed, "SILENT_SECONDS", 0.5)
    other = postgres_server.create_database(postgres_template.rsplit("/", 1)[1])
    db = started(database)
    following = SqlRevocations(
        db, FrozenClock(), Policy(), other if where == "another database" else "postgresql://nobody@127.0.0.1:9/nothing"
    )
    others = following_threads()
    with pytest.raises(ConfigError, match="WATCHWORD_FEED_DATABASE_URL can't be reached, or leads to another database"):
        await following.start()
    assert not following.fresh()
    assert not following_threads() - others
    await db.close()
    postgres_server.drop_database(other)


class TestPooler:
    """PgBouncer between a worker and its database."""

    @pytest.mark.parametrize("most", [1, 20])
    async def test_one_that_shares_connections_between_transactions_is_refused(self, database: str, most: int) -> None:
        """RV-06: there LISTEN is said on a connection that somebody else has a moment later, and a heartbeat to oneself comes
        back all the same: the worker would take silence for quiet."""
        async with pooler(database, "transaction", most=most) as between:
            db = started(between.url + "?prepared_statement_cache_size=0")
            following = SqlRevocations(db, FrozenClock(), Policy())
            with pytest.raises(ConfigError, match="WATCHWORD_FEED_DATABASE_URL"):
                await following.start()
            assert not following.fresh()
            await following.stop()
            await db.close()

    async def test_one_that_gives_each_client_its_own_is_fine(self, database: str) -> None:
        async with pooler(database, "session") as between:
            db, elsewhere = started(between.url), started(database)
            worker = Worker(db, SqlRevocations(db, FrozenClock(), Policy()), FrozenClock(), elsewhere)
            await worker.following.start()
            assert worker.following.fresh()
            await worker.revoke("a")
            await worker.hears("a")
            await worker.following.stop()
            await db.close()
            await elsewhere.close()
