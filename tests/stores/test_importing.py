"""What the contract of an import can't show from outside."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.models import User
from watchword.stores.sql import users
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import users as table
from watchword.stores.sql.users import SqlUsers
from watchword.testing.contracts import new_user


async def test_an_obstacle_that_is_deleted_while_it_is_looked_at_leaves_nobody_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index refuses a row for an account that is gone a moment later: without another try it would be lost unseen."""
    db = Database(database_url)
    db.settle(here=True)
    store = SqlUsers(db)
    await store.add(new_user())
    original = users._in_the_way

    async def deleting(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[tuple[User, ...]]:
        if rows:
            await connection.execute(delete(table))
        return await original(connection, rows)

    monkeypatch.setattr(users, "_in_the_way", deleting)
    assert await store.add_many([new_user(id="new")]) == [()]
    monkeypatch.undo()
    assert await store.get("new") is not None
    await db.close()
