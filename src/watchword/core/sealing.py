"""Secrets at rest: AES-256-GCM under keys derived from the master keys (HKDF, one per purpose). RFC 5869, RFC 5116.

Master keys are a list: all open; what is sealed anew is sealed with one of them. The associated data is the place (table,
column, row), so a sealed value that is copied to another row does not open.
"""

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from watchword.core.errors import ConfigError

VERSION = b"\x01"
NONCE = 12


def derive(master: bytes, purpose: str) -> bytes:
    """The 32-byte key of `master` for one purpose; keys of two purposes tell nothing of each other."""
    return HKDF(SHA256(), 32, salt=None, info=f"watchword/{purpose}/1".encode()).derive(master)


def seal(plain: bytes, place: str, masters: Sequence[bytes], nonce: bytes) -> bytes:
    """`plain`, sealed for `place` with the first master key. `nonce` is 12 random bytes, never used twice."""
    return VERSION + nonce + AESGCM(derive(masters[0], "sealing")).encrypt(nonce, plain, place.encode())


def unseal(sealed: bytes, place: str, masters: Sequence[bytes]) -> bytes:
    """What was sealed for `place`. Raises ConfigError when no master key opens it."""
    return opened(sealed, place, masters)[1]


def opened(sealed: bytes, place: str, masters: Sequence[bytes]) -> tuple[int, bytes]:
    """Which of the master keys opens it (0 is the first), and what was sealed for `place`. Raises ConfigError for none."""
    nonce, box = sealed[1 : 1 + NONCE], sealed[1 + NONCE :]
    if sealed[:1] == VERSION and len(nonce) == NONCE:
        for position, master in enumerate(masters):
            try:
                return position, AESGCM(derive(master, "sealing")).decrypt(nonce, box, place.encode())
            except InvalidTag:
                continue
    raise ConfigError(
        f"WATCHWORD_MASTER_KEYS: none of the keys opens {place}. Put back the key that sealed it: "
        "it may stand behind the new one."
    )


def check_value(master: bytes) -> str:
    """What the database keeps to recognise its master key; it tells nothing of the key."""
    return hmac.digest(derive(master, "check"), b"check", hashlib.sha256).hex()
