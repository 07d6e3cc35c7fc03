"""`ports.Revocations` on SQL: the live set in memory, and the feed that keeps it.

SQLite: a thread of its own polls `PRAGMA data_version` on a connection that never writes, and reads the new rows when it
moves. PostgreSQL: until its feed is built, no worker can know what another has revoked, so each asks per request.
"""

import asyncio
import logging
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, select

from watchword.core.clock import Clock
from watchword.core.models import Revoked
from watchword.core.policy import Policy
from watchword.core.revoked import RevokedSet
from watchword.ports import Change, KeysChanged
from watchword.stores.sql.engine import Database, FileIdentity, identity, verb
from watchword.stores.sql.tables import feed

logger: logging.Logger = logging.getLogger("watchword.feed")

STOP_SECONDS = 5.0
"""How long a stop waits for the feed's thread."""

POLL_SECONDS = 0.1

BATCH = 1000
"""Rows that are pruned in one transaction."""

FeedRow = tuple[int, str | None, int, float]
"""Position, session, generation, expiry."""


class SqlRevocations:
    """Revocations in a SQL database, followed by this worker."""

    def __init__(self, db: Database, clock: Clock, policy: Policy) -> None:
        self._db = db
        self._clock = clock
        self._staleness = policy.revocation_staleness.total_seconds()
        self._set = RevokedSet()
        self._listeners: list[Callable[[Change], None]] = []
        self._heard_at = float("-inf")
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @verb
    async def start(self) -> None:
        """See `ports.Revocations.start`."""
        self._stopped = threading.Event()
        path = self._db.path
        if path is not None:
            follower = _Follower(path, self._stopped)
            follower.poll(self)
            self._thread = threading.Thread(
                target=_follow, args=(weakref.ref(self), follower), name="watchword-feed", daemon=True
            )
            self._thread.start()
            weakref.finalize(self, self._stopped.set)

    async def stop(self) -> None:
        """See `ports.Revocations.stop`. The file is let go before this returns: of connections that close at the same time
        none is SQLite's last one, and the write-ahead log would stay beside the file, unseen by whoever copies it.
        """
        self._stopped.set()
        self._heard_at = float("-inf")
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join, STOP_SECONDS)

    def fresh(self) -> bool:
        """See `ports.Revocations.fresh`."""
        return self._clock.monotonic() - self._heard_at <= self._staleness

    def covers(self, session_id: str, generation: int) -> bool:
        """See `ports.Revocations.covers`."""
        return self._set.covers(session_id, generation)

    @verb
    async def ask(self, session_id: str, generation: int) -> bool:
        """See `ports.Revocations.ask`."""
        statement = select(feed.c.position).where(feed.c.session_id == session_id, feed.c.generation >= generation)
        async with self._db.read() as connection:
            return (await connection.execute(statement.limit(1))).first() is not None

    @verb
    async def live(self, now: datetime) -> Sequence[Revoked]:
        """See `ports.Revocations.live`."""
        timestamp = now.timestamp()
        if self.fresh():
            return self._set.live(timestamp)
        statement = select(feed.c.session_id, feed.c.generation, feed.c.expires_at).where(
            feed.c.session_id.is_not(None), feed.c.expires_at > timestamp
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).all()
        read = RevokedSet()
        read.replace(Revoked(*row) for row in rows)
        return read.live(timestamp)

    def apply(self, revoked: Iterable[Revoked]) -> None:
        """See `ports.Revocations.apply`."""
        for one in revoked:
            if self._set.add(one):
                self._tell(one)

    def watch(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """See `ports.Revocations.watch`."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @verb
    async def prune(self, now: datetime) -> int:
        """See `ports.Revocations.prune`. The newest row stays, so that a rewound feed is recognised."""
        self._set.forget(now.timestamp())
        newest = select(feed.c.position).order_by(feed.c.position.desc()).limit(1).scalar_subquery()
        dead = select(feed.c.position).where(feed.c.expires_at <= now.timestamp(), feed.c.position < newest)
        statement = delete(feed).where(feed.c.position.in_(dead.limit(BATCH)))
        pruned = 0
        while True:  # in transactions of their own: others write in between
            async with self._db.write() as connection:
                removed = (await connection.execute(statement)).rowcount
            pruned += removed
            if removed < BATCH:
                return pruned

    def monotonic(self) -> float:
        """The clock by which the feed's silence is measured."""
        return self._clock.monotonic()

    def heard(self, at: float) -> None:
        """The feed was read to the end that it had at that moment."""
        self._heard_at = at

    def reload(self, rows: Iterable[FeedRow]) -> None:
        """The whole live set, after a start or a rewind. Keys are loaded anew too: any change may have been missed."""
        revocations = [
            Revoked(session_id, generation, until) for _, session_id, generation, until in rows if session_id
        ]
        for revoked in self._set.replace(revocations):
            self._tell(revoked)
        self._tell(KeysChanged())

    def advance(self, rows: Iterable[FeedRow]) -> None:
        """Rows that came after those already read."""
        for _, session_id, generation, until in rows:
            if session_id is None:
                self._tell(KeysChanged())
            else:
                self.apply([Revoked(session_id, generation, until)])

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            try:
                listener(change)
            except Exception:
                logger.exception("a listener of the feed failed")


class _Follower:
    """A connection to the SQLite file that only reads, and how far it has read."""

    def __init__(self, path: Path, stopped: threading.Event) -> None:
        self.stopped = stopped
        self._path = path
        self._file: FileIdentity | None = None
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._last: FeedRow | None = None

    def poll(self, revocations: SqlRevocations) -> None:
        """Read what is new, if another connection has committed anything since. Raises sqlite3.Error and OSError."""
        at = revocations.monotonic()  # before reading: this process may be stopped for a while behind it
        connection = self._connect()
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._read(connection, revocations)
            self._version = version
        revocations.heard(at)

    def _read(self, connection: sqlite3.Connection, revocations: SqlRevocations) -> None:
        """Read on from the last row. Where that is not there any more, the feed was rewound (a restored backup)."""
        columns = "SELECT position, session_id, generation, expires_at FROM watchword_feed"
        rows: list[FeedRow] = []
        if self._last is not None:
            rows = connection.execute(f"{columns} WHERE position >= ? ORDER BY position", self._last[:1]).fetchall()
        if rows and rows[0] == self._last:
            revocations.advance(rows[1:])
        else:
            rows = connection.execute(f"{columns} ORDER BY position").fetchall()
            revocations.reload(rows)
        self._last = rows[-1] if rows else None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != identity(self._path):
            logger.warning("the database's file was replaced; its feed is read from the start")
            self.close()
        if self._connection is None:
            self._file = identity(self._path)
            uri = f"{self._path.as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=1)
            self._connection.execute("PRAGMA query_only=ON")
        return self._connection

    def close(self) -> None:
        """Let the connection go; the next poll opens one and reads from the start."""
        connection, self._connection = self._connection, None
        self._version, self._last = -1, None
        if connection is not None:
            connection.close()


def _follow(reference: "weakref.ref[SqlRevocations]", follower: _Follower) -> None:
    """The feed's thread: poll until stopped. A failure is silence, and silence makes requests ask the database."""
    silent = False
    while not follower.stopped.wait(POLL_SECONDS) and (revocations := reference()) is not None:
        try:
            follower.poll(revocations)
            if silent:
                logger.warning("the revocation feed is back")
            silent = False
        except Exception:
            if not silent:
                logger.exception("the revocation feed is silent; requests ask the database meanwhile")
            silent = True
            follower.close()
        del revocations
    follower.close()
