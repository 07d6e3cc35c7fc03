"""`ports.Scratch` on SQL: one statement counts an attempt against all of its limits, one uses up what may be used once."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, case, delete, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.policy import LEEWAY
from watchword.ports import Hit, Limit, Once
from watchword.stores.sql import hot, kept, pruning
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.hot import Statement, Steps, Undo, Way
from watchword.stores.sql.tables import greatest, hits, single_use
from watchword.stores.sql.turning import instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class SqlScratch:
    """Scratch in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._way: Way = hot.way(db, kept.LOGINS)

    @verb
    async def hit(self, limits: Sequence[Limit], now: datetime) -> Hit:
        """See `ports.Scratch.hit`."""
        return await self._way.run(self._hit(limits, _milliseconds(now - EPOCH)))

    @verb
    async def take_back(
        self, limits: Sequence[Limit], *, remember: str | None = None, until: datetime | None = None
    ) -> None:
        """See `ports.Scratch.take_back`."""
        remembered = [(remember, until)] if remember is not None and until is not None else []
        if limits or remembered:
            await self._way.run(self._take_back(limits, remembered))

    @verb
    async def keep(self, purpose: str, key: str, value: str, until: datetime) -> None:
        """See `ports.Scratch.keep`."""
        async with self._db.write() as connection:
            await keep_once(connection, [Once(purpose, key, value, until)])

    @verb
    async def peek(self, purpose: str, key: str, now: datetime) -> str | None:
        """See `ports.Scratch.peek`."""
        async with self._db.read() as connection:
            found = await connection.execute(select(single_use.c.value).where(_kept(purpose, key, now)))
            return found.scalar()

    @verb
    async def consume(self, purpose: str, key: str, now: datetime, *, value: str | None = None) -> str | None:
        """See `ports.Scratch.consume`."""
        async with self._db.write() as connection:
            return await use(connection, purpose, key, now, value)

    @verb
    async def prune(self, now: datetime, limit: int) -> int:
        """See `ports.Scratch.prune`."""
        values = {"at": _milliseconds(now - EPOCH), "now": now}
        return await pruning.prune(self._db, self._way, hits, DEAD, values, limit)

    def _hit(self, limits: Sequence[Limit], at: int) -> Steps[Hit]:
        spared = yield from _spared(limits, at)
        counting = tuple(one for one in limits if one.key not in spared)
        rows = []
        if counting:
            values = _numbered(
                key=[one.key for one in counting],
                until=[at + _interval(one) for one in counting],
                full=[at + _milliseconds(one.period) for one in counting],
            )
            rows = yield _counting(len(counting), self._db.is_sqlite), {"at": at, **values}
        counted = {row.key: row.until for row in rows}
        if len(counted) < len(counting):  # what the other limits have counted is rolled back
            wait = yield from _wait([one for one in counting if one.key not in counted], at)
            raise Undo(Hit(wait=wait))
        last = any(counted[one.key] + _interval(one) > at + _milliseconds(one.period) for one in counting)
        return Hit(last=last, counted=counting)

    def _take_back(self, limits: Sequence[Limit], remembered: Sequence[tuple[str, datetime]]) -> Steps[None]:
        values = _numbered(
            key=[one.key for one in limits] + [key for key, _ in remembered],
            until=[0 for _ in limits] + [_milliseconds(until - EPOCH) for _, until in remembered],
            interval=[_interval(one) for one in limits],
        )
        yield _taking_back(len(limits), len(remembered), self._db.is_sqlite), values


async def keep_once(connection: AsyncConnection, once: Sequence[Once]) -> None:
    """What `ports.Scratch.keep` does, in the caller's transaction."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(single_use)
    new = {name: insert.excluded[name] for name in ("value", "until")}
    upsert = insert.on_conflict_do_update(index_elements=["purpose", "key"], set_=new)
    for one in once:
        await connection.execute(upsert, dataclasses.asdict(one))


async def use(connection: AsyncConnection, purpose: str, key: str, now: datetime, value: str | None) -> str | None:
    """What `ports.Scratch.consume` does, in the caller's transaction. Deleting the row is using it, so its lock decides a
    race."""
    mine = _kept(purpose, key, now)
    if value is not None:
        mine = and_(mine, single_use.c.value == value)
    used = await connection.execute(delete(single_use).where(mine).returning(single_use.c.value))
    return used.scalar()


def _kept(purpose: str, key: str, now: datetime) -> Any:
    return and_(single_use.c.purpose == purpose, single_use.c.key == key, single_use.c.until > now)


def _spared(limits: Sequence[Limit], at: int) -> Steps[set[str]]:
    """The keys of those limits whose exception is remembered. (In the upsert it would not follow a host's schema.)"""
    exceptions = sorted({one.unless for one in limits if one.unless is not None})
    if not exceptions:
        return set()
    found = yield _finding(len(exceptions)), _numbered(key=exceptions)
    remembered = {row.key for row in found if row.until > at}
    return {one.key for one in limits if one.unless in remembered}


def _wait(refusing: Sequence[Limit], at: int) -> Steps[timedelta]:
    """Until the last of these limits has room for one."""
    found = yield _finding(len(refusing)), _numbered(key=[one.key for one in refusing])
    untils = {row.key: row.until for row in found}
    waits = [untils.get(one.key, at) + _interval(one) - _milliseconds(one.period) - at for one in refusing]
    return max(waits, default=0) * MILLISECOND


@functools.lru_cache
def _counting(limits: int, is_sqlite: bool) -> Statement:
    """Add each limit's interval to its row, where there is room: GCRA's whole rule. A row that has none is not returned.

    A row that is further ahead than clocks may differ has room for one. With none, its owner would wait as long as the
    clock was wrong; if it were empty, workers whose clocks differ would give each other's guesses back.

    Rows are locked in the order of the limits, which is that of every caller, so nobody waits in a circle.
    """
    insert = (sqlite if is_sqlite else postgresql).insert(hits)
    at = bindparam("at", type_=BigInteger)
    full = _each(limits, lambda n: _number("full", n))
    ahead = hits.c.until > full + _big(_milliseconds(LEEWAY))  # of a clock that has been turned back since
    then = case((ahead, full), else_=greatest(hits.c.until, at) + insert.excluded.until - at)
    return Statement(
        insert.values(_rows(limits))
        .on_conflict_do_update(index_elements=["key"], set_={"until": then}, where=then <= full)
        .returning(hits.c.key, hits.c.until)
    )


@functools.lru_cache
def _taking_back(limits: int, remembered: int, is_sqlite: bool) -> Statement:
    """Take each limit's interval off its row, and set those that come after them. An update would lock the rows in an order of
    its own."""
    insert = (sqlite if is_sqlite else postgresql).insert(hits)
    back = _each(limits, lambda n: hits.c.until - _number("interval", n), insert.excluded.until)
    rows = _rows(limits + remembered)
    return Statement(insert.values(rows).on_conflict_do_update(index_elements=["key"], set_={"until": back}))


@functools.lru_cache
def _finding(keys: int) -> Statement:
    return Statement(select(hits.c.key, hits.c.until).where(or_(*(hits.c.key == _key(n) for n in range(keys)))))


def _rows(count: int) -> list[dict[str, Any]]:
    return [{"key": _key(n), "until": _number("until", n)} for n in range(count)]


def _each(limits: int, value: Callable[[int], Any], other: Any = None) -> Any:
    if not limits:
        return other
    return case(*((hits.c.key == _key(n), value(n)) for n in range(limits)), else_=other)


def _key(n: int) -> Any:
    return bindparam(f"key{n}", type_=hits.c.key.type)


def _number(name: str, n: int) -> Any:
    return bindparam(f"{name}{n}", type_=BigInteger)


def _numbered(**values: Sequence[Any]) -> dict[str, Any]:
    return {f"{name}{n}": value for name, listed in values.items() for n, value in enumerate(listed)}


def _big(number: int) -> Any:
    return literal(number, BigInteger())


def _interval(limit: Limit) -> int:
    return _milliseconds(limit.period) // limit.hits


def _milliseconds(length: timedelta) -> int:
    return length // MILLISECOND


DEAD: tuple[Statement, ...] = (
    pruning.removal(hits, hits.c.until <= bindparam("at", type_=BigInteger), hits.c.until),
    pruning.removal(single_use, single_use.c.until <= instant("now"), single_use.c.until),
)
