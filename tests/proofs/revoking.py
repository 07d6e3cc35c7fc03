"""What is needed to revoke much: tokens by the thousand, a connection beside the workers', and the promise in seconds."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from tests.house import CHEAP, PASSWORD

from watchword import Auth, Settings
from watchword.core.models import NOWHERE, Proof
from watchword.core.policy import MAX_SESSIONS, Policy
from watchword.flows import accounts, session
from watchword.flows.kit import Kit

PROMISED = Policy().revocation_staleness.total_seconds() + 0.25
"""Seconds after the answer to a logout within which every worker knows, or lets nobody in."""


async def signed_in(url: str, folder: Path, count: int) -> list[str]:
    """Access tokens of so many sessions, opened as after a login. Whatever workers start in `folder` take them."""
    operator = Auth(Settings(database_url=url, data_dir=folder / ".watchword"), argon2=CHEAP)
    await operator.start()
    try:
        kit = await operator.open()
        found: list[str] = []
        for begin in range(0, count, MAX_SESSIONS):
            found += await _sessions_of_one(kit, f"ada{begin}@example.com", min(MAX_SESSIONS, count - begin))
        return found
    finally:
        await operator.stop()


async def _sessions_of_one(kit: Kit, email: str, count: int) -> list[str]:
    user = await accounts.add(kit, email, PASSWORD, None, frozenset())
    proof = Proof(user, frozenset({"pwd"}), kit.clock.now())
    return [(await session.open(kit, proof, None, NOWHERE)).access_token for _ in range(count)]


@contextlib.asynccontextmanager
async def beside(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection beside those of the workers, each statement of which is a transaction."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()
