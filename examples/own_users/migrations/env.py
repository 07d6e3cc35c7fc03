"""Alembic's entry: the shop's tables, on the shop's engine. Watchword's tables are left alone."""

import asyncio

from alembic import context
from database import engine
from sqlalchemy import Connection
from tables import Base

from watchword.sql import include_name


def run(connection: Connection) -> None:
    """Migrate, or compare, on this connection."""
    context.configure(
        connection=connection, target_metadata=Base.metadata, include_name=include_name, render_as_batch=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect() -> None:
    """A connection of the shop's engine."""
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


asyncio.run(connect())
