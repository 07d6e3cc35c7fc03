"""A secret that everybody could know is refused in every spelling; a random one never is."""

import base64
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from watchword import Settings
from watchword.core import secrets
from watchword.core.errors import ConfigError, WeakSecret
from watchword.core.known_secrets import PREFIXES, known, words

TUTORIAL = "your-secret-key"
FASTAPI_DOCS = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
JWT_IO = ["your-256-bit-secret", "your-384-bit-secret", "your-512-bit-secret", "a-string-secret-at-least-256-bits-long"]
FAMOUS = [
    TUTORIAL,
    FASTAPI_DOCS,
    *JWT_IO,
    "changethis",  # FastAPI's full-stack template
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",  # Flask's documentation
    "A0Zr98j/3yX R~XHH!jmN]LWX/,?RT",  # the same, earlier
    "5791628bb0b13ce0c676dfde280ba245",  # a Flask course
    "django-insecure-8b!x0n#(q5k3^p@7w$e2z&m1c9v6j4h_t%r",  # what startproject writes begins like this
    "your-super-secret-jwt-token-with-at-least-32-characters-long",  # Supabase
    "3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R",  # Hasura
    "MasterkeyNeedsToHave32Characters",  # ZITADEL
    "PLEASE-CHANGE-ME-I-AM-VERY-INSECURE",  # Ory Kratos
    "SecretKey012345678901234567890123456789012345678901234567890123456789",  # Nacos
    "VGhpc0lzTXlDdXN0b21TZWNyZXRLZXkwMTIzNDU2Nzg=",  # the same, encoded
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",  # a Spring course
    "c2lsdmVybmluZS10ZWNoLXNwcmluZy1ib290LWp3dC10dXRvcmlhbC1zZWNyZXQtc2lsdmVybmluZS10ZWNoLXNwcmluZy1ib290LWp3dC10dXRvcmlhbC1zZWNyZXQK",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",  # RFC 7515 A.1
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",  # RFC 7520
    "비밀키",
]

RANDOM: dict[str, Callable[[bytes], str | bytes]] = {
    "raw bytes": lambda raw: raw,
    "secrets.token_urlsafe(32)": lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode(),
    "openssl rand -base64 32": lambda raw: base64.b64encode(raw).decode() + "\n",
    "openssl rand -hex 32": lambda raw: raw.hex() + "\n",
    "openssl rand -hex 16": lambda raw: raw[:16].hex(),
    "HEX": lambda raw: raw.hex().upper(),
    "a UUID": lambda raw: str(uuid.UUID(bytes=raw[:16])),
    "with a label": lambda raw: "myapp-secret-key-" + base64.urlsafe_b64encode(raw).decode(),
}
SPELLINGS: dict[str, Callable[[str], str | bytes]] = {
    "as it is": lambda text: text,
    "bytes": lambda text: text.encode(),
    "upper case": lambda text: text.upper(),
    "lower case": lambda text: text.lower(),
    "in double quotes": lambda text: f'"{text}"',
    "in single quotes": lambda text: f"'{text}'",
    "in angle brackets": lambda text: f"<{text}>",
    "with white space around": lambda text: f" \t{text}\r\n",
    "twice": lambda text: text * 2,
    "five times": lambda text: text * 5,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url without padding": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode(),
    "base64 of a line": lambda text: base64.b64encode(text.encode() + b"\n").decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex of it three times": lambda text: (text * 3).encode().hex(),
}


def refusal(secret: str | bytes) -> str:
    with pytest.raises(WeakSecret) as caught:
        secrets.strong(secret, "SETTING")
    return str(caught.value)


KNOWN_TEXT = refusal(TUTORIAL)
SHORT_TEXT = refusal("x7")
GUESSED_TEXT = refusal("a" * 64)


# A random secret always passes


@pytest.mark.parametrize("kind", RANDOM)
def test_random_secrets_pass_in_every_usual_form(kind: str) -> None:
    @settings(deadline=None, max_examples=60, database=None)
    @given(st.integers(0))
    @example(0)
    def passes(seed: int) -> None:
        raw = hash_of(seed)
        secret = RANDOM[kind](raw)
        assert secrets.strong(secret, "SETTING") == (secret if isinstance(secret, bytes) else secret.encode())

    passes()


def hash_of(seed: int) -> bytes:
    """32 bytes without a pattern, the same ones for the same seed: hypothesis' own bytes are not random at all."""
    import hashlib

    return hashlib.sha256(b"watchword" + str(seed).encode()).digest()


def test_what_the_cure_prints_passes() -> None:
    statement = re.search(r'python -c "(.*)"$', secrets.CURE)
    assert statement is not None
    printed: list[str] = []
    exec(statement[1], {"print": printed.append})
    assert secrets.strong(printed[0], "SETTING")


# What is known is refused, however it is written


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", FAMOUS, ids=[secret[:20] for secret in FAMOUS])
def test_a_known_secret_is_refused_in_every_spelling(secret: str, spelling: str) -> None:
    assert refusal(SPELLINGS[spelling](secret)) == KNOWN_TEXT


def test_every_entry_of_the_list_is_refused_and_so_is_its_repetition() -> None:
    for secret in known():
        assert refusal(secret) == KNOWN_TEXT
        assert refusal(secret * 3)
    for prefix in PREFIXES:
        assert refusal(prefix + hash_of(1).hex()) == KNOWN_TEXT


def test_the_list_is_worth_the_name() -> None:
    assert len(known()) > 300
    assert sum(len(secret) >= secrets.MIN_BYTES for secret in known()) > 80
    assert all(secret == secret.lower().strip() for secret in known())


@pytest.mark.parametrize("separator", ["", " ", "-", "_", " - ", "__"])
def test_other_separators_hide_nothing(separator: str) -> None:
    assert refusal(separator.join(["your", "secret", "key"])) == KNOWN_TEXT
    assert refusal(separator.join(["Your", "Secret", "Key"] * 4)) == KNOWN_TEXT


# What is short, or only looks long


@pytest.mark.parametrize("size", [0, 1, 16, 31])
def test_under_256_bits_is_short(size: int) -> None:
    """RFC 7518 3.2."""
    assert refusal(hash_of(2)[:size]) == SHORT_TEXT
    assert secrets.strong(hash_of(2), "SETTING")


def test_length_is_counted_in_bytes() -> None:
    text = "뒤뜰에 심은 감나무는 열매가 늦게 익는다"
    assert len(text) < secrets.MIN_BYTES <= len(text.encode())
    assert secrets.strong(text, "SETTING") == text.encode()


PLACEHOLDERS = [
    "YOUR_SUPER_SECRET_KEY_MAKE_SURE_IT_IS_LONG_ENOUGH",
    "test-secret-key-for-jwt-signing-must-be-long-enough-32",
    "mySecretKeyForAdminDashboardServiceJwtAuthenticationToken123456789",
    "my-super-secret-key-that-is-long-enough-for-hmac",
    "YourSuperSecretKeyHereAtLeast32CharactersLong!123456",
    "this-is-a-very-secure-secret-key-with-more-than-32-bytes",
    "super-secret-jwt-key-for-testing-only-1234567890",
    "jwt-secret-change-in-production!!",
    "<random_string_at_least_32_characters_long>",
    "your-secret-keyyour-secret-keyyo",
    "your-secret-key-your-secret-key-your",
    base64.b64encode(b"my-super-secret-key-that-is-long-enough-for-hmac").decode(),
    b"my-super-secret-key-that-is-long-enough-for-hmac".hex(),
]
PATTERNS = [
    "a" * 32,
    "ab" * 32,
    "abc" * 20,
    "a" * 16 + "b" * 16,
    "0123456789" * 4,
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnmqwerty",
    "password" * 5,
    b"\0" * 64,
    bytes(7 * [1, 2, 3, 4, 5, 6, 7]),
    "0110100110010110100101100110100110010110011010010110100110010110"[7:50],  # no repetition, and hardly any choice
]


@pytest.mark.parametrize("secret", PLACEHOLDERS, ids=[str(number) for number in range(len(PLACEHOLDERS))])
def test_a_placeholder_is_guessable_however_long(secret: str) -> None:
    assert refusal(secret) in (GUESSED_TEXT, KNOWN_TEXT)


@pytest.mark.parametrize("secret", PATTERNS, ids=[str(number) for number in range(len(PATTERNS))])
def test_a_pattern_is_no_secret(secret: str | bytes) -> None:
    assert refusal(secret) in (GUESSED_TEXT, KNOWN_TEXT)


def test_the_words_of_placeholders_are_no_pieces_of_hexadecimal() -> None:
    """Else they would eat at random secrets."""
    for word in words().pattern.split("|"):
        assert re.fullmatch("[a-z0-9]{3,}", word)
        assert not re.fullmatch("[0-9a-f]+", word)


# What is no secret at all


@pytest.mark.parametrize("value", [None, 42, 3.5, ["x" * 40], bytearray(hash_of(3)), object()])
def test_what_was_never_set_is_refused(value: str) -> None:
    assert "not set" in refusal(value)


@settings(deadline=None)
@given(st.text() | st.binary())
@example("\ud800" * 12)
@example("=" * 40)
@example("0x" + "ab" * 20)
def test_any_text_and_any_bytes_are_taken_or_refused_with_a_word_of_cure(secret: str | bytes) -> None:
    try:
        raw = secrets.strong(secret, "SETTING")
    except WeakSecret:
        assert refusal(secret) in (KNOWN_TEXT, SHORT_TEXT, GUESSED_TEXT)
    else:
        assert raw == (secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret)


@pytest.mark.parametrize("text", [KNOWN_TEXT, SHORT_TEXT, GUESSED_TEXT])
def test_a_refusal_names_the_setting_and_the_cure_and_is_the_same_whatever_the_secret_was(text: str) -> None:
    """So it can't contain the secret."""
    assert text.startswith("SETTING ")
    assert text.endswith(secrets.CURE)


# Where it counts


@pytest.mark.parametrize("secret", [TUTORIAL, FASTAPI_DOCS, *JWT_IO])
def test_a_master_key_from_a_tutorial_does_not_start(secret: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS is publicly known") as caught:
        Settings(data_dir=tmp_path, master_keys=(secret,))
    assert secret not in str(caught.value)


def test_a_listed_phrase_is_known_with_and_without_what_stands_between_its_words() -> None:
    listed = known.__wrapped__()
    assert {"changeme", "change me", "your256bitsecret", "your 256 bit secret"} <= listed
    assert "  " not in "".join(listed)
