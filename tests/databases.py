"""Databases for tests: real, migrated, empty, and quick to make from a template."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database

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


async def lay_out(home: Path) -> None:
    """A migrated database where the default settings look for it, unless there is one: its migrations run once for all."""
    if not _migrated:
        with tempfile.TemporaryDirectory() as folder:
            await migrated(f"sqlite:///{folder}/watchword.db")
            _migrated.append(_read(folder))
    _put(home)


_migrated: list[bytes] = []


def _read(folder: str) -> bytes:
    return Path(folder, "watchword.db").read_bytes()


def _put(home: Path) -> None:
    path = home / "watchword.db"
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(_migrated[0])


MakeDatabase = Callable[[], str]
