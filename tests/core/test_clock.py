"""The door to time and chance."""

import time
from datetime import UTC, datetime, timedelta

from watchword.core.clock import SystemClock, system_entropy

NEAR = timedelta(minutes=1)


def test_the_system_s_clock_tells_the_instant_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < NEAR
    assert abs(datetime.fromtimestamp(SystemClock().timestamp(), UTC) - now) < NEAR


def test_ages_are_measured_by_a_clock_that_nobody_sets() -> None:
    before = time.monotonic()
    assert before <= SystemClock().monotonic() <= time.monotonic()


def test_chance_has_the_length_that_was_asked_for_and_does_not_repeat_itself() -> None:
    drawn = {system_entropy(size) for size in (16, 16, 17, 32, 32)}
    assert sorted(len(one) for one in drawn) == [16, 16, 17, 32, 32]
