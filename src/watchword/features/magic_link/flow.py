"""A mailed link as a way to sign in. It ends in a Proof like every other."""

from watchword.core.errors import InvalidLink
from watchword.core.events import LoginFailed
from watchword.core.models import NOWHERE, Client, Proof
from watchword.flows import links, verify_email
from watchword.flows.kit import Kit

PURPOSE = "magic-link"
METHODS = frozenset({"email"})
"""RFC 8176 has no word for it. Not `otp`: that is a second factor, which a mailbox is not."""


async def request(kit: Kit, email: str, page: str, client: Client = NOWHERE) -> None:
    """Mail a link to this address if it has an account; nobody learns whether. Raises InvalidInput and TooManyAttempts."""
    await links.send(kit, PURPOSE, email, client, page=page)


async def prove(kit: Kit, text: str, client: Client = NOWHERE) -> Proof:
    """A Proof that whoever brings the link reads the account's mails. Of any number of callers with one link exactly one gets
    it; for all others InvalidLink is raised. Raises TooManyAttempts."""
    now = kit.clock.now()
    try:
        opened = await links.open(kit, text, (PURPOSE,), now, client)
        await links.use(kit, opened, now)
    except InvalidLink as refusal:
        kit.announce(LoginFailed(None, refusal.because), client=client)
        raise
    if getattr(opened.user, "email_verified_at", now) is None:
        await verify_email.shown(kit, opened.user, client)
    return Proof(opened.user, METHODS, auth_time=now)
