"""`People` is what Watchword asks of accounts: the contract of `ports.Users`, on the shop's own table."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from people import People
from sqlalchemy.ext.asyncio import create_async_engine
from tables import Base

from watchword import Auth, Settings
from watchword.testing import contracts


@pytest.fixture
def anyio_backend() -> str:
    """The tests are coroutines, and run by anyio's plugin, which FastAPI has installed."""
    return "asyncio"


@pytest.mark.anyio
class TestPeople(contracts.UsersContract):
    """Races included."""

    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[contracts.Stores]:
        """An empty shop."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        auth = await Auth(Settings(data_dir=tmp_path), engine=engine, users=People(engine)).start()
        yield await auth.open()
        await auth.stop()
        await engine.dispose()
