"""The only door to time and chance. Flows read the clock once; core and stores receive `now`."""

import secrets
import time
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
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def timestamp(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def system_entropy(size: int) -> bytes:
    """`size` bytes from the operating system's generator."""
    return secrets.token_bytes(size)
