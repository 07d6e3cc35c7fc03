"""Pruning on PostgreSQL waits for nobody, and nobody waits in a circle with it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import insert, select
from tests import databases
from tests.stores.test_migrations import SESSION

from watchword.stores.sql import pruning
from watchword.stores.sql.engine import Database
from watchword.stores.sql.kept import LOGINS
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.tables import sessions
from watchword.testing.contracts import ABSOLUTE, NOW

LATER = NOW + ABSOLUTE + timedelta(hours=1)
DEAD = 5


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    """A database with dead sessions in it."""
    await databases.migrated(postgres_url)
    db = Database(postgres_url)
    db.settle(here=True)
    async with db.write() as connection:
        await connection.execute(insert(sessions), [{**SESSION, "id": f"s{number}"} for number in range(DEAD)])
    yield db
    await db.close()


async def test_a_row_that_somebody_holds_is_left_for_the_next_time(db: Database) -> None:
    """Whoever ends all sessions of a user locks dead ones too, in an order of his own. If pruning waited for one of them
    while it held another, PostgreSQL would break off one of the two: a logout that fails."""
    store = SqlSessions(db)
    async with db.write() as connection:
        await connection.execute(select(sessions).where(sessions.c.id == "s3").with_for_update())
        assert await store.prune(LATER, 100) == DEAD - 1
    assert await store.prune(LATER, 100) == 1


async def test_while_one_worker_prunes_the_others_leave_it_to_it(db: Database) -> None:
    """Each rests between its batches; together they would not."""
    store = SqlSessions(db)
    async with db.write() as connection:
        lock = (await connection.execute(pruning.ALONE.core, {"table": sessions.name})).one()
        assert lock.alone
        assert await store.prune(LATER, 100) == 0
    assert await store.prune(LATER, 100) == DEAD


async def test_what_comes_after_a_pruning_waits_for_the_disk_again(db: Database) -> None:
    """A pruning's own commit does not: what a crash brings back is dead. A login on the same connection must."""
    await SqlSessions(db).prune(LATER, 100)
    ((driver, _),) = db.kept[LOGINS]._idle
    assert await driver.fetchval("SHOW synchronous_commit") == "on"
