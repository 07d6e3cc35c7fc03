"""The feed of a SQLite worker when things go wrong: silence is asked about, a rewind is read anew, nothing is guessed."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from watchword.core.errors import Unavailable
from watchword.core.policy import Policy
from watchword.ports import Change, KeysChanged
from watchword.stores.sql.engine import Database
from watchword.stores.sql.revocations import SqlRevocations
from watchword.stores.sql.sqlite_feed import Follower, SqliteFeed
from watchword.testing import FrozenClock

PATIENCE = 20.0
POLICY = Policy()
SILENCE = POLICY.revocation_staleness.total_seconds() + 0.1
FOR_EVER = 1e12
INSERT = "INSERT INTO watchword_feed (session_id, generation, expires_at) VALUES (?, 9, ?)"
REWIND = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'watchword_feed'"


class Worker:
    """One worker's feed; `revoke` and `sql` are what another process does to the file."""

    def __init__(self, url: str) -> None:
        self.clock = FrozenClock()
        self.db = Database(url)
        self.path = Path(str(self.db.path))
        self.feed = SqlRevocations(self.db, self.clock, POLICY)

    @contextmanager
    def elsewhere(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            yield connection

    def revoke(self, *sessions: str) -> None:
        with self.elsewhere() as connection:
            connection.executemany(INSERT, [(session, FOR_EVER) for session in sessions])

    async def refuses(self, session: str) -> bool:
        """What a request is told: the set's word, or the database's where the feed is silent."""
        return self.feed.covers(session, 0) or (not self.feed.fresh() and await self.feed.ask(session, 0))

    def go_silent(self) -> None:
        """End the feed's thread, as a fault in it would, and let the time pass after which that counts."""
        assert isinstance(self.feed._feed, SqliteFeed)
        self.feed._feed._stopped.set()
        self.clock.tick(SILENCE)


@pytest.fixture
async def worker(sqlite_url: str) -> AsyncIterator[Worker]:
    worker = Worker(sqlite_url)
    worker.db.settle(here=True)
    await worker.feed.start()
    yield worker
    await worker.feed.stop()
    await worker.db.close()


async def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


async def test_what_another_process_revokes_is_heard(worker: Worker) -> None:
    worker.revoke("a", "b")
    await until(lambda: worker.feed.covers("a", 0) and worker.feed.covers("b", 0))
    assert not worker.feed.covers("c", 0)


async def test_a_feed_whose_thread_died_is_replaced_by_asking_the_database(worker: Worker) -> None:
    """RV-06: a dead thread must not mean that nothing is revoked any more."""
    worker.go_silent()
    worker.revoke("a")
    assert not worker.feed.fresh()
    assert await worker.refuses("a")
    assert not await worker.refuses("b")


async def test_silence_counts_from_the_moment_before_the_last_reading(worker: Worker) -> None:
    """A worker that was stopped behind its reading must not take old news for fresh when it goes on."""
    worker.go_silent()
    follower = Follower(worker.path, threading.Event())
    follower.poll(worker.feed._heard)
    assert worker.feed.fresh()
    worker.feed.watch(lambda change: worker.clock.tick(SILENCE))
    worker.revoke("a")
    follower.poll(worker.feed._heard)
    assert not worker.feed.fresh()
    follower.close()


async def test_nobody_is_accepted_while_neither_feed_nor_database_can_be_read(worker: Worker) -> None:
    """RV-06: 503, never 200; and the feed is back by itself when its table is."""
    with worker.elsewhere() as connection:
        connection.execute("ALTER TABLE watchword_feed RENAME TO away")
    worker.clock.tick(SILENCE)
    await until(lambda: not worker.feed.fresh())
    with pytest.raises(Unavailable):
        await worker.refuses("a")
    with worker.elsewhere() as connection:
        connection.execute("ALTER TABLE away RENAME TO watchword_feed")
        connection.execute(INSERT, ("a", FOR_EVER))
    await until(worker.feed.fresh)
    assert worker.feed.covers("a", 0)


async def test_each_change_of_the_feed_s_state_is_told_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """An operator who reads the log knows when requests began to cost a query, when they began to be refused, and that it is
    over: not one line for each of a thousand requests."""

    def told() -> list[str]:
        return [record.getMessage().partition(" (")[0] for record in caplog.records if record.name == "watchword.feed"]

    stopped = worker.feed._feed
    assert isinstance(stopped, SqliteFeed)
    await stopped.stop()
    worker.clock.tick(SILENCE)
    for _ in range(3):
        assert not await worker.refuses("a")
    asked = ["the revocation feed is silent; the database answers what requests ask it"]
    assert told() == asked
    with worker.elsewhere() as connection:
        connection.execute("ALTER TABLE watchword_feed RENAME TO away")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await worker.refuses("a")
    assert told() == [*asked, "neither the revocation feed nor the database answers"]
    with worker.elsewhere() as connection:
        connection.execute("ALTER TABLE away RENAME TO watchword_feed")
    for _ in range(3):
        assert not await worker.refuses("a")
    assert told() == [*asked, "neither the revocation feed nor the database answers", *asked]
    follower = Follower(worker.path, threading.Event())
    for _ in range(3):
        follower.poll(worker.feed._heard)
    follower.close()
    assert told()[3:] == ["the revocation feed is back"]


async def test_a_feed_that_can_not_be_read_is_told_once_by_its_thread(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    with worker.elsewhere() as connection:
        connection.execute("ALTER TABLE watchword_feed RENAME TO away")
    await until(lambda: "the revocation feed is silent" in caplog.text)
    with worker.elsewhere() as connection:
        connection.execute("ALTER TABLE away RENAME TO watchword_feed")
    await until(lambda: "the revocation feed is back" in caplog.text)
    assert caplog.text.count("the revocation feed is silent") == 1


async def test_a_rewound_feed_is_read_from_the_start(worker: Worker) -> None:
    """RV-06: a restored backup; the newest rows are gone, and their positions are given again."""
    changes: list[Change] = []
    worker.feed.watch(changes.append)
    worker.revoke("a", "b", "c")
    await until(lambda: worker.feed.covers("c", 0))
    with worker.elsewhere() as connection:
        connection.execute("DELETE FROM watchword_feed WHERE session_id != 'a'")
        connection.execute(REWIND, (1,))
    await until(lambda: not worker.feed.covers("c", 0))
    assert worker.feed.covers("a", 0)
    assert KeysChanged() in changes, "the keys may have been rewound too"
    worker.revoke("d")
    await until(lambda: worker.feed.covers("d", 0))


@pytest.mark.parametrize("again", [("d", "e"), ("d", "e", "f")], ids=["as far", "further"])
async def test_a_feed_that_was_rewound_and_has_caught_up_is_recognised(worker: Worker, again: tuple[str, ...]) -> None:
    """RV-06: between two polls the positions may be given again, so the newest position alone proves nothing."""
    worker.revoke("a", "b", "c")
    await until(lambda: worker.feed.covers("c", 0))
    with worker.elsewhere() as connection:
        connection.execute("DELETE FROM watchword_feed WHERE session_id != 'a'")
        connection.execute(REWIND, (1,))
        connection.executemany(INSERT, [(session, FOR_EVER) for session in again])
    await until(lambda: all(worker.feed.covers(session, 0) for session in ("a", *again)))
    assert not worker.feed.covers("c", 0)


async def test_a_feed_that_was_emptied_is_recognised(worker: Worker) -> None:
    worker.revoke("a")
    await until(lambda: worker.feed.covers("a", 0))
    with worker.elsewhere() as connection:
        connection.execute("DELETE FROM watchword_feed")
        connection.execute(REWIND, (0,))
    await until(lambda: not worker.feed.covers("a", 0))
    worker.revoke("b")
    await until(lambda: worker.feed.covers("b", 0))


async def test_the_file_that_replaces_the_database_is_followed_and_asked(worker: Worker) -> None:
    """A connection lives on when its file is replaced, and would hear nothing for ever, and call that fresh."""
    assert not await worker.feed.ask("a", 0)  # now the pool has a connection to the old file
    new = worker.path.with_name("new.db")
    with closing(sqlite3.connect(worker.path)) as old, closing(sqlite3.connect(new)) as copy:
        old.backup(copy)
    new.replace(worker.path)
    worker.revoke("a")
    await until(lambda: worker.feed.covers("a", 0))
    assert await worker.feed.ask("a", 0)
    worker.go_silent()
    worker.revoke("b")
    assert await worker.refuses("b")


async def test_a_file_that_is_gone_is_not_made_again(worker: Worker) -> None:
    """An empty file in its place would be a house without revocations."""
    assert not await worker.feed.ask("a", 0)
    worker.path.rename(worker.path.with_name("away.db"))
    worker.clock.tick(SILENCE)
    await until(lambda: not worker.feed.fresh())
    with pytest.raises(Unavailable):
        await worker.refuses("a")
    assert not worker.path.exists()
