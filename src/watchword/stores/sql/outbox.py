"""`ports.Outbox` on SQL."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.mail import LEASE, Queued
from watchword.ports import Once
from watchword.stores.sql import hot, kept, pruning
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.hot import Statement, Way
from watchword.stores.sql.scratch import keep_once
from watchword.stores.sql.tables import outbox
from watchword.stores.sql.turning import instant


class SqlOutbox:
    """The outbox in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._way: Way = hot.way(db, kept.LOGINS)

    @verb
    async def add(self, mails: Sequence[Queued], once: Sequence[Once] = ()) -> None:
        """See `ports.Outbox.add`."""
        async with self._db.write() as connection:
            await queue(connection, mails)
            await keep_once(connection, once)

    @verb
    async def take(self, now: datetime, limit: int) -> list[Queued]:
        """See `ports.Outbox.take`. Nearly always there is nothing, and then nothing is written."""
        due = and_(outbox.c.due_at <= now, outbox.c.until > now)
        async with self._db.read() as connection:
            if (await connection.execute(select(outbox.c.id).where(due).limit(1))).first() is None:
                return []
        first = select(outbox.c.id).where(due).order_by(outbox.c.due_at).limit(limit)
        found = first.with_for_update(skip_locked=True).cte("due")
        taking = (
            update(outbox)
            .where(outbox.c.id.in_(select(found.c.id)))
            .values(due_at=now + LEASE, attempts=outbox.c.attempts + 1)
            .returning(outbox)
        )
        async with self._db.write() as connection:
            taken = [_queued(row) for row in await connection.execute(taking)]
        return sorted(taken, key=lambda one: one.queued_at)

    @verb
    async def delivered(self, mail_id: str) -> None:
        """See `ports.Outbox.delivered`."""
        async with self._db.write() as connection:
            await connection.execute(delete(outbox).where(outbox.c.id == mail_id))

    @verb
    async def postpone(self, mail_id: str, due_at: datetime, because: str) -> None:
        """See `ports.Outbox.postpone`."""
        later = update(outbox).where(outbox.c.id == mail_id).values(due_at=due_at, because=because)
        async with self._db.write() as connection:
            await connection.execute(later)

    @verb
    async def page(self, after: str, limit: int) -> list[Queued]:
        """See `ports.Outbox.page`."""
        behind = select(outbox).where(outbox.c.id > after).order_by(outbox.c.id).limit(limit)
        async with self._db.read() as connection:
            return [_queued(row) for row in await connection.execute(behind)]

    @verb
    async def retry(self, mail_id: str, now: datetime) -> bool:
        """See `ports.Outbox.retry`. One that is for nobody (`flows/post.unsent`) stays so."""
        waits = and_(outbox.c.id == mail_id, outbox.c.until > now, outbox.c.recipient != "")
        async with self._db.write() as connection:
            due = update(outbox).where(waits).values(due_at=now).returning(outbox.c.id)
            return (await connection.execute(due)).first() is not None

    @verb
    async def discard(self, mail_id: str) -> Queued | None:
        """See `ports.Outbox.discard`."""
        async with self._db.write() as connection:
            gone = await connection.execute(delete(outbox).where(outbox.c.id == mail_id).returning(outbox))
            row = gone.first()
        return None if row is None else _queued(row)

    @verb
    async def prune(self, now: datetime, limit: int) -> int:
        """See `ports.Outbox.prune`."""
        return await pruning.prune(self._db, self._way, outbox, [DEAD], {"now": now}, limit)


async def queue(connection: AsyncConnection, mails: Sequence[Queued]) -> None:
    """What `ports.Outbox.add` does with mails, in the caller's transaction."""
    if mails:
        await connection.execute(insert(outbox), [_row(one) for one in mails])


def _row(mail: Queued) -> dict[str, Any]:
    return {one.name: getattr(mail, one.name) for one in dataclasses.fields(mail)}


def _queued(row: Row[Any]) -> Queued:
    return Queued(**row._mapping)


DEAD: Statement = pruning.removal(outbox, outbox.c.until <= instant("now"), outbox.c.until)
