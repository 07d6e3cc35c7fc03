"""The text of a key, and what is accepted."""

import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.core.errors import InvalidInput, InvalidRequest, MalformedToken
from watchword.features.api_keys import rules
from watchword.features.api_keys.flow import Shown
from watchword.features.api_keys.rules import ApiKey, Owner, Wanted

SCANNER = re.compile(r"\bwwk_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}\b")
PAGES = [Path(__file__).parents[3] / "docs" / language / "api-keys.md" for language in ("en", "ko")]


@given(st.binary(min_size=rules.ENTROPY, max_size=rules.ENTROPY))
def test_what_is_made_is_recognised_and_found_by_a_scanner(entropy: bytes) -> None:
    minted = rules.mint(entropy)
    assert rules.digest(minted.text) == minted.digest
    assert SCANNER.fullmatch(minted.text)
    assert minted.text.startswith(f"{minted.shown}_")
    assert len(minted.text) == rules.LENGTH


@pytest.mark.parametrize("page", PAGES, ids=["en", "ko"])
def test_the_pages_tell_scanners_the_same(page: Path) -> None:
    assert SCANNER.pattern in page.read_text("utf-8")


def test_the_checksum_is_that_of_everybody() -> None:
    """CRC-32 as gzip and PNG have it, in base62 with digits first, then capitals."""
    body, _, checksum = rules.mint(bytes(range(rules.ENTROPY))).text.rpartition("_")
    number = 0
    for letter in checksum:
        number = number * 62 + rules.ALPHABET.index(letter)
    assert number == zlib.crc32(body.encode())


def test_different_secrets_make_different_keys() -> None:
    keys = {rules.mint(bytes(rules.ENTROPY - 1) + bytes([last])).text for last in range(256)}
    keys |= {rules.mint(bytes([255] * (rules.ENTROPY - 1)) + bytes([last])).text for last in range(256)}
    assert len(keys) == 512
    assert rules.mint(bytes([255] * rules.ENTROPY)).digest != rules.mint(bytes(rules.ENTROPY)).digest


def test_neither_a_repr_nor_a_trace_shows_a_key() -> None:
    minted = rules.mint(bytes(range(rules.ENTROPY)))
    assert minted.text not in repr(minted)
    assert repr(minted.digest) not in repr(minted)
    key = ApiKey("id", "ada", Owner.USER, "k", minted.shown, frozenset(), None, datetime(2026, 1, 1, tzinfo=UTC))
    assert minted.text not in repr(Shown(key, minted.text))


@given(st.integers(0, rules.LENGTH - 1), st.sampled_from(rules.ALPHABET + "_-. \n\0é"))
def test_a_letter_that_is_another_is_noticed_without_asking_anybody(place: int, letter: str) -> None:
    text = rules.mint(bytes(range(rules.ENTROPY))).text
    if text[place] != letter:
        with pytest.raises(MalformedToken):
            rules.digest(text[:place] + letter + text[place + 1 :])


@pytest.mark.parametrize(
    "change", [str.lower, str.upper, lambda text: text + "\n", lambda text: text[:-1], lambda _: "wwk_"]
)
def test_a_key_has_one_spelling(change: object) -> None:
    with pytest.raises(MalformedToken):
        rules.digest(change(rules.mint(bytes(range(rules.ENTROPY))).text))  # type: ignore[operator]


def test_a_key_is_accepted_with_its_name_trimmed() -> None:
    wanted = Wanted("  배포 ", frozenset({"read"}), timedelta(days=1), 60)
    assert rules.accept(wanted, frozenset({"read", "write"})) == Wanted(
        "배포", frozenset({"read"}), timedelta(days=1), 60
    )


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Wanted(" "), "name"),
        (Wanted("x" * 65), "name"),
        (Wanted("two\nlines"), "name"),
        (Wanted("k", frozenset({"admin"})), "scopes"),
        (Wanted("k", lives=timedelta(seconds=59)), "expires_in"),
        (Wanted("k", lives=timedelta(days=3651)), "expires_in"),
        (Wanted("k", limit=0), "limit_per_minute"),
        (Wanted("k", limit=rules.MAX_LIMIT + 1), "limit_per_minute"),
    ],
)
def test_what_can_t_be_a_key_is_refused_by_its_field(wanted: Wanted, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rules.accept(wanted, frozenset({"read"}))
    assert list(refused.value.fields) == [field]


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_is_between_nothing_and_a_week(overlap: timedelta) -> None:
    assert rules.accept_overlap(timedelta(0)) == timedelta(0)
    assert rules.accept_overlap(timedelta(days=7)) == timedelta(days=7)
    with pytest.raises(InvalidInput):
        rules.accept_overlap(overlap)


def test_scopes_are_those_of_everybody() -> None:
    assert rules.accept_scopes(["a", "b"]) == {"a", "b"}
    with pytest.raises(InvalidRequest):
        rules.accept_scopes(['"'])
