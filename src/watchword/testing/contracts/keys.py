"""The contract of `ports.Keys`."""

import asyncio
from dataclasses import replace

from watchword.ports import (
    Turn,
)
from watchword.testing.contracts.grounds import (
    CHECK,
    NOW,
    RACERS,
    SECOND,
    Stores,
    a_key,
    opened,
    published,
    turn,
    user,
)


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
