"""A few connections to PostgreSQL that are kept for the verbs that run all the time."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

MOST = 5
"""So many of a worker's connections are kept; who comes while all are at work waits for the first."""

GOOD_BYE_SECONDS = 2.0


class Kept:
    """Connections that an engine has made, and that its pool has forgotten: SQLAlchemy's ceremony at each loan costs more CPU
    than the statement. So a refresh does not wait for logins either. They live on the engine's event loop."""

    def __init__(self, engine: AsyncEngine, patience: float) -> None:
        self._engine = engine
        self._patience = patience
        self._idle: list[Any] = []
        self._places = asyncio.Semaphore(MOST)

    async def fetch(self, statement: str, values: Sequence[Any]) -> Any:
        """The driver's rows for one statement. A connection that fails is thrown away.

        Raises what the driver raises, and TimeoutError when all are at work for so many seconds as the pool's patience.
        """
        if self._places.locked():
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        else:
            await self._places.acquire()
        try:
            driver = self._again() or await self._connect()
            try:
                rows = await driver.fetch(statement, *values)
            except BaseException:
                driver.terminate()
                raise
            self._idle.append(driver)
        finally:
            self._places.release()
        return rows

    async def close(self) -> None:
        """Hang up."""
        idle, self._idle = self._idle, []
        for driver in idle:
            with contextlib.suppress(Exception):
                await driver.close(timeout=GOOD_BYE_SECONDS)

    def _again(self) -> Any:
        """One that is still a connection: where the server was restarted, all are gone at once."""
        while self._idle:
            driver = self._idle.pop()
            if not driver.is_closed():
                return driver
        return None

    async def _connect(self) -> Any:
        """A new one, or one of the pool's. What was cut there is found out here."""
        while True:
            connection = await self._engine.raw_connection()
            driver: Any = connection.driver_connection
            if not driver.is_closed():
                connection.detach()
                return driver
            connection.invalidate()
