"""The thread that follows an issuer, and what stands on it, where nothing goes as it should."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.core import forge
from tests.house import House, open_house
from tests.services import ISSUER, JWKS, REVOCATIONS, SERVICE_KEY, Scripted, until

from watchword.core.clock import system_entropy
from watchword.core.errors import Unavailable
from watchword.core.models import Revoked
from watchword.flows import bulletin, following
from watchword.flows.following import Follower
from watchword.flows.issuer_keys import COOL_DOWN, IssuerKeys
from watchword.flows.issuer_revocations import IssuerRevocations
from watchword.stores.issuer import HttpIssuer
from watchword.testing import FrozenClock


@pytest.fixture
def scripted() -> Scripted:
    made = Scripted()
    made.announces()
    return made


@pytest.fixture
async def remote(scripted: Scripted) -> AsyncIterator[HttpIssuer]:
    made = HttpIssuer(ISSUER, SERVICE_KEY, scripted.transport)
    await made.start()
    yield made
    await made.stop()


async def yes() -> bool:
    return True


class TestTheThread:
    async def test_a_step_that_fails_in_a_way_that_nobody_thought_of_is_logged_and_taken_again(
        self, remote: HttpIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        taken: list[int] = []

        async def step() -> None:
            taken.append(1)
            if len(taken) < 3:
                raise ZeroDivisionError
            await asyncio.sleep(60)

        follower = Follower(remote, system_entropy, step)
        await follower.start()

        async def thrice() -> bool:
            return len(taken) == 3

        await until(thrice)
        await follower.stop()
        assert caplog.text.count("following the issuer failed") == 2

    async def test_a_start_does_not_wait_for_ever(self, remote: HttpIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(following, "FIRST_SECONDS", 0.02)

        async def step() -> None:
            await asyncio.sleep(60)

        follower = Follower(remote, system_entropy, step)
        await follower.start()
        assert not follower.settled
        await follower.start()
        monkeypatch.setattr(following, "FIRST_SECONDS", 5.0)
        assert await follower.elsewhere(yes())
        monkeypatch.setattr(following, "FIRST_SECONDS", 0.02)
        assert not await follower.elsewhere(asyncio.sleep(60, True))
        await follower.stop()
        assert not await follower.elsewhere(yes())

    async def test_it_may_be_stopped_twice_and_before_it_has_begun(self, remote: HttpIssuer) -> None:
        follower = Follower(remote, system_entropy, lambda: asyncio.sleep(60))
        await follower.stop()
        life = following._Life()
        life.end()
        await asyncio.to_thread(following._run, life, following._follow(life, remote, system_entropy, follower._steps))
        assert life.ended.is_set()
        life.end()


class TestKeys:
    async def test_nothing_is_fetched_while_it_is_not_known_where(self, remote: HttpIssuer, scripted: Scripted) -> None:
        keys = IssuerKeys(remote, FrozenClock(forge.NOW))
        assert not await keys.look_again()
        await keys.reload()
        assert scripted.fetched == []
        with pytest.raises(Unavailable, match="not reached yet"):
            await keys.follow(heard=True)

    async def test_a_fetch_that_fails_leaves_what_is_known(
        self, remote: HttpIssuer, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = FrozenClock(forge.NOW)
        keys = IssuerKeys(remote, clock)
        await keys.keep()
        clock.tick(COOL_DOWN)
        scripted.tells(JWKS, b"", 500)
        assert not await keys.look_again()
        assert "a token names an unknown key, and the issuer answered 500" in caplog.text
        assert keys.alive("kid-1", forge.T)
        assert not await keys._look(), "another one meanwhile: it has cooled down for nobody"

    async def test_an_answer_that_a_later_one_has_overtaken_undoes_nothing(
        self, remote: HttpIssuer, scripted: Scripted
    ) -> None:
        """KY-08: a key set that was on its way for long brings a stopped key back."""
        clock = FrozenClock(forge.NOW)
        keys = IssuerKeys(remote, clock)
        await keys.keep()
        assert keys.metadata is not None
        asked, answered = asyncio.Event(), asyncio.Event()
        old = scripted.answers[JWKS]
        assert callable(old)

        async def slowly(request: Any) -> Any:
            asked.set()
            await answered.wait()
            return await old(request)

        scripted.answers[JWKS] = slowly
        clock.tick(1)
        late = asyncio.create_task(keys._take(keys.metadata))
        await asked.wait()
        clock.tick(1)
        scripted.publishes("kid-2")
        await keys._take(keys.metadata)
        answered.set()
        await late
        assert not keys.alive("kid-1", forge.T)
        assert keys.alive("kid-2", forge.T)


class TestRevocations:
    async def test_a_list_of_a_key_that_can_be_found_is_read(self, remote: HttpIssuer, scripted: Scripted) -> None:
        clock = FrozenClock(forge.NOW)
        keys = IssuerKeys(remote, clock)
        revocations = IssuerRevocations(ISSUER, remote, keys, clock, "closed")
        await keys.keep()
        clock.tick(COOL_DOWN)
        scripted.publishes("kid-1", "kid-2")
        scripted.revokes("s", kid="kid-2")
        await revocations.keep()
        assert revocations.covers("s", 3)
        assert not revocations.covers("s", 4)
        assert revocations.fresh()

    async def test_who_believes_without_a_fresh_list_says_so_once_and_says_when_it_is_over(
        self, remote: HttpIssuer, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        keys = IssuerKeys(remote, FrozenClock(forge.NOW))
        revocations = IssuerRevocations(ISSUER, remote, keys, FrozenClock(forge.NOW), "open")
        assert not await revocations.ask("s", 0)
        assert not await revocations.ask("s", 0)
        assert len(caplog.records) == 1
        await keys.keep()
        scripted.revokes("s")
        await revocations.keep()
        assert "is fresh again" in caplog.records[-1].getMessage()

    async def test_a_listener_that_fails_keeps_nobody_from_hearing(
        self, remote: HttpIssuer, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = FrozenClock(forge.NOW)
        keys = IssuerKeys(remote, clock)
        revocations = IssuerRevocations(ISSUER, remote, keys, clock, "closed")
        heard: list[object] = []

        def fails(_: object) -> None:
            raise ZeroDivisionError

        revocations.watch(fails)
        stop = revocations.watch(heard.append)
        await keys.keep()
        scripted.revokes("s")
        await revocations.keep()
        await revocations.keep()
        assert heard == [Revoked("s", 3, forge.T + 600)], "and each once"
        assert "a listener failed" in caplog.text
        stop()
        revocations.keys_changed()
        assert len(heard) == 1


class TestTheBoard:
    @pytest.fixture
    async def issuer(self, tmp_path: Path, sqlite_url: str) -> AsyncIterator[House]:
        async with open_house(tmp_path, database_url=sqlite_url, service_keys=(SecretStr(SERVICE_KEY),)) as house:
            yield house

    async def test_a_fault_that_nobody_thought_of_is_no_answer(
        self, issuer: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fails(*_: object) -> list[Revoked]:
            raise ZeroDivisionError

        monkeypatch.setattr((await issuer.kit()).revocations, "live", fails)
        answer = await issuer.client.get(REVOCATIONS, headers={"Authorization": f"Bearer {SERVICE_KEY}"})
        assert answer.status_code == 503
        assert "can't be told to the services" in caplog.text

    async def test_two_who_come_together_wait_for_one_look_and_a_watch_that_ends_leaves_nobody_waiting(
        self, issuer: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        board = bulletin.Board(await issuer.kit())
        one, other = await asyncio.gather(board.next(None, bool), board.next(None, bool))
        assert one is other
        waiting = asyncio.create_task(board.next(one.name, bool))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert board._task is not None
        board._task.cancel()
        with pytest.raises(Unavailable, match="nobody looks"):
            await waiting
