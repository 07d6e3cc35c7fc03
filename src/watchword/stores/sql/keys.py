"""`ports.Keys` on SQL."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.keys import KeyRecord
from watchword.core.policy import LEEWAY, MAX_ACCESS_TTL
from watchword.stores.sql.engine import Database, verb
from watchword.stores.sql.tables import facts, feed, keys, sessions

CHECK = "master_key_check"
COLUMNS = [column.name for column in keys.columns]
_CHECK = select(facts.c.value).where(facts.c.name == CHECK)


class SqlKeys:
    """Signing keys in a SQL database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._dialect = sqlite if db.is_sqlite else postgresql

    @verb
    async def load(self) -> list[KeyRecord]:
        """See `ports.Keys.load`."""
        async with self._db.read() as connection:
            rows = await connection.execute(select(keys).order_by(keys.c.generation))
            return [KeyRecord(**row._asdict()) for row in rows]

    @verb
    async def add(self, record: KeyRecord, check: str) -> bool:
        """See `ports.Keys.add`. The lock on the check value makes `reseal` wait for this key, or this key for `reseal`."""
        row = {name: getattr(record, name) for name in COLUMNS}
        statement = self._dialect.insert(keys).values(row).on_conflict_do_nothing().returning(keys.c.generation)
        async with self._db.write() as connection:
            if (await connection.execute(_CHECK.with_for_update(read=True))).scalar() != check:
                return False
            added = (await connection.execute(statement)).first() is not None
            if added:
                await _announce(connection, record.created_at)
        return added

    @verb
    async def retire(self, generation: int, now: datetime) -> bool:
        """See `ports.Keys.retire`."""
        statement = (
            update(keys)
            .where(keys.c.generation == generation, keys.c.retired_at.is_(None))
            .values(retired_at=now)
            .returning(keys.c.generation)
        )
        async with self._db.write() as connection:
            retired = (await connection.execute(statement)).first() is not None
            if retired:
                await _announce(connection, now)
        return retired

    @verb
    async def remove(self, generations: Iterable[int]) -> None:
        """See `ports.Keys.remove`."""
        async with self._db.write() as connection:
            await connection.execute(delete(keys).where(keys.c.generation.in_(list(generations))))

    @verb
    async def recognise(self, check: str) -> str:
        """See `ports.Keys.recognise`."""
        statement = self._dialect.insert(facts).values(name=CHECK, value=check).on_conflict_do_nothing()
        async with self._db.write() as connection:
            await connection.execute(statement)
            return str((await connection.execute(_CHECK)).scalar_one())

    @verb
    async def reseal(self, seen: Sequence[KeyRecord], sealed: Mapping[int, bytes], check: str, now: datetime) -> bool:
        """See `ports.Keys.reseal`. The check value is locked before the keys are read, so nothing can be added behind."""
        statement = select(keys.c.generation, keys.c.sealed).with_for_update()
        async with self._db.write() as connection:
            await connection.execute(_CHECK.with_for_update())
            stored = {(row.generation, row.sealed) for row in await connection.execute(statement)}
            if stored != {(record.generation, record.sealed) for record in seen}:
                return False
            for generation, box in sealed.items():
                await connection.execute(update(keys).where(keys.c.generation == generation).values(sealed=box))
            await connection.execute(update(facts).where(facts.c.name == CHECK).values(value=check))
            await _announce(connection, now)
        return True

    @verb
    async def abandon(self, record: KeyRecord, check: str, now: datetime, *, replacing: str) -> int | None:
        """See `ports.Keys.abandon`. The check value is locked first, as `reseal` does it."""
        newest = select(func.coalesce(func.max(keys.c.generation), 0))
        async with self._db.write() as connection:
            if (await connection.execute(_CHECK.with_for_update())).scalar() != replacing:
                return None
            if (await connection.execute(newest)).scalar_one() >= record.generation:
                return None
            await connection.execute(delete(keys))
            await connection.execute(insert(keys).values({name: getattr(record, name) for name in COLUMNS}))
            await connection.execute(update(facts).where(facts.c.name == CHECK).values(value=check))
            ended = await connection.execute(
                update(sessions).where(sessions.c.closed_at.is_(None)).values(closed_at=now)
            )
            await _announce(connection, now)
            return ended.rowcount


async def _announce(connection: AsyncConnection, now: datetime) -> None:
    """Tell every worker, by the feed, to load the keys anew."""
    expires_at = (now + MAX_ACCESS_TTL + LEEWAY).timestamp()
    await connection.execute(insert(feed).values(session_id=None, generation=0, expires_at=expires_at))
