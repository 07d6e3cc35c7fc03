"""The only door to time and chance. Flows read the clock once; core and stores receive `now`."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as it is given to `Auth`; `watchword.testing.FrozenClock` stands still until it is ticked."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""

    def timestamp(self) -> float:
        """The same instant as seconds since the epoch (the NumericDate of RFC 7519 2)."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an arbitrary start: for ages, never for dates."""


class Entropy(Protocol):
    """Chance as it is given to `Auth`; `watchword.testing.seeded_entropy` repeats itself."""

    def __call__(self, size: int, /) -> bytes:
        """`size` unpredictable bytes."""


class SystemClock:
    """The clock of this machine, set right by `ahead`: seconds by which the database's is ahead of it, once that is known.

    Several machines then judge by one clock whether a refresh comes within the grace.
    """

    def __init__(self) -> None:
        self.ahead: float = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def timestamp(self) -> float:
        return machine_time() + self.ahead

    monotonic: "staticmethod[[], float]" = staticmethod(time.monotonic)


machine_time: Callable[[], float] = time.time
"""What this machine takes for the time, in seconds since the epoch, uncorrected."""


def system_entropy(size: int) -> bytes:
    """`size` bytes from the operating system's generator."""
    return secrets.token_bytes(size)
