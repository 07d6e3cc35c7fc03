"""What the fuzzer is told of a parser: how to feed it, what it may raise, and what good input looks like."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Parser:
    """One reader of what strangers send.

    `feed` gives it the bytes, and raises AssertionError where it let in what it must not; of its own errors only `refusals`
    may leave it. `good` makes the bytes to begin with, of which some must be taken.
    """

    feed: Callable[[bytes], None]
    refusals: tuple[type[Exception], ...]
    good: Callable[[], list[bytes]]
    ko: str
    """The parser's name in Korean, for the report."""

    longest: int = 4096

    def __call__(self, data: bytes) -> bool:
        """Whether the bytes were taken; an error that is not a refusal goes on."""
        try:
            self.feed(data)
        except self.refusals:
            return False
        return True
