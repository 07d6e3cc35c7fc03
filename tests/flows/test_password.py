"""Proving a password, and keeping its hash at today's cost."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.flows.conftest import Worker
from tests.house import ADA, OTHER_PASSWORD, PASSWORD

from watchword.core.errors import InvalidGrant, Unavailable, WrongPassword
from watchword.core.models import Account, Client, Credentials, Principal
from watchword.core.passwords import Argon2Parameters, hash_password
from watchword.flows import accounts, authenticate, password, session
from watchword.flows.hashing import HashingPool
from watchword.flows.kit import Kit
from watchword.ports import Ending
from watchword.testing import FrozenClock, seeded_entropy

OLD = Argon2Parameters(memory_cost=16, time_cost=1, parallelism=1)


async def ada(kit: Kit) -> Credentials[Account]:
    found = await kit.users.find(ADA)
    assert found is not None
    return found


@pytest.fixture
async def house(kit: Kit, clock: FrozenClock) -> Kit:
    """Ada's password was hashed when other parameters were thought to be enough."""
    user = await accounts.add(kit, ADA, PASSWORD, "ada", frozenset())
    await kit.users.set_password(user.id, hash_password(PASSWORD, OLD), clock.now(), ending=Ending.NONE)
    return kit


async def sign_in(kit: Kit, secret: str = PASSWORD) -> Principal:
    tokens = await session.open(kit, await password.prove(kit, ADA, secret), None, Client())
    return (await authenticate.bearer(kit, tokens.access_token)).principal


class TestRehashing:
    async def test_a_login_brings_an_old_hash_to_today_s_cost(self, house: Kit) -> None:
        before = await ada(house)
        assert "m=16," in str(before.password_hash)
        await sign_in(house)
        after = await ada(house)
        assert "m=8," in str(after.password_hash)
        assert after.user == before.user  # the epoch too: nobody is signed out by it
        await sign_in(house)
        assert (await ada(house)).password_hash == after.password_hash

    async def test_it_ends_no_session(self, worker: Worker, house: Kit) -> None:
        proof = await password.prove(house, ADA, PASSWORD)
        tokens = await session.open(house, proof, None, Client())
        await house.users.set_password(
            proof.user.id, hash_password(PASSWORD, OLD), house.clock.now(), ending=Ending.NONE
        )
        await sign_in(house)
        await authenticate.bearer(house, tokens.access_token)
        assert await session.refresh(house, tokens.refresh_token, None)

    async def test_a_wrong_password_changes_no_hash(self, house: Kit) -> None:
        before = await ada(house)
        with pytest.raises(InvalidGrant):
            await password.prove(house, ADA, "wrong")
        assert await ada(house) == before

    async def test_a_disabled_user_s_hash_stays(self, house: Kit) -> None:
        await accounts.disable(house, (await ada(house)).user.id)
        before = await ada(house)
        with pytest.raises(InvalidGrant):
            await password.prove(house, ADA, PASSWORD)
        assert await ada(house) == before

    async def test_a_password_that_changes_meanwhile_is_not_undone(
        self, house: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The owner changes the password because a thief knows it, and the thief's login is just being rehashed: written
        without a look, the old password would be back."""
        user_id = (await ada(house)).user.id
        original = HashingPool.hash

        async def slow(self: HashingPool, secret: str) -> str:
            monkeypatch.setattr(HashingPool, "hash", original)
            await accounts.set_password(house, user_id, OTHER_PASSWORD)
            return await original(self, secret)

        monkeypatch.setattr(HashingPool, "hash", slow)
        proof = await password.prove(house, ADA, PASSWORD)
        with pytest.raises(InvalidGrant):
            await session.open(house, proof, None, Client())
        with pytest.raises(InvalidGrant):
            await password.prove(house, ADA, PASSWORD)
        await sign_in(house, OTHER_PASSWORD)

    async def test_many_logins_at_once_all_succeed(self, house: Kit) -> None:
        await asyncio.gather(*(sign_in(house) for _ in range(6)))
        assert "m=8," in str((await ada(house)).password_hash)


class TestProving:
    async def test_the_proof_says_how_and_when(self, house: Kit, clock: FrozenClock) -> None:
        proof = await password.prove(house, "ADA", PASSWORD)
        assert (proof.methods, proof.auth_time) == (frozenset({"pwd"}), clock.now())
        assert proof.user.email == ADA

    @pytest.mark.parametrize("stored", ["", "garbage", "$argon2id$v=19$m=8,t=1,p=1$x", "plain text", "\x00"])
    async def test_a_corrupt_hash_lets_nobody_in(self, house: Kit, database_url: str, stored: str) -> None:
        """A hash that can't be read must not be a hash that anything fits."""
        if stored == "\x00" and "postgresql" in database_url:
            stored = "\x01"  # PostgreSQL keeps no NUL
        await house.users.set_password((await ada(house)).user.id, stored, house.clock.now(), ending=Ending.NONE)
        for secret in (PASSWORD, "", stored):
            with pytest.raises(InvalidGrant):
                await password.prove(house, ADA, secret)

    async def test_while_the_store_is_away_nobody_is_told_that_he_is_wrong(
        self, house: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any) -> None:
            raise Unavailable("the database failed")

        monkeypatch.setattr(house.users, "find", away)
        with pytest.raises(Unavailable):
            await password.prove(house, ADA, PASSWORD)

    @pytest.mark.parametrize("secret", ["\ud800", "\udfff" * 20, "x" * 1025])
    async def test_what_can_not_be_hashed_is_refused_as_a_wrong_one(self, house: Kit, secret: str) -> None:
        with pytest.raises(InvalidGrant) as refused:
            await password.prove(house, ADA, secret)
        assert refused.value.detail == InvalidGrant.default
        who = await sign_in(house)
        with pytest.raises(WrongPassword):
            await password.change(house, who, secret, OTHER_PASSWORD)


class TestTheDecoy:
    """Where there is no hash to compare with, one of a random password is, at the same cost."""

    DECOY = seeded_entropy()(16).hex()

    @pytest.fixture
    async def guessed(self, house: Kit) -> Kit:
        """A house whose decoy's password somebody has guessed."""
        hashing = HashingPool(house.policy, seeded_entropy())
        assert await hashing.verify(None, self.DECOY)
        return replace(house, hashing=hashing)

    async def test_its_own_password_opens_nothing(self, guessed: Kit) -> None:
        """Whoever guessed it would otherwise be in as anybody who is not there, or has no password."""
        with pytest.raises(InvalidGrant):
            await password.prove(guessed, "nobody@example.com", self.DECOY)

    async def test_it_changes_nothing_for_a_user_who_is_gone(self, guessed: Kit) -> None:
        who = await sign_in(guessed)
        await accounts.delete(guessed, who.user_id)
        with pytest.raises(WrongPassword):
            await password.change(guessed, who, self.DECOY, OTHER_PASSWORD)


class TestChanging:
    async def test_a_user_who_is_deleted_meanwhile_is_refused(self, house: Kit) -> None:
        who = await sign_in(house)
        await accounts.delete(house, who.user_id)
        with pytest.raises(WrongPassword):
            await password.change(house, who, PASSWORD, OTHER_PASSWORD)

    async def test_an_operator_s_change_wins_over_one_that_began_before(
        self, house: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An operator resets the password of a stolen account, while the thief is just changing it."""
        who = await sign_in(house)
        original = HashingPool.hash

        async def slow(self: HashingPool, secret: str) -> str:
            monkeypatch.setattr(HashingPool, "hash", original)
            await accounts.set_password(house, who.user_id, PASSWORD + " of the operator")
            return await original(self, secret)

        monkeypatch.setattr(HashingPool, "hash", slow)
        with pytest.raises(WrongPassword):
            await password.change(house, who, PASSWORD, OTHER_PASSWORD)
        with pytest.raises(InvalidGrant):
            await password.prove(house, ADA, OTHER_PASSWORD)
        await sign_in(house, PASSWORD + " of the operator")
