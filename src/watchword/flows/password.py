"""Passwords: proving one, changing one."""

from datetime import datetime

from watchword.core import passwords
from watchword.core.errors import InvalidGrant, Overloaded, WrongPassword
from watchword.core.events import LoginFailed, PasswordChanged
from watchword.core.models import NOWHERE, Account, Client, Credentials, Principal, Proof, Revoked
from watchword.flows import notices, post, throttle
from watchword.flows.hashing import Gone
from watchword.flows.kit import Kit
from watchword.ports import NOTHING, Ending, Once, Particulars

METHODS = frozenset({"pwd"})  # RFC 8176 2


async def prove(kit: Kit, identifier: str, password: str, client: Client = NOWHERE, gone: Gone | None = None) -> Proof:
    """A Proof that whoever asks knows the password of this address or username.

    Unknown, wrong, disabled and over-long are one refusal (InvalidGrant) at one cost. Raises TooManyAttempts, and Overloaded:
    when too many wait, before any work, or when whoever asks is `gone` before his turn.
    """
    now = kit.clock.now()
    if not passwords.hashable(password):
        raise InvalidGrant("a password over the length, or not text")
    with kit.hashing.place():  # before the database is asked: in a storm it would be what everybody waits for
        found = await kit.users.find(identifier)
        user = found.user if found else None
        try:
            async with throttle.guess(kit, user, identifier, client):
                stored = found.password_hash if found else None
                match = await kit.hashing.compare(stored, password, identifier, gone)
                proven = _enabled(found)
        except InvalidGrant as refusal:
            kit.announce(LoginFailed(user.id if user else None, refusal.because), client=client)
            raise
    if match.outdated:
        await _rehash(kit, proven, password, now)
    return Proof(proven.user, METHODS, auth_time=now)


async def change(kit: Kit, who: Principal, current: str, new: str, client: Client = NOWHERE) -> None:
    """Replace the password of whoever is signed in, and end all their other sessions.

    Raises WrongPassword when `current` is not right (and TooManyAttempts: whoever holds a token has no more guesses than
    others), WeakPassword for `new`, and then nothing was changed.
    """
    now = kit.clock.now()
    found = await confirm(kit, who, current, client)
    await accept(kit, new, found.user)
    new_hash = await kit.hashing.hash(new)
    revoked = await replace(
        kit,
        found.user,
        new_hash,
        client,
        now,
        ending=Ending.OTHERS,
        keep=who.session_id,
        expecting=Particulars(password_hash=found.password_hash),
    )
    if revoked is None:
        raise WrongPassword("the password was changed by somebody else meanwhile")
    kit.announce(PasswordChanged(who.user_id), revoked, client)


async def confirm(kit: Kit, who: Principal, password: str, client: Client = NOWHERE) -> Credentials[Account]:
    """The account of whoever is signed in, if this is its password. Raises WrongPassword, TooManyAttempts and Overloaded."""
    found = await kit.users.get(who.user_id)
    if found is None:
        raise WrongPassword("the user is gone")
    async with throttle.guess(kit, found.user, found.user.email, client):
        await _confirm(kit, found, password)
    return found


async def replace(
    kit: Kit,
    user: Account,
    new_hash: str,
    client: Client,
    now: datetime,
    *,
    ending: Ending,
    keep: str | None = None,
    expecting: Particulars = NOTHING,
    verified: bool = False,
    using: Once | None = None,
) -> tuple[Revoked, ...] | None:
    """Store another password, end sessions, and tell the owner by mail; None where the account is not as expected any more, or
    what was to be used up with that is gone.

    `verified` says that the owner has just shown that the address is theirs.
    """
    mails = await notices.about(kit, "password-changed", user, client, now)
    if kit.accounts is None:  # a host's table knows nothing of mails, so they are queued after its commit
        replacing = expecting.get("password_hash")
        if using and await kit.scratch.consume(using.purpose, using.key, now, value=using.value) is None:
            return None
        revoked = await kit.users.set_password(user.id, new_hash, now, ending=ending, keep=keep, replacing=replacing)
        await (post.untold(kit, mails) if revoked is None else post.queue(kit, mails))
        return revoked
    changes = Particulars(password_hash=new_hash)
    if verified:
        changes["email_verified_at"] = now
    altered = await kit.accounts.alter(
        user.id, changes, now, expecting=expecting, ending=ending, keep=keep, mails=mails, using=using
    )
    if not altered.done:
        await post.untold(kit, mails)
        return None
    post.go(kit, mails)
    return altered.revoked


async def accept(kit: Kit, password: str, user: Account) -> None:
    """Raise WeakPassword unless this may be the user's new password."""
    await accept_for(kit, password, user.email, user.username)


async def accept_for(kit: Kit, password: str, email: str, username: str | None) -> None:
    """Raise WeakPassword unless this may be the password of an account with this address and username."""
    context = (email, username or "", *kit.policy.context_words)
    await kit.hashing.check(password, kit.policy.password_min_length, context)


def _enabled(found: Credentials[Account] | None) -> Credentials[Account]:
    if found is None or found.password_hash is None:
        raise InvalidGrant("unknown user")
    if found.user.disabled:
        raise InvalidGrant("the user is disabled")
    return found


async def _confirm(kit: Kit, found: Credentials[Account], password: str) -> None:
    if not passwords.hashable(password):
        raise WrongPassword("a password over the length, or not text")
    try:
        await kit.hashing.verify(found.password_hash, password)
    except InvalidGrant as error:
        raise WrongPassword(error.because) from None


async def _rehash(kit: Kit, proven: Credentials[Account], password: str, now: datetime) -> None:
    """Keep the hash at today's cost. A password that was changed meanwhile stays as it was changed.

    While too many wait the old hash stays for the next login: this one was right, and is not refused for it.
    """
    try:
        new_hash = await kit.hashing.hash(password)
    except Overloaded:
        return
    await kit.users.set_password(proven.user.id, new_hash, now, ending=Ending.NONE, replacing=proven.password_hash)
