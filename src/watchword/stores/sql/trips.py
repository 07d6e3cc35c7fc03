"""SQLite with one trip to the connection's thread for a statement.

aiosqlite makes four of it (a cursor, the statement, its rows, the end of the cursor), and a trip costs as much as a small
statement: a login had 53.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Self

import aiosqlite


class Cursor:
    """As much of a cursor as SQLAlchemy asks for. All rows are there when `execute` returns, and nothing is left open."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount: int = -1
        self.lastrowid: int | None = None
        self.arraysize: int = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        await self._trip(sqlite3.Cursor.execute, sql, parameters)

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        await self._trip(sqlite3.Cursor.executemany, sql, parameters)

    async def fetchall(self) -> list[Any]:
        """The rows, once."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Nothing is open."""

    async def _trip(self, way: Any, sql: str, parameters: Any) -> None:
        go: Any = self._connection._execute
        await go(self._run, way, sql, parameters)

    def _run(self, way: Any, sql: str, parameters: Any) -> None:
        cursor = self._connection._conn.cursor()
        try:
            way(cursor, sql, parameters)
            self._rows = cursor.fetchall()
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()


class Connection(aiosqlite.Connection):
    """A connection whose cursors are these."""

    def cursor(self) -> Cursor:  # type: ignore[override]
        return Cursor(self)

    @property
    def _conn(self) -> sqlite3.Connection:
        """For one that was closed, a fault of the driver's: aiosqlite's own is a ValueError, as a mistake of ours might be."""
        if self._connection is None or not self._running:
            raise sqlite3.OperationalError("no active connection")
        return self._connection

    def terminate(self) -> None:
        """Close it after what it is doing. Nobody waits for that and no loop is told: it may be gone."""
        self._running = False
        self._tx.put_nowait((None, self._end))

    def _end(self) -> object:
        """In the connection's thread, which ends with it."""
        last, self._connection = self._connection, None
        if last is not None:
            last.close()
        return aiosqlite.core._STOP_RUNNING_SENTINEL


def connect(*arguments: Any, **options: Any) -> Connection:
    """As `aiosqlite.connect`: to be awaited, and then open."""
    return Connection(lambda: sqlite3.connect(*arguments, **options), iter_chunk_size=64)
