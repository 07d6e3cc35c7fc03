"""Removing dead rows a few at a time, so that nobody has to wait for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Integer, Select, Table, Text, bindparam, delete, func, select, tuple_

from watchword.stores.sql.engine import Database
from watchword.stores.sql.hot import Statement, Steps, Way

PRUNERS = 0x77617470
"""Sets our advisory locks apart from others: "watp"."""


def removal(table: Table, dead: Any, order: Any) -> Statement:
    """What deletes at most `limit` rows that are `dead`, in the `order` of an index, and gives a row for each.

    The order makes PostgreSQL find them by the index: without it, it may look through the whole table, each time past those
    that it has just deleted. As a plain subquery it might look for them, and lock them, more than once. Rows that somebody
    holds are left for the next time: who waits for no one can't wait in a circle.
    """
    key = tuple(table.primary_key)
    limit = bindparam("limit", type_=Integer)
    found = select(*key).where(dead).order_by(order).limit(limit).with_for_update(skip_locked=True).cte("dead")
    listed: Select[Any] = select(*found.c)
    one = key[0] if len(key) == 1 else tuple_(*key)
    return Statement(delete(table).where(one.in_(listed)).returning(*key))


async def prune(
    db: Database, way: Way, table: Table, removals: Sequence[Statement], values: Mapping[str, Any], limit: int
) -> int:
    """Remove at most `limit` rows, and say how many there were.

    On SQLite they come into the file at once: the pages of many batches would keep the disk busy for as long as others'
    commits wait for it.
    """
    removed = await way.run(_prune(table, removals, values, limit, is_sqlite=db.is_sqlite))
    if removed:
        await db.checkpoint()
    return removed


def _prune(
    table: Table, removals: Sequence[Statement], values: Mapping[str, Any], limit: int, *, is_sqlite: bool
) -> Steps[int]:
    """All workers prune in the same hour. Whoever comes while another is at the table leaves it the rest, or the many would
    take up what each of them spares. On SQLite every writer is alone."""
    if not is_sqlite:
        (lock,) = yield ALONE, {"table": table.name}
        if not lock.alone:
            return 0
    removed = 0
    for removal in removals:
        removed += len((yield removal, {**values, "limit": limit - removed}))
        if removed == limit:
            break
    return removed


def _locking() -> Any:
    """Whether nobody else is pruning the table; until this transaction ends, nobody else then is. Its commit does not wait for
    the disk, nor others' commits for it: what a crash brings back is as dead as it was."""
    name = bindparam("table", type_=Text)
    return select(
        func.pg_try_advisory_xact_lock(func.hashtextextended(name, PRUNERS)).label("alone"),
        func.set_config("synchronous_commit", "off", True).label("commit"),
    )


ALONE: Statement = Statement(_locking())
