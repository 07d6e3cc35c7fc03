"""The contract of `ports.Roles`."""

import asyncio
from typing import Protocol

from watchword.core.roles import Holding, Role
from watchword.ports import Roles
from watchword.testing.contracts.grounds import NOW, RACERS

READ, WRITE = frozenset({"items:read"}), frozenset({"items:read", "items:write"})
NONE: frozenset[str] = frozenset()


class RolesStores(Protocol):
    """What the fixture `stores` gives."""

    roles: Roles


class RolesContract:
    """`ports.Roles`."""

    async def test_roles_are_made_changed_and_listed_by_their_names(self, stores: RolesStores) -> None:
        made = await stores.roles.put("writer", READ, "writes")
        assert made == Role("writer", READ, "writes", 1)
        await stores.roles.put("admin", NONE, None)
        assert await stores.roles.put("writer", WRITE, None) == Role("writer", WRITE, "writes", 2)
        assert await stores.roles.put("writer", WRITE, "") == Role("writer", WRITE, "", 3)
        assert [role.name for role in await stores.roles.listed()] == ["admin", "writer"]
        assert await stores.roles.listed("writer") == [Role("writer", WRITE, "", 3)]
        assert await stores.roles.listed("nobody") == []

    async def test_a_removed_role_is_gone_for_everybody_and_its_generation_goes_on(self, stores: RolesStores) -> None:
        await stores.roles.put("writer", WRITE, "writes")
        answers = await asyncio.gather(*(stores.roles.remove("writer") for _ in range(8)))
        assert answers.count(True) == 1
        assert await stores.roles.listed() == []
        assert await stores.roles.listed("writer") == []
        assert not await stores.roles.remove("nobody")
        made = await stores.roles.put("writer", READ, None)
        assert made == Role("writer", READ, "writes", 3)

    async def test_nobody_gets_a_new_role_by_an_old_name(self, stores: RolesStores) -> None:
        """The attack: a role is removed, and its name is given to something else while somebody has it still."""
        await _given(stores, "ada", "writer")
        await stores.roles.remove("writer")
        assert await stores.roles.put("writer", frozenset({"admin"}), None) is None
        assert (await _of(stores, "ada")).scopes == {"direct"}
        assert await stores.roles.settle(await _of(stores, "ada"))
        assert await stores.roles.put("writer", frozenset({"admin"}), None) is not None
        assert await _of(stores, "ada") == Holding("ada", frozenset({"direct"}), (), 1, settled=True)

    async def test_what_a_user_holds_is_the_direct_scopes_and_those_of_the_roles(self, stores: RolesStores) -> None:
        await stores.roles.put("writer", WRITE, None)
        await stores.roles.put("reader", READ, None)
        both = frozenset({"writer", "reader"})
        assert await stores.roles.hold("ada", frozenset({"direct"}), both, NOW, replacing=None)
        ada = await _of(stores, "ada")
        assert (ada.direct, ada.names, ada.scopes) == (frozenset({"direct"}), both, WRITE | {"direct"})
        assert (ada.generation, ada.settled, ada.is_idle) == (1, False, False)
        assert await stores.roles.hold("ada", NONE, frozenset({"reader"}), NOW, replacing=1)
        ada = await _of(stores, "ada")
        assert (ada.direct, ada.names, ada.scopes, ada.generation) == (NONE, frozenset({"reader"}), READ, 2)
        assert await stores.roles.of(["bob", ""]) == {}
        assert (await stores.roles.of(["ada", "bob"])).keys() == {"ada"}

    async def test_a_role_that_is_not_there_can_not_be_given(self, stores: RolesStores) -> None:
        await stores.roles.put("writer", WRITE, None)
        both = frozenset({"writer", "nobody"})
        assert not await stores.roles.hold("ada", NONE, both, NOW, replacing=None)
        assert await stores.roles.of(["ada"]) == {}
        await stores.roles.remove("writer")
        assert not await stores.roles.hold("ada", NONE, frozenset({"writer"}), NOW, replacing=None)

    async def test_exactly_one_of_many_replaces_what_is_held(self, stores: RolesStores) -> None:
        await stores.roles.put("writer", WRITE, None)
        for replacing in (None, 1):
            answers = await asyncio.gather(
                *(
                    stores.roles.hold("ada", frozenset({f"s{n}"}), frozenset({"writer"}), NOW, replacing=replacing)
                    for n in range(RACERS)
                )
            )
            assert answers.count(True) == 1
        assert (await _of(stores, "ada")).generation == 2

    async def test_a_role_is_not_removed_while_it_is_given(self, stores: RolesStores) -> None:
        """Either it is given first, and then lost with all others, or it can't be given any more."""
        for number in range(12):
            name, user_id = f"role{number}", f"user{number}"
            await stores.roles.put(name, WRITE, None)
            await asyncio.gather(
                stores.roles.hold(user_id, NONE, frozenset({name}), NOW, replacing=None), stores.roles.remove(name)
            )
            holding = (await stores.roles.of([user_id])).get(user_id)
            if holding is not None:
                assert (holding.scopes, holding.settled) == (NONE, False)
                assert await stores.roles.members(name, "", 9, unsettled=True) == [user_id]

    async def test_members_are_listed_page_by_page(self, stores: RolesStores) -> None:
        for user_id in ("carol", "ada", "bob"):
            await _given(stores, user_id, "writer")
        await _given(stores, "dave", "reader")
        assert await stores.roles.members("writer", "", 2) == ["ada", "bob"]
        assert await stores.roles.members("writer", "bob", 2) == ["carol"]
        assert await stores.roles.members(None, "", 9) == ["ada", "bob", "carol", "dave"]
        assert await stores.roles.members("nobody", "", 9) == []

    async def test_whoever_was_not_brought_to_what_they_hold_is_listed(self, stores: RolesStores) -> None:
        for user_id in ("ada", "bob"):
            await _given(stores, user_id, "writer")
        await stores.roles.hold("carol", NONE, NONE, NOW, replacing=None, settled=True)
        assert await stores.roles.members(None, "", 9, unsettled=True) == ["ada", "bob"]
        assert await stores.roles.settle(await _of(stores, "ada"))
        assert await stores.roles.members(None, "", 9, unsettled=True) == ["bob"]
        assert await stores.roles.settle(await _of(stores, "bob"))
        await stores.roles.put("writer", READ, None)
        for name in ("writer", None):
            assert await stores.roles.members(name, "", 1, unsettled=True) == ["ada"]
            assert await stores.roles.members(name, "ada", 9, unsettled=True) == ["bob"]
        assert not (await _of(stores, "ada")).settled
        assert await stores.roles.settle(await _of(stores, "ada"))
        assert await stores.roles.members("writer", "", 9, unsettled=True) == ["bob"]
        assert (await _of(stores, "carol")).is_idle

    async def test_what_has_changed_meanwhile_is_not_settled(self, stores: RolesStores) -> None:
        """A crash or a race must not leave an account behind that nobody looks for."""
        await _given(stores, "ada", "writer")
        before = await _of(stores, "ada")
        await stores.roles.hold("ada", NONE, before.names, NOW, replacing=before.generation)
        assert not await stores.roles.settle(before)
        before = await _of(stores, "ada")
        await stores.roles.put("writer", READ, None)
        assert not await stores.roles.settle(before)
        assert not (await _of(stores, "ada")).settled
        assert await stores.roles.settle(await _of(stores, "ada"))
        assert (await _of(stores, "ada")).settled

    async def test_a_change_beside_a_settling_is_never_taken_for_settled(self, stores: RolesStores) -> None:
        await _given(stores, "ada", "writer")
        for number in range(20):
            before = await _of(stores, "ada")
            scopes = frozenset({f"items:{number}"})
            await asyncio.gather(stores.roles.settle(before), stores.roles.put("writer", scopes, None))
            assert not (await _of(stores, "ada")).settled

    async def test_nothing_is_held_by_whoever_is_gone(self, stores: RolesStores) -> None:
        await _given(stores, "ada", "writer")
        await stores.roles.forget("ada")
        await stores.roles.forget("ada")
        assert await stores.roles.of(["ada"]) == {}
        assert await stores.roles.members(None, "", 9) == []
        assert await stores.roles.members(None, "", 9, unsettled=True) == []


async def _given(stores: RolesStores, user_id: str, name: str) -> None:
    """Somebody who has a role, which is made where it is not there."""
    if name not in {role.name for role in await stores.roles.listed()}:
        await stores.roles.put(name, WRITE, None)
    direct = frozenset({"direct"})
    assert await stores.roles.hold(user_id, direct, frozenset({name}), NOW, replacing=None)


async def _of(stores: RolesStores, user_id: str) -> Holding:
    return (await stores.roles.of([user_id]))[user_id]
