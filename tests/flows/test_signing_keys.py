"""What an operator does to signing keys: no moment without one, no token that a stolen one signed, none left behind."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.flows.conftest import Worker
from tests.flows.test_keyring import issue, kid_of, kids, verify
from tests.house import ADA, PASSWORD, make_auth

from watchword.core.errors import ConfigError, InvalidGrant, InvalidToken, NotFound, Unavailable, UnknownKey
from watchword.core.keys import PUBLISH_AHEAD, State
from watchword.core.models import Client, Tokens
from watchword.core.policy import LEEWAY
from watchword.flows import accounts, password, session, signing_keys, upkeep
from watchword.flows.kit import Kit
from watchword.testing import FrozenClock

OLD, NEW, THIRD = (f"{letter}J8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS" for letter in "kmn")
HOUR = 3600
Kits = Awaitable[Kit]


async def login(kit: Kit) -> Tokens:
    return await session.open(kit, await password.prove(kit, ADA, PASSWORD), None, Client())


async def sealed_with(kit: Kit) -> list[int | None]:
    """The position of the master key that opens each key, and the database itself."""
    listing = await signing_keys.listed(kit)
    return [*(one.master for one in listing.keys), listing.master]


class TestListing:
    async def test_it_tells_the_life_of_each_key(self, kit: Kit, clock: FrozenClock) -> None:
        listing = await signing_keys.listed(kit)
        (one,) = listing.keys
        assert (one.state, one.ends_at, one.master) == (State.SIGNING, None, 0)
        assert (listing.master, listing.masters) == (0, 1)
        await signing_keys.publish(kit)
        assert [one.state for one in (await signing_keys.listed(kit)).keys] == [State.SIGNING, State.PUBLISHED]
        clock.tick(PUBLISH_AHEAD)
        old, new = (await signing_keys.listed(kit)).keys
        assert (old.state, new.state) == (State.VERIFYING, State.SIGNING)
        assert old.ends_at is not None
        clock.tick(old.ends_at - clock.now())
        assert [one.state for one in (await signing_keys.listed(kit)).keys] == [State.EXPIRED, State.SIGNING]

    async def test_a_key_that_no_master_key_opens_is_listed_as_left_out(self, kit: Kit) -> None:
        await signing_keys.publish(kit)
        await tamper(kit, 2)
        one, two = (await signing_keys.listed(kit)).keys
        assert (one.state, two.state, two.master) == (State.SIGNING, State.LEFT_OUT, None)
        await signing_keys.retire(kit, 2)
        assert [one.state for one in (await signing_keys.listed(kit)).keys] == [State.SIGNING, State.RETIRED]


class TestRotating:
    async def test_it_publishes_a_successor_ahead_of_its_time(self, kit: Kit, clock: FrozenClock) -> None:
        done = await signing_keys.publish(kit)
        assert done.made
        assert done.record.signs_from == clock.now() + PUBLISH_AHEAD
        assert kid_of(issue(kit)) == done.signing.kid != done.record.kid

    async def test_while_one_waits_no_other_is_made(self, kit: Kit, clock: FrozenClock) -> None:
        first = await signing_keys.publish(kit)
        again = await signing_keys.publish(kit)
        assert (again.record, again.made) == (first.record, False)
        clock.tick(PUBLISH_AHEAD)
        assert (await signing_keys.publish(kit)).made

    async def test_at_once_it_signs_now_even_where_another_waits(self, kit: Kit, clock: FrozenClock) -> None:
        token = issue(kit)
        await signing_keys.publish(kit)
        done = await signing_keys.publish(kit, at_once=True)
        assert done.made
        assert done.signing == done.record
        assert kid_of(issue(kit)) == done.record.kid
        await verify(kit, token)
        clock.tick(PUBLISH_AHEAD)
        assert kid_of(issue(kit)) == done.record.kid

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_of_many_operators_one_makes_it_and_all_name_it(
        self, worker: Worker, clock: FrozenClock, at_once: bool
    ) -> None:
        workers = await asyncio.gather(*(worker() for _ in range(5)))
        clock.tick(HOUR)
        done = await asyncio.gather(*(signing_keys.publish(one, at_once=at_once) for one in workers))
        assert sum(one.made for one in done) == 1
        assert len({one.record.kid for one in done}) == 1
        assert len(await workers[0].keys.load()) == 2

    async def test_a_waiting_key_of_another_algorithm_is_followed_by_one_of_the_right_one(self, worker: Worker) -> None:
        """The cure for a setting that was changed back: nobody has to wait for the next upkeep."""
        here, there = await worker(), await worker(signing_alg="Ed25519")
        waiting = await signing_keys.publish(there)
        done = await signing_keys.publish(here)
        assert (done.made, done.record.alg) == (True, "ES256")
        assert done.record.signs_from == waiting.record.signs_from

    async def test_a_database_whose_every_key_is_retired_gets_one_that_signs_now(
        self, kit: Kit, clock: FrozenClock
    ) -> None:
        await kit.keys.retire(1, clock.now())
        done = await signing_keys.publish(kit)
        assert done.record.signs_from == clock.now()

    async def test_each_published_key_is_told(
        self, worker: Worker, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "watchword.audit"):
            kit = await worker()
            await signing_keys.publish(kit)
            await signing_keys.publish(kit)
            clock.tick(31 * 24 * HOUR)
            assert (await upkeep.run(kit)).rotated
        told = [record.getMessage() for record in caplog.records if "KeyPublished" in record.getMessage()]
        assert len(told) == 3
        for kid, line in zip([record.kid for record in await kit.keys.load()][-2:], told[-2:], strict=True):
            assert f"user_id=None, kid='{kid}'" in line
            assert "sealed" not in line


class TestRetiring:
    async def test_what_it_signed_is_refused_and_a_successor_that_was_made_before_signs(self, kit: Kit) -> None:
        """The only key was stolen. Whoever asks in between must find one that signs."""
        await accounts.add(kit, ADA, PASSWORD, None, frozenset())
        tokens = await login(kit)
        acts: list[str] = []
        spy(kit.keys, "add", acts)
        spy(kit.keys, "retire", acts)
        done = await signing_keys.retire(kit, 1)
        assert acts == ["add", "retire"]
        assert done.done
        assert done.signing.generation == 2
        with pytest.raises(InvalidToken):
            await verify(kit, tokens.access_token)
        fresh = await session.refresh(kit, tokens.refresh_token, None)
        assert kid_of(fresh.access_token) == done.signing.kid
        await verify(kit, fresh.access_token)

    async def test_a_crash_between_the_two_is_mended_by_doing_it_again(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def crash(*_: Any) -> bool:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(kit.keys, "retire", crash)
            with pytest.raises(KeyboardInterrupt):
                await signing_keys.retire(kit, 1)
        assert [one.state for one in (await signing_keys.listed(kit)).keys] == [State.VERIFYING, State.SIGNING]
        assert (await signing_keys.retire(kit, 1)).signing.generation == 2
        assert len(await kit.keys.load()) == 2

    async def test_a_key_that_waits_takes_over_at_once(self, kit: Kit) -> None:
        waiting = await signing_keys.publish(kit)
        done = await signing_keys.retire(kit, 1)
        assert done.signing == waiting.record
        assert kid_of(issue(kit)) == waiting.record.kid
        await verify(kit, issue(kit))

    async def test_a_key_that_has_expired_does_not_live_again(self, kit: Kit, clock: FrozenClock) -> None:
        """A thief may hold an old key too. When its successor is retired, it must not come back in its place."""
        old = issue(kit)
        await signing_keys.publish(kit)
        clock.tick(10 * 24 * HOUR)
        done = await signing_keys.retire(kit, 2)
        assert done.signing.generation == 3
        assert kids(kit) == [record.kid for record in await kit.keys.load()]
        assert kid_of(old) not in kids(kit)

    async def test_a_key_that_has_expired_is_forgotten_and_nothing_else_happens(
        self, kit: Kit, clock: FrozenClock
    ) -> None:
        await signing_keys.publish(kit)
        clock.tick(10 * 24 * HOUR)
        assert not (await signing_keys.retire(kit, 1)).done
        assert [record.generation for record in await kit.keys.load()] == [2]

    async def test_two_operators_who_retire_the_last_two_leave_one_that_signs(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        """Each sees the other's key as able. Whoever asks next makes one."""
        here, there = await worker(), await worker()
        await signing_keys.publish(here)
        clock.tick(PUBLISH_AHEAD)
        await asyncio.gather(signing_keys.retire(here, 1), signing_keys.retire(there, 2))
        for kit in (here, there):
            await kit.keyring.reload()
            assert kid_of(issue(kit)) in {record.kid for record in await kit.keys.load() if not record.retired_at}

    async def test_twice_is_once(self, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "watchword.audit"):
            assert (await signing_keys.retire(kit, 1)).done
            assert not (await signing_keys.retire(kit, 1)).done
        assert caplog.text.count("KeyRetired") == 1

    async def test_of_two_at_the_same_moment_one_did_it(self, kit: Kit) -> None:
        done = await asyncio.gather(signing_keys.retire(kit, 1), signing_keys.retire(kit, 1))
        assert sorted(one.done for one in done) == [False, True]
        assert len([record for record in await kit.keys.load() if not record.retired_at]) >= 1

    async def test_it_is_named_by_kid_or_generation_and_what_is_not_there_lists_what_is(self, kit: Kit) -> None:
        (kid,) = kids(kit)
        for whom in (kid, "1"):
            assert (await signing_keys.find(kit, whom)).record.kid == kid
        for odd in ("2", "", kid[:-1], "01", "-1", "9" * 5000):
            with pytest.raises(NotFound) as refused:
                await signing_keys.find(kit, odd)
            assert f"There are: 1 = {kid} (signing)." in refused.value.detail


class TestResealing:
    """Master keys "NEW,OLD" on every worker; reseal; wait; "NEW" alone."""

    async def test_everything_is_moved_to_the_first_master_key(
        self, worker: Worker, caplog: pytest.LogCaptureFixture, clock: FrozenClock
    ) -> None:
        token = issue(await worker(master_keys=OLD))
        kit = await worker(master_keys=f"{NEW},{OLD}")
        await signing_keys.publish(kit)
        assert await sealed_with(kit) == [1, 1, 1]
        with caplog.at_level(logging.INFO, "watchword.audit"):
            done = await signing_keys.reseal(kit)
        assert (done.keys, done.old_until) == (2, clock.now() + kit.policy.refresh_idle + LEEWAY)
        assert "KeysResealed(user_id=None, keys=2)" in caplog.text
        assert await sealed_with(kit) == [0, 0, 0]
        alone = await worker(master_keys=NEW)
        await verify(alone, token)
        assert kids(alone) == kids(kit)
        with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS"):
            await worker(master_keys=OLD)

    async def test_doing_it_again_changes_nothing(self, worker: Worker) -> None:
        await worker(master_keys=OLD)
        kit = await worker(master_keys=f"{NEW},{OLD}")
        await signing_keys.reseal(kit)
        records = await kit.keys.load()
        assert (await signing_keys.reseal(kit)).keys is None
        assert await kit.keys.load() == records

    async def test_a_worker_that_is_still_to_be_given_the_new_one_loses_nothing_before_it(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        """A rolling deployment: while some workers know OLD alone, nothing may be made that they can't open."""
        old = await worker(master_keys=OLD)
        await accounts.add(old, ADA, PASSWORD, None, frozenset())
        new = await worker(master_keys=f"{NEW},{OLD}")
        await signing_keys.publish(new)
        clock.tick(PUBLISH_AHEAD)
        await old.keyring.reload()
        tokens = await login(new)
        await verify(old, tokens.access_token)
        tokens = await session.refresh(old, tokens.refresh_token, None)
        await session.refresh(new, tokens.refresh_token, None)

    async def test_who_has_refreshed_since_stays_signed_in_without_the_old_one(self, worker: Worker) -> None:
        await accounts.add(await worker(master_keys=OLD), ADA, PASSWORD, None, frozenset())
        kit = await worker(master_keys=f"{NEW},{OLD}")
        refreshed, idle = await login(kit), await login(kit)
        await signing_keys.reseal(kit)
        refreshed = await session.refresh(kit, refreshed.refresh_token, None)
        alone = await worker(master_keys=NEW)
        await verify(alone, idle.access_token)
        await session.refresh(alone, refreshed.refresh_token, None)
        with pytest.raises(InvalidGrant):
            await session.refresh(alone, idle.refresh_token, None)

    async def test_a_worker_that_has_only_the_old_one_says_so_once_and_goes_on(
        self, worker: Worker, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        left_behind = await worker(master_keys=OLD)
        kit = await worker(master_keys=f"{NEW},{OLD}")
        await signing_keys.publish(kit)
        await left_behind.keyring.reload()
        await signing_keys.reseal(kit)
        for _ in range(3):
            await left_behind.keyring.reload()
        (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert "WATCHWORD_MASTER_KEYS: the signing keys were sealed anew" in said
        assert "can't be restarted" in said
        assert OLD not in said
        assert NEW not in said
        clock.tick(PUBLISH_AHEAD)
        await verify(left_behind, issue(kit))
        await verify(kit, issue(left_behind))

    async def test_a_worker_that_has_only_the_old_one_makes_no_key_that_nobody_will_open(
        self, worker: Worker, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A key that it sealed would stop every start with NEW alone."""
        left_behind = await worker(master_keys=OLD)
        kit = await worker(master_keys=f"{NEW},{OLD}")
        await signing_keys.reseal(kit)
        clock.tick(31 * 24 * HOUR)
        assert not await left_behind.keyring.rotate(clock.now())
        assert "no signing key was made: WATCHWORD_MASTER_KEYS" in caplog.text
        with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS"):
            await signing_keys.publish(left_behind)
        assert await kit.keyring.rotate(clock.now())
        caplog.clear()
        for _ in range(2):
            await left_behind.keyring.reload()
        assert caplog.text.count("a signing key is left out: WATCHWORD_MASTER_KEYS") == 1
        clock.tick(PUBLISH_AHEAD)
        with pytest.raises(UnknownKey):
            await verify(left_behind, issue(kit))

    @pytest.mark.parametrize("order", [f"{OLD},{NEW}", f"{NEW},{OLD}"])
    async def test_a_key_that_is_made_beside_it_is_not_left_behind(
        self, worker: Worker, clock: FrozenClock, order: str
    ) -> None:
        await worker(master_keys=OLD)
        resealing = [await worker(master_keys=f"{NEW},{OLD}") for _ in range(3)]
        rotating = [await worker(master_keys=order) for _ in range(3)]
        for _ in range(5):
            await asyncio.gather(
                *(signing_keys.reseal(kit) for kit in resealing),
                *(signing_keys.publish(kit) for kit in rotating),
                *(kit.keyring.prune(clock.now()) for kit in resealing),
            )
            clock.tick(HOUR)
        assert set(await sealed_with(resealing[0])) == {0}
        await worker(master_keys=NEW)

    async def test_a_key_that_is_made_between_the_reading_and_the_writing_is_moved_too(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = await worker(master_keys=OLD)
        kit = await worker(master_keys=f"{NEW},{OLD}")
        reseal = kit.keys.reseal
        overtaken: list[bool] = []

        async def late(*arguments: Any) -> bool:
            if not overtaken:
                await signing_keys.publish(old)
            overtaken.append(await reseal(*arguments))
            return overtaken[-1]

        monkeypatch.setattr(kit.keys, "reseal", late)
        assert (await signing_keys.reseal(kit)).keys == 2
        assert overtaken == [False, True]
        assert await sealed_with(kit) == [0, 0, 0]

    async def test_a_live_key_that_nothing_opens_is_refused_and_a_retired_one_stays(self, worker: Worker) -> None:
        await worker(master_keys=OLD)
        kit = await worker(master_keys=f"{NEW},{OLD}")
        await signing_keys.publish(kit)
        await tamper(kit, 2)
        with pytest.raises(ConfigError, match=r"watchword_keys\.sealed\.2"):
            await signing_keys.reseal(kit)
        assert await sealed_with(kit) == [1, None, 1]
        with pytest.raises(ConfigError, match="watchword keys retire 2"):
            await worker(master_keys=OLD)
        await signing_keys.retire(kit, 2)
        assert (await signing_keys.reseal(kit)).keys == 1
        assert await sealed_with(kit) == [0, None, 0]
        await worker(master_keys=NEW)

    async def test_whoever_was_overtaken_by_a_third_master_key_is_told(self, worker: Worker) -> None:
        await worker(master_keys=OLD)
        kit, other = await worker(master_keys=f"{NEW},{OLD}"), await worker(master_keys=f"{THIRD},{OLD}")
        await signing_keys.reseal(other)
        with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS"):
            await signing_keys.reseal(kit)
        assert await sealed_with(other) == [0, 0]
        assert (await signing_keys.listed(kit)).master is None


class TestAbandoning:
    """The master key is lost: nobody can open the signing keys, or make a refresh token's mac, ever again."""

    @pytest.fixture
    async def lost(self, tmp_path: Path, database_url: str, clock: FrozenClock) -> AsyncIterator[Callable[..., Kits]]:
        """Workers with other master keys than the database's, let in as the command lets them in."""
        async with contextlib.AsyncExitStack() as stack:

            async def start(master_keys: str) -> Kit:
                auth = make_auth(tmp_path, clock=clock, database_url=database_url, master_keys=master_keys)
                return await stack.enter_async_context(auth.unlocked(foreign=True))

            yield start

    async def test_everybody_signs_in_again_with_the_password_they_have(
        self, worker: Worker, lost: Callable[..., Kits], caplog: pytest.LogCaptureFixture
    ) -> None:
        old = await worker(master_keys=OLD)
        await accounts.add(old, ADA, PASSWORD, None, frozenset({"read"}))
        await signing_keys.publish(old)
        tokens = await login(old)
        with caplog.at_level(logging.INFO, "watchword.audit"):
            done = await give_up(await lost(NEW))
        assert done is not None
        assert (done.keys, done.sessions, done.signing.generation) == (2, 1, 3)
        assert "KeysAbandoned(user_id=None, keys=2, sessions=1)" in caplog.text
        assert f"KeyPublished(user_id=None, kid='{done.signing.kid}'" in caplog.text
        kit = await worker(master_keys=NEW)
        with pytest.raises(InvalidToken):
            await verify(kit, tokens.access_token)
        with pytest.raises(InvalidGrant):
            await session.refresh(kit, tokens.refresh_token, None)
        again = await login(kit)
        assert again.scopes == {"read"}
        await verify(kit, again.access_token)
        assert await sealed_with(kit) == [0, 0]
        with pytest.raises(ConfigError, match="another master key"):
            await worker(master_keys=OLD)

    async def test_the_lost_key_brings_nothing_back_when_it_is_found(
        self, worker: Worker, lost: Callable[..., Kits]
    ) -> None:
        """What was given up because somebody else may have it must stay given up."""
        old = await worker(master_keys=OLD)
        await accounts.add(old, ADA, PASSWORD, None, frozenset())
        tokens = await login(old)
        await give_up(await lost(NEW))
        kit = await worker(master_keys=f"{NEW},{OLD}")
        with pytest.raises(InvalidToken):
            await verify(kit, tokens.access_token)
        with pytest.raises(InvalidGrant):
            await session.refresh(kit, tokens.refresh_token, None)

    @pytest.mark.parametrize("given", [OLD, f"{NEW},{OLD}"])
    async def test_where_nothing_is_lost_nothing_is_changed(
        self, worker: Worker, lost: Callable[..., Kits], given: str
    ) -> None:
        old = await worker(master_keys=OLD)
        await accounts.add(old, ADA, PASSWORD, None, frozenset())
        tokens = await login(old)
        records = await old.keys.load()
        assert await signing_keys.lost(await lost(given)) is None
        assert await old.keys.load() == records
        await session.refresh(old, tokens.refresh_token, None)

    async def test_of_many_operators_one_does_it_and_the_others_hear_what_happened(
        self, worker: Worker, lost: Callable[..., Kits]
    ) -> None:
        """Two have typed it with NEW, one with a third key; whoever comes second must not give up the keys of today."""
        await worker(master_keys=OLD)
        kits = [await lost(key) for key in (NEW, NEW, THIRD)]
        seen = [found for kit in kits if (found := await signing_keys.lost(kit))]
        both = zip(kits, seen, strict=True)
        answers = await asyncio.gather(*(signing_keys.abandon(*one) for one in both), return_exceptions=True)
        assert len([one for one in answers if isinstance(one, signing_keys.Abandoned)]) == 1
        mine = [answer for answer, key in zip(answers, (NEW, NEW, THIRD), strict=True) if key == NEW]
        if isinstance(answers[2], ConfigError):
            assert "somebody else has given the signing keys up" in str(answers[2])
            assert None in mine
        else:
            assert all(isinstance(one, ConfigError) for one in mine)
        assert len(await kits[0].keys.load()) == 1

    async def test_a_key_that_the_lost_one_sealed_meanwhile_is_given_up_too(
        self, worker: Worker, lost: Callable[..., Kits], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = await worker(master_keys=OLD)
        kit = await lost(NEW)
        abandon = kit.keys.abandon
        answers: list[int | None] = []

        async def late(*arguments: Any, **more: Any) -> int | None:
            if not answers:
                await signing_keys.publish(old)
            answers.append(await abandon(*arguments, **more))
            return answers[-1]

        monkeypatch.setattr(kit.keys, "abandon", late)
        done = await give_up(kit)
        assert answers == [None, 0]
        assert done is not None
        assert (done.keys, done.signing.generation) == (2, 3)
        assert await sealed_with(kit) == [0, 0]

    async def test_a_worker_that_still_has_the_lost_key_lets_nobody_in_and_makes_no_key(
        self, worker: Worker, lost: Callable[..., Kits], clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        old = await worker(master_keys=OLD)
        await accounts.add(old, ADA, PASSWORD, None, frozenset())
        tokens = await login(old)
        await give_up(await lost(NEW))
        await old.keyring.reload()
        with pytest.raises(InvalidToken):
            await verify(old, tokens.access_token)
        with pytest.raises(InvalidGrant):
            await session.refresh(old, tokens.refresh_token, None)
        with pytest.raises(Unavailable, match="no signing key is able"):
            await login(old)
        clock.tick(40 * 24 * HOUR)
        await upkeep.attempt(old)
        assert [record.generation for record in await old.keys.load()] == [2]
        assert "no signing key was made: WATCHWORD_MASTER_KEYS" in caplog.text
        new = await worker(master_keys=NEW)
        await verify(new, issue(new))


async def give_up(kit: Kit) -> signing_keys.Abandoned | None:
    found = await signing_keys.lost(kit)
    assert found is not None
    return await signing_keys.abandon(kit, found)


class TestTwoAlgorithms:
    async def test_workers_that_disagree_for_ever_make_no_key_each_hour(
        self, worker: Worker, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each would replace the other's key at every upkeep, for ever."""
        workers = [
            await worker(),
            await worker(signing_alg="Ed25519"),
            await worker(),
            await worker(signing_alg="Ed25519"),
        ]
        generations: set[int] = set()
        for _ in range(4 * 24):
            for kit in workers:
                await upkeep.run(kit)
            generations |= {record.generation for record in workers[0].keyring.ring.records}
            clock.tick(HOUR)
        assert len(generations) <= 3
        assert "WATCHWORD_SIGNING_ALG=ES256 is this worker's. Give every worker the same" in caplog.text

    async def test_a_rolling_deployment_of_another_one_leads_to_a_successor_at_once(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        """Old workers go on with their upkeep meanwhile; new ones start; in the end all have the new setting."""
        old = [await worker() for _ in range(3)]
        clock.tick(HOUR)
        new: list[Kit] = []
        while old:
            new.append(await worker(signing_alg="Ed25519"))
            for kit in [*new, *old]:
                await upkeep.run(kit)
            old.pop()
            clock.tick(60)
        assert [record.alg for record in new[0].keyring.ring.records] == ["ES256", "Ed25519"]
        clock.tick(PUBLISH_AHEAD)
        assert new[0].keyring.ring.signer(clock.now()).alg == "Ed25519"

    async def test_a_deployment_that_is_rolled_back_gets_its_algorithm_back(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        await upkeep.run(await worker())
        await upkeep.run(await worker(signing_alg="Ed25519"))
        clock.tick(HOUR)
        again = await worker()
        await upkeep.run(again)
        clock.tick(PUBLISH_AHEAD)
        assert again.keyring.ring.signer(clock.now()).alg == "ES256"

    async def test_a_command_that_is_set_up_differently_makes_no_key(self, worker: Worker) -> None:
        """A shell without the setting would otherwise change what the whole deployment signs with."""
        await worker(signing_alg="RS256")
        assert [record.alg for record in await (await worker()).keys.load()] == ["RS256"]


async def tamper(kit: Kit, generation: int) -> None:
    """Put bytes in the place of a key, as a lost master key would leave them."""
    seen = await kit.keys.load()
    check = await kit.keys.recognise("")
    assert await kit.keys.reseal(seen, {generation: b"\x01" + bytes(60)}, check, kit.clock.now())


def spy(port: Any, name: str, acts: list[str]) -> None:
    """Note when a verb is called."""
    verb = getattr(port, name)

    async def noted(*arguments: Any) -> Any:
        acts.append(name)
        return await verb(*arguments)

    setattr(port, name, noted)
