"""Passwords: what is accepted, how it is kept, and how it is checked. SP 800-63B-4 3.1.1.2, OWASP Password Storage.

The only module that knows argon2 and the strength library; `core/foreign_hashes` knows the other kinds.
"""

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import argon2
from zxcvbn_rs_py import zxcvbn

from watchword.core import foreign_hashes
from watchword.core.errors import InvalidGrant, UnusableHash, WeakPassword
from watchword.core.foreign_hashes import Argon2

MAX_LENGTH = 1024
"""In characters, checked before any hashing."""

MIN_GUESSES = 8
"""The decimal logarithm of the guesses that a password must stand up to."""

ESTIMATED = 40
"""The estimate reads this many characters at most: its time grows with the square of the length."""

DISGUISES = ("4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2")
"""What the estimate may take for a, b, c, e, g, i, l, o, s, t, x, z. It tries every combination that a text allows."""

EFFORT = 160_000
"""Combinations times the square of the length: some 20 ms. A hundred characters that disguise every letter took 700 ms."""


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """Argon2id's cost: memory in KiB, passes, lanes. RFC 9106 3.1."""

    memory_cost: int
    time_cost: int
    parallelism: int

    @property
    def hasher(self) -> argon2.PasswordHasher:
        return argon2.PasswordHasher(self.time_cost, self.memory_cost, self.parallelism)


OWASP = Argon2Parameters(memory_cost=19456, time_cost=2, parallelism=1)
"""OWASP Password Storage Cheat Sheet: m=19456 (19 MiB), t=2, p=1."""


@dataclass(frozen=True, slots=True)
class Match:
    """The password was right. `outdated` says that its hash was made with other parameters than today's."""

    outdated: bool


def check(password: str, minimum: int, context: Iterable[str] = ()) -> None:
    """Accept a new password, or raise WeakPassword with a text that helps.

    `minimum` is in characters (code points, as typed and after NFKC: one ligature may stand for eighteen letters);
    `context` are words that everybody would try first: the address, the name, the product.
    """
    if not _encodable(password) or len(password) > MAX_LENGTH:
        raise WeakPassword(
            "too long, or not text",
            detail=f"A password has at most {MAX_LENGTH} characters, all of them valid Unicode.",
        )
    normal, words = normalize(password), tuple(context)
    if min(len(password), len(normal)) < minimum:
        raise WeakPassword(
            f"shorter than {minimum}",
            detail=f"A password needs at least {minimum} characters. A few words in a row make a good one.",
        )
    if min(guesses(_affordable(form), words) for form in {password, normal}) < MIN_GUESSES:
        raise WeakPassword(
            "too easy to guess",
            detail="This password is common, or close to your name or address. A few unrelated words make a good one.",
        )


def guesses(text: str, context: Iterable[str] = ()) -> float:
    """The decimal logarithm of how many guesses an attacker needs who knows `context`."""
    words = {part for word in context for part in _parts(word) if len(part) > 2}
    return zxcvbn(text[:ESTIMATED], sorted(words)).guesses_log10


def _affordable(text: str) -> str:
    """As much of the beginning as the estimate reads in a bounded time. It can only be guessed more easily."""
    combinations = math.prod(max(1, len(set(text).intersection(each))) for each in DISGUISES)
    return text[: math.isqrt(EFFORT // combinations)]


def _parts(word: str) -> list[str]:
    """The word, what stands before its `@` with separators and without, and the pieces between them."""
    local = word.partition("@")[0]
    return [word, local, re.sub(r"[\W_]+", "", local), *re.split(r"[\W_]+", word)]


def normalize(password: str) -> str:
    """NFKC, so that one password typed on two keyboards is one password. SP 800-63B-4 3.1.1.2."""
    return unicodedata.normalize("NFKC", password)


def hash_password(password: str, parameters: Argon2Parameters = OWASP) -> str:
    """The Argon2id PHC string of an accepted password. Takes some 25 ms and `memory_cost` of memory."""
    return parameters.hasher.hash(normalize(password).encode())


def verify(stored: str, password: str, parameters: Argon2Parameters = OWASP) -> Match:
    """Compare in constant time. Raises InvalidGrant when the password is wrong, and UnusableHash when the stored hash is
    corrupt, of an unknown kind or absurdly costly.

    What we hash is NFKC first. Others hash what was typed, so a hash that may be theirs is tried with the raw input too.
    """
    kept = foreign_hashes.read(stored)
    ours = isinstance(kept, Argon2) and kept.phc == stored and not parameters.hasher.check_needs_rehash(stored)
    if not ours:
        kept.bounded()
    if not _encodable(password):
        raise InvalidGrant("a password that is not text")
    normal = normalize(password)
    for tried in dict.fromkeys((normal, password) if ours else (password, normal)):
        if _fits(kept, tried.encode(), parameters):
            return Match(outdated=not ours or tried != normal)
    raise InvalidGrant("wrong password")


def _fits(kept: foreign_hashes.Hash, password: bytes, parameters: Argon2Parameters) -> bool:
    if not isinstance(kept, Argon2):
        return kept.fits(password)
    try:
        return parameters.hasher.verify(kept.phc, password)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError) as error:
        raise UnusableHash(foreign_hashes.UNKNOWN) from error


def kib(stored: str) -> int:
    """The memory that comparing with this hash takes, in KiB. What can't be read is refused before it takes any."""
    try:
        return foreign_hashes.read(stored).kib
    except UnusableHash:
        return 0


def hashable(password: str) -> bool:
    """Whether a presented password may be hashed at all: within the length, and valid Unicode."""
    return len(password) <= MAX_LENGTH and _encodable(password)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
