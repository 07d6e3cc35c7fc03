"""`ports.Roles` on SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Row, delete, exists, insert, not_, or_, select, union, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.roles import Holding, Role
from watchword.core.scopes import text as text_of
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.tables import grants, memberships, roles

FIRST = 1


class SqlRoles:
    """Roles and who has them, in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._dialect: Any = sqlite if db.is_sqlite else postgresql

    @verb
    async def put(self, name: str, scopes: frozenset[str], description: str | None) -> Role | None:
        """See `ports.Roles.put`."""
        row = {"name": name, "scopes": text_of(scopes), "description": description or "", "removed": False}
        change = {"scopes": row["scopes"], "generation": roles.c.generation + 1, "removed": False}
        if description is not None:
            change["description"] = description
        nobodys = not_(exists().where(memberships.c.role == name))
        statement = (
            self._dialect.insert(roles)
            .values(generation=FIRST, **row)
            .on_conflict_do_update(index_elements=["name"], set_=change, where=or_(not_(roles.c.removed), nobodys))
            .returning(roles)
        )
        async with self._db.write() as connection:
            made = (await connection.execute(statement)).first()
        return None if made is None else _role(made)

    @verb
    async def remove(self, name: str) -> bool:
        """See `ports.Roles.remove`."""
        there = update(roles).where(roles.c.name == name, not_(roles.c.removed))
        gone = there.values(removed=True, scopes="", generation=roles.c.generation + 1).returning(roles.c.name)
        async with self._db.write() as connection:
            return (await connection.execute(gone)).first() is not None

    @verb
    async def listed(self, name: str | None = None) -> list[Role]:
        """See `ports.Roles.listed`."""
        live = select(roles).where(not_(roles.c.removed)).order_by(roles.c.name)
        async with self._db.read() as connection:
            found = await connection.execute(live if name is None else live.where(roles.c.name == name))
            return [_role(row) for row in found]

    @verb
    async def members(self, name: str | None, after: str, limit: int, *, unsettled: bool = False) -> list[str]:
        """See `ports.Roles.members`. There is an index for each of the ways to be asked for."""
        user_id = memberships.c.user_id
        found = select(user_id).where(user_id > after)
        if name is not None:
            found = found.where(memberships.c.role == name)
        if unsettled:
            behind = (memberships.c.role == roles.c.name) & (memberships.c.applied < roles.c.generation)
            found = found.join(roles, behind)
        if unsettled and name is None:
            waiting = select(grants.c.user_id).where(grants.c.unsettled_since.is_not(None), grants.c.user_id > after)
            both = union(found, waiting).subquery()
            page = select(both.c.user_id).order_by(both.c.user_id)
        else:
            page = found.distinct().order_by(user_id)
        async with self._db.read() as connection:
            return list((await connection.execute(page.limit(limit))).scalars())

    @verb
    async def of(self, user_ids: Collection[str]) -> dict[str, Holding]:
        """See `ports.Roles.of`. One statement, so that all of it is of one moment."""
        everything = (
            select(
                grants,
                memberships.c.applied,
                roles.c.name,
                roles.c.scopes.label("role_scopes"),
                roles.c.description,
                roles.c.generation.label("role_generation"),
                roles.c.removed,
            )
            .select_from(grants)
            .outerjoin(memberships, memberships.c.user_id == grants.c.user_id)
            .outerjoin(roles, roles.c.name == memberships.c.role)
            .where(grants.c.user_id.in_(user_ids))
            .order_by(grants.c.user_id, roles.c.name)
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(everything)).all()
        return {user_id: _holding(list(own)) for user_id, own in groupby(rows, lambda row: str(row.user_id))}

    @verb
    async def hold(
        self,
        user_id: str,
        direct: frozenset[str],
        names: frozenset[str],
        now: datetime,
        *,
        replacing: int | None,
        settled: bool = False,
    ) -> bool:
        """See `ports.Roles.hold`. The roles are locked first, so none is removed that is being given."""
        row = {"scopes": text_of(direct), "unsettled_since": None if settled else now}
        change: Any = (
            self._dialect.insert(grants).values(user_id=user_id, generation=FIRST, **row).on_conflict_do_nothing()
            if replacing is None
            else update(grants)
            .where(grants.c.user_id == user_id, grants.c.generation == replacing)
            .values(generation=grants.c.generation + 1, **row)
        )
        async with self._db.write() as connection:
            if not await _all_there(connection, names):
                return False
            if (await connection.execute(change.returning(grants.c.user_id))).first() is None:
                return False
            own = memberships.c.user_id == user_id
            await connection.execute(delete(memberships).where(own, memberships.c.role.not_in(names)))
            had = frozenset((await connection.execute(select(memberships.c.role).where(own))).scalars())
            if new := sorted(names - had):
                given = [{"user_id": user_id, "role": name, "applied": FIRST - 1} for name in new]
                await connection.execute(insert(memberships), given)
            return True

    @verb
    async def settle(self, holding: Holding) -> bool:
        """See `ports.Roles.settle`. A role that is changed at the same time has a later generation than is written here."""
        seen = {role.name: role.generation for role in holding.roles}
        mine = grants.c.user_id == holding.user_id
        done = update(grants).where(mine, grants.c.generation == holding.generation).values(unsettled_since=None)
        async with self._db.write() as connection:
            present = select(roles.c.name, roles.c.generation).where(roles.c.name.in_(seen))
            if {row.name: row.generation for row in await connection.execute(present)} != seen:
                return False
            if (await connection.execute(done.returning(grants.c.user_id))).first() is None:
                return False
            for role in holding.roles:
                which = (memberships.c.user_id == holding.user_id) & (memberships.c.role == role.name)
                applied = update(memberships).where(which, memberships.c.applied < role.generation)
                await connection.execute(
                    delete(memberships).where(which) if role.removed else applied.values(applied=role.generation)
                )
            return True

    @verb
    async def forget(self, user_id: str) -> None:
        """See `ports.Roles.forget`."""
        async with self._db.write() as connection:
            await forget(connection, user_id)


async def forget(connection: AsyncConnection, user_id: str) -> None:
    """What `ports.Roles.forget` does, in the caller's transaction."""
    await connection.execute(delete(grants).where(grants.c.user_id == user_id))
    await connection.execute(delete(memberships).where(memberships.c.user_id == user_id))


async def _all_there(connection: AsyncConnection, names: frozenset[str]) -> bool:
    """Whether there are all these roles, and none of them goes before this transaction ends."""
    if not names:
        return True
    live = select(roles.c.name).where(roles.c.name.in_(names), not_(roles.c.removed)).order_by(roles.c.name)
    found = await connection.execute(live.with_for_update(read=True))
    return frozenset(found.scalars()) == names


def _role(row: Row[Any]) -> Role:
    return Role(row.name, frozenset(row.scopes.split()), row.description, row.generation, row.removed)


def _holding(rows: Sequence[Row[Any]]) -> Holding:
    """Of one user: a row for each role, or one without any."""
    first = rows[0]
    held = [row for row in rows if row.name is not None]
    return Holding(
        user_id=first.user_id,
        direct=frozenset(first.scopes.split()),
        roles=tuple(_held(row) for row in held),
        generation=first.generation,
        settled=first.unsettled_since is None and all(row.applied >= row.role_generation for row in held),
    )


def _held(row: Row[Any]) -> Role:
    return Role(row.name, frozenset(row.role_scopes.split()), row.description, row.role_generation, row.removed)
