"""Scopes are sets of words: RFC 6749 3.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors import load

from watchword.core import scopes
from watchword.core.errors import InvalidInput, InvalidRequest

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


def long_ones(first: str, number: int) -> frozenset[str]:
    """So many scopes of 64 characters."""
    return frozenset(f"{first}{index:03}".ljust(64, "x") for index in range(number))


def test_together_they_are_no_longer_than_a_token_can_carry() -> None:
    just = long_ones("a", 47) | {"b" * 17}
    assert len(scopes.text(just)) == scopes.MAX_TEXT == 3072
    assert scopes.parse(scopes.text(just)) == just
    assert scopes.accept(just) == just
    over = long_ones("a", 47) | {"b" * 18}
    with pytest.raises(InvalidRequest) as caught:
        scopes.parse(scopes.text(over))
    assert caught.value.because == "the scopes are more than 3072 characters together"
    assert caught.value.detail == "The scopes are more than 3072 characters together."
    with pytest.raises(InvalidInput):
        scopes.accept(over)


def test_a_sum_is_refused_above_the_bound_unless_it_only_takes_away() -> None:
    """What hosts wrote into their own tables may be above it; it can always become less."""
    much = long_ones("a", 60)
    with pytest.raises(InvalidInput) as caught:
        scopes.accept(much)
    assert caught.value.because == "more scopes than a token can carry"
    why = "A user can have 3072 characters of scopes, those of roles included. A wildcard (items:*) is shorter."
    assert caught.value.fields == {"scopes": why}
    with pytest.raises(InvalidInput):
        scopes.accept(much | {"more"}, much)
    less = frozenset(sorted(much)[1:])
    assert scopes.accept(less, much) == less
    assert scopes.accept(much, much) == much
    assert scopes.accept(long_ones("a", 47)) == long_ones("a", 47)


@given(st.frozensets(WORDS, max_size=40))
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


THINGS = st.sampled_from(["items", "items:read", "items:a", "items:a:b", "itemsx:read", "orders:read", "a", "*", "a*"])
WILD = THINGS | st.sampled_from(["items:*", "items:a:*", "orders:*", "a:*", ":*", "*:*"]) | WORDS
SETS = st.frozensets(WILD, max_size=6)


@given(st.none() | SETS, SETS)
def test_nobody_is_granted_what_he_may_not_have(asked: frozenset[str] | None, may: frozenset[str]) -> None:
    granted = scopes.grant(asked, may)
    assert scopes.covers(may, granted)
    assert asked is None or scopes.covers(asked, granted)


PLAIN = st.frozensets(WORDS.filter(lambda word: not word.endswith(scopes.WILDCARD)), max_size=5)


@given(PLAIN, PLAIN)
def test_words_without_wildcards_are_compared_letter_by_letter(one: frozenset[str], other: frozenset[str]) -> None:
    assert scopes.grant(one, other) == one & other
    assert scopes.covers(one, other) == (other <= one)


@given(SETS, SETS)
def test_narrowing_keeps_all_that_both_have(old: frozenset[str], may: frozenset[str]) -> None:
    """What both cover, what they have in common covers too; so nobody loses what is still theirs."""
    kept = scopes.narrowed(old, may)
    for word in old | may:
        both = scopes.covers(old, frozenset({word})) and scopes.covers(may, frozenset({word}))
        assert scopes.covers(kept, frozenset({word})) == both


@given(SETS, SETS)
def test_narrowing_twice_is_narrowing_once_and_the_order_does_not_matter(
    old: frozenset[str], may: frozenset[str]
) -> None:
    kept = scopes.narrowed(old, may)
    assert scopes.narrowed(kept, may) == kept == scopes.narrowed(may, old)
    assert scopes.narrowed(old, old) == old


@given(SETS, SETS, SETS)
def test_whoever_may_more_gets_no_less(old: frozenset[str], may: frozenset[str], more: frozenset[str]) -> None:
    assert scopes.covers(scopes.narrowed(old, may | more), scopes.narrowed(old, may))
    assert not scopes.covers(may, old) or scopes.covers(may | more, old)


@given(SETS, SETS, SETS)
def test_who_covers_whoever_covers_covers(one: frozenset[str], two: frozenset[str], three: frozenset[str]) -> None:
    assert scopes.covers(one, one)
    assert not (scopes.covers(one, two) and scopes.covers(two, three)) or scopes.covers(one, three)


@pytest.mark.parametrize(
    ("held", "needed", "covered"),
    [
        ("items:*", "items:read", True),
        ("items:*", "items:a:b", True),
        ("items:*", "items:*", True),
        ("items:*", "items:a:*", True),
        ("items:*", "items:", True),
        ("items:*", "items", False),
        ("items:*", "itemsx:read", False),
        ("items:*", "Items:read", False),
        ("items:a:*", "items:*", False),
        ("items:read", "items:*", False),
        ("*", "items:read", False),
        ("items*", "items:read", False),
        ("*:*", "items:read", False),
        ("items:* orders:read", "items:read orders:read", True),
        ("items:* orders:read", "items:read orders:write", False),
        ("", "items:read", False),
        ("items:read", "", True),
        ("watchword:*", "watchword:admin", True),
    ],
)
def test_a_wildcard_covers_what_is_below_it_and_nothing_beside(held: str, needed: str, covered: bool) -> None:
    """The attack: whoever holds one wildcard, and reaches what only looks alike."""
    assert scopes.covers(scopes.parse(held), scopes.parse(needed)) is covered


def test_a_wildcard_and_what_is_below_it_have_the_smaller_one_in_common() -> None:
    wild, plain = frozenset({"items:*"}), frozenset({"items:read", "orders:read"})
    assert scopes.grant(wild, plain) == scopes.grant(plain, wild) == {"items:read"}
    assert scopes.narrowed(frozenset({"items:a:*", "items"}), wild) == {"items:a:*"}


def test_who_asks_for_nothing_in_particular_gets_all_that_he_may_have_and_who_asks_for_the_empty_set_gets_it() -> None:
    may = frozenset({"read", "write"})
    assert scopes.grant(None, may) == may
    assert scopes.grant(frozenset(), may) == frozenset()
    assert scopes.grant(frozenset({"read", "admin"}), may) == {"read"}
