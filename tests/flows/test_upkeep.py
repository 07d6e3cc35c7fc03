"""Housekeeping: idempotent, in batches, without a leader; correctness never waits for it."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.flows.conftest import Worker
from tests.house import ADA, PASSWORD

from watchword.core.errors import InvalidToken, Unavailable
from watchword.core.models import Client, Tokens
from watchword.core.policy import CLOCK_JUMP
from watchword.flows import accounts, authenticate, password, session, upkeep
from watchword.flows.kit import Kit
from watchword.flows.upkeep import Done
from watchword.testing import FrozenClock

DAY = 86400


async def login(kit: Kit) -> Tokens:
    return await session.open(kit, await password.prove(kit, ADA, PASSWORD), None, Client())


@pytest.fixture
async def house(kit: Kit) -> Kit:
    """A kit with Ada in it."""
    await accounts.add(kit, ADA, PASSWORD, None, frozenset())
    return kit


async def test_where_nothing_is_due_nothing_is_done(house: Kit) -> None:
    await login(house)
    assert await upkeep.run(house) == Done(sessions=0, revocations=0, rotated=False)


async def test_counted_attempts_are_forgotten_when_a_clock_that_is_ahead_would_not_bring_them_back(
    house: Kit, clock: FrozenClock
) -> None:
    """An attacker whose guesses one worker's wrong clock forgets begins a new list."""
    await login(house)
    clock.tick(CLOCK_JUMP - timedelta(seconds=1))
    assert (await upkeep.run(house)).attempts == 0
    clock.tick(1)
    assert (await upkeep.run(house)).attempts == 4, "the login's own attempt, in each of its limits, was taken back"


async def test_dead_sessions_go_in_batches_and_live_ones_stay(
    house: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    for _ in range(5):
        await login(house)
    clock.tick(13 * DAY)
    alive = await login(house)
    clock.tick(DAY + 59)
    assert (await upkeep.run(house)).sessions == 0
    clock.tick(CLOCK_JUMP)
    assert (await upkeep.run(house)).sessions == 0
    clock.tick(1)
    assert (await upkeep.run(house)).sessions == 5
    assert (await upkeep.run(house)).sessions == 0
    assert await session.refresh(house, alive.refresh_token, None)


async def test_after_each_batch_it_rests_nineteen_times_as_long_as_that_took_up_to_a_second(
    house: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So pruning takes a twentieth of the database's time. Where that is slow, it rests for a second and still comes to its
    end. After the last batch there is nothing to rest for."""
    rests: list[float] = []
    lengths = iter([0.03125, 2.0, 0.25])
    prune = house.sessions.prune

    async def slow(dead_by: datetime, limit: int) -> int:
        removed = await prune(dead_by, limit)
        clock.tick(next(lengths))
        return removed

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    for _ in range(5):
        await login(house)
    clock.tick(31 * DAY)
    monkeypatch.setattr(upkeep, "BATCH", 2)
    monkeypatch.setattr(upkeep, "rest", rest)
    monkeypatch.setattr(house.sessions, "prune", slow)
    assert (await upkeep.run(house)).sessions == 5
    assert rests[:2] == [0.59375, 1.0]
    assert rests[2:] == [0, 0], "the attempts: two batches of two kinds each, on a clock that stood still"


async def test_it_prunes_for_some_minutes_and_goes_on_the_next_time(
    house: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Millions of rows take a day. Until then no signing key would be rotated, and a cron's runs would pile up."""
    prune = house.sessions.prune

    async def slow(dead_by: datetime, limit: int) -> int:
        clock.tick(upkeep.A_WHILE / 2)
        return await prune(dead_by, limit)

    for _ in range(5):
        await login(house)
    clock.tick(31 * DAY)
    monkeypatch.setattr(upkeep, "BATCH", 2)
    monkeypatch.setattr(upkeep, "LONGEST_REST", 0.0)
    monkeypatch.setattr(house.sessions, "prune", slow)
    done = await upkeep.run(house)
    assert (done.sessions, done.left) == (4, True)
    done = await upkeep.run(house)
    assert (done.sessions, done.left) == (1, False)


@pytest.mark.parametrize("left", [True, False])
async def test_an_attempt_says_whether_much_is_left(house: Kit, left: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def done(_: Kit) -> Done:
        return Done(10, 0, rotated=False, left=left)

    monkeypatch.setattr(upkeep, "run", done)
    assert await upkeep.attempt(house) is left


async def test_a_key_that_is_due_does_not_wait_for_the_pruning(
    house: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million dead rows take some hours, and a store that fails in between the rest of the hour."""

    async def away(*_: Any) -> int:
        raise Unavailable("the database failed: OperationalError")

    monkeypatch.setattr(house.sessions, "prune", away)
    clock.tick(31 * DAY)
    await upkeep.attempt(house)
    assert len(await house.keys.load()) == 2


async def test_many_workers_at_once_do_it_once(worker: Worker, house: Kit, clock: FrozenClock) -> None:
    for _ in range(5):
        await login(house)
    workers = [await worker() for _ in range(3)]
    clock.tick(31 * DAY)
    done = await asyncio.gather(*(upkeep.run(one) for one in [house, *workers]))
    assert sum(one.sessions for one in done) == 5
    assert sum(one.rotated for one in done) == 1


async def test_a_logout_outlives_the_session_s_row(worker: Worker, house: Kit, clock: FrozenClock) -> None:
    """If upkeep forgot the revocation with the row, a thief's token would live again until it expires."""
    tokens = await login(house)
    (one,) = await session.of_user(house, (await accounts.find(house, ADA)).id)
    await session.close(house, one.id)
    for _ in range(5):
        clock.tick(119)
        await upkeep.run(house)
        fresh = await worker()  # it knows only what the database holds
        for kit in (house, fresh):
            with pytest.raises(InvalidToken):
                await authenticate.bearer(kit, tokens.access_token)


async def test_revocations_go_when_the_last_token_has_expired(house: Kit, clock: FrozenClock) -> None:
    for _ in range(3):
        await login(house)
    await session.close_all(house, (await accounts.find(house, ADA)).id)
    clock.tick(600 + 59)
    assert (await upkeep.run(house)).revocations == 0
    clock.tick(CLOCK_JUMP)
    assert (await upkeep.run(house)).revocations == 0
    clock.tick(1)
    await login(house)
    await session.close_all(house, (await accounts.find(house, ADA)).id)
    assert (await upkeep.run(house)).revocations >= 3


async def test_a_clock_that_was_ahead_for_a_while_revives_nothing(house: Kit, clock: FrozenClock) -> None:
    """Upkeep forgot the revocation, since by the wrong clock no token could live any more. Set right, the clock let the
    thief's in again."""
    ended = [await login(house) for _ in range(2)]
    await session.close_all(house, (await accounts.find(house, ADA)).id)
    clock.tick(CLOCK_JUMP)
    await upkeep.run(house)
    clock.tick(-CLOCK_JUMP)
    for tokens in ended:
        with pytest.raises(InvalidToken):
            await authenticate.bearer(house, tokens.access_token)


async def test_a_session_that_looked_over_for_a_moment_goes_on(house: Kit, clock: FrozenClock) -> None:
    """Its last day; the clock is an hour ahead while upkeep comes by. Whoever was away for two weeks lost it."""
    tokens = await login(house)
    clock.tick(14 * DAY - 1)
    clock.tick(CLOCK_JUMP)
    await upkeep.run(house)
    clock.tick(-CLOCK_JUMP)
    await session.refresh(house, tokens.refresh_token, None)


async def test_a_store_that_is_away_is_logged_and_left_for_the_next_time(
    house: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any) -> int:
        raise Unavailable("the database failed: OperationalError")

    with monkeypatch.context() as patched, caplog.at_level(logging.INFO, "watchword.upkeep"):
        patched.setattr(house.sessions, "prune", away)
        await upkeep.attempt(house)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "will be tried again: the database failed: OperationalError" in record.getMessage()
    caplog.clear()
    with caplog.at_level(logging.INFO, "watchword.upkeep"):
        await upkeep.attempt(house)
    assert "Done(sessions=0" in caplog.text


async def test_a_fault_that_nobody_foresaw_is_logged_whole_and_ends_nothing(
    house: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault that got out would end the task, and from then on nothing is pruned and no key is rotated."""

    async def broken(*_: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(house.revocations, "prune", broken)
    await upkeep.attempt(house)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
