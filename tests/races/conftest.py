"""What the races ask for that need a whole deployment."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import fleet


@pytest.fixture
def running(database_url: str, tmp_path: Path) -> Iterator[tuple[str, list[fleet.Worker]]]:
    """Workers on one database, and its URL."""
    count = 4 if database_url.startswith("sqlite") else 2
    with fleet.running(count, database_url, tmp_path) as started:
        yield database_url, started
