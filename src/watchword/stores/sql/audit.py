"""`ports.Audit` on SQL."""

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, bindparam, delete, func, insert, literal, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.audit import Batch, Checkpoint, Extent, Link, Row, Tail
from watchword.core.events import UserDeleted
from watchword.stores.sql import hot, kept, pruning
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.hot import Statement, Steps, Way
from watchword.stores.sql.tables import audit, audit_checkpoints

SEALERS = 0x77617361
"""Sets our advisory lock apart from others: "wasa"."""

WRITTEN = ("at", "kind", "user_id", "facts", "personal", "salt", "personal_hash")
DELETIONS = 500
"""Of how many deleted users one statement asks."""

SIZES = (32, 8, 1)
"""Rows of one statement: each size is compiled once."""

_SEALED = audit.c.position.is_not(None)
_COLUMNS = [audit.c[name] for name in Row._fields]
_CHECKPOINT = [audit_checkpoints.c[name] for name in Checkpoint._fields]
_NEWEST = select(*_CHECKPOINT).order_by(audit_checkpoints.c.position.desc()).limit(1)
_LAST = select(audit.c.position, audit.c.hash).where(_SEALED).order_by(audit.c.position.desc()).limit(1)
_HASH = select(audit.c.hash).where(audit.c.position == bindparam("known", type_=BigInteger))
_UNSEALED = select(*_COLUMNS).where(audit.c.position.is_(None)).order_by(audit.c.number)
_DELETIONS = select(audit.c.number, audit.c.user_id).where(audit.c.kind == UserDeleted.__name__)
_PLACE = (
    update(audit)
    .where(audit.c.number == bindparam("one"))
    .values(position=bindparam("its_position"), hash=bindparam("its_hash"))
)


class SqlAudit:
    """The audit log in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._way: Way = hot.way(db, kept.LOGINS)

    @verb
    async def append(self, rows: Sequence[Row]) -> None:
        """See `ports.Audit.append`. On SQLite logins that commit at this moment share the wait for the disk."""
        await self._way.run(_append(rows))

    @verb
    async def seal(
        self, chain: Callable[[Tail, Sequence[Row]], Batch], limit: int, known: int | None = None
    ) -> Batch | None:
        """See `ports.Audit.seal`. On SQLite a writer is alone; on PostgreSQL an advisory lock lasts to the commit."""
        async with self._db.write() as connection:
            if not self._db.is_sqlite:
                locked = await connection.execute(text(f"SELECT pg_try_advisory_xact_lock({SEALERS})"))
                if not locked.scalar_one():
                    return None
            unsealed = [_row(one) for one in await connection.execute(_UNSEALED.limit(limit))]
            batch = chain(await _tail(connection, known), unsealed)
            if batch.rows:
                places = [{"one": one.number, "its_position": one.position, "its_hash": one.hash} for one in batch.rows]
                await connection.execute(_PLACE, places)
            if batch.replaces is not None:
                gone = audit_checkpoints.c.position == batch.replaces
                await connection.execute(delete(audit_checkpoints).where(gone))
            if batch.checkpoint is not None:
                await connection.execute(insert(audit_checkpoints).values(batch.checkpoint._asdict()))
        return batch

    @verb
    async def rows(self, after: int, limit: int) -> Sequence[Row]:
        """See `ports.Audit.rows`."""
        found = select(*_COLUMNS).where(audit.c.position > after).order_by(audit.c.position).limit(limit)
        async with self._db.read() as connection:
            return [_row(one) for one in await connection.execute(found)]

    @verb
    async def checkpoints(self, after: int, until: int) -> Sequence[Checkpoint]:
        """See `ports.Audit.checkpoints`."""
        place = audit_checkpoints.c.position
        found = select(*_CHECKPOINT).where(place > after, place <= until).order_by(place)
        async with self._db.read() as connection:
            return [Checkpoint(*one) for one in await connection.execute(found)]

    @verb
    async def extent(self) -> Extent:
        """See `ports.Audit.extent`."""
        first = select(func.coalesce(func.min(audit.c.position), 0)).scalar_subquery()
        last = select(func.coalesce(func.max(audit.c.position), 0)).scalar_subquery()
        unsealed = select(func.count()).where(audit.c.position.is_(None)).select_from(audit).scalar_subquery()
        newest = _NEWEST.subquery()
        once = select(literal(1).label("once")).subquery()
        found = select(first, last, unsealed, *newest.c).select_from(once.outerjoin(newest, true()))
        async with self._db.read() as connection:
            (begin, end, waiting, *checkpoint) = (await connection.execute(found)).one()
        return Extent(begin, end, waiting, None if checkpoint[0] is None else Checkpoint(*checkpoint))

    @verb
    async def page(
        self, *, before: int | None, limit: int, user_id: str | None = None, kind: str | None = None
    ) -> Sequence[Row]:
        """See `ports.Audit.page`."""
        found = select(*_COLUMNS).order_by(audit.c.number.desc()).limit(limit)
        if before is not None:
            found = found.where(audit.c.number < before)
        if user_id is not None:
            found = found.where(audit.c.user_id == user_id)
        if kind is not None:
            found = found.where(audit.c.kind == kind)
        async with self._db.read() as connection:
            return [_row(one) for one in await connection.execute(found)]

    @verb
    async def forget(self, whose: str | datetime, limit: int = 1000) -> int:
        """See `ports.Audit.forget`."""
        if isinstance(whose, str):
            theirs: Any = audit.c.user_id == whose
        else:
            async with self._db.read() as connection:
                numbers = [number async for number in _late(connection, whose, limit)]
            if not numbers:
                return 0
            theirs = audit.c.number.in_(numbers)
        erasing = update(audit).where(theirs, audit.c.personal.is_not(None)).values(personal=None, salt=None)
        async with self._db.write() as connection:
            return (await connection.execute(erasing)).rowcount

    @verb
    async def prune(self, until: int, limit: int) -> int:
        """See `ports.Audit.prune`."""
        removed = await pruning.prune(self._db, self._way, audit, [OLD], {"until": until}, limit)
        if removed < limit:
            async with self._db.write() as connection:
                await connection.execute(delete(audit_checkpoints).where(audit_checkpoints.c.position < until))
        return removed


def _append(rows: Sequence[Row]) -> Steps[None]:
    left = list(rows)
    while left:
        size = next(size for size in SIZES if size <= len(left))
        now, left = left[:size], left[size:]
        values = {f"{name}{place}": getattr(one, name) for place, one in enumerate(now) for name in WRITTEN}
        yield _inserting(size), values


@functools.lru_cache
def _inserting(size: int) -> Statement:
    rows = [{name: bindparam(f"{name}{place}", type_=audit.c[name].type) for name in WRITTEN} for place in range(size)]
    return Statement(insert(audit).values(rows))


async def _tail(connection: AsyncConnection, known: int | None) -> Tail:
    last = (await connection.execute(_LAST)).first()
    newest = (await connection.execute(_NEWEST)).first()
    there = None if known is None else (await connection.execute(_HASH, {"known": known})).scalar()
    return Tail(
        last=None if last is None else Link(*last),
        newest=None if newest is None else Checkpoint(*newest),
        known=there,
    )


async def _late(connection: AsyncConnection, since: datetime, limit: int) -> AsyncIterator[int]:
    """The numbers of at most `limit` rows with personal fields, of users who were deleted `since`.

    Deletions are looked for from the newest back to the first that is older, and rows by their users: each by an index. Asked
    all at once, PostgreSQL would go through the users of the whole log.
    """
    older = _DELETIONS.where(audit.c.at < since).order_by(audit.c.number.desc()).limit(1)
    after = (await connection.execute(older)).scalar() or 0
    behind = _DELETIONS.order_by(audit.c.number).limit(DELETIONS)
    while limit and (gone := (await connection.execute(behind.where(audit.c.number > after))).all()):
        users = {one.user_id for one in gone if one.user_id is not None}
        theirs = select(audit.c.number).where(audit.c.user_id.in_(users), audit.c.personal.is_not(None)).limit(limit)
        for number in await connection.scalars(theirs):
            yield number
            limit -= 1
        after = gone[-1].number


def _row(found: Any) -> Row:
    """A row of the table; one that is not sealed has no place."""
    if found.position is None:
        return Row(*found[:-2])
    return Row(*found)


OLD: Statement = pruning.removal(audit, audit.c.position <= bindparam("until", type_=BigInteger), audit.c.position)
