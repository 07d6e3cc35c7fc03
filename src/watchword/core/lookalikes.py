"""Usernames that look like others: letters of several scripts in one name, and names that a reader takes for another. UTS #39.

ASCII names are judged here; the tables for all other letters are loaded when the first such name comes.
"""

import functools
import importlib
from typing import Any

from watchword.core.errors import InvalidInput

DIGITS: dict[int, int] = str.maketrans("10", "lo")
PAIRS = (("rn", "m"), ("vv", "w"))


def skeleton(username: str) -> str:
    """What is left of a canonical username to the eye: two that have one skeleton can be taken for each other. UTS #39 4."""
    seen = username if username.isascii() else "".join(_latin(letter) for letter in username)
    seen = seen.translate(DIGITS)
    for pair, one in PAIRS:
        seen = seen.replace(pair, one)
    return seen


def accept(username: str) -> str:
    """The canonical username. Raises InvalidInput where it mixes scripts so that one letter passes for another's.
    UTS #39 5.2."""
    if not username.isascii() and _tables().is_dangerous(username, preferred_aliases=["latin"]):
        because = "This mixes letters of several scripts that look alike. Use the letters of one."
        raise InvalidInput("a username of mixed scripts", fields={"username": because})
    return username


def _latin(letter: str) -> str:
    """The ASCII letter that this one looks like, where it does."""
    if letter.isascii():
        return letter
    found = _tables().is_confusable(letter)
    alike = [one["c"] for each in found or () for one in each["homoglyphs"] if one["c"].isascii()]
    return alike[0].lower() if alike else letter


@functools.cache
def _tables() -> Any:
    return importlib.import_module("confusable_homoglyphs.confusables")
