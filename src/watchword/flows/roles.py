"""Roles: what an operator gives to many at once. What a user may do is what was granted directly and what their roles say.

The sum is kept with the account, so logins, tokens and guards ask for nothing more. Whoever changes a part notes it first and
brings the account to it then: a crash in between is mended by the next act on the same thing, and by upkeep.
"""

import logging
from collections.abc import Callable, Iterable

from watchword.core import roles
from watchword.core.errors import AuthError, InvalidInput, NotFound, Unavailable
from watchword.core.events import RoleChanged, RoleGiven, RoleRemoved, RoleTaken, ScopesChanged
from watchword.core.models import Account
from watchword.core.roles import Holding, Role
from watchword.core.scopes import accept as accept_scopes
from watchword.flows.kit import Kit

logger: logging.Logger = logging.getLogger("watchword.roles")

BATCH = 100
"""Members of a role that are read at once. Each is then brought to it in a transaction of his own."""

ATTEMPTS = 100
"""How often whoever was overtaken tries again. Then it is no race: say, a host's table compares how scopes are written."""

NOTHING: frozenset[str] = frozenset()

CURE = "See what there is: watchword roles list"


async def put(
    kit: Kit, name: str, scopes: frozenset[str], description: str | None = None, *, by: str | None = None
) -> Role:
    """Make a role or change it, and bring everybody to it who has it. Raises InvalidInput, also where a member would get more
    scopes than a token can carry (core/scopes): then nothing is changed.

    Present access tokens of those whose scopes change are revoked, and their sessions live on.
    """
    name = roles.accept_name(name)
    if description is not None:
        roles.accept_description(description)
    await _refuse_too_much(kit, name, scopes)
    for _ in range(ATTEMPTS):
        role = await kit.roles.put(name, scopes, description)
        if role is not None:
            kit.announce(RoleChanged(None, name, by=by))
            await settle_members(kit, name, by=by)
            return role
        await settle_members(kit, name)
    raise _keeps_changing(f"the role {name}")


async def remove(kit: Kit, name: str, *, by: str | None = None) -> None:
    """Take a role from everybody, and forget it. Raises NotFound, after finishing what a crash may have left."""
    if not roles.is_name(name):
        raise no_such_role()
    gone = await kit.roles.remove(name)
    if gone:
        kit.announce(RoleRemoved(None, name, by=by))
    await settle_members(kit, name, by=by)
    if not gone:
        raise no_such_role()


async def find(kit: Kit, name: str) -> Role:
    """The role of this name. Raises NotFound."""
    for role in await kit.roles.listed(name) if roles.is_name(name) else ():
        return role
    raise no_such_role()


async def give(kit: Kit, user_id: str, name: str, *, by: str | None = None) -> frozenset[str]:
    """Give a role to a user; what they may do then. Raises NotFound for a user or role that is not there, and InvalidInput
    where it would be more scopes than a token can carry."""

    def with_it(holding: Holding) -> frozenset[str]:
        return holding.names | {name}

    for _ in range(ATTEMPTS):
        role = await find(kit, name)
        if await _change(kit, user_id, with_it, RoleGiven(user_id, role.name, by=by), more=role.scopes):
            return await _settled(kit, user_id, by=by)
    raise _keeps_changing(f"what the user {user_id} has")


async def take(kit: Kit, user_id: str, name: str, *, by: str | None = None) -> frozenset[str]:
    """Take a role from a user; what they may do then. Raises NotFound when they do not have it."""

    def without_it(holding: Holding) -> frozenset[str]:
        if name not in holding.names:
            raise NotFound("the user does not have the role", detail="The user does not have this role.")
        return holding.names - {name}

    for _ in range(ATTEMPTS):
        if await _change(kit, user_id, without_it, RoleTaken(user_id, name, by=by)):
            return await _settled(kit, user_id, by=by)
    raise _keeps_changing(f"what the user {user_id} has")


async def of_users(kit: Kit, user_ids: Iterable[str]) -> dict[str, Holding]:
    """What each of these users holds; whoever never had a role is left out."""
    return dict(await kit.roles.of(list(user_ids)))


async def of_user(kit: Kit, user_id: str) -> Holding | None:
    """What the user holds; None for whoever never had a role."""
    return (await kit.roles.of([user_id])).get(user_id)


async def members(kit: Kit, name: str, after: str = "", limit: int = BATCH) -> list[str]:
    """At most `limit` users with this role (none where there is no such role), in the order of their ids, behind the id
    `after`. Raises InvalidInput for what is no id."""
    if not after.isprintable():  # no database takes the rest
        raise InvalidInput("no id", fields={"after": "This is not an id."})
    return list(await kit.roles.members(name, after, limit))


async def change_direct(
    kit: Kit, user_id: str, change: Callable[[frozenset[str]], frozenset[str]], *, by: str | None = None
) -> frozenset[str]:
    """Change what is granted to a user directly; what they may do then. Whoever was overtaken reads again, so no change is
    lost, also not to somebody who gives the user the first role at the same time. Raises NotFound, and InvalidInput for more
    scopes than a token can carry, those of roles included."""
    for _ in range(ATTEMPTS):
        holding = await of_user(kit, user_id)
        now = kit.clock.now()
        if holding is not None and not holding.is_idle:
            new = change(holding.direct)
            accept_scopes(new | holding.of_roles, holding.scopes)
            if await kit.roles.hold(user_id, new, holding.names, now, replacing=holding.generation):
                return await _settled(kit, user_id, by=by)
            continue
        old = (await _get(kit, user_id)).scopes
        revoked = await kit.users.set_scopes(user_id, accept_scopes(change(old), old), now, replacing=old)
        if revoked is None:
            continue
        kit.announce(ScopesChanged(user_id, by=by), revoked)
        if await _nobody_gives(kit, user_id, change(old)):
            return change(old)
    raise _keeps_changing(f"what the user {user_id} may do")


async def settle(kit: Kit, user_id: str, *, by: str | None = None) -> frozenset[str] | None:
    """Bring an account to what its user holds; what they may do then, None where there is no such account.

    The account is read before the holding: whoever has read an old holding then finds another account than he has read, and
    reads again. So of any number of callers the last one writes what is held then. Raises Unavailable for whoever is overtaken
    again and again.
    """
    for _ in range(ATTEMPTS):
        found = await kit.users.get(user_id)
        holding = await of_user(kit, user_id)
        if found is None:
            await kit.roles.forget(user_id)
            return None
        old = found.user.scopes
        if holding is None or holding.is_idle or (holding.settled and holding.scopes == old):
            return old
        if holding.scopes != old:
            revoked = await kit.users.set_scopes(user_id, holding.scopes, kit.clock.now(), replacing=old)
            if revoked is None:
                continue
            kit.announce(ScopesChanged(user_id, by=by), revoked)
        if await kit.roles.settle(holding):
            return holding.scopes
    raise _keeps_changing(f"what the user {user_id} may do")


async def settle_members(kit: Kit, name: str, *, by: str | None = None) -> int:
    """Bring everybody who has a role to what it says now; how many."""
    done, after = 0, ""
    while page := await kit.roles.members(name, after, BATCH, unsettled=True):
        for user_id in page:
            await settle(kit, user_id, by=by)
        done, after = done + len(page), page[-1]
    return done


async def settle_left(kit: Kit, limit: int) -> int:
    """Bring at most `limit` accounts that an act has left behind to what their users hold; how many. One that can't be
    changed is logged, and tried again another time."""
    done, after = 0, ""
    while done < limit and (page := await kit.roles.members(None, after, min(BATCH, limit - done), unsettled=True)):
        for user_id in page:
            try:
                await settle(kit, user_id)
            except AuthError as error:
                logger.warning("the account %s could not be brought to its roles: %s", user_id, error.because)
        done, after = done + len(page), page[-1]
    return done


def no_such_role() -> NotFound:
    """What is said of a name that no role has."""
    return NotFound("no such role", detail=f"There is no role of this name. {CURE}")


def _keeps_changing(what: str) -> Unavailable:
    return Unavailable(
        f"{what} keeps changing, or set_scopes(replacing=…) of the table compares more than sets of words"
    )


async def _refuse_too_much(kit: Kit, name: str, scopes: frozenset[str]) -> None:
    """Raise InvalidInput where a member of the role would get more scopes than a token can carry. Nobody is looked at where it
    gives nothing new. Whoever gets something else at the same moment may slip through: their logins are refused then."""
    old = NOTHING.union(*(role.scopes for role in await kit.roles.listed(name)))
    accept_scopes(scopes, old)
    after = ""
    while not scopes <= old and (page := await kit.roles.members(name, after, BATCH)):
        for holding in (await of_users(kit, page)).values():
            if name in holding.names:
                accept_scopes(holding.scopes | scopes, holding.scopes)
        after = page[-1]


async def _change(
    kit: Kit,
    user_id: str,
    names: Callable[[Holding], frozenset[str]],
    event: RoleGiven | RoleTaken,
    *,
    more: frozenset[str] = NOTHING,
) -> bool:
    """Give or take roles; whether that was done, or was so already. Not, when somebody was quicker, or a role has gone.

    The holding is there before the account is read: whoever changes that beside (`change_direct`) sees it, and moves it on.
    """
    holding = await of_user(kit, user_id)
    if holding is None:
        scopes = (await _get(kit, user_id)).scopes
        await kit.roles.hold(user_id, scopes, frozenset(), kit.clock.now(), replacing=None, settled=True)
        return False
    account = await _get(kit, user_id)
    wanted = names(holding)
    if wanted == holding.names:
        return True
    direct = account.scopes if holding.is_idle else holding.direct
    had = direct | holding.of_roles
    accept_scopes(had | more, had)
    done = await kit.roles.hold(user_id, direct, wanted, kit.clock.now(), replacing=holding.generation)
    if done:
        kit.announce(event)
    return done


async def _nobody_gives(kit: Kit, user_id: str, direct: frozenset[str]) -> bool:
    """Whether nobody gives the user a first role who has read the account before the change that was just made.

    Whoever is about to has to read again, since what the user holds has moved on.
    """
    holding = await of_user(kit, user_id)
    if holding is None:
        return True
    now = kit.clock.now()
    return holding.is_idle and await kit.roles.hold(
        user_id, direct, frozenset(), now, replacing=holding.generation, settled=True
    )


async def _settled(kit: Kit, user_id: str, *, by: str | None) -> frozenset[str]:
    """The same as `settle`. Raises NotFound."""
    scopes = await settle(kit, user_id, by=by)
    if scopes is None:
        raise NotFound("no such user")
    return scopes


async def _get(kit: Kit, user_id: str) -> Account:
    found = await kit.users.get(user_id)
    if found is None:
        raise NotFound("no such user")
    return found.user
