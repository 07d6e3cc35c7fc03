"""The shortest way to a database for the verbs that run all the time: logins and refreshes.

A verb is written once, as a generator of its transaction's statements. On an engine of our own each is compiled once and goes
straight to the driver: for a statement with many expressions that costs a tenth of the CPU. On a host's engine, which may
watch each statement, SQLAlchemy runs them. On SQLite, where each commit waits for the disk, those that come meanwhile are
committed together.
"""

import asyncio
import sqlite3
from collections import namedtuple
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Dialect, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from watchword.core.errors import Unavailable
from watchword.stores.sql import engine
from watchword.stores.sql.engine import Database
from watchword.stores.sql.kept import Kept

SEEING = ("read committed", "read uncommitted")
"""Isolations in which each statement sees what was committed before it. PostgreSQL 13.2."""

TOGETHER = 64
"""Verbs in one of SQLite's transactions: other processes wait for its end."""

SPELL = 32
"""Transactions on one loan of a connection."""

ONE_S_OWN = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)
"""Faults of a statement and its values. Any other of SQLite's is the database's: the disk is full, the file is damaged."""

R = TypeVar("R")
W = TypeVar("W")


class _Failure(NamedTuple):
    """What comes of a work that failed, and that the others of its transaction have nothing to do with."""

    error: Exception


Work = Callable[[sqlite3.Connection], R | _Failure]
Share = Callable[[sqlite3.Connection, Sequence[W]], Sequence[R | _Failure]]
"""What does the works of several at once, in a connection's thread."""


class Prepared:
    """A Core statement with named bind parameters, as one driver takes it."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled: SQLCompiler = statement.compile(dialect=dialect)
        columns = statement.exported_columns.values()
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


class Statement:
    """A Core statement with named bind parameters, kept as each driver takes it."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self._prepared: dict[str, Prepared] = {}

    def prepared(self, dialect: Dialect) -> Prepared:
        """Compiled at the first time."""
        found = self._prepared.get(dialect.name)
        if found is None:
            found = self._prepared[dialect.name] = Prepared(self.core, dialect)
        return found


Steps = Generator[tuple[Statement, Mapping[str, Any]], list[Any], R]
"""A transaction: what it asks for, one statement after another, for which it is sent the rows; and what comes of it."""


class Undo(Exception):
    """What a transaction answers that is to be rolled back."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer


class Way(Protocol):
    """How statements reach a database. What the driver raises is raised; `faults.unavailable` knows it."""

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        """The first row of a statement by itself that only reads; None when there is none."""

    async def run(self, steps: Steps[R]) -> R:
        """What comes of a transaction, when it is committed. When it raises, nothing of it was done."""


def way(db: Database, purpose: str) -> Way:
    """The shortest there is to this database. `purpose` says whose connections it takes, of those that are kept."""
    if db.is_hosts:
        return ByCore(db)
    return (Together if db.is_sqlite else Straight)(db, purpose)


class ByCore:
    """By way of SQLAlchemy, on a host's engine."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        async with self._db.read() as connection:
            return (await connection.execute(statement.core, values)).first()

    async def run(self, steps: Steps[R]) -> R:
        try:
            async with self._db.write() as connection:
                return await _drive(steps, lambda *step: _by_core(connection, *step))
        except Undo as undo:
            return undo.answer  # type: ignore[no-any-return]


class _OnKept:
    """On the connections that are kept for one purpose."""

    def __init__(self, db: Database, purpose: str) -> None:
        self._db = db
        self._purpose = purpose

    @property
    def _kept(self) -> Kept:
        return self._db.kept[self._purpose]


class Straight(_OnKept):
    """PostgreSQL, straight to the driver."""

    def __init__(self, db: Database, purpose: str) -> None:
        super().__init__(db, purpose)
        self._sees: bool | None = None

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        """Also for one that writes, if the database `sees`: it is a transaction, and one round trip."""
        prepared = statement.prepared(self._db.engine.dialect)
        rows = await self._kept.fetch(prepared.sql, prepared.arguments(values))
        return prepared.row(tuple(rows[0].values())) if rows else None

    async def run(self, steps: Steps[R]) -> R:
        dialect = self._db.engine.dialect

        async def work(driver: Any) -> tuple[bool, Any]:
            async def ask(statement: Statement, values: Mapping[str, Any]) -> list[Any]:
                prepared = statement.prepared(dialect)
                rows = await driver.fetch(prepared.sql, *prepared.arguments(values))
                return [prepared.row(tuple(row.values())) for row in rows]

            try:
                return True, await _drive(steps, ask)
            except Undo as undo:
                return False, undo.answer

        return await self._kept.within(engine.ISOLATION, work)

    async def sees(self) -> bool:
        """Whether a statement by itself sees what was committed before it, also after it had to wait. Else it needs a
        transaction that says so: an administrator chose another default."""
        if self._sees is None:
            async with self._db.read() as connection:
                isolation = select(func.current_setting("default_transaction_isolation"))
                self._sees = (await connection.execute(isolation)).scalar_one() in SEEING
        return self._sees


_Waiting = tuple[Share[Any, Any], Any, "asyncio.Future[Any]"]


class Together(_OnKept):
    """SQLite: whoever comes while others commit shares the next transaction, and its one wait for the disk."""

    def __init__(self, db: Database, purpose: str) -> None:
        super().__init__(db, purpose)
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        prepared = statement.prepared(self._db.engine.dialect)

        async def ask(driver: Any) -> list[Any]:
            rows: list[Any] = await driver._execute(_rows, driver._conn, prepared, values)
            return rows

        rows = await self._kept.lend(ask)
        return rows[0] if rows else None

    async def run(self, steps: Steps[R]) -> R:
        dialect = self._db.engine.dialect
        return await self.share(_one_by_one, lambda connection: _run(steps, connection, dialect))

    async def share(self, how: Share[W, R], work: W) -> R:
        """What `work` comes to, when it is committed: with those of others that are done in the same way, after what came
        before. When it raises, nothing of it was done. Raises Unavailable when those before take too long.
        """
        loop = asyncio.get_running_loop()
        mine: _Waiting = (how, work, loop.create_future())
        self._waiting.append(mine)
        if self._committing is None:
            self._committing = loop.create_task(self._commit())
        patience = loop.call_later(engine.TURN_SECONDS, self._give_up, mine)
        try:
            answer: R = await mine[2]
            return answer
        finally:
            patience.cancel()

    def _give_up(self, one: _Waiting) -> None:
        """Who has waited so long for those before is told, unless the turn has come."""
        if one in self._waiting:
            self._waiting.remove(one)
            one[2].set_exception(Unavailable("the database failed: somebody else writes for too long"))

    async def _commit(self) -> None:
        try:
            while self._waiting:
                await self._spell()
        finally:
            self._committing = None

    async def _spell(self) -> None:
        """Some transactions on one loan of a connection: at the next it is looked at again whether the file is the same."""
        now: list[_Waiting] = []

        async def some(driver: Any) -> None:
            nonlocal now
            for _ in range(SPELL):
                async with self._db.writing():
                    now, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                    answers = await driver._execute(_do_all, driver._conn, [(how, work) for how, work, _ in now])
                for (_, _, done), answer in zip(now, answers, strict=True):
                    if done.done():
                        continue  # who was cancelled meanwhile is not told, and the others are
                    if isinstance(answer, _Failure):
                        done.set_exception(answer.error)
                    else:
                        done.set_result(answer)
                now = []
                if not self._waiting:
                    return

        try:
            await self._kept.lend(some)
        except Exception as error:
            if not now:  # nobody's turn has come: whoever waits is told
                now, self._waiting = self._waiting, []
            for _, _, done in now:
                if not done.done():
                    done.set_exception(error)


def _do_all(connection: sqlite3.Connection, works: Sequence[tuple[Share[Any, Any], Any]]) -> list[Any]:
    """In the connection's own thread: one trip there for all of it."""
    shared: dict[Share[Any, Any], list[int]] = {}
    for place, (how, _) in enumerate(works):
        shared.setdefault(how, []).append(place)
    answers: list[Any] = [None] * len(works)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for how, places in shared.items():
            for place, answer in zip(places, how(connection, [works[one][1] for one in places]), strict=True):
                answers[place] = answer
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answers


def _one_by_one(connection: sqlite3.Connection, works: Sequence[Work[R]]) -> list[R | _Failure]:
    return [work(connection) for work in works]


def _run(steps: Steps[R], connection: sqlite3.Connection, dialect: Dialect) -> R | _Failure:
    """Within a transaction that others share: what is undone is its own part, also where it fails for what it asked.

    Where the database fails (the disk is full), it fails for all.
    """
    connection.execute("SAVEPOINT mine")
    answer: R | _Failure
    try:
        answer = drive(steps, connection, dialect)
    except Exception as error:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, ONE_S_OWN):
            raise
        answer = error.answer if isinstance(error, Undo) else _Failure(error)
        connection.execute("ROLLBACK TO mine")
    connection.execute("RELEASE mine")
    return answer


def drive(steps: Steps[R], connection: sqlite3.Connection, dialect: Dialect) -> R:
    """What comes of the steps within a transaction of SQLite's, in the connection's thread."""
    try:
        statement, values = next(steps)
        while True:
            statement, values = steps.send(_rows(connection, statement.prepared(dialect), values))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _rows(connection: sqlite3.Connection, prepared: Prepared, values: Mapping[str, Any]) -> list[Any]:
    return [prepared.row(raw) for raw in connection.execute(prepared.sql, prepared.arguments(values)).fetchall()]


async def _by_core(connection: AsyncConnection, statement: Statement, values: Mapping[str, Any]) -> list[Any]:
    result = await connection.execute(statement.core, values)
    return list(result.all()) if result.returns_rows else []


async def _drive(steps: Steps[R], ask: Callable[[Statement, Mapping[str, Any]], Awaitable[list[Any]]]) -> R:
    try:
        step = next(steps)
        while True:
            step = steps.send(await ask(*step))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
