"""The audit log as people ask for it, on both databases: whole or not, from where, and what is kept."""

import ast
import dataclasses
import itertools
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.flows.conftest import Worker
from tests.house import ADA, PASSWORD

from watchword.core import events
from watchword.core.audit import BEGINNING, Batch, Link, Row, Tail, chained
from watchword.core.errors import InsufficientScope, InvalidInput, StepUpRequired
from watchword.core.events import LoggedIn, Registered, UserDeleted
from watchword.core.models import Client, Principal
from watchword.flows import accounts, audit, audit_verification, signing_keys, upkeep
from watchword.flows.kit import Kit
from watchword.stores.sql import audit as stored
from watchword.stores.sql.audit import SqlAudit
from watchword.testing import FrozenClock

HERE = Client("a browser", "203.0.113.7")
FLOWS = Path(accounts.__file__).parent
DAY = timedelta(days=1)
ANCIENT = "2001-01-01 00:00:00.000000+00:00"


async def filled(kit: Kit, count: int, *, client: Client = HERE) -> list[Row]:
    """So many events more, sealed."""
    for number in range(count):
        kit.recorder.note(LoggedIn(f"user-{number % 3}", f"session-{number}"), client)
    await kit.recorder.drain()
    return list(await kit.audit.rows(0, 10_000))


async def execute(kit: Kit, statement: str, **values: Any) -> None:
    assert isinstance(kit.audit, SqlAudit)
    async with kit.audit._db.write() as connection:
        await connection.execute(text(statement), values)


def who(user_id: str, *scopes: str) -> Principal:
    return Principal(user_id, "s", frozenset(scopes), frozenset(), 1, {})


class TestVerification:
    async def test_a_log_that_nobody_touched_is_whole(self, kit: Kit) -> None:
        rows = await filled(kit, 20)
        told: list[tuple[int, int]] = []
        found = await audit_verification.verify(kit, told=lambda *one: told.append(one))
        assert (found.count, found.rows, found.first, found.last, found.unsealed) == (0, 21, 1, 21, 0)
        assert found.head == Link(21, rows[-1].hash)
        assert found.signed_at == kit.clock.now()
        assert told[-1] == (21, 21)

    async def test_it_reads_page_by_page(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit, "PAGE", 4)
        await filled(kit, 20)
        told: list[int] = []
        assert not (await audit_verification.verify(kit, told=lambda rows, _: told.append(rows))).count
        assert told == [4, 8, 12, 16, 20, 21]

    async def test_an_empty_log_is_whole(self, kit: Kit) -> None:
        await execute(kit, "DELETE FROM watchword_audit")
        found = await audit_verification.verify(kit)
        assert (found.count, found.rows, found.last, found.head) == (0, 0, 0, None)

    @pytest.mark.parametrize(
        ("statement", "fault"),
        [
            ("UPDATE watchword_audit SET kind = 'LoginFailed' WHERE position = 7", (7, "changed")),
            ("UPDATE watchword_audit SET user_id = 'mallory' WHERE position = 7", (7, "changed")),
            ("""UPDATE watchword_audit SET personal = '{"ip":"::1"}' WHERE position = 7""", (7, "changed")),
            ("UPDATE watchword_audit SET personal = NULL, salt = NULL WHERE position = 7", (7, "erased")),
            ("DELETE FROM watchword_audit WHERE position = 7", (7, "removed")),
            ("DELETE FROM watchword_audit WHERE position > 7", (8, "removed")),
            ("DELETE FROM watchword_audit WHERE position < 3", (1, "removed")),
            ("UPDATE watchword_audit SET position = NULL WHERE position = 7", (7, "removed")),
            ("DELETE FROM watchword_audit_checkpoints", (21, "unproved")),
            ("UPDATE watchword_audit_checkpoints SET kid = 'mine'", (21, "bad checkpoint")),
        ],
    )
    async def test_whoever_writes_to_the_database_is_found(
        self, kit: Kit, statement: str, fault: tuple[int, str]
    ) -> None:
        """LS-03: the attacker has the database, and takes one event away that tells of him, or makes another of it."""
        await filled(kit, 20)
        await execute(kit, statement)
        found = await audit_verification.verify(kit)
        assert (found.faults[0].position, found.faults[0].kind) == fault

    async def test_two_rows_that_changed_places_are_told_to_have(self, kit: Kit) -> None:
        """LS-03: he was signed out before the theft, and not after it."""
        await filled(kit, 20)
        for old, new in ((5, 1005), (9, 5), (1005, 9)):
            await execute(kit, "UPDATE watchword_audit SET position = :new WHERE position = :old", old=old, new=new)
        found = await audit_verification.verify(kit)
        assert (found.faults[0].position, found.faults[0].kind) == (5, "re-ordered")

    async def test_what_stands_behind_a_position_can_be_read_alone(self, kit: Kit) -> None:
        rows = await filled(kit, 20)
        await execute(kit, "UPDATE watchword_audit SET kind = 'X' WHERE position = 7")
        found = await audit_verification.verify(kit, since=7)
        assert (found.count, found.rows, found.first) == (0, 14, 8)
        assert (await audit_verification.verify(kit, since=6)).count
        assert (await audit_verification.verify(kit, since=0)).count
        assert not (await audit_verification.verify(kit, since=21)).rows
        with pytest.raises(InvalidInput, match="behind the end"):
            await audit_verification.verify(kit, since=22)
        noted = Link(20, rows[19].hash)
        assert not (await audit_verification.verify(kit, since=7, noted=noted)).count
        assert (await audit_verification.verify(kit, since=7, noted=Link(20, bytes(32)))).count

    async def test_an_end_that_is_cut_off_is_noticed_by_a_worker_that_runs(
        self, kit: Kit, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """LS-03: the attacker removes what tells of him, and all behind it, up to a checkpoint that was kept: a good one."""
        for _ in range(3):
            await filled(kit, 4)
            clock.tick(600)
        await execute(kit, "DELETE FROM watchword_audit WHERE position > 9")
        await execute(kit, "DELETE FROM watchword_audit_checkpoints WHERE position > 9")
        assert not (await audit_verification.verify(kit)).count, "nothing that is left tells"
        rows = await filled(kit, 1)
        assert [one.position for one in rows[-2:]] == [9, 14]
        assert "ends before where it did" in caplog.text
        found = await audit_verification.verify(kit)
        assert [one[:2] for one in found.faults] == [(10, "removed"), (13, "unproved")]
        assert not (await audit_verification.verify(kit, since=13)).count
        await filled(kit, 1)
        assert caplog.text.count("ends before where it did") == 1

    async def test_an_end_that_another_worker_has_gone_on_from_is_noticed_too(
        self, worker: Worker, clock: FrozenClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """LS-03: the attacker cuts the end off while one worker sleeps and another has just started."""
        one = await worker()
        await filled(one, 4)
        clock.tick(600)
        await filled(one, 4)
        await execute(one, "DELETE FROM watchword_audit WHERE position > 5")
        await execute(one, "DELETE FROM watchword_audit_checkpoints WHERE position > 5")
        await filled(await worker(), 6)
        assert not (await audit_verification.verify(one)).count
        await upkeep.run(one)
        await filled(one, 1)
        assert "ends before where it did" in caplog.text
        assert "unproved" in {fault.kind for fault in (await audit_verification.verify(one)).faults}

    async def test_workers_that_are_ahead_of_each_other_accuse_nobody(self, worker: Worker, clock: FrozenClock) -> None:
        one, other = await worker(), await worker()
        for _ in range(3):
            await filled(one, 2)
            await filled(other, 3)
            clock.tick(400)
        clock.tick(366 * DAY)
        await upkeep.run(other)
        await filled(one, 1)
        assert not (await audit_verification.verify(one)).count

    async def test_upkeep_tells_the_log_of_the_process_where_the_chain_ends(
        self, kit: Kit, caplog: pytest.LogCaptureFixture
    ) -> None:
        """LS-03: an end that is cut off while no worker runs is found by a head that is kept elsewhere."""
        caplog.set_level(logging.INFO)
        rows = await filled(kit, 4)
        await upkeep.run(kit)
        assert f"head 5:{rows[-1].hash.hex()}" in caplog.text

    async def test_a_checkpoint_in_between_is_read_too(self, kit: Kit, clock: FrozenClock) -> None:
        for _ in range(3):
            await filled(kit, 3)
            clock.tick(3600)
        found = await audit_verification.verify(kit)
        assert (found.count, found.checkpoints) == (0, 3)
        await execute(kit, "UPDATE watchword_audit_checkpoints SET signed = 'x' WHERE position = 4")
        found = await audit_verification.verify(kit)
        assert [(one.position, one.kind) for one in found.faults] == [(4, "bad checkpoint")]

    async def test_a_key_that_was_made_meanwhile_is_looked_up(self, worker: Worker, clock: FrozenClock) -> None:
        one, other = await worker(), await worker()
        clock.tick(120)
        await signing_keys.publish(other, at_once=True)
        await filled(other, 1)
        one.keyring.stale = False
        assert not (await audit_verification.verify(one)).count

    async def test_where_retention_comes_between_it_reads_again(self, kit: Kit, clock: FrozenClock) -> None:
        """The rows that it wanted to read are gone, and nobody has changed anything."""
        await filled(kit, 5)
        clock.tick(400 * DAY)
        await filled(kit, 5)
        extent = kit.audit.extent
        asked = itertools.count()

        class Between:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            async def extent(self) -> Any:
                found = await extent()
                if next(asked) == 0:
                    await upkeep.run(kit)
                return found

        real = kit.audit
        between = Between()
        found = await audit_verification.verify(dataclasses.replace(kit, audit=between))
        assert (found.count, found.first) == (0, 7)


class TestRetention:
    async def test_what_is_old_goes_and_the_rest_stays_whole(self, kit: Kit, clock: FrozenClock) -> None:
        await filled(kit, 12)
        clock.tick(364 * DAY)
        await filled(kit, 3)
        assert (await upkeep.run(kit)).events == 0
        clock.tick(2 * DAY)
        assert (await upkeep.run(kit)).events == 13
        found = await audit_verification.verify(kit)
        assert (found.count, found.first) == (0, 14)
        assert [one.position for one in await kit.audit.rows(0, 100)][:3] == [14, 15, 16]
        await execute(kit, "DELETE FROM watchword_audit WHERE position = 14")
        assert (await audit_verification.verify(kit)).faults[0][:2] == (14, "removed")

    async def test_for_ever_is_for_ever(self, worker: Worker, clock: FrozenClock) -> None:
        kit = await worker(audit_days=0)
        await filled(kit, 3)
        clock.tick(4000 * DAY)
        assert (await upkeep.run(kit)).events == 0

    async def test_when_all_is_old_the_chain_goes_on(self, kit: Kit, clock: FrozenClock) -> None:
        await filled(kit, 3)
        clock.tick(366 * DAY)
        assert await audit.keep(kit, clock.now()) == (4, False)
        await upkeep.run(kit)
        await filled(kit, 2)
        found = await audit_verification.verify(kit)
        assert (found.count, found.first) == (0, 5)

    async def test_where_the_newest_checkpoint_is_no_good_nothing_goes(self, kit: Kit, clock: FrozenClock) -> None:
        """LS-03: nobody gets rows removed by a checkpoint of his own."""
        await filled(kit, 3)

        def forging(tail: Tail, _rows: Sequence[Row]) -> Batch:
            assert tail.newest is not None
            return Batch((), tail.newest._replace(signed="x"), tail.newest.position)

        await kit.audit.seal(forging, 1)
        clock.tick(366 * DAY)
        before = len(await kit.audit.rows(0, 100))
        assert await audit.keep(kit, clock.now()) == (0, False)
        assert len(await kit.audit.rows(0, 100)) == before
        await execute(kit, "DELETE FROM watchword_audit_checkpoints")
        await execute(kit, "DELETE FROM watchword_audit")
        assert await audit.keep(kit, clock.now()) == (0, False)

    @pytest.mark.parametrize("count", [12, 20, 21])
    async def test_a_row_with_another_time_is_not_taken_for_old(
        self, kit: Kit, caplog: pytest.LogCaptureFixture, count: int
    ) -> None:
        """LS-03: the attacker gives all rows up to the one that tells of him a time of long ago. Upkeep would sign that the
        chain begins behind them, and remove them for him."""
        await filled(kit, 20)
        await execute(kit, f"UPDATE watchword_audit SET at = '{ANCIENT}' WHERE position <= :count", count=count)
        assert (await upkeep.run(kit)).events == 0
        assert len(await kit.audit.rows(0, 100)) == 21
        assert (await audit_verification.verify(kit)).faults[0][:2] == (1, "changed")
        assert "changed behind position 0, and is kept from there" in caplog.text

    async def test_an_old_row_behind_changed_ones_does_not_take_them_along(self, kit: Kit) -> None:
        """LS-03: the attacker adds an event of long ago, which is sealed as any other, and gives those before it old times."""
        await filled(kit, 9)
        await execute(kit, f"INSERT INTO watchword_audit (at, kind, facts) VALUES ('{ANCIENT}', 'LoggedIn', '{{}}')")
        await filled(kit, 1)
        await execute(kit, f"UPDATE watchword_audit SET at = '{ANCIENT}' WHERE position < 11")
        assert (await upkeep.run(kit)).events == 0
        assert len(await kit.audit.rows(0, 100)) == 12

    async def test_hashes_that_are_made_anew_too_stay_found(self, kit: Kit) -> None:
        """LS-03: the attacker chains the rows with the old times anew, up to the last, whose hash is signed. He might as well
        have removed them: it is found."""
        rows = await filled(kit, 9)
        last = BEGINNING.hash
        for one in rows[:-1]:
            changed = one._replace(at=datetime(2001, 1, 1, tzinfo=UTC))
            last = chained(last, changed)
            new = {"hash": last, "position": one.position}
            await execute(
                kit, f"UPDATE watchword_audit SET at = '{ANCIENT}', hash = :hash WHERE position = :position", **new
            )
        for _ in range(2):
            await upkeep.run(kit)
            await filled(kit, 1)
            assert (10, "changed") in [one[:2] for one in (await audit_verification.verify(kit)).faults]

    async def test_what_stands_before_a_break_is_kept_until_what_follows_is_old(
        self, kit: Kit, clock: FrozenClock
    ) -> None:
        """LS-03: the attacker takes the checkpoints away. The chain begins anew, and behind an event of long ago that he has
        added; upkeep would remove all that stands before it."""
        await filled(kit, 9)
        await execute(kit, "DELETE FROM watchword_audit_checkpoints")
        await execute(kit, f"INSERT INTO watchword_audit (at, kind, facts) VALUES ('{ANCIENT}', 'LoggedIn', '{{}}')")
        assert await kit.recorder.seal() == Batch(broken=True)
        await filled(kit, 1)
        for _ in range(2):
            assert (await upkeep.run(kit)).events == 0
            assert "unproved" in {one.kind for one in (await audit_verification.verify(kit)).faults}
        assert [one.position for one in await kit.audit.rows(0, 100)] == list(range(1, 13))
        clock.tick(366 * DAY)
        assert (await upkeep.run(kit)).events == 12
        await filled(kit, 1)
        assert not (await audit_verification.verify(kit)).count

    async def test_a_clock_that_was_ahead_does_not_hold_up_what_is_old(self, kit: Kit, clock: FrozenClock) -> None:
        await filled(kit, 3)
        clock.tick(20 * 365 * DAY)
        await filled(kit, 1)
        clock.tick(-20 * 365 * DAY)
        await filled(kit, 3)
        clock.tick(400 * DAY)
        await filled(kit, 2)
        assert (await upkeep.run(kit)).events == 8
        found = await audit_verification.verify(kit)
        assert (found.count, found.first) == (0, 9)

    async def test_one_round_reads_so_much_and_the_next_goes_on(
        self, kit: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who has kept all for years, and keeps a year's now, has millions of old rows. Requests come between."""
        rests: list[float] = []

        async def rest(seconds: float) -> None:
            rests.append(seconds)

        monkeypatch.setattr(audit, "rest", rest)
        monkeypatch.setattr(audit, "PAGE", 3)
        monkeypatch.setattr(audit, "OLD_PAGES", 2)
        await filled(kit, 13)
        clock.tick(366 * DAY)
        for count, left in ((6, True), (6, True), (2, False), (0, False)):
            done = await upkeep.run(kit)
            assert (done.events, done.left) == (count, left)
        assert rests == [audit.REST_SECONDS] * 2
        assert not (await audit_verification.verify(kit)).count

    async def test_where_nothing_is_found_to_go_upkeep_does_not_come_again_at_once(
        self, kit: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Many rows from a clock that was ahead, and none that is old: it would read them again and again."""
        monkeypatch.setattr(audit, "PAGE", 2)
        monkeypatch.setattr(audit, "OLD_PAGES", 1)
        await filled(kit, 1)
        clock.tick(20 * 365 * DAY)
        await filled(kit, 4)
        clock.tick(-20 * 365 * DAY + 400 * DAY)
        assert await audit.keep(kit, clock.now()) == (2, True)
        assert await audit.keep(kit, clock.now()) == (2, False)

    async def test_the_newest_checkpoint_outlives_its_key(self, kit: Kit, clock: FrozenClock) -> None:
        """Keys are forgotten; the one that signs now stands for those before it, though nothing happens for months."""
        await filled(kit, 3)
        for _ in range(8):
            clock.tick(15 * DAY)
            await upkeep.run(kit)
        assert len(await kit.keyring.records()) < 4
        assert not (await audit_verification.verify(kit)).count

    async def test_what_comes_after_a_deletion_is_erased_too(self, kit: Kit, clock: FrozenClock) -> None:
        """Another worker had a guess of theirs in its hands."""
        kit.recorder.note(UserDeleted("u"))
        await kit.recorder.drain()
        kit.recorder.note(LoggedIn("u", "s"), HERE)
        kit.recorder.note(UserDeleted(None))
        await kit.recorder.drain()
        assert (await kit.audit.page(before=None, limit=10, user_id="u"))[0].personal is not None
        await upkeep.run(kit)
        assert (await kit.audit.page(before=None, limit=10, user_id="u"))[0].erased
        found = await audit_verification.verify(kit)
        assert (found.count, found.erased) == (0, 1)
        clock.tick(2 * DAY)
        kit.recorder.note(LoggedIn("u", "s"), HERE)
        await kit.recorder.drain()
        await upkeep.run(kit)
        assert not (await kit.audit.page(before=None, limit=1, user_id="u"))[0].erased

    async def test_where_nothing_came_after_a_deletion_nothing_is_written(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A transaction for each account that was deleted today, in each round of each worker, holds up those who log in."""
        for number in range(30):
            kit.recorder.note(UserDeleted(f"u{number}"))
        await kit.recorder.drain()
        kit.recorder.note(LoggedIn("u29", "s"), HERE)
        await kit.recorder.drain()
        monkeypatch.setattr(stored, "DELETIONS", 7)
        await upkeep.run(kit)
        assert (await kit.audit.page(before=None, limit=10, user_id="u29"))[0].erased
        assert isinstance(kit.audit, SqlAudit)

        def write() -> None:
            raise AssertionError("written")

        monkeypatch.setattr(kit.audit._db, "write", write)
        assert await audit.forget_late(kit, kit.clock.now(), 10) == 0

    async def test_an_erased_row_whose_deletion_is_too_old_to_be_there_is_no_fault(
        self, kit: Kit, clock: FrozenClock
    ) -> None:
        kit.recorder.note(UserDeleted("u"))
        await kit.recorder.drain()
        clock.tick(60)
        kit.recorder.note(LoggedIn("u", "s"), HERE)
        await kit.recorder.drain()
        await upkeep.run(kit)
        clock.tick(365 * DAY - timedelta(seconds=30))
        await upkeep.run(kit)
        found = await audit_verification.verify(kit)
        assert (found.count, found.first, found.erased) == (0, 3, 1)


class TestReading:
    async def test_everybody_reads_their_own_and_administrators_all(self, kit: Kit) -> None:
        """LS-03: another one's addresses are nobody's business."""
        await filled(kit, 9)

        async def seen(asking: Principal, user_id: str | None = None) -> set[str | None]:
            rows = await audit.listed(kit, asking, before=None, limit=50, user_id=user_id, kind=None)
            return {one.user_id for one in rows}

        assert await seen(who("user-1")) == {"user-1"}
        assert await seen(who("user-1"), "user-1") == {"user-1"}
        with pytest.raises(InsufficientScope):
            await seen(who("user-1", "admin"), "user-2")
        assert await seen(who("root", "watchword:admin")) == {None, "user-0", "user-1", "user-2"}
        assert await seen(who("root", "watchword:admin"), "user-2") == {"user-2"}

    async def test_one_s_own_are_a_person_s_to_read(self, kit: Kit) -> None:
        """LG-07: the thief of an API key without any scope would read where its owner signs in from, and with what."""
        await filled(kit, 9)
        key = dataclasses.replace(who("user-1", "read"), auth_time=0)
        for user_id in (None, "user-1", "user-2"):
            with pytest.raises(StepUpRequired):
                await audit.listed(kit, key, before=None, limit=50, user_id=user_id, kind=None)
        admin = dataclasses.replace(who("user-1", "watchword:admin"), auth_time=0)
        assert len(await audit.listed(kit, admin, before=None, limit=50, user_id="user-2", kind=None)) == 3

    async def test_an_export_is_of_its_time(self, kit: Kit, clock: FrozenClock) -> None:
        first = clock.now()
        for _ in range(3):
            await filled(kit, 2)
            clock.tick(DAY)
        assert len([one async for one in audit.export(kit)]) == 7
        found = [one.position async for one in audit.export(kit, first + DAY, first + 2 * DAY)]
        assert found == [4, 5]

    async def test_the_tail_follows(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        await filled(kit, 5)
        assert [one.position async for one in audit.tail(kit, 2)] == [5, 6]
        assert [one async for one in audit.tail(kit, 0)] == []

        async def rest(_: float) -> None:
            await filled(kit, 1)

        monkeypatch.setattr(audit, "rest", rest)
        seen = []
        following = audit.tail(kit, 1, follow=True)
        async for one in following:
            seen.append(one.position)
            if len(seen) == 3:
                break
        await following.aclose()  # type: ignore[attr-defined]
        assert seen == [6, 7, 8]


CHANGING = {
    "users": {"add", "set_password", "set_scopes", "set_disabled", "remove"},
    "accounts": {"alter", "remove_due"},
    "sessions": {"open", "close", "close_all", "turn", "prove_anew"},
    "keys": {"add", "retire", "reseal", "abandon"},
}
SILENT = {
    "password._rehash": "the password is the same",
    "session._still_proven": "that session was never handed out",
    "password.replace": "whoever calls it says what it was",
    "recover._take_away_from_host": "disown says it",
}


def _acts(module: str) -> dict[str, bool]:
    """The functions of a flow that change something by a port, each with whether the same file tells of it."""
    tree = ast.parse((FLOWS / f"{module}.py").read_text())
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}
    calls = {
        name: {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
        for name, function in functions.items()
    }

    def tells(name: str, seen: frozenset[str] = frozenset()) -> bool:
        return any(called.endswith(".announce") for called in calls[name]) or any(
            tells(other, seen | {name}) for other in calls[name] & functions.keys() - seen - {name}
        )

    def changes(function: ast.AST) -> bool:
        return any(
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Attribute)
            and node.attr in CHANGING.get(node.value.attr, ())
            for node in ast.walk(function)
        )

    return {f"{module}.{name}": tells(name) for name, function in functions.items() if changes(function)}


def test_no_act_is_silent() -> None:
    """LS-03: a flow that changes an account, a session or a key, and announces nothing, leaves no row."""
    acts = {name: told for path in FLOWS.glob("*.py") for name, told in _acts(path.stem).items()}
    assert {"accounts.disable", "session.close_all", "password.replace", "signing_keys.retire"} <= acts.keys()
    assert {name for name, told in acts.items() if not told} == set(SILENT)


async def test_every_event_there_is_becomes_a_row(kit: Kit) -> None:
    """LS-03: the list of events is the list of what the log may hold; whoever adds one has it written."""
    for kind in events.Event.__subclasses__():
        if kind.__module__ == events.__name__:
            values = {field.name: "x" for field in dataclasses.fields(kind)}
            kit.recorder.note(kind(**values))
    await kit.recorder.drain()
    kinds = {one.kind for one in await kit.audit.rows(0, 100)}
    named = {kind.__name__ for kind in events.Event.__subclasses__() if kind.__module__ == events.__name__}
    assert named <= kinds
    assert Registered.__name__ in named


async def test_an_operator_s_acts_are_in_the_log(kit: Kit) -> None:
    user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
    await accounts.grant(kit, user.id, ["read"])
    await accounts.disable(kit, user.id)
    await kit.recorder.drain()
    rows = await kit.audit.page(before=None, limit=10, user_id=user.id)
    assert [one.kind for one in rows] == ["UserDisabled", "ScopesChanged", "Registered"]
