"""The revocations that a worker keeps: order and repetition do not matter."""

import threading
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from watchword.core.models import Revoked
from watchword.core.revoked import RevokedSet

REVOCATIONS = st.builds(
    Revoked, st.sampled_from(["a", "b", "c"]), st.integers(0, 5), st.floats(0, 100, allow_nan=False)
)


def test_nothing_is_revoked_in_the_beginning() -> None:
    revoked = RevokedSet()
    assert len(revoked) == 0
    assert not revoked.covers("a", 0)


def test_what_is_added_while_the_list_is_read_stays() -> None:
    """A logout between the reading of the whole list and its taking over is not in the list."""
    revoked = RevokedSet()
    revoked.note()
    revoked.add(Revoked("a", 3, 100.0))
    assert [one.session_id for one in revoked.replace([Revoked("b", 0, 100.0)])] == ["b"]
    assert (revoked.covers("a", 3), revoked.covers("b", 0)) == (True, True)
    revoked.replace([])
    assert not revoked.covers("a", 3), "once, and not for ever"


def test_a_revocation_covers_its_generation_and_those_before_it() -> None:
    revoked = RevokedSet()
    revoked.add(Revoked("a", 3, 100.0))
    assert [revoked.covers("a", generation) for generation in (0, 2, 3, 4, 1000)] == [True, True, True, False, False]
    assert not revoked.covers("b", 0)
    assert not revoked.covers("", 0)


def test_generation_nought_can_be_revoked() -> None:
    revoked = RevokedSet()
    assert revoked.add(Revoked("a", 0, 100.0))
    assert revoked.covers("a", 0)
    assert not revoked.covers("a", 1)


def test_a_revocation_says_something_new_or_not() -> None:
    revoked = RevokedSet()
    assert revoked.add(Revoked("a", 3, 100.0))
    assert not revoked.add(Revoked("a", 3, 100.0))
    assert not revoked.add(Revoked("a", 2, 100.0))
    assert not revoked.add(Revoked("a", 3, 200.0))
    assert revoked.add(Revoked("a", 4, 50.0))


def test_an_older_revocation_takes_nothing_back() -> None:
    revoked = RevokedSet()
    revoked.add(Revoked("a", 3, 200.0))
    revoked.add(Revoked("a", 1, 100.0))
    revoked.forget(150.0)
    assert revoked.covers("a", 3)


def test_what_no_living_token_can_meet_is_forgotten() -> None:
    revoked = RevokedSet()
    revoked.add(Revoked("a", 3, 100.0))
    revoked.add(Revoked("b", 3, 200.0))
    revoked.forget(99.999)
    assert len(revoked) == 2
    revoked.forget(100.0)
    assert len(revoked) == 1
    assert not revoked.covers("a", 3)
    assert revoked.covers("b", 3)


def test_a_replacement_is_the_whole_truth_and_says_what_is_new() -> None:
    revoked = RevokedSet()
    revoked.add(Revoked("gone", 1, 100.0))
    revoked.add(Revoked("known", 1, 100.0))
    revoked.add(Revoked("higher", 1, 100.0))
    given_ = [
        Revoked("known", 1, 100.0),
        Revoked("higher", 2, 100.0),
        Revoked("new", 0, 100.0),
        Revoked("new", 5, 90.0),
    ]
    assert set(revoked.replace(given_)) == {Revoked("higher", 2, 100.0), Revoked("new", 5, 100.0)}
    assert len(revoked) == 3
    assert not revoked.covers("gone", 0)
    assert revoked.covers("new", 5)
    assert revoked.replace(given_) == []
    assert revoked.replace([]) == []
    assert len(revoked) == 0


@given(st.lists(REVOCATIONS, max_size=12), st.randoms())
def test_order_and_repetition_do_not_matter(revocations: list[Revoked], random: Random) -> None:
    one, other, replaced = RevokedSet(), RevokedSet(), RevokedSet()
    for each in revocations:
        one.add(each)
    shuffled = revocations * 2
    random.shuffle(shuffled)
    for each in shuffled:
        other.add(each)
    replaced.replace(shuffled)
    assert one._sessions == other._sessions == replaced._sessions


@given(st.lists(REVOCATIONS, max_size=12), st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 6))
def test_a_generation_is_dead_exactly_when_a_revocation_says_so(revocations: list[Revoked], sid: str, gen: int) -> None:
    revoked = RevokedSet()
    for each in revocations:
        revoked.add(each)
    assert revoked.covers(sid, gen) == any(each.session_id == sid and gen <= each.generation for each in revocations)


@given(st.lists(REVOCATIONS, max_size=12), st.floats(0, 100, allow_nan=False))
def test_forgetting_drops_nothing_that_a_living_token_can_meet(revocations: list[Revoked], now: float) -> None:
    revoked = RevokedSet()
    for each in revocations:
        revoked.add(each)
    revoked.forget(now)
    for each in revocations:
        if each.expires_at > now:
            assert revoked.covers(each.session_id, each.generation)


def test_writers_in_several_threads_lose_nothing() -> None:
    revoked = RevokedSet()
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        for generation in range(200):
            revoked.add(Revoked(f"{number}-{generation}", generation, 100.0))
            revoked.add(Revoked("shared", number * 200 + generation, 100.0))
            revoked.forget(0.0)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(revoked) == 8 * 200 + 1
    assert revoked.covers("shared", 7 * 200 + 199)
