"""SQLite's write-ahead log comes into the file beside the writers.

By itself SQLite has that done by whoever commits the thousandth page: one login in a hundred waits until a thousand pages
are on the disk, and all those behind it.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from watchword.core.errors import Unavailable
from watchword.stores.sql.faults import unavailable
from watchword.stores.sql.kept import Kept

EVERY_SECONDS = 0.25
"""After something was written: many writers share one, and it is small enough that nobody's commit waits long behind it."""

LONG = 4_000
"""Pages of the log. From there on it is brought in to its end, while nobody writes, so that it begins anew."""

AT_LAST = 10_000
"""Pages of the log after which SQLite does it by itself, where nobody else did."""


class Checkpoints:
    """Those of one engine, on its event loop. They are part of what is at `work` there, and a close waits for them; the last
    connection that closes brings in the rest by itself."""

    def __init__(
        self, kept: Kept, turn: Callable[[], AbstractAsyncContextManager[None]], work: set[asyncio.Task[Any]]
    ) -> None:
        self._kept = kept
        self._turn = turn
        self._work = work
        self._due_on: asyncio.AbstractEventLoop | None = None
        self._taking: asyncio.Task[None] | None = None
        self._ended = False

    def due(self) -> None:
        """Something was written: soon it will be in the file. A loop that ended before has kept none of its promises."""
        loop = asyncio.get_running_loop()
        if self._due_on is not loop:
            self._due_on = loop
            loop.call_later(EVERY_SECONDS, self._begin)

    def end(self) -> None:
        """Begin no more of them: a close waits for what is at work, and for nothing that begins meanwhile."""
        self._ended = True

    async def take(self) -> None:
        """Bring in what is in the log now. Where another process is at it, it is left to that one; where the database fails,
        to the next time: nothing is lost with it."""
        with contextlib.suppress(Unavailable), unavailable():
            await self._kept.lend(self._take)

    def _begin(self) -> None:
        """One at a time: while others' commits are slow each waits for its turn, and soon they would hold all connections."""
        self._due_on, loop = None, asyncio.get_running_loop()
        if self._ended:
            return
        if self._taking is not None and not self._taking.done() and self._taking.get_loop() is loop:
            self.due()
            return
        self._taking = task = loop.create_task(self.take())
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _take(self, driver: Any) -> None:
        if await driver._execute(_checkpoint, driver._conn) >= LONG:
            async with self._turn():
                await driver._execute(_checkpoint, driver._conn)


def _checkpoint(connection: sqlite3.Connection) -> int:
    """In the connection's own thread. How many pages the log has."""
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
