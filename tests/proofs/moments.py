"""The moments of an act at which its process may die: around each statement that writes, around COMMIT, before the answer.

Nothing of this is in the product: SQLAlchemy tells of each statement, and its COMMIT, the shortest way to the database and the
answer's way out are wrapped, for the whole process, which is made for one act and then goes.
"""

import os
import re
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchword.flows import recording
from watchword.stores.sql import hot
from watchword.stores.sql.kept import Kept
from watchword.stores.sql.turning import TURN_AND_TELL

WRITES = re.compile(r"(BEGIN|INSERT INTO|UPDATE|DELETE FROM)\b\s*(\w*)")


class Moments:
    """Counts the moments from `arm` on, and dies at number `fatal`: no handler runs, nothing is flushed."""

    def __init__(self, fatal: int | None) -> None:
        self.names: list[str] = []
        self._fatal = fatal
        self._armed = False
        event.listen(Engine, "before_cursor_execute", lambda *told: self.statement("before", told[2]))
        event.listen(Engine, "after_cursor_execute", lambda *told: self.statement("after", told[2]))
        commit: Any = DefaultDialect.do_commit

        def do_commit(dialect: Any, connection: Any) -> None:
            self.reached("before COMMIT")
            commit(dialect, connection)
            self.reached("after COMMIT")

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
        # what is written beside the act has moments of its own; `tests/races/test_audit.py` kills there
        recording._Errand.ask = lambda _errand: None  # type: ignore[method-assign, assignment]
        do_all, first, within = hot._do_all, hot.Straight.first, Kept.within
        hot._do_all = lambda connection, works: do_all(_Watched(connection, self), works)  # type: ignore[arg-type]

        async def watched_first(way: hot.Straight, statement: hot.Statement, values: Mapping[str, Any]) -> Any:
            if statement is not TURN_AND_TELL:
                return await first(way, statement, values)
            self.reached("before WITH")
            row = await first(way, statement, values)
            self.reached("after WITH")
            return row

        async def watched_within(connections: Kept, isolation: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
            async def watched(driver: Any) -> Any:
                answer = await work(_WatchedDriver(driver, self))
                self.reached("before COMMIT")
                return answer

            answer = await within(connections, isolation, watched)
            self.reached("after COMMIT")
            return answer

        hot.Straight.first = watched_first  # type: ignore[method-assign, assignment]
        Kept.within = watched_within  # type: ignore[method-assign, assignment]

    def arm(self) -> None:
        """From here on it counts."""
        self._armed = True

    def reached(self, name: str) -> None:
        if not self._armed:
            return
        if len(self.names) == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)

    def watch(self, app: FastAPI) -> None:
        """The moment at which a verb is done, and its answer still here."""
        app.add_middleware(_Answers, moments=self)

    def statement(self, when: str, statement: str) -> None:
        if found := WRITES.match(statement):
            self.reached(f"{when} {found[1]} {found[2]}".strip())


class _Watched:
    """SQLite's connection, as it is used without SQLAlchemy."""

    def __init__(self, connection: sqlite3.Connection, moments: Moments) -> None:
        self._connection = connection
        self._moments = moments

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        if statement == "COMMIT":
            self._moments.reached("before COMMIT")
        self._moments.statement("before", statement)
        done = self._connection.execute(statement, values)
        self._moments.statement("after", statement)
        if statement == "COMMIT":
            self._moments.reached("after COMMIT")
        return done


class _WatchedDriver:
    """PostgreSQL's connection, as it is used without SQLAlchemy."""

    def __init__(self, driver: Any, moments: Moments) -> None:
        self._driver = driver
        self._moments = moments

    async def fetch(self, statement: str, *values: Any) -> Any:
        self._moments.statement("before", statement)
        rows = await self._driver.fetch(statement, *values)
        self._moments.statement("after", statement)
        return rows


class _Answers:
    def __init__(self, app: ASGIApp, moments: Moments) -> None:
        self._app = app
        self._moments = moments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._moments.reached("before the answer")
            await send(message)

        await self._app(scope, receive, answer)
