"""`ports.Sessions` on SQL."""

import functools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Integer,
    Row,
    Text,
    and_,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core import opaque, scopes
from watchword.core.errors import ConfigError
from watchword.core.models import Revoked, Session
from watchword.core.opaque import MAX_GENERATION, Presented
from watchword.core.policy import LEEWAY, MAX_SESSIONS
from watchword.ports import Turn, Turned
from watchword.stores.sql import hot, kept, owners, pruning
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.hot import SEEING, Statement, Steps, Straight, Together, Way
from watchword.stores.sql.tables import ID, feed, sessions
from watchword.stores.sql.turning import REPEATED, REUSED, REWOUND, TURN, TURN_AND_TELL, TURNED, Crowd, alive, instant

USER_LOCKS = 0x77617463
"""Sets our advisory locks apart from the host's: "watc"."""

TOLD = ("session_id", "generation", "expires_at")

ANSWERS = {TURNED: Turn.TURNED, REPEATED: Turn.REPEATED, REUSED: Turn.REUSED, REWOUND: Turn.REWOUND}


class SqlSessions:
    """Sessions in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._logins: Way = hot.way(db, kept.LOGINS)
        self._refreshes: Way = hot.way(db, kept.REFRESHES)

    @verb
    async def open(self, session: Session, r: bytes) -> tuple[Revoked, ...]:
        """See `ports.Sessions.open`."""
        row = {
            "id": session.id,
            "user_id": session.user_id,
            "r_hash": opaque.fingerprint(r),
            "generation": session.generation,
            "answer": TURNED,
            "turned_at": session.created_at,
            "scopes": scopes.text(session.scopes),
            "follows_user": session.follows_user,
            "methods": scopes.text(session.methods),
            "auth_time": session.auth_time,
            "client_id": session.client_id,
            "created_at": session.created_at,
            "used_at": session.used_at,
            "idle_expires_at": session.idle_expires_at,
            "expires_at": session.expires_at,
            "access_expires_at": session.access_expires_at,
            "user_agent": session.user_agent,
            "ip": session.ip,
        }
        return await self._logins.run(_open(row, is_sqlite=self._db.is_sqlite))

    @verb
    async def turn(
        self, presented: Presented, now: datetime, *, grace: timedelta, idle: timedelta, access_ttl: timedelta
    ) -> Turned:
        """See `ports.Sessions.turn`."""
        values = {
            "session": presented.session_id,
            "hash_of_r": presented.r_hash,
            "presented": presented.generation,
            "now": now,
            "repeats_since": now - grace,
            "idle_until": now + idle,
            "access_until": now + access_ttl,
        }
        row = await self._turn(values)
        if row is None:
            return Turned(Turn.UNKNOWN)
        if row.answer == REUSED:
            return Turned(Turn.REUSED, revoked=(_all_of(row, now),))
        return Turned(ANSWERS[row.answer], session=_session(row))

    async def _turn(self, values: Mapping[str, Any]) -> Any:
        """The session's row as it is then, and in the same transaction the feed's word where it was closed; None where there
        is no such live session."""
        if isinstance(self._refreshes, Together):
            return await self._refreshes.share(self._turn_crowd, values)
        if isinstance(self._refreshes, Straight) and await self._refreshes.sees():
            return await self._refreshes.first(TURN_AND_TELL, values)
        return await self._refreshes.run(_turn(values))

    @functools.cached_property
    def _crowd(self) -> Crowd:
        """SQLite alone asks for it."""
        return Crowd(self._db.engine.dialect)

    def _turn_crowd(self, connection: sqlite3.Connection, crowd: Sequence[Mapping[str, Any]]) -> list[Any]:
        rows = self._crowd.turn(connection, crowd)
        for row, values in zip(rows, crowd, strict=True):
            if row is not None and row.answer == REUSED:
                hot.drive(_tell([_all_of(row, values["now"])]), connection, self._db.engine.dialect)
        return rows

    @verb
    async def get(self, session_id: str, now: datetime) -> Session | None:
        """See `ports.Sessions.get`."""
        row = await self._refreshes.first(GET, {"id": session_id, "now": now})
        return None if row is None else _session(row)

    @verb
    async def prove_anew(
        self, session_id: str, methods: frozenset[str], now: datetime, *, access_ttl: timedelta
    ) -> Session | None:
        """See `ports.Sessions.prove_anew`. The row is locked while its methods are read and written."""
        mine = and_(sessions.c.id == session_id, alive(now))
        async with self._db.write() as connection:
            row = (await connection.execute(select(sessions).where(mine).with_for_update())).first()
            if row is None:
                return None
            proven = {
                "methods": scopes.text(methods | frozenset(row.methods.split())),
                "auth_time": now,
                "access_expires_at": max(row.access_expires_at, min(now + access_ttl, row.expires_at)),
            }
            change = update(sessions).where(sessions.c.id == session_id).values(proven).returning(sessions)
            return _session((await connection.execute(change)).one())

    @verb
    async def of_user(self, user_id: str, now: datetime) -> list[Session]:
        """See `ports.Sessions.of_user`."""
        statement = (
            select(sessions).where(sessions.c.user_id == user_id, alive(now)).order_by(sessions.c.used_at.desc())
        )
        async with self._db.read() as connection:
            return [_session(row) for row in await connection.execute(statement)]

    @verb
    async def close(self, session_id: str, user_id: str | None, now: datetime) -> tuple[Revoked, ...]:
        """See `ports.Sessions.close`."""
        mine = sessions.c.id == session_id
        if user_id is not None:
            mine = and_(mine, sessions.c.user_id == user_id)
        async with self._db.write() as connection:
            return await end(connection, mine, now)

    @verb
    async def close_all(self, user_id: str, now: datetime) -> tuple[Revoked, ...]:
        """See `ports.Sessions.close_all`."""
        async with self._db.write() as connection:
            return await end_all(connection, user_id, now)

    @verb
    async def prune(self, now: datetime, limit: int) -> int:
        """See `ports.Sessions.prune`. Kept while an access token may live, so that it can still be revoked.

        There are two ways to be dead and an index for each. Asked for both at once, PostgreSQL would collect all the dead
        for each batch.
        """
        return await pruning.prune(self._db, self._logins, sessions, DEAD, {"over": now - LEEWAY}, limit)


async def keep_out(connection: AsyncConnection, user_id: str) -> None:
    """Until this transaction ends, nobody else opens a session of the user or ends all of them.

    Whoever comes later waits for the sessions that are being opened, and then sees them. On SQLite every writer is alone.
    Raises ConfigError for a host's transaction that would not see them: its snapshot is older than the wait.
    """
    if connection.dialect.name == "postgresql":
        _refuse_older((await connection.execute(KEEP_OUT.core, {"user": user_id})).one())


async def end_all(
    connection: AsyncConnection, user_id: str, now: datetime, *, keep: str | None = None
) -> tuple[Revoked, ...]:
    """Close the user's open sessions, all but `keep`, within the transaction of the act that ends them."""
    await keep_out(connection, user_id)
    await owners.tell(connection, user_id, now)
    which = sessions.c.user_id == user_id
    return await end(connection, which if keep is None else and_(which, sessions.c.id != keep), now)


async def change_scopes(
    connection: AsyncConnection, user_id: str, scopes_now: frozenset[str], now: datetime
) -> tuple[Revoked, ...]:
    """Let the user's live sessions follow what the user may do now, and revoke the present access tokens of those that change.

    The sessions' rows are locked, so a refresh waits, and then reads the new scopes.
    """
    await keep_out(connection, user_id)
    await owners.tell(connection, user_id, now)
    lock = select(sessions).where(sessions.c.user_id == user_id, alive(now)).with_for_update()
    revoked = []
    for row in (await connection.execute(lock)).all():
        old = frozenset(row.scopes.split())
        new = scopes_now if row.follows_user else scopes.narrowed(old, scopes_now)
        if new != old:
            change = update(sessions).where(sessions.c.id == row.id).values(scopes=scopes.text(new))
            await connection.execute(change)
            revoked.append(Revoked(row.id, row.generation, until(row.access_expires_at, now)))
    return await revoke(connection, revoked)


async def end(connection: AsyncConnection, which: Any, now: datetime) -> tuple[Revoked, ...]:
    """Close the open sessions that match and revoke their access tokens, within the caller's transaction."""
    ended = await connection.execute(_ending(which).values(closed_at=now))
    return await revoke(connection, [_all_of(row, now) for row in ended])


async def revoke(connection: AsyncConnection, revoked: Iterable[Revoked]) -> tuple[Revoked, ...]:
    """Write revocations to the feed, within the caller's transaction."""
    listed = tuple(revoked)
    if listed:
        await connection.execute(TELL.core, [_told(one) for one in listed])
    return listed


def until(access_expires_at: datetime, now: datetime) -> float:
    """How long a revocation is kept: past the last access token that it covers, for every worker's clock.

    A restored database may have forgotten tokens that were made since. So it is kept from `now` on in any case: upkeep leaves
    it for `CLOCK_JUMP` more, and no access token lives longer than that.
    """
    return (max(access_expires_at, now) + LEEWAY).timestamp()


def _refuse_older(row: Any) -> None:
    """Raise ConfigError for a snapshot that is older than the wait for the lock."""
    if row.isolation not in SEEING:
        raise ConfigError(
            f"sessions are ended in a transaction that is isolated by {row.isolation.upper()}, which misses those that are "
            'being opened. Begin it with connection.execution_options(isolation_level="READ COMMITTED").'
        )


def _open(row: Mapping[str, Any], *, is_sqlite: bool) -> Steps[tuple[Revoked, ...]]:
    """Then close what is over MAX_SESSIONS, what was used longest ago first and never the new one."""
    user, now = row["user_id"], row["created_at"]
    if not is_sqlite:
        (locked,) = yield KEEP_OUT, {"user": user}
        _refuse_older(locked)
    yield OPEN, row
    ended = []
    for over in (yield OVER, {"user": user, "new": row["id"], "now": now, "kept": MAX_SESSIONS - 1}):
        ended += yield END, {"over": over.id, "now": now}
    return (yield from _tell([_all_of(one, now) for one in ended]))


def _turn(values: Mapping[str, Any]) -> Steps[Any]:
    row = next(iter((yield TURN, values)), None)
    if row is not None and row.answer == REUSED:
        yield from _tell([_all_of(row, values["now"])])
    return row


def _tell(revoked: Iterable[Revoked]) -> Steps[tuple[Revoked, ...]]:
    listed = tuple(revoked)
    for one in listed:
        yield TELL, _told(one)
    return listed


def _told(one: Revoked) -> dict[str, Any]:
    return {f"told_{name}": getattr(one, name) for name in TOLD}


def _all_of(row: Any, now: datetime) -> Revoked:
    return Revoked(row.id, MAX_GENERATION, until(row.access_expires_at, now), row.user_id)


def _session(row: Row[Any]) -> Session:
    return Session(
        id=row.id,
        user_id=row.user_id,
        generation=row.generation,
        scopes=frozenset(row.scopes.split()),
        follows_user=row.follows_user,
        methods=frozenset(row.methods.split()),
        auth_time=row.auth_time,
        client_id=row.client_id,
        created_at=row.created_at,
        used_at=row.used_at,
        idle_expires_at=row.idle_expires_at,
        expires_at=row.expires_at,
        access_expires_at=row.access_expires_at,
        user_agent=row.user_agent,
        ip=row.ip,
    )


def _locking() -> Any:
    lock = func.pg_advisory_xact_lock(func.hashtextextended(bindparam("user", type_=ID), USER_LOCKS))
    return select(func.current_setting("transaction_isolation", type_=Text).label("isolation"), lock.label("locked"))


def _over() -> Any:
    user, now = bindparam("user", type_=ID), instant("now")
    others = and_(sessions.c.user_id == user, sessions.c.id != bindparam("new", type_=ID), alive(now))
    used = select(sessions.c.id).where(others).order_by(sessions.c.used_at.desc(), sessions.c.id)
    return used.offset(bindparam("kept", type_=Integer))


def _ending(which: Any) -> Any:
    return (
        update(sessions)
        .where(which, sessions.c.closed_at.is_(None))
        .returning(sessions.c.id, sessions.c.user_id, sessions.c.access_expires_at)
    )


KEEP_OUT: Statement = Statement(_locking())
OPEN: Statement = Statement(insert(sessions))
OVER: Statement = Statement(_over())
END: Statement = Statement(_ending(sessions.c.id == bindparam("over", type_=ID)).values(closed_at=instant("now")))
TELL: Statement = Statement(insert(feed).inline().values({name: bindparam(f"told_{name}") for name in TOLD}))
GET: Statement = Statement(select(sessions).where(sessions.c.id == bindparam("id", type_=ID), alive(instant("now"))))
DEAD: tuple[Statement, ...] = tuple(
    pruning.removal(sessions, and_(since <= instant("over"), sessions.c.access_expires_at <= instant("over")), since)
    for since in (sessions.c.idle_expires_at, sessions.c.closed_at)
)
