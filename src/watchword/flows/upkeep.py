"""Housekeeping: idempotent, in batches, without a leader. Correctness never waits for it, and nobody else does.

A batch is one short transaction, and a rest follows that is many times as long as it took, up to a second. So pruning takes a
small part of the database's time, however slow that is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from watchword.core.errors import AuthError
from watchword.core.policy import CLOCK_JUMP
from watchword.flows import audit, particulars, roles
from watchword.flows.annex import Prune
from watchword.flows.kit import Kit

rest: Callable[[float], Awaitable[None]] = asyncio.sleep
"""Waits for so many seconds between two batches."""

logger: logging.Logger = logging.getLogger("watchword.upkeep")

BATCH = 10
"""Rows that are pruned in one transaction: they lie all over the table and its indexes, so each is some pages to be written,
and these are so many as a login's or two."""

REST = 19.0
"""How many times as long as a batch the rest after it is."""

LONGEST_REST = 1.0
"""Seconds. Where a batch takes long because others keep the database busy, the pruning still comes to its end."""

A_WHILE = 600.0
"""Seconds for one store's dead rows. The rotation of the signing key comes round again, and what is left goes on after it: at
once, where somebody keeps at it, since more may die in an hour than is pruned in some minutes of it."""

DELETIONS = 100
"""Accounts that are deleted in one round, since their owners wanted it."""

ROLES = 10_000
"""Accounts that are brought to their roles in one round, where whoever changed a role did not come to the end."""

SAMPLES, SAMPLE = 4, 64


@dataclass(frozen=True, slots=True)
class Done:
    """What one round of upkeep did: how many rows were forgotten, how many accounts brought to their roles, whether this
    worker published a signing key, and whether there was no time for all of it."""

    sessions: int
    revocations: int
    rotated: bool
    keys: int = 0
    attempts: int = 0
    mails: int = 0
    accounts: int = 0
    features: int = 0
    events: int = 0
    roles: int = 0
    left: bool = False


async def run(kit: Kit) -> Done:
    """Rotate the signing key if that is due, see what password hashes there are, finish what changes of roles have left, and
    prune what is dead, or old in the audit log.

    What is pruned is dead only where it stays so when the clock is set back by `CLOCK_JUMP`.
    """
    now = kit.clock.now()
    dead_by = now - CLOCK_JUMP
    rotated = await kit.keyring.rotate(now)
    old, ancient = await audit.keep(kit, now)
    keys = await kit.keyring.prune(dead_by)
    kit.hashing.resemble(await _sampled(kit))
    sessions, some = await _pruned(kit, dead_by, kit.sessions.prune)
    revocations, more = await _pruned(kit, dead_by, kit.revocations.prune)
    attempts, others = await _pruned(kit, dead_by, kit.scratch.prune)
    mails, unsent = await _pruned(kit, dead_by, kit.outbox.prune)
    deleted = await particulars.delete_due(kit, DELETIONS)
    features, further = 0, False
    for prune in [prune for annex in kit.annexes.values() for prune in annex.prunes]:
        removed, left = await _pruned(kit, dead_by, prune)
        features, further = features + removed, further or left
    events, older = await _pruned(kit, dead_by, lambda _, limit: kit.audit.prune(old, limit))
    await _pruned(kit, now, lambda at, limit: audit.forget_late(kit, at, limit))
    settled = await roles.settle_left(kit, ROLES)
    left = some or more or others or unsent or further or ancient or older or deleted == DELETIONS or settled == ROLES
    return Done(sessions, revocations, rotated, keys, attempts, mails, deleted, features, events, settled, left=left)


async def _pruned(kit: Kit, dead_by: datetime, prune: Prune) -> tuple[int, bool]:
    """Prune for a while, with rests between the batches; how many rows there were, and whether some are left."""
    total = 0
    until = kit.clock.monotonic() + A_WHILE
    while True:
        since = kit.clock.monotonic()
        removed = await prune(dead_by, BATCH)
        total += removed
        now = kit.clock.monotonic()
        if removed < BATCH or now >= until:
            return total, removed == BATCH
        await rest(min(REST * (now - since), LONGEST_REST))


async def _sampled(kit: Kit) -> list[str]:
    """Password hashes of some accounts, from chance places in the order of their addresses."""
    places = ["", *(chr(ord("a") + byte % 26) for byte in kit.entropy(SAMPLES - 1))]
    pages = [await kit.users.page(after, SAMPLE) for after in places]
    return [one.password_hash for page in pages for one in page if one.password_hash is not None]


async def attempt(kit: Kit) -> bool:
    """Run upkeep; a store that is away is logged and left for the next time. Whether there was no time for all."""
    try:
        done = await run(kit)
    except AuthError as error:
        logger.warning("upkeep failed and will be tried again: %s", error.because)
    except Exception:
        logger.exception("upkeep failed and will be tried again")
    else:
        logger.info("upkeep: %r", done)
        return done.left
    return False
