"""Time and chance under the test's control."""

import hashlib
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class FrozenClock:
    """A clock that stands still until it is ticked."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """The instant at which the clock stands."""
        return self._now

    def timestamp(self) -> float:
        """The same, as seconds since the epoch."""
        return self._now.timestamp()

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; moves with `tick`, never backwards."""
        return self._monotonic

    def tick(self, step: timedelta | float) -> None:
        """Move on by a timedelta or by seconds; a negative step turns the wall clock back, as an operator may."""
        delta = step if isinstance(step, timedelta) else timedelta(seconds=step)
        self._now += delta
        self._monotonic += max(0.0, delta.total_seconds())


def seeded_entropy(seed: str = "watchword") -> Callable[[int], bytes]:
    """Chance that repeats itself: the same seed gives the same bytes, and no two calls give the same."""
    counter = itertools.count()

    def entropy(size: int) -> bytes:
        return hashlib.shake_256(f"{seed}:{next(counter)}".encode()).digest(size)

    return entropy
