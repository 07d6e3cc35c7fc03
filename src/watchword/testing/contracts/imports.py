"""The contract of `flows.importing.Imports`."""

import asyncio
from typing import Any

from watchword.core.models import Credentials, User
from watchword.ports import (
    Added,
    NewUser,
)
from watchword.testing.contracts.grounds import (
    NOW,
    RACERS,
    SECOND,
    ImportingStores,
    new_user,
    user,
)


class ImportsContract:
    """`flows.importing.Imports`, beside `ports.Users` on the same store."""

    async def test_many_are_made_as_they_are_said(self, stores: ImportingStores) -> None:
        many = [named(f"user{n}") for n in range(RACERS)]
        many.append(named("gone", username=None, password_hash=None, scopes=frozenset(), disabled_at=NOW + SECOND))
        assert await stores.imports.add_many(many) == [()] * len(many)
        for new in many:
            found = await stores.users.get(new.id)
            assert found is not None
            assert found == Credentials(
                User(new.id, new.email, new.username, new.scopes, new.created_at, new.disabled_at, 0), new.password_hash
            )

    async def test_what_is_in_the_way_is_said_and_changes_nothing(self, stores: ImportingStores) -> None:
        ada, bob = await user(stores, username="ada"), await user(stores, "bob", username="bob")
        same_email = named("eve", email="ADA@example.com")
        same_name = named("eve", username="ＡＤＡ")
        same_id = named("eve", id=bob.id)
        both = named("eve", email=bob.email, username="ada")
        asked = [same_email, named("carol"), same_name, same_id, both, named("ada")]
        for verb in (stores.imports.in_the_way, stores.imports.add_many):
            ways = [set(way) for way in await verb(asked)]
            assert ways == [{ada}, set(), {ada}, {bob}, {ada, bob}, {ada}]
        assert [one.user.username for one in await stores.users.page("", 9)] == ["ada", "bob", "carol"]
        found = await stores.users.find("ada")
        assert found is not None
        assert found.password_hash == "hash-ada"

    async def test_a_username_that_nobody_has_is_in_nobody_s_way(self, stores: ImportingStores) -> None:
        await user(stores, username=None)
        (alone, met) = await stores.imports.in_the_way([named("bob", username=None), named(username=None)])
        assert alone == ()
        assert [one.email for one in met] == ["ada@example.com"]

    async def test_looking_makes_nobody(self, stores: ImportingStores) -> None:
        assert await stores.imports.in_the_way([named(), named("bob")]) == [(), ()]
        assert await stores.users.page("", 9) == []

    async def test_nothing_asked_is_nothing_answered(self, stores: ImportingStores) -> None:
        assert await stores.imports.in_the_way([]) == []
        assert await stores.imports.add_many([]) == []

    async def test_of_two_that_can_not_both_be_exactly_one_is_made(self, stores: ImportingStores) -> None:
        for name, rest in (("id", {"id": "one"}), ("email", {"email": "one@example.com"}), ("username", {})):
            twins = [named(f"{name}{n}", **{"username": f"u{name}", **rest}) for n in (1, 2)]
            ways = await stores.imports.add_many(twins)
            assert sorted(len(way) for way in ways) == [0, 1]
            (standing,) = ways[0] or ways[1]
            made = twins[ways.index(())]
            assert (standing.id, standing.email) == (made.id, made.email)

    async def test_names_that_look_alike_are_all_let_in_and_then_nobody_takes_another(
        self, stores: ImportingStores
    ) -> None:
        await user(stores, "there", username="learn")
        alike = [named("one", username="paypal"), named("two", username="paypa1"), named("three", username="leam")]
        assert await stores.imports.add_many(alike) == [(), (), ()]
        for username in ("pa\u0443pal", "1eam"):
            assert await stores.users.add(named("thief", username=username)) is Added.USERNAME_TAKEN

    async def test_of_many_who_import_names_that_look_alike_all_are_let_in(self, stores: ImportingStores) -> None:
        drafts = [[named(f"user{n}", username=f"{n:06b}".replace("0", "l"))] for n in range(RACERS)]
        answers = await asyncio.gather(*(stores.imports.add_many(each) for each in drafts))
        assert answers == [[()]] * RACERS

    async def test_of_many_who_import_the_same_exactly_one_makes_each(self, stores: ImportingStores) -> None:
        def draft_of(racer: int) -> list[NewUser]:
            order = range(20) if racer % 2 else reversed(range(20))
            return [named(f"user{n}", id=f"{racer}-{n}") for n in order]

        drafts = [draft_of(racer) for racer in range(8)]
        answers = await asyncio.gather(*(stores.imports.add_many(each) for each in drafts))
        made = [
            new
            for each, ways in zip(drafts, answers, strict=True)
            for new, way in zip(each, ways, strict=True)
            if not way
        ]
        assert len(made) == 20
        assert {one.user.id for one in await stores.users.page("", 99)} == {new.id for new in made}


def named(name: str = "ada", **changes: Any) -> NewUser:
    """An account to add that has a username."""
    return new_user(name, **{"username": name, **changes})
