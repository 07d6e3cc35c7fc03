"""What happens between the proof and the tokens, and what the audit log says of it."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.flows.conftest import Worker
from tests.house import ADA, OTHER_PASSWORD, PASSWORD

from watchword.core import opaque
from watchword.core.errors import InvalidGrant, InvalidScope, InvalidToken, NotFound, RefreshReused
from watchword.core.models import Account, Client, Proof, Tokens
from watchword.flows import accounts, authenticate, password, session
from watchword.flows.kit import Kit
from watchword.testing import FrozenClock


@pytest.fixture
async def user(kit: Kit) -> Account:
    return await accounts.add(kit, ADA, PASSWORD, "ada", frozenset({"a", "b"}))


async def prove(kit: Kit) -> Proof:
    return await password.prove(kit, ADA, PASSWORD)


async def login(kit: Kit, *asked: str) -> Tokens:
    return await session.open(kit, await prove(kit), frozenset(asked) or None, Client("curl", "203.0.113.7"))


async def disable(kit: Kit, user: Account) -> None:
    await accounts.disable(kit, user.id)


async def delete(kit: Kit, user: Account) -> None:
    await accounts.delete(kit, user.id)


async def change_password(kit: Kit, user: Account) -> None:
    await accounts.set_password(kit, user.id, OTHER_PASSWORD)


async def disable_and_enable(kit: Kit, user: Account) -> None:
    await accounts.disable(kit, user.id)
    await accounts.enable(kit, user.id)


Act = Callable[[Kit, Account], Awaitable[None]]
ENDS_ALL = pytest.mark.parametrize("act", [disable, delete, change_password, disable_and_enable])


class TestBetweenTheProofAndTheSession:
    @ENDS_ALL
    async def test_an_act_that_ends_all_sessions_ends_the_login_too(self, kit: Kit, user: Account, act: Act) -> None:
        """The thief's login has just proved the password, and waits; the owner ends everything; the thief's session opens."""
        proof = await prove(kit)
        await act(kit, user)
        with pytest.raises(InvalidGrant):
            await session.open(kit, proof, None, Client())
        assert await session.of_user(kit, user.id) == []

    @ENDS_ALL
    async def test_whichever_comes_first_no_token_outlives_the_act(
        self, kit: Kit, worker: Worker, user: Account, act: Act
    ) -> None:
        """The same, with both at the same moment, at two workers."""
        other = await worker()
        proofs = [await prove(kit) for _ in range(6)]
        opened = [session.open(at, proof, None, Client()) for at, proof in zip([kit, other] * 3, proofs, strict=True)]
        results = await asyncio.gather(*opened, act(kit, user), return_exceptions=True)
        for result in results:
            assert not isinstance(result, Exception) or isinstance(result, InvalidGrant), result
            if isinstance(result, Tokens):
                with pytest.raises(InvalidToken):
                    await authenticate.bearer(kit, result.access_token)
                with pytest.raises(InvalidGrant):
                    await session.refresh(kit, result.refresh_token, None)

    async def test_a_change_of_scopes_is_followed(self, kit: Kit, user: Account) -> None:
        proof = await prove(kit)
        await accounts.revoke(kit, user.id, {"a"})
        await accounts.grant(kit, user.id, {"c"})
        tokens = await session.open(kit, proof, None, Client())
        assert tokens.scopes == {"b", "c"}
        access = await authenticate.bearer(kit, tokens.access_token)
        assert access.principal.scopes == {"b", "c"}

    async def test_what_was_asked_for_is_held_against_the_new_scopes(self, kit: Kit, user: Account) -> None:
        """`admin` is taken away in the moment in which a login asks for it."""
        await accounts.grant(kit, user.id, {"admin"})
        proof = await prove(kit)
        await accounts.revoke(kit, user.id, {"admin"})
        tokens = await session.open(kit, proof, frozenset({"a", "admin"}), Client())
        assert tokens.scopes == {"a"}

    async def test_scopes_that_keep_changing_end_in_a_refusal(
        self, kit: Kit, user: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proof = await prove(kit)
        await accounts.grant(kit, user.id, {"c0"})
        get = kit.users.get
        count = 0

        async def restless(user_id: str) -> Any:
            nonlocal count
            found = await get(user_id)
            count += 1
            await kit.users.set_scopes(user_id, frozenset({f"c{count}"}), kit.clock.now())
            return found

        monkeypatch.setattr(kit.users, "get", restless)
        with pytest.raises(InvalidGrant):
            await session.open(kit, proof, None, Client())
        assert await session.of_user(kit, user.id) == []

    async def test_a_proof_opens_any_number_of_sessions_each_with_its_own_secret(self, kit: Kit, user: Account) -> None:
        proof = await prove(kit)
        one, two = [await session.open(kit, proof, None, Client()) for _ in range(2)]
        keys = kit.keyring.ring.refresh_keys
        assert opaque.parse(one.refresh_token, keys).r != opaque.parse(two.refresh_token, keys).r
        assert len(await session.of_user(kit, user.id)) == 2


class TestRefreshing:
    async def test_a_reuse_ends_the_session_before_it_is_told(
        self, kit: Kit, user: Account, clock: FrozenClock
    ) -> None:
        """A refusal that is raised inside the transaction rolls back the very revocation that it is about."""
        first = await login(kit)
        second = await session.refresh(kit, first.refresh_token, None)
        clock.tick(30)
        with pytest.raises(RefreshReused):
            await session.refresh(kit, first.refresh_token, None)
        assert await session.of_user(kit, user.id) == []
        with pytest.raises(InvalidToken):
            await authenticate.bearer(kit, second.access_token)
        with pytest.raises(InvalidGrant) as refused:
            await session.refresh(kit, second.refresh_token, None)
        assert not isinstance(refused.value, RefreshReused)

    async def test_the_same_at_another_worker(
        self, kit: Kit, worker: Worker, user: Account, clock: FrozenClock
    ) -> None:
        other = await worker()
        first = await login(kit)
        second = await session.refresh(other, first.refresh_token, None)
        again = await session.refresh(kit, first.refresh_token, None)
        assert again.refresh_token == second.refresh_token
        clock.tick(31)
        with pytest.raises(RefreshReused):
            await session.refresh(kit, first.refresh_token, None)
        with pytest.raises(InvalidGrant):
            await session.refresh(other, second.refresh_token, None)

    async def test_a_refresh_and_a_logout_at_once_leave_nothing_alive(
        self, kit: Kit, worker: Worker, user: Account
    ) -> None:
        """Whoever logs out while his browser refreshes in another tab must be out."""
        other = await worker()
        for _ in range(5):
            tokens = await login(kit)
            (one,) = await session.of_user(kit, user.id)
            results = await asyncio.gather(
                session.refresh(other, tokens.refresh_token, None),
                session.close(kit, one.id),
                session.refresh(kit, tokens.refresh_token, None),
                return_exceptions=True,
            )
            for result in results:
                assert not isinstance(result, Exception) or isinstance(result, InvalidGrant), result
                if isinstance(result, Tokens):
                    with pytest.raises(InvalidToken):
                        await authenticate.bearer(kit, result.access_token)
                    with pytest.raises(InvalidGrant):
                        await session.refresh(kit, result.refresh_token, None)

    async def test_a_refresh_and_a_loss_of_scopes_at_once_leave_no_mighty_token(
        self, kit: Kit, worker: Worker, user: Account
    ) -> None:
        other = await worker()
        for _ in range(5):
            await accounts.grant(kit, user.id, {"admin"})
            tokens = await login(kit)
            results = await asyncio.gather(
                session.refresh(other, tokens.refresh_token, None),
                accounts.revoke(kit, user.id, {"admin"}),
                session.refresh(kit, tokens.refresh_token, None),
            )
            for result in results:
                if isinstance(result, Tokens) and "admin" in result.scopes:
                    with pytest.raises(InvalidToken):
                        await authenticate.bearer(kit, result.access_token)

    async def test_a_wider_scope_turns_nothing(self, kit: Kit, user: Account) -> None:
        tokens = await login(kit, "a")
        with pytest.raises(InvalidScope):
            await session.refresh(kit, tokens.refresh_token, frozenset({"a", "b"}))
        (one,) = await session.of_user(kit, user.id)
        assert one.generation == 0

    async def test_a_scope_that_is_taken_away_while_it_is_asked_for_is_not_given(
        self, kit: Kit, user: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the look at the session and its turn an operator takes the scope away."""
        tokens = await login(kit)
        get = kit.sessions.get

        async def slow(*arguments: Any) -> Any:
            found = await get(*arguments)
            await accounts.revoke(kit, user.id, {"a"})
            return found

        monkeypatch.setattr(kit.sessions, "get", slow)
        refreshed = await session.refresh(kit, tokens.refresh_token, frozenset({"a", "b"}))
        assert refreshed.scopes == {"b"}


class TestClosing:
    async def test_a_foreign_session_is_not_found_and_lives_on(self, kit: Kit, user: Account) -> None:
        await login(kit)
        (one,) = await session.of_user(kit, user.id)
        with pytest.raises(NotFound):
            await session.close_listed(kit, one.id, "somebody else")
        await session.close(kit, one.id, "somebody else")
        assert await session.of_user(kit, user.id) == [one]


class TestTheAuditLog:
    async def test_every_fact_has_a_line(
        self, kit: Kit, user: Account, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "watchword.audit")
        first = await login(kit)
        keys = kit.keyring.ring.refresh_keys
        known = opaque.parse(first.refresh_token, keys)
        await session.refresh(kit, opaque.mint(known.session_id, 5, known.r, keys), None)
        clock.tick(60)
        with pytest.raises(RefreshReused):
            await session.refresh(kit, first.refresh_token, None)
        with pytest.raises(InvalidGrant):
            await password.prove(kit, ADA, "wrong")
        with pytest.raises(InvalidGrant):
            await password.prove(kit, "nobody", "wrong")
        await accounts.grant(kit, user.id, {"c"})
        await login(kit)
        await session.close_all(kit, user.id)
        await accounts.set_password(kit, user.id, OTHER_PASSWORD)
        await accounts.disable(kit, user.id)
        await accounts.enable(kit, user.id)
        await accounts.delete(kit, user.id)
        facts = [re.match(r"\w+", record.getMessage()) for record in caplog.records if record.name == "watchword.audit"]
        assert [fact[0] for fact in facts if fact] == [
            "LoggedIn",
            "StateRewound",
            "RefreshTokenReused",
            "LoginFailed",
            "LoginFailed",
            "ScopesChanged",
            "LoggedIn",
            "SessionsEnded",
            "PasswordChanged",
            "UserDisabled",
            "UserEnabled",
            "UserDeleted",
        ]
        assert f"user_id='{user.id}'" in caplog.records[0].getMessage()

    async def test_nothing_is_logged_that_could_be_used_to_get_in(
        self, kit: Kit, user: Account, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Logs are read by many, and kept for long."""
        caplog.set_level(logging.INFO)
        caplog.set_level(logging.DEBUG, "watchword")
        first = await login(kit)
        second = await session.refresh(kit, first.refresh_token, None)
        clock.tick(60)
        with pytest.raises(RefreshReused):
            await session.refresh(kit, first.refresh_token, None)
        for secret in ("wrong-and-secret-4711", OTHER_PASSWORD):
            with pytest.raises(InvalidGrant):
                await password.prove(kit, ADA, secret)
        await accounts.set_password(kit, user.id, OTHER_PASSWORD)
        told = caplog.text + repr(first) + repr(second) + repr(kit.keyring.ring) + repr(await kit.users.find(ADA))
        secrets = [PASSWORD, OTHER_PASSWORD, "4711", "$argon2"]
        for tokens in (first, second):
            secrets += [tokens.access_token, tokens.refresh_token, tokens.refresh_token.split(".")[2]]
        for secret in secrets:
            assert secret not in told
