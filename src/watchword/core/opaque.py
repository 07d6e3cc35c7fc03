"""Refresh tokens: opaque to clients, checked by a mac before any I/O.

`wwr_<session id>.<generation>.<r>.<mac>`: `r` is 256 random bits of the session, of which the database holds the
SHA-256; `mac` is HMAC-SHA256 over all three, under a key that the database does not hold.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from watchword.core.errors import InvalidGrant

PREFIX = "wwr_"
MAX_GENERATION = 2**53 - 1
IDENTIFIER = re.compile(r"[a-z2-7]{26}")
SHAPE = re.compile(r"wwr_([a-z2-7]{26})\.(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Presented:
    """A genuine refresh token: it was made here, whatever became of its session since."""

    session_id: str
    generation: int
    r: bytes = field(repr=False)

    @property
    def r_hash(self) -> bytes:
        return fingerprint(self.r)


def identifier(entropy: bytes) -> str:
    """An id of 128 random bits (`entropy` is 16 bytes), in letters and digits that survive a shell and a double click."""
    return base64.b32encode(entropy).decode().rstrip("=").lower()


def is_identifier(text: str) -> bool:
    """Whether `identifier` could have made this text; anything else need not reach the database."""
    return IDENTIFIER.fullmatch(text) is not None


def fingerprint(secret: bytes) -> bytes:
    """What the database holds of 256 random bits: their SHA-256."""
    return hashlib.sha256(secret).digest()


def mint(session_id: str, generation: int, r: bytes, keys: tuple[bytes, ...]) -> str:
    """The refresh token of this generation. The same arguments give the same text, so a retry gets the same successor."""
    body = f"{PREFIX}{session_id}.{generation}.{_encode(r)}"
    return f"{body}.{_encode(_mac(keys[0], body))}"


def parse(text: str, keys: tuple[bytes, ...]) -> Presented:
    """The token in `text`, if any of `keys` made its mac. Raises InvalidGrant for everything else, without I/O."""
    match = SHAPE.fullmatch(text) if len(text) < 256 else None
    if match is None:
        raise InvalidGrant("not a refresh token of ours")
    session_id, generation, encoded_r, encoded_mac = match.groups()
    body = text[: -len(encoded_mac) - 1]
    mac = _decode(encoded_mac)
    if not any(hmac.compare_digest(_mac(key, body), mac) for key in keys):
        raise InvalidGrant("the refresh token's mac does not verify")
    if int(generation) >= MAX_GENERATION:
        raise InvalidGrant("the refresh token's generation is out of range")
    return Presented(session_id, int(generation), _decode(encoded_r))


def _mac(key: bytes, body: str) -> bytes:
    return hmac.digest(key, body.encode(), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Canonical base64url of 32 bytes: with spare bits set, one token would have several texts."""
    raw = base64.urlsafe_b64decode(text + "=")
    if _encode(raw) != text:
        raise InvalidGrant("not canonical base64url")
    return raw
