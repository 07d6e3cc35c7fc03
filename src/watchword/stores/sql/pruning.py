"""Removing dead rows a few at a time, so that nobody has to wait for it."""

from typing import Any

from sqlalchemy import Select, Table, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

PRUNERS = 0x77617470
"""Sets our advisory locks apart from others: "watp"."""


async def alone(connection: AsyncConnection, table: Table) -> bool:
    """Whether nobody else is pruning the table at this moment; until this transaction ends, nobody else then is.

    All workers prune in the same hour. Whoever comes while another is at it leaves it the rest, or the many would take up what
    each of them spares. On SQLite every writer is alone.
    """
    if connection.dialect.name != "postgresql":
        return True
    lock = func.pg_try_advisory_xact_lock(func.hashtextextended(table.name, PRUNERS))
    return bool((await connection.execute(select(lock))).scalar_one())


async def remove(connection: AsyncConnection, table: Table, dead: Any, order: Any, limit: int) -> int:
    """Delete at most `limit` rows that are `dead`, in the `order` of an index; how many there were.

    The order makes PostgreSQL find them by the index: without it, it may look through the whole table, each time past those
    that it has just deleted. Rows that somebody holds are left for the next time: who waits for no one can't wait in a circle.
    """
    key = tuple(table.primary_key)
    listed: Select[Any] = select(*key).where(dead).order_by(order).limit(limit)
    if connection.dialect.name == "postgresql":  # as a plain subquery it might run, and lock, more than once
        listed = select(listed.with_for_update(skip_locked=True).cte("dead"))
    one = key[0] if len(key) == 1 else tuple_(*key)
    return (await connection.execute(delete(table).where(one.in_(listed)))).rowcount
