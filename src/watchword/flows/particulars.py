"""What owners do with their accounts beside signing in: another username, what the application lets them keep, an export, and
the end."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from watchword.core import emails, lookalikes, mail
from watchword.core.errors import AuthError, InvalidInput, InvalidToken, Unavailable, UsernameTaken
from watchword.core.events import DeletionCancelled, DeletionPlanned, ProfileChanged, UserDeleted, UsernameChanged
from watchword.core.models import NOWHERE, Account, Client, Principal, Revoked, User
from watchword.flows import authenticate, notices, post
from watchword.flows.kit import Kit
from watchword.ports import Accounts, Ending, Particulars

EVENTS, MOST_EVENTS = 500, 10_000
"""Events of an export that are read at once, and in all."""

ATTEMPTS = 100
"""How often whoever was overtaken tries again."""

MAX_LANGUAGE = 35
"""Characters of a language tag. RFC 5646 4.4.1."""


async def change_username(
    kit: Kit, accounts: Accounts, who: Principal, username: str, client: Client = NOWHERE
) -> None:
    """Give the account another username. Raises StepUpRequired, InvalidInput, and UsernameTaken: of any number of callers with
    one name exactly one gets it."""
    now = kit.clock.now()
    authenticate.require_fresh(kit, who)
    username = lookalikes.accept(emails.accept_username(username))
    user = await authenticate.user(kit, who)
    mails = await notices.about(kit, "username-changed", user, client, now, username=username)
    altered = await accounts.alter(user.id, Particulars(username=username), now, mails=mails)
    if not altered.done:
        await post.untold(kit, mails)
    if altered.taken:
        raise UsernameTaken("taken")
    if not altered.done:
        raise InvalidToken("the user is gone")
    post.go(kit, mails)
    kit.announce(UsernameChanged(user.id), client=client)


async def change_profile(
    kit: Kit,
    accounts: Accounts,
    who: Principal,
    *,
    language: str | None,
    profile: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None,
) -> None:
    """Keep what the application lets owners keep; None leaves it as it is. `profile` makes the new one of the old; whoever was
    overtaken reads again, so no change is lost. Raises InvalidInput for what is no language, Unavailable for whoever is
    overtaken again and again, and what `profile` raises."""
    if language is not None and (len(language) > MAX_LANGUAGE or mail.LANGUAGE.fullmatch(language) is None):
        raise InvalidInput("not a language", fields={"language": "This is not a language tag, such as en or ko."})
    for _ in range(ATTEMPTS):
        user = await authenticate.user(kit, who)
        old = getattr(user, "profile", {})
        changes, expecting = Particulars(), Particulars()
        if language is not None:
            changes["language"] = language.lower()
        if profile is not None:
            changes["profile"], expecting["profile"] = profile(old), old
        if not changes:
            return
        altered = await accounts.alter(user.id, changes, kit.clock.now(), expecting=expecting)
        if altered.done:
            kit.announce(ProfileChanged(user.id))
            return
    raise Unavailable(f"the profile of the user {who.user_id} keeps changing")


async def delete(kit: Kit, who: Principal, client: Client = NOWHERE) -> Account | None:
    """End all sessions, and let the account be deleted after the grace; the account as it is then, None where it is
    gone at once.

    Whoever signs in within the grace keeps it. Raises StepUpRequired, InvalidToken, and StillReferenced where a host's rows
    hold on to it and there is no grace.
    """
    now = kit.clock.now()
    authenticate.require_fresh(kit, who)
    user = await authenticate.user(kit, who)
    if kit.accounts is None or not kit.policy.deletion_grace:
        revoked = await kit.users.remove(user.id, now)
        if revoked is None:
            raise InvalidToken("the user is gone")
        await _gone(kit, user, revoked, client)
        return None
    deletes_at = now + kit.policy.deletion_grace
    mails = await notices.about(kit, "deletion-planned", user, client, now, deletes=notices.moment(deletes_at))
    changes = Particulars(deletes_at=deletes_at)
    altered = await kit.accounts.alter(user.id, changes, now, ending=Ending.ALL, mails=mails)
    if not altered.done:
        await post.untold(kit, mails)
        raise InvalidToken("the user is gone")
    post.go(kit, mails)
    kit.announce(DeletionPlanned(user.id, deletes_at), altered.revoked, client)
    found = await kit.users.get(user.id)
    return found.user if found else None


async def keep(kit: Kit, user: Account, client: Client = NOWHERE) -> bool:
    """Cancel a planned deletion, since the owner is here; whether there is still an account."""
    if kit.accounts is None:
        return True
    altered = await kit.accounts.alter(user.id, Particulars(deletes_at=None), kit.clock.now())
    if altered.done:
        kit.announce(DeletionCancelled(user.id), client=client)
    return altered.done


async def delete_due(kit: Kit, limit: int) -> int:
    """Delete about `limit` accounts whose grace is over; how many. One that a host's rows hold on to stays, and is
    tried again."""
    if kit.accounts is None:
        return 0
    now = kit.clock.now()
    deleted, after = 0, ""
    while deleted < limit and (due := await kit.accounts.due(now, after, limit)):
        for user_id in due:
            after = user_id
            deleted += await _delete_due(kit, kit.accounts, user_id, now)
    return deleted


async def _delete_due(kit: Kit, accounts: Accounts, user_id: str, now: datetime) -> bool:
    found = await kit.users.get(user_id)
    try:
        revoked = await accounts.remove_due(user_id, now)
    except AuthError as error:
        post.logger.warning("the account %s could not be deleted: %s", user_id, error.because)
        return False
    if found is None or revoked is None:
        return False
    await _gone(kit, found.user, revoked, NOWHERE)
    return True


async def export(kit: Kit, who: Principal) -> dict[str, Any]:
    """What is held about the user, in plain values. Nothing of it lets anybody in. Of more than MOST_EVENTS events the newest
    are here, and `events_before` is where `flows.audit.listed` goes on; else it is None. GDPR 15, 20."""
    user = await authenticate.user(kit, who)
    sessions = await kit.sessions.of_user(user.id, kit.clock.now())
    holding = (await kit.roles.of([user.id])).get(user.id)
    events, before = await _events(kit, user)
    said: dict[str, Any] = {
        "account": _account(user) | {"roles": sorted(holding.names) if holding else []},
        "sessions": [_session(one) for one in sessions],
        "events": events,
        "events_before": before,
    }
    for annex in kit.annexes.values():
        said |= await annex.held(user.id)
    return said


async def _events(kit: Kit, user: Account) -> tuple[list[dict[str, Any]], int | None]:
    """What the audit log has of the user, the newest first; and before which number there may be more."""
    found: list[dict[str, Any]] = []
    before: int | None = None
    while len(found) < MOST_EVENTS:
        rows = await kit.audit.page(before=before, limit=EVENTS, user_id=user.id, kind=None)
        found += [
            {"at": row.at, "kind": row.kind, **json.loads(row.facts), **json.loads(row.personal or "{}")}
            for row in rows
        ]
        if len(rows) < EVENTS:
            return found, None
        before = rows[-1].number
    return found, before


async def _gone(kit: Kit, user: Account, revoked: tuple[Revoked, ...], client: Client) -> None:
    """What follows the end of an account. It is told first: the audit log forgets the person by that, and what is behind may
    fail."""
    kit.announce(UserDeleted(user.id), revoked, client)
    await kit.roles.forget(user.id)
    await post.queue(kit, await notices.about(kit, "account-deleted", user, client, kit.clock.now(), undo=False))


def _account(user: Account) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "scopes": sorted(user.scopes),
        "created_at": user.created_at,
        "disabled": user.disabled,
    }
    if isinstance(user, User):
        said |= {
            "email_verified_at": user.email_verified_at,
            "language": user.language,
            "profile": user.profile,
            "deletes_at": user.deletes_at,
        }
    return said


def _session(one: Any) -> dict[str, Any]:
    names = ("id", "created_at", "used_at", "expires_at", "auth_time", "user_agent", "ip", "client_id")
    return {
        **{name: getattr(one, name) for name in names},
        "methods": sorted(one.methods),
        "scopes": sorted(one.scopes),
    }
