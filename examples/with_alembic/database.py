"""The application's engine. Watchword shares it."""

import os
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ.get("NOTES_DATABASE", "sqlite+aiosqlite:///notes.db"))
sessions = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def keep_foreign_keys(connection: Any, _record: object) -> None:
    """SQLite heeds foreign keys only where a connection asks for it."""
    if engine.dialect.name == "sqlite":
        connection.execute("PRAGMA foreign_keys=ON")
