"""SQLite's feed: a thread polls `PRAGMA data_version` on a connection that never writes, and reads new rows when it moves."""

import asyncio
import logging
import sqlite3
import threading
import weakref
from pathlib import Path

from watchword.stores.sql.engine import FileIdentity, identity
from watchword.stores.sql.heard import FeedRow, Heard

logger: logging.Logger = logging.getLogger("watchword.feed")

POLL_SECONDS = 0.1

LIVE = "expires_at > ? OR position = (SELECT max(position) FROM watchword_feed)"
"""And the newest row, by which a rewound feed is recognised."""

STOP_SECONDS = 5.0
"""How long a stop waits for the thread."""


class SqliteFeed:
    """Follows the file in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    async def start(self, heard: Heard) -> None:
        """See `heard.Feed.start`. What can't be read now raises sqlite3.Error or OSError."""
        follower = Follower(self._path, self._stopped)
        follower.poll(heard)
        self._thread = threading.Thread(
            target=_follow, args=(weakref.ref(heard), follower), name="watchword-feed", daemon=True
        )
        self._thread.start()
        weakref.finalize(heard, self._stopped.set)

    async def stop(self) -> None:
        """See `heard.Feed.stop`. The file is let go before this returns: of connections that close at the same time none is
        SQLite's last one, and the write-ahead log would stay beside the file, unseen by whoever copies it.
        """
        self._stopped.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)


class Follower:
    """A connection to the SQLite file that only reads, and how far it has read."""

    def __init__(self, path: Path, stopped: threading.Event) -> None:
        self.stopped = stopped
        self._path = path
        self._file: FileIdentity | None = None
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._last: FeedRow | None = None

    def poll(self, heard: Heard) -> None:
        """Read what is new, if another connection has committed anything since. Raises sqlite3.Error and OSError."""
        at = heard.monotonic()  # before reading: this process may be stopped for a while behind it
        connection = self._connect()
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._read(connection, heard)
            self._version = version
        heard.up_to(at)

    def _read(self, connection: sqlite3.Connection, heard: Heard) -> None:
        """Read on from the last row. Where that is not there any more, the feed was rewound (a restored backup)."""
        columns = "SELECT position, session_id, generation, expires_at FROM watchword_feed"
        rows: list[FeedRow] = []
        if self._last is not None:
            rows = connection.execute(f"{columns} WHERE position >= ? ORDER BY position", self._last[:1]).fetchall()
        if rows and rows[0] == self._last:
            heard.advance(rows[1:])
        else:
            heard.revoked.note()
            rows = connection.execute(f"{columns} WHERE {LIVE} ORDER BY position", [heard.dead_by()]).fetchall()
            heard.reload(rows)
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


def _follow(reference: "weakref.ref[Heard]", follower: Follower) -> None:
    """The feed's thread: poll until stopped. A failure is silence, and silence makes requests ask the database."""
    while not follower.stopped.wait(POLL_SECONDS) and (heard := reference()) is not None:
        try:
            follower.poll(heard)
        except Exception as error:
            heard.silent(error, trace=True)
            follower.close()
        del heard
    follower.close()
