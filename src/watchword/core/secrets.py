"""Secrets that sign or seal: long, not publicly known, not guessable. Checked once, at start."""

import base64
import binascii
import re
from collections.abc import Iterator

from watchword.core import passwords
from watchword.core.errors import WeakSecret
from watchword.core.known_secrets import KNOWN, PREFIXES

MIN_BYTES = 32  # RFC 7518 3.2, for HS256
MIN_GUESSES = 15
MIN_DISTINCT = 12
CURE = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def strong(secret: str | bytes, setting: str) -> bytes:
    """The secret's bytes. Raises WeakSecret, which names `setting` and the cure and never shows the secret."""
    raw = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    if any(_is_known(form) for form in _forms(raw)):
        raise WeakSecret(f"{setting} is publicly known: it stands in a tutorial or in a framework's defaults. {CURE}")
    if len(raw) < MIN_BYTES:
        raise WeakSecret(f"{setting} is shorter than {MIN_BYTES} bytes. {CURE}")
    text = raw.decode("latin-1")
    if len(set(text)) < MIN_DISTINCT or passwords.guesses(text) < MIN_GUESSES:
        raise WeakSecret(f"{setting} can be guessed: it is made of words, repetitions or sequences. {CURE}")
    return raw


def _is_known(form: str) -> bool:
    return form in KNOWN or form.startswith(PREFIXES)


def _forms(raw: bytes) -> Iterator[str]:
    """The secret as people write it: bare or quoted, repeated to fill the length, and in the usual encodings."""
    for candidate in (raw, *_decoded(raw)):
        bare = candidate.decode("latin-1").strip(" \t\r\n\"'`<>").lower()
        yield bare
        yield re.sub(r"[\s_-]+", "", bare)
        repeated = re.fullmatch(r"(.+?)\1+", bare, re.DOTALL) if len(bare) <= 512 else None
        if repeated:
            yield repeated[1]


def _decoded(raw: bytes) -> Iterator[bytes]:
    text = raw.strip()
    padded = text + b"=" * (-len(text) % 4)
    for decode in (bytes.fromhex, _base64):
        try:
            yield decode(padded.decode("ascii") if decode is _base64 else text.decode("ascii"))
        except (ValueError, binascii.Error):
            continue


def _base64(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
