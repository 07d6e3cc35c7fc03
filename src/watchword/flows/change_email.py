"""Another address for an account: first the old one agrees, then the new one. Until both have, nothing changes."""

from collections.abc import Sequence

from watchword.core import emails
from watchword.core.errors import InvalidInput, InvalidLink
from watchword.core.events import EmailChanged, EmailChangeRequested
from watchword.core.mail import Queued
from watchword.core.models import NOWHERE, Client, Principal
from watchword.flows import authenticate, links, notices, post, throttle
from watchword.flows.kit import Kit
from watchword.flows.links import Opened
from watchword.ports import Accounts, Particulars

APPROVE = "approve-email"
CONFIRM = "confirm-email"


async def request(kit: Kit, who: Principal, email: str, client: Client = NOWHERE) -> None:
    """Ask the present address whether the account may have another. The answer does not tell whether that one is taken.

    Raises StepUpRequired unless the authentication is fresh, InvalidInput and TooManyAttempts.
    """
    now = kit.clock.now()
    authenticate.require_fresh(kit, who)
    email = emails.accept_email(email)
    await throttle.mails(kit, client)
    user = await authenticate.user(kit, who)
    if email == user.email:
        raise InvalidInput("the address is the same", fields={"email": "This is your address already."})
    kit.announce(EmailChangeRequested(user.id), client=client)
    if not await post.may_ask(kit, APPROVE, user.email, now):
        return
    mail, once = links.asked(kit, APPROVE, user, user.email, client, to=email)
    await post.queue(kit, [mail], [once])


async def agree(kit: Kit, accounts: Accounts, text: str, client: Client = NOWHERE) -> bool:
    """One of the two addresses agrees; whether the account has the new one now. Of any number of callers with one link exactly
    one returns; for all others InvalidLink is raised. Raises TooManyAttempts."""
    now = kit.clock.now()
    opened = await links.open(kit, text, (APPROVE, CONFIRM), now, client)
    if opened.link.purpose == APPROVE:
        await links.use(kit, opened, now)
        await _ask_new(kit, opened, client)
        return False
    user, email = opened.user, opened.link.to
    mails: Sequence[Queued] = [
        *await notices.about(kit, "email-changed", user, client, now, new=email),
        *await notices.about(kit, "email-changed", user, client, now, new=email, to=email),
    ]
    changes = Particulars(email=email, email_verified_at=now)
    expecting = Particulars(email=user.email, epoch=user.epoch)
    altered = await accounts.alter(user.id, changes, now, expecting=expecting, mails=mails, using=opened.once)
    if not altered.done:
        await post.untold(kit, mails)
        raise InvalidLink("the address got another account meanwhile" if altered.taken else links.USED)
    post.go(kit, mails)
    kit.announce(EmailChanged(user.id), client=client)
    return True


async def _ask_new(kit: Kit, opened: Opened, client: Client) -> None:
    now = kit.clock.now()
    user, email = opened.user, opened.link.to
    taken = await kit.users.find(email) is not None
    if not await post.may_ask(kit, CONFIRM, email, now):
        return
    mail, once = links.asked(kit, CONFIRM, user, email, client, to=email)
    if taken:
        mail = post.write(kit, "address-in-use", email, post.language(kit, user, client), now, {}, links.LASTS)
    await post.queue(kit, [mail], [once])  # kept either way, so that the time tells nothing
