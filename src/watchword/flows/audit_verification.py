"""Whether the audit log is whole: its rows are read one after another, and each against the signature over all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchword.core import audit, audit_verification
from watchword.core.audit import BEGINNING, LATE, Extent, Link
from watchword.core.audit_verification import Fault, Verification
from watchword.core.errors import InvalidInput
from watchword.core.events import UserDeleted
from watchword.core.jose import KeySet
from watchword.flows.audit import pages
from watchword.flows.kit import Kit

Told = Callable[[int, int], None]
"""Is told how many rows were read, of how many."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found in the positions from `first` to `last`. Nothing is wrong where `count` is 0.

    `unknown` of the `checkpoints` have keys that are forgotten; the newest one covers them. `faults` are the first ones.
    """

    rows: int
    first: int
    last: int
    unsealed: int
    erased: int
    checkpoints: int
    unknown: int
    count: int
    faults: Sequence[Fault]
    head: Link | None
    signed_at: datetime | None


def _untold(_rows: int, _of: int) -> None: ...


async def verify(kit: Kit, *, since: int | None = None, noted: Link | None = None, told: Told = _untold) -> Verified:
    """Read the whole chain, or what stands behind the position `since`, and find what is wrong with it.

    `noted` is a place that somebody has written down before. What is sealed meanwhile is not looked at; where retention takes
    the first rows away meanwhile, all is read again. Raises InvalidInput where the log ends before `since`.
    """
    while True:
        extent = await kit.audit.extent()
        end = extent.last if extent.newest is None else max(extent.last, extent.newest.position)
        if since is not None and since > end:
            told_of = (
                f"The audit log ends at position {end}, so nothing stands behind {since}: did it reach further before?"
            )
            raise InvalidInput("behind the end", detail=told_of)
        if extent.newest is not None and extent.newest.kid not in kit.keyring.ring.private:
            await kit.keyring.reload()
        known = audit.keys(kit.keyring.ring, kit.clock.now())
        checking = await _read(kit, extent, known, since, noted, told)
        claims, again = checking.claims, audit_verification.claims(await kit.audit.extent(), known)
        if not checking.count or claims is None or again is None or again.begins == claims.begins:
            break
    newest = extent.newest
    return Verified(
        rows=checking.rows,
        first=checking.first,
        last=checking.last if checking.rows else 0,
        unsealed=extent.unsealed,
        erased=checking.erased,
        checkpoints=checking.checkpoints,
        unknown=checking.unknown,
        count=checking.count,
        faults=checking.faults,
        head=None if newest is None else Link(newest.position, newest.hash),
        signed_at=None if claims is None else claims.made_at,
    )


async def _read(
    kit: Kit, extent: Extent, known: KeySet, since: int | None, noted: Link | None, told: Told
) -> Verification:
    checking = audit_verification.opened(extent, known, await _link(kit, since), noted)
    after, until = checking.start.position, checking.until
    await _walk(kit, checking, after, until, told)
    if checking.suspects:
        async for rows in pages(kit, after, until):
            for one in rows:
                checking.trace(one)
    await _forgive(kit, checking)
    checking.close()
    return checking


async def _link(kit: Kit, since: int | None) -> Link | None:
    """The place that somebody says all is right up to."""
    if not since:
        return None if since is None else BEGINNING
    found = [one for one in await kit.audit.rows(since - 1, 1) if one.position == since]
    return Link(since, found[0].hash if found else b"")


async def _walk(kit: Kit, checking: Verification, after: int, until: int, told: Told) -> None:
    total = max(0, until - after)
    async for rows in pages(kit, after, until):
        for checkpoint in await kit.audit.checkpoints(after, min(rows[-1].position, until - 1)):
            checking.hold(checkpoint)
        for one in rows:
            checking.take(one)
        after = rows[-1].position
        told(checking.rows, total)


async def _forgive(kit: Kit, checking: Verification) -> None:
    """Rows of a user may well be erased whose deletion is not sealed yet, or is too old to be there."""
    cut = checking.claims is not None and checking.claims.because == audit.RETENTION
    for user_id, one in tuple(checking.missing.items()):
        late = cut and checking.began is not None and one.at < checking.began + LATE
        if late or (user_id and await kit.audit.page(before=None, limit=1, user_id=user_id, kind=UserDeleted.__name__)):
            del checking.missing[user_id]
