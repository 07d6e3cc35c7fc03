"""The audit log as people ask for it: what is in it, and what is still kept of it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

from watchword.core import audit, scopes
from watchword.core.audit import LATE, RETENTION, Claims, Link, Row
from watchword.core.errors import InsufficientScope, InvalidToken
from watchword.core.models import Principal
from watchword.flows import authenticate
from watchword.flows.kit import Kit

PAGE = 1000
"""Rows that are read at once."""

OLD_PAGES = 10
"""Pages of old rows that are read in one round of upkeep. What is older still goes with the next round."""

REST_SECONDS = 0.1
"""How long requests have the worker for themselves between two such pages."""

logger: logging.Logger = logging.getLogger("watchword.recording")

FOLLOW_SECONDS = 1.0
rest: Callable[[float], Awaitable[None]] = asyncio.sleep
"""Waits for so many seconds."""


async def listed(
    kit: Kit, who: Principal, *, before: int | None, limit: int, user_id: str | None, kind: str | None
) -> Sequence[Row]:
    """Events, the newest first: one's own, or (with the scope `watchword:admin`) everybody's.

    Raises InsufficientScope, and StepUpRequired where nobody has signed in: one's own history is a person's to read, and an
    API key reads it with the scope alone.
    """
    whose = user_id
    if not scopes.covers(who.scopes, frozenset({scopes.ADMIN})):
        authenticate.signed_in(who)
        if user_id not in (None, who.user_id):
            raise InsufficientScope("events of another user", needed=frozenset({scopes.ADMIN}))
        whose = who.user_id
    return await kit.audit.page(before=before, limit=limit, user_id=whose, kind=kind)


async def export(kit: Kit, since: datetime | None = None, until: datetime | None = None) -> AsyncIterator[Row]:
    """The sealed rows of that time, in the order of their positions."""
    async for rows in pages(kit, 0):
        for one in rows:
            if (since is None or one.at >= since) and (until is None or one.at < until):
                yield one


async def tail(kit: Kit, count: int, *, follow: bool = False) -> AsyncIterator[Row]:
    """The last rows that are sealed, and (`follow`) those that come then, for ever."""
    after = max(0, (await kit.audit.extent()).last - count)
    while True:
        async for rows in pages(kit, after):
            for one in rows:
                yield one
            after = rows[-1].position
        if not follow:
            return
        await rest(FOLLOW_SECONDS)


async def pages(kit: Kit, after: int, until: int | None = None) -> AsyncIterator[Sequence[Row]]:
    """The sealed rows behind the position `after`, up to and including `until`, some at a time."""
    while rows := [one for one in await kit.audit.rows(after, PAGE) if until is None or one.position <= until]:
        yield rows
        after = rows[-1].position


async def keep(kit: Kit, now: datetime) -> tuple[int, bool]:
    """Seal what a worker that was killed has left, and let the chain begin later where rows are older than is kept; up to
    which position rows may be pruned, and whether more of them are old than were read.

    It comes before old signing keys are forgotten: with the one that signs now, the newest checkpoint is signed anew. Where
    the chain begins behind what did not agree with its checkpoint, nothing is pruned: that is what somebody has to look at.

    The head goes to the log of the process, which may be kept where nobody who has the database can reach it.
    """
    await kit.recorder.seal()
    claims, more = await _newest(kit, now), False
    if claims is not None and kit.policy.audit_kept is not None:
        old, more = await _old(kit, claims.begins, now - kit.policy.audit_kept, now)
        if old != claims.begins:
            await kit.recorder.seal(old)
            claims = await _newest(kit, now)
    if claims is not None:
        logger.info("the audit log reaches to head %d:%s", claims.head.position, claims.head.hash.hex())
    return (claims.begins.position, more) if claims is not None and claims.because == RETENTION else (0, more)


async def forget_late(kit: Kit, now: datetime, limit: int) -> int:
    """Erase at most `limit` rows' personal fields that came after their user was deleted; of how many.

    Another worker may have had something of theirs in its hands, and one that was killed may not have come to erase at all.
    """
    return await kit.audit.forget(now - LATE, limit)


async def _newest(kit: Kit, now: datetime) -> Claims | None:
    """What the newest checkpoint says, where it is a good one."""
    newest = (await kit.audit.extent()).newest
    try:
        return None if newest is None else audit.read(newest, audit.keys(kit.keyring.ring, now))
    except InvalidToken:
        return None


async def _old(kit: Kit, begins: Link, until: datetime, now: datetime) -> tuple[Link, bool]:
    """The last of the first rows, behind `begins`, that are older than `until`; and whether it is worth to go on behind it.

    Each row that is to go is chained anew: who can write to the database gives a row another time, and that must not be
    what has it removed. A row from a clock that was ahead holds nothing up, and goes with an old one behind it; unless all
    that is read in one round are such rows.
    """
    last, read, page = begins, begins, 0
    async for rows in pages(kit, begins.position):
        for one in rows:
            if one.position != read.position + 1 or audit.chained(read.hash, one) != one.hash:
                logger.error("the audit log was changed behind position %d, and is kept from there", read.position)
                return last, False
            read = Link(one.position, one.hash)
            if one.at < until:
                last = read
            elif one.at <= now + LATE:
                return last, False
        page += 1
        if page == OLD_PAGES:
            return last, last != begins
        if len(rows) == PAGE:
            await rest(REST_SECONDS)
    return last, False
