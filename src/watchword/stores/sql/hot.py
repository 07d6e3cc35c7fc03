"""The shortest way to a database for the verbs that run all the time, on engines of our own.

A statement is compiled once and goes straight to the driver, on a connection of SQLAlchemy's pool: for a statement with many
expressions that costs a tenth of the CPU. On PostgreSQL it is a transaction by itself, in one round trip. On SQLite, where
each commit waits for the disk, those that come meanwhile are committed together.
"""

import asyncio
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Dialect, ReturnsRows, func, select
from sqlalchemy.sql.compiler import SQLCompiler

from watchword.core.errors import Unavailable
from watchword.stores.sql import engine
from watchword.stores.sql.engine import Database

SEEING = ("read committed", "read uncommitted")
"""Isolations in which each statement sees what was committed before it. PostgreSQL 13.2."""

TOGETHER = 64
"""Statements in one of SQLite's transactions: other processes wait for its end."""

SPELL = 32
"""Transactions on one loan of a connection."""

R = TypeVar("R")
Work = Callable[[sqlite3.Connection], R]


class Prepared:
    """A Core statement with named bind parameters that returns rows, as one driver takes it."""

    def __init__(self, statement: Any, returns: ReturnsRows, dialect: Dialect) -> None:
        compiled: SQLCompiler = statement.compile(dialect=dialect)
        columns = returns.exported_columns.values()
        self.sql: str = str(compiled)
        self._fixed = compiled.params
        self._names = list(compiled.positiontup or ())
        self._into = {
            name: into
            for name, one in compiled.binds.items()
            if (into := one.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        self._out_of = [
            (place, out)
            for place, one in enumerate(columns)
            if (out := one.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
        ]
        make: Callable[[str, list[str]], Any] = namedtuple
        self._row = make("Row", [one.key for one in columns])

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order in which the driver wants them."""
        everything, into = {**self._fixed, **values}, self._into
        return [into[name](everything[name]) if name in into else everything[name] for name in self._names]

    def row(self, raw: Sequence[Any]) -> Any:
        """A row with the columns' names, and values as Core would give them."""
        cells = list(raw)
        for place, out in self._out_of:
            cells[place] = out(cells[place])
        return self._row._make(cells)


class OneTrip:
    """PostgreSQL: a statement is a transaction, and one round trip."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._alone: bool | None = None

    async def first(self, statement: Prepared, values: Mapping[str, Any]) -> Any:
        """The first row; None when there is none. Raises Unavailable."""
        try:
            rows = await self._db.kept.fetch(statement.sql, statement.arguments(values))
        except Exception as error:
            raise Unavailable(f"the database failed: {type(error).__name__}") from error
        return statement.row(tuple(rows[0].values())) if rows else None

    async def sees(self) -> bool:
        """Whether a statement by itself sees what was committed before it, also after it had to wait. Else it needs a
        transaction that says so: an administrator chose another default."""
        if self._alone is None:
            async with self._db.read() as connection:
                isolation = select(func.current_setting("default_transaction_isolation"))
                self._alone = (await connection.execute(isolation)).scalar_one() in SEEING
        return self._alone


class Together:
    """SQLite: whoever comes while others commit shares the next transaction, and its one wait for the disk."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def do(self, work: Work[R]) -> R:
        """What `work` answers, when it is committed. It runs in the connection's thread, after those that came before.

        Raises Unavailable, and then nothing of its transaction was done.
        """
        loop = asyncio.get_running_loop()
        mine: tuple[Work[R], asyncio.Future[R]] = work, loop.create_future()
        self._waiting.append(mine)
        if self._committing is None:
            self._committing = loop.create_task(self._commit())
        patience = loop.call_later(engine.TURN_SECONDS, self._give_up, mine)
        try:
            return await mine[1]
        finally:
            patience.cancel()

    def _give_up(self, one: tuple[Work[Any], asyncio.Future[Any]]) -> None:
        """Who has waited so long for those before is told, unless the turn has come."""
        if one in self._waiting:
            self._waiting.remove(one)
            one[1].set_exception(Unavailable("the database failed: somebody else writes for too long"))

    async def _commit(self) -> None:
        try:
            while self._waiting:
                await self._spell()
        finally:
            self._committing = None

    async def _spell(self) -> None:
        """Some transactions on one connection. At the next loan it is looked at again whether the file is still the same."""
        now: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        try:
            async with self._db.engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                for _ in range(SPELL):
                    async with self._db.writing():
                        now, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                        answers = await driver._execute(_do_all, driver._conn, [work for work, _ in now])
                    for (_, done), answer in zip(now, answers, strict=True):
                        if not done.done():  # who was cancelled meanwhile is not told, and the others are
                            done.set_result(answer)
                    now = []
                    if not self._waiting:
                        return
        except Exception as error:
            if not now:  # nobody's turn has come: whoever waits is told
                now, self._waiting = self._waiting, []
            for _, done in now:
                if not done.done():
                    done.set_exception(error)


def _do_all(connection: sqlite3.Connection, works: list[Work[Any]]) -> list[Any]:
    """In the connection's own thread: one trip there for all of it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            answers = [work(connection) for work in works]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise Unavailable(f"the database failed: {type(error).__name__}") from error
    return answers
