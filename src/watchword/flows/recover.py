"""A forgotten password: a mailed link leads to a new one. It signs nobody in, and ends every session."""

from collections.abc import Sequence
from datetime import datetime

from watchword.core.errors import AuthError, InvalidLink
from watchword.core.events import AccountDisowned, EmailChanged, PasswordReset, PasswordResetRequested
from watchword.core.mail import Queued
from watchword.core.models import NOWHERE, Account, Client
from watchword.flows import links, notices, post, throttle
from watchword.flows import password as passwords
from watchword.flows.kit import Kit
from watchword.flows.links import Opened
from watchword.ports import Altered, Ending, Limit, Particulars

RESET = "reset-password"
UNDO = "undo"


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
    await links.use(kit, opened, now)
    expecting = Particulars(email=user.email, epoch=user.epoch)
    revoked = await passwords.replace(
        kit, user, new_hash, client, now, ending=Ending.ALL, expecting=expecting, verified=True
    )
    if revoked is None:
        raise InvalidLink("the account was changed at the same time")
    kit.announce(PasswordReset(user.id), revoked, client)
    found = await kit.users.get(user.id)
    if found is not None:
        await throttle.welcome(kit, found.user, client)


async def disown(kit: Kit, text: str, client: Client = NOWHERE) -> None:
    """ "This was not me": end all sessions and API keys of the account, let its password work no longer, keep it if it was to
    be deleted, give it its address back if the link came there since that was changed, and mail a link to a new password. Of
    any number of callers with one link exactly one returns; for all others InvalidLink. Where it fails the link is as it
    was."""
    now = kit.clock.now()
    opened = await links.open(kit, text, (UNDO,), now, client)
    limit = Limit(kit.keyring.pseudonym("undo", opened.link.nonce), 1, notices.UNDO_LASTS * 2)
    if (await kit.scratch.hit([limit], now)).wait is not None:
        raise InvalidLink("the link was used")
    try:
        await _take_away(kit, opened, client, now)
    except AuthError:
        await kit.scratch.take_back([limit])
        raise
    found = await kit.users.get(opened.user.id)
    if found is not None:
        mail, once = links.asked(kit, RESET, found.user, found.user.email, client)
        await post.queue(kit, [mail], [once])


async def _take_away(kit: Kit, opened: Opened, client: Client, now: datetime) -> None:
    user, back = opened.user, opened.link.to
    if kit.accounts is None:
        nobodys = await kit.hashing.hash(kit.new_id())  # a host's table has no word for "no password"
        revoked = await kit.users.set_password(user.id, nobodys, now, ending=Ending.ALL) or ()
    else:
        changes = Particulars(password_hash=None, deletes_at=None)
        altered = Altered(done=False)
        if back and back != user.email:
            mails = await notices.about(kit, "email-changed", user, client, now, undo=False, new=back)
            returned = Particulars(**changes, email=back, email_verified_at=now)
            altered = await kit.accounts.alter(user.id, returned, now, ending=Ending.ALL, mails=mails)
            await _told(kit, altered, mails, user, client)
        if not altered.done:  # where another account has that address by now, the rest is done all the same
            altered = await kit.accounts.alter(user.id, changes, now, ending=Ending.ALL)
        revoked = altered.revoked
    kit.announce(AccountDisowned(user.id), revoked, client)
    for annex in kit.annexes.values():
        await annex.disowned(user.id)


async def _told(kit: Kit, altered: Altered, mails: Sequence[Queued], user: Account, client: Client) -> None:
    if not altered.done:
        await post.untold(kit, mails)
        return
    post.go(kit, mails)
    kit.announce(EmailChanged(user.id), client=client)
