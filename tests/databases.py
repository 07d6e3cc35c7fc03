"""Databases for tests: real, migrated, empty, and quick to make from a template."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.testing import stage

KINDS = ("sqlite", "postgresql")


async def migrated(url: str) -> None:
    """Bring a database to the present schema."""
    db = Database(url)
    db.settle(here=True)
    await migrate.upgrade(db)
    await db.close()


def sqlite_template(folder: Path) -> Path:
    """A migrated SQLite file to copy."""
    path = folder / "template.db"
    asyncio.run(migrated(f"sqlite:///{path}"))
    return path


def copy(template: Path, folder: Path) -> str:
    """The URL of a fresh copy."""
    path = folder / "watchword.db"
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


def lay_out(home: Path) -> None:
    """A migrated database where the default settings look for it, unless there is one: its migrations run once for all."""
    path = home / "watchword.db"
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(stage.template())


MakeDatabase = Callable[[], str]
