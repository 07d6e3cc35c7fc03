"""The definition of correct for adapters of `watchword.ports`, races included.

A suite is a class of pytest tests. Subclass it where your tests are, and give it a fixture `stores`: an object with the
adapters under test as `users`, `sessions`, `keys`, `revocations`, `scratch`, `audit`, `roles` and `imports` (those
that the suite names), on an empty store:

    class TestMyUsers(contracts.UsersContract):
        @pytest.fixture
        async def stores(self, tmp_path):
            auth = await Auth(Settings(data_dir=tmp_path), engine=engine, users=MyUsers(engine)).start()
            yield await auth.open()  # the adapters, as this application has them
            await auth.stop()

`examples/own_users/test_people.py` is a whole one.
"""

from watchword.testing.contracts.audit import AuditContract
from watchword.testing.contracts.grounds import (
    ABSOLUTE,
    ACCESS,
    CHECK,
    GRACE,
    IDLE,
    NOW,
    RACERS,
    SECOND,
    AuditStores,
    ImportingStores,
    R,
    ScratchStores,
    Stores,
    a_key,
    a_session,
    new_user,
    opened,
    published,
    signed_in,
    turn,
    user,
)
from watchword.testing.contracts.imports import ImportsContract
from watchword.testing.contracts.keys import KeysContract
from watchword.testing.contracts.revocations import RevocationsContract
from watchword.testing.contracts.roles import RolesContract, RolesStores
from watchword.testing.contracts.scratch import ScratchContract
from watchword.testing.contracts.sessions import SessionsContract
from watchword.testing.contracts.users import UsernamesContract, UsersContract

__all__ = [
    "ABSOLUTE",
    "ACCESS",
    "CHECK",
    "GRACE",
    "IDLE",
    "NOW",
    "RACERS",
    "SECOND",
    "AuditContract",
    "AuditStores",
    "ImportingStores",
    "ImportsContract",
    "KeysContract",
    "R",
    "RevocationsContract",
    "RolesContract",
    "RolesStores",
    "ScratchContract",
    "ScratchStores",
    "SessionsContract",
    "Stores",
    "UsernamesContract",
    "UsersContract",
    "a_key",
    "a_session",
    "new_user",
    "opened",
    "published",
    "signed_in",
    "turn",
    "user",
]
