"""The life of signing keys, as arithmetic on their records: nobody leads, every worker comes to the same answer.

A key is published at `created_at`, signs from `signs_from` until the next key does, and verifies until the last token
that it signed has expired. A retired key does neither from `retired_at` on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from watchword.core.errors import Unavailable
from watchword.core.jose import KeySet, SigningKey
from watchword.core.policy import JWKS_MAX_AGE, LEEWAY, MAX_ACCESS_TTL

PUBLISH_AHEAD = 2 * JWKS_MAX_AGE
JUST_NOW = LEEWAY
"""How long a key that was made to sign at once answers everybody else who asks for one at the same moment."""


class State(Enum):
    """Where a key is in its life."""

    PUBLISHED = "published"
    """In the published set; it signs later."""

    SIGNING = "signing"
    VERIFYING = "verifying"
    """It signs no more, and tokens that it signed may still live."""

    EXPIRED = "expired"
    """The last token that it signed has expired; the next upkeep forgets it."""

    RETIRED = "retired"
    """Stopped by an operator: it verifies nothing."""

    LEFT_OUT = "left_out"
    """No master key opens it."""


class VerifyingRing(Protocol):
    """Keys that verify access tokens: a house's own (`KeyRing`), or those that an issuer publishes."""

    @property
    def keys(self) -> KeySet: ...

    def alive(self, kid: str, timestamp: float) -> bool:
        """Whether the key still verifies at `timestamp` (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A signing key as it is stored. `generation` is unique: of any number of makers exactly one makes each."""

    generation: int
    kid: str
    alg: str
    sealed: bytes = field(repr=False)
    created_at: datetime
    signs_from: datetime
    retired_at: datetime | None = None

    @property
    def place(self) -> str:
        """What the sealed key is bound to: table, column, row."""
        return f"watchword_keys.sealed.{self.generation}"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The live keys of this worker, unsealed. Replaced as a whole when the records change."""

    records: tuple[KeyRecord, ...]
    private: dict[str, SigningKey] = field(repr=False)
    keys: KeySet = field(repr=False)
    refresh_keys: tuple[bytes, ...] = field(repr=False)
    deadlines: dict[str, float] = field(repr=False)

    def alive(self, kid: str, timestamp: float) -> bool:
        """Whether the key still verifies at `timestamp` (seconds since the epoch)."""
        return timestamp < self.deadlines.get(kid, 0.0)

    def signer(self, now: datetime) -> SigningKey:
        """The newest key whose time to sign has come."""
        return self.private[signing(self.records, now).kid]

    def jwks(self, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """The public keys that verify now or will sign soon. RFC 7517 5."""
        published = [
            self.private[record.kid].public_jwk() for record in self.records if self.alive(record.kid, now.timestamp())
        ]
        return {"keys": [jwk for jwk in published if jwk is not None]}


def ring(records: Sequence[KeyRecord], private: dict[str, SigningKey], refresh_keys: tuple[bytes, ...]) -> KeyRing:
    """The records with their unsealed keys, ready to sign and verify."""
    return KeyRing(
        records=tuple(records),
        private=private,
        keys=KeySet(private[record.kid].verifying() for record in records),
        refresh_keys=refresh_keys,
        deadlines={record.kid: verifies_until(record, records) for record in records},
    )


def signing(records: Sequence[KeyRecord], now: datetime) -> KeyRecord:
    """The record that signs now: the newest whose time has come; the oldest while none's has (a clock that is behind).

    Raises Unavailable while every key is retired and the next one not made yet.
    """
    able = [record for record in records if record.retired_at is None]
    if not able:
        raise Unavailable("no signing key is able")
    due = [record for record in able if record.signs_from <= now]
    return max(due, key=_generation) if due else min(able, key=_generation)


def verifies_until(record: KeyRecord, records: Sequence[KeyRecord]) -> float:
    """Seconds since the epoch: when the last token that this key signed has expired; for ever while it is the newest."""
    if record.retired_at is not None:
        return 0.0
    successors = [other for other in records if other.generation > record.generation and other.retired_at is None]
    if not successors:
        return math.inf
    return (min(other.signs_from for other in successors) + MAX_ACCESS_TTL + LEEWAY).timestamp()


def successor_due(
    records: Sequence[KeyRecord], alg: str, rotation: timedelta, now: datetime, *, settled: bool = False
) -> datetime | None:
    """When a key made now should start to sign, or None while none is needed.

    The first key signs at once; every later one is published ahead of its time, so that nobody meets an unknown key.

    A key of another algorithm is replaced as soon as it signs, but not by a `settled` worker: one that has seen a key of
    its own algorithm as the newest. Its setting is the older one, so it gives way; if both replaced the other's key, there
    would be a new key with every upkeep.
    """
    newest = newest_able(records)
    if newest is None:
        return now
    changed = newest.alg != alg and not settled and now >= newest.signs_from
    if changed or now >= newest.signs_from + rotation - PUBLISH_AHEAD:
        return publish_time(newest, now)
    return None


def publish_time(newest: KeyRecord, now: datetime) -> datetime:
    """When a key that is published now may sign: no cached key set lacks it then, and it does not overtake `newest`."""
    return max(now + PUBLISH_AHEAD, newest.signs_from)


def newest_able(records: Sequence[KeyRecord]) -> KeyRecord | None:
    """The newest key that was not retired."""
    return max((record for record in records if record.retired_at is None), key=_generation, default=None)


def already_made(records: Sequence[KeyRecord], alg: str, now: datetime, *, at_once: bool) -> KeyRecord | None:
    """The key that somebody else made for the same wish: it waits for its time to sign, or (`at_once`) signs since it was
    made, within the last minute."""
    newest = newest_able(records)
    if newest is None or newest.alg != alg:
        return None
    if at_once:
        answers = newest.signs_from <= newest.created_at and now < newest.created_at + JUST_NOW
    else:
        answers = now < newest.signs_from
    return newest if answers else None


def state(record: KeyRecord, records: Sequence[KeyRecord], now: datetime) -> State:
    """Where this one of the `records` is in its life."""
    if record.retired_at is not None:
        return State.RETIRED
    signer = signing(records, now)
    if record.generation > signer.generation:
        return State.PUBLISHED
    if record.generation == signer.generation:
        return State.SIGNING
    return State.VERIFYING if now.timestamp() < verifies_until(record, records) else State.EXPIRED


def end(record: KeyRecord, records: Sequence[KeyRecord]) -> datetime | None:
    """When the key verifies no more: `verifies_until` for people. None while that is not decided."""
    if record.retired_at is not None:
        return record.retired_at
    deadline = verifies_until(record, records)
    return None if deadline == math.inf else datetime.fromtimestamp(deadline, UTC)


def _generation(record: KeyRecord) -> int:
    return record.generation
