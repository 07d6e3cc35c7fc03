"""The memory of verified tokens is bounded, and knows a token by its exact text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core import forge

from watchword.core import cache, tokens
from watchword.core.cache import OVERHEAD, AccessCache
from watchword.core.tokens import Access


def access(sub: str = "ada") -> Access:
    token = forge.signed(forge.header(), forge.claims(sub=sub), forge.signer("ES256", "kid-1", 1))
    return tokens.verify(token, forge.ring(), forge.POLICY, forge.T)


ADA, BOB = access("ada"), access("bob")


def test_what_was_put_in_comes_out_and_nothing_else_does() -> None:
    memory = AccessCache()
    memory.put("token", ADA)
    assert memory.get("token") is ADA
    assert len(memory) == 1
    for other in ("", "toke", "tokens", "Token", " token", "token\n", "t\u043eken"):
        assert memory.get(other) is None


def test_a_token_that_is_refused_is_forgotten() -> None:
    memory = AccessCache()
    memory.put("token", ADA)
    memory.drop("token")
    memory.drop("token")
    memory.drop("never seen")
    assert memory.get("token") is None
    assert len(memory) == 0


def test_a_token_that_is_put_in_again_is_counted_once() -> None:
    memory = AccessCache(max_bytes=100 * OVERHEAD)
    for _ in range(1000):
        memory.put("x" * 60, ADA)
    memory.put("y" * 40, BOB)
    assert memory.get("x" * 60) is ADA
    assert memory.get("y" * 40) is BOB


def test_the_newer_of_two_accesses_under_one_text_counts() -> None:
    memory = AccessCache()
    memory.put("token", ADA)
    memory.put("token", BOB)
    assert memory.get("token") is BOB
    assert len(memory) == 1


def test_when_full_of_entries_the_oldest_leaves() -> None:
    memory = AccessCache(max_entries=3)
    for name in "abcd":
        memory.put(name, ADA)
    assert [memory.get(name) is not None for name in "abcd"] == [False, True, True, True]
    memory.put("b", ADA)
    memory.put("e", ADA)
    assert [memory.get(name) is not None for name in "abcde"] == [False, True, False, True, True]


def test_when_full_of_bytes_the_oldest_leave() -> None:
    memory = AccessCache(max_bytes=100 * OVERHEAD)
    for name in "abcd":
        memory.put(name * 30, ADA)
    assert [memory.get(name * 30) is not None for name in "abcd"] == [False, True, True, True]
    memory.put("e" * 90, ADA)
    assert len(memory) == 1


def test_a_token_larger_than_the_memory_is_not_kept_and_leaves_no_debt() -> None:
    memory = AccessCache(max_bytes=100 * OVERHEAD)
    memory.put("a" * 101, ADA)
    assert len(memory) == 0
    memory.put("b" * 100, ADA)
    assert memory.get("b" * 100) is ADA


def test_the_bounds_hold_whole_tokens_and_are_finite() -> None:
    assert AccessCache().max_entries == cache.MAX_ENTRIES
    assert AccessCache().max_bytes == cache.MAX_BYTES
    assert 0 < cache.MAX_ENTRIES < 10**6
    assert 8192 * OVERHEAD < cache.MAX_BYTES < 2**30


@pytest.mark.parametrize("none", [0, -1])
def test_a_memory_of_no_entries_remembers_nothing(none: int) -> None:
    memory = AccessCache(max_entries=max(none, 0))
    memory.put("token", ADA)
    assert memory.get("token") is None


@given(
    st.lists(st.tuples(st.booleans(), st.text("ab", max_size=6)), max_size=80), st.integers(1, 5), st.integers(1, 15)
)
def test_whatever_happens_the_bounds_hold_and_the_count_is_right(
    steps: list[tuple[bool, str]], max_entries: int, max_letters: int
) -> None:
    memory = AccessCache(max_entries, max_letters * OVERHEAD)
    model: dict[str, Access] = {}
    for put, token in steps:
        model.pop(token, None)
        if put:
            memory.put(token, ADA)
            model[token] = ADA
            while len(model) > max_entries or sum(map(len, model)) > max_letters:
                del model[next(iter(model))]
        else:
            memory.drop(token)
        assert len(memory) == len(model)
        assert all(memory.get(each) is ADA for each in model)
        assert memory._bytes == sum(map(len, model)) * OVERHEAD


def test_a_forged_text_with_the_end_of_a_known_token_is_not_that_token() -> None:
    """Somebody keeps the signature of a token of their own, writes another user before it, and hopes to be looked up by it."""
    memory = AccessCache()
    signature = "s" * 86
    memory.put(f"header.ada.{signature}", ADA)
    for forged in (f"header.bob.{signature}", f"x.header.ada.{signature}", signature, signature[-cache.END :]):
        assert memory.get(forged) is None
        memory.drop(forged)
    assert memory.get(f"header.ada.{signature}") is ADA


def test_the_later_of_two_tokens_with_one_end_takes_its_place_and_pays_for_itself_alone() -> None:
    memory = AccessCache()
    end = "e" * cache.END
    memory.put(f"first{end}", ADA)
    memory.put(f"second{end}", BOB)
    assert memory.get(f"first{end}") is None
    assert memory.get(f"second{end}") is BOB
    assert memory._bytes == len(f"second{end}") * OVERHEAD


@pytest.mark.parametrize(
    "credentials", [b"token", b"Bearer  token", b"bearer token", b"Basic token", b"Bearer token ", b"Bearer Token", b""]
)
def test_an_authorization_header_is_known_as_it_came_alone(credentials: bytes) -> None:
    memory = AccessCache()
    memory.put("token", ADA)
    assert memory.presented(b"Bearer token") is ADA
    assert memory.presented(credentials) is None
