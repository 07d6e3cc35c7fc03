"""What the suites stand on: the adapters that they ask, and the accounts, sessions and keys that they make there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from watchword.core import opaque
from watchword.core.keys import KeyRecord
from watchword.core.models import Account, Client, Session
from watchword.core.opaque import Presented
from watchword.flows.importing import Imports
from watchword.ports import (
    Added,
    Audit,
    Keys,
    NewUser,
    Revocations,
    Scratch,
    Sessions,
    Turned,
    Users,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
R = bytes(range(32))
GRACE = timedelta(seconds=30)
IDLE = timedelta(days=14)
ABSOLUTE = timedelta(days=90)
ACCESS = timedelta(minutes=10)
SECOND = timedelta(seconds=1)
RACERS = 64
CHECK = "check"


class Stores(Protocol):
    """What the fixture `stores` gives."""

    users: Users[Account]
    sessions: Sessions
    keys: Keys
    revocations: Revocations


class ScratchStores(Protocol):
    """What it gives where a Scratch is under test."""

    scratch: Scratch


class AuditStores(Protocol):
    """What it gives where an Audit is under test."""

    audit: Audit


class ImportingStores(Stores, Protocol):
    """What it gives where accounts of other systems are taken over too."""

    imports: Imports


def new_user(name: str = "ada", **changes: Any) -> NewUser:
    """An account to add."""
    base = NewUser(f"id-{name}", f"{name}@example.com", None, f"hash-{name}", frozenset({"read", "write"}), NOW)
    return replace(base, **changes)


async def user(stores: Stores, name: str = "ada", **changes: Any) -> Account:
    """An account that was added."""
    made = new_user(name, **changes)
    assert await stores.users.add(made) is Added.ADDED
    found = await stores.users.find(made.email)
    assert found is not None
    return found.user


def a_session(owner: Account, number: int = 1, now: datetime = NOW, **changes: Any) -> Session:
    """A session that is about to be opened."""
    client = Client("agent", "127.0.0.1")
    base = Session(
        id=opaque.identifier(number.to_bytes(16)),
        user_id=owner.id,
        generation=0,
        scopes=owner.scopes,
        follows_user=True,
        methods=frozenset({"pwd"}),
        auth_time=now,
        client_id="first-party",
        created_at=now,
        used_at=now,
        idle_expires_at=now + IDLE,
        expires_at=now + ABSOLUTE,
        access_expires_at=now + ACCESS,
        user_agent=client.user_agent,
        ip=client.ip,
    )
    return replace(base, **changes)


async def opened(stores: Stores, owner: Account, number: int = 1, **changes: Any) -> Session:
    """A session that was opened."""
    session = a_session(owner, number, **changes)
    await stores.sessions.open(session, R)
    return session


async def signed_in(stores: Stores, proven: Account, number: int = 1) -> bool:
    """What a login does: it opens the session, and then looks whether the account still is as it was proven."""
    session = a_session(proven, number)
    await stores.sessions.open(session, R)
    found = await stores.users.get(proven.id)
    if found is not None and not found.user.disabled and found.user.epoch == proven.epoch:
        return True
    await stores.sessions.close(session.id, None, NOW)
    return False


async def turn(stores: Stores, session: Session, generation: int, after: float = 0, r: bytes = R) -> Turned:
    """Present a generation, some seconds after NOW."""
    presented = Presented(session.id, generation, r)
    now = NOW + timedelta(seconds=after)
    return await stores.sessions.turn(presented, now, grace=GRACE, idle=IDLE, access_ttl=ACCESS)


def a_key(generation: int, **changes: Any) -> KeyRecord:
    """A signing key that is about to be published."""
    return replace(KeyRecord(generation, f"kid-{generation}", "ES256", b"sealed", NOW, NOW), **changes)


async def published(stores: Stores, *generations: int) -> list[KeyRecord]:
    """Keys that were published, in a database that is known by CHECK."""
    await stores.keys.recognise(CHECK)
    for generation in generations:
        assert await stores.keys.add(a_key(generation), CHECK)
    return await stores.keys.load()
