"""Service keys: what another service shows to be told of revocations. They open nothing else."""

import hashlib
import hmac
import re
from collections.abc import Iterable

from watchword.core import secrets
from watchword.core.errors import WeakSecret

VISIBLE = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")
"""What may stand in a header as it is, and in a list that is separated by commas."""


def strong(key: str, setting: str) -> bytes:
    """The digest that the key is known by. Raises WeakSecret, which names `setting` and never shows the key."""
    raw = secrets.strong(key, setting)
    if not VISIBLE.fullmatch(raw):
        raise WeakSecret(f"{setting} holds a character that can't stand in a header. {secrets.CURE}")
    return digest(key)


def digest(key: str) -> bytes:
    """SHA-256. The keys are long and random, so that nothing slower is needed."""
    return hashlib.sha256(key.encode()).digest()


def known(presented: str, digests: Iterable[bytes]) -> bool:
    """Whether this is one of the keys. Takes the same time whichever it is, and however much of it is right."""
    shown = digest(presented)
    return sum(hmac.compare_digest(shown, each) for each in digests) > 0
