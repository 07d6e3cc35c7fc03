"""Refresh tokens: a text that only we can have made, and that says nothing else."""

import hashlib
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors import load

from watchword.core import opaque
from watchword.core.errors import InvalidGrant

KEY, OLD_KEY, FOREIGN_KEY = b"k" * 32, b"o" * 32, b"f" * 32
SESSION = opaque.identifier(bytes(range(16)))
R = bytes(range(32))
TOKEN = opaque.mint(SESSION, 7, R, (KEY,))
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def refused(text: str, keys: tuple[bytes, ...] = (KEY,)) -> str:
    with pytest.raises(InvalidGrant) as caught:
        opaque.parse(text, keys)
    assert caught.value.detail == "The credentials are not valid."
    return caught.value.because


def with_mac(body: str, key: bytes = KEY) -> str:
    """Any body with a genuine mac behind it."""
    return f"{body}.{opaque._encode(opaque._mac(key, body))}"


@given(
    st.binary(min_size=16, max_size=16), st.integers(0, opaque.MAX_GENERATION - 1), st.binary(min_size=32, max_size=32)
)
def test_what_is_minted_is_parsed(entropy: bytes, generation: int, r: bytes) -> None:
    session_id = opaque.identifier(entropy)
    presented = opaque.parse(opaque.mint(session_id, generation, r, (KEY,)), (KEY,))
    assert (presented.session_id, presented.generation, presented.r) == (session_id, generation, r)
    assert presented.r_hash == hashlib.sha256(r).digest()


def test_the_same_generation_has_the_same_text_so_that_a_retry_gets_the_same_successor() -> None:
    assert opaque.mint(SESSION, 7, R, (KEY,)) == TOKEN
    assert TOKEN.startswith(f"wwr_{SESSION}.7.")
    assert len(TOKEN) == 4 + 26 + 3 + 43 + 43 + 1


@given(st.binary(min_size=16, max_size=16))
def test_an_identifier_is_26_letters_and_digits(entropy: bytes) -> None:
    text = opaque.identifier(entropy)
    assert len(text) == 26
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_every_flipped_bit_is_refused() -> None:
    for position in range(len(TOKEN)):
        for bit in range(7):
            refused(TOKEN[:position] + chr(ord(TOKEN[position]) ^ (1 << bit)) + TOKEN[position + 1 :])


def test_every_truncation_and_every_added_letter_is_refused() -> None:
    for length in range(len(TOKEN)):
        refused(TOKEN[:length])
        refused(TOKEN[length + 1 :])
    for letter in "aA0.-_= \n\0é":
        refused(TOKEN + letter)
        refused(letter + TOKEN)


def test_the_mac_covers_the_session_the_generation_and_the_random_part() -> None:
    """Whoever knows a token can't turn it into one of another session, another generation or another family."""
    other = opaque.mint(opaque.identifier(bytes(16)), 8, bytes(32), (KEY,)).split(".")
    mine = TOKEN.split(".")
    for part in range(4):
        mixed = [*mine]
        mixed[part] = other[part]
        assert refused(".".join(mixed)) == "the refresh token's mac does not verify"


def test_a_mac_of_another_key_is_refused() -> None:
    refused(opaque.mint(SESSION, 7, R, (FOREIGN_KEY,)))
    refused(TOKEN, (FOREIGN_KEY,))
    refused(TOKEN, ())


def test_an_old_master_key_still_reads_and_the_first_one_writes() -> None:
    old = opaque.mint(SESSION, 7, R, (OLD_KEY,))
    assert opaque.parse(old, (KEY, OLD_KEY)).generation == 7
    assert opaque.mint(SESSION, 7, R, (KEY, OLD_KEY)) == TOKEN
    refused(old, (KEY,))
    refused(old, (KEY, FOREIGN_KEY))


@pytest.mark.parametrize("part", [2, 3])
def test_a_part_with_its_spare_bits_set_is_refused(part: int) -> None:
    """The last of 43 letters has two bits that no byte takes: a token would have four texts, or sixteen with both."""
    parts = TOKEN.split(".")
    last = ALPHABET.index(parts[part][-1])
    assert last % 4 == 0
    for spare in (1, 2, 3):
        odd = [*parts]
        odd[part] = odd[part][:-1] + ALPHABET[last + spare]
        text = ".".join(odd) if part == 3 else with_mac(".".join(odd[:3]))
        assert refused(text) == "not canonical base64url"


@pytest.mark.parametrize(
    ("generation", "good"),
    [
        ("0", True),
        ("1", True),
        (str(2**53 - 2), True),
        (str(2**53 - 1), False),
        (str(2**53), False),
        ("9" * 16, False),
        ("9" * 17, False),
        ("00", False),
        ("07", False),
        ("-1", False),
        ("+1", False),
        ("1.0", False),
        ("1e3", False),
        ("0x1", False),
        ("1_0", False),
        ("", False),
        (" 1", False),
        ("٧", False),
        ("７", False),
        ("²", False),
    ],
)
def test_a_generation_is_a_plain_number_that_still_has_a_successor(generation: str, good: bool) -> None:
    text = with_mac(f"wwr_{SESSION}.{generation}.{opaque._encode(R)}")
    if good:
        assert opaque.parse(text, (KEY,)).generation == int(generation)
    else:
        refused(text)


@pytest.mark.parametrize(
    "body",
    [
        f"wwr_{SESSION.upper()}.7.{opaque._encode(R)}",
        f"WWR_{SESSION}.7.{opaque._encode(R)}",
        f"{SESSION}.7.{opaque._encode(R)}",
        f"wwr_{SESSION}a.7.{opaque._encode(R)}",
        f"wwr_{SESSION[:-1]}.7.{opaque._encode(R)}",
        f"wwr_{SESSION[:-1]}1.7.{opaque._encode(R)}",
        f"wwr_{SESSION[:-1]}'.7.{opaque._encode(R)}",
        f"wwr_{SESSION}.7.{opaque._encode(R[:-1])}",
        f"wwr_{SESSION}.7.{opaque._encode(R)}=",
        f"wwr_{SESSION}.7",
        f"wwr_{SESSION}.7.{opaque._encode(R)}.x",
    ],
)
def test_another_shape_is_refused_even_with_a_genuine_mac(body: str) -> None:
    assert refused(with_mac(body)) == "not a refresh token of ours"


@pytest.mark.parametrize(
    "text", ["", ".", "wwr_", "wwr_...", "null", "wwr_" + "a" * 300, "x" * 10_000_000, "\ud800", "\0"]
)
def test_garbage_is_refused(text: str) -> None:
    refused(text)


def test_naughty_strings_are_refused() -> None:
    for text in load("naughty-strings")["strings"]:
        refused(text)
        refused(f"wwr_{text}")
        refused(with_mac(f"wwr_{text}"))


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    refused(text)


@given(st.data())
def test_any_edit_of_a_token_is_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(TOKEN)))
    end = data.draw(st.integers(start, len(TOKEN)))
    edited = TOKEN[:start] + data.draw(st.text(st.sampled_from(ALPHABET + ".="), max_size=50)) + TOKEN[end:]
    if edited != TOKEN:
        refused(edited)


def test_the_text_of_a_presented_token_shows_no_secret() -> None:
    presented: Any = opaque.parse(TOKEN, (KEY,))
    assert repr(presented) == f"Presented(session_id='{SESSION}', generation=7)"
