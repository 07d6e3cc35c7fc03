"""What an operator reads of sessions afterwards: who, which, and why. Half a line would hide a theft."""

import dataclasses
import logging
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import update
from tests.house import ADA, OTHER_PASSWORD, PASSWORD

from watchword.core import opaque
from watchword.core.errors import AuthError, InvalidGrant, InvalidScope, InvalidToken, NotFound, RefreshReused
from watchword.core.events import Event, LoggedIn, RefreshTokenReused, SessionClosed, SessionsEnded, StateRewound
from watchword.core.models import Account, Client, Tokens
from watchword.flows import accounts, authenticate, password, session
from watchword.flows.kit import Kit
from watchword.stores.sql.tables import users
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock


@pytest.fixture
async def user(kit: Kit) -> Account:
    return await accounts.add(kit, ADA, PASSWORD, "ada", frozenset({"a", "b"}))


@pytest.fixture
async def first(kit: Kit, user: Account) -> Tokens:
    """The tokens of a login that asked for one scope of two."""
    return await session.open(kit, await password.prove(kit, ADA, PASSWORD), frozenset({"a"}), Client())


def known(kit: Kit, tokens: Tokens) -> opaque.Presented:
    return opaque.parse(tokens.refresh_token, kit.keyring.ring.refresh_keys)


def facts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "watchword.audit"]


async def because(act: Awaitable[object], kind: type[AuthError]) -> str:
    with pytest.raises(kind) as refused:
        await act
    assert type(refused.value) is kind
    return refused.value.because


async def test_a_theft_a_lost_commit_and_a_logout_name_the_user_and_the_session(
    kit: Kit, user: Account, clock: FrozenClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watchword.audit")
    opened = await session.open(kit, await password.prove(kit, ADA, PASSWORD), None, Client())
    presented = known(kit, opened)
    newer = opaque.mint(presented.session_id, 5, presented.r, kit.keyring.ring.refresh_keys)
    await session.refresh(kit, newer, None)
    clock.tick(60)
    await because(session.refresh(kit, opened.refresh_token, None), RefreshReused)
    other = await session.open(kit, await password.prove(kit, ADA, PASSWORD), None, Client())
    assert await session.close(kit, known(kit, other).session_id, user.id)
    await session.close_all(kit, user.id)
    told: list[Event] = [
        LoggedIn(user.id, presented.session_id),
        StateRewound(user.id, presented.session_id, 6),
        RefreshTokenReused(user.id, presented.session_id, 0),
        LoggedIn(user.id, known(kit, other).session_id),
        SessionClosed(user.id, known(kit, other).session_id),
        SessionsEnded(user.id, "logged out everywhere"),
    ]
    assert facts(caplog) == [repr(event) for event in told]


async def test_a_session_that_has_ended_is_not_ended_twice(
    kit: Kit, user: Account, first: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watchword.audit")
    ended = [await session.close(kit, known(kit, first).session_id) for _ in range(2)]
    assert ended == [True, False]
    assert facts(caplog) == [repr(SessionClosed(user.id, known(kit, first).session_id))], "and the log says whose"


async def test_the_owner_ends_one_session_of_the_list_and_the_other_lives_on(
    kit: Kit, user: Account, first: Tokens
) -> None:
    second = await session.open(kit, await password.prove(kit, ADA, PASSWORD), None, Client())
    await session.close_listed(kit, known(kit, first).session_id, user.id)
    assert [one.id for one in await session.of_user(kit, user.id)] == [known(kit, second).session_id]
    assert await because(authenticate.bearer(kit, first.access_token), InvalidToken)
    assert (await authenticate.bearer(kit, second.access_token)).principal.user_id == user.id


async def test_logging_out_everywhere_ends_every_token_of_every_session_at_once(
    kit: Kit, user: Account, first: Tokens
) -> None:
    """The thief's session is one of them, and this worker believes its token no longer, whatever the feed does."""
    second = await session.open(kit, await password.prove(kit, ADA, PASSWORD), None, Client())
    revoked = await session.close_all(kit, user.id)
    assert {one.session_id for one in revoked} == {known(kit, one).session_id for one in (first, second)}
    for one in (first, second):
        assert await because(authenticate.bearer(kit, one.access_token), InvalidToken)
    assert await session.of_user(kit, user.id) == []


Act = Callable[[Kit, Tokens, Account], Awaitable[object]]


async def _reused(kit: Kit, first: Tokens, _: Account) -> object:
    await session.refresh(kit, first.refresh_token, None)
    presented = known(kit, first)
    await session.refresh(kit, opaque.mint(presented.session_id, 1, presented.r, kit.keyring.ring.refresh_keys), None)
    return await session.refresh(kit, first.refresh_token, None)


async def _ended(kit: Kit, first: Tokens, _: Account) -> object:
    await session.close(kit, known(kit, first).session_id)
    return await session.refresh(kit, first.refresh_token, None)


async def _wider(kit: Kit, first: Tokens, _: Account) -> object:
    return await session.refresh(kit, first.refresh_token, frozenset({"b"}))


async def _wider_within_the_grace(kit: Kit, first: Tokens, _: Account) -> object:
    """The current token was used up already; its repeat costs nothing, and is held against the scopes all the same."""
    await session.refresh(kit, first.refresh_token, None)
    return await session.refresh(kit, first.refresh_token, frozenset({"b"}))


async def _gone(kit: Kit, first: Tokens, user: Account) -> object:
    """A host has disabled the account in a table of its own, and said nothing."""
    theirs = dataclasses.replace(kit, hosts_users=True)
    assert isinstance(kit.users, SqlUsers)
    async with kit.users._db.write() as connection:
        await connection.execute(update(users).where(users.c.id == user.id).values(disabled_at=kit.clock.now()))
    return await session.refresh(theirs, first.refresh_token, None)


async def _password_changed(kit: Kit, _: Tokens, user: Account) -> object:
    proof = await password.prove(kit, ADA, PASSWORD)
    await accounts.set_password(kit, user.id, OTHER_PASSWORD)
    return await session.open(kit, proof, None, Client())


async def _not_theirs(kit: Kit, first: Tokens, _: Account) -> object:
    await session.close_listed(kit, known(kit, first).session_id, "somebody else")
    return None


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        (_reused, RefreshReused, "an old refresh token came back: its session was closed"),
        (_ended, InvalidGrant, "no live session has this refresh token"),
        (_wider, InvalidScope, "a refresh may only narrow"),
        (_wider_within_the_grace, InvalidScope, "a refresh may only narrow"),
        (_gone, InvalidGrant, "the user is gone or disabled"),
        (
            _password_changed,
            InvalidGrant,
            "the user was disabled, deleted or given another password during the login",
        ),
        (_not_theirs, NotFound, "no such live session of this user"),
    ],
)
async def test_each_refusal_has_its_reason(
    kit: Kit, first: Tokens, user: Account, act: Act, kind: type[AuthError], words: str
) -> None:
    assert await because(act(kit, first, user), kind) == words


async def test_every_access_token_has_an_id_of_128_bits_and_of_its_own(kit: Kit, first: Tokens) -> None:
    """A `jti` is what a list of seen tokens goes by: repeated, it would refuse somebody else's."""
    again = [first, *[await session.refresh(kit, first.refresh_token, None) for _ in range(2)]]
    found = [(await authenticate.bearer(kit, one.access_token)).principal.claims["jti"] for one in again]
    assert [len(jti) for jti in found] == [22, 22, 22]
    assert len(set(found)) == 3
