"""A mailed code as a way to sign in. It ends in a Proof like every other.

Six digits can be guessed, so guesses are counted before they are evaluated: five for a code, and beside them the limits that
passwords have. SP 800-63B-4 3.1.3.
"""

from datetime import timedelta

from watchword.core import emails
from watchword.core.errors import InvalidLink, TooManyAttempts
from watchword.core.events import LoginFailed
from watchword.core.links import place
from watchword.core.models import NOWHERE, Account, Client, Proof, User
from watchword.flows import post, throttle, verify_email
from watchword.flows.kit import Kit
from watchword.ports import Limit, Once

PURPOSE = "one-time-code"
METHODS = frozenset({"email"})
"""RFC 8176 has no word for it. Not `otp`: that is a second factor, which a mailbox is not."""

DIGITS = 6
LASTS = timedelta(minutes=10)
GUESSES = 5
"""How many codes are evaluated for one address while a code lives."""

REFUSED = "This code is not right, or not valid any more. Please ask for a new one."


async def request(kit: Kit, email: str, client: Client = NOWHERE) -> None:
    """Mail a code to this address if it has an account; nobody learns whether. A later one takes its place. Raises
    InvalidInput and TooManyAttempts."""
    now = kit.clock.now()
    email = emails.accept_email(email)
    await throttle.mails(kit, client)
    found = await kit.users.find(email)
    allowed = await post.may_ask(kit, PURPOSE, email, now)
    user = found.user if found and not found.user.disabled and allowed else None
    code = f"{int.from_bytes(kit.entropy(16)) % 10**DIGITS:0{DIGITS}}"
    whose = user or User(kit.new_id(), email, None, frozenset(), now, None, 0)
    facts = {"code": code, "minutes": str(int(LASTS.total_seconds()) // 60)}
    mail = post.write(kit, PURPOSE, email, post.language(kit, user, client), now, facts, LASTS)
    once = Once(PURPOSE, _key(whose), _value(kit, whose, code), now + LASTS)
    await post.queue(kit, [mail if user else post.unsent(mail)], [once])


async def prove(kit: Kit, email: str, code: str, client: Client = NOWHERE) -> Proof:
    """A Proof that whoever brings the code reads the account's mails. Of any number of callers with one code exactly
    one gets it.

    Unknown, wrong, used, old and disabled are one refusal, InvalidLink. Raises TooManyAttempts: of any number of parallel
    guesses at one address exactly GUESSES are evaluated.
    """
    now = kit.clock.now()
    email = emails.one_spelling(email)
    found = await kit.users.find(email) if "@" in email else None  # a username would be a second name for the limit
    user = found.user if found else None
    limit = Limit(kit.keyring.pseudonym("code", email), GUESSES, LASTS * GUESSES)  # none comes back while a code lives
    try:
        async with throttle.guess(kit, user, email, client):
            hit = await kit.scratch.hit([limit], now)
            if hit.wait is not None:
                raise TooManyAttempts("too many codes", wait=hit.wait)
            whose = user or User("", email, None, frozenset(), now, None, 0)
            kept = await kit.scratch.consume(PURPOSE, _key(whose), now, value=_value(kit, whose, code))
            if kept is None or user is None or user.disabled:
                raise InvalidLink("wrong code, or used, or too old", detail=REFUSED)
    except InvalidLink as refusal:
        kit.announce(LoginFailed(user.id if user else None, refusal.because), client=client)
        raise
    await kit.scratch.take_back([limit])
    if getattr(user, "email_verified_at", now) is None:
        await verify_email.shown(kit, user, client)
    return Proof(user, METHODS, auth_time=now)


def _key(user: Account) -> str:
    return place(user.id)


def _value(kit: Kit, user: Account, code: str) -> str:
    """What the database holds of a code, which anybody could try out who had its plain digest. It dies with the account's
    address and epoch."""
    return kit.keyring.pseudonym("code", user.id, user.email, str(user.epoch), code.strip())
