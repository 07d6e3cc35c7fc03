"""Scopes: sets of words. RFC 6749 3.3."""

import re
from collections.abc import Iterable

from watchword.core.errors import InvalidRequest

TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}")
MAX_SCOPES = 64


def parse(text: str) -> frozenset[str]:
    """The set that a space-separated `scope` names. Raises InvalidRequest for an odd character or too many words."""
    words = frozenset(text.split(" ")) - {""}
    if len(words) > MAX_SCOPES or not all(TOKEN.fullmatch(word) for word in words):
        raise InvalidRequest(
            f'a scope is 1 to 64 visible ASCII characters without " and \\, and at most {MAX_SCOPES} go together',
            detail="The scope is malformed.",
        )
    return words


def text(scopes: Iterable[str]) -> str:
    """The set as the RFC writes it: sorted, with single spaces."""
    return " ".join(sorted(scopes))


def grant(asked: frozenset[str] | None, may: frozenset[str]) -> frozenset[str]:
    """What a login gets: what it asks for ∩ what it may have; all it may have when it asks for nothing."""
    return may if asked is None else asked & may
