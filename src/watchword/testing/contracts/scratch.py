"""The contract of `ports.Scratch`."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from watchword.core.policy import LEEWAY
from watchword.ports import Hit, Limit
from watchword.testing.contracts.grounds import NOW, RACERS, SECOND, ScratchStores

MINUTE = timedelta(minutes=1)
NARROW = Limit("narrow", 3, MINUTE)
WIDE = Limit("wide", 5, MINUTE)


class ScratchContract:
    """`ports.Scratch`."""

    async def test_as_many_hits_as_the_limit_says_and_the_next_has_to_wait(self, stores: ScratchStores) -> None:
        hit = stores.scratch.hit
        counted = Hit(counted=(NARROW,))
        assert [await hit([NARROW], NOW) for _ in range(3)] == [counted, counted, replace(counted, last=True)]
        assert await hit([NARROW], NOW) == Hit(wait=MINUTE / 3)

    async def test_hits_come_back_one_by_one(self, stores: ScratchStores) -> None:
        hit = stores.scratch.hit
        for _ in range(3):
            await hit([NARROW], NOW)
        assert await hit([NARROW], NOW + 19 * SECOND) == Hit(wait=SECOND)
        assert (await hit([NARROW], NOW + 20 * SECOND)).last
        assert await hit([NARROW], NOW + 20 * SECOND) == Hit(wait=20 * SECOND)
        assert [(await hit([NARROW], NOW + 20 * SECOND + MINUTE)).wait for _ in range(4)] == [
            None,
            None,
            None,
            20 * SECOND,
        ]

    async def test_a_refused_hit_makes_nobody_wait_longer(self, stores: ScratchStores) -> None:
        for _ in range(20):
            await stores.scratch.hit([NARROW], NOW)
        assert (await stores.scratch.hit([NARROW], NOW + 20 * SECOND)).wait is None

    async def test_a_clock_that_was_turned_back_locks_nobody_out(self, stores: ScratchStores) -> None:
        for _ in range(3):
            await stores.scratch.hit([NARROW], NOW + timedelta(hours=1))
        assert [(await stores.scratch.hit([NARROW], NOW)).wait for _ in range(2)] == [None, MINUTE / 3]

    async def test_clocks_that_differ_within_the_leeway_give_nothing_back(self, stores: ScratchStores) -> None:
        for _ in range(3):
            await stores.scratch.hit([NARROW], NOW + LEEWAY)
        assert (await stores.scratch.hit([NARROW], NOW)).wait == MINUTE / 3 + LEEWAY

    async def test_what_one_limit_refuses_no_other_counts(self, stores: ScratchStores) -> None:
        for _ in range(20):
            await stores.scratch.hit([NARROW, WIDE], NOW)
        assert [(await stores.scratch.hit([WIDE], NOW)).wait for _ in range(3)] == [None, None, MINUTE / 5]

    async def test_the_longest_wait_is_told(self, stores: ScratchStores) -> None:
        for _ in range(3):
            await stores.scratch.hit([NARROW], NOW)
        for _ in range(5):
            await stores.scratch.hit([WIDE], NOW)
        assert await stores.scratch.hit([WIDE, NARROW], NOW) == Hit(wait=MINUTE / 3)

    async def test_a_limit_refuses_nothing_while_its_exception_is_remembered(self, stores: ScratchStores) -> None:
        spared = Limit("narrow", 3, MINUTE, unless="friend")
        for _ in range(3):
            await stores.scratch.hit([NARROW], NOW)
        assert (await stores.scratch.hit([spared], NOW)).wait is not None
        await stores.scratch.take_back([], remember="friend", until=NOW + MINUTE)
        assert await stores.scratch.hit([spared, WIDE], NOW) == Hit(counted=(WIDE,))
        assert await stores.scratch.hit([spared], NOW) == Hit()
        assert (await stores.scratch.hit([NARROW], NOW)).wait == MINUTE / 3, "and it fills up no further"

    async def test_what_is_remembered_is_forgotten_in_time(self, stores: ScratchStores) -> None:
        day = Limit("day", 1, timedelta(days=1), unless="friend")
        await stores.scratch.hit([day], NOW)
        await stores.scratch.take_back([], remember="friend", until=NOW + MINUTE)
        assert (await stores.scratch.hit([day], NOW + MINUTE)).wait is not None

    async def test_a_hit_that_is_taken_back_leaves_the_others_counted(self, stores: ScratchStores) -> None:
        for _ in range(3):
            await stores.scratch.hit([NARROW, WIDE], NOW)
        await stores.scratch.take_back([NARROW, WIDE])
        assert [(await stores.scratch.hit([NARROW], NOW)).wait for _ in range(2)] == [None, MINUTE / 3]
        assert [(await stores.scratch.hit([WIDE], NOW)).wait for _ in range(4)] == [None, None, None, MINUTE / 5]

    async def test_of_parallel_hits_exactly_the_limit_is_counted(self, stores: ScratchStores) -> None:
        answers = await asyncio.gather(*(stores.scratch.hit([NARROW, WIDE], NOW) for _ in range(RACERS)))
        assert sum(answer.wait is None for answer in answers) == 3
        assert sum(answer.last for answer in answers) == 1

    async def test_counting_and_taking_back_at_once_wait_for_nobody_in_a_circle(self, stores: ScratchStores) -> None:
        limits = [Limit(name, RACERS, MINUTE) for name in ("zebra", "ant", "moth")]

        async def came_and_went() -> None:
            await stores.scratch.hit(limits, NOW)
            await stores.scratch.take_back(limits, remember="friend", until=NOW + MINUTE)

        await asyncio.gather(*(came_and_went() for _ in range(RACERS)))
        answers = [(await stores.scratch.hit(limits, NOW)).last for _ in range(RACERS)]
        assert answers == [False] * (RACERS - 1) + [True]

    async def test_a_limit_that_does_not_divide_its_period_still_has_room_for_all(self, stores: ScratchStores) -> None:
        seven = Limit("seven", 7, timedelta(minutes=15))
        assert [(await stores.scratch.hit([seven], NOW)).wait is None for _ in range(8)] == [True] * 7 + [False]

    async def test_what_was_kept_is_used_once(self, stores: ScratchStores) -> None:
        await stores.scratch.keep("reset", "key", "value", NOW + MINUTE)
        assert await stores.scratch.consume("reset", "key", NOW) == "value"
        assert await stores.scratch.consume("reset", "key", NOW) is None

    async def test_looking_at_what_was_kept_does_not_use_it(self, stores: ScratchStores) -> None:
        await stores.scratch.keep("reset", "key", "value", NOW + MINUTE)
        assert [await stores.scratch.peek("reset", "key", NOW) for _ in range(2)] == ["value", "value"]
        assert await stores.scratch.peek("reset", "other", NOW) is None
        assert await stores.scratch.peek("verify", "key", NOW) is None
        assert await stores.scratch.peek("reset", "key", NOW + MINUTE) is None
        assert await stores.scratch.consume("reset", "key", NOW) == "value"
        assert await stores.scratch.peek("reset", "key", NOW) is None

    async def test_of_parallel_users_exactly_one_gets_it(self, stores: ScratchStores) -> None:
        await stores.scratch.keep("reset", "key", "value", NOW + MINUTE)
        got = await asyncio.gather(*(stores.scratch.consume("reset", "key", NOW) for _ in range(RACERS)))
        assert sorted(got, key=str) == [None] * (RACERS - 1) + ["value"]

    async def test_neither_another_purpose_nor_another_key_nor_a_latecomer_gets_it(self, stores: ScratchStores) -> None:
        await stores.scratch.keep("reset", "key", "value", NOW + MINUTE)
        assert await stores.scratch.consume("verify", "key", NOW) is None
        assert await stores.scratch.consume("reset", "other", NOW) is None
        assert await stores.scratch.consume("reset", "key", NOW + MINUTE) is None
        assert await stores.scratch.consume("reset", "key", NOW + MINUTE - SECOND) == "value"

    async def test_a_key_that_is_kept_again_has_only_the_new_value(self, stores: ScratchStores) -> None:
        await stores.scratch.keep("code", "key", "old", NOW + MINUTE)
        await stores.scratch.keep("code", "key", "new", NOW + 2 * MINUTE)
        assert await stores.scratch.consume("code", "key", NOW + MINUTE) == "new"
        assert await stores.scratch.consume("code", "key", NOW) is None

    async def test_only_what_means_nothing_any_more_is_pruned(self, stores: ScratchStores) -> None:
        await stores.scratch.hit([NARROW], NOW)
        await stores.scratch.hit([WIDE], NOW + MINUTE)
        await stores.scratch.keep("reset", "old", "value", NOW)
        await stores.scratch.keep("reset", "new", "value", NOW + MINUTE)
        assert await stores.scratch.prune(NOW + 20 * SECOND, 100) == 2
        assert await stores.scratch.prune(NOW + 20 * SECOND, 100) == 0
        assert await stores.scratch.consume("reset", "new", NOW) == "value"
        assert [(await stores.scratch.hit([WIDE], NOW + MINUTE)).wait is None for _ in range(5)] == [True] * 4 + [False]
