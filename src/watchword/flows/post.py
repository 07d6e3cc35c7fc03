"""Mails leave by an outbox: an act queues them in its own transaction, and whoever keeps the house delivers them beside it.

So a mail server that is away changes no answer and loses no mail. How many mails somebody gets in an hour is capped, apart for
what anybody can ask for in his name and for what tells him that something was changed: no flood of the one hides the other.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from watchword.core import mail
from watchword.core.errors import ConfigError, Unavailable, Undeliverable
from watchword.core.mail import Mail, Queued
from watchword.core.models import Account, Client
from watchword.flows.kit import Kit
from watchword.ports import Limit, Once

logger: logging.Logger = logging.getLogger("watchword.mail")

HOUR = timedelta(hours=1)
ASKED_PER_HOUR = 5
"""Mails of one purpose to one address that anybody can ask for by naming it."""

NOTICES_PER_HOUR = 20
"""Mails to one address that tell of changes of one kind."""

NOTICES_LAST = timedelta(days=3)
"""How long somebody goes on trying to tell of a change. A link is tried as long as it works."""

AT_ONCE = 8
"""Mails that one worker delivers at the same time."""

LOOK_SECONDS = 5.0
"""Between two looks for mails that other workers left, or that have to be tried again."""


def write(
    kit: Kit, kind: str, recipient: str, language: str, now: datetime, facts: Mapping[str, str], lasts: timedelta
) -> Queued:
    """A mail for the outbox; nobody who reads it there learns what it says."""
    mail_id = kit.new_id()
    sealed = kit.keyring.seal(mail.place(mail_id), mail.packed(language, facts))
    return Queued(mail_id, kind, recipient, sealed, queued_at=now, due_at=now, until=now + lasts)


def unsent(queued: Queued) -> Queued:
    """The same mail for nobody: it is queued, taken and written like another one, so that nobody can tell from how busy the
    worker is, and then thrown away."""
    return dataclasses.replace(queued, recipient="")


def language(kit: Kit, user: Account | None, client: Client) -> str:
    """What mails to this user are written in: the language of the account, or of the request."""
    known = kit.mailer.languages if kit.mailer else (mail.ENGLISH,)
    chosen = getattr(user, "language", None)
    return mail.language(chosen or client.languages, known)


async def may_ask(kit: Kit, purpose: str, recipient: str, now: datetime) -> bool:
    """Count a mail that was asked for; whether this address may have it. Whoever asked is not told. Each purpose is counted by
    itself: else whoever floods a mailbox with one that is of no use keeps the owner from the link to a new password."""
    return await _counted(kit, _limit(kit, "asked", recipient, ASKED_PER_HOUR, purpose), now)


async def may_tell(kit: Kit, kind: str, recipient: str, now: datetime) -> bool:
    """Count a mail that tells of a change; whether this address may have it. Each kind is counted by itself: else whoever is
    signed in makes twenty harmless changes, and the one that matters is not told."""
    return await _counted(kit, _limit(kit, "told", recipient, NOTICES_PER_HOUR, kind), now)


async def untold(kit: Kit, mails: Sequence[Queued]) -> None:
    """Take back what notices were counted that were not queued, since nothing was changed. Else whoever fails often enough
    makes the change that follows a silent one."""
    for one in mails:
        await kit.scratch.take_back([_limit(kit, "told", one.recipient, NOTICES_PER_HOUR, one.kind)])


async def queue(kit: Kit, mails: Sequence[Queued], once: Sequence[Once] = ()) -> None:
    """Queue mails with what their links are good for, and let them go."""
    if mails or once:
        await kit.outbox.add(mails, once)
        go(kit, mails)


def go(kit: Kit, mails: Sequence[Queued]) -> None:
    """Let these mails go, which an act has queued. Nobody waits for that."""
    if mails:
        kit.post.go(kit)


async def deliver(kit: Kit) -> int:
    """Deliver what is due, a few at a time, until nothing is left, the mail server is away, or the house stops; how many mails
    went."""
    total = 0
    while kit.mailer and not kit.post.ending and (taken := await kit.outbox.take(kit.clock.now(), AT_ONCE)):
        went = await asyncio.gather(*(_deliver(kit, one) for one in taken))
        total += sum(bool(one.recipient) for one, gone in zip(taken, went, strict=True) if gone)
        if set(went) == {False}:
            break
    return total


def _limit(kit: Kit, what: str, recipient: str, hits: int, *purpose: str) -> Limit:
    return Limit(kit.keyring.pseudonym("mail", what, recipient, *purpose), hits, HOUR)


async def _counted(kit: Kit, limit: Limit, now: datetime) -> bool:
    if (await kit.scratch.hit([limit], now)).wait is None:
        return True
    logger.warning("an address has had %d mails within an hour, and this one is left out", limit.hits)
    return False


async def _deliver(kit: Kit, queued: Queued) -> bool | None:
    """Whether it went; None for one that is itself to blame. A mail that can't go stays, with the reason and the time of the
    next attempt."""
    try:
        assert kit.mailer is not None  # noqa: S101 - `deliver` has looked
        await kit.mailer.deliver(_opened(kit, queued))
    except Undeliverable as error:
        logger.warning("mail %s (%s) can't be delivered: %s", queued.id, queued.kind, error)
        await kit.outbox.postpone(queued.id, queued.until, str(error))
        return None
    except Unavailable as error:
        wait = mail.wait(queued.attempts)
        logger.warning("mail %s (%s) waits for %s: %s", queued.id, queued.kind, wait, error.because)
        await kit.outbox.postpone(queued.id, kit.clock.now() + wait, error.because)
        return False
    except Exception as error:
        wait, because = mail.LONGEST_WAIT, type(error).__name__  # what it says may hold the mail's link
        logger.error("mail %s (%s) can't be written and waits for %s: %s", queued.id, queued.kind, wait, because)
        await kit.outbox.postpone(queued.id, kit.clock.now() + wait, f"can't be written: {because}")
        return None
    await kit.outbox.delivered(queued.id)
    return True


def _opened(kit: Kit, queued: Queued) -> Mail:
    try:
        return mail.unpacked(queued, kit.keyring.unseal(queued.place, queued.sealed))
    except ConfigError as error:
        raise Undeliverable("it was sealed with a master key that is not here any more") from error


class Post:
    """Delivers in the background: at once what this worker queued, and now and then what others left."""

    def __init__(self) -> None:
        self._tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()
        self._again: WeakKeyDictionary[asyncio.AbstractEventLoop, bool] = WeakKeyDictionary()
        self.ending: bool = False
        """Whether no mail is taken any more."""

    def go(self, kit: Kit) -> None:
        """Deliver what is due, beside whoever called. One task of each event loop does it."""
        loop = asyncio.get_running_loop()
        self._again[loop] = True
        task = self._tasks.get(loop)
        if task is None or task.done():
            self._tasks[loop] = loop.create_task(self._work(kit, loop), context=Context())

    async def keep_going(self, kit: Kit) -> None:
        """Look for mails now and then, until cancelled."""
        while True:
            self.go(kit)
            await rest(LOOK_SECONDS)

    async def drain(self) -> None:
        """Deliver what is due on this event loop, for DRAIN_SECONDS. What is left stays in the outbox."""
        await self._wait(DRAIN_SECONDS)

    async def stop(self) -> None:
        """The same; then take no more, and wait for the mails that are on their way. One that is given up now could have been
        taken by its server, and would be sent again."""
        await self.drain()
        self.ending = True
        if not await self._wait(STOP_SECONDS):
            logger.warning("a mail is on its way still, and may be sent twice")

    async def _wait(self, seconds: float) -> bool:
        """Whether nothing is being delivered on this event loop, after so many seconds at most."""
        task = self._tasks.get(asyncio.get_running_loop())
        return task is None or task.done() or bool((await asyncio.wait([task], timeout=seconds))[0])

    async def _work(self, kit: Kit, loop: asyncio.AbstractEventLoop) -> None:
        while self._again.get(loop):
            self._again[loop] = False
            try:
                await deliver(kit)
            except Unavailable as error:
                logger.warning("mails wait: %s", error.because)
            except Exception:
                logger.exception("mails wait")


DRAIN_SECONDS = 5.0
"""How long a stop goes on with what is due: a command has no other time."""

STOP_SECONDS: float = mail.DELIVERY.total_seconds() + 5
"""How long it waits then for mails that are on their way, and for the database to know of it."""

rest: Callable[[float], Awaitable[None]] = asyncio.sleep
"""Waits between two looks."""
