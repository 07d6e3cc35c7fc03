"""The only room where a Proof becomes tokens, and where sessions turn and end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchword.core import opaque, scopes, tokens
from watchword.core.errors import InvalidGrant, InvalidScope, NotFound, RefreshReused
from watchword.core.events import LoggedIn, RefreshTokenReused, SessionClosed, SessionsEnded, StateRewound
from watchword.core.models import NOWHERE, Account, Client, Proof, Revoked, Session, Tokens
from watchword.core.opaque import Presented
from watchword.flows import particulars, throttle
from watchword.flows.claims import extra_claims
from watchword.flows.kit import Kit
from watchword.ports import Turn

ATTEMPTS = 3


async def open(  # noqa: A001 - `session.open(...)` is the sentence
    kit: Kit, proof: Proof, asked: frozenset[str] | None, client: Client
) -> Tokens:
    """Open a session for a proven user and hand out its first tokens.

    `asked` is what the client asks for; None asks for all. Raises InvalidGrant when the user was disabled or deleted, or
    the password changed, since the proof, and Unavailable when the access token would be too long.
    """
    now = kit.clock.now()
    await kit.keyring.follow(heard=kit.revocations.fresh())
    r = kit.entropy(32)
    user = proof.user
    for _ in range(ATTEMPTS):
        session = _new(kit, proof, user, asked, client, now)
        claims = await extra_claims(kit, session) if kit.claims else None
        ring = kit.keyring.ring  # the tokens are made first: where that fails, no session is left that nobody has
        made = tokens.pair(ring, kit.policy, session, session.scopes, r, kit.entropy(16), now, claims)
        for one in await kit.sessions.open(session, r):
            kit.announce(SessionClosed(user.id, one.session_id), [one], client)
        user = await _still_proven(kit, proof, session, now, client)
        if scopes.grant(asked, user.scopes) == session.scopes:
            kit.announce(LoggedIn(user.id, session.id), client=client)
            return made
        await kit.sessions.close(session.id, None, now)
    raise InvalidGrant("the user's scopes keep changing")


async def refresh(
    kit: Kit,
    refresh_token: str,
    asked: frozenset[str] | None,
    client: Client = NOWHERE,
    *,
    client_id: str | None = None,
) -> Tokens:
    """Turn a refresh token: its successor and a new access token, which may carry less than the session (`asked`).

    `client_id` is who the client says that it is; the token is nobody's but its own client's, and is not touched for another.

    Any number of callers with one token get the same successor within the grace. Raises InvalidGrant, InvalidScope (and
    then nothing was turned), TooManyAttempts, and RefreshReused after the session was closed. RFC 6749 6, RFC 9700 4.14.2.
    """
    now = kit.clock.now()
    await kit.keyring.follow(heard=kit.revocations.fresh())
    ring = kit.keyring.ring
    if client_id and client_id != kit.policy.client_id:
        raise InvalidGrant("the token was issued to another client")
    presented = throttle.read_refresh(kit, refresh_token, client)
    ahead, claims = await _look_ahead(kit, presented, asked, now)
    policy = kit.policy
    turned = await kit.sessions.turn(
        presented, now, grace=policy.refresh_grace, idle=policy.refresh_idle, access_ttl=policy.access_ttl
    )
    if turned.answer is Turn.REUSED:
        whose = turned.revoked[0].user_id
        kit.announce(RefreshTokenReused(whose, presented.session_id, presented.generation), turned.revoked, client)
        raise RefreshReused("an old refresh token came back: its session was closed")
    session = turned.session
    if session is None:
        raise InvalidGrant("no live session has this refresh token")
    if turned.answer is Turn.REWOUND:
        kit.announce(StateRewound(session.user_id, session.id, session.generation), client=client)
    if ahead is None and _has_to_look(kit, asked):
        claims = await _look_at(kit, session, asked)
    elif (
        ahead is not None and ahead.scopes != session.scopes
    ):  # changed since: what the hook made of the old was revoked
        claims = await extra_claims(kit, session)
    granted = scopes.grant(asked, session.scopes)
    return tokens.pair(ring, policy, session, granted, presented.r, kit.entropy(16), now, claims)


async def close(
    kit: Kit, session_id: str, user_id: str | None = None, client: Client = NOWHERE, *, by: str | None = None
) -> bool:
    """End one session (of this user, where given) with every token made from it; whether it was alive."""
    revoked = await kit.sessions.close(session_id, user_id, kit.clock.now())
    if revoked:
        kit.announce(SessionClosed(revoked[0].user_id, session_id, by=by), revoked, client)
    return bool(revoked)


async def close_listed(
    kit: Kit, session_id: str, user_id: str, client: Client = NOWHERE, *, by: str | None = None
) -> None:
    """End a session from its owner's list. Raises NotFound when it is not alive, or is not theirs."""
    if not opaque.is_identifier(session_id) or not await close(kit, session_id, user_id, client, by=by):
        raise NotFound("no such live session of this user")


async def close_all(kit: Kit, user_id: str, client: Client = NOWHERE, *, by: str | None = None) -> tuple[Revoked, ...]:
    """End every session of a user, this one included; what was revoked."""
    revoked = await kit.sessions.close_all(user_id, kit.clock.now())
    kit.announce(SessionsEnded(user_id, "logged out everywhere", by=by), revoked, client)
    return revoked


async def of_user(kit: Kit, user_id: str) -> list[Session]:
    """The live sessions of a user, the last used first."""
    return await kit.sessions.of_user(user_id, kit.clock.now())


def _new(kit: Kit, proof: Proof, user: Account, asked: frozenset[str] | None, client: Client, now: datetime) -> Session:
    expires_at = now + kit.policy.refresh_absolute
    return Session(
        id=kit.new_id(),
        user_id=user.id,
        generation=0,
        scopes=scopes.grant(asked, user.scopes),
        follows_user=asked is None,
        methods=proof.methods,
        auth_time=proof.auth_time,
        client_id=kit.policy.client_id,
        created_at=now,
        used_at=now,
        idle_expires_at=min(now + kit.policy.refresh_idle, expires_at),
        expires_at=expires_at,
        access_expires_at=min(now + kit.policy.access_ttl, expires_at),
        user_agent=client.user_agent,
        ip=client.ip,
    )


async def _still_proven(kit: Kit, proof: Proof, session: Session, now: datetime, client: Client) -> Account:
    """The user as they are now, if at most their scopes changed since the proof; else the session just opened is closed."""
    found = await kit.users.get(proof.user.id)
    alive = found is not None and not found.user.disabled and found.user.epoch == proof.user.epoch
    going = getattr(found.user, "deletes_at", None) if found else None
    if found is None or not alive or (going and not await particulars.keep(kit, found.user, client)):
        await kit.sessions.close(session.id, None, now)
        raise InvalidGrant("the user was disabled, deleted or given another password during the login")
    return found.user


def _has_to_look(kit: Kit, asked: frozenset[str] | None) -> bool:
    """Whether a refresh depends on more than the statement that turns it: scopes asked for, a hook, accounts of a host's."""
    return asked is not None or kit.claims is not None or kit.hosts_users


async def _look_ahead(
    kit: Kit, presented: Presented, asked: frozenset[str] | None, now: datetime
) -> tuple[Session | None, Mapping[str, Any] | None]:
    """What has to be known before a refresh token is turned: a refusal or a failing hook must not use it up.

    Only the current token can be used up. An older one is a repeat, which costs nothing, or a copy: that has to end the
    session, whatever scope the thief asks for and whatever the hook says.
    """
    if not _has_to_look(kit, asked):
        return None, None
    session = await kit.sessions.get(presented.session_id, now)
    if session is None or presented.generation < session.generation:
        return None, None
    return session, await _look_at(kit, session, asked)


async def _look_at(kit: Kit, session: Session, asked: frozenset[str] | None) -> Mapping[str, Any] | None:
    """The hook's claims for the session. Raises InvalidScope, and InvalidGrant for a host's user who is gone."""
    if asked is not None and not scopes.covers(session.scopes, asked):
        raise InvalidScope("a refresh may only narrow")
    if kit.hosts_users:
        await _refuse_gone(kit, session)
    return await extra_claims(kit, session) if kit.claims else None


async def _refuse_gone(kit: Kit, session: Session) -> None:
    """A host may disable or delete an account in its own table without a word to us."""
    found = await kit.users.get(session.user_id)
    if found is None or found.user.disabled:
        await close(kit, session.id)
        raise InvalidGrant("the user is gone or disabled")
