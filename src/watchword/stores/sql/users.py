"""`ports.Users` on SQL. What ends sessions does so in the transaction that changes the user."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Row, and_, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core import emails, lookalikes
from watchword.core.errors import StillReferenced
from watchword.core.models import Credentials, FrozenDict, Revoked, User
from watchword.core.scopes import text as text_of
from watchword.ports import Added, Ending, NewUser
from watchword.stores.sql import hot, kept
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.hot import Statement, Way
from watchword.stores.sql.roles import forget
from watchword.stores.sql.sessions import change_scopes, end_all
from watchword.stores.sql.tables import api_keys, outbox, sessions, users


def _by(column: Column[Any]) -> Statement:
    return Statement(select(users).where(column == bindparam("value", type_=column.type)))


NO_PROFILE = FrozenDict()

BY_ID: Statement = _by(users.c.id)
BY_EMAIL: Statement = _by(users.c.email)
BY_USERNAME: Statement = _by(users.c.username)


class SqlUsers:
    """Users in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._logins: Way = hot.way(db, kept.LOGINS)
        self._refreshes: Way = hot.way(db, kept.REFRESHES)

    @verb
    async def add(self, user: NewUser) -> Added:
        """See `ports.Users.add`. The unique indexes decide; which one refused is read in the same transaction.

        Where an address is taken, its row is written as it is: a commit of nothing would be quicker, and tell.
        """
        row = {**_new_row(user), "username_skeleton": user.username and skeleton_of(user.username)}
        dialect = sqlite if self._db.is_sqlite else postgresql
        statement = dialect.insert(users).values(row).on_conflict_do_nothing().returning(users.c.id)
        async with self._db.write() as connection:
            if (await connection.execute(statement)).first() is not None:
                return Added.ADDED
            same_name = users.c.username == row["username"]
            named = select(users.c.id).where(or_(same_name, users.c.username_skeleton == row["username_skeleton"]))
            taken = row["username"] is not None and (await connection.execute(named)).first() is not None
            if not taken:
                same = update(users).where(users.c.email == row["email"]).values(email=users.c.email)
                await connection.execute(same)
        return Added.USERNAME_TAKEN if taken else Added.EMAIL_TAKEN

    @verb
    async def in_the_way(self, new: Sequence[NewUser]) -> list[tuple[User, ...]]:
        """See `flows.importing.Imports.in_the_way`."""
        async with self._db.read() as connection:
            return await _in_the_way(connection, [_new_row(user) for user in new])

    @verb
    async def add_many(self, new: Sequence[NewUser]) -> list[tuple[User, ...]]:
        """See `flows.importing.Imports.add_many`. The unique indexes decide; what they refused is read afterwards.

        Rows go in by their addresses, so that two who add the same wait for each other and do not deadlock.
        """
        rows = [_new_row(user) for user in new]
        standing: list[tuple[User, ...]] = [()] * len(rows)
        pending = sorted(range(len(rows)), key=lambda place: str(rows[place]["email"]))
        dialect = sqlite if self._db.is_sqlite else postgresql
        statement = (
            dialect.insert(users).on_conflict_do_nothing().returning(users.c.id, users.c.email, users.c.username)
        )
        async with self._db.write() as connection:
            while pending:  # once more only where an obstacle went in between, or a name came that looks alike
                await _guard(connection, [rows[place] for place in pending])
                added = {tuple(row) for row in await connection.execute(statement, [rows[place] for place in pending])}
                refused = []
                for place in pending:
                    key = (rows[place]["id"], rows[place]["email"], rows[place]["username"])
                    if key in added:
                        added.remove(key)
                    else:
                        refused.append(place)
                found = await _in_the_way(connection, [rows[place] for place in refused])
                for place, ways in zip(refused, found, strict=True):
                    standing[place] = ways
                pending = [place for place in refused if not standing[place]]
        return standing

    @verb
    async def find(self, identifier: str) -> Credentials[User] | None:
        """See `ports.Users.find`."""
        if "@" in emails.fold(identifier[: emails.MAX_EMAIL + 1]):
            statement, value = BY_EMAIL, emails.canonical_email(identifier)
        else:
            statement, value = BY_USERNAME, emails.canonical_username(identifier)
        return None if value is None else await _one(self._logins, statement, value)

    @verb
    async def get(self, user_id: str) -> Credentials[User] | None:
        """See `ports.Users.get`. Whoever is signed in reads it, and does not wait for logins that wait for each other."""
        return await _one(self._refreshes, BY_ID, user_id)

    @verb
    async def page(self, after: str, limit: int) -> list[Credentials[User]]:
        """See `ports.Users.page`."""
        statement = select(users).where(users.c.email > after).order_by(users.c.email).limit(limit)
        async with self._db.read() as connection:
            return [Credentials(_user(row), row.password_hash) for row in await connection.execute(statement)]

    @verb
    async def set_password(
        self,
        user_id: str,
        new_hash: str,
        now: datetime,
        *,
        ending: Ending,
        keep: str | None = None,
        replacing: str | None = None,
    ) -> tuple[Revoked, ...] | None:
        """See `ports.Users.set_password`."""
        values: dict[str, Any] = {"password_hash": new_hash}
        if ending is not Ending.NONE:
            values["epoch"] = users.c.epoch + 1
        which = users.c.id == user_id
        if replacing is not None:
            which = which & (users.c.password_hash == replacing)
        async with self._db.write() as connection:
            if not await change(connection, which, values):
                return None
            if ending is Ending.NONE:
                return ()
            return await end_all(connection, user_id, now, keep=keep if ending is Ending.OTHERS else None)

    @verb
    async def set_scopes(
        self, user_id: str, scopes: frozenset[str], now: datetime, *, replacing: frozenset[str] | None = None
    ) -> tuple[Revoked, ...] | None:
        """See `ports.Users.set_scopes`. It replaces the very text that was read, however somebody wrote the set there."""
        which = users.c.id == user_id
        async with self._db.write() as connection:
            if replacing is not None:
                stored = (await connection.execute(select(users.c.scopes).where(which))).scalar()
                if stored is None or frozenset(stored.split()) != replacing:
                    return None
                which = which & (users.c.scopes == stored)
            if not await change(connection, which, {"scopes": text_of(scopes)}):
                return None
            return await change_scopes(connection, user_id, scopes, now)

    @verb
    async def set_disabled(self, user_id: str, disabled: bool, now: datetime) -> tuple[Revoked, ...] | None:
        """See `ports.Users.set_disabled`."""
        values = {"disabled_at": now if disabled else None, "epoch": users.c.epoch + 1}
        async with self._db.write() as connection:
            if not await change(connection, users.c.id == user_id, values):
                return None
            return await end_all(connection, user_id, now)

    @verb
    async def remove(self, user_id: str, now: datetime) -> tuple[Revoked, ...] | None:
        """See `ports.Users.remove`."""
        return await erase(self._db, users.c.id == user_id, user_id, now)


async def erase(db: Database, which: Any, user_id: str, now: datetime) -> tuple[Revoked, ...] | None:
    """Delete the account that matches, with what belongs to it and mails that wait for its owner; what was revoked, or None.

    The epoch rises first: whoever changes the same user waits for the end.
    """
    try:
        async with db.write() as connection:
            if not await change(connection, which, {"epoch": users.c.epoch + 1}):
                return None
            revoked = await end_all(connection, user_id, now)
            await connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
            theirs = and_(api_keys.c.owner_id == user_id, api_keys.c.of_service_account.is_(False))
            await connection.execute(delete(api_keys).where(theirs))
            await forget(connection, user_id)
            gone = delete(users).where(users.c.id == user_id).returning(users.c.email)
            address = (await connection.execute(gone)).scalar_one()
            await connection.execute(delete(outbox).where(outbox.c.recipient == address))
            return revoked
    except IntegrityError as error:
        raise StillReferenced("a row of another table points to the account") from error


def skeleton_of(username: str) -> str:
    """What the username looks like, as it is stored."""
    return lookalikes.skeleton(emails.accept_username(username))


async def _one(way: Way, statement: Statement, value: str) -> Credentials[User] | None:
    row = await way.first(statement, {"value": value})
    return None if row is None else Credentials(_user(row), row.password_hash)


def _new_row(user: NewUser) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": emails.accept_email(user.email),
        "username": None if user.username is None else emails.accept_username(user.username),
        "password_hash": user.password_hash,
        "scopes": text_of(user.scopes),
        "epoch": 0,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
        "email_verified_at": user.email_verified_at,
        "language": user.language,
    }


async def _in_the_way(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[tuple[User, ...]]:
    """For each row the accounts that have its id, address or username."""
    if not rows:
        return []
    keys = ("id", "email", "username")
    which = or_(*(users.c[key].in_([row[key] for row in rows if row[key] is not None]) for key in keys))
    having: dict[tuple[str, str], User] = {}
    for row in await connection.execute(select(users).where(which)):
        user = _user(row)
        having.update({(key, getattr(row, key)): user for key in keys if getattr(row, key) is not None})
    return [tuple(dict.fromkeys(having[key, row[key]] for key in keys if (key, row[key]) in having)) for row in rows]


async def _guard(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Say what the usernames look like, so that nobody takes one that could be taken for them. Of those that look alike all
    are let in, since their owners bring them along, and the first is guarded."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        row["username_skeleton"] = None
        if row["username"] is not None:
            first.setdefault(skeleton_of(row["username"]), row)
    there = select(users.c.username_skeleton).where(users.c.username_skeleton.in_(first))
    taken = set((await connection.execute(there)).scalars()) if first else set()
    for skeleton in first.keys() - taken:
        first[skeleton]["username_skeleton"] = skeleton


async def change(connection: AsyncConnection, which: Any, values: dict[str, Any]) -> bool:
    """Change the account that matches; whether there is one."""
    statement = update(users).where(which).values(values).returning(users.c.id)
    return (await connection.execute(statement)).first() is not None


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        email=row.email,
        username=row.username,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        epoch=row.epoch,
        email_verified_at=row.email_verified_at,
        language=row.language,
        profile=FrozenDict(json.loads(row.profile)) if row.profile else NO_PROFILE,
        deletes_at=row.deletes_at,
    )
