"""What an API key is: a text that tells by itself that it may be one, and a row.

`wwk_<8 characters that are shown>_<43 characters of secret>_<6 characters of checksum>`, all in base62. The secret is 256
random bits; the checksum is the CRC-32 (ISO 3309) of all that stands before its `_`. A scanner finds keys by

    \\bwwk_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}\\b

and knows by the checksum, without asking anybody, which are no mere examples. The database holds the SHA-256 of the whole text
without the checksum, so one key has one text.
"""

import hashlib
import re
import string
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from watchword.core import models, scopes
from watchword.core.errors import InvalidInput, MalformedToken

PREFIX = "wwk_"
SHAPE = re.compile(r"(wwk_[0-9A-Za-z]{8}_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})")
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LENGTH = 63
METHOD = "api_key"
"""Stands in `Principal.methods`; RFC 8176 has no value for it."""

ENTROPY = 40
"""Bytes of chance for one key: eight for what is shown, 32 for the secret."""

MOST = 50
"""Live keys of one owner, without those that were rotated and whose overlap lasts."""

MOST_WITH_OVERLAPS = 2 * MOST
"""Live keys of one owner, with those: so each of MOST keys can be rotated."""

A_DAY = 200
"""Keys that may be made and rotated of one owner's in a day: each stays in the table for a while after its end."""

MAX_NAME = 64
MAX_LIMIT = 100_000
LONGEST_OVERLAP = timedelta(days=7)
OVERLAP = timedelta(days=1)
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=3650)
"""How long a key may live, where it is to end by itself."""


class Owner(Enum):
    """Whose a key is. An id alone does not say it: a host may choose the ids of its users."""

    USER = "user"
    SERVICE_ACCOUNT = models.SERVICE_ACCOUNT


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key. `text` is for its owner, once; the others are kept."""

    text: str = field(repr=False)
    shown: str
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, without anything that it could be used by. Times are aware, in UTC.

    `limit` is in requests per minute, on each worker. `rotated_to` is the id of its successor.
    """

    id: str
    owner_id: str
    owner: Owner
    name: str
    shown: str
    scopes: frozenset[str]
    limit: int | None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_to: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """An owner of keys that is nobody: a job, a machine. It can't sign in."""

    id: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a key is to be. `lives` is how long, None for without an end; `limit` is in requests per minute."""

    name: str
    scopes: frozenset[str] = frozenset()
    lives: timedelta | None = None
    limit: int | None = None


def mint(entropy: bytes) -> Minted:
    """The key that these random bytes (ENTROPY) make."""
    shown = PREFIX + _base62(int.from_bytes(entropy[:8]) % 62**8, 8)
    body = f"{shown}_{_base62(int.from_bytes(entropy[8:]), 43)}"
    return Minted(f"{body}_{_checksum(body)}", shown, hashlib.sha256(body.encode()).digest())


def digest(text: str) -> bytes:
    """What a key is known by. Raises MalformedToken for what can't be one: nobody has to be asked for that."""
    found = SHAPE.fullmatch(text) if len(text) == LENGTH else None
    if found is None:
        raise MalformedToken("not the form of an API key")
    if found[2] != _checksum(found[1]):
        raise MalformedToken("the API key's checksum is not right")
    return hashlib.sha256(found[1].encode()).digest()


def accept(wanted: Wanted, may: frozenset[str]) -> Wanted:
    """The key that is wanted, with its name as it is kept. Raises InvalidInput for what can't be, and scopes beyond `may`."""
    if not scopes.covers(may, wanted.scopes):
        raise InvalidInput("scopes that the owner has not", fields={"scopes": "These are more than its owner has."})
    if wanted.lives is not None and not SHORTEST <= wanted.lives <= LONGEST:
        raise InvalidInput("an odd life", fields={"expires_in": "This is not between a minute and ten years."})
    if wanted.limit is not None and not 1 <= wanted.limit <= MAX_LIMIT:
        raise InvalidInput("an odd limit", fields={"limit_per_minute": f"This is not between 1 and {MAX_LIMIT}."})
    return Wanted(accept_name(wanted.name), wanted.scopes, wanted.lives, wanted.limit)


def accept_name(name: str) -> str:
    """The name as it is kept. Raises InvalidInput for an empty or a long one, and for what no list could show."""
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidInput("an odd name", fields={"name": f"This is not 1 to {MAX_NAME} printable characters."})
    return name


def accept_scopes(words: list[str]) -> frozenset[str]:
    """The set. Raises InvalidRequest for what is no scope."""
    return scopes.parse(" ".join(words))


def accept_overlap(overlap: timedelta) -> timedelta:
    """How long both keys are good after a rotation. Raises InvalidInput."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput("an odd overlap", fields={"overlap": "This is not between nothing and seven days."})
    return overlap


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, place = divmod(number, 62)
        digits.append(ALPHABET[place])
    return "".join(reversed(digits))
