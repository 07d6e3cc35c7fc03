"""A few connections that are kept for the verbs that run all the time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

MOST = 5
"""So many of a worker's connections are kept for one purpose; who comes while all are at work waits for the first."""

REFRESHES, LOGINS = PURPOSES = ("refreshes", "logins")
"""On PostgreSQL logins wait for each other: for the user's lock, for the attempts of a network. A refresh does not wait for
them, nor does whoever is signed in and reads their account."""

GOOD_BYE_SECONDS = 2.0

R = TypeVar("R")


class One(NamedTuple):
    """A driver's connection, and what was noted when it was made."""

    driver: Any
    info: Mapping[str, Any]


class Kept:
    """Connections that an engine has made, and that its pool has forgotten: SQLAlchemy's ceremony at each loan costs more CPU
    than the statement. They live on the engine's event loop. `good` tells whether one may be used again."""

    def __init__(self, engine: AsyncEngine, patience: float, good: Callable[[One], bool]) -> None:
        self._engine = engine
        self._patience = patience
        self._good = good
        self._idle: list[One] = []
        self._closed = False
        self._places = asyncio.Semaphore(MOST)

    async def fetch(self, statement: str, values: Sequence[Any]) -> Any:
        """PostgreSQL's rows for one statement. Raises as `lend`."""
        return await self.lend(lambda driver: driver.fetch(statement, *values))

    async def within(self, isolation: str, work: Callable[[Any], Awaitable[tuple[bool, R]]]) -> R:
        """What comes of `work` in a transaction of PostgreSQL's, which is committed if it says so and else rolled back.
        Raises as `lend`."""

        async def whole(driver: Any) -> R:
            await driver.execute(f"BEGIN ISOLATION LEVEL {isolation}")
            well, answer = await work(driver)
            await driver.execute("COMMIT" if well else "ROLLBACK")
            return answer

        return await self.lend(whole)

    def let_go(self) -> None:
        """Hang up without a word: the loop that they live on is gone, or what they lead to is."""
        while self._idle:
            with contextlib.suppress(Exception):
                self._idle.pop().driver.terminate()

    async def lend(self, work: Callable[[Any], Awaitable[R]]) -> R:
        """What `work` does with a connection that is nobody else's meanwhile. One that fails is thrown away.

        Raises what the driver raises, and TimeoutError when all are at work for so many seconds as the pool's patience.
        """
        if self._places.locked():
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        else:
            await self._places.acquire()
        try:
            one = self._again() or await self._connect()
            try:
                answer = await work(one.driver)
            except BaseException:
                await _hang_up(one)
                raise
            if self._closed:  # meanwhile: nobody would hang up any more
                one.driver.terminate()
            else:
                self._idle.append(one)
        finally:
            self._places.release()
        return answer

    async def close(self) -> None:
        """Hang up. What is at work then is hung up at its end."""
        self._closed = True
        idle, self._idle = self._idle, []
        for one in idle:
            await _hang_up(one)

    def _again(self) -> One | None:
        """One that is still good: where the server was restarted, or the file replaced, none is."""
        while self._idle:
            one = self._idle.pop()
            if self._good(one):
                return one
            one.driver.terminate()
        return None

    async def _connect(self) -> One:
        """A new one, or one of the pool's. What was cut there is found out here."""
        while True:
            connection = await self._engine.raw_connection()
            one = One(connection.driver_connection, dict(connection.info))
            if self._good(one):
                connection.detach()
                return one
            connection.invalidate()


async def _hang_up(one: One) -> None:
    """Say good-bye, after what the server still does for it was broken off. A server that is only left goes on: it holds its
    locks, is one connection more for each who was told that it takes too long, and does in the end what was called undone."""
    try:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(GOOD_BYE_SECONDS):
                await one.driver.close()
                return
        one.driver.terminate()
    except BaseException:
        one.driver.terminate()
        raise
