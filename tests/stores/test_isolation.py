"""An act that ends sessions sees those that are opened beside it, whatever isolation the database or the host prefers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from tests.house import ADA

from watchword import ConfigError
from watchword.core import opaque
from watchword.core.models import Session
from watchword.ports import NewUser
from watchword.sql import change_session_scopes, end_sessions
from watchword.stores.sql import migrate, sessions
from watchword.stores.sql.engine import Database
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.tables import sessions as sessions_table
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock

NOW = FrozenClock().now()
USER = "u" * 26
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
async def stubborn(postgres_url: str) -> AsyncIterator[Database]:
    """A PostgreSQL whose administrator has made `repeatable read` the default of the whole database."""
    name = postgres_url.rsplit("/", 1)[1]
    first = Database(postgres_url)
    await migrate.upgrade(first)
    async with first.write() as connection:
        await connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation TO 'repeatable read'"))
    await first.close()
    db = Database(postgres_url)
    await SqlUsers(db).add(NewUser(USER, ADA, None, None, frozenset(), NOW))
    yield db
    await db.close()


def opened() -> Session:
    later = NOW + timedelta(days=1)
    return Session(
        "s" * 26, USER, 0, frozenset(), True, frozenset({"pwd"}), NOW, "first-party", NOW, NOW, later, later, later, None, None
    )  # fmt: skip


async def test_a_session_that_is_being_opened_is_ended_under_any_default_isolation(stubborn: Database) -> None:
    """The attack: a thief signs in at the moment when the owner's account is disabled. The act has taken its snapshot, waits
    for the thief's session to be written, and then looks at the snapshot: the session is not in it, and lives on."""
    store = SqlSessions(stubborn)
    async with stubborn.write() as login:
        await sessions.keep_out(login, USER)
        acting = asyncio.create_task(SqlUsers(stubborn).set_disabled(USER, True, NOW))
        async with asyncio.timeout(20):
            while not (await login.execute(text(WAITING))).scalar_one():
                assert not acting.done(), "it did not wait"
        session = opened()
        row = {name: getattr(session, name, None) for name in [column.name for column in sessions_table.columns]}
        row |= {"r_hash": opaque.fingerprint(b"r" * 32), "answer": 0, "turned_at": NOW, "scopes": "", "methods": "pwd"}
        await login.execute(insert(sessions_table).values(row))
    revoked = await acting
    assert revoked is not None
    assert [one.session_id for one in revoked] == [session.id]
    assert await store.of_user(USER, NOW) == []


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_hosts_transaction_that_could_miss_a_session_is_refused_with_the_cure(
    stubborn: Database, level: str
) -> None:
    """The same attack on a host whose engine isolates more than we: its act would end all sessions but the thief's."""
    engine = create_async_engine(stubborn.url, isolation_level=level)
    try:
        acts: list[Callable[[AsyncConnection], Awaitable[object]]] = [
            lambda connection: end_sessions(connection, USER, NOW),
            lambda connection: change_session_scopes(connection, USER, frozenset(), NOW),
        ]
        for act in acts:
            async with engine.begin() as connection:
                with pytest.raises(ConfigError, match="READ COMMITTED"):
                    await act(connection)
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="READ COMMITTED")
            async with connection.begin():
                assert await end_sessions(connection, USER, NOW) == ()
    finally:
        await engine.dispose()
