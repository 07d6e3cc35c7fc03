"""What an operator does to accounts, below the command line."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.house import ADA, BOB, PASSWORD

from watchword.core.errors import InvalidInput, NotFound, WeakPassword
from watchword.flows import accounts
from watchword.flows.kit import Kit
from watchword.ports import Added, NewUser

NOBODY = "a" * 26


@pytest.mark.parametrize(
    "act",
    [
        accounts.disable,
        accounts.enable,
        accounts.delete,
        lambda kit, user_id: accounts.set_password(kit, user_id, PASSWORD),
        lambda kit, user_id: accounts.grant(kit, user_id, {"a"}),
        lambda kit, user_id: accounts.revoke(kit, user_id, {"a"}),
    ],
    ids=["disable", "enable", "delete", "set_password", "grant", "revoke"],
)
async def test_an_act_on_somebody_who_is_gone_is_told(kit: Kit, act: Callable[[Kit, str], Awaitable[Any]]) -> None:
    """An operator who locks an account must not read `done` where nothing was locked."""
    with pytest.raises(NotFound):
        await act(kit, NOBODY)
    user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
    await accounts.delete(kit, user.id)
    with pytest.raises(NotFound):
        await act(kit, user.id)


async def test_a_user_who_is_gone_before_the_command_ends_is_not_reported_as_made(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another operator deletes the account between the two statements of `watchword users add`."""
    add = kit.users.add

    async def add_and_lose(new: NewUser) -> Added:
        added = await add(new)
        await accounts.delete(kit, new.id)
        return added

    monkeypatch.setattr(kit.users, "add", add_and_lose)
    with pytest.raises(NotFound, match="gone already"):
        await accounts.add(kit, ADA, PASSWORD, None, frozenset())


async def test_somebody_is_found_by_address_username_and_id(kit: Kit) -> None:
    user = await accounts.add(kit, "Ada@Example.com", PASSWORD, "Ada", frozenset({"a"}))
    for whom in (ADA, "ADA@EXAMPLE.COM", "ada", "ADA", user.id):
        assert await accounts.find(kit, whom) == user
    for whom in ("", "nobody", NOBODY, "\x00", "\ud800", user.id.upper() + " "):
        with pytest.raises(NotFound):
            await accounts.find(kit, whom)


async def test_a_username_that_looks_like_an_id_does_not_stand_in_front_of_it(kit: Kit) -> None:
    """Somebody registers the id of another user as a username, and waits for `watchword users grant <id> admin`."""
    ada = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
    await accounts.add(kit, BOB, PASSWORD, ada.id, frozenset())
    assert await accounts.find(kit, ada.id) == ada


@pytest.mark.parametrize("imported_id", ["bob", BOB])
async def test_an_imported_id_does_not_stand_in_front_of_a_name(kit: Kit, imported_id: str) -> None:
    """The attack: in the old system ids were chosen, and somebody chose what another is called here. The operator disables
    `bob`, and it is not bob who is signed out; or grants him `admin`, and somebody else has it."""
    bob = await accounts.add(kit, BOB, PASSWORD, "bob", frozenset())
    await kit.users.add(NewUser(imported_id, ADA, None, None, frozenset(), kit.clock.now()))
    with pytest.raises(NotFound) as refused:
        await accounts.find(kit, imported_id)
    assert ADA in refused.value.detail
    assert BOB in refused.value.detail
    for whom in (bob.id, BOB if imported_id == "bob" else "bob"):
        assert await accounts.find(kit, whom) == bob
    assert (await accounts.find(kit, ADA)).id == imported_id


async def test_a_password_is_held_against_the_name_of_its_account(kit: Kit) -> None:
    with pytest.raises(WeakPassword):
        await accounts.add(kit, "lovelace.analytical@example.com", "lovelaceanalytical1", "ada", frozenset())
    with pytest.raises(InvalidInput):
        await accounts.add(kit, "no address", PASSWORD, None, frozenset())


async def test_deleting_frees_the_names_and_never_the_id(kit: Kit) -> None:
    first = await accounts.add(kit, ADA, PASSWORD, "ada", frozenset({"admin"}))
    await accounts.delete(kit, first.id)
    second = await accounts.add(kit, ADA, PASSWORD, "ada", frozenset())
    assert second.id != first.id
    assert second.scopes == frozenset()


async def test_grants_and_revocations_at_once_lose_nothing(kit: Kit) -> None:
    """The operator takes `admin` away while a program grants something else: the scope must not come back."""
    user = await accounts.add(kit, "ada@example.com", "seven lanterns over", None, frozenset({"admin"}))
    granting = [accounts.grant(kit, user.id, {f"items:{number}"}) for number in range(5)]
    await asyncio.gather(accounts.revoke(kit, user.id, {"admin"}), *granting)
    found = await kit.users.get(user.id)
    assert found is not None
    assert found.user.scopes == {f"items:{number}" for number in range(5)}
