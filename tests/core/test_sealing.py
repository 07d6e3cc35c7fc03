"""Secrets at rest open at their place, with their key, unchanged; and not otherwise."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.core import sealing
from watchword.core.errors import ConfigError

MASTER, OLD, FOREIGN = b"m" * 32, b"o" * 32, b"f" * 32
NONCE = bytes(range(12))
PLACE = "watchword_keys.sealed.1"
SEALED = sealing.seal(b"secret", PLACE, [MASTER], NONCE)


def stays_shut(sealed: bytes, place: str = PLACE, masters: tuple[bytes, ...] = (MASTER,)) -> str:
    with pytest.raises(ConfigError) as caught:
        sealing.unseal(sealed, place, masters)
    return str(caught.value)


@given(st.binary(max_size=200), st.text(st.characters(codec="utf-8"), max_size=30), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_at_its_place(plain: bytes, place: str, nonce: bytes) -> None:
    sealed = sealing.seal(plain, place, [MASTER], nonce)
    assert sealing.unseal(sealed, place, [MASTER]) == plain
    assert len(sealed) == 1 + 12 + len(plain) + 16


def test_what_is_sealed_does_not_show() -> None:
    assert b"secret" not in SEALED
    assert SEALED[1:13] == NONCE


def test_the_first_master_key_seals_and_all_open() -> None:
    assert sealing.seal(b"secret", PLACE, [MASTER, OLD], NONCE) == SEALED
    old = sealing.seal(b"secret", PLACE, [OLD], NONCE)
    assert sealing.unseal(old, PLACE, [MASTER, OLD]) == b"secret"
    assert sealing.unseal(old, PLACE, [MASTER, FOREIGN, OLD]) == b"secret"
    stays_shut(old, masters=(MASTER, FOREIGN))
    stays_shut(old, masters=())


def test_it_is_known_which_master_key_opens() -> None:
    old = sealing.seal(b"secret", PLACE, [OLD], NONCE)
    assert sealing.opened(SEALED, PLACE, [MASTER, OLD]) == (0, b"secret")
    assert sealing.opened(old, PLACE, [MASTER, OLD]) == (1, b"secret")


@pytest.mark.parametrize(
    "place", ["", "watchword_keys.sealed.2", "watchword_keys.sealed.1 ", "watchword_keys.sealed.11"]
)
def test_a_sealed_value_that_is_moved_to_another_place_does_not_open(place: str) -> None:
    """Who can write to the database can't put one row's secret into another row."""
    stays_shut(SEALED, place)


def test_every_flipped_bit_keeps_it_shut() -> None:
    for bit in range(len(SEALED) * 8):
        stays_shut((int.from_bytes(SEALED) ^ (1 << bit)).to_bytes(len(SEALED)))


def test_every_truncation_keeps_it_shut() -> None:
    for length in range(len(SEALED)):
        stays_shut(SEALED[:length])
        stays_shut(SEALED[length + 1 :])
    stays_shut(SEALED + b"\0")


@given(st.binary(max_size=64))
def test_any_bytes_stay_shut(garbage: bytes) -> None:
    stays_shut(garbage)
    stays_shut(sealing.VERSION + garbage)


def test_the_refusal_names_the_setting_and_the_place_and_no_secret() -> None:
    told = stays_shut(SEALED, masters=(FOREIGN,))
    assert "WATCHWORD_MASTER_KEYS" in told
    assert PLACE in told
    assert FOREIGN.decode() not in told
    assert SEALED.hex() not in told


def test_keys_of_two_purposes_and_of_two_masters_differ() -> None:
    derived = {
        sealing.derive(master, purpose) for master in (MASTER, OLD) for purpose in ("sealing", "check", "refresh")
    }
    assert len(derived) == 6
    assert all(len(key) == 32 for key in derived)
    assert sealing.derive(MASTER, "sealing") == sealing.derive(MASTER, "sealing")


def test_a_derived_key_is_that_of_rfc_5869() -> None:
    """HKDF-SHA256 without salt, computed by hand: one block of expansion."""
    prk = hmac.digest(bytes(32), MASTER, hashlib.sha256)
    assert sealing.derive(MASTER, "sealing") == hmac.digest(prk, b"watchword/sealing/1\x01", hashlib.sha256)


def test_the_check_value_recognises_a_master_key_and_does_not_hold_it() -> None:
    value = sealing.check_value(MASTER)
    assert value == sealing.check_value(MASTER)
    assert value != sealing.check_value(OLD)
    assert len(value) == 64
    assert MASTER.hex() not in value
    assert sealing.derive(MASTER, "check").hex() != value
