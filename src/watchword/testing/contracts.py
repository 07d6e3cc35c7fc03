"""The definition of correct for adapters of `watchword.ports`, races included.

A suite is a class of pytest tests. Subclass it where your tests are, and give it a fixture `stores`: an object with the
adapters under test as `users`, `sessions`, `keys`, `revocations` and `imports` (those that the suite names), on an empty
store:

    class TestMyUsers(contracts.UsersContract):
        @pytest.fixture
        async def stores(self, tmp_path):
            auth = await Auth(Settings(data_dir=tmp_path), engine=engine, users=MyUsers(engine)).start()
            yield await auth.open()  # the adapters, as this application has them
            await auth.stop()

`examples/own_users/test_people.py` is a whole one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from watchword.core import opaque
from watchword.core.keys import KeyRecord
from watchword.core.models import Account, Client, Credentials, Revoked, Session, User
from watchword.core.opaque import Presented
from watchword.core.policy import LEEWAY
from watchword.flows.importing import Imports
from watchword.ports import (
    Added,
    Change,
    Ending,
    Keys,
    KeysChanged,
    NewUser,
    Revocations,
    Sessions,
    Turn,
    Turned,
    Users,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
R = bytes(range(32))
GRACE = timedelta(seconds=30)
IDLE = timedelta(days=14)
ABSOLUTE = timedelta(days=90)
ACCESS = timedelta(minutes=10)
SECOND = timedelta(seconds=1)
RACERS = 64
CHECK = "check"


class Stores(Protocol):
    """What the fixture `stores` gives."""

    users: Users[Account]
    sessions: Sessions
    keys: Keys
    revocations: Revocations
    imports: Imports


def new_user(name: str = "ada", **changes: Any) -> NewUser:
    """An account to add."""
    base = NewUser(f"id-{name}", f"{name}@example.com", None, f"hash-{name}", frozenset({"read", "write"}), NOW)
    return replace(base, **changes)


async def user(stores: Stores, name: str = "ada", **changes: Any) -> Account:
    """An account that was added."""
    made = new_user(name, **changes)
    assert await stores.users.add(made) is Added.ADDED
    found = await stores.users.find(made.email)
    assert found is not None
    return found.user


def a_session(owner: Account, number: int = 1, now: datetime = NOW, **changes: Any) -> Session:
    """A session that is about to be opened."""
    client = Client("agent", "127.0.0.1")
    base = Session(
        id=opaque.identifier(number.to_bytes(16)),
        user_id=owner.id,
        generation=0,
        scopes=owner.scopes,
        follows_user=True,
        methods=frozenset({"pwd"}),
        auth_time=now,
        client_id="first-party",
        created_at=now,
        used_at=now,
        idle_expires_at=now + IDLE,
        expires_at=now + ABSOLUTE,
        access_expires_at=now + ACCESS,
        user_agent=client.user_agent,
        ip=client.ip,
    )
    return replace(base, **changes)


async def opened(stores: Stores, owner: Account, number: int = 1, **changes: Any) -> Session:
    """A session that was opened."""
    session = a_session(owner, number, **changes)
    await stores.sessions.open(session, R)
    return session


async def signed_in(stores: Stores, proven: Account, number: int = 1) -> bool:
    """What a login does: it opens the session, and then looks whether the account still is as it was proven."""
    session = a_session(proven, number)
    await stores.sessions.open(session, R)
    found = await stores.users.get(proven.id)
    if found is not None and not found.user.disabled and found.user.epoch == proven.epoch:
        return True
    await stores.sessions.close(session.id, None, NOW)
    return False


async def turn(stores: Stores, session: Session, generation: int, after: float = 0, r: bytes = R) -> Turned:
    """Present a generation, some seconds after NOW."""
    presented = Presented(session.id, generation, r)
    now = NOW + timedelta(seconds=after)
    return await stores.sessions.turn(presented, now, grace=GRACE, idle=IDLE, access_ttl=ACCESS)


def a_key(generation: int, **changes: Any) -> KeyRecord:
    """A signing key that is about to be published."""
    return replace(KeyRecord(generation, f"kid-{generation}", "ES256", b"sealed", NOW, NOW), **changes)


async def published(stores: Stores, *generations: int) -> list[KeyRecord]:
    """Keys that were published, in a database that is known by CHECK."""
    await stores.keys.recognise(CHECK)
    for generation in generations:
        assert await stores.keys.add(a_key(generation), CHECK)
    return await stores.keys.load()


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
        assert [one.email for one in first] == ["ada@example.com", "bob@example.com"]
        assert [one.email for one in await stores.users.page(first[-1].email, 2)] == ["carol@example.com"]

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


class SessionsContract:
    """`ports.Sessions`: among the rest, each row of the refresh table."""

    async def test_an_open_session_is_found_and_listed(self, stores: Stores) -> None:
        ada = await user(stores)
        session = await opened(stores, ada)
        assert await stores.sessions.get(session.id, NOW) == session
        assert await stores.sessions.of_user(ada.id, NOW) == [session]

    async def test_the_current_generation_turns(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        turned = await turn(stores, session, 0, after=60)
        assert turned.answer is Turn.TURNED
        assert turned.session is not None
        assert turned.session.generation == 1
        assert turned.session.used_at == NOW + timedelta(seconds=60)
        assert turned.session.idle_expires_at == NOW + timedelta(seconds=60) + IDLE
        assert turned.session.access_expires_at == NOW + timedelta(seconds=60) + ACCESS

    async def test_the_generation_before_gets_the_same_successor_within_the_grace(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        for after in (0, 1, 29.999):
            repeated = await turn(stores, session, 0, after=after)
            assert repeated.answer is Turn.REPEATED
            assert repeated.session is not None
            assert repeated.session.generation == 1

    async def test_a_repeat_does_not_prolong_the_grace(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        await turn(stores, session, 0, after=29)
        assert (await turn(stores, session, 0, after=31)).answer is Turn.REUSED

    async def test_the_generation_before_after_the_grace_closes_the_session(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        reused = await turn(stores, session, 0, after=30)
        assert reused.answer is Turn.REUSED
        assert reused.session is None
        assert [one.session_id for one in reused.revoked] == [session.id]
        assert (await turn(stores, session, 1, after=30)).answer is Turn.UNKNOWN

    async def test_any_older_generation_closes_the_session_even_at_once(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        await turn(stores, session, 1)
        assert (await turn(stores, session, 0)).answer is Turn.REUSED
        assert await stores.sessions.get(session.id, NOW) is None
        assert await stores.revocations.ask(session.id, 10_000)

    async def test_a_newer_generation_moves_the_session_forward(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        rewound = await turn(stores, session, 7)
        assert rewound.answer is Turn.REWOUND
        assert rewound.session is not None
        assert rewound.session.generation == 8
        assert (await turn(stores, session, 8)).answer is Turn.TURNED

    async def test_another_secret_changes_nothing(self, stores: Stores) -> None:
        """Knowing a session id (and even the mac key) is not enough to turn or to close a session."""
        session = await opened(stores, await user(stores))
        for generation in (0, 1, 5):
            assert (await turn(stores, session, generation, r=bytes(32))).answer is Turn.UNKNOWN
        assert (await turn(stores, session, 0)).answer is Turn.TURNED

    async def test_a_clock_that_runs_back_counts_as_no_time_at_all(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0, after=3600)
        assert (await turn(stores, session, 0, after=0)).answer is Turn.REPEATED

    async def test_order_does_not_rest_on_time(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        for generation in range(20):
            assert (await turn(stores, session, generation)).answer is Turn.TURNED
        assert (await turn(stores, session, 18)).answer is Turn.REUSED

    async def test_exactly_one_of_many_turns_and_the_others_get_its_successor(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        for generation in range(3):
            answers = await asyncio.gather(*(turn(stores, session, generation) for _ in range(RACERS)))
            kinds = [answer.answer for answer in answers]
            assert kinds.count(Turn.TURNED) == 1
            assert kinds.count(Turn.REPEATED) == RACERS - 1
            assert {answer.session.generation for answer in answers if answer.session} == {generation + 1}

    async def test_the_idle_and_absolute_lifetimes_end_a_session(self, stores: Stores) -> None:
        ada = await user(stores)
        idle, old = await opened(stores, ada, 1), await opened(stores, ada, 2)
        assert (await turn(stores, idle, 0, after=IDLE.total_seconds())).answer is Turn.UNKNOWN
        generation, days = 0, timedelta(0)
        while (days := days + timedelta(days=13)) < ABSOLUTE:
            turned = await turn(stores, old, generation, after=days.total_seconds())
            assert turned.session is not None
            assert turned.session.idle_expires_at <= turned.session.expires_at == NOW + ABSOLUTE
            generation += 1
        assert (await turn(stores, old, generation, after=ABSOLUTE.total_seconds())).answer is Turn.UNKNOWN

    async def test_closing_revokes_every_access_token_of_the_session(self, stores: Stores) -> None:
        ada = await user(stores)
        session, other = await opened(stores, ada, 1), await opened(stores, ada, 2)
        (revoked,) = await stores.sessions.close(session.id, None, NOW)
        assert revoked == Revoked(session.id, opaque.MAX_GENERATION, (NOW + ACCESS + LEEWAY).timestamp())
        assert await stores.sessions.close(session.id, None, NOW) == ()
        assert await stores.revocations.ask(session.id, 5)
        assert not await stores.revocations.ask(other.id, 0)

    async def test_nobody_closes_the_session_of_another(self, stores: Stores) -> None:
        ada, eve = await user(stores), await user(stores, "eve")
        session = await opened(stores, ada)
        assert await stores.sessions.close(session.id, eve.id, NOW) == ()
        assert await stores.sessions.get(session.id, NOW) is not None

    async def test_closing_all_ends_the_sessions_of_one_user(self, stores: Stores) -> None:
        ada, eve = await user(stores), await user(stores, "eve")
        await opened(stores, ada, 1)
        await opened(stores, ada, 2)
        spared = await opened(stores, eve, 3)
        assert len(await stores.sessions.close_all(ada.id, NOW)) == 2
        assert await stores.sessions.of_user(ada.id, NOW) == []
        assert await stores.sessions.get(spared.id, NOW) is not None

    async def test_the_last_used_session_is_listed_first(self, stores: Stores) -> None:
        ada = await user(stores)
        first, second = await opened(stores, ada, 1), await opened(stores, ada, 2)
        await turn(stores, first, 0, after=10)
        listed = await stores.sessions.of_user(ada.id, NOW + SECOND)
        assert [one.id for one in listed] == [first.id, second.id]

    async def test_only_dead_sessions_are_pruned_in_batches(self, stores: Stores) -> None:
        ada = await user(stores)
        for number in range(1, 6):
            await opened(stores, ada, number)
        alive = await opened(stores, ada, 9, idle_expires_at=NOW + ABSOLUTE)
        later = NOW + IDLE + LEEWAY
        assert await stores.sessions.prune(NOW, 100) == 0
        assert [await stores.sessions.prune(later, 3) for _ in range(3)] == [3, 2, 0]
        assert await stores.sessions.get(alive.id, later) is not None

    async def test_a_session_is_kept_while_an_access_token_of_it_may_live(self, stores: Stores) -> None:
        """What is pruned can't be revoked any more: a logout or a disable would say yes and do nothing."""
        ada = await user(stores)
        idle = NOW + 60 * SECOND
        session = await opened(stores, ada, idle_expires_at=idle, access_expires_at=NOW + 3600 * SECOND)
        assert await stores.sessions.prune(idle + LEEWAY, 100) == 0
        assert len(await stores.sessions.close(session.id, None, idle + LEEWAY)) == 1
        assert await stores.sessions.prune(NOW + 3600 * SECOND + LEEWAY, 100) == 1

    async def test_a_turn_never_shortens_what_a_revocation_must_outlive(self, stores: Stores) -> None:
        """After a restart with shorter lifetimes the long-lived tokens of before still have to stay revoked."""
        session = await opened(stores, await user(stores), access_expires_at=NOW + 3600 * SECOND)
        await turn(stores, session, 0)
        (revoked,) = await stores.sessions.close(session.id, None, NOW)
        assert revoked.expires_at == (NOW + 3600 * SECOND + LEEWAY).timestamp()


class KeysContract:
    """`ports.Keys`."""

    async def test_exactly_one_of_many_makers_publishes_a_generation(self, stores: Stores) -> None:
        await stores.keys.recognise(CHECK)
        drafts = [a_key(1, kid=f"kid-{n}") for n in range(RACERS)]
        answers = await asyncio.gather(*(stores.keys.add(draft, CHECK) for draft in drafts))
        assert answers.count(True) == 1
        assert await stores.keys.load() == [drafts[answers.index(True)]]

    async def test_keys_are_loaded_oldest_first(self, stores: Stores) -> None:
        await published(stores, 2, 1, 3)
        assert [record.generation for record in await stores.keys.load()] == [1, 2, 3]
        await stores.keys.remove([1, 2])
        assert [record.generation for record in await stores.keys.load()] == [3]

    async def test_a_key_is_retired_once(self, stores: Stores) -> None:
        await published(stores, 1)
        assert await stores.keys.retire(1, NOW + SECOND)
        assert not await stores.keys.retire(1, NOW + 2 * SECOND)
        assert not await stores.keys.retire(2, NOW)
        assert [record.retired_at for record in await stores.keys.load()] == [NOW + SECOND]

    async def test_the_first_master_key_is_recognised_by_everybody(self, stores: Stores) -> None:
        answers = await asyncio.gather(*(stores.keys.recognise(f"check-{n}") for n in range(RACERS)))
        assert len(set(answers)) == 1
        assert await stores.keys.recognise("another") == answers[0]

    async def test_a_key_of_another_master_key_is_not_published(self, stores: Stores) -> None:
        """It would be the one that nobody can open when that master key is given up."""
        assert not await stores.keys.add(a_key(1), CHECK)
        await published(stores, 1)
        assert not await stores.keys.add(a_key(2), "another")
        assert [record.generation for record in await stores.keys.load()] == [1]

    async def test_resealing_changes_what_is_sealed_and_the_check_value_and_nothing_else(self, stores: Stores) -> None:
        seen = await published(stores, 1, 2)
        await stores.keys.retire(1, NOW)
        assert await stores.keys.reseal(seen, {1: b"new-1", 2: b"new-2"}, "new", NOW)
        assert await stores.keys.load() == [
            replace(seen[0], sealed=b"new-1", retired_at=NOW),
            replace(seen[1], sealed=b"new-2"),
        ]
        assert await stores.keys.recognise(CHECK) == "new"
        assert not await stores.keys.add(a_key(3), CHECK)
        assert await stores.keys.add(a_key(3), "new")

    async def test_resealing_what_is_not_there_as_it_was_seen_changes_nothing(self, stores: Stores) -> None:
        (first,) = await published(stores, 1)
        odd = [[], [replace(first, sealed=b"other")], [first, a_key(2)], [a_key(2)]]
        for seen in odd:
            assert not await stores.keys.reseal(seen, {1: b"new"}, "new", NOW)
        assert await stores.keys.load() == [first]
        assert await stores.keys.recognise("new") == CHECK

    async def test_exactly_one_of_many_reseals(self, stores: Stores) -> None:
        seen = await published(stores, 1, 2)
        answers = await asyncio.gather(
            *(stores.keys.reseal(seen, {1: b"a%d" % n, 2: b"b%d" % n}, f"check-{n}", NOW) for n in range(RACERS))
        )
        assert answers.count(True) == 1
        winner = answers.index(True)
        assert [record.sealed for record in await stores.keys.load()] == [b"a%d" % winner, b"b%d" % winner]
        assert await stores.keys.recognise("late") == f"check-{winner}"

    async def test_a_key_that_is_published_beside_a_reseal_is_seen_by_it_or_refused(self, stores: Stores) -> None:
        """Otherwise it stays sealed with the old master key, and no worker starts when that one is given up."""
        check = CHECK
        await published(stores, 1)
        for generation in range(2, 22):
            seen = await stores.keys.load()
            sealed = {record.generation: b"new-%d" % generation for record in seen}
            following = f"check-{generation}"
            resealed, added = await asyncio.gather(
                stores.keys.reseal(seen, sealed, following, NOW),
                stores.keys.add(a_key(generation, sealed=check.encode()), check),
            )
            assert resealed != added
            check = following if resealed else check
            assert await stores.keys.recognise("late") == check
            if not added:
                assert await stores.keys.add(a_key(generation, sealed=check.encode()), check)

    async def test_giving_the_keys_up_leaves_one_new_key_and_no_session(self, stores: Stores) -> None:
        await published(stores, 1, 2)
        await stores.keys.retire(1, NOW)
        owners = [await user(stores, name) for name in ("ada", "bob")]
        open_ones = [await opened(stores, owner, number) for number, owner in enumerate(owners, 1)]
        ended = await opened(stores, owners[0], 3)
        await stores.sessions.close(ended.id, None, NOW)
        assert await stores.keys.abandon(a_key(3), "new", NOW, replacing=CHECK) == len(open_ones)
        assert await stores.keys.load() == [a_key(3)]
        assert await stores.keys.recognise(CHECK) == "new"
        assert [await stores.sessions.get(one.id, NOW) for one in open_ones] == [None, None]
        assert (await turn(stores, open_ones[0], 0)).answer is Turn.UNKNOWN
        assert await stores.users.get(owners[0].id) is not None

    async def test_giving_up_keys_that_are_not_those_that_were_seen_changes_nothing(self, stores: Stores) -> None:
        """Somebody else has just given them up, or a worker of the old master key has made one more."""
        seen = await published(stores, 1, 2)
        session = await opened(stores, await user(stores))
        assert await stores.keys.abandon(a_key(3), "new", NOW, replacing="another") is None
        assert await stores.keys.abandon(a_key(2, kid="new"), "new", NOW, replacing=CHECK) is None
        assert await stores.keys.load() == seen
        assert await stores.keys.recognise("new") == CHECK
        assert await stores.sessions.get(session.id, NOW) == session

    async def test_exactly_one_of_many_gives_the_keys_up(self, stores: Stores) -> None:
        """Each with a master key of their own: one of them is the database's in the end, with the key that it opens."""
        await published(stores, 1)
        drafts = [a_key(2, kid=f"kid-{n}") for n in range(RACERS)]
        answers = await asyncio.gather(
            *(stores.keys.abandon(draft, f"check-{n}", NOW, replacing=CHECK) for n, draft in enumerate(drafts))
        )
        (winner,) = [n for n, answer in enumerate(answers) if answer is not None]
        assert await stores.keys.load() == [drafts[winner]]
        assert await stores.keys.recognise("late") == f"check-{winner}"

    async def test_a_key_that_is_published_while_the_keys_are_given_up_is_given_up_too_or_refused(
        self, stores: Stores
    ) -> None:
        """A worker that still has the lost master key must not leave a key behind that nobody can open."""
        await published(stores, 1)
        for generation in range(2, 22):
            check, following = await stores.keys.recognise(""), f"check-{generation}"
            ahead = 2 * generation
            given_up, _ = await asyncio.gather(
                stores.keys.abandon(a_key(ahead), following, NOW, replacing=check),
                stores.keys.add(a_key(ahead - 1, sealed=check.encode()), check),
            )
            assert given_up == 0
            assert await stores.keys.load() == [a_key(ahead)]


class RevocationsContract:
    """`ports.Revocations`."""

    async def test_what_was_revoked_before_the_start_is_known_after_it(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await stores.sessions.close(session.id, None, NOW)
        await stores.revocations.start()
        try:
            known = stores.revocations.covers(session.id, 0)
            assert known or not stores.revocations.fresh(), "a feed that calls itself fresh knows everything"
            assert await stores.revocations.ask(session.id, 0)
        finally:
            await stores.revocations.stop()

    async def test_what_this_worker_committed_is_heeded_at_once(self, stores: Stores) -> None:
        changes: list[Change] = []
        stop = stores.revocations.watch(changes.append)
        stores.revocations.apply([Revoked("s", 3, NOW.timestamp())])
        stores.revocations.apply([Revoked("s", 2, NOW.timestamp())])
        assert stores.revocations.covers("s", 3)
        assert not stores.revocations.covers("s", 4)
        assert not stores.revocations.covers("t", 0)
        assert changes == [Revoked("s", 3, NOW.timestamp())]
        stop()
        stores.revocations.apply([Revoked("t", 1, NOW.timestamp())])
        assert len(changes) == 1

    async def test_a_stopped_feed_is_not_fresh(self, stores: Stores) -> None:
        await stores.revocations.start()
        await stores.revocations.stop()
        assert not stores.revocations.fresh()

    async def test_only_what_no_token_can_meet_any_more_is_pruned(self, stores: Stores) -> None:
        ada = await user(stores)
        for number in (1, 2, 3):
            session = await opened(stores, ada, number, access_expires_at=NOW + number * ACCESS)
            await stores.sessions.close(session.id, None, NOW)
        assert await stores.revocations.prune(NOW + ACCESS) == 0
        assert await stores.revocations.prune(NOW + ACCESS + LEEWAY) == 1
        assert await stores.revocations.ask(opaque.identifier((2).to_bytes(16)), 0)

    async def test_published_and_retired_keys_are_told_by_the_feed(self, stores: Stores) -> None:
        await published(stores, 1)
        changes: list[Change] = []
        stores.revocations.watch(changes.append)
        await stores.revocations.start()
        await stores.revocations.stop()
        assert changes in ([], [KeysChanged()])


class ImportsContract:
    """`flows.importing.Imports`, beside `ports.Users` on the same store."""

    async def test_many_are_made_as_they_are_said(self, stores: Stores) -> None:
        many = [named(f"user{n}") for n in range(RACERS)]
        many.append(named("gone", username=None, password_hash=None, scopes=frozenset(), disabled_at=NOW + SECOND))
        assert await stores.imports.add_many(many) == [()] * len(many)
        for new in many:
            found = await stores.users.get(new.id)
            assert found is not None
            assert found == Credentials(
                User(new.id, new.email, new.username, new.scopes, new.created_at, new.disabled_at, 0), new.password_hash
            )

    async def test_what_is_in_the_way_is_said_and_changes_nothing(self, stores: Stores) -> None:
        ada, bob = await user(stores, username="ada"), await user(stores, "bob", username="bob")
        same_email = named("eve", email="ADA@example.com")
        same_name = named("eve", username="ＡＤＡ")
        same_id = named("eve", id=bob.id)
        both = named("eve", email=bob.email, username="ada")
        asked = [same_email, named("carol"), same_name, same_id, both, named("ada")]
        for verb in (stores.imports.in_the_way, stores.imports.add_many):
            ways = [set(way) for way in await verb(asked)]
            assert ways == [{ada}, set(), {ada}, {bob}, {ada, bob}, {ada}]
        assert [one.username for one in await stores.users.page("", 9)] == ["ada", "bob", "carol"]
        found = await stores.users.find("ada")
        assert found is not None
        assert found.password_hash == "hash-ada"

    async def test_a_username_that_nobody_has_is_in_nobody_s_way(self, stores: Stores) -> None:
        await user(stores, username=None)
        (alone, met) = await stores.imports.in_the_way([named("bob", username=None), named(username=None)])
        assert alone == ()
        assert [one.email for one in met] == ["ada@example.com"]

    async def test_looking_makes_nobody(self, stores: Stores) -> None:
        assert await stores.imports.in_the_way([named(), named("bob")]) == [(), ()]
        assert await stores.users.page("", 9) == []

    async def test_nothing_asked_is_nothing_answered(self, stores: Stores) -> None:
        assert await stores.imports.in_the_way([]) == []
        assert await stores.imports.add_many([]) == []

    async def test_of_two_that_can_not_both_be_exactly_one_is_made(self, stores: Stores) -> None:
        for name, rest in (("id", {"id": "one"}), ("email", {"email": "one@example.com"}), ("username", {})):
            twins = [named(f"{name}{n}", **{"username": f"u{name}", **rest}) for n in (1, 2)]
            ways = await stores.imports.add_many(twins)
            assert sorted(len(way) for way in ways) == [0, 1]
            (standing,) = ways[0] or ways[1]
            made = twins[ways.index(())]
            assert (standing.id, standing.email) == (made.id, made.email)

    async def test_of_many_who_import_the_same_exactly_one_makes_each(self, stores: Stores) -> None:
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
        assert {one.id for one in await stores.users.page("", 99)} == {new.id for new in made}


def named(name: str = "ada", **changes: Any) -> NewUser:
    """An account to add that has a username."""
    return new_user(name, **{"username": name, **changes})


async def _twice(stores: Stores, one: Account) -> None:
    await stores.users.set_disabled(one.id, True, NOW)
    await stores.users.set_disabled(one.id, False, NOW)
