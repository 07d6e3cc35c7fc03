"""The life of signing keys, with a clock that is ticked: published ahead, signing, verifying, forgotten."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import jwt
import pytest
from tests.flows.conftest import Worker
from tests.house import PATIENCE, make_auth

from watchword.core import jose, tokens
from watchword.core.errors import InvalidToken, Unavailable, UnknownKey
from watchword.core.keys import PUBLISH_AHEAD
from watchword.core.models import Principal, Session
from watchword.flows import authenticate, upkeep
from watchword.flows.keyring import COOL_DOWN
from watchword.flows.kit import Kit
from watchword.ports import KeysChanged
from watchword.testing import FrozenClock

HOUR = 3600
ROTATION = 24 * HOUR


def kids(kit: Kit) -> list[str]:
    return [record.kid for record in kit.keyring.ring.records]


def issue(kit: Kit) -> str:
    """An access token of nobody's, signed now."""
    now = kit.clock.now()
    session = Session(
        id="s",
        user_id="u",
        generation=0,
        scopes=frozenset(),
        follows_user=True,
        methods=frozenset({"pwd"}),
        auth_time=now,
        client_id="first-party",
        created_at=now,
        used_at=now,
        idle_expires_at=now + timedelta(days=1),
        expires_at=now + timedelta(days=1),
        access_expires_at=now + timedelta(hours=1),
        user_agent=None,
        ip=None,
    )
    return tokens.issue(kit.keyring.ring, kit.policy, session, frozenset(), kit.entropy(16), now)


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def verify(kit: Kit, token: str) -> Principal:
    return (await authenticate.bearer(kit, token)).principal


async def test_the_first_start_makes_one_key_that_signs_at_once(kit: Kit, clock: FrozenClock) -> None:
    (record,) = kit.keyring.ring.records
    assert (record.generation, record.alg, record.created_at) == (1, "ES256", clock.now())
    assert (await verify(kit, issue(kit))).user_id == "u"


async def test_of_many_first_starts_one_makes_the_key(worker: Worker) -> None:
    workers = await asyncio.gather(*(worker() for _ in range(6)))
    assert len(kids(workers[0])) == 1
    assert len({tuple(kids(one)) for one in workers}) == 1
    await verify(workers[0], issue(workers[5]))


async def test_the_private_key_is_sealed_in_the_database(kit: Kit) -> None:
    """Whoever reads a backup must not be able to sign."""
    (record,) = await kit.keys.load()
    private = kit.keyring.ring.private[record.kid].private_bytes()
    assert private not in record.sealed
    assert b"PRIVATE" not in record.sealed


class TestRotation:
    async def test_a_successor_is_published_ahead_of_its_time_and_does_not_sign_yet(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        """Other services keep the published keys for five minutes: a key that signs before that is unknown to them."""
        kit = await worker(key_rotation=ROTATION)
        (first,) = kids(kit)
        clock.tick(timedelta(seconds=ROTATION) - PUBLISH_AHEAD - timedelta(seconds=1))
        assert not await kit.keyring.rotate(clock.now())
        clock.tick(1)
        assert await kit.keyring.rotate(clock.now())
        old, new = kit.keyring.ring.records
        assert new.signs_from - clock.now() == PUBLISH_AHEAD
        published = [jwk["kid"] for jwk in kit.keyring.ring.jwks(clock.now())["keys"]]
        assert published == [old.kid, new.kid]
        clock.tick(PUBLISH_AHEAD - timedelta(seconds=1))
        assert kid_of(issue(kit)) == first
        clock.tick(1)
        assert kid_of(issue(kit)) == new.kid

    async def test_rotating_again_makes_nothing(self, worker: Worker, clock: FrozenClock) -> None:
        kit = await worker(key_rotation=ROTATION)
        clock.tick(ROTATION)
        assert await kit.keyring.rotate(clock.now())
        assert not await kit.keyring.rotate(clock.now())
        assert len(kids(kit)) == 2

    async def test_of_many_workers_one_makes_the_successor_and_all_know_it(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        workers = await asyncio.gather(*(worker(key_rotation=ROTATION) for _ in range(6)))
        clock.tick(ROTATION)
        made = await asyncio.gather(*(one.keyring.rotate(clock.now()) for one in workers))
        assert sum(made) == 1
        assert len({tuple(kids(one)) for one in workers}) == 1
        assert len(kids(workers[0])) == 2

    async def test_a_token_of_the_old_key_verifies_until_it_expires(self, worker: Worker, clock: FrozenClock) -> None:
        kit = await worker(key_rotation=ROTATION, access_ttl=HOUR)
        clock.tick(ROTATION - 600)
        await kit.keyring.rotate(clock.now())
        clock.tick(599)
        last = issue(kit)
        old, new = kit.keyring.ring.records
        assert kid_of(last) == old.kid
        clock.tick(HOUR - 1)
        assert kid_of(issue(kit)) == new.kid
        assert (await verify(kit, last)).user_id == "u"
        clock.tick(1)
        with pytest.raises(InvalidToken):
            await verify(kit, last)

    async def test_when_the_last_token_has_expired_the_old_key_is_unpublished_and_forgotten(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        kit = await worker(key_rotation=ROTATION)
        clock.tick(ROTATION)
        await upkeep.run(kit)
        old, new = kids(kit)
        clock.tick(600 + HOUR + 59)
        await upkeep.run(kit)
        assert kids(kit) == [old, new]
        clock.tick(1)
        assert [jwk["kid"] for jwk in kit.keyring.ring.jwks(clock.now())["keys"]] == [new]
        await upkeep.run(kit)
        assert kids(kit) == [old, new], "kept for as long as a clock may have been ahead"
        clock.tick(HOUR)
        await upkeep.run(kit)
        assert kids(kit) == [new]
        assert [record.kid for record in await kit.keys.load()] == [new]

    async def test_a_year_of_upkeep_never_leaves_a_gap(self, worker: Worker, clock: FrozenClock) -> None:
        kit = await worker(key_rotation=30 * 24 * HOUR)
        generations: set[int] = set()
        for _ in range(200):
            await upkeep.run(kit)
            assert (await verify(kit, issue(kit))).user_id == "u"
            assert 1 <= len(kids(kit)) <= 3
            generations.update(record.generation for record in kit.keyring.ring.records)
            clock.tick(timedelta(days=2))
        assert generations == set(range(1, max(generations) + 1))
        assert max(generations) >= 12

    async def test_another_algorithm_takes_over_without_breaking_a_token(
        self, worker: Worker, clock: FrozenClock
    ) -> None:
        old = issue(await worker(signing_alg="ES256"))
        kit = await worker(signing_alg="Ed25519")
        assert await kit.keyring.rotate(clock.now())
        assert [record.alg for record in kit.keyring.ring.records] == ["ES256", "Ed25519"]
        assert jwt.get_unverified_header(issue(kit))["alg"] == "ES256"
        clock.tick(599)
        await verify(kit, old)
        clock.tick(1)
        assert jwt.get_unverified_header(issue(kit))["alg"] == "Ed25519"

    async def test_a_generation_is_never_given_twice(self, worker: Worker, clock: FrozenClock) -> None:
        """The seal of a key names its generation: a second key in the place of the first could be swapped for it."""
        kit = await worker(key_rotation=ROTATION)
        seen: dict[int, str] = {}
        for _ in range(5):
            clock.tick(2 * ROTATION)
            await upkeep.run(kit)
            for record in kit.keyring.ring.records:
                assert seen.setdefault(record.generation, record.kid) == record.kid


class TestOtherWorkers:
    async def test_a_worker_that_did_not_hear_of_a_key_looks_for_it(self, worker: Worker, clock: FrozenClock) -> None:
        here, there = await worker(key_rotation=ROTATION), await worker(key_rotation=ROTATION)
        clock.tick(ROTATION)
        await here.keyring.rotate(clock.now())
        clock.tick(600)
        there.keyring._heeded = there.keyring._told  # the feed's news was lost
        token = issue(here)
        assert (await verify(there, token)).user_id == "u"
        assert kids(there) == kids(here)

    async def test_tokens_with_unknown_kids_do_not_make_it_look_again_and_again(
        self, kit: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A flood of tokens with invented kids would otherwise be a flood of queries."""
        await kit.keyring.reload()
        looks = 0
        load = kit.keys.load

        async def counted() -> Any:
            nonlocal looks
            looks += 1
            return await load()

        monkeypatch.setattr(kit.keys, "load", counted)
        _, payload, signature = issue(kit).split(".")
        foreign = jose.b64encode(b'{"alg":"ES256","kid":"unheard-of","typ":"at+jwt"}')
        for _ in range(20):
            with pytest.raises(UnknownKey):
                await authenticate.genuine(kit, f"{foreign}.{payload}.{signature}")
        assert looks == 1
        clock.tick(COOL_DOWN)
        with pytest.raises(UnknownKey):
            await authenticate.genuine(kit, f"{foreign}.{payload}.{signature}")
        assert looks == 2

    async def test_what_the_feed_tells_during_a_load_is_still_to_be_heeded(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise a key that is retired while another worker's change is read would go on verifying here."""
        load = kit.keys.load

        async def told_meanwhile() -> Any:
            records = await load()
            kit.keyring.on_change(KeysChanged())
            return records

        monkeypatch.setattr(kit.keys, "load", told_meanwhile)
        await kit.keyring.reload()
        assert kit.keyring.stale
        monkeypatch.setattr(kit.keys, "load", load)
        await kit.keyring.reload()
        assert not kit.keyring.stale

    async def test_the_feed_brings_a_retirement(self, tmp_path: Any, sqlite_url: str, clock: FrozenClock) -> None:
        one, two = (make_auth(tmp_path, clock=clock, database_url=sqlite_url) for _ in range(2))
        await one.start()
        await two.start()
        try:
            here, there = await one.open(), await two.open()
            token = issue(here)
            await verify(there, token)
            heard = threading.Event()
            there.revocations.watch(lambda _: heard.set())
            assert await here.keys.retire(1, clock.now())
            assert await asyncio.to_thread(heard.wait, PATIENCE)
            with pytest.raises(InvalidToken):
                await verify(there, token)
        finally:
            await one.stop()
            await two.stop()


class TestRetirement:
    async def test_a_retired_key_verifies_nothing_and_another_one_signs_at_once(
        self, kit: Kit, clock: FrozenClock
    ) -> None:
        """A signing key was stolen: everything that it ever signed is worth nothing, and the house goes on."""
        stolen = issue(kit)
        (old,) = kids(kit)
        assert await kit.keys.retire(1, clock.now())
        await kit.keyring.reload()
        with pytest.raises(InvalidToken):
            await verify(kit, stolen)
        fresh = issue(kit)
        assert kid_of(fresh) != old
        assert (await verify(kit, fresh)).user_id == "u"
        assert [jwk["kid"] for jwk in kit.keyring.ring.jwks(clock.now())["keys"]] == [kid_of(fresh)]

    async def test_many_workers_that_hear_of_it_make_one_successor(self, worker: Worker, clock: FrozenClock) -> None:
        workers = await asyncio.gather(*(worker() for _ in range(5)))
        assert await workers[0].keys.retire(1, clock.now())
        await asyncio.gather(*(one.keyring.reload() for one in workers))
        assert {len(kids(one)) for one in workers} == {2}
        assert len({kid_of(issue(one)) for one in workers}) == 1

    async def test_it_is_not_forgotten_while_the_store_is_away(
        self, kit: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The news comes once. If the first look after it fails, the stolen key would be good for ever."""
        token = issue(kit)
        await verify(kit, token)
        await kit.keys.retire(1, clock.now())
        kit.keyring.on_change(KeysChanged())

        async def away() -> None:
            raise Unavailable("the database failed")

        with monkeypatch.context() as patched:
            patched.setattr(kit.keys, "load", away)
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await verify(kit, token)
        with pytest.raises(InvalidToken):
            await verify(kit, token)

    async def test_a_slow_answer_does_not_bring_it_back(
        self, kit: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A load that began before the retirement may end after the one that saw it."""
        token = issue(kit)
        load, began, go_on = kit.keys.load, asyncio.Event(), asyncio.Event()

        async def slow() -> Any:
            records = await load()
            began.set()
            await go_on.wait()
            return records

        monkeypatch.setattr(kit.keys, "load", slow)
        late = asyncio.create_task(kit.keyring.reload())
        await began.wait()
        monkeypatch.setattr(kit.keys, "load", load)
        await kit.keys.retire(1, clock.now())
        await kit.keyring.reload()
        go_on.set()
        await late
        kit.keyring._heeded = kit.keyring._told
        with pytest.raises(InvalidToken):
            await verify(kit, token)

    async def test_twice_is_once(self, kit: Kit, clock: FrozenClock) -> None:
        assert await kit.keys.retire(1, clock.now())
        assert not await kit.keys.retire(1, clock.now())
