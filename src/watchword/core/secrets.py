"""Secrets that sign or seal: long, not publicly known, not guessable. Checked once, at start."""

import base64
import binascii
import re
from collections.abc import Iterator

from watchword.core import passwords
from watchword.core.errors import WeakSecret
from watchword.core.known_secrets import PREFIXES, known, words

MIN_BYTES = 32  # RFC 7518 3.2, for HS256
MIN_GUESSES = 15
MIN_DISTINCT = 8
"""Of 128 random bits in hexadecimal, one in thirty million has fewer different digits."""

AROUND = " \t\r\n\0\"'`<>"
"""What people leave around a value."""

CURE = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def strong(secret: str | bytes, setting: str) -> bytes:
    """The secret's bytes. Raises WeakSecret, which names `setting` and the cure and never shows the secret."""
    given: object = secret
    if not isinstance(given, str | bytes):
        raise WeakSecret(f"{setting} is not set, or neither text nor bytes. {CURE}")
    raw = given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given
    decoded = tuple(_decoded(raw))
    written = (raw, *decoded, *(deeper for once in decoded for deeper in _decoded(once)))
    if any(_is_known(form) for candidate in written for form in _forms(candidate)):
        raise WeakSecret(f"{setting} is publicly known: it stands in a tutorial or in a framework's defaults. {CURE}")
    if len(raw) < MIN_BYTES:
        raise WeakSecret(f"{setting} is shorter than {MIN_BYTES} bytes. {CURE}")
    if _is_guessable(_text(raw)) or any(_is_guessable(words) for words in _readable(written[1:])):
        raise WeakSecret(f"{setting} can be guessed: it is made of words, repetitions or sequences. {CURE}")
    return raw


def _is_known(form: str) -> bool:
    return form in known() or form.startswith(PREFIXES)


def _is_guessable(text: str) -> bool:
    """Whether little is left of it without repetitions, sequences and the words that placeholders are made of."""
    unit = _unit(text)
    if len(unit) < min(len(text), MIN_BYTES):
        return True
    rest = re.sub(r"[\s_-]+", "", words().sub("", unit.lower()))
    return len(set(text)) < MIN_DISTINCT or passwords.guesses(rest) < MIN_GUESSES


def _unit(text: str) -> str:
    """What `text` repeats, the last time perhaps in part; the whole of it when nothing stands twice in a row."""
    border = [0] * len(text)
    for end in range(1, len(text)):
        length = border[end - 1]
        while length and text[end] != text[length]:
            length = border[length - 1]
        border[end] = length + (text[end] == text[length])
    period = len(text) - border[-1] if text else 0
    return text[:period] if 2 * period <= len(text) else text


def _forms(candidate: bytes) -> Iterator[str]:
    """The secret as people write it: bare or quoted, with other separators, repeated to fill the length."""
    yield candidate.hex()
    yield base64.b64encode(candidate).decode().lower()
    bare = _text(candidate).strip(AROUND).lower()
    for form in (bare, re.sub(r"[\s_-]+", "", bare)):
        yield form
        yield _unit(form)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _readable(decoded: tuple[bytes, ...]) -> Iterator[str]:
    """What is plain text under its encoding. Random bytes never are."""
    for raw in decoded:
        text = raw.decode("latin-1").strip()
        if text.isascii() and text.isprintable():
            yield text


def _decoded(raw: bytes) -> Iterator[bytes]:
    """The secret out of hexadecimal, base64 and base64url, where it is written so."""
    text = raw.strip(AROUND.encode())
    padded = text + b"=" * (-len(text) % 4)
    for decode in (bytes.fromhex, _base64):
        try:
            yield decode(padded.decode("ascii") if decode is _base64 else text.decode("ascii"))
        except (ValueError, binascii.Error):
            continue


def _base64(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
