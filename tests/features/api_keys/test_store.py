"""The verbs of both stores, with their races, on a real SQLite and a real PostgreSQL; also on a schema that is ahead."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from tests.ahead import bring_ahead

from watchword.core import opaque, revoked
from watchword.core.policy import LEEWAY, REMEMBERED
from watchword.features.api_keys import store
from watchword.features.api_keys.rules import MOST, ApiKey, Owner, ServiceAccount
from watchword.features.api_keys.store import KEPT, Made, Rotated, SqlApiKeys, SqlServiceAccounts
from watchword.ports import Added
from watchword.stores.sql.engine import Database
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.tables import api_keys, feed
from watchword.stores.sql.users import SqlUsers
from watchword.testing.contracts import R, a_session, new_user

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
RACERS = 16
FEW = 5
ADA = "id-ada"


class Stores:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.keys = SqlApiKeys(db)
        self.accounts = SqlServiceAccounts(db)
        self.users = SqlUsers(db)
        self.sessions = SqlSessions(db)

    async def told(self) -> list[tuple[str, int, float]]:
        """The feed, without what is told of signing keys."""
        async with self.db.read() as connection:
            columns = select(feed.c.session_id, feed.c.generation, feed.c.expires_at)
            rows = await connection.execute(columns.order_by(feed.c.position))
            return [(row.session_id, row.generation, row.expires_at) for row in rows]


@pytest.fixture(params=["of today", "of the next version"])
async def stores(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Stores]:
    db = Database(database_url)
    db.settle(here=True)
    if request.param != "of today":
        async with db.write() as connection:
            await connection.run_sync(bring_ahead)
    yield Stores(db)
    await db.close()


def a_key(number: int = 1, owner_id: str = ADA, **changes: Any) -> ApiKey:
    base = ApiKey(
        id=opaque.identifier(number.to_bytes(16)),
        owner_id=owner_id,
        owner=Owner.USER,
        name=f"key {number}",
        shown=f"wwk_{number:08}",
        scopes=frozenset({"read"}),
        limit=None,
        created_at=NOW,
    )
    return replace(base, **changes)


def digest(number: int) -> bytes:
    return number.to_bytes(32)


async def added(stores: Stores, number: int = 1, owner_id: str = ADA, **changes: Any) -> ApiKey:
    key = a_key(number, owner_id, **changes)
    assert await stores.keys.add(key, digest(number)) is Made.MADE
    return key


async def an_account(stores: Stores, number: int = 900) -> ServiceAccount:
    account = ServiceAccount(opaque.identifier(number.to_bytes(16)), "ci", frozenset({"read"}), NOW)
    await stores.accounts.add(account)
    return account


async def test_a_key_is_found_by_its_digest_as_it_was_made(stores: Stores) -> None:
    key = await added(stores, limit=7, expires_at=NOW + DAY, scopes=frozenset({"b", "a"}))
    found = await stores.keys.find(digest(1))
    assert found is not None
    assert found == (key, None)
    assert await stores.keys.find(digest(2)) is None
    assert await stores.keys.get(key.id) == key
    assert await stores.keys.get("nobody") is None


async def test_a_service_account_s_key_comes_with_it(stores: Stores) -> None:
    account = await an_account(stores)
    key = await added(stores, owner_id=account.id, owner=Owner.SERVICE_ACCOUNT)
    assert await stores.keys.find(digest(1)) == (key, account)


async def test_a_user_of_the_same_id_is_no_service_account(stores: Stores) -> None:
    """A host's ids may be anything. The key says whose it is."""
    account = await an_account(stores)
    await added(stores, owner_id=account.id)
    found = await stores.keys.find(digest(1))
    assert found is not None
    assert found.account is None


async def test_what_happens_to_one_s_keys_leaves_those_of_the_other_with_the_same_id(stores: Stores) -> None:
    """A host's ids may be anything, and so a user's may be a service account's."""
    account = await an_account(stores)
    assert await stores.users.add(replace(new_user("ada"), id=account.id)) is Added.ADDED
    hers, theirs = Owner.USER, Owner.SERVICE_ACCOUNT
    for number, owner in ((1, hers), (2, theirs), (3, hers), (4, theirs)):
        await added(stores, number, account.id, owner=owner)

    async def listed(owner: Owner) -> set[str]:
        return {one.name for one in await stores.keys.of_owner(owner, account.id, NOW)}

    assert (await listed(hers), await listed(theirs)) == ({"key 1", "key 3"}, {"key 2", "key 4"})
    assert await stores.keys.revoke(a_key(2).id, hers, account.id, NOW) == ()
    for before, owner in ((2, hers), (1, theirs)):
        successor = a_key(10, account.id, owner=owner)
        answer = await stores.keys.rotate(successor, digest(10), a_key(before).id, NOW + DAY)
        assert answer is Made.NO_PREDECESSOR
    ended = await stores.keys.revoke_all(hers, account.id, NOW)
    assert {one.session_id for one in ended} == {a_key(1).id, a_key(3).id}
    assert await listed(theirs) == {"key 2", "key 4"}
    await added(stores, 5, account.id)
    assert await stores.users.remove(account.id, NOW) == ()
    assert (await listed(hers), await listed(theirs)) == (set(), {"key 2", "key 4"})
    await added(stores, 6, account.id)
    disabled = await stores.accounts.disable(account.id, NOW)
    assert disabled is not None
    assert {one.session_id for one in disabled} == {a_key(2).id, a_key(4).id}
    assert await listed(hers) == {"key 6"}


async def test_live_keys_are_listed_the_newest_first(stores: Stores) -> None:
    for number in (1, 2, 3):
        await added(stores, number, created_at=NOW + number * SECOND)
    await added(stores, 4, expires_at=NOW + DAY)
    await added(stores, 5, owner_id="id-bob")
    assert len(await stores.keys.revoke(a_key(2).id, Owner.USER, ADA, NOW)) == 1
    listed = await stores.keys.of_owner(Owner.USER, ADA, NOW + DAY)
    assert [one.name for one in listed] == ["key 3", "key 1"]


async def test_of_many_at_once_as_many_are_made_as_there_is_room_for(stores: Stores) -> None:
    for number in range(MOST - 3):
        await added(stores, number)
    answers = await asyncio.gather(*(stores.keys.add(a_key(100 + n), digest(100 + n)) for n in range(RACERS)))
    assert (answers.count(Made.MADE), answers.count(Made.TOO_MANY)) == (3, RACERS - 3)
    assert await stores.keys.add(a_key(200, "id-bob"), digest(200)) is Made.MADE
    await stores.keys.revoke(a_key(0).id, Owner.USER, ADA, NOW)
    assert await stores.keys.add(a_key(201), digest(201)) is Made.MADE


async def test_of_many_rotations_of_one_key_exactly_one_succeeds(stores: Stores) -> None:
    key = await added(stores)
    answers = await asyncio.gather(
        *(stores.keys.rotate(a_key(10 + n), digest(10 + n), key.id, NOW + DAY) for n in range(RACERS))
    )
    (done,) = [one for one in answers if isinstance(one, Rotated)]
    assert answers.count(Made.NO_PREDECESSOR) == RACERS - 1
    assert done.before.expires_at == NOW + DAY
    live = await stores.keys.of_owner(Owner.USER, ADA, NOW)
    assert len(live) == 2
    successor = next(one for one in live if one.id != key.id)
    assert done.before.rotated_to == successor.id
    assert [one.id for one in await stores.keys.of_owner(Owner.USER, ADA, NOW + DAY)] == [successor.id]


async def test_an_overlap_makes_no_life_longer(stores: Stores) -> None:
    key = await added(stores, expires_at=NOW + SECOND)
    done = await stores.keys.rotate(a_key(2), digest(2), key.id, NOW + DAY)
    assert isinstance(done, Rotated)
    assert done.before.expires_at == NOW + SECOND


async def test_only_a_live_key_of_the_same_owner_is_rotated(stores: Stores) -> None:
    gone = await added(stores, 1)
    over = await added(stores, 2, expires_at=NOW + SECOND)
    await added(stores, 3, owner_id="id-bob")
    await stores.keys.revoke(gone.id, Owner.USER, ADA, NOW)
    late = NOW + SECOND
    for number in (1, 2, 3, 4):
        successor = a_key(10 + number, created_at=late)
        answer = await stores.keys.rotate(successor, digest(10 + number), a_key(number).id, late + DAY)
        assert answer is Made.NO_PREDECESSOR
    assert await stores.keys.of_owner(Owner.USER, ADA, late) == []
    assert over.id


async def test_rotating_again_ends_the_one_before_the_last(stores: Stores) -> None:
    """Else whoever rotates in a loop has any number of live keys."""
    first = await added(stores, 1)
    assert isinstance(await stores.keys.rotate(a_key(2), digest(2), first.id, NOW + DAY), Rotated)
    done = await stores.keys.rotate(a_key(3), digest(3), a_key(2).id, NOW + DAY)
    assert isinstance(done, Rotated)
    assert [one.session_id for one in done.revoked] == [first.id]
    assert {one.id for one in await stores.keys.of_owner(Owner.USER, ADA, NOW)} == {a_key(2).id, a_key(3).id}


async def test_rotated_keys_take_nobody_s_room(stores: Stores) -> None:
    for number in range(MOST):
        await added(stores, number)
    assert isinstance(await stores.keys.rotate(a_key(100), digest(100), a_key(0).id, NOW + DAY), Rotated)
    assert await stores.keys.add(a_key(101), digest(101)) is Made.TOO_MANY


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner has FEW keys at most."""
    monkeypatch.setattr(store, "MOST", FEW)
    monkeypatch.setattr(store, "MOST_WITH_OVERLAPS", 2 * FEW)


async def test_however_keys_are_rotated_and_ended_there_are_so_many_and_no_more(stores: Stores, few: None) -> None:
    """RL-08: the attacker rotates all keys, ends their successors, which leaves the first ones alive, and begins anew."""
    for number in range(FEW):
        await added(stores, number)
        rotated = await stores.keys.rotate(a_key(100 + number), digest(100 + number), a_key(number).id, NOW + DAY)
        assert isinstance(rotated, Rotated)
    for number in range(FEW):
        await stores.keys.revoke(a_key(100 + number).id, Owner.USER, ADA, NOW)
    for number in range(FEW):
        await added(stores, 200 + number)
    last = a_key(200).id
    assert len(await stores.keys.of_owner(Owner.USER, ADA, NOW)) == 2 * FEW
    assert await stores.keys.rotate(a_key(300), digest(300), last, NOW + DAY) is Made.TOO_MANY
    assert isinstance(await stores.keys.rotate(a_key(300), digest(300), last, NOW), Rotated)
    assert len(await stores.keys.of_owner(Owner.USER, ADA, NOW)) == 2 * FEW
    await stores.keys.revoke(a_key(300).id, Owner.USER, ADA, NOW)
    answers = await asyncio.gather(
        *(stores.keys.rotate(a_key(400 + n), digest(400 + n), a_key(200 + n).id, NOW + DAY) for n in range(1, FEW)),
        stores.keys.add(a_key(500), digest(500)),
    )
    assert answers.count(Made.TOO_MANY) == FEW - 1
    assert len(await stores.keys.of_owner(Owner.USER, ADA, NOW)) == 2 * FEW


async def test_all_keys_that_an_owner_may_have_can_be_rotated_twice(stores: Stores, few: None) -> None:
    for number in range(FEW):
        await added(stores, number)
    for generation in (0, 100):
        for number in range(generation, generation + FEW):
            successor = a_key(100 + number)
            rotated = await stores.keys.rotate(successor, digest(100 + number), a_key(number).id, NOW + DAY)
            assert isinstance(rotated, Rotated)
    assert len(await stores.keys.of_owner(Owner.USER, ADA, NOW)) == 2 * FEW


async def test_of_many_revocations_exactly_one_succeeds_and_is_told(stores: Stores) -> None:
    key = await added(stores)
    assert await stores.keys.revoke(key.id, Owner.USER, "id-bob", NOW) == ()
    answers = await asyncio.gather(*(stores.keys.revoke(key.id, Owner.USER, ADA, NOW) for _ in range(RACERS)))
    assert sum(len(one) for one in answers) == 1
    until = (NOW + REMEMBERED + LEEWAY).timestamp()
    assert await stores.told() == [(key.id, opaque.MAX_GENERATION, until)]


async def test_a_rotation_beside_a_revocation_leaves_no_live_predecessor(stores: Stores) -> None:
    for number in range(1, 9):
        key = await added(stores, number)
        successor = a_key(100 + number)
        await asyncio.gather(
            stores.keys.rotate(successor, digest(100 + number), key.id, NOW + DAY),
            stores.keys.revoke(key.id, Owner.USER, ADA, NOW),
        )
        assert key.id not in {one.id for one in await stores.keys.of_owner(Owner.USER, ADA, NOW)}


async def test_a_disabled_service_account_has_no_keys_however_they_race(stores: Stores) -> None:
    for round_ in range(6):
        account = await an_account(stores, 900 + round_)
        theirs: dict[str, Any] = {"owner_id": account.id, "owner": Owner.SERVICE_ACCOUNT}
        first = await added(stores, round_ * 100, **theirs)
        numbers = [round_ * 100 + n for n in range(1, 6)]
        successor = a_key(round_ * 100 + 50, **theirs)
        answers = await asyncio.gather(
            *(stores.keys.add(a_key(number, **theirs), digest(number)) for number in numbers),
            stores.keys.rotate(successor, digest(round_ * 100 + 50), first.id, NOW + DAY),
            *(stores.accounts.disable(account.id, NOW) for _ in range(3)),
        )
        assert sum(one is not None for one in answers[-3:]) == 1
        assert await stores.keys.of_owner(Owner.SERVICE_ACCOUNT, account.id, NOW) == []
        assert await stores.keys.add(a_key(800 + round_, **theirs), digest(800 + round_)) is Made.NO_OWNER
    assert await stores.accounts.all() == []


async def disowned(stores: Stores) -> int:
    """All sessions end, and then all keys; how many those were."""
    await stores.sessions.close_all(ADA, NOW)
    return len(await stores.keys.revoke_all(Owner.USER, ADA, NOW))


async def test_whoever_was_signed_out_has_no_key_made_however_they_race(stores: Stores) -> None:
    """RV-04: the thief makes and rotates keys while the owner says that it was not them: all sessions end, and then all keys.
    What comes before that is ended, and what comes after is not made."""
    await stores.users.add(new_user("ada"))
    ada = await stores.users.get(ADA)
    assert ada is not None
    for round_ in range(6):
        await stores.sessions.open(a_session(ada.user, 700 + round_), R)
        session = a_session(ada.user, 700 + round_).id
        first = await added(stores, round_ * 100)
        numbers = [round_ * 100 + n for n in range(1, 6)]
        successor = a_key(round_ * 100 + 50)

        *answers, ended = await asyncio.gather(
            *(stores.keys.add(a_key(number), digest(number), session) for number in numbers),
            stores.keys.rotate(successor, digest(round_ * 100 + 50), first.id, NOW + DAY, session),
            disowned(stores),
        )
        assert await stores.keys.of_owner(Owner.USER, ADA, NOW) == []
        made = [answer for answer in answers if answer is not Made.SIGNED_OUT]
        assert ended == 1 + len(made)
        late = a_key(round_ * 100 + 60)
        assert await stores.keys.add(late, digest(round_ * 100 + 60), session) is Made.SIGNED_OUT
        other = await added(stores, round_ * 100 + 70)
        rotated = await stores.keys.rotate(late, digest(round_ * 100 + 60), other.id, NOW + DAY, session)
        assert rotated is Made.SIGNED_OUT
        assert await stores.keys.revoke_all(Owner.USER, "id-bob", NOW) == ()
        assert len(await stores.keys.revoke_all(Owner.USER, ADA, NOW)) == 1


async def test_a_session_that_nobody_has_makes_no_key(stores: Stores) -> None:
    assert await stores.keys.add(a_key(), digest(1), "a" * 26) is Made.SIGNED_OUT


async def test_service_accounts_are_listed_by_their_names(stores: Stores) -> None:
    for number, name in enumerate(("b", "a", "c")):
        account = ServiceAccount(opaque.identifier(number.to_bytes(16)), name, frozenset(), NOW)
        await stores.accounts.add(account)
    assert await stores.accounts.disable(opaque.identifier((2).to_bytes(16)), NOW) == ()
    assert [one.name for one in await stores.accounts.all()] == ["a", "b"]
    found = await stores.accounts.get(opaque.identifier((2).to_bytes(16)))
    assert found is not None
    assert found.disabled_at == NOW
    assert await stores.accounts.get("nobody") is None
    assert await stores.accounts.disable("nobody", NOW) is None


async def test_a_use_is_noted_once_in_a_minute(stores: Stores) -> None:
    key, other = await added(stores, 1), await added(stores, 2)
    for after, noted in ((0, 0), (59, 0), (60, 60), (30, 60), (150, 150)):
        at = NOW + after * SECOND
        await stores.keys.note({key.id: at, "nobody": at})
        found = await stores.keys.get(key.id)
        assert found is not None
        assert found.last_used_at == NOW + noted * SECOND
    assert await stores.keys.get(other.id) == other


async def test_what_has_ended_long_ago_is_pruned_and_nothing_else(stores: Stores) -> None:
    await added(stores, 1)
    await added(stores, 2, expires_at=NOW + DAY)
    await added(stores, 3)
    await stores.keys.revoke(a_key(3).id, Owner.USER, ADA, NOW)
    assert await stores.keys.prune(NOW + KEPT - SECOND, 10) == 0
    assert await stores.keys.prune(NOW + KEPT, 10) == 1
    assert await stores.keys.prune(NOW + KEPT + DAY, 10) == 1
    assert [one is None for number in (1, 2, 3) for one in [await stores.keys.get(a_key(number).id)]] == [
        False, True, True,
    ]  # fmt: skip


class TestWhatTheFeedIsTold:
    async def test_each_change_of_an_owner_s_rights_is_told_with_a_higher_generation(self, stores: Stores) -> None:
        """A worker tells on only what is new to it, and a clock may have been set back."""
        assert await stores.users.add(new_user("ada")) is not None
        await added(stores)
        await stores.users.set_scopes(ADA, frozenset(), NOW)
        await stores.users.set_disabled(ADA, True, NOW)
        await stores.users.set_disabled(ADA, False, NOW - DAY)
        told = await stores.told()
        milliseconds = int(NOW.timestamp() * 1000)
        assert [one[:2] for one in told] == [(revoked.of_owner(ADA), milliseconds + n) for n in range(3)]
        assert told[0][2] == (NOW + REMEMBERED + LEEWAY).timestamp()

    async def test_a_rotation_is_told_since_others_remember_a_later_end(self, stores: Stores) -> None:
        await added(stores)
        await stores.keys.rotate(a_key(2), digest(2), a_key(1).id, NOW + DAY)
        assert [one[0] for one in await stores.told()] == [revoked.of_owner(ADA)]

    async def test_nothing_is_told_of_an_owner_without_keys(self, stores: Stores) -> None:
        assert await stores.users.add(new_user("ada")) is not None
        await stores.users.set_disabled(ADA, True, NOW)
        assert await stores.told() == []

    async def test_a_deleted_user_s_keys_go_too(self, stores: Stores) -> None:
        assert await stores.users.add(new_user("ada")) is not None
        await added(stores)
        assert await stores.users.remove(ADA, NOW) == ()
        assert [one[0] for one in await stores.told()] == [revoked.of_owner(ADA)]
        async with stores.db.read() as connection:
            assert (await connection.execute(select(api_keys))).all() == []
