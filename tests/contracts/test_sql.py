"""The contracts, on a real SQLite and a real PostgreSQL: as this code's migrations leave them, and as the next may."""

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from tests.ahead import bring_ahead

from watchword.core.policy import Policy
from watchword.stores.sql.audit import SqlAudit
from watchword.stores.sql.engine import Database
from watchword.stores.sql.keys import SqlKeys
from watchword.stores.sql.revocations import SqlRevocations
from watchword.stores.sql.roles import SqlRoles
from watchword.stores.sql.scratch import SqlScratch
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock
from watchword.testing.contracts import (
    AuditContract,
    ImportsContract,
    KeysContract,
    RevocationsContract,
    RolesContract,
    ScratchContract,
    SessionsContract,
    UsernamesContract,
    UsersContract,
)


@pytest.fixture(params=["of today", "of the next version"])
async def stores(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[SimpleNamespace]:
    db = Database(database_url)
    db.settle(here=True)
    if request.param != "of today":  # this code is that of the previous schema then
        async with db.write() as connection:
            await connection.run_sync(bring_ahead)
    revocations = SqlRevocations(db, FrozenClock(), Policy())
    users = SqlUsers(db)
    yield SimpleNamespace(
        users=users,
        sessions=SqlSessions(db),
        keys=SqlKeys(db),
        revocations=revocations,
        scratch=SqlScratch(db),
        audit=SqlAudit(db),
        roles=SqlRoles(db),
        imports=users,
    )
    await revocations.stop()
    await db.close()


class TestUsers(UsersContract):
    pass


class TestUsernames(UsernamesContract):
    pass


class TestSessions(SessionsContract):
    pass


class TestKeys(KeysContract):
    pass


class TestRevocations(RevocationsContract):
    pass


class TestScratch(ScratchContract):
    pass


class TestAudit(AuditContract):
    pass


class TestImports(ImportsContract):
    pass


class TestRoles(RolesContract):
    pass
