"""Housekeeping: idempotent, in batches, without a leader. Correctness never waits for it."""

import logging
from dataclasses import dataclass

from watchword.core.errors import AuthError
from watchword.core.policy import CLOCK_JUMP
from watchword.flows.kit import Kit

logger: logging.Logger = logging.getLogger("watchword.upkeep")

BATCH = 1000
SAMPLES, SAMPLE = 4, 64


@dataclass(frozen=True, slots=True)
class Done:
    """What one round of upkeep did: how many rows were forgotten, and whether this worker published a signing key."""

    sessions: int
    revocations: int
    rotated: bool
    keys: int = 0
    attempts: int = 0


async def run(kit: Kit) -> Done:
    """Prune what is dead, rotate the signing key if that is due, see what password hashes there are.

    All of it is dead only where it stays so when the clock is set back by `CLOCK_JUMP`.
    """
    now = kit.clock.now()
    dead_by = now - CLOCK_JUMP
    sessions = 0
    while removed := await kit.sessions.prune(dead_by, BATCH):
        sessions += removed
    revocations = await kit.revocations.prune(dead_by)
    attempts = 0
    while removed := await kit.scratch.prune(dead_by, BATCH):
        attempts += removed
    rotated = await kit.keyring.rotate(now)
    keys = await kit.keyring.prune(dead_by)
    kit.hashing.resemble(await _sampled(kit))
    return Done(sessions, revocations, rotated, keys, attempts)


async def _sampled(kit: Kit) -> list[str]:
    """Password hashes of some accounts, from chance places in the order of their addresses."""
    places = ["", *(chr(ord("a") + byte % 26) for byte in kit.entropy(SAMPLES - 1))]
    pages = [await kit.users.page(after, SAMPLE) for after in places]
    return [one.password_hash for page in pages for one in page if one.password_hash is not None]


async def attempt(kit: Kit) -> None:
    """Run upkeep; a store that is away is logged and left for the next time."""
    try:
        done = await run(kit)
    except AuthError as error:
        logger.warning("upkeep failed and will be tried again: %s", error.because)
    except Exception:
        logger.exception("upkeep failed and will be tried again")
    else:
        logger.info("upkeep: %r", done)
