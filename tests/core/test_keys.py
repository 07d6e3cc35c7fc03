"""The life of signing keys: arithmetic, and every worker comes to the same answer."""

import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core import forge

from watchword.core import jose, keys, tokens
from watchword.core.errors import Unavailable
from watchword.core.jose import KeySet
from watchword.core.keys import PUBLISH_AHEAD, KeyRecord
from watchword.core.policy import JWKS_MAX_AGE, LEEWAY, MAX_ACCESS_TTL

NOW = forge.NOW
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
ROTATION = timedelta(days=30)
OVERLAP = MAX_ACCESS_TTL + LEEWAY


def signs(*records: KeyRecord, now: datetime = NOW) -> int:
    return keys.signing(records, now).generation


# Who signs


def test_a_single_key_signs() -> None:
    assert signs(forge.record(1, signs_from=NOW - DAY)) == 1


def test_the_newest_key_whose_time_has_come_signs() -> None:
    records = (
        forge.record(1, signs_from=NOW - DAY),
        forge.record(2, signs_from=NOW),
        forge.record(3, signs_from=NOW + DAY),
    )
    assert signs(*records, now=NOW - SECOND) == 1
    assert signs(*records, now=NOW) == 2
    assert signs(*records, now=NOW + DAY - SECOND) == 2
    assert signs(*records, now=NOW + DAY) == 3
    assert signs(*reversed(records), now=NOW) == 2


def test_of_two_keys_of_one_moment_the_newer_signs() -> None:
    assert signs(forge.record(1), forge.record(2)) == 2


def test_a_worker_whose_clock_is_behind_signs_with_the_oldest_key() -> None:
    records = forge.record(1, signs_from=NOW + SECOND), forge.record(2, signs_from=NOW + DAY)
    assert signs(*records) == 1


def test_a_retired_key_does_not_sign_and_the_one_before_it_does_again() -> None:
    records = forge.record(1, signs_from=NOW - DAY), forge.record(2, signs_from=NOW, retired_at=NOW)
    assert signs(*records, now=NOW + DAY) == 1


def test_while_every_key_is_retired_nobody_signs_and_the_caller_is_told_to_come_back() -> None:
    for records in ([], [forge.record(1, retired_at=NOW)]):
        with pytest.raises(Unavailable):
            keys.signing(records, NOW)


# How long a key verifies


def test_the_newest_key_verifies_for_ever() -> None:
    assert keys.verifies_until(forge.record(1), [forge.record(1)]) == math.inf


def test_a_key_verifies_until_the_last_token_that_it_signed_has_expired() -> None:
    old, new = forge.record(1, signs_from=NOW - DAY), forge.record(2, signs_from=NOW)
    assert keys.verifies_until(old, [old, new]) == (NOW + OVERLAP).timestamp()
    assert keys.verifies_until(new, [old, new]) == math.inf


def test_the_first_successor_ends_it_and_not_a_later_one() -> None:
    records = [forge.record(1, signs_from=NOW - DAY), forge.record(2), forge.record(3, signs_from=NOW + DAY)]
    assert keys.verifies_until(records[0], records) == (NOW + OVERLAP).timestamp()
    assert keys.verifies_until(records[1], records) == (NOW + DAY + OVERLAP).timestamp()


def test_a_retired_key_verifies_nothing_and_a_retired_successor_ends_nobody() -> None:
    old, gone = forge.record(1, signs_from=NOW - DAY), forge.record(2, retired_at=NOW)
    assert keys.verifies_until(gone, [old, gone]) == 0
    assert keys.verifies_until(old, [old, gone]) == math.inf


def test_a_ring_knows_which_keys_are_alive() -> None:
    ring = forge.ring(forge.record(1, signs_from=NOW - DAY), forge.record(2))
    deadline = (NOW + OVERLAP).timestamp()
    assert ring.alive("kid-1", deadline - 0.001)
    assert not ring.alive("kid-1", deadline)
    assert ring.alive("kid-2", 2.0**53)
    assert not ring.alive("kid-3", 0.0)


def test_a_retired_key_is_dead_at_any_time() -> None:
    ring = forge.ring(forge.record(1, retired_at=NOW), forge.record(2))
    assert not ring.alive("kid-1", 0.0)
    assert not ring.alive("kid-1", (NOW - DAY).timestamp())


@st.composite
def lives(draw: st.DrawFn) -> list[KeyRecord]:
    """Records as successor_due makes them: each signs no earlier than the one before; some are retired."""
    steps = draw(st.lists(st.integers(0, 50 * 86400), min_size=1, max_size=6))
    retired = draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps)))
    retired[draw(st.integers(0, len(steps) - 1))] = False
    at, records = NOW, []
    for generation, (step, gone) in enumerate(zip(steps, retired, strict=True), 1):
        at += timedelta(seconds=step)
        records.append(forge.record(generation, signs_from=at, retired_at=NOW if gone else None))
    return records


@given(lives(), st.integers(0, 400 * 86400), st.integers(0, 3600))
def test_no_token_outlives_the_key_that_signed_it(records: list[KeyRecord], seconds: int, ttl: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    signer = keys.signing(records, now)
    assert signer.retired_at is None
    assert now.timestamp() + ttl <= keys.verifies_until(signer, records) - LEEWAY.total_seconds()


@given(lives(), st.integers(0, 400 * 86400), st.integers(0, 60))
def test_a_worker_whose_clock_is_a_minute_behind_signs_with_a_key_that_is_alive(
    records: list[KeyRecord], seconds: int, behind: int
) -> None:
    now = NOW + timedelta(seconds=seconds)
    signer = keys.signing(records, now - timedelta(seconds=behind))
    assert now.timestamp() < keys.verifies_until(signer, records)


# When a successor is made


def test_the_first_key_signs_at_once() -> None:
    assert keys.successor_due([], "ES256", ROTATION, NOW) == NOW
    assert keys.successor_due([forge.record(1, retired_at=NOW)], "ES256", ROTATION, NOW) == NOW


def test_a_key_is_published_ahead_for_twice_the_time_that_others_may_keep_the_set() -> None:
    assert PUBLISH_AHEAD >= 2 * JWKS_MAX_AGE
    first = forge.record(1, signs_from=NOW)
    due = NOW + ROTATION - PUBLISH_AHEAD
    assert keys.successor_due([first], "ES256", ROTATION, due - SECOND) is None
    assert keys.successor_due([first], "ES256", ROTATION, due) == NOW + ROTATION
    assert keys.successor_due([first], "ES256", ROTATION, NOW + 10 * ROTATION) == NOW + 10 * ROTATION + PUBLISH_AHEAD


def test_a_successor_that_is_made_needs_no_successor() -> None:
    records = [forge.record(1, signs_from=NOW)]
    now = NOW + ROTATION - PUBLISH_AHEAD
    due = keys.successor_due(records, "ES256", ROTATION, now)
    assert due is not None
    records.append(forge.record(2, signs_from=due))
    for later in (timedelta(0), PUBLISH_AHEAD, ROTATION - PUBLISH_AHEAD - SECOND):
        assert keys.successor_due(records, "ES256", ROTATION, now + later) is None
    assert keys.successor_due(records, "ES256", ROTATION, due + ROTATION - PUBLISH_AHEAD) is not None


def test_another_algorithm_asks_for_a_successor_that_is_published_ahead_too() -> None:
    first = forge.record(1, signs_from=NOW)
    assert keys.successor_due([first], "Ed25519", ROTATION, NOW) == NOW + PUBLISH_AHEAD
    second = forge.record(2, "Ed25519", signs_from=NOW + PUBLISH_AHEAD)
    assert keys.successor_due([first, second], "Ed25519", ROTATION, NOW) is None


def test_a_successor_never_signs_before_the_key_that_it_follows() -> None:
    assert keys.publish_time(forge.record(1, signs_from=NOW + DAY), NOW) == NOW + DAY
    assert keys.publish_time(forge.record(1, signs_from=NOW - DAY), NOW) == NOW + PUBLISH_AHEAD


def test_a_worker_that_has_seen_its_own_algorithm_as_the_newest_gives_way_to_another() -> None:
    """Two workers that are set up differently would otherwise replace each other's key at every upkeep."""
    newest = forge.record(2, "Ed25519", signs_from=NOW)
    assert keys.successor_due([newest], "ES256", ROTATION, NOW, settled=True) is None
    assert keys.successor_due([newest], "ES256", ROTATION, NOW) == NOW + PUBLISH_AHEAD
    due = NOW + ROTATION - PUBLISH_AHEAD
    assert keys.successor_due([newest], "ES256", ROTATION, due, settled=True) == NOW + ROTATION


def test_a_key_of_another_algorithm_is_not_replaced_before_it_has_signed() -> None:
    """Workers of two settings that start at one moment would otherwise make a key each."""
    waiting = forge.record(2, "Ed25519", signs_from=NOW + PUBLISH_AHEAD)
    assert keys.successor_due([waiting], "ES256", ROTATION, NOW) is None
    assert keys.successor_due([waiting], "ES256", ROTATION, NOW + PUBLISH_AHEAD) == NOW + 2 * PUBLISH_AHEAD


def test_a_key_that_replaces_a_retired_one_beside_an_older_one_is_published_ahead() -> None:
    records = [forge.record(1, signs_from=NOW - ROTATION), forge.record(2, signs_from=NOW - DAY, retired_at=NOW)]
    assert keys.successor_due(records, "ES256", ROTATION, NOW) == NOW + PUBLISH_AHEAD


@given(st.lists(st.integers(0, 40 * 86400), min_size=1, max_size=30))
def test_rotation_fails_no_valid_token(steps: list[int]) -> None:
    """A worker wakes up whenever it does: whoever signs has been published, and nobody is cut off."""
    records: list[KeyRecord] = []
    now = NOW
    for step in steps:
        due = keys.successor_due(records, "ES256", ROTATION, now)
        if due is not None:
            first = not records
            records.append(forge.record(len(records) + 1, signs_from=due, created_at=now))
            assert first or due >= now + PUBLISH_AHEAD
        signer = keys.signing(records, now)
        assert signer.signs_from <= now
        assert (now + MAX_ACCESS_TTL).timestamp() < keys.verifies_until(signer, records)
        now += timedelta(seconds=step)


# What an operator sees, and asks for


def test_each_state_of_a_key_s_life() -> None:
    records = [
        forge.record(1, signs_from=NOW - 3 * DAY),
        forge.record(2, signs_from=NOW - DAY),
        forge.record(3, signs_from=NOW - 2 * DAY, retired_at=NOW - DAY),
        forge.record(4, signs_from=NOW),
        forge.record(5, signs_from=NOW + DAY),
    ]
    states = [keys.state(record, records, NOW).value for record in records]
    assert states == ["expired", "verifying", "retired", "signing", "published"]
    ends = [keys.end(record, records) for record in records]
    assert ends == [NOW - DAY + OVERLAP, NOW + OVERLAP, NOW - DAY, NOW + DAY + OVERLAP, None]


def test_a_key_that_an_emergency_has_overtaken_never_signs() -> None:
    overtaken = forge.record(1, signs_from=NOW + PUBLISH_AHEAD, created_at=NOW)
    assert keys.state(overtaken, [overtaken, forge.record(2, signs_from=NOW)], NOW) is keys.State.VERIFYING


def test_a_key_that_waits_answers_everybody_who_asks_for_one() -> None:
    first, waiting = forge.record(1, signs_from=NOW - DAY), forge.record(2, signs_from=NOW + SECOND)
    assert keys.already_made([first, waiting], "ES256", NOW, at_once=False) is waiting
    assert keys.already_made([first, waiting], "ES256", NOW + SECOND, at_once=False) is None
    assert keys.already_made([first, waiting], "Ed25519", NOW, at_once=False) is None
    assert (
        keys.already_made([forge.record(2, signs_from=NOW + DAY, retired_at=NOW)], "ES256", NOW, at_once=False) is None
    )
    assert keys.already_made([], "ES256", NOW, at_once=False) is None


def test_a_key_that_signs_since_it_was_made_answers_an_emergency_for_a_minute() -> None:
    at_once = forge.record(1, signs_from=NOW)
    assert keys.already_made([at_once], "ES256", NOW, at_once=True) is at_once
    assert keys.already_made([at_once], "ES256", NOW - 30 * SECOND, at_once=True) is at_once, "a clock that is behind"
    assert keys.already_made([at_once], "ES256", NOW + keys.JUST_NOW, at_once=True) is None
    ahead = forge.record(1, signs_from=NOW, created_at=NOW - SECOND)
    assert keys.already_made([ahead], "ES256", NOW, at_once=True) is None
    assert keys.already_made([at_once], "Ed25519", NOW, at_once=True) is None


# What is published: KY-06


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_the_published_set_holds_no_private_member_and_verifies_what_is_signed(alg: str) -> None:
    ring = forge.ring(forge.record(1, alg, signs_from=NOW - DAY), forge.record(2, alg))
    published = ring.jwks(NOW)
    assert not any(forge.PRIVATE_MEMBERS & member.keys() for member in published["keys"])
    token = tokens.issue(ring, forge.POLICY, forge.session(), frozenset(), bytes(16), NOW)
    if alg == "HS256":
        assert published == {"keys": []}
    else:
        assert [member["kid"] for member in published["keys"]] == ["kid-1", "kid-2"]
        assert all(
            (member["use"], member["key_ops"], member["alg"]) == ("sig", ["verify"], alg)
            for member in published["keys"]
        )
        assert jose.verify(token, KeySet.from_jwks(published)).kid == "kid-2"


def test_the_published_set_holds_the_keys_that_verify_or_will_sign() -> None:
    ring = forge.ring(
        forge.record(1, signs_from=NOW - 3 * DAY),
        forge.record(2, signs_from=NOW - 2 * DAY, retired_at=NOW),
        forge.record(3, signs_from=NOW - DAY),
        forge.record(4, signs_from=NOW + PUBLISH_AHEAD),
    )
    assert [member["kid"] for member in ring.jwks(NOW)["keys"]] == ["kid-3", "kid-4"]
    assert [member["kid"] for member in ring.jwks(NOW - DAY)["keys"]] == ["kid-1", "kid-3", "kid-4"]
    assert [member["kid"] for member in ring.jwks(NOW + DAY)["keys"]] == ["kid-4"]


def test_the_published_set_lies_beside_secrets_of_another_algorithm_and_shows_none() -> None:
    ring = forge.ring(forge.record(1, "HS256", signs_from=NOW - DAY), forge.record(2, "ES256"))
    assert [member["alg"] for member in ring.jwks(NOW)["keys"]] == ["ES256"]


def test_the_text_of_a_ring_and_of_a_record_shows_no_secret() -> None:
    ring = forge.ring(forge.record(1, "HS256", sealed=b"sealed-secret"))
    assert "sealed-secret" not in repr(ring.records[0])
    for text in (repr(ring), str(ring)):
        assert "sealed-secret" not in text
        assert "SigningKey" not in text
        assert repr(forge.REFRESH_KEY) not in text
        assert repr(forge.material("HS256", 1)) not in text


def test_a_record_is_sealed_for_its_own_row() -> None:
    assert forge.record(1).place == "watchword_keys.sealed.1"
    assert forge.record(12).place != forge.record(1).place
