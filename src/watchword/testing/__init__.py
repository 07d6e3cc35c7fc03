"""For the tests of applications and adapters: a clock that stands still, chance that repeats itself, contracts."""

from watchword.testing.clock import FrozenClock, seeded_entropy

__all__ = ["FrozenClock", "seeded_entropy"]
