"""This worker's signing keys: made once for the whole deployment, loaded, rotated without a leader.

All keys in a database are sealed with one master key, the one whose check value it keeps. A new first master key seals
nothing until `reseal` has moved the database to it, so workers that are still to be given it can open every key meanwhile,
and take every refresh token.
"""

import hmac
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from watchword.core import jose, keys, opaque, sealing
from watchword.core.clock import Clock, Entropy
from watchword.core.errors import ConfigError
from watchword.core.events import Event, KeyPublished
from watchword.core.keys import KeyRecord, KeyRing
from watchword.core.policy import Policy
from watchword.ports import Change, Keys, KeysChanged

logger: logging.Logger = logging.getLogger("watchword.keys")

LOCKED_OUT = (
    "WATCHWORD_MASTER_KEYS: the signing keys were sealed anew with a master key that is not in the list here. "
    "Put that one first."
)
OVERTAKEN = (
    "WATCHWORD_MASTER_KEYS: at this moment somebody else has given the signing keys up for another master key. Nothing was "
    "changed from here. Use that one."
)
DISAGREEMENT = "is this worker's. Give every worker the same; then `watchword keys rotate` makes such a key now."

COOL_DOWN = 5.0
"""Seconds between two looks into the store that nobody asked for by the feed."""


class Keyring:
    """Holds a `KeyRing` and replaces it as a whole when the records change."""

    def __init__(self, store: Keys, masters: Sequence[bytes], policy: Policy, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._masters = tuple(masters)
        self._checks = [sealing.check_value(master) for master in masters]
        self._refresh_keys = tuple(sealing.derive(master, "refresh") for master in masters)
        self._pseudonym_keys = tuple(sealing.derive(master, "pseudonym") for master in masters)
        self._link_keys = tuple(sealing.derive(master, "link") for master in masters)
        self._own = 0
        self._settled = False
        self._looked_into: dict[str, bytes] = {}
        self._policy = policy
        self._clock = clock
        self._entropy = entropy
        self._looked_at = float("-inf")
        self._asked = self._taken = 0
        self.ring: KeyRing = keys.ring((), {}, self._refresh_keys)
        self._told = 0
        self._heeded = 0
        self.stale: bool = False
        """Whether the feed told of a change that is not loaded yet."""

        self.announce: Callable[[Event], None] = lambda event: logger.info("%r", event)
        """Where a published key is told; the kit's own `announce` once there is a kit."""

    async def start(self, *, strict: bool = True, foreign: bool = False) -> None:
        """Recognise the master key, load, make the first key if there is none.

        Raises ConfigError for a foreign master key, and (`strict`) for a key that none opens, unless it was retired. With
        `foreign`, a foreign master key is left standing before the door: nothing is loaded or made.
        """
        found = await self._store.recognise(self._checks[0])
        if found not in self._checks:
            if foreign:
                return
            raise ConfigError(
                "WATCHWORD_MASTER_KEYS: this database belongs to another master key. Give the key that it was made "
                "with, or that it was resealed with (it may stand behind a new one), or point WATCHWORD_DATABASE_URL "
                "to another database. If that key is lost for good: watchword keys abandon"
            )
        self._own = self._checks.index(found)
        if not any(record.retired_at is None for record in await self._load(strict=strict)):
            await self.rotate(self._clock.now())

    async def rotate(self, now: datetime) -> bool:
        """Publish a successor if one is due; whether this worker made it. Of N workers exactly one does."""
        records = await self._load()
        alg = self._policy.signing_alg
        signs_from = keys.successor_due(records, alg, self._policy.key_rotation, now, settled=self._settled)
        if signs_from is None:
            newest = keys.newest_able(records)
            if newest is not None and newest.alg != alg:
                logger.warning(
                    "the newest signing key is %s; WATCHWORD_SIGNING_ALG=%s %s", newest.alg, alg, DISAGREEMENT
                )
            return False
        try:
            return await self.publish(records, signs_from, now) is not None
        except ConfigError as error:
            logger.error("no signing key was made: %s", error)
            return False

    async def publish(
        self, records: Sequence[KeyRecord], signs_from: datetime, now: datetime, *, by: str | None = None
    ) -> KeyRecord | None:
        """Make the key that follows these records; None when another worker was first, or they were sealed anew.

        Raises ConfigError while the database is sealed with a master key that is not in this worker's list.
        """
        own = await self.own_master()
        if own is None:
            raise ConfigError(LOCKED_OUT)
        made = self._make(len(records) and records[-1].generation, signs_from, now, self._masters[own])
        added = await self._store.add(made, self._checks[own])
        if added:
            self.announce(KeyPublished(None, made.kid, made.alg, signs_from, by=by))
        await self._load()
        return made if added else None

    async def records(self) -> Sequence[KeyRecord]:
        """All keys that are stored now, oldest first, those that no master key opens included."""
        return await self._load()

    def pseudonym(self, *texts: str) -> str:
        """What stands for these texts in the database: whoever reads it there can't try out which they are.

        The key is of the database's own master key, so workers that were given a new one already say the same.
        """
        joined = "".join(f"{len(text)}:{text}" for text in texts)
        return hmac.digest(self._pseudonym_keys[self._own], joined.encode("utf-8", "surrogatepass"), "sha256").hex()

    def seal(self, place: str, plain: bytes) -> bytes:
        """`plain`, sealed for this place with the database's own master key, which every worker has."""
        return sealing.seal(plain, place, self._masters[self._own :], self._entropy(sealing.NONCE))

    def unseal(self, place: str, sealed: bytes) -> bytes:
        """What was sealed for this place. Raises ConfigError when no master key opens it."""
        return sealing.unseal(sealed, place, self._masters)

    @property
    def link_keys(self) -> tuple[bytes, ...]:
        """The keys of mailed links, first that of the master key which every worker has."""
        return _first(self._link_keys, self._own)

    @property
    def masters(self) -> int:
        """How many master keys this worker was given."""
        return len(self._masters)

    def opener(self, record: KeyRecord) -> int | None:
        """Which master key opens this record (0 is the first); None when none does."""
        try:
            return sealing.opened(record.sealed, record.place, self._masters)[0]
        except ConfigError:
            return None

    async def own_master(self) -> int | None:
        """Which master key the database is known by; None for one that is not in the list any more."""
        found = await self._store.recognise(self._checks[0])
        return self._checks.index(found) if found in self._checks else None

    async def reseal(self, now: datetime) -> int | None:
        """Seal every key with the first master key, and let the database be known by it; how many were sealed with another.

        None when there was nothing to do. Whoever is overtaken (by a new key, or by another reseal) begins again, so none
        is left behind. A retired key that nothing opens stays as it is. Raises ConfigError for a live one.
        """
        while True:
            records = await self._load()
            behind = [record for record in records if self.opener(record) != 0]
            sealed = {record.generation: self._sealed_anew(record) for record in behind if self._lives(record)}
            if not sealed and await self.own_master() == 0:
                return None
            if await self._store.reseal(records, sealed, self._checks[0], now):
                await self._load()
                return len(sealed)

    async def stranger(self) -> str | None:
        """The check value of the database, where none of this worker's master keys has it."""
        found = await self._store.recognise(self._checks[0])
        return None if found in self._checks else found

    async def abandon(self, lost: str, now: datetime) -> tuple[int, int] | None:
        """Give up every signing key for one under the first master key, and end every session; how many of each.

        `lost` is the check value that was seen. None, and no change, when somebody else has done it for a master key of
        this worker's meanwhile. Raises ConfigError when it was for one that is not in the list here.
        """
        while True:
            records = await self._store.load()
            made = self._make(len(records) and records[-1].generation, now, now, self._masters[0])
            ended = await self._store.abandon(made, self._checks[0], now, replacing=lost)
            if ended is not None:
                await self._load()
                return len(records), ended
            found = await self.stranger()
            if found is None:
                return None
            if found != lost:
                raise ConfigError(OVERTAKEN)

    def alive(self, kid: str, timestamp: float) -> bool:
        """Whether this key still verifies at `timestamp` (seconds since the epoch)."""
        return timestamp < self.ring.deadlines.get(kid, 0.0)

    def on_change(self, change: Change) -> None:
        """The feed's listener, called from any thread: the next use loads the keys anew."""
        if isinstance(change, KeysChanged):
            self._told += 1
            self.stale = True

    async def reload(self) -> None:
        """Load the records anew; where the last key was retired, one is made at once.

        Until that is done everybody who asks loads too; where it fails or is cancelled, it is still to be done.
        """
        told = self._told
        if all(record.retired_at for record in await self._load()):
            await self.rotate(self._clock.now())
        self._heeded = max(self._heeded, told)
        self.stale = False
        if self._heeded < self._told:  # told meanwhile; whoever tells after this line says so after it too
            self.stale = True

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

    async def prune(self, now: datetime) -> int:
        """Forget keys that verify nothing any more; how many. The newest stays, so a generation is never given twice."""
        dead = [
            record.generation for record in self.ring.records[:-1] if not self.ring.alive(record.kid, now.timestamp())
        ]
        if dead:
            await self._store.remove(dead)
            await self.reload()
        return len(dead)

    async def _load(self, *, strict: bool = False) -> Sequence[KeyRecord]:
        """The records, taken in; an answer that a later question has overtaken must not bring a retired key back."""
        self._asked += 1
        asked = self._asked
        records = await self._store.load()
        if asked > self._taken:
            self._take(records, strict=strict)
            self._taken = asked
        return records

    def _make(self, last_generation: int, signs_from: datetime, now: datetime, master: bytes) -> KeyRecord:
        generation = last_generation + 1
        key = jose.generate(self._policy.signing_alg, opaque.identifier(self._entropy(16)), self._entropy(32))
        record = KeyRecord(generation, key.kid, key.alg, b"", created_at=now, signs_from=signs_from)
        sealed = sealing.seal(key.private_bytes(), record.place, [master], self._entropy(sealing.NONCE))
        return replace(record, sealed=sealed)

    def _sealed_anew(self, record: KeyRecord) -> bytes:
        raw = sealing.unseal(record.sealed, record.place, self._masters)
        return sealing.seal(raw, record.place, self._masters, self._entropy(sealing.NONCE))

    def _lives(self, record: KeyRecord) -> bool:
        return record.retired_at is None or self.opener(record) is not None

    def _take(self, records: Sequence[KeyRecord], *, strict: bool) -> None:
        """Unseal what is new; what is known already stays as it is, also when it was sealed anew.

        A key that does not open is refused at the start (`strict`), unless it was retired. Later it is left out, and the
        rest is taken without it: the database was resealed with a master key that this worker is still to be given. That
        is said once, and not at every look.
        """
        private = dict(self.ring.private)
        resealed = False
        for record in records:
            if self._looked_into.get(record.kid) == record.sealed:
                continue
            try:
                self._own, raw = sealing.opened(record.sealed, record.place, self._masters)
            except ConfigError as error:
                if record.retired_at is not None:
                    continue
                if strict:
                    cure = f"If it is lost, give up this signing key: watchword keys retire {record.generation}"
                    raise ConfigError(f"{error} {cure}") from None
                if record.kid in private:
                    resealed = True
                else:
                    logger.error("a signing key is left out: %s", error)
            else:
                private[record.kid] = private.get(record.kid) or jose.load(record.alg, record.kid, raw)
        if resealed:
            logger.error(
                "%s Until then this worker goes on with what it has opened, and can't be restarted.", LOCKED_OUT
            )
        self._looked_into = {record.kid: record.sealed for record in records}
        newest = keys.newest_able(records)
        self._settled = self._settled or (newest is not None and newest.alg == self._policy.signing_alg)
        opened = [record for record in records if record.kid in private]
        self.ring = keys.ring(opened, {record.kid: private[record.kid] for record in opened}, self._minting_first())

    def _minting_first(self) -> tuple[bytes, ...]:
        """The keys of refresh tokens, first that of the master key which every worker has: the database's own."""
        return _first(self._refresh_keys, self._own)


def _first(keys: tuple[bytes, ...], own: int) -> tuple[bytes, ...]:
    return (keys[own], *(key for key in keys if key != keys[own]))
