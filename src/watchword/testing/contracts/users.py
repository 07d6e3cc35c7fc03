"""The contract of `ports.Users`, its usernames, and the races of acts beside logins."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from watchword.core.models import Account, Session
from watchword.ports import (
    Added,
    Ending,
    Turn,
)
from watchword.testing.contracts.grounds import (
    NOW,
    RACERS,
    R,
    Stores,
    a_session,
    new_user,
    opened,
    signed_in,
    turn,
    user,
)


class UsersContract:
    """`ports.Users`."""

    async def test_a_user_is_found_by_address_and_id(self, stores: Stores) -> None:
        ada = await user(stores)
        for identifier in ("ada@example.com", "ADA@Example.COM", " ada@example.com "):
            found = await stores.users.find(identifier)
            assert found is not None, identifier
            assert found.user == ada
            assert found.password_hash == "hash-ada"
        by_id = await stores.users.get(ada.id)
        assert by_id is not None
        assert (by_id.user, by_id.user.scopes) == (ada, frozenset({"read", "write"}))

    async def test_what_cannot_be_an_address_or_id_is_not_found(self, stores: Stores) -> None:
        await user(stores)
        for odd in ("", "@", "a\x00da", "\ud800", "x" * 5000, "' OR 1=1 --", "%", "ada@example.com\x00"):
            assert await stores.users.find(odd) is None
        for odd in ("", "0", "-1", "nobody", "9" * 60, "1.0", "² "):
            assert await stores.users.get(odd) is None

    async def test_full_width_and_case_twins_are_one_account(self, stores: Stores) -> None:
        await user(stores)
        twin = new_user("twin", email="ＡＤＡ@example.com")
        assert await stores.users.add(twin) is Added.EMAIL_TAKEN

    async def test_exactly_one_of_many_parallel_registrations_wins(self, stores: Stores) -> None:
        many = [new_user("ada", id=f"id-{n}") for n in range(RACERS)]
        answers = await asyncio.gather(*(stores.users.add(one) for one in many))
        assert answers.count(Added.ADDED) == 1
        assert answers.count(Added.EMAIL_TAKEN) == RACERS - 1

    async def test_users_are_listed_page_by_page_in_the_order_of_their_addresses(self, stores: Stores) -> None:
        for name in ("carol", "ada", "bob"):
            await user(stores, name)
        first = await stores.users.page("", 2)
        assert [one.user.email for one in first] == ["ada@example.com", "bob@example.com"]
        (last,) = await stores.users.page(first[-1].user.email, 2)
        assert (last.user.email, last.password_hash) == ("carol@example.com", "hash-carol")

    async def test_a_rehash_ends_nothing(self, stores: Stores) -> None:
        ada = await user(stores)
        session = await opened(stores, ada)
        assert await stores.users.set_password(ada.id, "new", NOW, ending=Ending.NONE, replacing="hash-ada") == ()
        found = await stores.users.get(ada.id)
        assert found is not None
        assert (found.password_hash, found.user.epoch) == ("new", ada.epoch)
        assert await stores.sessions.get(session.id, NOW) is not None

    async def test_a_new_password_raises_the_epoch_and_ends_the_other_sessions(self, stores: Stores) -> None:
        ada = await user(stores)
        mine, other = await opened(stores, ada, 1), await opened(stores, ada, 2)
        revoked = await stores.users.set_password(ada.id, "new", NOW, ending=Ending.OTHERS, keep=mine.id)
        assert revoked is not None
        assert [one.session_id for one in revoked] == [other.id]
        assert [one.id for one in await stores.sessions.of_user(ada.id, NOW)] == [mine.id]
        assert not await signed_in(stores, ada, 3)

    async def test_exactly_one_of_many_replaces_a_hash(self, stores: Stores) -> None:
        ada = await user(stores)
        answers = await asyncio.gather(
            *(
                stores.users.set_password(ada.id, f"new-{n}", NOW, ending=Ending.ALL, replacing="hash-ada")
                for n in range(RACERS)
            )
        )
        assert sum(answer is not None for answer in answers) == 1

    async def test_disabling_ends_every_session_and_enabling_revives_none(self, stores: Stores) -> None:
        ada, bob = await user(stores), await user(stores, "bob")
        await opened(stores, ada, 1)
        await opened(stores, ada, 2)
        spared = await opened(stores, bob, 3)
        revoked = await stores.users.set_disabled(ada.id, True, NOW)
        assert revoked is not None
        assert len(revoked) == 2
        found = await stores.users.get(ada.id)
        assert found is not None
        assert found.user.disabled
        assert await stores.users.set_disabled(ada.id, False, NOW) == ()
        assert await stores.sessions.of_user(ada.id, NOW) == []
        assert await stores.sessions.get(spared.id, NOW) is not None

    async def test_a_deleted_user_is_gone_with_all_sessions(self, stores: Stores) -> None:
        ada = await user(stores)
        session = await opened(stores, ada)
        revoked = await stores.users.remove(ada.id, NOW)
        assert revoked is not None
        assert [one.session_id for one in revoked] == [session.id]
        assert await stores.users.get(ada.id) is None
        assert (await turn(stores, session, 0)).answer is Turn.UNKNOWN

    async def test_nobody_signs_in_after_disable_delete_or_a_change_of_password(self, stores: Stores) -> None:
        """The epoch: what the proof read must still hold when the session is open."""
        acts: dict[str, Callable[[Account], Awaitable[Any]]] = {
            "disable": lambda one: stores.users.set_disabled(one.id, True, NOW),
            "disable-enable": lambda one: _twice(stores, one),
            "delete": lambda one: stores.users.remove(one.id, NOW),
            "password": lambda one: stores.users.set_password(one.id, "new", NOW, ending=Ending.ALL),
        }
        for number, (name, act) in enumerate(acts.items(), 1):
            proven = await user(stores, name)
            await act(proven)
            assert not await signed_in(stores, proven, number), name
            assert await stores.sessions.of_user(proven.id, NOW) == []

    async def test_an_act_beside_logins_leaves_no_live_session(self, stores: Stores) -> None:
        acts: list[Callable[[Account], Awaitable[Any]]] = [
            lambda one: stores.users.set_disabled(one.id, True, NOW),
            lambda one: stores.users.remove(one.id, NOW),
            lambda one: stores.users.set_password(one.id, "new", NOW, ending=Ending.ALL),
        ]
        for round_ in range(12):
            ada = await user(stores, f"ada{round_}")
            await asyncio.gather(
                *(signed_in(stores, ada, round_ * 100 + n) for n in range(1, 5)), acts[round_ % 3](ada)
            )
            assert await stores.sessions.of_user(ada.id, NOW) == []

    async def test_a_login_beside_a_change_of_scopes_never_keeps_the_old_ones(self, stores: Stores) -> None:
        """Either the session follows the change, or whoever opened it reads the new scopes and opens another."""
        for round_ in range(6):
            ada = await user(stores, f"ada{round_}")
            session = a_session(ada, round_ + 1)

            async def login(session: Session = session, owner: Account = ada) -> frozenset[str]:
                await stores.sessions.open(session, R)
                found = await stores.users.get(owner.id)
                assert found is not None
                return found.user.scopes

            seen, _ = await asyncio.gather(login(), stores.users.set_scopes(ada.id, frozenset({"read"}), NOW))
            (live,) = await stores.sessions.of_user(ada.id, NOW)
            assert live.scopes == frozenset({"read"}) or seen == frozenset({"read"})

    async def test_acts_on_nobody_say_so(self, stores: Stores) -> None:
        assert await stores.users.set_password("nobody", "x", NOW, ending=Ending.ALL) is None
        assert await stores.users.set_scopes("nobody", frozenset(), NOW) is None
        assert await stores.users.set_disabled("nobody", True, NOW) is None
        assert await stores.users.remove("nobody", NOW) is None

    async def test_changed_scopes_reach_the_live_sessions_and_revoke_their_present_tokens(self, stores: Stores) -> None:
        ada = await user(stores)
        following = await opened(stores, ada, 1)
        narrow = await opened(stores, ada, 2, follows_user=False, scopes=frozenset({"read"}))
        await turn(stores, following, 0)
        granted = frozenset({"write", "admin"})
        revoked = await stores.users.set_scopes(ada.id, granted, NOW)
        assert revoked is not None
        assert {(one.session_id, one.generation) for one in revoked} == {(following.id, 1), (narrow.id, 0)}
        live = {one.id: one.scopes for one in await stores.sessions.of_user(ada.id, NOW)}
        assert live == {following.id: granted, narrow.id: frozenset()}

    async def test_scopes_that_change_nothing_for_a_session_revoke_nothing(self, stores: Stores) -> None:
        ada = await user(stores)
        await opened(stores, ada, 1, follows_user=False, scopes=frozenset({"read"}))
        assert await stores.users.set_scopes(ada.id, frozenset({"read", "admin"}), NOW) == ()

    async def test_a_wildcard_and_what_is_below_it_have_the_smaller_one_in_common(self, stores: Stores) -> None:
        ada = await user(stores, scopes=frozenset({"items:*"}))
        wide = await opened(stores, ada, 1, follows_user=False, scopes=frozenset({"items:*"}))
        narrow = await opened(stores, ada, 2, follows_user=False, scopes=frozenset({"items:read"}))
        revoked = await stores.users.set_scopes(ada.id, frozenset({"items:read", "orders:read"}), NOW)
        assert revoked is not None
        assert [one.session_id for one in revoked] == [wide.id]
        assert await stores.users.set_scopes(ada.id, frozenset({"items:*"}), NOW) == ()
        live = {one.id: one.scopes for one in await stores.sessions.of_user(ada.id, NOW)}
        assert live == {wide.id: frozenset({"items:read"}), narrow.id: frozenset({"items:read"})}

    async def test_exactly_one_of_many_replaces_a_set_of_scopes(self, stores: Stores) -> None:
        ada = await user(stores)
        answers = await asyncio.gather(
            *(stores.users.set_scopes(ada.id, frozenset({f"s{n}"}), NOW, replacing=ada.scopes) for n in range(RACERS))
        )
        assert sum(answer is not None for answer in answers) == 1

    async def test_a_refresh_beside_a_change_of_scopes_never_keeps_the_old_ones(self, stores: Stores) -> None:
        """Either the refresh already has the new scopes, or its generation is among those that are revoked."""
        ada = await user(stores)
        sessions = [await opened(stores, ada, n) for n in range(1, 9)]
        refreshing = [asyncio.ensure_future(turn(stores, session, 0)) for session in sessions]
        revoked = await stores.users.set_scopes(ada.id, frozenset({"read"}), NOW)
        turns = await asyncio.gather(*refreshing)
        assert revoked is not None
        dead = {one.session_id: one.generation for one in revoked}
        for answer in turns:
            assert answer.session is not None
            stale = "write" in answer.session.scopes
            assert not stale or dead[answer.session.id] >= answer.session.generation


class UsernamesContract:
    """`ports.Users`, for tables whose accounts have usernames too."""

    async def test_a_user_is_found_by_username_in_any_case(self, stores: Stores) -> None:
        ada = await user(stores, username="ada")
        for identifier in ("ada", "Ada", " ADA ", "ａｄａ"):
            found = await stores.users.find(identifier)
            assert found is not None, identifier
            assert found.user == ada

    async def test_a_taken_username_is_said_before_a_taken_address(self, stores: Stores) -> None:
        await user(stores, username="ada")
        assert await stores.users.add(new_user("ada", id="other", username="ada")) is Added.USERNAME_TAKEN
        assert await stores.users.add(new_user("eve", username="ADA")) is Added.USERNAME_TAKEN
        assert await stores.users.add(new_user("eve", email="ada@example.com")) is Added.EMAIL_TAKEN

    async def test_exactly_one_of_many_parallel_registrations_gets_a_username(self, stores: Stores) -> None:
        many = [new_user(f"ada{n}", username="ada") for n in range(RACERS)]
        answers = await asyncio.gather(*(stores.users.add(one) for one in many))
        assert answers.count(Added.ADDED) == 1
        assert answers.count(Added.USERNAME_TAKEN) == RACERS - 1


async def _twice(stores: Stores, one: Account) -> None:
    await stores.users.set_disabled(one.id, True, NOW)
    await stores.users.set_disabled(one.id, False, NOW)
