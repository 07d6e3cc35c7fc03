"""What a worker has heard of its database: the live set, until when that was whole, and who wants to know of changes."""

import logging
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

from watchword.core.clock import Clock, SystemClock
from watchword.core.models import Revoked
from watchword.core.policy import CLOCK_JUMP
from watchword.core.revoked import RevokedSet
from watchword.ports import Change, KeysChanged

logger: logging.Logger = logging.getLogger("watchword.feed")

FeedRow = tuple[int, str | None, int, float]
"""Position, session, generation, expiry."""


class State(Enum):
    """How this worker knows what others have revoked. Each change of it is logged once."""

    FOLLOWING = "following"
    ASKING = "asking the database"
    UNAVAILABLE = "unavailable"


class Feed(Protocol):
    """What tells a worker of the others' commits. It holds a `Heard` weakly, and ends when that is gone."""

    async def start(self, heard: "Heard") -> None:
        """Load the whole live set, then follow."""

    async def stop(self) -> None:
        """Stop following, and give the connection back before this returns."""


class Heard:
    """Written by the feed's thread and by the worker's own commits, read by every request."""

    def __init__(self, clock: Clock, staleness: float) -> None:
        self.revoked: RevokedSet = RevokedSet()
        self._clock = clock
        self._staleness = staleness
        self._listeners: list[Callable[[Change], None]] = []
        self._up_to = float("-inf")
        self._state: State | None = None

    def fresh(self) -> bool:
        """Whether the feed was heard within the staleness bound (seconds)."""
        return self._clock.monotonic() - self._up_to <= self._staleness

    def watch(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """See `ports.Revocations.watch`."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def apply(self, revoked: Iterable[Revoked]) -> None:
        """Take revocations in; what says nothing new is told to nobody."""
        for one in revoked:
            if self.revoked.add(one):
                self._tell(one)

    def dead_by(self) -> float:
        """Revocations that expired before this (seconds since the epoch) need not be loaded: upkeep forgets them too."""
        return self._clock.timestamp() - CLOCK_JUMP.total_seconds()

    def monotonic(self) -> float:
        """The clock by which the feed's silence is measured."""
        return self._clock.monotonic()

    def set_right(self, ahead: float) -> None:
        """The database's clock is so many seconds ahead of this machine's. A clock that was given to `Auth` stays as it is."""
        if isinstance(self._clock, SystemClock):
            self._clock.ahead = ahead

    def up_to(self, at: float) -> None:
        """The feed was read to the end that it had at that moment."""
        self._up_to = at
        if self._state is not State.FOLLOWING and self.fresh():
            if self._state is None:
                self._turn(State.FOLLOWING, logging.INFO, "the revocation feed is followed")
            else:
                self._turn(State.FOLLOWING, logging.WARNING, "the revocation feed is back")

    def silent(self, error: Exception, *, trace: bool = False) -> None:
        """The feed fails for now; with `trace` the log tells where."""
        if self._state in (None, State.FOLLOWING):
            text = "the revocation feed is silent (%s); requests ask the database until it is back"
            level = logging.ERROR if trace else logging.WARNING
            self._turn(State.ASKING, level, text, type(error).__name__, trace=trace)

    def answered(self) -> None:
        """The database was asked instead of the feed, and has answered."""
        if self._state is not State.ASKING and not self.fresh():
            silent = "the revocation feed is silent; the database answers what requests ask it"
            self._turn(State.ASKING, logging.WARNING, silent)

    def unanswered(self, error: BaseException) -> None:
        """The database was asked instead of the feed, and has not answered."""
        if self._state is not State.UNAVAILABLE and not self.fresh():
            text = "neither the revocation feed nor the database answers (%s); requests get 503 until one does"
            self._turn(State.UNAVAILABLE, logging.ERROR, text, type(error).__name__)

    def _turn(self, state: State, level: int, text: str, *values: object, trace: bool = False) -> None:
        self._state = state
        logger.log(level, text, *values, exc_info=trace)

    def nothing(self) -> None:
        """The feed has ended: the set proves nothing from now on."""
        self._up_to = float("-inf")

    def reload(self, rows: Iterable[FeedRow]) -> None:
        """The whole live set, after `revoked.note`: at a start, and after a gap. Keys are loaded anew too, for any change may
        have been missed."""
        revocations = [
            Revoked(session_id, generation, until) for _, session_id, generation, until in rows if session_id
        ]
        for revoked in self.revoked.replace(revocations):
            self._tell(revoked)
        self._tell(KeysChanged())

    def advance(self, rows: Iterable[FeedRow]) -> None:
        """Rows that came after those already read."""
        for _, session_id, generation, until in rows:
            if session_id is None:
                self._tell(KeysChanged())
            else:
                self.apply([Revoked(session_id, generation, until)])

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            try:
                listener(change)
            except Exception:
                logger.exception("a listener of the feed failed")
