"""API keys and service accounts on SQL. Verbs as in `ports`: each is one transaction, and its race is part of its contract."""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.models import Revoked
from watchword.core.opaque import MAX_GENERATION
from watchword.core.policy import LEEWAY, REMEMBERED
from watchword.core.scopes import text as text_of
from watchword.features.api_keys.rules import MOST, MOST_WITH_OVERLAPS, ApiKey, Owner, ServiceAccount
from watchword.stores.sql import hot, kept, owners, pruning
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.hot import Statement, Way
from watchword.stores.sql.sessions import keep_out, revoke
from watchword.stores.sql.tables import UtcDateTime, api_keys, service_accounts, sessions
from watchword.stores.sql.turning import instant

MINUTE = timedelta(minutes=1)
"""Within it, a use of a key is noted once."""

KEPT = timedelta(days=30)
"""How long a key that has ended stays in the table: whoever asks what became of it finds it there."""


class Made(Enum):
    """What became of a new key."""

    MADE = "made"
    TOO_MANY = "too many"
    NO_OWNER = "no owner"
    """There is no such service account, or it is disabled. Whether there is such a user, only `Users` knows."""

    NO_PREDECESSOR = "no predecessor"
    """There is no such live key of this owner, or it has a successor already."""

    SIGNED_OUT = "signed out"
    """The session of whoever asked for it has ended."""


class Found(NamedTuple):
    """A key, and the service account that it is of, where it is of one that is there."""

    key: ApiKey
    account: ServiceAccount | None


class Rotated(NamedTuple):
    """The predecessor as it is now, and what ended with it: the one before it, where its overlap still lasted."""

    before: ApiKey
    revoked: tuple[Revoked, ...]


class SqlApiKeys:
    """API keys in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._way: Way = hot.way(db, kept.REFRESHES)

    @verb
    async def add(self, key: ApiKey, digest: bytes, session_id: str | None = None) -> Made:
        """Keep a new key, by its digest. Of any number of callers as many get MADE as there is room for, MOST in all, and
        MOST_WITH_OVERLAPS with keys that have a successor; none does for a service account once it is disabled, nor for
        whoever asked in a session (`session_id`) that has ended: whatever ends the owner's sessions takes their lock, so a key
        is made before that, or not."""
        async with self._db.write() as connection:
            refusal = await _refusal(connection, key, session_id)
            if refusal is not None:
                return refusal
            live, rotated = await _count(connection, and_(_of(key.owner, key.owner_id), _alive(key.created_at)))
            if live - rotated >= MOST or live >= MOST_WITH_OVERLAPS:
                return Made.TOO_MANY
            await connection.execute(insert(api_keys).values(_row(key, digest)))
        return Made.MADE

    @verb
    async def find(self, digest: bytes) -> Found | None:
        """The key with this digest, whatever became of it, as it is committed now."""
        row = await self._way.first(FIND, {"digest": digest})
        if row is None or not hmac.compare_digest(row.hash, digest):
            return None
        return Found(_key(row), None if row.account_id is None else _joined(row))

    @verb
    async def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, whatever became of it."""
        async with self._db.read() as connection:
            row = (await connection.execute(select(api_keys).where(api_keys.c.id == key_id))).first()
        return None if row is None else _key(row)

    @verb
    async def of_owner(self, owner: Owner, owner_id: str, now: datetime) -> list[ApiKey]:
        """The live keys of an owner, the newest first."""
        statement = select(api_keys).where(_of(owner, owner_id), _alive(now))
        statement = statement.order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        async with self._db.read() as connection:
            return [_key(row) for row in await connection.execute(statement)]

    @verb
    async def rotate(
        self, successor: ApiKey, digest: bytes, before: str, ends_at: datetime, session_id: str | None = None
    ) -> Rotated | Made:
        """Keep the successor of the key `before`, which ends at `ends_at`, or sooner if it was to. A key before that one,
        whose own overlap lasts, ends now: so an owner's keys stay few.

        With its overlap lasting, there are MOST_WITH_OVERLAPS live keys at most. Without an overlap no key is added, and it is
        done however many there are.

        Why not, and no change, when there is no such live key of this owner, or it has a successor already (of any number of
        callers exactly one succeeds), and where `add` would keep none.
        """
        now, owner_id = successor.created_at, successor.owner_id
        sooner = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > ends_at)
        change = {
            "rotated_to": successor.id,
            "expires_at": case((sooner, bindparam("end", ends_at, UtcDateTime)), else_=api_keys.c.expires_at),
        }
        theirs = and_(_of(successor.owner, owner_id), _alive(now))
        which = and_(api_keys.c.id == before, theirs, api_keys.c.rotated_to.is_(None))
        the_one_before = and_(api_keys.c.rotated_to == before, theirs)
        async with self._db.write() as connection:
            refusal = await _refusal(connection, successor, session_id)
            if refusal is not None:
                return refusal
            live, _ = await _count(connection, theirs)
            ending, _ = await _count(connection, the_one_before)
            if ends_at > now and live - ending >= MOST_WITH_OVERLAPS:
                return Made.TOO_MANY
            row = (await connection.execute(update(api_keys).where(which).values(change).returning(api_keys))).first()
            if row is None:
                return Made.NO_PREDECESSOR
            await connection.execute(insert(api_keys).values(_row(successor, digest)))
            ended = await _end(connection, the_one_before, now)
            await owners.tell(connection, owner_id, now)  # its end is nearer than others remember
            return Rotated(_key(row), ended)

    @verb
    async def revoke(self, key_id: str, owner: Owner, owner_id: str, now: datetime) -> tuple[Revoked, ...]:
        """End a key of this owner. Empty, and no change, when there is no such live one: of any number of callers exactly one
        succeeds."""
        async with self._db.write() as connection:
            return await _end(connection, and_(api_keys.c.id == key_id, _of(owner, owner_id), _alive(now)), now)

    @verb
    async def revoke_all(self, owner: Owner, owner_id: str, now: datetime) -> tuple[Revoked, ...]:
        """End all keys of this owner. What is made or rotated at the same time is ended too, unless it comes after."""
        async with self._db.write() as connection:
            await keep_out(connection, owner_id)
            return await _end(connection, and_(_of(owner, owner_id), _alive(now)), now)

    @verb
    async def note(self, used: Mapping[str, datetime]) -> None:
        """When keys were used last, by their ids. What others have noted within the minute before stays."""
        async with self._db.write() as connection:
            rows = [{"key": key, "at": at, "since": at - MINUTE} for key, at in sorted(used.items())]
            await connection.execute(NOTE, rows)

    @verb
    async def prune(self, now: datetime, limit: int) -> int:
        """Remove at most `limit` keys that ended so long ago that nobody looks for them any more; how many there were."""
        return await pruning.prune(self._db, self._way, api_keys, DEAD, {"over": now - KEPT}, limit)


class SqlServiceAccounts:
    """Service accounts in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @verb
    async def add(self, account: ServiceAccount) -> None:
        """Make one."""
        row = {
            "id": account.id,
            "name": account.name,
            "scopes": text_of(account.scopes),
            "created_at": account.created_at,
        }
        async with self._db.write() as connection:
            await connection.execute(insert(service_accounts).values(row))

    @verb
    async def get(self, account_id: str) -> ServiceAccount | None:
        """The one with this id, disabled or not."""
        async with self._db.read() as connection:
            statement = select(service_accounts).where(service_accounts.c.id == account_id)
            row = (await connection.execute(statement)).first()
        return None if row is None else _account(row)

    @verb
    async def all(self) -> list[ServiceAccount]:
        """Those that are not disabled, by their names."""
        statement = select(service_accounts).where(service_accounts.c.disabled_at.is_(None))
        async with self._db.read() as connection:
            rows = await connection.execute(statement.order_by(service_accounts.c.name, service_accounts.c.id))
            return [_account(row) for row in rows]

    @verb
    async def disable(self, account_id: str, now: datetime) -> tuple[Revoked, ...] | None:
        """Disable it for good, and end its keys. None when there is none that is not disabled: of any number of callers
        exactly one succeeds. A key that is made at the same time is ended here, or not made."""
        mine = and_(service_accounts.c.id == account_id, service_accounts.c.disabled_at.is_(None))
        async with self._db.write() as connection:
            await keep_out(connection, account_id)
            disabled = update(service_accounts).where(mine).values(disabled_at=now).returning(service_accounts.c.id)
            if (await connection.execute(disabled)).first() is None:
                return None
            return await _end(connection, and_(_of(Owner.SERVICE_ACCOUNT, account_id), _alive(now)), now)


async def _refusal(connection: AsyncConnection, key: ApiKey, session_id: str | None) -> Made | None:
    """Why this key can't be made now. The owner's lock keeps the answer so until this transaction ends: for what becomes of
    the owner, and for sessions of the owner's own."""
    await keep_out(connection, key.owner_id)
    if session_id is not None:
        open_one = and_(sessions.c.id == session_id, sessions.c.closed_at.is_(None))
        if (await connection.execute(select(sessions.c.id).where(open_one))).first() is None:
            return Made.SIGNED_OUT
    if key.owner is Owner.SERVICE_ACCOUNT and await _account_now(connection, key.owner_id) is None:
        return Made.NO_OWNER
    return None


async def _account_now(connection: AsyncConnection, account_id: str) -> Any:
    """The service account's id, if it is not disabled."""
    statement = select(service_accounts.c.id).where(
        service_accounts.c.id == account_id, service_accounts.c.disabled_at.is_(None)
    )
    return (await connection.execute(statement)).scalar()


async def _count(connection: AsyncConnection, which: Any) -> tuple[int, int]:
    """How many keys these are, and how many of them have a successor."""
    counted = select(func.count(), func.count(api_keys.c.rotated_to)).where(which)
    found, rotated = (await connection.execute(counted)).one()
    return found, rotated


async def _end(connection: AsyncConnection, which: Any, now: datetime) -> tuple[Revoked, ...]:
    """Revoke the keys, and tell the feed of each until nobody remembers it any more."""
    ended = await connection.execute(update(api_keys).where(which).values(revoked_at=now).returning(api_keys))
    until = (now + REMEMBERED + LEEWAY).timestamp()
    return await revoke(connection, [Revoked(row.id, MAX_GENERATION, until, row.owner_id) for row in ended])


def _of(owner: Owner, owner_id: str) -> Any:
    return and_(api_keys.c.owner_id == owner_id, api_keys.c.of_service_account.is_(owner is Owner.SERVICE_ACCOUNT))


def _alive(now: datetime) -> Any:
    ends = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)
    return and_(api_keys.c.revoked_at.is_(None), ends)


def _row(key: ApiKey, digest: bytes) -> dict[str, Any]:
    return {
        "id": key.id,
        "owner_id": key.owner_id,
        "of_service_account": key.owner is Owner.SERVICE_ACCOUNT,
        "name": key.name,
        "shown": key.shown,
        "hash": digest,
        "scopes": text_of(key.scopes),
        "limit_per_minute": key.limit,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        owner_id=row.owner_id,
        owner=Owner.SERVICE_ACCOUNT if row.of_service_account else Owner.USER,
        name=row.name,
        shown=row.shown,
        scopes=frozenset(row.scopes.split()),
        limit=row.limit_per_minute,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        rotated_to=row.rotated_to,
    )


def _account(row: Row[Any]) -> ServiceAccount:
    return ServiceAccount(row.id, row.name, frozenset(row.scopes.split()), row.created_at, row.disabled_at)


def _joined(row: Row[Any]) -> ServiceAccount:
    """Of a row that begins with a key."""
    granted = frozenset(row.account_scopes.split())
    return ServiceAccount(row.account_id, row.account_name, granted, row.account_created_at, row.account_disabled_at)


def _finding() -> Any:
    theirs = [column.label(f"account_{column.name}") for column in service_accounts.c]
    joined = api_keys.outerjoin(
        service_accounts, and_(api_keys.c.of_service_account, api_keys.c.owner_id == service_accounts.c.id)
    )
    mine = api_keys.c.hash == bindparam("digest", type_=api_keys.c.hash.type)
    return select(*api_keys.c, *theirs).select_from(joined).where(mine)


def _noting() -> Any:
    used = api_keys.c.last_used_at
    due = or_(used.is_(None), used <= instant("since"))
    mine = api_keys.c.id == bindparam("key", type_=api_keys.c.id.type)
    return update(api_keys).where(mine, due).values(last_used_at=instant("at"))


FIND: Statement = Statement(_finding())
NOTE: Any = _noting()
DEAD: tuple[Statement, ...] = tuple(
    pruning.removal(api_keys, over <= instant("over"), over) for over in (api_keys.c.revoked_at, api_keys.c.expires_at)
)
