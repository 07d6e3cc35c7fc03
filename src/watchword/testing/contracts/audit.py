"""The contract of `ports.Audit`."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

from watchword.core.audit import BEGINNING, Batch, Checkpoint, Link, Row, Tail, chained
from watchword.core.errors import Unavailable
from watchword.testing.contracts.grounds import NOW, RACERS, SECOND, AuditStores

HOUR = timedelta(hours=1)


def a_row(number: int = 1, user_id: str | None = "u", kind: str = "LoggedIn", after: timedelta = 0 * SECOND) -> Row:
    """An event that is about to be written."""
    facts = f'{{"session_id":"s{number}"}}'
    return Row(NOW + after, kind, user_id, facts, '{"ip":"203.0.113.7"}', bytes(32), bytes([number % 256]) * 32)


def in_order(tail: Tail, rows: Sequence[Row]) -> Batch:
    """Places as core/audit gives them, and a checkpoint that replaces the one before. A store doesn't look at signatures."""
    last = tail.last or (Link(tail.newest.position, tail.newest.hash) if tail.newest else BEGINNING)
    placed = []
    for one in rows:
        last = Link(last.position + 1, chained(last.hash, one))
        placed.append(one._replace(position=last.position, hash=last.hash))
    if not placed:
        return Batch()
    return Batch(placed, Checkpoint(*last, NOW, "kid", "signed"), tail.newest.position if tail.newest else None)


class AuditContract:
    """`ports.Audit`."""

    async def test_what_is_appended_comes_back_as_it_was(self, stores: AuditStores) -> None:
        given = [a_row(), a_row(2, None, "LoginFailed")._replace(personal=None, salt=None, personal_hash=None)]
        await stores.audit.append(given)
        await stores.audit.append([])
        found = await stores.audit.page(before=None, limit=10)
        assert [one._replace(number=0) for one in found] == given[::-1]
        assert found[1].number < found[0].number
        assert await stores.audit.rows(0, 10) == [], "nothing of it is sealed yet"
        assert (await stores.audit.extent())[:3] == (0, 0, 2)

    async def test_many_rows_come_in_their_order(self, stores: AuditStores) -> None:
        await stores.audit.append([a_row(number) for number in range(150)])
        await stores.audit.seal(in_order, 1000)
        found = await stores.audit.rows(0, 1000)
        assert [one.facts for one in found] == [a_row(number).facts for number in range(150)]

    async def test_sealing_gives_places_in_the_order_of_numbers(self, stores: AuditStores) -> None:
        await stores.audit.append([a_row(number) for number in range(5)])
        assert len((await stores.audit.seal(in_order, 3) or Batch()).rows) == 3
        assert len((await stores.audit.seal(in_order, 3) or Batch()).rows) == 2
        assert await stores.audit.seal(in_order, 3) == Batch()
        found = await stores.audit.rows(0, 10)
        assert [one.position for one in found] == [1, 2, 3, 4, 5]
        assert [one.number for one in found] == sorted(one.number for one in found)
        last = BEGINNING.hash
        for one in found:
            assert one.hash == chained(last, one)
            last = one.hash
        first, end, unsealed, newest = await stores.audit.extent()
        assert (first, end, unsealed) == (1, 5, 0)
        assert newest == Checkpoint(5, found[-1].hash, NOW, "kid", "signed")
        assert await stores.audit.checkpoints(0, 5) == [newest], "the one before was replaced"
        assert await stores.audit.checkpoints(5, 9) == []
        assert [one.position for one in await stores.audit.rows(2, 2)] == [3, 4]

    async def test_what_the_chain_is_told_is_where_it_ends(self, stores: AuditStores) -> None:
        seen: list[Tail] = []

        def looking(tail: Tail, rows: Sequence[Row]) -> Batch:
            seen.append(tail)
            return in_order(tail, rows)

        await stores.audit.append([a_row(number) for number in range(4)])
        for known in (None, None, 2, 5):
            await stores.audit.seal(looking, 10, known)
        rows = await stores.audit.rows(0, 10)
        last = Link(4, rows[3].hash)
        there = Tail(last, Checkpoint(*last, NOW, "kid", "signed"))
        assert seen == [Tail(), there, there._replace(known=rows[1].hash), there]

    async def test_a_seal_that_fails_has_done_nothing(self, stores: AuditStores) -> None:
        def failing(_tail: Tail, _rows: Sequence[Row]) -> Batch:
            raise Unavailable("no key can sign")

        await stores.audit.append([a_row()])
        with contextlib.suppress(Unavailable):
            await stores.audit.seal(failing, 10)
        assert (await stores.audit.extent())[:3] == (0, 0, 1)

    async def test_of_many_sealers_at_once_each_row_is_sealed_by_one(self, stores: AuditStores) -> None:
        """No position is given twice or left out, while others append."""

        async def write(number: int) -> None:
            await stores.audit.append([a_row(number), a_row(number + 1)])

        async def seal() -> None:
            await stores.audit.seal(in_order, 7)

        await asyncio.gather(*(work for number in range(RACERS) for work in (write(number), seal())))
        while (batch := await stores.audit.seal(in_order, 50)) is None or batch.rows:
            pass
        found = await stores.audit.rows(0, 1000)
        assert [one.position for one in found] == list(range(1, 2 * RACERS + 1))
        assert len({one.number for one in found}) == 2 * RACERS
        last = BEGINNING.hash
        for one in found:
            assert one.hash == chained(last, one)
            last = one.hash

    async def test_pages_are_the_newest_first_and_narrowed(self, stores: AuditStores) -> None:
        await stores.audit.append(
            [a_row(number, user, kind) for number in range(3) for user in ("u", "v", None) for kind in ("A", "B")]
        )
        everything = await stores.audit.page(before=None, limit=100)
        assert len(everything) == 18
        numbers = [one.number for one in everything]
        assert numbers == sorted(numbers, reverse=True)
        first = await stores.audit.page(before=None, limit=2, user_id="u")
        behind = await stores.audit.page(before=first[-1].number, limit=100, user_id="u")
        assert [*first, *behind] == [one for one in everything if one.user_id == "u"]
        kinds = await stores.audit.page(before=None, limit=100, user_id="v", kind="B")
        assert kinds == [one for one in everything if (one.user_id, one.kind) == ("v", "B")]

    async def test_forgetting_erases_what_is_personal_of_one_user(self, stores: AuditStores) -> None:
        await stores.audit.append([a_row(1), a_row(2, "v"), a_row(3)])
        await stores.audit.seal(in_order, 2)
        before = await stores.audit.page(before=None, limit=10)
        assert await stores.audit.forget("u") == 2
        assert await stores.audit.forget("u") == 0
        after = await stores.audit.page(before=None, limit=10)
        assert after == [one._replace(personal=None, salt=None) if one.user_id == "u" else one for one in before]

    async def test_what_came_after_a_deletion_is_erased_in_batches(self, stores: AuditStores) -> None:
        await stores.audit.append([a_row(1, "old"), a_row(2, "old", "UserDeleted"), a_row(3, "u", after=HOUR)])
        await stores.audit.append(
            [a_row(4, whose, "UserDeleted", HOUR)._replace(personal=None, salt=None) for whose in ("u", None)]
        )
        await stores.audit.append([a_row(5, "u", after=HOUR), a_row(6, "v"), a_row(7, None), a_row(8, "u")])
        before = await stores.audit.page(before=None, limit=10)
        assert await stores.audit.forget(NOW + SECOND, 2) == 2
        assert await stores.audit.forget(NOW + SECOND, 2) == 1
        assert await stores.audit.forget(NOW + SECOND, 2) == 0
        after = await stores.audit.page(before=None, limit=10)
        assert after == [one._replace(personal=None, salt=None) if one.user_id == "u" else one for one in before]
        assert await stores.audit.forget(NOW, 9) == 2

    async def test_pruning_takes_the_first_rows_and_what_was_signed_before(self, stores: AuditStores) -> None:
        def keeping(tail: Tail, rows: Sequence[Row]) -> Batch:
            return in_order(tail, rows)._replace(replaces=None)

        await stores.audit.append([a_row(number) for number in range(6)])
        for _ in range(3):
            await stores.audit.seal(keeping, 2)
        await stores.audit.append([a_row()])
        assert [one.position for one in await stores.audit.checkpoints(0, 6)] == [2, 4, 6]
        assert await stores.audit.prune(4, 3) == 3
        assert [one.position for one in await stores.audit.rows(0, 10)] == [4, 5, 6]
        assert await stores.audit.prune(4, 3) == 1
        assert await stores.audit.prune(4, 3) == 0
        assert [one.position for one in await stores.audit.checkpoints(0, 6)] == [4, 6]
        assert (await stores.audit.extent())[:3] == (5, 6, 1)
