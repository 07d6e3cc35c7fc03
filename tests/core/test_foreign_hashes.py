"""Hashes of other systems: each kind verifies as its maker made it; what is corrupt, weak or absurd is refused unseen."""

import base64
import contextlib
import hashlib
import sys
import unicodedata
from typing import Any

import argon2
import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.importing import pbkdf2, scrypt
from tests.vectors import load

from watchword.core import foreign_hashes, passwords
from watchword.core.errors import ConfigError, InvalidGrant, InvalidInput, UnusableHash
from watchword.core.foreign_hashes import UNKNOWN
from watchword.core.passwords import Argon2Parameters

CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)
GOOD = "seven lanterns over the harbour"
SALT = "Zs0l2Qm9xw4C"


def ab64(raw: bytes) -> str:
    """passlib's."""
    return base64.b64encode(raw).rstrip(b"=").decode().replace("+", ".")


def b64s(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()


def of_bcrypt(password: bytes, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4, prefix=b"2b")).replace(b"$2b$", b"$" + prefix + b"$").decode()


def made(password: str) -> dict[str, str]:
    """The password as every system keeps it."""
    raw, salt = password.encode(), SALT.encode()
    prehash = hashlib.sha256(raw).hexdigest().encode()
    kept = {
        "bcrypt 2a": of_bcrypt(raw[:72], b"2a"),
        "bcrypt 2b": of_bcrypt(raw[:72]),
        "bcrypt 2y": of_bcrypt(raw[:72], b"2y"),
        "Django bcrypt": "bcrypt$" + of_bcrypt(raw[:72]),
        "Django bcrypt_sha256": "bcrypt_sha256$" + of_bcrypt(prehash),
        "Django pbkdf2_sha256": pbkdf2(password),
        "Django pbkdf2_sha1": pbkdf2(password, name="sha1"),
        "Django scrypt": scrypt(password),
        "Django argon2": "argon2" + argon2.PasswordHasher(1, 8, 1).hash(password),
        "Werkzeug scrypt": "scrypt:1024:8:1$"
        + f"{SALT}${hashlib.scrypt(raw, salt=salt, n=1024, r=8, p=1, dklen=64).hex()}",
        "passlib scrypt": f"$scrypt$ln=10,r=8,p=1${b64s(salt)}$"
        + b64s(hashlib.scrypt(raw, salt=salt, n=1024, r=8, p=1, dklen=32)),
    }
    for name in ("sha1", "sha256", "sha512"):
        derived = hashlib.pbkdf2_hmac(name, raw, salt, 1000)
        kept[f"Werkzeug {name}"] = f"pbkdf2:{name}:1000${SALT}${derived.hex()}"
        kept[f"passlib {name}"] = f"$pbkdf2{'' if name == 'sha1' else '-' + name}$1000${ab64(salt)}${ab64(derived)}"
    for kind in argon2.Type:
        kept[f"PHC argon2{kind.name.lower()}"] = argon2.PasswordHasher(1, 16, 1, type=kind).hash(password)
    return kept


KEPT = made(GOOD)


def wrong(stored: str, password: str = GOOD) -> str:
    with pytest.raises(InvalidGrant) as caught:
        passwords.verify(stored, password, CHEAP)
    assert caught.value.detail == "The credentials are not valid."
    return caught.value.because


def refused(stored: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        foreign_hashes.accept(stored)
    told = caught.value.fields["password_hash"]
    assert len(stored) < 8 or stored[-8:] not in f"{told}{caught.value!r}{caught.value}"
    return told


@pytest.mark.parametrize("kind", KEPT)
class TestEveryKind:
    def test_is_taken_over_as_it_is(self, kind: str) -> None:
        assert foreign_hashes.accept(KEPT[kind]) == KEPT[kind]

    def test_lets_the_right_password_in_and_is_outdated(self, kind: str) -> None:
        assert passwords.verify(KEPT[kind], GOOD, CHEAP).outdated

    @pytest.mark.parametrize("password", ["", "x", GOOD + "x", GOOD[:-1], GOOD.upper(), GOOD + "\0", "\0" + GOOD])
    def test_lets_no_other_in(self, kind: str, password: str) -> None:
        """HMAC pads with NULs and bcrypt repeats its key, so a NUL more was the same password to some of them."""
        assert wrong(KEPT[kind], password) == "wrong password"

    def test_has_a_password_that_is_not_text_refused(self, kind: str) -> None:
        wrong(KEPT[kind], "\ud800")

    def test_is_refused_wherever_it_is_cut(self, kind: str) -> None:
        """A digest cut to one byte would let in one password in 256. (Argon2's tags have any length, which they depend on.)"""
        stored = KEPT[kind]
        for length in range(len(stored)):
            cut = stored[:length]
            if stored[length:].strip("="):  # padding may go
                because = wrong(cut)
                if "argon2" not in kind or len(cut.rsplit("$", 1)[-1]) < 22:
                    assert because == UNKNOWN or "argon2" in kind
                    refused(cut)

    def test_is_refused_with_something_behind_it(self, kind: str) -> None:
        for more in ("x", "\n", "$", " ", "\0", "é"):
            wrong(KEPT[kind] + more)
            if "argon2" not in kind or more != "x":
                refused(KEPT[kind] + more)

    def test_tries_what_was_typed_and_then_nfkc(self, kind: str) -> None:
        """Others hash what comes; a phone and a desktop type one letter as one code point or as two."""
        typed = unicodedata.normalize("NFD", "Ångström über alles ﬁn")
        normal = unicodedata.normalize("NFKC", typed)
        assert typed != normal
        raw, folded = made(typed)[kind], made(normal)[kind]
        assert passwords.verify(raw, typed, CHEAP).outdated
        assert passwords.verify(folded, typed, CHEAP).outdated
        assert wrong(raw, normal) == "wrong password"

    def test_shows_neither_hash_nor_salt(self, kind: str) -> None:
        kept = foreign_hashes.read(KEPT[kind])
        digest = KEPT[kind].rsplit("$", 1)[1]
        assert digest[-12:] not in repr(kept)
        assert SALT not in repr(kept)


def test_a_foreign_argon2id_hash_of_our_very_parameters_is_tried_raw_and_replaced_by_one_of_nfkc() -> None:
    typed = unicodedata.normalize("NFD", "Ångström über alles")
    stored = argon2.PasswordHasher(1, 8, 1).hash(typed)
    assert passwords.verify(stored, typed, CHEAP).outdated
    ours = passwords.hash_password(typed, CHEAP)
    assert not passwords.verify(ours, typed, CHEAP).outdated


class TestBcrypt:
    def test_it_reads_72_bytes_and_no_more(self) -> None:
        """Whoever has a longer password signed in with the first 72 bytes of it, and still can; the new hash has it all."""
        long = "é" * 40
        stored = of_bcrypt(long.encode()[:72])
        assert passwords.verify(stored, long, CHEAP)
        assert passwords.verify(stored, "é" * 36 + "anything", CHEAP)
        assert wrong(stored, "é" * 35 + "e" * 2) == "wrong password"
        new = passwords.hash_password(long, CHEAP)
        assert wrong(new, "é" * 36 + "anything") == "wrong password"

    def test_prehashed_it_reads_everything(self) -> None:
        stored = made("x" * 100)["Django bcrypt_sha256"]
        assert passwords.verify(stored, "x" * 100, CHEAP)
        assert wrong(stored, "x" * 99) == "wrong password"

    def test_a_nul_never_repeats_the_key(self) -> None:
        """bcrypt repeats its key: `a` and `a NUL a` are one to it."""
        stored = of_bcrypt(b"a")
        assert bcrypt.checkpw(b"a\0a", stored.encode())
        assert wrong(stored, "a\0a") == "wrong password"

    def test_the_cost_has_two_bounds(self) -> None:
        for cost in ("17", "31", "99"):
            costly = KEPT["bcrypt 2b"].replace("$04$", f"${cost}$")
            assert "a cost over 16" in wrong(costly)
            assert "a cost over 16" in refused(costly)
        assert foreign_hashes.accept(KEPT["bcrypt 2b"].replace("$04$", "$16$"))
        for cost in ("00", "03"):
            assert wrong(KEPT["bcrypt 2b"].replace("$04$", f"${cost}$")) == UNKNOWN

    def test_spare_bits_are_no_fault(self) -> None:
        """Some libraries fill the last bits of the salt, and ours would refuse them for ever."""
        stored = KEPT["bcrypt 2b"]
        for place in (28, 59):
            index = foreign_hashes.BCRYPT_ALPHABET.index(stored[place])
            filled = stored[:place] + foreign_hashes.BCRYPT_ALPHABET[index | 1] + stored[place + 1 :]
            assert filled != stored
            assert passwords.verify(filled, GOOD, CHEAP)

    def test_known_vectors(self) -> None:
        """Of the OpenBSD test suite, as jBCrypt carries them."""
        for password, stored in (
            ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
            ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
            ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
        ):
            assert passwords.verify(stored, password, CHEAP)

    def test_without_the_library_the_import_says_how_to_get_it_and_a_login_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "bcrypt", None)
        with pytest.raises(ConfigError, match=r"pip install bcrypt"):
            foreign_hashes.accept(KEPT["Django bcrypt"])
        assert "pip install" in wrong(KEPT["bcrypt 2b"])
        assert foreign_hashes.accept(KEPT["Django scrypt"])


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed."""

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("it was computed")

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", never)
    monkeypatch.setattr(hashlib, "scrypt", never)
    monkeypatch.setattr(bcrypt, "checkpw", never)
    monkeypatch.setattr(argon2.PasswordHasher, "verify", never)


DIGEST = base64.b64encode(bytes(64)).decode()
SHORT = base64.b64encode(bytes(32)).decode()
PHC = f"${b64s(bytes(16))}${b64s(bytes(32))}"
ABSURD = {
    f"pbkdf2_sha256$10000001${SALT}${SHORT}": "over 10,000,000 iterations",
    f"pbkdf2_sha256$9999999999${SALT}${SHORT}": "over 10,000,000 iterations",
    f"scrypt$524288${SALT}$8$1${DIGEST}": "over 256 MiB",
    f"scrypt$2$900000${SALT}$1$1${DIGEST}": "",
    f"scrypt$1024${SALT}$8$1025${DIGEST}": "over 1 GiB",
    f"scrypt$1024${SALT}$9999999999$1${DIGEST}": "over 256 MiB",
    f"scrypt:2147483648:8:1${SALT}${bytes(64).hex()}": "over 256 MiB",
    f"$scrypt$ln=99,r=8,p=1${b64s(SALT.encode())}${b64s(bytes(32))}": "over 256 MiB",
    f"$argon2id$v=19$m=1048577,t=1,p=1{PHC}": "over 1 GiB",
    f"$argon2id$v=19$m=1048576,t=5,p=1{PHC}": "over 4 GiB",
    f"$argon2i$v=19$m=8,t=4294967295,p=1{PHC}": "over 4 GiB",
    f"argon2$argon2d$v=19$m=65536,t=1000,p=1{PHC}": "over 4 GiB",
    f"$argon2id$v=19$m=65536,t=1,p=65{PHC}": "over 64 lanes",
    f"$argon2id$v=19$m=512,t=8192,p=64{PHC}": "over 16,384 passes",  # within all other bounds: two minutes
    f"scrypt:2:1048576:4${SALT}${bytes(64).hex()}": "over 256 MiB",  # the same: 1.6 GB
}


@pytest.mark.parametrize("stored", ABSURD)
def test_an_absurd_cost_is_refused_before_any_work(stored: str, no_work: None) -> None:
    """Whoever can write one row (or one line of an export) would stop all logins with it."""
    assert ABSURD[stored] in wrong(stored)
    refused(stored)
    if ABSURD[stored]:
        assert ABSURD[stored] in refused(stored)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("", "write null"),
        ("!" + "x" * 40, "Write null"),
        ("*", "Write null"),
        ("x" * 1025, "over 1024 characters"),
        ("pbkdf2_sha256$1000$$" + SHORT, "no salt"),
        (f"pbkdf2_sha256$1000$abc${SHORT}", "a salt of under 4 bytes"),
        (f"pbkdf2_sha256$999${SALT}${SHORT}", "fewer than 1,000 iterations"),
        (f"pbkdf2_sha256$0${SALT}${SHORT}", "not whole"),
        (f"pbkdf2_sha256$1000${SALT}$", "not whole"),
        (f"pbkdf2_sha256$1000${SALT}${DIGEST}", "not whole"),
        (f"pbkdf2_sha256$1000${SALT}$A", "not whole"),
        (f"pbkdf2:sha256:1000${SALT}$abc", "not whole"),
        (f"pbkdf2_sha256$1000$\ud800${SHORT}", "not whole"),
        (f"scrypt$512${SALT}$8$1${DIGEST}", "less than 1 MiB"),
        (f"scrypt$1000${SALT}$8$1${DIGEST}", "not whole"),
        (f"scrypt$1${SALT}$8192$1${DIGEST}", "not whole"),
        (f"scrypt$65536${SALT}$1$1${DIGEST}", "not whole"),
        (f"scrypt$1024$$8$1${DIGEST}", "no salt"),
        (f"$argon2id$v=19$m=8,t=1,p=2{PHC}", "not whole"),
        (f"$argon2id$v=19$m=8,t=1,p=1$${b64s(bytes(32))}", "not whole"),
        (f"$argon2id$v=19$m=8,t=1,p=1${b64s(bytes(16))}$", "not whole"),
        (f"$argon2id$v=19$m=8,t=1,p=1${b64s(bytes(7))}${b64s(bytes(32))}", "not whole"),
        (f"$argon2id$v=19$m=8,t=1,p=1${b64s(bytes(16))}${b64s(bytes(15))}", "not whole"),
        (f"$argon2id$v=19$m=8,t=1,p=1${'A' * 21}B${b64s(bytes(32))}", "not whole"),
        ("$2x$04$" + "a" * 53, "not whole"),
        (f"pbkdf2_sha256$1000$sa\0lt{SHORT}", "not whole"),  # PostgreSQL has no NUL: the line would stop every import
        (f"scrypt:1024:8:1$salt\x1b[2J${bytes(64).hex()}", "not whole"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "unknown kind"),
        ("$6$rounds=5000$saltsalt$" + "a" * 86, "unknown kind"),
        ("md5$salt$5f4dcc3b5aa765d61d8327deb882cf99", "unknown kind"),
        ("{SSHA}aGFzaA==", "unknown kind"),
        (GOOD, "unknown kind"),
    ],
)
def test_what_protects_nobody_is_not_taken_over_and_the_text_says_what_it_lacks(stored: str, told: str) -> None:
    assert told in refused(stored)


def test_a_weak_hash_that_is_in_the_database_already_still_verifies_and_is_replaced() -> None:
    assert passwords.verify(pbkdf2(iterations=1, salt="a"), GOOD, CHEAP).outdated


def test_our_own_parameters_are_ours_to_choose() -> None:
    """A deployment with more lanes or memory than the bound is not locked out by it."""
    many = Argon2Parameters(memory_cost=8 * 65, time_cost=1, parallelism=65)
    stored = passwords.hash_password(GOOD, many)
    assert not passwords.verify(stored, GOOD, many).outdated
    assert "lanes" in wrong(stored)


def test_what_argon2_itself_refuses_is_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise argon2.exceptions.VerificationError("memory allocation error")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", fail)
    assert wrong(KEPT["PHC argon2i"]) == UNKNOWN


class TestVectors:
    @pytest.mark.parametrize(
        ("password", "salt", "iterations", "digest"),
        [
            ("password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            ("password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
        ],
    )
    def test_pbkdf2_of_rfc_6070(self, password: str, salt: str, iterations: int, digest: str) -> None:
        assert passwords.verify(f"pbkdf2:sha1:{iterations}${salt}${digest}", password, CHEAP)

    def test_scrypt_of_rfc_7914(self) -> None:
        blocks = "\n".join(load("otp-and-kdf")["scrypt_raw_lines"]).split("\n\n\n")
        tried = 0
        for block in blocks:
            one = dict(line.split(" =") for line in block.strip().splitlines())
            n, r, p, salt = (one[name].strip() for name in ("N", "r", "p", "SALT"))
            stored = f"scrypt:{n}:{r}:{p}${salt}${one['DERIVED_KEY'].strip()}"
            if int(n) > 2**18:  # 1 GiB: the bound is meant for it
                assert "over 256 MiB" in wrong(stored)
                continue
            assert passwords.verify(stored, one["PASSWORD"].strip(), CHEAP)
            tried += 1
        assert tried == 3


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec=None), max_size=120) | st.from_regex(r"(\$|pbkdf2|scrypt|argon2|bcrypt)[\x20-\x7e]*")
)
def test_any_text_is_read_or_refused_with_no_other_error(stored: str) -> None:
    with contextlib.suppress(UnusableHash):
        foreign_hashes.read(stored)


def test_nothing_is_like_a_hash_that_nobody_knows() -> None:
    with pytest.raises(UnusableHash):
        foreign_hashes.likeness("no hash at all")
