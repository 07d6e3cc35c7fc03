"""What administrators do over HTTP: to users, sessions, roles, signing keys and mails that wait.

`who` may do it, as the door has seen. Whatever would shut `who` out is refused here, so that an administrator is always left;
two who shut each other out at the same moment are let in again at the command line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchword.core import emails, opaque
from watchword.core.errors import ConfigError, InvalidInput, NotFound, OwnAccount, Unavailable
from watchword.core.events import MailDiscarded, MailRetried
from watchword.core.mail import Queued
from watchword.core.models import Account, Principal, Session
from watchword.core.roles import Holding, Role
from watchword.core.scopes import ADMIN, covers
from watchword.flows import accounts, roles, session, signing_keys
from watchword.flows.kit import Kit
from watchword.flows.signing_keys import Listed, Published


@dataclass(frozen=True, slots=True)
class Described:
    """An account, with what was granted directly and the roles."""

    account: Account
    granted: frozenset[str]
    roles: frozenset[str]


# Users


async def page(kit: Kit, after: str, limit: int) -> list[Described]:
    """At most `limit` accounts in the order of their addresses, behind the address `after`. Raises InvalidInput."""
    if not after.isprintable():  # no database takes the rest
        raise InvalidInput("no address", fields={"after": "This is not an address."})
    return await _described(kit, [one.user for one in await kit.users.page(emails.fold(after), limit)])


async def named(kit: Kit, *, email: str | None, username: str | None, user_id: str | None) -> list[Described]:
    """The account with exactly this address, username or id; none where nobody has it. Raises InvalidInput for two of them."""
    given = [one for one in (email, username, user_id) if one is not None]
    if len(given) > 1:
        raise InvalidInput("two names", detail="Name an email, a username or an id, and not several of them.")
    if user_id is not None:
        found = await kit.users.get(user_id) if user_id.isprintable() else None
    else:
        is_address = "@" in emails.fold(given[0])
        found = await kit.users.find(given[0]) if is_address == (email is not None) else None
    return await _described(kit, [found.user] if found else [])


async def get(kit: Kit, user_id: str) -> Described:
    """The account with this id. Raises NotFound."""
    (found,) = await named(kit, email=None, username=None, user_id=user_id) or (None,)
    if found is None:
        raise NotFound("no such user")
    return found


async def add(
    kit: Kit, who: Principal, email: str, password: str | None, username: str | None, scopes: frozenset[str]
) -> Described:
    """Make an account; without a password its owner chooses one by a mailed link. Raises InvalidInput and WeakPassword."""
    made = await accounts.add(kit, email, password, username, scopes, by=who.user_id)
    return Described(made, made.scopes, frozenset())


async def disable(kit: Kit, who: Principal, user_id: str) -> None:
    """Lock an account and end all its sessions. Raises NotFound and OwnAccount."""
    await accounts.disable(kit, await _of_another(kit, who, user_id), by=who.user_id)


async def enable(kit: Kit, who: Principal, user_id: str) -> None:
    """Unlock an account. Raises NotFound."""
    await accounts.enable(kit, (await get(kit, user_id)).account.id, by=who.user_id)


async def delete(kit: Kit, who: Principal, user_id: str) -> None:
    """Remove an account with its sessions. Raises NotFound, OwnAccount, and StillReferenced."""
    await accounts.delete(kit, await _of_another(kit, who, user_id), by=who.user_id)


async def set_scopes(kit: Kit, who: Principal, user_id: str, scopes: frozenset[str]) -> Described:
    """Let exactly these scopes be granted directly. Raises NotFound and OwnAccount."""
    found = await get(kit, user_id)
    if found.account.id == who.user_id:
        _, held = await _own(kit, who)
        _refuse_without(scopes, held)
    await accounts.set_scopes(kit, found.account.id, scopes, by=who.user_id)
    return await get(kit, user_id)


async def give(kit: Kit, who: Principal, user_id: str, role: str) -> Described:
    """Give a role to a user. Raises NotFound."""
    await roles.give(kit, (await get(kit, user_id)).account.id, role, by=who.user_id)
    return await get(kit, user_id)


async def take(kit: Kit, who: Principal, user_id: str, role: str) -> Described:
    """Take a role from a user. Raises NotFound and OwnAccount."""
    found = await get(kit, user_id)
    if found.account.id == who.user_id:
        direct, held = await _own(kit, who)
        _refuse_without(direct, {name: scopes for name, scopes in held.items() if name != role})
    await roles.take(kit, found.account.id, role, by=who.user_id)
    return await get(kit, user_id)


# Sessions


async def sessions(kit: Kit, user_id: str) -> list[Session]:
    """The live sessions of a user, the last used first. Raises NotFound."""
    return await session.of_user(kit, (await get(kit, user_id)).account.id)


async def end_session(kit: Kit, who: Principal, user_id: str, session_id: str) -> None:
    """End one session of a user. Raises NotFound."""
    await session.close_listed(kit, session_id, (await get(kit, user_id)).account.id, by=who.user_id)


async def end_sessions(kit: Kit, who: Principal, user_id: str) -> None:
    """End every session of a user. Raises NotFound."""
    await session.close_all(kit, (await get(kit, user_id)).account.id, by=who.user_id)


# Roles


async def put_role(kit: Kit, who: Principal, name: str, scopes: frozenset[str], description: str | None) -> Role:
    """Make or change a role. Raises InvalidInput and OwnAccount."""
    direct, held = await _own(kit, who)
    if name in held:
        _refuse_without(direct, {**held, name: scopes})
    return await roles.put(kit, name, scopes, description, by=who.user_id)


async def remove_role(kit: Kit, who: Principal, name: str) -> None:
    """Take a role from everybody, and forget it. Raises NotFound and OwnAccount."""
    direct, held = await _own(kit, who)
    if name in held:
        _refuse_without(direct, {other: scopes for other, scopes in held.items() if other != name})
    await roles.remove(kit, name, by=who.user_id)


# Keys


async def keys(kit: Kit) -> tuple[Listed, ...]:
    """All signing keys with their states, oldest first."""
    return (await signing_keys.listed(kit)).keys


async def rotate(kit: Kit, who: Principal) -> tuple[Published, Listed]:
    """Publish the next signing key, unless one waits already. Raises Unavailable where this worker's master key is not that
    of the database."""
    try:
        done = await signing_keys.publish(kit, by=who.user_id)
    except ConfigError as error:
        raise Unavailable(f"no key can be made: {error}") from error
    return done, await signing_keys.find(kit, done.record.kid)


# Mails that wait


async def mails(kit: Kit, after: str, limit: int) -> tuple[list[Queued], str | None]:
    """At most `limit` waiting mails in the order of their ids, behind the id `after`; and where the next page begins. Those
    that are for nobody, so that asking for a mail costs the same for everybody, are left out."""
    if not after.isprintable():
        raise InvalidInput("no id", fields={"after": "This is not an id."})
    found = await kit.outbox.page(after, limit)
    return [one for one in found if one.recipient], found[-1].id if len(found) == limit else None


async def retry_mail(kit: Kit, who: Principal, mail_id: str) -> None:
    """Try a mail again now. Raises NotFound, also for one whose time is over."""
    if not opaque.is_identifier(mail_id) or not await kit.outbox.retry(mail_id, kit.clock.now()):
        raise NotFound("no such mail waits")
    kit.announce(MailRetried(None, mail_id, by=who.user_id))
    kit.post.go(kit)


async def discard_mail(kit: Kit, who: Principal, mail_id: str) -> None:
    """Throw a mail away. Raises NotFound."""
    gone = await kit.outbox.discard(mail_id) if opaque.is_identifier(mail_id) else None
    if gone is None:
        raise NotFound("no such mail waits")
    kit.announce(MailDiscarded(None, gone.id, gone.kind, by=who.user_id))


async def _described(kit: Kit, found: Sequence[Account]) -> list[Described]:
    held = await roles.of_users(kit, [account.id for account in found]) if found else {}
    return [Described(account, *_parts(account, held.get(account.id))) for account in found]


def _parts(account: Account, holding: Holding | None) -> tuple[frozenset[str], frozenset[str]]:
    """What was granted directly, and the roles."""
    if holding is None or holding.is_idle:
        return account.scopes, frozenset()
    return holding.direct, holding.names


async def _own(kit: Kit, who: Principal) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """What `who` was granted directly, and the scopes of each role."""
    found = await get(kit, who.user_id)
    holding = await roles.of_user(kit, who.user_id)
    held = {role.name: role.scopes for role in holding.roles if not role.removed} if holding else {}
    return found.granted, held


async def _of_another(kit: Kit, who: Principal, user_id: str) -> str:
    """The id of the account that is called so, which a host's table may write otherwise. Raises NotFound and OwnAccount."""
    found = (await get(kit, user_id)).account.id
    if found == who.user_id:
        raise OwnAccount("an administrator's own account")
    return found


def _refuse_without(direct: frozenset[str], held: Mapping[str, frozenset[str]]) -> None:
    """Raise OwnAccount unless somebody who holds this is still an administrator."""
    if not covers(direct.union(*held.values()), frozenset({ADMIN})):
        raise OwnAccount("an administrator's own right to administrate")
