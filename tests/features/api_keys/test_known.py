"""What a worker remembers, and what it does not trust any more."""

from datetime import UTC, datetime

import pytest

from watchword.core import revoked
from watchword.core.models import FrozenDict, Principal
from watchword.core.tokens import Access
from watchword.features.api_keys import known
from watchword.features.api_keys.known import NEVER, Dead, Known, Memory
from watchword.features.api_keys.rules import ApiKey, Owner

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_key(number: int, owner: str = "ada") -> Known:
    key = ApiKey(f"k{number}", owner, Owner.USER, "k", "wwk_", frozenset(), None, NOW)
    principal = Principal(owner, key.id, frozenset(), frozenset(), 0, FrozenDict())
    return Known(key, Access(principal, "", 0, 0.0), 0.0)


def asked_at(memory: Memory, digest: bytes) -> float:
    known = memory.get(digest)
    assert known is not None
    return known.asked_at


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(known, "MAX", 3)
    return Memory()


def test_it_is_bounded_and_the_first_is_forgotten_first(memory: Memory) -> None:
    for number in range(5):
        memory.put(bytes([number]), a_key(number, owner=f"owner {number}"), 0)
        memory.bury(bytes([100 + number]), Dead("none", True, 0.0))
    assert [memory.get(bytes([number])) is not None for number in range(5)] == [False, False, True, True, True]
    assert [memory.dead(bytes([100 + number])) is not None for number in range(5)] == [False, False, True, True, True]
    assert len(memory) == len(memory._owned) == len(memory._dead) == 3


def test_an_owner_s_keys_have_to_be_asked_for_together_and_nobody_else_s(memory: Memory) -> None:
    memory.put(b"1", a_key(1), 0)
    memory.put(b"2", a_key(2), 0)
    memory.put(b"3", a_key(3, owner="bob"), 0)
    memory.hear(revoked.of_owner("ada"))
    assert [asked_at(memory, digest) for digest in (b"1", b"2", b"3")] == [NEVER, NEVER, 0.0]


def test_what_is_told_of_a_session_changes_nothing(memory: Memory) -> None:
    memory.put(b"1", a_key(1), 0)
    memory.hear("a" * 26)
    assert memory.get(b"1") is not None
    assert memory.changes == 0


def test_what_was_asked_before_rights_changed_is_not_remembered(memory: Memory) -> None:
    """The answer may be from before: nobody would correct it."""
    since = memory.changes
    memory.hear(revoked.of_owner("ada"))
    memory.put(b"1", a_key(1), since)
    assert memory.get(b"1") is None
    memory.put(b"1", a_key(1), memory.changes)
    assert asked_at(memory, b"1") == 0.0
    since = memory.changes
    memory.hear(revoked.of_owner("ada"))
    memory.put(b"1", a_key(1), since)
    assert asked_at(memory, b"1") == NEVER


def test_a_key_that_ended_is_known_no_more(memory: Memory) -> None:
    memory.put(b"1", a_key(1), 0)
    memory.bury(b"1", Dead("revoked", False, 0.0))
    assert memory.get(b"1") is None
    assert memory._owned == {}


def test_a_key_that_is_asked_for_again_stands_once(memory: Memory) -> None:
    memory.put(b"1", a_key(1), 0)
    memory.put(b"1", a_key(1), 0)
    assert len(memory) == 1
    memory.bury(b"1", Dead("revoked", False, 0.0))
    assert len(memory) == 0
