"""What was revoked and still matters, as a signed list for other services: a JWS of a type of its own that lives for seconds.

It names sessions and, since their tokens are dead too, the signing keys that an operator has stopped. Nobody takes it for an
access token, nor an access token for it: `typ` differs, and so do the claims (RFC 8725 3.11, 3.12).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchword.core import jose, strict_json
from watchword.core.errors import InvalidToken, Unavailable
from watchword.core.keys import KeyRing, VerifyingRing
from watchword.core.models import Revoked
from watchword.core.policy import LEEWAY
from watchword.core.tokens import MAX_INT

TYP = "revocations+jwt"
MEDIA_TYPE = f"application/{TYP}"
HEADER = frozenset({"alg", "kid", "typ"})
REQUIRED = frozenset({"iss", "iat", "exp", "revoked", "retired"})

LIFE = timedelta(seconds=15)
"""How long a list is fresh: after so much silence a service knows that it may have missed something."""

MAX_LIFE = timedelta(seconds=60)
MAX_LIST = 8 * 1024 * 1024
"""Characters; some 100,000 sessions that ended before their last access token did."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A genuine list: everything that was revoked and still matters.

    It is all until `expires_at` (epoch seconds), and for `life` seconds at most: `exp` less `iat`.
    """

    revoked: tuple[Revoked, ...]
    retired: frozenset[str]
    expires_at: float
    life: float


def name(ring: KeyRing, revoked: Sequence[Revoked], now: datetime) -> str:
    """What an ETag says of this content (RFC 9110 8.8.3): the same content has the same name, whichever worker signs it and
    when. With the next signing key it is another: a service that meets it learns of new keys."""
    content = {"revoked": _entries(revoked), "retired": _retired(ring), "kid": ring.signer(now).kid}
    return jose.b64encode(hashlib.sha256(strict_json.dumps(content)).digest()[:18])


def sign(ring: KeyRing, issuer: str, revoked: Sequence[Revoked], now: datetime) -> str:
    """The list, signed with the key that signs access tokens now.

    Raises Unavailable where that key is symmetric, for then nobody else can verify it, and when the list is too long.
    """
    key = ring.signer(now)
    if key.verifying().symmetric:
        raise Unavailable("the signing key is still symmetric, so no other service could verify the list")
    issued_at = int(now.timestamp())
    claims = {
        "iss": issuer,
        "iat": issued_at,
        "exp": issued_at + int(LIFE.total_seconds()),
        "revoked": _entries(revoked),
        "retired": _retired(ring),
    }
    text = jose.sign(key, TYP, strict_json.dumps(claims))
    if len(text) > MAX_LIST:
        raise Unavailable("more was revoked than a list may hold")
    return text


def read(text: str, ring: VerifyingRing, issuer: str, timestamp: float) -> RevocationList:
    """The list in `text`, at `timestamp` (seconds since the epoch). Raises InvalidToken and nothing else."""
    verified = jose.verify(text, ring.keys, MAX_LIST)
    if verified.header.keys() != HEADER or verified.header["typ"] != TYP:
        raise InvalidToken("it is not of the type revocations+jwt")
    if not ring.alive(str(verified.kid), timestamp):
        raise InvalidToken("its key's time is over")
    claims = strict_json.loads(verified.payload, "list")
    if claims.keys() != REQUIRED:
        raise InvalidToken("its claims are not those of a list")
    if claims["iss"] != issuer or not isinstance(claims["iss"], str):
        raise InvalidToken("it is of another issuer")
    if not _number(claims["iat"]) or not _number(claims["exp"]):
        raise InvalidToken("a time in it is not a number in range")
    if claims["exp"] <= timestamp:
        raise InvalidToken("it has expired; or the clocks of the issuer and this machine differ")
    if claims["iat"] > timestamp + LEEWAY.total_seconds():
        raise InvalidToken("it was issued in the future; the clocks of the issuer and this machine differ")
    if not 0 < claims["exp"] - claims["iat"] <= MAX_LIFE.total_seconds():
        raise InvalidToken("it lives longer than a list may")
    if not isinstance(claims["revoked"], list) or not all(map(_is_entry, claims["revoked"])):
        raise InvalidToken("an entry in it is malformed")
    if not isinstance(claims["retired"], list) or not all(isinstance(kid, str) for kid in claims["retired"]):
        raise InvalidToken("a key in it is malformed")
    return RevocationList(
        revoked=tuple(Revoked(*entry) for entry in claims["revoked"]),
        retired=frozenset(claims["retired"]),
        expires_at=float(claims["exp"]),
        life=float(claims["exp"] - claims["iat"]),
    )


def _entries(revoked: Iterable[Revoked]) -> list[list[Any]]:
    return [[one.session_id, one.generation, int(one.expires_at)] for one in revoked]


def _retired(ring: KeyRing) -> list[str]:
    return sorted(record.kid for record in ring.records if record.retired_at is not None)


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 3
        and isinstance(entry[0], str)
        and bool(entry[0])
        and _number(entry[1])
        and _number(entry[2])
    )


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INT
