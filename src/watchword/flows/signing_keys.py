"""What an operator does to signing keys. Running workers hear of each act by the feed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from watchword.core import keys
from watchword.core.errors import NotFound
from watchword.core.events import KeyPublished, KeyRetired, KeysAbandoned, KeysResealed
from watchword.core.keys import KeyRecord, State
from watchword.core.policy import LEEWAY
from watchword.flows.kit import Kit


@dataclass(frozen=True, slots=True)
class Listed:
    """A key as it stands now. `ends_at` is when it verifies no more; `master` is the position of the master key that
    sealed it in this worker's list (0 is the first), None when none opens it."""

    record: KeyRecord
    state: State
    ends_at: datetime | None
    master: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys, oldest first; the position of the master key that the database is known by, and how many were given."""

    keys: tuple[Listed, ...]
    master: int | None
    masters: int


@dataclass(frozen=True, slots=True)
class Published:
    """The key that follows, and whether this call made it; `signing` is the one that signs now."""

    record: KeyRecord
    made: bool
    signing: KeyRecord


@dataclass(frozen=True, slots=True)
class Retired:
    """The key that was stopped, whether this call did it, and the one that signs now."""

    record: KeyRecord
    done: bool
    signing: KeyRecord


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many keys were sealed anew (None: there was nothing to do), and when the last refresh token that was made under
    the older master key has gone unused for too long."""

    keys: int | None
    old_until: datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """A database whose master key is not given here: its check value, and how many signing keys it has."""

    check: str
    keys: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """How many keys were given up and how many sessions ended with them, and the key that signs now."""

    keys: int
    sessions: int
    signing: KeyRecord


async def listed(kit: Kit) -> Listing:
    """Every stored key with its state."""
    records = await kit.keyring.records()
    now = kit.clock.now()
    opened = kit.keyring.ring.records
    return Listing(
        keys=tuple(_describe(record, opened, kit.keyring.opener(record), now) for record in records),
        master=await kit.keyring.own_master(),
        masters=kit.keyring.masters,
    )


async def find(kit: Kit, whom: str) -> Listed:
    """The key with this kid or generation. Raises NotFound, whose text lists what there is."""
    found = (await listed(kit)).keys
    named = [one for one in found if one.record.kid == whom] or [
        one for one in found if str(one.record.generation) == whom
    ]
    if not named:
        there = ", ".join(f"{one.record.generation} = {one.record.kid} ({one.state.value})" for one in found)
        raise NotFound(
            "no such signing key", detail=f"There is no signing key with this kid or generation. There are: {there}."
        )
    return named[0]


async def publish(kit: Kit, *, at_once: bool = False, by: str | None = None) -> Published:
    """Publish a successor though none is due: it signs after the publish-ahead time, or `at_once`.

    Of any number of callers exactly one makes it; the others get the same key. Raises ConfigError while the database is
    sealed with a master key that is not given here.
    """
    while True:
        records = await kit.keyring.records()
        now = kit.clock.now()
        made = keys.already_made(records, kit.policy.signing_alg, now, at_once=at_once)
        if made is not None:
            return Published(made, False, keys.signing(kit.keyring.ring.records, now))
        newest = keys.newest_able(records)
        signs_from = now if at_once or newest is None else keys.publish_time(newest, now)
        made = await kit.keyring.publish(records, signs_from, now, by=by)
        if made is not None:
            return Published(made, True, keys.signing(kit.keyring.ring.records, now))


async def retire(kit: Kit, generation: int) -> Retired:
    """Stop a key at once, on every worker. Where no other key is able, one that signs at once is made before.

    So there is no moment without a signing key; and a crash between the two leaves both, and the act to be done again.
    What has expired is forgotten first: with its successor gone, it would live again. Raises NotFound.
    """
    record = (await find(kit, str(generation))).record
    now = kit.clock.now()
    if record.retired_at is not None:
        return Retired(record, False, keys.signing(kit.keyring.ring.records, now))
    await kit.keyring.prune(now)
    while not _others(kit, record):
        await kit.keyring.publish(await kit.keyring.records(), now, now)
    done = await kit.keys.retire(generation, now)
    if done:
        kit.announce(KeyRetired(None, record.kid))
    await kit.keyring.reload()
    return Retired(record, done, keys.signing(kit.keyring.ring.records, now))


async def reseal(kit: Kit) -> Resealed:
    """Seal every key with the first master key, so that the others can leave the list. Raises ConfigError for a key that
    none opens."""
    now = kit.clock.now()
    count = await kit.keyring.reseal(now)
    if count is not None:
        kit.announce(KeysResealed(None, count))
    return Resealed(count, now + kit.policy.refresh_idle + LEEWAY)


async def lost(kit: Kit) -> Lost | None:
    """What would have to be given up; None where a master key that is given here is the database's: then nothing is lost."""
    check = await kit.keyring.stranger()
    return None if check is None else Lost(check, len(await kit.keys.load()))


async def abandon(kit: Kit, given_up: Lost) -> Abandoned | None:
    """For a master key that is lost: give up every signing key for one under the first master key, and end every session.

    Users and their passwords stay. None, and no change, when somebody else has done the same meanwhile. Raises ConfigError
    when they did it for another master key.
    """
    now = kit.clock.now()
    done = await kit.keyring.abandon(given_up.check, now)
    if done is None:
        return None
    signing = keys.signing(kit.keyring.ring.records, now)
    kit.announce(KeysAbandoned(None, *done))
    kit.announce(KeyPublished(None, signing.kid, signing.alg, signing.signs_from))
    return Abandoned(*done, signing)


def _others(kit: Kit, record: KeyRecord) -> list[KeyRecord]:
    """The keys that can sign in the place of this one."""
    return [one for one in kit.keyring.ring.records if one.retired_at is None and one.kid != record.kid]


def _describe(record: KeyRecord, opened: Sequence[KeyRecord], master: int | None, now: datetime) -> Listed:
    if master is None and record.retired_at is None:
        return Listed(record, State.LEFT_OUT, None, None)
    return Listed(record, keys.state(record, opened, now), keys.end(record, opened), master)
