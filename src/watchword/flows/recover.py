"""A forgotten password: a mailed link leads to a new one. It signs nobody in, and ends every session."""

import json
from datetime import datetime

from watchword.core.errors import AuthError, InvalidLink, Unavailable
from watchword.core.events import AccountDisowned, EmailChanged, PasswordReset, PasswordResetRequested
from watchword.core.links import place
from watchword.core.models import NOWHERE, Account, Client, Revoked
from watchword.flows import links, notices, post, throttle
from watchword.flows import password as passwords
from watchword.flows.kit import Kit
from watchword.flows.links import Opened
from watchword.ports import Ending, Limit, Once, Particulars

RESET = "reset-password"
UNDO = "undo"
RETURNED = "returned"

ATTEMPTS = 20
"""To take an account away that is changed at the same moment."""


async def request(kit: Kit, email: str, client: Client = NOWHERE) -> None:
    """Mail a link to this address if it has an account. Nobody learns whether: both take the same steps, and neither waits for
    the mail. Raises InvalidInput for what is no address, and TooManyAttempts."""
    user = await links.send(kit, RESET, email, client)
    kit.announce(PasswordResetRequested(user.id if user else None), client=client)


async def reset(kit: Kit, text: str, new: str, client: Client = NOWHERE) -> None:
    """Replace the password of the account that the link was mailed to, end all its sessions and tell its owner.

    Of any number of callers with one link exactly one returns; for all others InvalidLink is raised. WeakPassword leaves the
    link as it was. Raises TooManyAttempts and Overloaded.
    """
    now = kit.clock.now()
    opened = await links.open(kit, text, (RESET,), now, client)
    user = opened.user
    await passwords.accept(kit, new, user)
    new_hash = await kit.hashing.hash(new)
    expecting = Particulars(email=user.email, epoch=user.epoch)
    revoked = await passwords.replace(
        kit, user, new_hash, client, now, ending=Ending.ALL, expecting=expecting, verified=True, using=opened.once
    )
    if revoked is None:
        raise InvalidLink(links.USED)
    kit.announce(PasswordReset(user.id), revoked, client)
    found = await kit.users.get(user.id)
    if found is not None:
        await throttle.welcome(kit, found.user, client)


async def disown(kit: Kit, text: str, client: Client = NOWHERE) -> None:
    """ "This was not me": end all sessions and API keys of the account, let its password work no longer, keep it if it was to
    be deleted, give it the address back that the link came to, and mail a link to a new password. Of any number of callers
    with one link exactly one returns; for all others InvalidLink. Where it fails the link is as it was.

    A link that came to an address which an older link took from the account gives it back no more: whoever moves a stolen
    account on has such links too.
    """
    now = kit.clock.now()
    opened = await _unused(kit, text, client, now)
    await _keys_end(kit, opened.user)  # first, so that none lives on where the process dies
    attempts = 1
    while (revoked := await _take_away(kit, opened, client, now)) is None:
        if attempts == ATTEMPTS:
            raise Unavailable("the account keeps changing")
        attempts += 1
        opened = await _unused(kit, text, client, now)
    kit.announce(AccountDisowned(opened.user.id), revoked, client)
    await _keys_end(kit, opened.user)  # and those that were made until the sessions ended
    found = await kit.users.get(opened.user.id)
    if found is not None:
        mail, once = links.asked(kit, RESET, found.user, found.user.email, client)
        await post.queue(kit, [mail], [once])


async def _unused(kit: Kit, text: str, client: Client, now: datetime) -> Opened:
    opened = await links.owner(kit, text, (UNDO,), now, client)
    if await kit.scratch.peek(UNDO, opened.link.nonce, now) is not None:
        raise InvalidLink(links.USED)
    return opened


async def _keys_end(kit: Kit, user: Account) -> None:
    for annex in kit.annexes.values():
        await annex.disowned(user.id)


async def _take_away(kit: Kit, opened: Opened, client: Client, now: datetime) -> tuple[Revoked, ...] | None:
    """Take the account from whoever has it, and use the link up with that; None where it was changed at the same moment."""
    user, link = opened.user, opened.link
    used = Once(UNDO, link.nonce, "", now + notices.UNDO_LASTS)
    if kit.accounts is None:
        return await _take_away_from_host(kit, user, used, now)
    expecting, changes = Particulars(epoch=user.epoch), Particulars(password_hash=None, deletes_at=None)
    returns = await _returns(kit, user, now)
    if link.to and link.to != user.email and not any(start < link.epoch < end for start, end in returns):
        mails = await notices.about(kit, "email-changed", user, client, now, undo=False, new=link.to)
        back = Particulars(**changes, email=link.to, email_verified_at=now)
        before = [one for one in returns if one[0] < link.epoch]
        text = json.dumps([*before, (link.epoch, user.epoch + 1)])
        once = (used, Once(RETURNED, place(user.id), text, now + notices.UNDO_LASTS))
        altered = await kit.accounts.alter(
            user.id, back, now, expecting=expecting, ending=Ending.ALL, mails=mails, once=once
        )
        if altered.done:
            post.go(kit, mails)
            kit.announce(EmailChanged(user.id), client=client)
            return altered.revoked
        await post.untold(kit, mails)
        if not altered.taken:
            return None
    altered = await kit.accounts.alter(user.id, changes, now, expecting=expecting, ending=Ending.ALL, once=[used])
    return altered.revoked if altered.done else None


async def _take_away_from_host(kit: Kit, user: Account, used: Once, now: datetime) -> tuple[Revoked, ...]:
    """The same on a host's table, which has no transaction with ours. Exactly one caller passes the limit, and the use is kept
    where Valkey's end does not matter."""
    limit = Limit(kit.keyring.pseudonym("undo", used.key), 1, notices.UNDO_LASTS * 2)
    if (await kit.scratch.hit([limit], now)).wait is not None:
        raise InvalidLink(links.USED)
    try:
        nobodys = await kit.hashing.hash(kit.new_id())  # there is no word for "no password"
        revoked = await kit.users.set_password(user.id, nobodys, now, ending=Ending.ALL) or ()
        await kit.scratch.keep(used.purpose, used.key, used.value, used.until)
    except AuthError:
        await kit.scratch.take_back([limit])
        raise
    return revoked


async def _returns(kit: Kit, user: Account, now: datetime) -> list[tuple[int, int]]:
    """From which epoch to which the account was in other hands, as its owner said by links."""
    kept = await kit.scratch.peek(RETURNED, place(user.id), now)
    return [(start, end) for start, end in json.loads(kept or "[]")]
