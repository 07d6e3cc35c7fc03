"""The contract of `ports.Scratch` on a real Valkey, and on none: then the database behind it counts."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.servers import Valkey

from watchword.core.errors import ConfigError
from watchword.stores import redis
from watchword.stores.redis import RedisScratch
from watchword.stores.sql.engine import Database
from watchword.stores.sql.scratch import SqlScratch
from watchword.testing import FrozenClock
from watchword.testing.contracts import NOW, ScratchContract
from watchword.testing.contracts.grounds import ScratchStores
from watchword.testing.contracts.scratch import MINUTE, NARROW


@pytest.fixture
async def db(sqlite_url: str) -> AsyncIterator[Database]:
    db = Database(sqlite_url)
    db.settle(here=True)
    yield db
    await db.close()


@pytest.fixture
async def running(db: Database, valkey: Valkey) -> AsyncIterator[RedisScratch]:
    scratch = RedisScratch(valkey.url, SqlScratch(db), FrozenClock(), db.call)
    yield scratch
    await scratch.close()


class TestRunning(ScratchContract):
    @pytest.fixture
    def stores(self, running: RedisScratch) -> SimpleNamespace:
        return SimpleNamespace(scratch=running)

    async def test_only_what_means_nothing_any_more_is_pruned(self, stores: ScratchStores) -> None:
        """Valkey forgets by itself; the rest is in the database."""
        await stores.scratch.keep("reset", "old", "value", NOW)
        await stores.scratch.keep("reset", "new", "value", NOW + MINUTE)
        assert await stores.scratch.prune(NOW, 100) == 1
        assert await stores.scratch.consume("reset", "new", NOW) == "value"


class TestAway(ScratchContract):
    @pytest.fixture
    async def stores(self, db: Database, tmp_path: Path) -> AsyncIterator[SimpleNamespace]:
        scratch = RedisScratch(f"unix://{tmp_path / 'nobody'}", SqlScratch(db), FrozenClock(), db.call)
        yield SimpleNamespace(scratch=scratch)
        await scratch.close()


class TestComingAndGoing:
    async def test_a_valkey_that_dies_makes_no_limit_unlimited(
        self, running: RedisScratch, valkey: Valkey, caplog: pytest.LogCaptureFixture
    ) -> None:
        """RL-04: the attacker who can overload the counter guesses without end, if nobody counts then; or everybody is locked
        out by errors."""
        for _ in range(3):
            assert (await running.hit([NARROW], NOW)).wait is None
        assert (await running.hit([NARROW], NOW)).wait is not None
        valkey.stop()
        answers = [(await running.hit([NARROW], NOW)).wait is None for _ in range(10)]
        assert answers == [True] * 3 + [False] * 7
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert told == ["Valkey is away (ConnectionError); attempts are counted in the database"]

    async def test_it_counts_again_when_it_is_back(
        self, running: RedisScratch, valkey: Valkey, caplog: pytest.LogCaptureFixture
    ) -> None:
        valkey.stop()
        await running.hit([NARROW], NOW)
        valkey.start()
        clock = running._clock
        assert isinstance(clock, FrozenClock)
        await running.hit([NARROW], NOW)
        assert "Valkey is back" not in caplog.text, "it is not asked for a while"
        clock.tick(redis.REST_SECONDS)
        for _ in range(3):
            assert (await running.hit([NARROW], NOW)).wait is None
        assert "Valkey is back" in caplog.text

    async def test_a_single_use_value_survives_it(self, running: RedisScratch, valkey: Valkey) -> None:
        await running.keep("reset", "key", "value", NOW + MINUTE)
        valkey.stop()
        assert await running.consume("reset", "key", NOW) == "value"
        valkey.start()
        assert await running.consume("reset", "key", NOW) is None

    async def test_two_workers_count_together(self, running: RedisScratch, valkey: Valkey, db: Database) -> None:
        other = RedisScratch(valkey.url, SqlScratch(db), FrozenClock(), db.call)
        answers = [(await scratch.hit([NARROW], NOW)).wait is None for scratch in (running, other) * 5]
        assert sum(answers) == 3
        await other.close()

    async def test_an_address_that_is_none_is_told_without_what_is_in_it(self, db: Database) -> None:
        with pytest.raises(ConfigError, match="WATCHWORD_REDIS_URL") as refused:
            RedisScratch("http://user:hunter2@host", SqlScratch(db), FrozenClock(), db.call)
        assert "hunter2" not in str(refused.value)
