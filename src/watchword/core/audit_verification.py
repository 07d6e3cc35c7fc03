"""What is wrong with a chain of the audit log: each row against the one before it, and against the signatures over them."""

from datetime import datetime
from typing import NamedTuple

from watchword.core.audit import BEGINNING, BROKEN, Checkpoint, Claims, Extent, Link, Row, blinded, chained, read
from watchword.core.errors import InvalidToken, UnknownKey
from watchword.core.events import UserDeleted
from watchword.core.jose import KeySet

CHANGED, REMOVED, REORDERED, ADDED = "changed", "removed", "re-ordered", "added"
BAD_CHECKPOINT, UNPROVED, ERASED = "bad checkpoint", "unproved", "erased"

MOST_FAULTS = 100
MOST_SUSPECTS = 16


class Fault(NamedTuple):
    """What is wrong at a position."""

    position: int
    kind: str
    text: str


def opened(extent: Extent, known: KeySet, since: Link | None = None, noted: Link | None = None) -> "Verification":
    """A verification of what there is, or of what stands behind `since`: its `start` tells where it begins.

    `noted` is a place that somebody has written down elsewhere, where nobody who can write to the database can reach it.
    """
    newest, signed = extent.newest, claims(extent, known)
    start = _start(extent, signed, since)
    checking = Verification(start, extent.last if newest is None else newest.position, known, noted, signed)
    if newest is None:
        if extent.last:
            checking.fault(extent.last, UNPROVED, "there is no checkpoint, so all of it may have been made anew")
        return checking
    checking.hold(newest)
    if extent.last > newest.position:
        checking.fault(newest.position + 1, ADDED, "rows stand here that no checkpoint covers")
    if signed is None:
        text = f"the key of the newest checkpoint, {newest.kid}, is not known, so all of it may have been made anew"
        checking.fault(newest.position, UNPROVED, text)
    elif signed.because == BROKEN and (since is None or since.position < signed.begins.position):
        text = (
            "up to here it did not agree with the checkpoint of then, whose key may have been given up (keys abandon), or "
            f"ended before where it had. What stands behind it is proved: --from {signed.begins.position}"
        )
        checking.fault(signed.begins.position, UNPROVED, text)
    return checking


def claims(extent: Extent, known: KeySet) -> Claims | None:
    """What the newest checkpoint says, where it is a good one."""
    if extent.newest is None:
        return None
    try:
        return read(extent.newest, known)
    except InvalidToken:
        return None


class Verification:
    """Reads a chain row by row, in constant memory (but for the ids of deleted users), and says what is wrong with it.

    `start` is what the first row has to follow; its hash is empty where that is not known. `claims` are those of the newest
    checkpoint, where it is a good one.
    """

    def __init__(
        self, start: Link, until: int, known: KeySet, noted: Link | None = None, claims: Claims | None = None
    ) -> None:
        self.start: Link = start
        self.until: int = until
        self.claims: Claims | None = claims
        self.rows: int = 0
        self.first: int = 0
        self.erased: int = 0
        self.checkpoints: int = 0
        self.unknown: int = 0
        """Checkpoints whose keys are forgotten. A newer one covers what they did."""

        self.count: int = 0
        """How many faults there are."""

        self.faults: list[Fault] = []
        self.suspects: list[Row] = []
        """Rows that follow another one than they were chained to; `trace` finds out whether that is somewhere else."""

        self.missing: dict[str | None, Row] = {}
        """Users with erased rows whose deletion was not read, each with the first one."""

        self.began: datetime | None = None
        """When what the first row tells was."""

        self._deleted: set[str | None] = set()
        self._known = known
        self._last = start
        self._noted = noted
        self._held: dict[int, Checkpoint] = {}
        if noted is not None and noted.position == start.position and start.hash and start.hash != noted.hash:
            self.fault(start.position, CHANGED, "another hash was noted of what the first row here follows")

    @property
    def last(self) -> int:
        """The position that was read last."""
        return self._last.position

    def fault(self, position: int, kind: str, text: str) -> None:
        """Note what is wrong; the first MOST_FAULTS are kept."""
        self.count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(position, kind, text))

    def hold(self, checkpoint: Checkpoint) -> Claims | None:
        """Compare a checkpoint with the row at its position, which is still to be read; what it says.

        None where its key is not known any more, or it is a bad one.
        """
        self.checkpoints += 1
        self._held[checkpoint.position] = checkpoint
        try:
            return read(checkpoint, self._known)
        except UnknownKey:
            self.unknown += 1
        except InvalidToken as error:
            self.fault(checkpoint.position, BAD_CHECKPOINT, f"its checkpoint is not one: {error.because}")
        return None

    def take(self, one: Row) -> None:
        """The next row, in the order of positions."""
        self.rows += 1
        if self.began is None:
            self.first, self.began = one.position, one.at
        last, expected = self._last, self.last + 1
        if one.position > expected:
            self.fault(expected, REMOVED, _missing(expected, one.position - 1))
        elif one.position < expected:
            self.fault(one.position, ADDED, "this position is there twice")
        elif last.hash and chained(last.hash, one) != one.hash:
            self.fault(
                one.position, CHANGED, "it does not follow the row before it: it was changed, or that one was replaced"
            )
            if len(self.suspects) < MOST_SUSPECTS:
                self.suspects.append(one)
        self._look_at_personal(one)
        held = self._held.pop(one.position, None)
        if held is not None and held.hash != one.hash:
            self.fault(
                one.position, BAD_CHECKPOINT, "its hash is not the one that was signed: rows up to it were changed"
            )
        if self._noted is not None and self._noted.position == one.position and self._noted.hash != one.hash:
            self.fault(one.position, CHANGED, "another hash of this row was noted: rows up to it were changed")
        self._last = Link(one.position, one.hash)

    def trace(self, one: Row) -> None:
        """A row of a second reading: whether a suspect was chained to it, and so stood behind it."""
        for suspect in self.suspects:
            if suspect.position != one.position + 1 and chained(one.hash, suspect) == suspect.hash:
                self._moved(suspect, one.position)

    def close(self) -> None:
        """All rows were read; they have to reach as far as the newest checkpoint."""
        if self.last < self.until:
            self.fault(self.last + 1, REMOVED, _missing(self.last + 1, self.until))
        if self._noted is not None and self._noted.position > self.last:
            self.fault(
                self.last + 1, REMOVED, f"the log reached to position {self._noted.position} when that was noted"
            )
        if self._noted is not None and not self._reaches_back_to(self._noted.position):
            text = "what was noted of this position was not compared: rows up to it are not kept any more, or were not read"
            self.fault(self._noted.position, UNPROVED, text)
        for user_id, one in self.missing.items():
            whose = "a row without a user" if user_id is None else f"user {user_id}, of whose deletion nothing is known"
            self.fault(one.position, ERASED, f"personal fields were erased of {whose}")
        self.faults.sort(key=lambda fault: fault.position)

    def _reaches_back_to(self, position: int) -> bool:
        return position > self.start.position or (position == self.start.position and bool(self.start.hash))

    def _look_at_personal(self, one: Row) -> None:
        if one.kind == UserDeleted.__name__:
            self._deleted.add(one.user_id)
            self.missing.pop(one.user_id, None)
        if one.erased:
            self.erased += 1
            if one.user_id is None or one.user_id not in self._deleted:
                self.missing.setdefault(one.user_id, one)
        elif one.personal is not None:
            blind = None if one.salt is None else blinded(one.salt, one.personal)
            if blind != one.personal_hash:
                self.fault(one.position, CHANGED, "its personal fields are not those that were chained")

    def _moved(self, suspect: Row, behind: int) -> None:
        for place, fault in enumerate(self.faults):
            if fault.position == suspect.position and fault.kind == CHANGED:
                self.faults[place] = Fault(fault.position, REORDERED, f"it was chained behind what stands at {behind}")


def _start(extent: Extent, signed: Claims | None, since: Link | None) -> Link:
    """What the first row follows. Where nothing tells, it is what is there."""
    if since is not None:
        return since
    if signed is not None and signed.because != BROKEN:
        return signed.begins
    return BEGINNING if extent.first <= 1 else Link(extent.first - 1, b"")


def _missing(first: int, last: int) -> str:
    return "it is not there" if first == last else f"positions {first} to {last} are not there"
