"""What an operator does to accounts. Every act that takes something away ends the tokens concerned, on every worker."""

from collections.abc import Iterable

from watchword.core import emails, lookalikes, opaque
from watchword.core import scopes as words
from watchword.core.errors import InvalidInput, NotFound
from watchword.core.events import (
    Event,
    PasswordChanged,
    Registered,
    UserDeleted,
    UserDisabled,
    UserEnabled,
)
from watchword.core.models import NOWHERE, Account, Credentials, Revoked
from watchword.flows import password as passwords
from watchword.flows import roles
from watchword.flows.kit import Kit
from watchword.ports import Added, Ending, NewUser

CURE = "See who there is: watchword users list"


async def add(
    kit: Kit, email: str, password: str | None, username: str | None, scopes: frozenset[str], *, by: str | None = None
) -> Account:
    """Make an account; without a password its owner chooses one by a mailed link. Raises InvalidInput (also when address or
    username is taken, and for more scopes than a token can carry) and WeakPassword."""
    words.accept(scopes)
    email = emails.accept_email(email)
    username = None if username is None else lookalikes.accept(emails.accept_username(username))
    new_hash = None
    if password is not None:
        await passwords.accept_for(kit, password, email, username)
        new_hash = await kit.hashing.hash(password)
    added = await kit.users.add(NewUser(kit.new_id(), email, username, new_hash, scopes, kit.clock.now()))
    if added is not Added.ADDED:
        field = "email" if added is Added.EMAIL_TAKEN else "username"
        raise InvalidInput(f"the {field} is taken", fields={field: "This is taken."})
    found = await kit.users.find(email)
    if found is None:
        raise NotFound("the new user is gone already")
    kit.announce(Registered(found.user.id, by=by))
    return found.user


async def find(kit: Kit, whom: str) -> Account:
    """The account with this id, address or username. Raises NotFound, also when two could be meant.

    An id that we have made comes first: anybody may take it for a username, and nobody can choose it. One that was imported,
    or that a host's table has, may be what another account is called, and then it is not for us to guess.
    """
    by_id = await kit.users.get(whom) if whom.isprintable() else None  # no database takes the rest
    found = by_id if by_id and opaque.is_identifier(whom) else await kit.users.find(whom) or by_id
    if by_id and found and found.user.id != by_id.user.id:
        both = f"{by_id.user.email} has it as id, and {found.user.email} goes by it"
        detail = f"Two users are called so: {both}. Name the one that you mean otherwise."
        raise NotFound("two users are called so", detail=detail)
    if found is None:
        raise NotFound("no such user", detail=f"There is no user with this address, username or id. {CURE}")
    return found.user


async def grant(kit: Kit, user_id: str, scopes: Iterable[str], *, by: str | None = None) -> frozenset[str]:
    """Add scopes; what the user may do then. Live sessions get them at their next refresh."""
    return await roles.change_direct(kit, user_id, lambda old: old | frozenset(scopes), by=by)


async def revoke(kit: Kit, user_id: str, scopes: Iterable[str], *, by: str | None = None) -> frozenset[str]:
    """Take scopes away that were granted directly; what the user may do then, by their roles too. The access tokens that carry
    what is lost are dead, the sessions live on."""
    return await roles.change_direct(kit, user_id, lambda old: old - frozenset(scopes), by=by)


async def set_scopes(kit: Kit, user_id: str, scopes: frozenset[str], *, by: str | None = None) -> frozenset[str]:
    """Let exactly these scopes be granted directly; what the user may do then, by their roles too."""
    return await roles.change_direct(kit, user_id, lambda _: scopes, by=by)


async def disable(kit: Kit, user_id: str, *, by: str | None = None) -> None:
    """Lock the account and end all its sessions. Raises NotFound."""
    _done(kit, await kit.users.set_disabled(user_id, True, kit.clock.now()), UserDisabled(user_id, by=by))


async def enable(kit: Kit, user_id: str, *, by: str | None = None) -> None:
    """Unlock the account. Raises NotFound."""
    _done(kit, await kit.users.set_disabled(user_id, False, kit.clock.now()), UserEnabled(user_id, by=by))


async def delete(kit: Kit, user_id: str, *, by: str | None = None) -> None:
    """Remove the account with its sessions and roles. Raises NotFound."""
    revoked = await kit.users.remove(user_id, kit.clock.now())
    try:  # it is told first: the audit log forgets the person by that, and what follows may fail
        _done(kit, revoked, UserDeleted(user_id, by=by))
    finally:
        await kit.roles.forget(user_id)


async def set_password(kit: Kit, user_id: str, new: str) -> None:
    """Give the account another password and end all its sessions. Raises NotFound and WeakPassword."""
    user = (await _get(kit, user_id)).user
    await passwords.accept(kit, new, user)
    new_hash = await kit.hashing.hash(new)
    revoked = await passwords.replace(kit, user, new_hash, NOWHERE, kit.clock.now(), ending=Ending.ALL)
    _done(kit, revoked, PasswordChanged(user_id))


async def _get(kit: Kit, user_id: str) -> Credentials[Account]:
    found = await kit.users.get(user_id)
    if found is None:
        raise NotFound("no such user")
    return found


def _done(kit: Kit, revoked: tuple[Revoked, ...] | None, event: Event) -> None:
    if revoked is None:
        raise NotFound("no such user")
    kit.announce(event, revoked)
