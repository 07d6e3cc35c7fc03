"""Passwords: what is accepted, how it is kept, and that a hash that is not whole lets nobody in."""

import base64
import contextlib
import math
import re
import unicodedata
from typing import Any

import argon2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vectors import load
from zxcvbn_rs_py import zxcvbn

from watchword.core import passwords
from watchword.core.errors import InvalidGrant, WeakPassword
from watchword.core.passwords import OWASP, Argon2Parameters

CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)
UNICODE = st.characters(codec="utf-8")
GOOD = "seven lanterns over the harbour"
CONTEXT = ("ada.lovelace@example.com", "ada_lovelace", "watchword")


def accepted(password: str, minimum: int = 15, context: tuple[str, ...] = CONTEXT) -> None:
    passwords.check(password, minimum, context)


def refused(password: str, minimum: int = 15, context: tuple[str, ...] = CONTEXT) -> WeakPassword:
    with pytest.raises(WeakPassword) as caught:
        passwords.check(password, minimum, context)
    assert (caught.value.status, caught.value.code) == (422, "weak_password")
    return caught.value


def wrong(stored: str, password: str, parameters: Argon2Parameters = CHEAP) -> str:
    with pytest.raises(InvalidGrant) as caught:
        passwords.verify(stored, password, parameters)
    assert caught.value.detail == "The credentials are not valid."
    return caught.value.because


SIXTEEN = (
    "kfzqhwvmxjrtbpnd",
    "길고어려운비밀번호를만들어보자요",
    "日本語長密碼雪月花鳥風山川海空星",
    "🦊🌊🔔🍁🛶🎻🧭🪐🥁🧶🎲🪁🫖🧊🐙🦉",
)


# Length: PW-01, PW-02


@pytest.mark.parametrize("minimum", [8, 15])
def test_the_minimum_is_counted_in_code_points(minimum: int) -> None:
    for letters in SIXTEEN:
        assert len(letters) == 16
        accepted(letters[:minimum], minimum)
        assert refused(letters[: minimum - 1], minimum).because == f"shorter than {minimum}"


def test_a_ligature_is_one_character_and_not_the_eighteen_that_it_stands_for() -> None:
    """NFKC turns U+FDFA into eighteen letters: a single key press was a password of fifteen characters."""
    assert len(unicodedata.normalize("NFKC", "ﷺ")) == 18
    assert refused("ﷺ").because == "shorter than 15"
    assert refused("ﬁve quick ﬁgs").because == "shorter than 15"
    assert refused("ﷺ" * 15).because == "too easy to guess"
    accepted("ﬁve quick ﬁgs and a kettle")


def test_letters_that_melt_into_fewer_are_counted_afterwards() -> None:
    """Fourteen letters with fourteen accents beside them are fourteen characters, however they are typed."""
    assert refused(unicodedata.normalize("NFD", "éàüôñçéàüôñçéà")).because == "shorter than 15"


def test_a_refusal_says_what_would_do() -> None:
    assert "at least 15 characters" in refused("short").detail
    assert "few words" in refused("short").detail
    assert "unrelated words" in refused("passwordpassword").detail


@pytest.mark.parametrize("length", [15, 64, 72, 73, 128, 1024])
def test_a_long_password_is_accepted_up_to_the_cap(length: int) -> None:
    accepted((GOOD * 40)[:length])
    assert passwords.hashable("x" * length)


@pytest.mark.parametrize("length", [1025, 20_000_000])
def test_a_password_over_the_cap_is_refused_before_it_is_looked_at(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Any:
        raise AssertionError("it was looked at")

    monkeypatch.setattr(passwords, "normalize", never)
    monkeypatch.setattr(passwords, "zxcvbn", never)
    assert "at most 1024 characters" in refused("x" * length).detail
    assert not passwords.hashable("x" * length)


def test_the_cap_leaves_room_for_what_nfkc_makes_of_it() -> None:
    longest = "ﷺ" * passwords.MAX_LENGTH
    assert passwords.hashable(longest)
    assert passwords.verify(passwords.hash_password(longest, CHEAP), longest, CHEAP)


DISGUISED = "4@8({[<3690!1|70$5+%2"


@given(st.text(DISGUISED + "abcﷺ", min_size=15, max_size=1024))
def test_the_estimate_reads_no_more_than_it_can_in_a_bounded_time(password: str) -> None:
    """A hundred characters that stand for many letters each took the estimate 700 ms, for anybody who may register."""
    read: list[str] = []

    def estimate(text: str, words: list[str]) -> Any:
        read.append(text)
        return zxcvbn(text[:15], words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "zxcvbn", estimate)
        with contextlib.suppress(WeakPassword):
            passwords.check(password, 15)
    assert 1 <= len(read) <= 2
    for text in read:
        choices = [max(1, len(set(text) & set(letters))) for letters in passwords.DISGUISES]
        assert len(text) ** 2 * math.prod(choices) <= passwords.EFFORT
        assert 15 <= len(text) <= passwords.ESTIMATED


def test_a_password_that_disguises_every_letter_is_accepted_and_an_easy_one_with_all_digits_is_not() -> None:
    accepted("7[k4@8x({[q<3690!1|70$5+%2" * 4)
    accepted(DISGUISED)
    refused("1234567890" * 4)
    refused("p4$$w0rdp4$$w0rd")


# Composition: PW-03


@pytest.mark.parametrize(
    "password",
    [
        "seven lanterns over the harbour",
        "  leading and trailing  ",
        "kettles orchard nine beneath",
        "NINE KETTLES BENEATH",
        "8402 5519 7730 6614 2",
        "🦊 🌊 🔔 🍁 🛶 🎻 🧭 🪐",
        "바다 위의 일곱 등불과 조용한 달",
        "ünïcödé wørds ärè fînê",
        "tab\tand\nnewline and more",
        "';DROP TABLE users;--x",
    ],
)
def test_any_characters_make_a_password(password: str) -> None:
    accepted(password)


# Common words and context: PW-04


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "Password1234567",
        "P@ssw0rdP@ssw0rd",
        "123456789012345",
        "qwertyuiopasdfgh",
        "iloveyouiloveyou",
        "aaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "abcdefghijklmnopqrstuvwxyz",
        "111111111111111",
        "               ",
        "\0" * 20,
        "🔥" * 20,
        "letmeinletmein1",
        "ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ",
    ],
)
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    assert refused(password).because == "too easy to guess"


@pytest.mark.parametrize(
    ("password", "context"),
    [
        ("ada.lovelace@example.com", CONTEXT),
        ("ADA.LOVELACE@EXAMPLE.COM", CONTEXT),
        ("adalovelacewatchword", CONTEXT),
        ("watchwordwatchword", CONTEXT),
        ("watchword1234567", CONTEXT),
        ("maximilianmustermann", ("maximilian.mustermann@example.com",)),
        ("maximilian.mustermann", ("maximilian.mustermann@example.com",)),
        ("zorbulaxifrontimel", ("zorbulaxifrontimel",)),
        ("zorbulaxifrontimel1", ("Zorbulaxifrontimel",)),
    ],
)
def test_what_everybody_would_try_who_knows_the_account_is_refused(password: str, context: tuple[str, ...]) -> None:
    assert refused(password, context=context).because == "too easy to guess"


def test_a_word_is_refused_only_where_it_is_known() -> None:
    accepted("zorbulaxifrontimel", context=())


def test_the_context_may_be_any_iterable_even_one_that_is_read_once() -> None:
    with pytest.raises(WeakPassword):
        passwords.check("zorbulaxifrontimelﬁ", 15, (word for word in ("zorbulaxifrontimel", "fi", "ﬁ")))


@pytest.mark.parametrize("context", [(), ("",), ("a", "b"), ("@", "..", "___"), ("x" * 5000,), ("é" * 100, "\0")])
def test_an_odd_context_spoils_nothing(context: tuple[str, ...]) -> None:
    accepted(GOOD, context=context)


def test_naughty_strings_are_accepted_or_refused_with_no_other_error() -> None:
    for text in load("naughty-strings")["strings"]:
        try:
            passwords.check(text, 8, (text[:20],))
        except WeakPassword:
            continue


@given(
    st.text(st.characters(codec=None), max_size=40),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=3),
)
def test_any_text_is_accepted_or_refused_with_no_other_error(password: str, context: list[str]) -> None:
    try:
        passwords.check(password, 8, context)
    except WeakPassword:
        return
    assert len(password) >= 8
    assert passwords.hashable(password)


# No truncation, no folding: PW-05


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x" * 72 + "a", "x" * 72 + "b"),
        ("x" * 72, "x" * 73),
        ("é" * 36 + "a", "é" * 36 + "b"),
        ("x" * 1023 + "a", "x" * 1023 + "b"),
        ("a\0b", "a\0c"),
        ("a\0", "a"),
        ("\0a", ""),
        ("Seven Lanterns", "seven lanterns"),
        ("İstanbul", "istanbul"),
        ("straße", "strasse"),
        ("pass word", "password"),
        (" password", "password"),
        ("password\n", "password"),
        ("é", "e"),
        ("а", "a"),
    ],
)
def test_two_passwords_are_two(one: str, other: str) -> None:
    stored = passwords.hash_password(one, CHEAP)
    assert passwords.verify(stored, one, CHEAP)
    assert wrong(stored, other) == "wrong password"


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize(
    "text", ["Ä café für Zoë", "한국어 비밀번호", "ﬁne ﬂour", "ｆｕｌｌ ｗｉｄｔｈ", "①②③ ½ ™", "Å\u030a"]
)
def test_one_password_typed_on_two_keyboards_is_one(text: str, form: Any) -> None:
    typed = unicodedata.normalize(form, text)
    assert passwords.verify(passwords.hash_password(text, CHEAP), typed, CHEAP)
    assert passwords.verify(passwords.hash_password(typed, CHEAP), text, CHEAP)


@pytest.mark.parametrize("password", ["\ud800", "\udfff" * 20, "seven lanterns over \ud800 the harbour"])
def test_a_lone_surrogate_is_refused_and_no_server_error(password: str) -> None:
    assert "valid Unicode" in refused(password).detail
    assert not passwords.hashable(password)
    wrong(passwords.hash_password("x", CHEAP), password)


@settings(max_examples=30)
@given(st.text(UNICODE, max_size=30), st.text(UNICODE, max_size=30))
def test_a_password_verifies_its_own_hash_and_no_other(one: str, other: str) -> None:
    stored = passwords.hash_password(one, CHEAP)
    assert passwords.verify(stored, one, CHEAP)
    if unicodedata.normalize("NFKC", one) != unicodedata.normalize("NFKC", other):
        wrong(stored, other)


# How it is kept: PW-06


def test_the_parameters_are_those_of_owasp_unless_others_are_given() -> None:
    assert Argon2Parameters(19456, 2, 1) == OWASP
    stored = passwords.hash_password(GOOD)
    assert re.fullmatch(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", stored)
    assert passwords.verify(stored, GOOD).outdated is False


def test_equal_passwords_have_different_hashes() -> None:
    assert len({passwords.hash_password(GOOD, CHEAP) for _ in range(20)}) == 20
    assert len({passwords.hash_password(GOOD, CHEAP).split("$")[4] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "old",
    [
        Argon2Parameters(16, 1, 1),
        Argon2Parameters(8, 2, 1),
        Argon2Parameters(16, 1, 2),
    ],
)
def test_a_hash_of_other_parameters_is_right_and_outdated(old: Argon2Parameters) -> None:
    stored = passwords.hash_password(GOOD, old)
    assert passwords.verify(stored, GOOD, CHEAP).outdated is True
    assert passwords.verify(stored, GOOD, old).outdated is False
    wrong(stored, "other")


@pytest.mark.parametrize("kind", [argon2.Type.I, argon2.Type.D])
def test_a_hash_of_another_kind_of_argon2_is_right_and_outdated(kind: argon2.Type) -> None:
    stored = argon2.PasswordHasher(1, 8, 1, type=kind).hash(GOOD.encode())
    assert passwords.verify(stored, GOOD, CHEAP).outdated is True
    wrong(stored, "other")


def test_the_vectors_of_rfc_9106_that_need_no_secret_verify() -> None:
    tried = 0
    for vector in load("otp-and-kdf")["argon2id"]:
        if "secret" in vector or "ad" in vector:
            continue
        salt, tag = (b64(bytes.fromhex(vector[name])) for name in ("salt", "output"))
        costs = f"m={vector['memcost']},t={vector['iter']},p={vector['lanes']}"
        password = bytes.fromhex(vector["pass"]).decode()
        assert passwords.verify(f"$argon2id$v=19${costs}${salt}${tag}", password).outdated
        tried += 1
    assert tried >= 2


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()


# A corrupt hash fails closed: PW-09


WHOLE = passwords.hash_password(GOOD, CHEAP)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x",
        GOOD,
        "$",
        "$$$$$",
        "!",
        "*",
        "\0",
        "é",
        "\ud800",
        "plain:" + GOOD,
        "$argon2id$",
        "$argon2id$v=19$m=8,t=1,p=1$",
        "$argon2id$v=19$m=8,t=1,p=1$$",
        "$argon2id$v=19$m=0,t=0,p=0$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=-8,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=4294967295,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=99999999999999999999,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=99$m=8,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2xx$v=19$m=8,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "pbkdf2_sha256$1000000$salt$aGFzaA==",
        "{SSHA}aGFzaA==",
        "5f4dcc3b5aa765d61d8327deb882cf99",
    ],
)
def test_a_hash_that_is_corrupt_or_unknown_is_refused_like_a_wrong_password(stored: str) -> None:
    for password in (GOOD, "", stored.encode("utf-8", "replace").decode()):
        wrong(stored, password)


def test_every_truncated_hash_is_refused() -> None:
    for length in range(len(WHOLE)):
        wrong(WHOLE[:length], GOOD)


def test_a_hash_with_any_letter_changed_is_refused() -> None:
    for position in range(len(WHOLE)):
        changed = WHOLE[:position] + chr(ord(WHOLE[position]) ^ 1) + WHOLE[position + 1 :]
        try:
            passwords.verify(changed, GOOD, CHEAP)
        except InvalidGrant:
            continue
        pytest.fail(f"letter {position} of the hash does not matter")


def test_the_log_can_tell_a_corrupt_hash_from_a_wrong_password_and_the_caller_cannot() -> None:
    assert wrong(WHOLE, "other") == "wrong password"
    assert wrong("x", "other") == "the stored hash is corrupt or of an unknown kind"


def test_no_refusal_tells_the_password_or_the_hash() -> None:
    for stored in (WHOLE, "secret-hash"):
        with pytest.raises(InvalidGrant) as caught:
            passwords.verify(stored, "my secret guess", CHEAP)
        assert not re.search("secret", f"{caught.value} {caught.value!r} {caught.value.detail}")
    for password in ("secret", "secret" * 300, "secret\ud800"):
        assert not re.search("secret", f"{refused(password)!r} {refused(password).detail} {refused(password).fields}")
