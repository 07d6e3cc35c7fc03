"""Scopes: sets of words. RFC 6749 3.3.

A word that ends in `:*` is a wildcard: whoever holds `items:*` holds every scope that begins with `items:`, also `items:a:b`
and `items:a:*`, and not `items`. There is no wildcard for everything: a bare `*` is a word as any other.
"""

import re
from collections.abc import Iterable

from watchword.core.errors import InvalidInput, InvalidRequest

TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}")
MAX_SCOPES = 64
MAX_TEXT = 3072
"""Characters of a set as `text` writes it: with that many, and tokens.MAX_EXTRA, a token stays readable (jose.MAX_TOKEN)."""

WILDCARD = ":*"

ADMIN = "watchword:admin"
"""What the administration of the house itself asks for."""


def parse(text: str) -> frozenset[str]:
    """The set that a space-separated `scope` names. Raises InvalidRequest for an odd character, and for too many or too long
    words."""
    words = frozenset(text.split(" ")) - {""}
    if len(words) > MAX_SCOPES or not all(TOKEN.fullmatch(word) for word in words):
        raise InvalidRequest(
            f'a scope is 1 to 64 visible ASCII characters without " and \\, and at most {MAX_SCOPES} go together',
            detail="The scope is malformed.",
        )
    if _is_too_long(words):
        raise InvalidRequest(
            f"the scopes are more than {MAX_TEXT} characters together",
            detail=f"The scopes are more than {MAX_TEXT} characters together.",
        )
    return words


def accept(new: frozenset[str], old: frozenset[str] = frozenset()) -> frozenset[str]:
    """The set, if a token can carry it, or if it has nothing that `old` has not: whatever takes away is never refused. Raises
    InvalidInput."""
    if not new <= old and _is_too_long(new):
        why = f"A user can have {MAX_TEXT} characters of scopes, those of roles included. A wildcard (items:*) is shorter."
        raise InvalidInput("more scopes than a token can carry", fields={"scopes": why})
    return new


def text(scopes: Iterable[str]) -> str:
    """The set as the RFC writes it: sorted, with single spaces."""
    return " ".join(sorted(scopes))


def covers(held: frozenset[str], needed: frozenset[str]) -> bool:
    """Whether whoever holds the one set has all of the other."""
    return needed.issubset(held) or needed == _below(needed, held)


def grant(asked: frozenset[str] | None, may: frozenset[str]) -> frozenset[str]:
    """What a login gets: what it asks for as far as it may have it; all it may have when it asks for nothing."""
    return may if asked is None else narrowed(asked, may)


def narrowed(old: frozenset[str], may: frozenset[str]) -> frozenset[str]:
    """What two sets have in common: the words of each that the other covers. `items:*` and `items:read` have `items:read` in
    common, whichever of them is the old one."""
    return _below(old, may) | _below(may, old)


def _is_too_long(words: frozenset[str]) -> bool:
    return len(text(words)) > MAX_TEXT


def _below(words: frozenset[str], held: frozenset[str]) -> frozenset[str]:
    """Those of the words that `held` covers."""
    prefixes = tuple(word[:-1] for word in held if word.endswith(WILDCARD))
    return frozenset(word for word in words if word in held or word.startswith(prefixes))
