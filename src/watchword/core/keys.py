"""The life of signing keys, as arithmetic on their records: nobody leads, every worker comes to the same answer.

A key is published at `created_at`, signs from `signs_from` until the next key does, and verifies until the last token
that it signed has expired. A retired key does neither from `retired_at` on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from watchword.core.errors import Unavailable
from watchword.core.jose import KeySet, SigningKey
from watchword.core.policy import JWKS_MAX_AGE, LEEWAY, MAX_ACCESS_TTL

PUBLISH_AHEAD = 2 * JWKS_MAX_AGE


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


def successor_due(records: Sequence[KeyRecord], alg: str, rotation: timedelta, now: datetime) -> datetime | None:
    """When a key made now should start to sign, or None while none is needed.

    The first key signs at once; every later one is published ahead of its time, so that nobody meets an unknown key.
    """
    able = [record for record in records if record.retired_at is None]
    if not able:
        return now
    newest = max(able, key=_generation)
    if newest.alg != alg or now >= newest.signs_from + rotation - PUBLISH_AHEAD:
        return max(now + PUBLISH_AHEAD, newest.signs_from)
    return None


def _generation(record: KeyRecord) -> int:
    return record.generation
