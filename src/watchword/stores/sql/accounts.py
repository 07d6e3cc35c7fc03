"""`ports.Accounts` on SQL."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.mail import Queued
from watchword.core.models import Revoked
from watchword.ports import NOTHING, Altered, Ending, Once, Particulars
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.outbox import queue
from watchword.stores.sql.scratch import keep_once, use
from watchword.stores.sql.sessions import end_all
from watchword.stores.sql.tables import users
from watchword.stores.sql.users import change, erase, skeleton_of


class _Used(Exception):
    """Takes the transaction back."""


class SqlAccounts:
    """What owners change of their accounts, in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @verb
    async def alter(
        self,
        user_id: str,
        changes: Particulars,
        now: datetime,
        *,
        expecting: Particulars = NOTHING,
        ending: Ending = Ending.NONE,
        keep: str | None = None,
        mails: Sequence[Queued] = (),
        using: Once | None = None,
        once: Sequence[Once] = (),
    ) -> Altered:
        """See `ports.Accounts.alter`. The unique indexes decide who gets an address or a username."""
        values = _columns(changes)
        if "username" in values:
            values["username_skeleton"] = values["username"] and skeleton_of(values["username"])
        if ending is not Ending.NONE or "email" in values:
            values["epoch"] = users.c.epoch + 1
        try:
            async with self._db.write() as connection:
                expected = await _expected(connection, user_id, expecting)
                if not await change(connection, and_(users.c.id == user_id, *expected), values):
                    return Altered(done=False)
                if using is not None and await use(connection, using.purpose, using.key, now, using.value) is None:
                    raise _Used
                await queue(connection, mails)
                await keep_once(connection, once)
                if ending is Ending.NONE:
                    return Altered(done=True)
                kept = keep if ending is Ending.OTHERS else None
                return Altered(done=True, revoked=await end_all(connection, user_id, now, keep=kept))
        except IntegrityError:
            return Altered(done=False, taken=True)
        except _Used:
            return Altered(done=False)

    @verb
    async def resembles(self, username: str) -> bool:
        """See `ports.Accounts.resembles`."""
        alike = select(users.c.id).where(users.c.username_skeleton == skeleton_of(username)).limit(1)
        async with self._db.read() as connection:
            return (await connection.execute(alike)).first() is not None

    @verb
    async def due(self, now: datetime, after: str, limit: int) -> list[str]:
        """See `ports.Accounts.due`."""
        over = select(users.c.id).where(users.c.deletes_at <= now, users.c.id > after).order_by(users.c.id).limit(limit)
        async with self._db.read() as connection:
            return list((await connection.execute(over)).scalars())

    @verb
    async def remove_due(self, user_id: str, now: datetime) -> tuple[Revoked, ...] | None:
        """See `ports.Accounts.remove_due`."""
        return await erase(self._db, and_(users.c.id == user_id, users.c.deletes_at <= now), user_id, now)


async def _expected(connection: AsyncConnection, user_id: str, expecting: Particulars) -> list[ColumnElement[bool]]:
    """What the row must be. Of a profile it is the very text that is there, if that says what is expected, however somebody
    wrote it."""
    columns = _columns(expecting)
    if "profile" in columns:
        stored = (await connection.execute(select(users.c.profile).where(users.c.id == user_id))).scalar()
        if _columns({"profile": json.loads(stored) if stored else {}})["profile"] == columns["profile"]:
            columns["profile"] = stored
    return [users.c[name].is_not_distinct_from(value) for name, value in columns.items()]


def _columns(particulars: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(particulars)
    if "profile" in values:
        values["profile"] = json.dumps(values["profile"], ensure_ascii=False) if values["profile"] else None
    return values
