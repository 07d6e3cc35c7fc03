"""Addresses and usernames have one form, so that two accounts can't be told apart by their letters' width alone."""

import sys
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors import load

from watchword.core import emails
from watchword.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada@Example.COM \n", "ada@example.com"),
        ("ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),
        ("ada＠example.com", "ada@example.com"),
        ("ＡＤＡ@example.com", "ada@example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("straße@example.com", "strasse@example.com"),
        ("ﬁne@example.com", "fine@example.com"),
        ("e\u0301@example.com", "é@example.com"),
        ("길동@한국.한국", "길동@한국.한국"),
        ("ada+tag@example.com", "ada+tag@example.com"),
        ("o'hara!#$%&*/=?^_`{|}~-@example.com", "o'hara!#$%&*/=?^_`{|}~-@example.com"),
        ("a@localhost", "a@localhost"),
        ("a@b.c", "a@b.c"),
        ("a.b.c@sub.domain.example.com", "a.b.c@sub.domain.example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_is_stored_in_one_form(typed: str, stored: str) -> None:
    assert emails.canonical_email(typed) == stored
    assert emails.accept_email(typed) == stored


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "@", "a", "a@", "@b.c", "a@b", "a@@b.c", "a@b@c.d", "a b@c.d", "a@b c.d", "a@b..c", "a@.b.c", "a@b.c.",
        ".a@b.c", "a.@b.c", "a..b@c.d", "a@-b.c", "a@b-.c", "a@b.-c", '"a b"@c.d', "a(comment)@b.c", "a@[127.0.0.1]",
        "Ada <a@b.c>", "<a@b.c>", "a@b.c,d@e.f", "a@b.c;d@e.f", "a:b@c.d", "a\\b@c.d", "mailto:a@b.c", "a@b.c?x=1", "a@b/c.d",
        "a@b.c\0", "a\0@b.c", "a@b.c\nBcc: d@e.f", "a\r\nb@c.d", "a\tb@c.d", "a\x7f@b.c", "a\u200b@b.c", "a\u202e@b.c",
        "a\u2028@b.c", "a\ufeff@b.c", "\ud800@b.c", "a@\ud800.c", "a\ue000@b.c", "a\u00a0b@c.d", "a\u3000b@c.d",
        "a" * 65 + "@example.com", "a@" + "b" * 64 + ".com", "a@" + "b.c" * 100, "a" * 1_000_000, "a@" + "b." * 126 + "com",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    assert emails.canonical_email(text) is None
    with pytest.raises(InvalidInput) as caught:
        emails.accept_email(text)
    assert caught.value.fields == {"email": "This is not an email address."}
    assert len(text) < 3 or text not in f"{caught.value!r}{caught.value.detail}"


def test_the_whole_address_has_254_characters_before_and_after_it_is_folded() -> None:
    longest = "a@" + ".".join(["b" * 61, "c" * 61, "d" * 61, "e" * 61, "comm"])
    assert len(longest) == 254
    assert emails.canonical_email(longest) == longest
    assert emails.canonical_email("a" + longest) is None
    assert emails.canonical_email("ﷺ" * 3 + longest[6:]) is None
    assert emails.canonical_email("ß" * 33 + "@example.com") is None


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ada", "ada"),
        (" Ada ", "ada"),
        ("ＡＤＡ", "ada"),
        ("a1", "a1"),
        ("ada.lovelace", "ada.lovelace"),
        ("ada-love_lace", "ada-love_lace"),
        ("길동", "길동"),
        ("Ωmega", "ωmega"),
        ("42", "42"),
        ("a" * 32, "a" * 32),
    ],
)
def test_a_username_is_stored_in_one_form(typed: str, stored: str) -> None:
    assert emails.canonical_username(typed) == stored
    assert emails.accept_username(typed) == stored


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a", "_a", "a_", ".a", "a.", "-a", "a-", "__", "a b", "a@b", "a/b", "a\\b", "a'b", 'a"b', "<a>", "a;b", "a%b",
        "a\0b", "a\nb", "ab\n\nc", "a\u200bb", "a\u202eb", "a\ufeffb", "\ud800a", "a\ud800b", "a" * 33, "a" * 300, "🦊🦊",
        "a\u00a0b", "ada@example.com", "../..", "a\u0000", "a＠b", "a\u2215b",
    ],
)  # fmt: skip
def test_what_is_no_username_is_refused(text: str) -> None:
    assert emails.canonical_username(text) is None
    with pytest.raises(InvalidInput) as caught:
        emails.accept_username(text)
    assert list(caught.value.fields) == ["username"]
    assert len(text) < 3 or text not in f"{caught.value!r}{caught.value.detail}"


def test_folding_every_character_comes_to_rest() -> None:
    for code in range(sys.maxunicode + 1):
        folded = emails.fold(chr(code))
        assert emails.fold(folded) == folded


@pytest.mark.parametrize("text", ["ß\u0301", "ẞ\u0307", "ŉ\u0301", "ΐ", "α\u0345\u0301", "ﬆ\u0323\u0307", "İ\u0301"])
def test_folding_comes_to_rest_where_it_undoes_the_normal_form(text: str) -> None:
    """ß with an accent becomes two letters of which the second takes the accent: another normal form than before."""
    folded = emails.fold(text)
    assert emails.fold(folded) == folded
    assert emails.fold("ß\u0301") == "s\u015b"
    email = emails.canonical_email(f"{text}a@example.com")
    assert email is not None
    assert emails.canonical_email(email) == email


def odd_characters() -> Iterator[str]:
    """Every character but the plain letters of scripts without case, and what is not assigned."""
    for character in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(character)
        if category not in ("Lo", "Cn", "Co") or unicodedata.normalize("NFKC", character) != character:
            yield character


def test_every_odd_character_is_refused_or_stored_as_it_would_be_stored_again() -> None:
    """And no username is ever an address: who calls himself by another's would log in as him, or lock him out."""
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
    for character in odd_characters():
        email, username = emails.canonical_email(f"a{character}b@c.de"), emails.canonical_username(f"a{character}b")
        assert email is None or emails.canonical_email(email) == email
        assert username is None or (emails.canonical_username(username) == username and "@" not in username)
        assert not {unicodedata.category(each) for each in (email or "") + (username or "")} & hidden


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs", "Co", "Zl", "Zp"])
def test_an_invisible_character_is_refused_in_either_part(category: str) -> None:
    for character in (chr(code) for code in range(0xF000) if unicodedata.category(chr(code)) == category):
        for text in (f"a{character}b@example.com", f"a@exa{character}mple.com"):
            assert emails.canonical_email(text) is None


@given(st.text() | st.from_regex(r"[\w.+-]{1,20}@[\w-]{1,10}\.[\w]{1,5}"))
def test_the_stored_form_of_any_text_is_its_own_stored_form(text: str) -> None:
    for canonical in (emails.canonical_email, emails.canonical_username):
        stored = canonical(text)
        if stored is not None:
            assert canonical(stored) == stored
            assert canonical(f" {stored.upper()} ") in (stored, canonical(stored.upper()))
            stored.encode()


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_the_forms_of_one_text_have_one_stored_form(text: str) -> None:
    for canonical in (emails.canonical_email, emails.canonical_username):
        forms = {canonical(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
        assert len(forms) == 1


def test_naughty_strings_are_taken_or_refused_with_no_other_error() -> None:
    for text in load("naughty-strings")["strings"]:
        for each in (text, f"{text}@example.com", f"a@{text}"):
            emails.canonical_email(each)
            emails.canonical_username(each)
