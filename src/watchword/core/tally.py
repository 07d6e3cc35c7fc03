"""Counting in memory how often somebody tries."""

from collections import OrderedDict
from datetime import timedelta


class Tally:
    """The rule of `Scratch.hit` for one limit, in this worker's memory. Bounded: who is heard least is forgotten first."""

    MAX = 10_000

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def full(self, key: str, hits: int, period: timedelta, now: float) -> timedelta | None:
        """How long until there is room for one; None where there is. Nothing is counted."""
        interval = period.total_seconds() / hits
        return _excess(max(self._until.get(key, now), now) + interval - now - period.total_seconds(), interval)

    def count(self, key: str, hits: int, period: timedelta, now: float) -> timedelta | None:
        """Count one, or say how long until there is room for one."""
        if key in self._until:
            self._until.move_to_end(key)
        interval = period.total_seconds() / hits
        then = max(self._until.get(key, now), now) + interval
        wait = _excess(then - now - period.total_seconds(), interval)
        if wait is not None:
            return wait
        self._until[key] = then
        while len(self._until) > self.MAX:
            self._until.popitem(last=False)
        return None


def _excess(seconds: float, interval: float) -> timedelta | None:
    """By how much it is too much. Less than half of one is nothing: sums of fractions are not exact."""
    return timedelta(seconds=seconds) if seconds > interval / 2 else None
