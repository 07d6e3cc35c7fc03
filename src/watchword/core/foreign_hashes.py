"""Password hashes that other systems made: read strictly, bounded before any work, compared in constant time.

| kind | how it is written |
|---|---|
| bcrypt | `$2a$ $2b$ $2y$`; Django's `bcrypt$` and `bcrypt_sha256$` in front of one |
| PBKDF2 | Django `pbkdf2_sha256$N$salt$…`, Werkzeug `pbkdf2:sha256:N$salt$…`, passlib `$pbkdf2-sha256$N$salt$…` |
| scrypt | Django `scrypt$N$salt$r$p$…`, Werkzeug `scrypt:N:r:p$salt$…`, passlib `$scrypt$ln=…,r=…,p=…$salt$…` |
| Argon2 | the PHC string of argon2id, argon2i and argon2d; Django's `argon2` in front of one |

Every kind has one upper bound in common: what a single login may cost, some seconds of one core and 1 GiB. A row that asks
for more would let whoever wrote it stop all logins. The only module that knows bcrypt.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any

from watchword.core.errors import ConfigError, InvalidInput, UnusableHash

MAX_LENGTH = 1024
"""In characters. The longest of the known forms, with a long salt, has some 300."""

MIN_SALT = 4
"""In bytes. With fewer, one table of precomputed hashes serves everybody. Argon2 itself wants 8."""

BCRYPT_MIN_COST, BCRYPT_MAX_COST = 4, 16
"""Logarithms of the rounds. 4 is bcrypt's own least; 16 takes some 4 s, and 12 to 14 is what is in use."""

BCRYPT_BYTES = 72
"""bcrypt reads no more of a password. Whoever made the hash cut it there without a word, so we do."""

PBKDF2_MIN_ITERATIONS, PBKDF2_MAX_ITERATIONS = 1_000, 10_000_000
"""1,000 is the least of RFC 8018 4.2; OWASP and Django are at some 1,000,000, and ten times that takes some 5 s."""

SCRYPT_MIN_MEMORY, SCRYPT_MAX_MEMORY = 2**20, 2**28
"""128 · N · r in bytes: 1 MiB to 256 MiB. OWASP's largest is 128 MiB, in some 0.5 s."""

SCRYPT_MAX_WORK = 2**30
"""128 · N · r · p in bytes, which is what it takes time for: 1 GiB, some 4 s."""

SCRYPT_MAX_BLOCKS = 2**26
"""128 · r · p in bytes, which it holds several times over: with N = 2 and r = 2**20 that took 1.6 GB."""

ARGON2_MAX_MEMORY = 2**20
"""In KiB: 1 GiB, libsodium's "sensitive"."""

ARGON2_MAX_WORK = 2**22
"""Memory · passes in KiB, which is what it takes time for: 4 GiB, some 4 s; again libsodium's "sensitive"."""

ARGON2_MAX_LANES = 64
"""Every lane is a thread while it is computed."""

ARGON2_MAX_STARTS = 2**14
"""Passes · lanes, where there is more than one lane: each starts four threads, some 3 s. 512 KiB in 8,192 passes and 64
lanes are within ARGON2_MAX_WORK, and took two minutes."""

ARGON2_MIN_SALT, ARGON2_MIN_TAG, ARGON2_STRONG_TAG = 8, 4, 16
"""In bytes. 8 and 4 are Argon2's own least (RFC 9106 3.1); every library writes at least 16, so fewer were cut off."""

UNKNOWN = "the stored hash is corrupt or of an unknown kind"
BCRYPT_MISSING = "bcrypt is not installed: pip install bcrypt"

DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64}
"""The hash functions of PBKDF2, and how many bytes of each are kept. A shorter rest would fit a wrong password too."""

NUMBER = "[1-9][0-9]{0,9}"
SALT = r"[^$\x00-\x1f\x7f]*"
"""A salt that is used as it is written: without control characters, of which PostgreSQL refuses NUL."""

B64 = "[A-Za-z0-9+/]"
BCRYPT = re.compile(
    r"(bcrypt\$|bcrypt_sha256\$)?(\$2[aby]\$([0-9]{2})\$)(?P<salt>[./A-Za-z0-9]{22})(?P<tag>[./A-Za-z0-9]{31})"
)
ARGON2 = re.compile(
    rf"(?:argon2)?(\$argon2(?:id|i|d)(?:\$v=(?:16|19))?\$m=({NUMBER}),t=({NUMBER}),p=({NUMBER})\$(?P<salt>{B64}*)\$(?P<tag>{B64}*))"
)
PBKDF2_DJANGO = re.compile(rf"pbkdf2_(sha1|sha256)\$({NUMBER})\$(?P<salt>{SALT})\$(?P<tag>{B64}*={{0,2}})")
PBKDF2_WERKZEUG = re.compile(rf"pbkdf2:(sha1|sha256|sha512):({NUMBER})\$(?P<salt>{SALT})\$(?P<tag>[0-9a-f]*)")
PBKDF2_PASSLIB = re.compile(
    rf"\$pbkdf2(?:-(sha256|sha512))?\$({NUMBER})\$(?P<salt>[A-Za-z0-9./]*)\$(?P<tag>[A-Za-z0-9./]*)"
)
SCRYPT_DJANGO = re.compile(rf"scrypt\$({NUMBER})\$(?P<salt>{SALT})\$({NUMBER})\$({NUMBER})\$(?P<tag>{B64}*={{0,2}})")
SCRYPT_WERKZEUG = re.compile(rf"scrypt:({NUMBER}):({NUMBER}):({NUMBER})\$(?P<salt>{SALT})\$(?P<tag>[0-9a-f]*)")
SCRYPT_PASSLIB = re.compile(rf"\$scrypt\$ln=([1-9][0-9]?),r=({NUMBER}),p=({NUMBER})\$(?P<salt>{B64}*)\$(?P<tag>{B64}*)")
BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Bcrypt:
    """A bcrypt hash; `prehashed` says that the password goes through SHA-256 first (Django)."""

    text: str = field(repr=False)
    cost: int
    prehashed: bool

    @property
    def kib(self) -> int:
        """Memory that comparing takes, in KiB: some four, which is nothing."""
        return 0

    def bounded(self) -> None:
        """Raise UnusableHash for an absurd cost."""
        if self.cost > BCRYPT_MAX_COST:
            raise UnusableHash(f"the stored bcrypt hash has a cost over {BCRYPT_MAX_COST}")

    def strong(self) -> None:
        """Raise UnusableHash for what protects nobody: nothing, the format leaves no room for it."""

    def fits(self, password: bytes) -> bool:
        """Whether the password is the one that was hashed. Raises UnusableHash without the library.

        A NUL would end the password for some libraries, and `a` and `a NUL a` are one key to bcrypt: with one, nothing fits.
        """
        if self.prehashed:
            password = hashlib.sha256(password).hexdigest().encode()
        if b"\0" in password:
            return False
        fits: bool = _bcrypt().checkpw(password[:BCRYPT_BYTES], self.text.encode())
        return fits


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """A PBKDF2 hash. RFC 8018 5.2."""

    digest: str
    iterations: int
    salt: bytes = field(repr=False)
    expected: bytes = field(repr=False)

    @property
    def kib(self) -> int:
        """Memory that comparing takes, in KiB: nothing."""
        return 0

    def bounded(self) -> None:
        """Raise UnusableHash for an absurd cost."""
        if self.iterations > PBKDF2_MAX_ITERATIONS:
            raise UnusableHash(f"the stored PBKDF2 hash has over {PBKDF2_MAX_ITERATIONS:,} iterations")

    def strong(self) -> None:
        """Raise UnusableHash for what protects nobody."""
        if self.iterations < PBKDF2_MIN_ITERATIONS:
            raise UnusableHash(f"the stored PBKDF2 hash has fewer than {PBKDF2_MIN_ITERATIONS:,} iterations")

    def fits(self, password: bytes) -> bool:
        """Whether the password is the one that was hashed. HMAC can't tell a NUL at the end from none."""
        if password.endswith(b"\0"):
            return False
        made = hashlib.pbkdf2_hmac(self.digest, password, self.salt, self.iterations)
        return hmac.compare_digest(made, self.expected)


@dataclass(frozen=True, slots=True)
class Scrypt:
    """A scrypt hash. RFC 7914 2."""

    n: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    expected: bytes = field(repr=False)

    @property
    def memory(self) -> int:
        """In bytes."""
        return 128 * self.n * self.r

    @property
    def kib(self) -> int:
        """Memory that comparing takes, in KiB: beside V the arrays B and X. RFC 7914 5 and 6."""
        return (self.memory + 128 * self.r * (self.p + 2)) // 1024 + 1

    def bounded(self) -> None:
        """Raise UnusableHash for an absurd cost, and for one that scrypt does not have (RFC 7914 2)."""
        blocks = 128 * self.r * self.p  # beside V, in RFC 7914 6 the array B
        if self.memory > SCRYPT_MAX_MEMORY or self.memory * self.p > SCRYPT_MAX_WORK or blocks > SCRYPT_MAX_BLOCKS:
            raise UnusableHash("the stored scrypt hash takes over 256 MiB, or goes through over 1 GiB")
        if self.n < 2 or self.n & (self.n - 1) or self.n >= 2 ** (16 * self.r):
            raise UnusableHash(UNKNOWN)

    def strong(self) -> None:
        """Raise UnusableHash for what protects nobody."""
        if self.memory < SCRYPT_MIN_MEMORY:
            raise UnusableHash("the stored scrypt hash takes less than 1 MiB")

    def fits(self, password: bytes) -> bool:
        """Whether the password is the one that was hashed. HMAC can't tell a NUL at the end from none."""
        if password.endswith(b"\0"):
            return False
        room = self.kib * 1024 + 2**20
        made = hashlib.scrypt(
            password, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=room, dklen=len(self.expected)
        )
        return hmac.compare_digest(made, self.expected)


@dataclass(frozen=True, slots=True)
class Argon2:
    """An Argon2 hash of any kind, ours included: `phc` is what `core/passwords` hands to the library. RFC 9106."""

    phc: str = field(repr=False)
    memory: int
    passes: int
    lanes: int
    tag: int
    """In bytes."""

    @property
    def kib(self) -> int:
        """Memory that comparing takes, in KiB, of all lanes together."""
        return self.memory

    def bounded(self) -> None:
        """Raise UnusableHash for an absurd cost."""
        if self.memory > ARGON2_MAX_MEMORY or self.memory * self.passes > ARGON2_MAX_WORK:
            raise UnusableHash("the stored Argon2 hash takes over 1 GiB, or goes through over 4 GiB")
        if self.lanes > ARGON2_MAX_LANES:
            raise UnusableHash(f"the stored Argon2 hash has over {ARGON2_MAX_LANES} lanes")
        if self.lanes > 1 and self.passes * self.lanes > ARGON2_MAX_STARTS:
            raise UnusableHash(f"the stored Argon2 hash has over {ARGON2_MAX_STARTS:,} passes in all of its lanes")
        if self.memory < 8 * self.lanes:
            raise UnusableHash(UNKNOWN)

    def strong(self) -> None:
        """Raise UnusableHash for what protects nobody. Argon2's own least of a cost is enough."""
        if self.tag < ARGON2_STRONG_TAG:
            raise UnusableHash(UNKNOWN)


Hash = Bcrypt | Pbkdf2 | Scrypt | Argon2


def read(stored: str) -> Hash:
    """What the text says, without any work. Raises UnusableHash when it is corrupt, truncated or of an unknown kind."""
    if len(stored) <= MAX_LENGTH:
        for shape, make in SHAPES:
            if found := shape.fullmatch(stored):
                kept: Hash = make(*found.groups())
                return kept
    raise UnusableHash(UNKNOWN)


def likeness(stored: str) -> str:
    """A hash that costs the same to compare with, and that nobody has: of the salt and the digest only the lengths are left.

    Raises UnusableHash as `read` does.
    """
    for shape, _ in SHAPES:
        if found := shape.fullmatch(stored):
            blank = "0" if shape in HEX else "A"
            for name in ("tag", "salt"):  # from behind, so that places stay
                start, end = found.span(name)
                stored = stored[:start] + re.sub("[^=]", blank, stored[start:end]) + stored[end:]
            read(stored)
            return stored
    raise UnusableHash(UNKNOWN)


def accept(stored: str) -> str:
    """A hash that may be taken over. Raises InvalidInput that says what is wrong with it, and never shows it.

    Raises ConfigError for bcrypt when the extra is not installed: nobody could sign in with it.
    """
    try:
        kept = read(stored)
        kept.bounded()
        kept.strong()
        salt = getattr(kept, "salt", None)
        if salt is not None and len(salt) < MIN_SALT:
            raise UnusableHash(f"the stored hash has {'a salt of under 4 bytes' if salt else 'no salt'}")
    except UnusableHash as error:
        because = _hint(stored) if error.because == UNKNOWN else error.because
        raise InvalidInput("a hash that is not taken over", fields={"password_hash": because}) from None
    if isinstance(kept, Bcrypt):
        try:
            _bcrypt()
        except UnusableHash as error:
            raise ConfigError(f"The passwords are bcrypt hashes, and {error.because}") from None
    return stored


def _hint(stored: str) -> str:
    """What is probably wrong with a hash that can't be read, for whoever exports it."""
    if not stored:
        return "the hash is empty. For an account without a password write null."
    if stored[0] in "!*":
        return 'this marks an account without a usable password ("!…"). Write null.'
    if len(stored) > MAX_LENGTH:
        return f"the hash has over {MAX_LENGTH} characters."
    if stored.startswith(("$2", "bcrypt", "pbkdf2", "$pbkdf2", "scrypt", "$scrypt", "argon2", "$argon2")):
        return "the hash is not whole: cut off, without its salt or digest, or in a form that is not known."
    return "a hash of an unknown kind. Known are bcrypt, PBKDF2, scrypt and Argon2, not MD5, SHA and crypt."


def _make_bcrypt(prefix: str | None, head: str, cost: str, salt: str, digest: str) -> Bcrypt:
    """Salt and digest end in spare bits, which some libraries fill and others refuse: they are cleared."""
    if int(cost) < BCRYPT_MIN_COST:
        raise UnusableHash(UNKNOWN)
    text = head + _cleared(salt, 0x30) + _cleared(digest, 0x3C)
    return Bcrypt(text, int(cost), prehashed=prefix == "bcrypt_sha256$")


def _cleared(text: str, mask: int) -> str:
    return text[:-1] + BCRYPT_ALPHABET[BCRYPT_ALPHABET.index(text[-1]) & mask]


def _make_argon2(phc: str, memory: str, passes: str, lanes: str, salt: str, tag: str) -> Argon2:
    """The library refuses base64 with spare bits, so what has them is refused before."""
    for text, least in ((salt, ARGON2_MIN_SALT), (tag, ARGON2_MIN_TAG)):
        raw = _b64(text)
        if len(raw) < least or base64.b64encode(raw).decode().rstrip("=") != text:
            raise UnusableHash(UNKNOWN)
    return Argon2(phc, int(memory), int(passes), int(lanes), len(_b64(tag)))


def _make_pbkdf2(digest: str, iterations: str, salt: bytes, expected: bytes) -> Pbkdf2:
    return Pbkdf2(digest, int(iterations), salt, _whole(expected, DIGESTS[digest]))


def _make_scrypt(n: int, r: str, p: str, salt: bytes, expected: bytes, size: int = 64) -> Scrypt:
    return Scrypt(n, int(r), int(p), salt, _whole(expected, size))


def _whole(digest: bytes, size: int) -> bytes:
    if len(digest) != size:
        raise UnusableHash(UNKNOWN)
    return digest


def _text(salt: str) -> bytes:
    """A salt that is used as it is written."""
    try:
        return salt.encode()
    except UnicodeEncodeError:
        raise UnusableHash(UNKNOWN) from None


def _b64(text: str) -> bytes:
    """Base64, with or without its padding; passlib writes `.` for `+`."""
    bare = text.rstrip("=").replace(".", "+")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise UnusableHash(UNKNOWN) from None


def _hex(text: str) -> bytes:
    if len(text) % 2:
        raise UnusableHash(UNKNOWN)
    return bytes.fromhex(text)


def _bcrypt() -> Any:
    """The library, by extra."""
    try:
        import bcrypt  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError:
        raise UnusableHash(BCRYPT_MISSING) from None
    return bcrypt


SHAPES: tuple[tuple[re.Pattern[str], Any], ...] = (
    (ARGON2, _make_argon2),
    (BCRYPT, _make_bcrypt),
    (PBKDF2_DJANGO, lambda name, n, salt, rest: _make_pbkdf2(name, n, _text(salt), _b64(rest))),
    (PBKDF2_WERKZEUG, lambda name, n, salt, rest: _make_pbkdf2(name, n, _text(salt), _hex(rest))),
    (PBKDF2_PASSLIB, lambda name, n, salt, rest: _make_pbkdf2(name or "sha1", n, _b64(salt), _b64(rest))),
    (SCRYPT_DJANGO, lambda n, salt, r, p, rest: _make_scrypt(int(n), r, p, _text(salt), _b64(rest))),
    (SCRYPT_WERKZEUG, lambda n, r, p, salt, rest: _make_scrypt(int(n), r, p, _text(salt), _hex(rest))),
    (SCRYPT_PASSLIB, lambda ln, r, p, salt, rest: _make_scrypt(2 ** int(ln), r, p, _b64(salt), _b64(rest), 32)),
)

HEX = (PBKDF2_WERKZEUG, SCRYPT_WERKZEUG)
