"""Addresses and usernames in the one form in which they are stored and compared."""

import re
import unicodedata

from watchword.core.errors import InvalidInput

MAX_EMAIL = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
MAX_LOCAL = 64  # RFC 5321 4.5.3.1.1
LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
LOCAL = re.compile(r"[^\s@\"(),:;<>\[\\\]]+")
USERNAME = re.compile(r"[^\W_](?:[\w.-]{0,30}[^\W_])?")


def fold(text: str) -> str:
    """NFKC and case-folded, often enough that nothing changes any more (folding can undo NFKC for a few characters)."""
    if text.isascii():
        return text.lower()  # the same, quicker
    for _ in range(4):
        text = unicodedata.normalize("NFKC", text).casefold()
    return text


def one_spelling(identifier: str) -> str:
    """What somebody typed for an address or username, in the one spelling of all that mean the same, also where it is none."""
    return fold(identifier[:MAX_EMAIL].strip())


def canonical_email(text: str) -> str | None:
    """The address as it is stored, or None when it is not one. Full-width and case twins become one address."""
    if len(text) > MAX_EMAIL:
        return None
    email = fold(text.strip())
    local, at, domain = email.rpartition("@")
    if not at or len(email) > MAX_EMAIL or len(local) > MAX_LOCAL or not _printable(email):
        return None
    if not LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        return None
    labels = domain.split(".")
    if len(labels) < 2 and domain != "localhost":
        return None
    return email if all(LABEL.fullmatch(label) for label in labels) else None


def canonical_username(text: str) -> str | None:
    """The username as it is stored, or None: 2 to 32 letters or digits of any script, with `._-` between them."""
    if len(text) > MAX_EMAIL:
        return None
    name = fold(text.strip())
    return name if len(name) >= 2 and USERNAME.fullmatch(name) and _printable(name) else None


def accept_email(text: str) -> str:
    """The canonical address. Raises InvalidInput."""
    email = canonical_email(text)
    if email is None:
        raise InvalidInput("not an address", fields={"email": "This is not an email address."})
    return email


def accept_username(text: str) -> str:
    """The canonical username. Raises InvalidInput."""
    username = canonical_username(text)
    if username is None:
        because = "A username has 2 to 32 letters or digits, with dots, dashes or underscores between them."
        raise InvalidInput("not a username", fields={"username": because})
    return username


def _printable(text: str) -> bool:
    if text.isascii():
        return text.isprintable()  # the same, quicker
    return not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for character in text)
