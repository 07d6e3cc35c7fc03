"""Noting when keys were used: at most once a minute for each, in the way of no request."""

import asyncio
import logging
from datetime import datetime

from watchword.core.errors import AuthError
from watchword.features.api_keys.store import SqlApiKeys

logger: logging.Logger = logging.getLogger("watchword.api_keys")

CLOSE_SECONDS = 5.0
"""How long a stop waits for what is being noted."""


class Uses:
    """What is to be noted. One task at a time writes, all that has come meanwhile together; it ends when nothing is left."""

    def __init__(self, keys: SqlApiKeys) -> None:
        self._keys = keys
        self._waiting: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, key_id: str, now: datetime) -> None:
        """A key was used. Returns at once."""
        self._waiting[key_id] = now
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Wait until all is noted, or for a while. What another event loop has begun is that loop's."""
        task = self._task
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task], timeout=CLOSE_SECONDS)

    async def _write(self) -> None:
        while self._waiting:
            used, self._waiting = self._waiting, {}
            try:
                await self._keys.note(used)
            except AuthError as error:
                logger.warning("when %d API keys were used could not be noted: %s", len(used), error.because)
            except Exception:
                logger.exception("when %d API keys were used could not be noted", len(used))
