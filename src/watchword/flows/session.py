"""The only room where a Proof becomes tokens, and where sessions turn and end."""

from datetime import datetime

from watchword.core import opaque, scopes, tokens
from watchword.core.errors import InvalidGrant, InvalidScope, NotFound, RefreshReused
from watchword.core.events import LoggedIn, RefreshTokenReused, SessionClosed, SessionsEnded, StateRewound
from watchword.core.models import Client, Proof, Session, Tokens, User
from watchword.flows.kit import Kit
from watchword.ports import Turn

ATTEMPTS = 3


async def open(  # noqa: A001 - `session.open(...)` is the sentence
    kit: Kit, proof: Proof, asked: frozenset[str] | None, client: Client
) -> Tokens:
    """Open a session for a proven user and hand out its first tokens.

    `asked` is what the client asks for; None asks for all. Raises InvalidGrant when the user was disabled or deleted, or
    the password changed, since the proof.
    """
    now = kit.clock.now()
    await kit.keyring.follow(heard=kit.revocations.fresh())
    r = kit.entropy(32)
    user = proof.user
    for _ in range(ATTEMPTS):
        session = _new(kit, proof, user, asked, client, now)
        if await kit.sessions.open(session, r, user):
            kit.announce(LoggedIn(user.id, session.id))
            return tokens.pair(kit.keyring.ring, kit.policy, session, session.scopes, r, kit.entropy(16), now)
        user = await _still_proven(kit, proof)
    raise InvalidGrant("the user's scopes keep changing")


async def refresh(kit: Kit, refresh_token: str, asked: frozenset[str] | None) -> Tokens:
    """Turn a refresh token: its successor and a new access token, which may carry less than the session (`asked`).

    Any number of callers with one token get the same successor within the grace. Raises InvalidGrant, InvalidScope (and
    then nothing was turned), and RefreshReused after the session was closed. RFC 6749 6, RFC 9700 4.14.2.
    """
    now = kit.clock.now()
    await kit.keyring.follow(heard=kit.revocations.fresh())
    ring = kit.keyring.ring
    presented = tokens.read_refresh(refresh_token, ring)
    if asked is not None:
        await _refuse_more(kit, presented.session_id, asked, now)
    policy = kit.policy
    turned = await kit.sessions.turn(
        presented, now, grace=policy.refresh_grace, idle=policy.refresh_idle, access_ttl=policy.access_ttl
    )
    if turned.answer is Turn.REUSED:
        kit.announce(RefreshTokenReused(None, presented.session_id, presented.generation), turned.revoked)
        raise RefreshReused("an old refresh token came back: its session was closed")
    session = turned.session
    if session is None:
        raise InvalidGrant("no live session has this refresh token")
    if turned.answer is Turn.REWOUND:
        kit.announce(StateRewound(session.user_id, session.id, session.generation))
    granted = scopes.grant(asked, session.scopes)
    return tokens.pair(ring, policy, session, granted, presented.r, kit.entropy(16), now)


async def close(kit: Kit, session_id: str, user_id: str | None = None) -> bool:
    """End one session (of this user, where given) with every token made from it; whether it was alive."""
    revoked = await kit.sessions.close(session_id, user_id, kit.clock.now())
    if revoked:
        kit.announce(SessionClosed(user_id, session_id), revoked)
    return bool(revoked)


async def close_listed(kit: Kit, session_id: str, user_id: str) -> None:
    """End a session from its owner's list. Raises NotFound when it is not alive, or is not theirs."""
    if not opaque.is_identifier(session_id) or not await close(kit, session_id, user_id):
        raise NotFound("no such live session of this user")


async def close_all(kit: Kit, user_id: str) -> None:
    """End every session of a user, this one included."""
    revoked = await kit.sessions.close_all(user_id, kit.clock.now())
    kit.announce(SessionsEnded(user_id, "logged out everywhere"), revoked)


async def of_user(kit: Kit, user_id: str) -> list[Session]:
    """The live sessions of a user, the last used first."""
    return await kit.sessions.of_user(user_id, kit.clock.now())


def _new(kit: Kit, proof: Proof, user: User, asked: frozenset[str] | None, client: Client, now: datetime) -> Session:
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


async def _still_proven(kit: Kit, proof: Proof) -> User:
    """The user as they are now, if only their scopes changed since the proof."""
    found = await kit.users.get(proof.user.id)
    if found is None or found.user.disabled or found.user.epoch != proof.user.epoch:
        raise InvalidGrant("the user was disabled, deleted or given another password during the login")
    return found.user


async def _refuse_more(kit: Kit, session_id: str, asked: frozenset[str], now: datetime) -> None:
    session = await kit.sessions.get(session_id, now)
    if session is not None and not asked <= session.scopes:
        raise InvalidScope("a refresh may only narrow")
