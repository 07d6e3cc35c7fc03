"""`ports.Sessions` on SQL."""

import functools
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Float,
    LargeBinary,
    Row,
    and_,
    bindparam,
    case,
    cast,
    extract,
    func,
    insert,
    literal_column,
    null,
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
from watchword.stores.sql import pruning
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.hot import SEEING, OneTrip, Prepared, Together
from watchword.stores.sql.tables import ID, UtcDateTime, feed, greatest, sessions

TURNED, REPEATED, REUSED, REWOUND = range(4)
USER_LOCKS = 0x77617463
"""Sets our advisory locks apart from the host's: "watc"."""

TELL = f"INSERT INTO {feed.name} (session_id, generation, expires_at) VALUES (?, ?, ?)"  # noqa: S608 - our own name
"""As the driver of SQLite takes it."""

ANSWERS = {TURNED: Turn.TURNED, REPEATED: Turn.REPEATED, REUSED: Turn.REUSED, REWOUND: Turn.REWOUND}


class SqlSessions:
    """Sessions in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        ours = not db.is_hosts
        self._together: Together | None = Together(db) if ours and db.is_sqlite else None
        self._one_trip: OneTrip | None = OneTrip(db) if ours and not db.is_sqlite else None
        self._hot: Prepared = Prepared(TURN if db.is_sqlite else _telling(TURN), sessions, db.engine.dialect)

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
        async with self._db.write() as connection:
            await keep_out(connection, session.user_id)
            await connection.execute(insert(sessions).values(row))
            return await _make_room(connection, session)

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
        if self._together is not None:
            return await self._together.do(functools.partial(_turn_in_sqlite, self._hot, values))
        if self._one_trip is not None and await self._one_trip.sees():
            return await self._one_trip.first(self._hot, values)
        async with self._db.write() as connection:
            row = (await connection.execute(TURN, values)).first()
            if row is not None and row.answer == REUSED:
                await revoke(connection, [_all_of(row, values["now"])])
        return row

    @verb
    async def get(self, session_id: str, now: datetime) -> Session | None:
        """See `ports.Sessions.get`."""
        async with self._db.read() as connection:
            row = (await connection.execute(select(sessions).where(sessions.c.id == session_id, alive(now)))).first()
        return None if row is None else _session(row)

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
        over = now - LEEWAY
        removed = 0
        async with self._db.write() as connection:
            if await pruning.alone(connection, sessions):
                for since in (sessions.c.idle_expires_at, sessions.c.closed_at):
                    dead = and_(since <= over, sessions.c.access_expires_at <= over)
                    removed += await pruning.remove(connection, sessions, dead, since, limit - removed)
                    if removed == limit:
                        break
        return removed


def alive(now: datetime) -> Any:
    """The condition for a session that may still be refreshed: open, and within its idle and absolute lifetimes."""
    return and_(sessions.c.closed_at.is_(None), sessions.c.idle_expires_at > now, sessions.c.expires_at > now)


async def keep_out(connection: AsyncConnection, user_id: str) -> None:
    """Until this transaction ends, nobody else opens a session of the user or ends all of them.

    Whoever comes later waits for the sessions that are being opened, and then sees them. On SQLite every writer is alone.
    Raises ConfigError for a host's transaction that would not see them: its snapshot is older than the wait.
    """
    if connection.dialect.name != "postgresql":
        return
    lock = func.pg_advisory_xact_lock(func.hashtextextended(user_id, USER_LOCKS))
    locked = select(func.current_setting("transaction_isolation"), lock)
    isolation = (await connection.execute(locked)).scalar_one()
    if isolation not in SEEING:
        raise ConfigError(
            f"sessions are ended in a transaction that is isolated by {isolation.upper()}, which misses those that are "
            'being opened. Begin it with connection.execution_options(isolation_level="READ COMMITTED").'
        )


async def _make_room(connection: AsyncConnection, new: Session) -> tuple[Revoked, ...]:
    """Close what is over MAX_SESSIONS, what was used longest ago first and never `new`; `keep_out` goes before."""
    others = and_(sessions.c.user_id == new.user_id, sessions.c.id != new.id, alive(new.created_at))
    kept = select(sessions.c.id).where(others).order_by(sessions.c.used_at.desc(), sessions.c.id)
    listed = (await connection.execute(kept.offset(MAX_SESSIONS - 1))).scalars().all()
    return await end(connection, sessions.c.id.in_(listed), new.created_at) if listed else ()


async def end_all(
    connection: AsyncConnection, user_id: str, now: datetime, *, keep: str | None = None
) -> tuple[Revoked, ...]:
    """Close the user's open sessions, all but `keep`, within the transaction of the act that ends them."""
    await keep_out(connection, user_id)
    which = sessions.c.user_id == user_id
    return await end(connection, which if keep is None else and_(which, sessions.c.id != keep), now)


async def change_scopes(
    connection: AsyncConnection, user_id: str, scopes_now: frozenset[str], now: datetime
) -> tuple[Revoked, ...]:
    """Let the user's live sessions follow what the user may do now, and revoke the present access tokens of those that change.

    The sessions' rows are locked, so a refresh waits, and then reads the new scopes.
    """
    await keep_out(connection, user_id)
    lock = select(sessions).where(sessions.c.user_id == user_id, alive(now)).with_for_update()
    revoked = []
    for row in (await connection.execute(lock)).all():
        old = frozenset(row.scopes.split())
        new = scopes_now if row.follows_user else old & scopes_now
        if new != old:
            change = update(sessions).where(sessions.c.id == row.id).values(scopes=scopes.text(new))
            await connection.execute(change)
            revoked.append(Revoked(row.id, row.generation, until(row.access_expires_at, now)))
    return await revoke(connection, revoked)


async def end(connection: AsyncConnection, which: Any, now: datetime) -> tuple[Revoked, ...]:
    """Close the open sessions that match and revoke their access tokens, within the caller's transaction."""
    statement = (
        update(sessions)
        .where(which, sessions.c.closed_at.is_(None))
        .values(closed_at=now)
        .returning(sessions.c.id, sessions.c.user_id, sessions.c.access_expires_at)
    )
    return await revoke(connection, [_all_of(row, now) for row in await connection.execute(statement)])


async def revoke(connection: AsyncConnection, revoked: Iterable[Revoked]) -> tuple[Revoked, ...]:
    """Write revocations to the feed, within the caller's transaction."""
    listed = tuple(revoked)
    if listed:
        rows = [{"session_id": r.session_id, "generation": r.generation, "expires_at": r.expires_at} for r in listed]
        await connection.execute(insert(feed), rows)
    return listed


def until(access_expires_at: datetime, now: datetime) -> float:
    """How long a revocation is kept: past the last access token that it covers, for every worker's clock.

    A restored database may have forgotten tokens that were made since. So it is kept from `now` on in any case: upkeep leaves
    it for `CLOCK_JUMP` more, and no access token lives longer than that.
    """
    return (max(access_expires_at, now) + LEEWAY).timestamp()


def _all_of(row: Row[Any], now: datetime) -> Revoked:
    return Revoked(row.id, MAX_GENERATION, until(row.access_expires_at, now), row.user_id)


def _least(one: Any, other: Any) -> Any:
    return case((one < other, one), else_=other)


def _turn() -> Any:
    """The one statement that answers every row of the refresh table. SET reads the row as it was before."""
    presented = bindparam("presented", type_=BigInteger)
    now, repeats_since = _instant("now"), _instant("repeats_since")
    current, turned_at = sessions.c.generation, sessions.c.turned_at
    moves = presented >= current
    repeats = and_(presented == current - 1, turned_at > repeats_since)
    return (
        update(sessions)
        .where(
            sessions.c.id == bindparam("session", type_=ID),
            sessions.c.r_hash == bindparam("hash_of_r", type_=LargeBinary),
        )
        .where(alive(now))
        .values(
            generation=case((moves, presented + 1), else_=current),
            turned_at=case((moves, now), else_=turned_at),
            answer=case(
                (presented == current, literal_column(str(TURNED))),
                (presented > current, literal_column(str(REWOUND))),
                (repeats, literal_column(str(REPEATED))),
                else_=literal_column(str(REUSED)),
            ),
            closed_at=case((moves | repeats, null()), else_=now),
            used_at=now,
            idle_expires_at=_least(_instant("idle_until"), sessions.c.expires_at),
            access_expires_at=greatest(
                sessions.c.access_expires_at, _least(_instant("access_until"), sessions.c.expires_at)
            ),
        )
        .returning(sessions)
    )


def _telling(turn: Any) -> Any:
    """PostgreSQL's form: the feed hears of a session that was closed in the same statement."""
    turned = turn.cte("turned")
    end = greatest(turned.c.access_expires_at, _instant("now"))
    revoked = select(
        turned.c.id,
        literal_column(str(MAX_GENERATION)),
        cast(extract("epoch", end), Float(53)) + LEEWAY.total_seconds(),
    )
    told = insert(feed).from_select(
        [feed.c.session_id, feed.c.generation, feed.c.expires_at], revoked.where(turned.c.answer == REUSED)
    )
    return select(turned).add_cte(told.cte("told"))


def _turn_in_sqlite(turn: Prepared, values: Mapping[str, Any], connection: sqlite3.Connection) -> Any:
    """Within a transaction that others share."""
    found = connection.execute(turn.sql, turn.arguments(values)).fetchone()
    if found is None:
        return None
    row = turn.row(found)
    if row.answer == REUSED:
        one = _all_of(row, values["now"])
        connection.execute(TELL, (one.session_id, one.generation, one.expires_at))
    return row


def _instant(name: str) -> Any:
    return bindparam(name, type_=UtcDateTime)


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


TURN: Any = _turn()
