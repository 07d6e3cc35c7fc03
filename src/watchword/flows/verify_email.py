"""Is this address yours? A mailed link that comes back says so: for a new account, which counts only then, and for
an old one."""

import base64
import json

from watchword.core.errors import InvalidLink, UsernameTaken
from watchword.core.events import EmailVerified, Registered
from watchword.core.links import Link, fingerprint
from watchword.core.models import NOWHERE, Account, Client, Principal
from watchword.flows import links, post, throttle
from watchword.flows.kit import Kit
from watchword.ports import Added, NewUser, Once, Particulars

REGISTER = "register"
VERIFY = "verify-email"


async def ask_newcomer(kit: Kit, email: str, username: str | None, password_hash: str, client: Client) -> None:
    """Mail a link that makes the account, or where the address has one, a word about that. Nobody else learns which: both take
    the same steps. Until the link comes back there is no account."""
    now = kit.clock.now()
    found = await kit.users.find(email)
    said = post.language(kit, found.user if found else None, client)
    value = json.dumps({"email": email, "username": username, "password_hash": password_hash, "language": said})
    text, once = links.for_nobody(kit, REGISTER, _sealed(kit, value), now)
    facts = {"link": links.url(kit, REGISTER, text), "minutes": links.MINUTES}
    kind = "already-registered" if found else "confirm-registration"
    mail = post.write(kit, kind, email, said, now, {} if found else facts, links.LASTS)
    if not await post.may_ask(kit, REGISTER, email, now):
        mail = post.unsent(mail)
    await post.queue(kit, [mail], [once])


async def request(kit: Kit, who: Principal, client: Client = NOWHERE) -> None:
    """Mail a link to the address of whoever is signed in, unless it was verified. Raises TooManyAttempts."""
    now = kit.clock.now()
    await throttle.mails(kit, client)
    found = await kit.users.get(who.user_id)
    if found is None or getattr(found.user, "email_verified_at", None) is not None:
        return
    user = found.user
    if not await post.may_ask(kit, VERIFY, user.email, now):
        return
    mail, once = links.asked(kit, VERIFY, user, user.email, client)
    await post.queue(kit, [mail], [once])


async def confirm(kit: Kit, text: str, client: Client = NOWHERE) -> None:
    """Take a link that came back. Of any number of callers exactly one returns; for all others InvalidLink is raised.

    Raises TooManyAttempts; and UsernameTaken where somebody else has taken the username of a new account meanwhile:
    then it has to be registered anew.
    """
    now = kit.clock.now()
    link = links.read(kit, text, (REGISTER, VERIFY), now, client)
    if link.purpose == REGISTER:
        await _make(kit, link, text, client)
        return
    opened = await links.open(kit, text, (VERIFY,), now, client)
    if kit.accounts is None:
        await links.use(kit, opened, now)
    await shown(kit, opened.user, client, using=opened.once)


async def shown(kit: Kit, user: Account, client: Client = NOWHERE, *, using: Once | None = None) -> None:
    """Keep that the owner has shown that the address is theirs; by a link that is used up with that, where one is given.
    Raises InvalidLink then, for all but one caller."""
    now = kit.clock.now()
    if kit.accounts is not None:
        verified, expecting = Particulars(email_verified_at=now), Particulars(email=user.email)
        altered = await kit.accounts.alter(user.id, verified, now, expecting=expecting, using=using)
        if using is not None and not altered.done:
            raise InvalidLink(links.USED)
    kit.announce(EmailVerified(user.id), client=client)


async def _make(kit: Kit, link: Link, text: str, client: Client) -> None:
    """Of any number of callers exactly one makes the account, since its address is unique: the link stays until then, whatever
    fails."""
    now = kit.clock.now()
    value = json.loads(_opened(kit, await links.kept_for_nobody(kit, link, text, now)))
    user = NewUser(
        id=kit.new_id(),
        email=value["email"],
        username=value["username"],
        password_hash=value["password_hash"],
        scopes=frozenset(),
        created_at=now,
        email_verified_at=now,
        language=value["language"],
    )
    added = await kit.users.add(user)
    if added is Added.USERNAME_TAKEN:
        await kit.scratch.consume(REGISTER, fingerprint(text), now)
        raise UsernameTaken("taken before the link came back")
    found = await kit.users.find(user.email)
    if added is Added.EMAIL_TAKEN or found is None:
        raise InvalidLink("the address got an account before the link came back")
    kit.announce(Registered(found.user.id), client=client)
    kit.announce(EmailVerified(found.user.id), client=client)
    await kit.scratch.consume(REGISTER, fingerprint(text), now)  # it is told before, since this may fail


def _sealed(kit: Kit, value: str) -> str:
    return base64.b64encode(kit.keyring.seal(REGISTER, value.encode())).decode()


def _opened(kit: Kit, value: str) -> str:
    return kit.keyring.unseal(REGISTER, base64.b64decode(value)).decode()
