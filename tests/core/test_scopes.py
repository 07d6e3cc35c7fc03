"""Scopes are sets of words: RFC 6749 3.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors import load

from watchword.core import scopes
from watchword.core.errors import InvalidRequest

WORDS = st.from_regex(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}", fullmatch=True)


def refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        scopes.parse(text)
    assert caught.value.detail == "The scope is malformed."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", set()),
        (" ", set()),
        ("read", {"read"}),
        ("read write", {"read", "write"}),
        ("  read   write  ", {"read", "write"}),
        ("read read", {"read"}),
        ("Read read", {"Read", "read"}),
        ("https://api.example.com/read:all", {"https://api.example.com/read:all"}),
        ("!#$%&'()*+,-./:;<=>?@[]^_`{|}~", {"!#$%&'()*+,-./:;<=>?@[]^_`{|}~"}),
        ("a" * 64, {"a" * 64}),
    ],
)
def test_a_scope_is_the_set_of_its_words(text: str, words: set[str]) -> None:
    assert scopes.parse(text) == words


@pytest.mark.parametrize(
    "text",
    [
        '"', "\\", 'a"b', "a\\b", "a\tb", "a\nb", "a\r\nb", "read\n", "\0", "a\0b", "\x7f", "é", "a\u00a0b", "a\u3000b",
        "a\u2028b", "ａ", "\ud800", "a" * 65,
    ],
)  # fmt: skip
def test_other_characters_and_longer_words_are_refused(text: str) -> None:
    refused(text)
    refused(f"read {text} write")


def test_there_are_64_words_at_most() -> None:
    assert len(scopes.parse(" ".join(f"s{number}" for number in range(64)))) == 64
    assert scopes.parse("same " * 1000) == {"same"}
    refused(" ".join(f"s{number}" for number in range(65)))
    refused(" ".join(f"s{number}" for number in range(100_000)))


@given(st.frozensets(WORDS, max_size=64))
def test_what_is_written_is_read(words: frozenset[str]) -> None:
    assert scopes.parse(scopes.text(words)) == words


@given(st.text())
def test_any_text_is_a_set_of_words_or_refused(text: str) -> None:
    try:
        words = scopes.parse(text)
    except InvalidRequest:
        return
    assert set(text.split(" ")) - {""} == words
    assert text.isascii()


def test_naughty_strings_are_words_or_refused() -> None:
    for text in load("naughty-strings")["strings"]:
        try:
            assert scopes.parse(text) <= set(text.split(" "))
        except InvalidRequest:
            continue


def test_the_text_is_sorted_with_single_spaces() -> None:
    assert scopes.text(frozenset({"write", "read", "admin"})) == "admin read write"
    assert scopes.text(()) == ""


@given(st.none() | st.frozensets(WORDS, max_size=5), st.frozensets(WORDS, max_size=5))
def test_nobody_is_granted_what_he_may_not_have(asked: frozenset[str] | None, may: frozenset[str]) -> None:
    granted = scopes.grant(asked, may)
    assert granted <= may
    assert asked is None or granted == asked & may


def test_who_asks_for_nothing_in_particular_gets_all_that_he_may_have_and_who_asks_for_the_empty_set_gets_it() -> None:
    may = frozenset({"read", "write"})
    assert scopes.grant(None, may) == may
    assert scopes.grant(frozenset(), may) == frozenset()
    assert scopes.grant(frozenset({"read", "admin"}), may) == {"read"}
