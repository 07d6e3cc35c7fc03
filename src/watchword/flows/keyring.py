"""This worker's signing keys: made once for the whole deployment, loaded, rotated without a leader."""

import logging
from collections.abc import Sequence
from datetime import datetime

from watchword.core import jose, keys, opaque, sealing
from watchword.core.clock import Clock, Entropy
from watchword.core.errors import ConfigError
from watchword.core.keys import KeyRecord, KeyRing
from watchword.core.policy import Policy
from watchword.ports import Change, Keys, KeysChanged

logger = logging.getLogger("watchword.keys")

COOL_DOWN = 5.0
"""Seconds between two looks into the store that nobody asked for by the feed."""


class Keyring:
    """Holds a `KeyRing` and replaces it as a whole when the records change."""

    def __init__(self, store: Keys, masters: Sequence[bytes], policy: Policy, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._masters = tuple(masters)
        self._refresh_keys = tuple(sealing.derive(master, "refresh") for master in masters)
        self._policy = policy
        self._clock = clock
        self._entropy = entropy
        self._looked_at = float("-inf")
        self._asked = self._taken = 0
        self.ring: KeyRing = keys.ring((), {}, self._refresh_keys)
        self._told = 0
        self._heeded = 0

    async def start(self) -> None:
        """Recognise the master key, make the first key if there is none, load. Raises ConfigError for a foreign one."""
        checks = [sealing.check_value(master) for master in self._masters]
        if await self._store.recognise(checks[0]) not in checks:
            raise ConfigError(
                "WATCHWORD_MASTER_KEYS: this database belongs to another master key. Give the key that it was made "
                "with (it may stand behind a new one), or point WATCHWORD_DATABASE_URL to another database."
            )
        await self._load(strict=True)
        await self.rotate(self._clock.now())

    async def rotate(self, now: datetime) -> bool:
        """Publish a successor if one is due; whether this worker made it. Of N workers exactly one does."""
        records = await self._load()
        signs_from = keys.successor_due(records, self._policy.signing_alg, self._policy.key_rotation, now)
        if signs_from is None:
            return False
        made = await self._store.add(self._make(len(records) and records[-1].generation, signs_from, now))
        await self._load()
        return made

    def alive(self, kid: str, timestamp: float) -> bool:
        """Whether this key still verifies at `timestamp` (seconds since the epoch)."""
        return self.ring.alive(kid, timestamp)

    def on_change(self, change: Change) -> None:
        """The feed's listener, called from any thread: the next use loads the keys anew."""
        if isinstance(change, KeysChanged):
            self._told += 1

    @property
    def stale(self) -> bool:
        """Whether the feed told of a change that is not loaded yet."""
        return self._heeded < self._told

    async def reload(self) -> None:
        """Load the records anew; where the last key was retired, one is made at once.

        Until that is done everybody who asks loads too; where it fails or is cancelled, it is still to be done.
        """
        told = self._told
        if all(record.retired_at for record in await self._load()):
            await self.rotate(self._clock.now())
        self._heeded = max(self._heeded, told)

    async def follow(self, *, heard: bool) -> None:
        """Heed what the feed said of the keys; where it is silent (not `heard`), look for oneself now and then."""
        if self.stale:
            await self.reload()
        elif not heard:
            await self.look_again()

    async def look_again(self) -> bool:
        """Load the records anew; False, without a look, within the cool-down."""
        monotonic = self._clock.monotonic()
        if monotonic - self._looked_at < COOL_DOWN:
            return False
        self._looked_at = monotonic
        await self.reload()
        return True

    async def prune(self, now: datetime) -> None:
        """Forget keys that verify nothing any more. The newest stays, so a generation is never given twice."""
        dead = [
            record.generation for record in self.ring.records[:-1] if not self.ring.alive(record.kid, now.timestamp())
        ]
        if dead:
            await self._store.remove(dead)
            await self.reload()

    async def _load(self, *, strict: bool = False) -> Sequence[KeyRecord]:
        """The records, taken in; an answer that a later question has overtaken must not bring a retired key back."""
        self._asked += 1
        asked = self._asked
        records = await self._store.load()
        if asked > self._taken:
            self._take(records, strict=strict)
            self._taken = asked
        return records

    def _make(self, last_generation: int, signs_from: datetime, now: datetime) -> KeyRecord:
        generation = last_generation + 1
        key = jose.generate(self._policy.signing_alg, opaque.identifier(self._entropy(16)), self._entropy(32))
        record = KeyRecord(generation, key.kid, key.alg, b"", created_at=now, signs_from=signs_from)
        sealed = sealing.seal(key.private_bytes(), record.place, self._masters, self._entropy(sealing.NONCE))
        return KeyRecord(generation, key.kid, key.alg, sealed, created_at=now, signs_from=signs_from)

    def _take(self, records: Sequence[KeyRecord], *, strict: bool) -> None:
        """Unseal what is new; what is known already stays as it is.

        A key that does not open is refused at the start (`strict`). Later it is another worker's, sealed with a master key
        that this one is still to be given: the rest is taken without it.
        """
        private = dict(self.ring.private)
        for record in records:
            if record.kid in private:
                continue
            try:
                raw = sealing.unseal(record.sealed, record.place, self._masters)
            except ConfigError as error:
                if strict:
                    raise
                logger.error("a signing key is left out: %s", error)
            else:
                private[record.kid] = jose.load(record.alg, record.kid, raw)
        opened = [record for record in records if record.kid in private]
        self.ring = keys.ring(opened, {record.kid: private[record.kid] for record in opened}, self._refresh_keys)
