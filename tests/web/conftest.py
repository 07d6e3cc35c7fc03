"""A house to visit."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path, sqlite_url: str) -> AsyncIterator[House]:
    """An application on SQLite."""
    async with open_house(tmp_path, database_url=sqlite_url) as opened:
        yield opened


@pytest.fixture
async def either(tmp_path: Path, database_url: str) -> AsyncIterator[House]:
    """An application on SQLite, and one on PostgreSQL."""
    async with open_house(tmp_path, database_url=database_url) as opened:
        yield opened
