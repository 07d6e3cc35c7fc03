"""Kits of workers that share one database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.house import make_auth

from watchword import Auth
from watchword.flows.kit import Kit
from watchword.testing import FrozenClock

Worker = Callable[..., Awaitable[Kit]]


@pytest.fixture
def clock() -> FrozenClock:
    """The time of all workers."""
    return FrozenClock()


@pytest.fixture
async def worker(tmp_path: Path, database_url: str, clock: FrozenClock) -> AsyncIterator[Worker]:
    """Start one more worker on this test's database, with settings of its own where they are given."""
    started: list[Auth] = []

    async def start(**settings: Any) -> Kit:
        auth = make_auth(tmp_path, clock=clock, database_url=database_url, **settings)
        started.append(auth)
        await auth.start()
        return await auth.open()

    yield start
    for auth in started:
        await auth.stop()


@pytest.fixture
async def kit(worker: Worker) -> Kit:
    """The tools of one worker."""
    return await worker()
