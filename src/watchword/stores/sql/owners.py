"""Telling every worker that an owner's rights have changed, so that what is remembered of them is asked anew."""

from datetime import datetime

from sqlalchemy import BigInteger, Float, exists, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core import revoked
from watchword.core.policy import LEEWAY, REMEMBERED
from watchword.stores.sql.tables import ID, api_keys, feed, greatest


async def tell(connection: AsyncConnection, owner_id: str, now: datetime) -> None:
    """Write to the feed, within the transaction of the act, that this owner's rights are not what they were; where the owner
    has API keys at all. Whoever calls holds the owner's lock (`sessions.keep_out`).

    The generation rises with each, whatever the clock does: a worker tells on only what it has not heard. It is kept until no
    worker remembers a key any more that it asked for before.
    """
    name = revoked.of_owner(owner_id)
    newest = select(func.coalesce(func.max(feed.c.generation) + 1, 0)).where(feed.c.session_id == name)
    moment = literal(int(now.timestamp() * 1000), BigInteger())
    until = literal((now + REMEMBERED + LEEWAY).timestamp(), Float(53))
    told = select(literal(name, ID), greatest(moment, newest.scalar_subquery()), until).where(
        exists(select(api_keys.c.id).where(api_keys.c.owner_id == owner_id))
    )
    columns = [feed.c.session_id, feed.c.generation, feed.c.expires_at]
    await connection.execute(insert(feed).inline().from_select(columns, told))
