"""`ports.Revocations` on SQL: the live set in memory, and the feed that keeps it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Float, and_, bindparam, select, text

from watchword.core.clock import Clock
from watchword.core.errors import ConfigError
from watchword.core.models import Revoked
from watchword.core.policy import Policy
from watchword.core.revoked import RevokedSet
from watchword.ports import Change
from watchword.stores.sql import hot, kept, pruning
from watchword.stores.sql.engine import FEED_NAME, NAME, Database, verb
from watchword.stores.sql.heard import Feed, Heard
from watchword.stores.sql.hot import Statement, Way
from watchword.stores.sql.postgres_feed import GREETING, PostgresFeed
from watchword.stores.sql.sqlite_feed import SqliteFeed
from watchword.stores.sql.tables import feed

ASK_SECONDS = 2.0
"""How long a request waits for the answer that the feed did not give."""


class SqlRevocations:
    """Revocations in a SQL database, followed by this worker."""

    def __init__(self, db: Database, clock: Clock, policy: Policy, feed_url: str | None = None) -> None:
        self._db = db
        self._way: Way = hot.way(db, kept.LOGINS)
        self._feed_url = feed_url
        self._heard = Heard(clock, policy.revocation_staleness.total_seconds())
        self._feed: Feed | None = None
        self._forgot: datetime | None = None
        self.fresh: Callable[[], bool] = self._heard.fresh
        """See `ports.Revocations.fresh`. Asked at every request, so it is no method that would call another."""

        self.covers: Callable[[str, int], bool] = self._heard.revoked.covers
        """See `ports.Revocations.covers`."""

    @verb
    async def start(self) -> None:
        """See `ports.Revocations.start`."""
        try:
            if self._db.path is not None:
                self._feed = SqliteFeed(self._db.path)
                await self._feed.start(self._heard)
            else:
                self._feed = listening = PostgresFeed(self._db.aside(self._feed_url))
                await listening.start(self._heard)
                if self._feed_url is not None:
                    await self._refuse_another(listening)
        except BaseException:
            await self.stop()
            raise

    async def _refuse_another(self, listening: PostgresFeed) -> None:
        """Raise ConfigError where the feed's own address leads to another database: there nobody would ever say anything."""
        async with self._db.write() as connection:
            await connection.execute(text("SELECT pg_notify(:own, :word)"), {"own": listening.own, "word": GREETING})
        if not await listening.greeted():
            raise ConfigError(
                f"{FEED_NAME} can't be reached, or leads to another database than {NAME}: what is said there is not heard. "
                "Give the address of the same database, without the pooler."
            )

    async def stop(self) -> None:
        """See `ports.Revocations.stop`."""
        following, self._feed = self._feed, None
        if following is not None:
            await following.stop()
        self._heard.nothing()

    @verb
    async def ask(self, session_id: str, generation: int) -> bool:
        """See `ports.Revocations.ask`."""
        statement = select(feed.c.position).where(feed.c.session_id == session_id, feed.c.generation >= generation)
        try:
            async with asyncio.timeout(ASK_SECONDS), self._db.read() as connection:
                found = (await connection.execute(statement.limit(1))).first() is not None
        except Exception as error:
            self._heard.unanswered(error)
            raise
        self._heard.answered()
        return found

    @verb
    async def live(self, now: datetime) -> Sequence[Revoked]:
        """See `ports.Revocations.live`."""
        timestamp = now.timestamp()
        if self.fresh():
            return self._heard.revoked.live(timestamp)
        statement = select(feed.c.session_id, feed.c.generation, feed.c.expires_at).where(
            feed.c.session_id.is_not(None), feed.c.expires_at > timestamp
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(statement)).all()
        read = RevokedSet()
        read.replace(Revoked(*row) for row in rows)
        return read.live(timestamp)

    def apply(self, revoked: Iterable[Revoked]) -> None:
        """See `ports.Revocations.apply`."""
        self._heard.apply(revoked)

    def watch(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """See `ports.Revocations.watch`."""
        return self._heard.watch(listener)

    @verb
    async def prune(self, now: datetime, limit: int) -> int:
        """See `ports.Revocations.prune`. The newest row stays, so that a rewound feed is recognised."""
        values = {"now": now.timestamp()}
        removed = await pruning.prune(self._db, self._way, feed, [DEAD], values, limit)
        if now != self._forgot:  # the memory once, however long the removal goes on
            self._heard.revoked.forget(now.timestamp())
            self._forgot = now
        return removed


def _dead() -> Statement:
    newest = select(feed.c.position).order_by(feed.c.position.desc()).limit(1).scalar_subquery()
    over = feed.c.expires_at <= bindparam("now", type_=Float(53))
    return pruning.removal(feed, and_(over, feed.c.position < newest), feed.c.expires_at)


DEAD: Statement = _dead()
