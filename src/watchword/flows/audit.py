"""The audit log as people ask for it: what is in it, and what is still kept of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from watchword.core import audit, scopes
from watchword.core.audit import Row
from watchword.core.errors import InsufficientScope, InvalidToken
from watchword.core.events import UserDeleted
from watchword.core.models import Principal
from watchword.flows.kit import Kit

PAGE = 1000
"""Rows that are read at once."""

LATE = timedelta(days=1)
"""How long after a deletion another worker may still write something of that user's; their personal fields go too then."""

FOLLOW_SECONDS = 1.0
rest: Callable[[float], Awaitable[None]] = asyncio.sleep
"""Waits for so many seconds."""


async def listed(
    kit: Kit, who: Principal, *, before: int | None, limit: int, user_id: str | None, kind: str | None
) -> Sequence[Row]:
    """Events, the newest first: one's own, or (with the scope `watchword:admin`) everybody's. Raises InsufficientScope."""
    whose = user_id
    if not scopes.covers(who.scopes, frozenset({scopes.ADMIN})):
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


async def keep(kit: Kit, now: datetime) -> int:
    """Seal what a worker that was killed has left, let the chain begin later where rows are older than is kept, and erase what
    came after a deletion; up to which position rows may be pruned.

    It comes before old signing keys are forgotten: with the one that signs now, the newest checkpoint is signed anew.
    """
    kept = kit.policy.audit_kept
    await kit.recorder.seal(None if kept is None else now - kept)
    await _forget_late(kit, now)
    newest = (await kit.audit.extent()).newest
    if newest is None:
        return 0
    try:
        return audit.read(newest, audit.keys(kit.keyring.ring, now)).begins.position
    except InvalidToken:
        return 0


async def _forget_late(kit: Kit, now: datetime) -> None:
    before = None
    while rows := await kit.audit.page(before=before, limit=PAGE, kind=UserDeleted.__name__):
        for one in rows:
            if one.at < now - LATE:
                return
            if one.user_id is not None:
                await kit.audit.forget(one.user_id)
        before = rows[-1].number
