"""The chain of the audit log: whatever is done to what is written, verification finds it."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.core import audit, audit_verification, jose, keys
from watchword.core.audit import BEGINNING, Checkpoint, Extent, Link, Row, Tail
from watchword.core.audit_verification import Verification
from watchword.core.errors import InvalidToken, Unavailable, UnknownKey
from watchword.core.events import KeyPublished, LoggedIn, LoginFailed, SessionsEnded, UserDeleted
from watchword.core.keys import KeyRecord, KeyRing
from watchword.core.models import NOWHERE, Client
from watchword.core.policy import LEEWAY
from watchword.testing import seeded_entropy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HERE = Client("a browser", "203.0.113.7")
ENTROPY = seeded_entropy("audit")


def a_ring(*kids: str, alg: str = "Ed25519", retired: dict[str, datetime] | None = None) -> KeyRing:
    """Keys of which the last one signs."""
    made = {kid: SECRETS.setdefault((kid, alg), jose.generate(alg, kid, ENTROPY(32))) for kid in kids}
    records = [
        KeyRecord(number, kid, alg, b"", NOW, NOW - timedelta(days=1), (retired or {}).get(kid))
        for number, kid in enumerate(kids)
    ]
    return keys.ring(records, made, ())


SECRETS: dict[tuple[str, str], jose.SigningKey] = {}
RING = a_ring("one")


@dataclass
class Log:
    """What is stored, as lists."""

    rows: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)

    def note(self, *rows: Row) -> None:
        for one in rows:
            self.waiting.append(one._replace(number=len(self.rows) + len(self.waiting) + 1))

    def seal(
        self, ring: KeyRing = RING, now: datetime = NOW, old: Link | None = None, seen: Link | None = None
    ) -> audit.Batch:
        last = Link(self.rows[-1].position, self.rows[-1].hash) if self.rows else None
        known = [one.hash for one in self.rows if seen is not None and one.position == seen.position]
        tail = Tail(last, self.newest, known[0] if known else None)
        batch = audit.seal(tail, tuple(self.waiting), ring, now, old=old, seen=seen)
        self.waiting.clear()
        self.rows += batch.rows
        if batch.replaces is not None:
            del self.checkpoints[batch.replaces]
        if batch.checkpoint is not None:
            assert batch.checkpoint.position not in self.checkpoints
            self.checkpoints[batch.checkpoint.position] = batch.checkpoint
        return batch

    @property
    def newest(self) -> Checkpoint | None:
        return self.checkpoints[max(self.checkpoints)] if self.checkpoints else None

    @property
    def extent(self) -> Extent:
        ends = (self.rows[0].position, self.rows[-1].position) if self.rows else (0, 0)
        return Extent(*ends, len(self.waiting), self.newest)

    def verified(
        self, ring: KeyRing = RING, since: int | None = None, noted: Link | None = None, now: datetime = NOW
    ) -> Verification:
        there = [one.hash for one in self.rows if one.position == since]
        start = None if since is None else Link(since, there[0] if there else b"")
        checking = audit_verification.opened(self.extent, audit.keys(ring, now), start, noted)
        after, until = checking.start.position, checking.until
        for position, checkpoint in sorted(self.checkpoints.items()):
            if after < position < until:
                checking.hold(checkpoint)
        rows = [one for one in sorted(self.rows, key=lambda one: one.position) if after < one.position <= until]
        for one in rows:
            checking.take(one)
        for one in rows:
            checking.trace(one)
        checking.close()
        return checking

    def rehash(self) -> None:
        """What whoever can write to the database does to hide a change: every hash anew."""
        last = BEGINNING.hash
        for place, one in enumerate(self.rows):
            last = audit.chained(last, one)
            self.rows[place] = one._replace(hash=last)


def a_row(number: int = 1, client: Client = HERE, at: datetime = NOW) -> Row:
    return audit.row(LoggedIn(f"user-{number % 3}", f"session-{number}"), client, at, ENTROPY)


def a_log(batches: Sequence[int], ring: KeyRing = RING, every: timedelta = 4 * timedelta(minutes=1)) -> Log:
    log, numbers = Log(), itertools.count(1)
    for place, size in enumerate(batches):
        log.note(*(a_row(next(numbers)) for _ in range(size)))
        log.seal(ring, NOW + place * every)
    return log


LOGS = st.lists(st.integers(1, 6), min_size=1, max_size=8).map(a_log)
LATER = NOW + timedelta(hours=1)

CHANGES: dict[str, Callable[[Row], Row]] = {
    "at": lambda one: one._replace(at=one.at + timedelta(microseconds=1)),
    "kind": lambda one: one._replace(kind="LoginFailed"),
    "user_id": lambda one: one._replace(user_id="somebody else"),
    "no user_id": lambda one: one._replace(user_id=None),
    "facts": lambda one: one._replace(facts='{"session_id":"another"}'),
    "personal": lambda one: one._replace(personal='{"ip":"198.51.100.1"}'),
    "salt": lambda one: one._replace(salt=bytes(32)),
    "no salt": lambda one: one._replace(salt=None),
    "personal_hash": lambda one: one._replace(personal_hash=bytes(32)),
    "no personal_hash": lambda one: one._replace(personal_hash=None),
    "personal and its hash": lambda one: one._replace(
        personal="{}", salt=bytes(32), personal_hash=audit.blinded(bytes(32), "{}")
    ),
    "number": lambda one: one._replace(number=one.number + 1000),
}


class TestWhoCanWriteToTheDatabase:
    """LS-03: the attacker has the database, and not the signing keys. He wants one event of the past to be another."""

    @given(LOGS)
    def test_who_changes_nothing_is_not_accused(self, log: Log) -> None:
        checking = log.verified()
        assert (checking.faults, checking.rows, checking.last) == ([], len(log.rows), len(log.rows))
        assert [one.position for one in log.rows] == list(range(1, len(log.rows) + 1))

    @given(LOGS, st.data())
    @settings(max_examples=300)
    def test_any_changed_column_is_found_at_its_position(self, log: Log, data: st.DataObject) -> None:
        """LS-03: a guess becomes somebody else's, a login another day's."""
        place = data.draw(st.integers(0, len(log.rows) - 1))
        log.rows[place] = CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))](log.rows[place])
        checking = log.verified()
        assert checking.faults[0].position == place + 1
        assert checking.faults[0].kind == "changed"

    @given(LOGS, st.data())
    def test_any_changed_row_is_found_when_all_hashes_are_made_anew(self, log: Log, data: st.DataObject) -> None:
        """LS-03: the attacker knows how rows are chained."""
        place = data.draw(st.integers(0, len(log.rows) - 1))
        log.rows[place] = CHANGES["kind"](log.rows[place])
        log.rehash()
        found = log.verified().faults[0]
        assert found.kind == "bad checkpoint"
        assert found.position >= place + 1

    @given(LOGS, st.data())
    def test_any_hash_that_is_replaced_is_found(self, log: Log, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(log.rows) - 1))
        log.rows[place] = log.rows[place]._replace(hash=data.draw(st.binary(min_size=32, max_size=32)))
        assert log.verified().faults[0].position == place + 1

    @given(LOGS, st.data())
    def test_any_removed_row_is_found_at_its_position(self, log: Log, data: st.DataObject) -> None:
        """LS-03: the one event that tells of him is gone."""
        first = data.draw(st.integers(0, len(log.rows) - 1))
        last = data.draw(st.integers(first, len(log.rows) - 1))
        del log.rows[first : last + 1]
        found = log.verified().faults[0]
        assert (found.position, found.kind) == (first + 1, "removed")

    @given(LOGS, st.data())
    def test_any_removed_row_is_found_when_the_others_close_up(self, log: Log, data: st.DataObject) -> None:
        """LS-03: positions are not gaps to look for, if he gives them anew."""
        place = data.draw(st.integers(0, len(log.rows) - 1))
        del log.rows[place]
        log.rows = [one._replace(position=number) for number, one in enumerate(log.rows, 1)]
        assert log.verified().faults[0].position <= place + 1
        log.rehash()
        assert log.verified().count

    @given(LOGS.filter(lambda log: len(log.rows) > 1), st.data())
    def test_any_two_rows_that_change_places_are_found(self, log: Log, data: st.DataObject) -> None:
        """LS-03: he was signed out before the theft, and not after it."""
        places = st.integers(0, len(log.rows) - 1)
        one, other = sorted(data.draw(st.tuples(places, places).filter(lambda two: two[0] != two[1])))
        first, second = log.rows[one], log.rows[other]
        log.rows[one] = second._replace(position=first.position)
        log.rows[other] = first._replace(position=second.position)
        found = log.verified().faults[0]
        assert (found.position, found.kind) == (one + 1, "re-ordered")

    @given(LOGS, st.data())
    def test_any_row_that_is_put_in_between_is_found(self, log: Log, data: st.DataObject) -> None:
        """LS-03: an event that never was."""
        place = data.draw(st.integers(0, len(log.rows)))
        log.rows.insert(place, a_row(99)._replace(number=99, hash=data.draw(st.binary(min_size=32, max_size=32))))
        log.rows = [one._replace(position=number) for number, one in enumerate(log.rows, 1)]
        assert log.verified().count
        log.rehash()
        assert log.verified().count

    @given(LOGS, st.data())
    def test_the_end_can_t_be_cut_off_with_its_checkpoints_replaced(self, log: Log, data: st.DataObject) -> None:
        """LS-03: his last steps are removed, and a checkpoint of a key of his own stands over the rest."""
        keep = data.draw(st.integers(0, len(log.rows) - 1))
        del log.rows[keep:]
        log.checkpoints = {at: one for at, one in log.checkpoints.items() if at <= keep}
        head = Link(keep, log.rows[-1].hash if keep else BEGINNING.hash)
        thief = a_ring("thief").private["thief"]
        forged = audit.sign(thief, audit.Claims(head, BEGINNING, "begun", NOW))
        for one in (forged, forged._replace(kid="one")):
            log.checkpoints[keep] = one
            assert log.verified().count

    @given(LOGS, st.data())
    def test_a_changed_past_is_not_signed_anew_by_what_is_sealed_later(self, log: Log, data: st.DataObject) -> None:
        """LS-03: he makes every hash anew and waits until the next event has a checkpoint made over his past."""
        place = data.draw(st.integers(0, len(log.rows) - 1))
        log.rows[place] = CHANGES["kind"](log.rows[place])
        log.rehash()
        log.note(a_row(100), a_row(101))
        assert log.seal(now=LATER).broken
        log.note(a_row(102))
        assert not log.seal(now=LATER + SECOND).broken, "from there on it is proved"
        checking = log.verified(now=LATER)
        assert "unproved" in {one.kind for one in checking.faults}
        assert log.verified(since=len(log.rows) - 3, now=LATER).faults == [], "behind it nothing is wrong"

    @given(LOGS, st.data())
    def test_the_newest_checkpoint_can_t_be_taken_away(self, log: Log, data: st.DataObject) -> None:
        """LS-03: with it goes what it is that nobody can make anew."""
        position = max(log.checkpoints)
        given_back = data.draw(st.sampled_from(["gone", "another hash", "another time", "another text"]))
        newest = log.checkpoints.pop(position)
        if given_back != "gone":
            log.checkpoints[position] = {
                "another hash": newest._replace(hash=bytes(32)),
                "another time": newest._replace(made_at=LATER),
                "another text": newest._replace(signed=newest.signed[:-4] + "AAAA"),
            }[given_back]
        assert log.verified().count

    def test_an_older_log_in_its_place_is_found_by_a_head_that_was_noted(self) -> None:
        """LS-03: he puts a backup of yesterday in the place of today, with all that was signed then."""
        log = a_log([3, 3])
        noted = Link(6, log.rows[5].hash)
        assert log.verified(noted=noted).faults == []
        older = a_log([3])
        assert older.verified().faults == []
        found = older.verified(noted=noted).faults
        assert [(one.position, one.kind) for one in found] == [(4, "removed")]
        found = a_log([8]).verified(noted=noted).faults
        assert [(one.position, one.kind) for one in found] == [(6, "changed")]

    @given(LOGS, st.data())
    def test_an_end_that_is_cut_off_is_found_by_who_has_seen_it(self, log: Log, data: st.DataObject) -> None:
        """LS-03: the attacker removes his last steps, up to a checkpoint of some minutes ago: a good one, over all that is
        left. A worker that runs has seen more."""
        seen = log.seal().head
        assert seen is not None
        keep = data.draw(st.sampled_from([0, *sorted(log.checkpoints)[:-1]]))
        del log.rows[keep:]
        log.checkpoints = {at: one for at, one in log.checkpoints.items() if at <= keep}
        assert log.verified().faults == [], "nothing in it tells"
        log.note(a_row(100, at=LATER))
        assert log.seal(now=LATER, seen=seen).broken
        assert log.rows[-1].position == seen.position + 1, "no position is given twice"
        faults = [(one.position, one.kind) for one in log.verified(now=LATER).faults]
        assert faults == [(keep + 1, "removed")] * bool(keep) + [(seen.position, "unproved")]
        assert log.verified(since=seen.position, now=LATER).faults == [], "behind it nothing is wrong"
        assert not log.seal(now=LATER, seen=Link(seen.position + 1, log.rows[-1].hash)).broken

    def test_an_end_that_others_have_replaced_is_found_by_who_has_seen_it(self) -> None:
        """LS-03: a worker that has seen less goes on behind the cut, and further than the one that knows better."""
        log = a_log([3, 3, 3])
        seen = Link(5, log.rows[4].hash)
        log.note(a_row(100))
        assert not log.seal(seen=seen).broken, "others may be ahead"
        other = a_log([3, 4])
        other.note(a_row(101))
        assert other.seal(seen=seen).broken
        shorter = a_log([5])
        shorter.note(a_row(102))
        assert shorter.seal(seen=seen).broken, "and another chain that ends there"

    def test_who_remembers_what_is_too_old_by_now_accuses_nobody(self) -> None:
        log = a_log([3, 3])
        seen = Link(4, log.rows[3].hash)
        log.seal(old=seen)
        del log.rows[:4]
        log.note(a_row(100))
        assert not log.seal(seen=seen).broken

    def test_a_head_of_what_is_not_read_is_not_taken_for_the_same(self) -> None:
        """LS-03: the attacker's log begins behind the head that was noted; nothing in it can be compared with that."""
        log = a_log([3, 3])
        rows = log.rows[:]
        log.seal(old=Link(4, rows[3].hash))
        del log.rows[:4]

        def faults(noted: Link, since: int | None = None) -> list[tuple[int, str]]:
            return [(one.position, one.kind) for one in log.verified(noted=noted, since=since).faults]

        assert faults(Link(5, rows[4].hash)) == faults(Link(4, rows[3].hash)) == []
        assert faults(Link(4, bytes(32))) == [(4, "changed")]
        assert faults(Link(3, rows[2].hash)) == faults(Link(3, bytes(32))) == [(3, "unproved")]
        assert faults(Link(5, bytes(32)), since=5) == [(5, "changed")]
        assert faults(Link(4, rows[3].hash), since=4) == [(4, "unproved")], "its row is gone"

    def test_a_checkpoint_is_no_other_token(self) -> None:
        """LS-03: he can have tokens signed for himself; one of them must not pass for a checkpoint."""
        log = a_log([2])
        assert log.newest is not None
        payload = jose.verify(log.newest.signed, audit.keys(RING, NOW)).payload
        for typ in ("at+jwt", "revocations+jwt"):
            forged = log.newest._replace(signed=jose.sign(RING.private["one"], typ, payload))
            with pytest.raises(InvalidToken):
                audit.read(forged, audit.keys(RING, NOW))

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"position": 1, "hash": "", "begins": [0, ""], "because": "else", "made_at": NOW.isoformat()},
            {"position": 1, "hash": "zz", "begins": [0, ""], "because": "begun", "made_at": NOW.isoformat()},
            {"position": 1, "hash": "", "begins": [0], "because": "begun", "made_at": NOW.isoformat()},
            {"position": None, "hash": "", "begins": [0, ""], "because": "begun", "made_at": NOW.isoformat()},
        ],
    )
    def test_what_does_not_read_as_a_checkpoint_is_none(self, said: dict[str, object]) -> None:
        signed = jose.sign(RING.private["one"], audit.TYP, json.dumps(said).encode())
        with pytest.raises(InvalidToken):
            audit.read(Checkpoint(1, b"", NOW, "one", signed), audit.keys(RING, NOW))


class TestKeys:
    def test_a_chain_goes_on_over_a_rotation(self) -> None:
        log = a_log([2], a_ring("one"))
        log.note(a_row())
        both = a_ring("one", "two")
        assert not log.seal(both).broken
        assert log.newest is not None
        assert log.newest.kid == "two"
        assert log.verified(both).faults == []

    def test_the_newest_checkpoint_is_made_anew_with_another_key_though_nothing_happens(self) -> None:
        """Its own key will be forgotten, and nobody could tell then whether all of it was made anew."""
        log = a_log([2], a_ring("one"))
        assert log.seal(a_ring("one")).checkpoint is None
        assert log.seal(a_ring("one", "two")).replaces == 2
        assert log.verified(a_ring("two")).faults == []

    def test_kept_checkpoints_of_forgotten_keys_are_counted_and_no_fault(self) -> None:
        log = a_log([2, 2], a_ring("one"), every=timedelta(hours=1))
        log.note(a_row())
        log.seal(a_ring("one", "two"), LATER + LATER.resolution)
        checking = log.verified(a_ring("two"))
        assert (checking.faults, checking.checkpoints, checking.unknown) == ([], 2, 1)

    def test_what_a_retired_key_has_signed_is_believed_for_a_moment_alone(self) -> None:
        """LS-03: the key was stolen, and its thief has the database too."""
        log = a_log([2], a_ring("one"))
        ring = a_ring("one", "two", retired={"one": NOW})
        log.note(a_row())
        assert log.seal(ring, NOW + LEEWAY).broken
        log = a_log([2], a_ring("one"))
        log.note(a_row())
        assert not log.seal(ring, NOW + LEEWAY - SECOND).broken

    def test_after_a_lost_master_key_what_follows_is_proved(self) -> None:
        log = a_log([2], a_ring("lost"))
        assert [one.kind for one in log.verified(a_ring("new")).faults] == ["unproved"]
        assert log.seal(a_ring("new")) == audit.Batch(broken=True), "nothing to sign yet"
        log.note(a_row())
        assert log.seal(a_ring("new")).broken
        found = log.verified(a_ring("new")).faults
        assert [(one.position, one.kind) for one in found] == [(2, "unproved")]
        assert log.verified(a_ring("new"), since=2).faults == []

    @pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
    def test_every_algorithm_signs_and_a_mac_is_of_a_key_of_its_own(self, alg: str) -> None:
        ring = a_ring("a key", alg=alg)
        log = a_log([2], ring)
        assert log.verified(ring).faults == []
        assert log.newest is not None
        if alg == "HS256":
            with pytest.raises(InvalidToken):
                jose.verify(log.newest.signed, ring.keys)

    def test_where_no_key_can_sign_nothing_is_sealed(self) -> None:
        with pytest.raises(Unavailable):
            audit.seal(Tail(), [a_row()], keys.ring((), {}, ()), NOW)


class TestCheckpoints:
    def test_where_nothing_was_written_none_is_made(self) -> None:
        assert Log().seal() == audit.Batch()
        assert Log().verified().faults == []

    def test_the_last_of_each_spell_is_kept(self) -> None:
        log = a_log([1] * 6)
        assert sorted(log.checkpoints) == [3, 5, 6], "those of minute 8, of minute 16, and the newest"

    def test_a_chain_without_any_is_unproved(self) -> None:
        log = a_log([3])
        log.checkpoints.clear()
        assert [(one.position, one.kind) for one in log.verified().faults] == [(3, "unproved")]
        log.note(a_row())
        assert log.seal().broken

    def test_rows_behind_the_newest_one_are_not_the_log_s(self) -> None:
        """LS-03: an event that never was, behind all others."""
        log = a_log([3])
        forged = a_row()._replace(number=4, position=4)
        log.rows.append(forged._replace(hash=audit.chained(log.rows[-1].hash, forged)))
        assert [(one.position, one.kind) for one in log.verified().faults] == [(4, "added")]

    def test_a_bad_one_in_between_is_named(self) -> None:
        log = a_log([2, 2, 2], every=timedelta(hours=1))
        log.checkpoints[4] = log.checkpoints[4]._replace(signed="not a checkpoint")
        found = log.verified(now=LATER).faults
        assert [(one.position, one.kind) for one in found] == [(4, "bad checkpoint")]

    def test_a_position_that_is_there_twice_is_told(self) -> None:
        log = a_log([3])
        log.rows.insert(1, log.rows[1])
        assert {one.kind for one in log.verified().faults} == {"added"}

    def test_many_faults_are_counted_and_the_first_are_kept(self) -> None:
        log = a_log([150])
        log.rows = [CHANGES["kind"](one) for one in log.rows]
        checking = log.verified()
        assert checking.count == 150
        assert len(checking.faults) == audit_verification.MOST_FAULTS
        assert checking.faults[0].position == 1


class TestRetention:
    def test_the_chain_begins_later_and_stays_whole(self) -> None:
        log = a_log([3, 3])
        log.seal(old=Link(4, log.rows[3].hash))
        assert log.verified().faults == [], "while the old rows are still there"
        del log.rows[:4]
        checking = log.verified()
        assert (checking.faults, checking.first, checking.last) == ([], 5, 6)
        del log.rows[0]
        assert [(one.position, one.kind) for one in log.verified().faults] == [(5, "removed")]

    def test_when_all_is_old_the_next_row_follows_the_checkpoint(self) -> None:
        log = a_log([3])
        log.seal(old=Link(3, log.rows[2].hash))
        log.rows.clear()
        assert log.verified().faults == []
        log.note(a_row())
        assert not log.seal().broken
        assert log.rows[0].position == 4
        assert log.verified().faults == []

    def test_who_removes_first_rows_himself_is_found(self) -> None:
        """LS-03: what is old enough goes by itself; what is not, he removes."""
        log = a_log([3, 3])
        del log.rows[:2]
        assert [(one.position, one.kind) for one in log.verified().faults] == [(1, "removed")]

    def test_all_rows_gone_is_no_retention(self) -> None:
        log = a_log([3])
        log.rows.clear()
        log.note(a_row())
        assert log.seal().broken
        assert log.rows[0].position == 4
        assert log.verified().count


class TestPersonalFields:
    def test_they_stand_beside_the_chain(self) -> None:
        """LS-03: what was chained can't be taken back, so an address must not be in it."""
        one = audit.row(LoginFailed("u", "wrong password"), HERE, NOW, ENTROPY)
        assert (one.kind, one.facts) == ("LoginFailed", '{"because":"wrong password"}')
        assert one.personal == '{"ip":"203.0.113.7","user_agent":"a browser"}'
        assert b"203.0.113.7" not in audit.canonical(one)
        assert one.salt is not None
        assert one.personal_hash == audit.blinded(one.salt, one.personal)

    def test_who_comes_from_nowhere_has_none(self) -> None:
        one = audit.row(SessionsEnded("u", "logged out everywhere"), NOWHERE, NOW, ENTROPY)
        assert (one.personal, one.salt, one.personal_hash, one.erased) == (None, None, None, False)

    def test_two_that_are_the_same_are_not_told_to_be(self) -> None:
        """Who reads the chain of erased rows must not learn that two came from one address."""
        assert a_row().personal_hash != a_row().personal_hash

    def test_a_field_that_nobody_has_called_harmless_is_personal(self) -> None:
        @dataclass(frozen=True)
        class AddressChanged(LoggedIn):
            address: str
            ways: frozenset[str]
            odd: object

        one = audit.row(AddressChanged("u", "s", "ada@example.com", frozenset("ba"), 1j), NOWHERE, NOW, ENTROPY)
        assert one.facts == '{"session_id":"s"}'
        assert json.loads(one.personal or "") == {"address": "ada@example.com", "ways": ["a", "b"], "odd": "1j"}

    def test_times_and_long_texts_are_kept_short_and_plain(self) -> None:
        one = audit.row(KeyPublished(None, "kid", "ES256", NOW), Client("x" * 1000), NOW, ENTROPY)
        assert json.loads(one.facts)["signs_from"] == NOW.isoformat()
        assert len(json.loads(one.personal or "")["user_agent"]) == audit.MAX_USER_AGENT
        assert audit.row(LoggedIn("u" * 100, "s"), NOWHERE, NOW, ENTROPY).user_id == "u" * 64

    @given(LOGS, st.data())
    def test_they_can_be_erased_of_a_deleted_user_and_the_chain_stays_whole(
        self, log: Log, data: st.DataObject
    ) -> None:
        whose = data.draw(st.sampled_from(sorted({one.user_id or "" for one in log.rows})))
        log.note(
            audit.row(UserDeleted(whose), NOWHERE, NOW, ENTROPY), audit.row(LoggedIn(whose, "late"), HERE, NOW, ENTROPY)
        )
        log.seal(now=LATER)
        theirs = [place for place, one in enumerate(log.rows) if one.user_id == whose and one.personal]
        for place in theirs:
            log.rows[place] = log.rows[place]._replace(personal=None, salt=None)
        checking = log.verified(now=LATER)
        assert (checking.faults, checking.missing, checking.erased) == ([], {}, len(theirs))

    @given(LOGS, st.data())
    def test_who_erases_them_of_somebody_who_is_there_is_found(self, log: Log, data: st.DataObject) -> None:
        """LS-03: the attacker takes the address away that he came from."""
        place = data.draw(st.integers(0, len(log.rows) - 1))
        log.rows[place] = log.rows[place]._replace(personal=None, salt=None)
        assert [(one.position, one.kind) for one in log.verified().faults] == [(place + 1, "erased")]

    def test_what_belongs_to_no_user_is_erased_by_nobody(self) -> None:
        log = Log()
        log.note(audit.row(LoginFailed(None, "unknown user"), HERE, NOW, ENTROPY))
        log.seal()
        log.rows[0] = log.rows[0]._replace(personal=None, salt=None)
        assert [one.kind for one in log.verified().faults] == ["erased"]


def test_the_key_of_the_newest_checkpoint_has_to_be_known() -> None:
    log = a_log([2])
    assert log.newest is not None
    with pytest.raises(UnknownKey):
        audit.read(log.newest, audit.keys(a_ring("two"), NOW))
    assert replace(log).verified(a_ring("two")).claims is None
