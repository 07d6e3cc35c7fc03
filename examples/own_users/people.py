"""The shop's customers as the accounts of Watchword: `ports.Users` on the shop's own table.

Everything that takes something away ends sessions in the same transaction, after the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tables import OrderRow, PersonRow

from watchword.core import emails
from watchword.core.errors import InvalidInput, StillReferenced
from watchword.core.models import Credentials, Revoked
from watchword.ports import Added, Ending, NewUser
from watchword.sql import change_session_scopes, end_sessions

people = PersonRow.__table__
orders = OrderRow.__table__
assert isinstance(people, Table)
assert isinstance(orders, Table)


@dataclass(frozen=True)
class Person:
    """A customer, as `auth.user` gives it to the routes: what Watchword reads, and what the shop wants."""

    id: str
    email: str
    full_name: str
    scopes: frozenset[str]
    created_at: datetime
    disabled: bool
    epoch: int
    username: str | None = None


class People:
    """The shop's customers."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, user: NewUser) -> Added:
        """The table makes the id; the unique address decides among many who ask at once."""
        if user.username is not None:
            raise InvalidInput("the shop has no usernames", fields={"username": "There are no usernames here."})
        row = {
            "email": emails.accept_email(user.email),
            "password": user.password_hash,
            "full_name": "",
            "active": True,
            "joined": user.created_at.astimezone(UTC).replace(tzinfo=None),
            "scopes": " ".join(sorted(user.scopes)),
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(people).values(row))
        except IntegrityError:
            return Added.EMAIL_TAKEN
        return Added.ADDED

    async def find(self, identifier: str) -> Credentials[Person] | None:
        """By address: the shop has no usernames."""
        email = emails.canonical_email(identifier)
        return None if email is None else await self._one(people.c.email == email)

    async def get(self, user_id: str) -> Credentials[Person] | None:
        """By the number that the shop gave."""
        return await self._one(_is(user_id))

    async def page(self, after: str, limit: int) -> Sequence[Credentials[Person]]:
        """In the order of the addresses."""
        statement = select(people).where(people.c.email > after).order_by(people.c.email).limit(limit)
        async with self._engine.connect() as connection:
            return [Credentials(_person(row), row.password) for row in await connection.execute(statement)]

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
        """One of any number of callers replaces a hash: the WHERE decides."""
        which = _is(user_id) if replacing is None else _is(user_id) & (people.c.password == replacing)
        change: dict[str, Any] = {"password": new_hash}
        if ending is Ending.NONE:
            async with self._engine.begin() as connection:
                return () if await _change(connection, which, change) else None
        change["epoch"] = people.c.epoch + 1
        async with self._engine.begin() as connection:
            if not await _change(connection, which, change):
                return None
            spared = keep if ending is Ending.OTHERS else None
            return await end_sessions(connection, user_id, now, keep=spared)

    async def set_scopes(
        self, user_id: str, scopes: frozenset[str], now: datetime, *, replacing: frozenset[str] | None = None
    ) -> tuple[Revoked, ...] | None:
        """One of any number of callers replaces a set."""
        which = _is(user_id)
        if replacing is not None:
            which &= people.c.scopes == " ".join(sorted(replacing))
        async with self._engine.begin() as connection:
            if not await _change(connection, which, {"scopes": " ".join(sorted(scopes))}):
                return None
            return await change_session_scopes(connection, user_id, scopes, now)

    async def set_disabled(self, user_id: str, disabled: bool, now: datetime) -> tuple[Revoked, ...] | None:
        """The shop calls it `active`."""
        async with self._engine.begin() as connection:
            change = {"active": not disabled, "epoch": people.c.epoch + 1}
            if not await _change(connection, _is(user_id), change):
                return None
            return await end_sessions(connection, user_id, now)

    async def remove(self, user_id: str, now: datetime) -> tuple[Revoked, ...] | None:
        """A customer with orders stays: the shop's books must add up. Disable the account instead."""
        try:
            async with self._engine.begin() as connection:
                bought = select(orders.c.id).where(orders.c.person_id == people.c.id).exists()
                if (await connection.execute(select(people.c.id).where(_is(user_id), bought))).first():
                    raise StillReferenced("the customer has orders")
                if not (await connection.execute(delete(people).where(_is(user_id)))).rowcount:
                    return None
                return await end_sessions(connection, user_id, now)
        except IntegrityError as error:
            raise StillReferenced("the customer has orders") from error

    async def _one(self, which: ColumnElement[bool]) -> Credentials[Person] | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(people).where(which))).first()
        return None if row is None else Credentials(_person(row), row.password)


def _is(user_id: str) -> ColumnElement[bool]:
    """The row with this number; no row for a text that is none."""
    known = user_id.isascii() and user_id.isdigit() and len(user_id) < 10
    return people.c.id == (int(user_id) if known else -1)


async def _change(connection: AsyncConnection, which: ColumnElement[bool], change: dict[str, Any]) -> bool:
    return bool((await connection.execute(update(people).where(which).values(change))).rowcount)


def _person(row: Row[Any]) -> Person:
    return Person(
        id=str(row.id),
        email=row.email,
        full_name=row.full_name,
        scopes=frozenset(row.scopes.split()),
        created_at=row.joined.replace(tzinfo=UTC),
        disabled=not row.active,
        epoch=row.epoch,
    )
