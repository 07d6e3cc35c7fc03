"""The secrets in mailed links: bound to one purpose and one account, and checked by a mac before any I/O.

`wwl_<payload>.<mac>`: the payload is JSON, the mac HMAC-SHA256 under a key that the database does not hold. The database holds
a fingerprint, which also depends on the account's address and epoch: another address or another password, and the
link is dead.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from watchword.core.errors import InvalidLink
from watchword.core.models import Account

PREFIX = "wwl_"
MAX_LENGTH = 2048
SHAPE = re.compile(r"wwl_([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Link:
    """What a genuine link says. `user_id` is empty where there is no account yet; `to` is the address that it leads to, where
    it changes one. `nonce` has 128 random bits. `expires_at` is in seconds since 1970. `epoch` is the one that the account
    had, where links of one account have to be put in order."""

    purpose: str
    user_id: str
    nonce: str = field(repr=False)
    expires_at: int
    to: str = ""
    epoch: int = 0


def mint(link: Link, key: bytes) -> str:
    """The secret that goes into the mail."""
    listed = [link.purpose, link.user_id, link.nonce, link.expires_at, link.to, link.epoch]
    body = PREFIX + _encode(json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode())
    return f"{body}.{_encode(_mac(key, body))}"


def parse(text: str, purposes: Sequence[str], keys: Sequence[bytes], now: datetime) -> Link:
    """The link in `text`, if any of `keys` made its mac and it is for one of these purposes. Raises InvalidLink,
    without I/O."""
    match = SHAPE.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise InvalidLink("not a link of ours")
    body = PREFIX + match[1]
    if not any(hmac.compare_digest(_encode(_mac(key, body)), match[2]) for key in keys):
        raise InvalidLink("the link's mac does not verify")
    link = Link(*json.loads(_decode(match[1])))
    if link.purpose not in purposes:
        raise InvalidLink("the link is for another purpose")
    if link.expires_at <= now.timestamp():
        raise InvalidLink("the link's time is over")
    return link


def place(user_id: str) -> str:
    """Under which key the database holds what the links of an account may be used for. It outlives every change of keys."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def fingerprint(text: str, user: Account | None = None) -> str:
    """What the database holds of a link: of its text, and of the address and epoch that its account had."""
    bound = "" if user is None else f"{len(user.email)}:{user.email}{user.epoch}"
    return hashlib.sha256(f"{text}\n{bound}".encode()).hexdigest()


def _mac(key: bytes, body: str) -> bytes:
    return hmac.digest(key, body.encode(), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
