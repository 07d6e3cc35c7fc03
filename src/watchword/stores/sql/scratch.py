"""`ports.Scratch` on SQL: one statement counts an attempt against all of its limits, one uses up what may be used once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Table, and_, case, delete, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.policy import LEEWAY
from watchword.ports import Hit, Limit
from watchword.stores.sql import pruning
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.tables import greatest, hits, single_use

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class _Refused(Exception):
    """Rolls back what the other limits had counted."""

    def __init__(self, wait: timedelta) -> None:
        self.wait = wait


class SqlScratch:
    """Scratch in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @verb
    async def hit(self, limits: Sequence[Limit], now: datetime) -> Hit:
        """See `ports.Scratch.hit`."""
        at = _milliseconds(now - EPOCH)
        try:
            async with self._db.write() as connection:
                spared = await _spared(connection, limits, at)
                counting = tuple(one for one in limits if one.key not in spared)
                rows = (await connection.execute(self._count(counting, at))).all() if counting else []
                counted = {row.key: row.until for row in rows}
                if len(counted) < len(counting):
                    raise _Refused(await _wait(connection, [one for one in counting if one.key not in counted], at))
        except _Refused as refused:
            return Hit(wait=refused.wait)
        last = any(counted[one.key] + _interval(one) > at + _milliseconds(one.period) for one in counting)
        return Hit(last=last, counted=counting)

    @verb
    async def take_back(
        self, limits: Sequence[Limit], *, remember: str | None = None, until: datetime | None = None
    ) -> None:
        """See `ports.Scratch.take_back`."""
        async with self._db.write() as connection:
            if limits:
                await connection.execute(self._uncount(limits))
            if remember is not None and until is not None:
                row = {"key": remember, "until": _milliseconds(until - EPOCH)}
                await connection.execute(self._upsert(hits, [row], ["key"], ["until"]))

    @verb
    async def keep(self, purpose: str, key: str, value: str, until: datetime) -> None:
        """See `ports.Scratch.keep`."""
        row = {"purpose": purpose, "key": key, "value": value, "until": until}
        async with self._db.write() as connection:
            await connection.execute(self._upsert(single_use, [row], ["purpose", "key"], ["value", "until"]))

    @verb
    async def consume(self, purpose: str, key: str, now: datetime) -> str | None:
        """See `ports.Scratch.consume`. Deleting the row is using it, so its lock decides a race."""
        mine = and_(single_use.c.purpose == purpose, single_use.c.key == key, single_use.c.until > now)
        async with self._db.write() as connection:
            row = (await connection.execute(delete(single_use).where(mine).returning(single_use.c.value))).first()
        return None if row is None else str(row.value)

    @verb
    async def prune(self, now: datetime, limit: int) -> int:
        """See `ports.Scratch.prune`."""
        over = hits.c.until <= _milliseconds(now - EPOCH)
        late = single_use.c.until <= now
        async with self._db.write() as connection:
            if not await pruning.alone(connection, hits):
                return 0
            removed = await pruning.remove(connection, hits, over, hits.c.until, limit)
            return removed + await pruning.remove(connection, single_use, late, single_use.c.until, limit)

    def _count(self, limits: Sequence[Limit], at: int) -> Any:
        """Add each limit's interval to its row, where there is room: GCRA's whole rule. A row that has none is not returned.

        A row that is further ahead than clocks may differ has room for one. With none, its owner would wait as long as the
        clock was wrong; if it were empty, workers whose clocks differ would give each other's guesses back.

        Rows are locked in the order of `limits`, which is that of every caller, so nobody waits in a circle.
        """
        insert = (sqlite if self._db.is_sqlite else postgresql).insert(hits)
        rows = [{"key": one.key, "until": at + _interval(one)} for one in limits]
        interval = insert.excluded.until - _big(at)
        full = _each(limits, lambda one: at + _milliseconds(one.period))
        ahead = hits.c.until > full + _big(_milliseconds(LEEWAY))  # of a clock that has been turned back since
        then = case((ahead, full), else_=greatest(hits.c.until, _big(at)) + interval)
        return (
            insert.values(rows)
            .on_conflict_do_update(
                index_elements=["key"],
                set_={"until": then},
                where=then <= full,
            )
            .returning(hits.c.key, hits.c.until)
        )

    def _uncount(self, limits: Sequence[Limit]) -> Any:
        """Take each limit's interval off its row. An update would lock the rows in an order of its own."""
        insert = (sqlite if self._db.is_sqlite else postgresql).insert(hits)
        return insert.values([{"key": one.key, "until": 0} for one in limits]).on_conflict_do_update(
            index_elements=["key"], set_={"until": hits.c.until - _each(limits, _interval)}
        )

    def _upsert(self, table: Table, rows: list[dict[str, Any]], index: list[str], changed: list[str]) -> Any:
        insert = (sqlite if self._db.is_sqlite else postgresql).insert(table)
        new = {name: insert.excluded[name] for name in changed}
        return insert.values(rows).on_conflict_do_update(index_elements=index, set_=new)


async def _spared(connection: AsyncConnection, limits: Sequence[Limit], at: int) -> set[str]:
    """The keys of those limits whose exception is remembered. (In the upsert it would not follow a host's schema.)"""
    exceptions = {one.unless for one in limits if one.unless is not None}
    if not exceptions:
        return set()
    found = select(hits.c.key).where(hits.c.key.in_(exceptions), hits.c.until > at)
    remembered = {row.key for row in await connection.execute(found)}
    return {one.key for one in limits if one.unless in remembered}


async def _wait(connection: AsyncConnection, refusing: Sequence[Limit], at: int) -> timedelta:
    """Until the last of these limits has room for one."""
    found = select(hits.c.key, hits.c.until).where(hits.c.key.in_([one.key for one in refusing]))
    untils = {row.key: row.until for row in await connection.execute(found)}
    waits = [untils.get(one.key, at) + _interval(one) - _milliseconds(one.period) - at for one in refusing]
    return max(waits, default=0) * MILLISECOND


def _each(limits: Sequence[Limit], value: Any) -> Any:
    return case({one.key: _big(value(one)) for one in limits}, value=hits.c.key)


def _big(number: int) -> Any:
    return literal(number, BigInteger())


def _interval(limit: Limit) -> int:
    return _milliseconds(limit.period) // limit.hits


def _milliseconds(length: timedelta) -> int:
    return length // MILLISECOND
