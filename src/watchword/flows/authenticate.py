"""Who makes this request? The one decision behind every door: no query, unless the feed is silent."""

from collections.abc import Callable

from watchword.core import scopes as words
from watchword.core import tokens
from watchword.core.cache import END
from watchword.core.errors import (
    AuthError,
    ExpiredToken,
    InsufficientScope,
    InvalidGrant,
    InvalidToken,
    MissingToken,
    StepUpRequired,
    TooManyAttempts,
    UnknownKey,
)
from watchword.core.models import NOWHERE, SERVICE_ACCOUNT, Account, Client, Principal
from watchword.core.tokens import Access
from watchword.flows import throttle
from watchword.flows.kit import Checking, Kit

FRESH = 300
"""Seconds after which an authentication is too old for what can't be taken back. ASVS 7.5.1."""


def at_once(kit: Checking, credentials: bytes) -> Access | None:
    """The access of an Authorization header whose token was verified before and is still good, from memory alone. None where
    somebody has to be asked, and where it is not good any more: `bearer` says why."""
    entry = kit.cache.entries.get(credentials[-END:])
    if entry is None or entry[0] != credentials:
        return None
    access, keyring, revocations = entry[1], kit.keyring, kit.revocations
    if keyring.stale or not revocations.fresh():
        return None
    timestamp = kit.clock.timestamp()
    if not keyring.alive(access.kid, timestamp) or revocations.covers(access.principal.session_id, access.generation):
        return None
    return access if timestamp < access.expires_at else None


async def bearer(kit: Checking, token: str, origin: Callable[[], Client] = lambda: NOWHERE) -> Access:
    """The access that this token gives now. Raises InvalidToken; Unavailable when nobody can say (never a guess).

    A token that a feature knows is its to judge; `origin` tells whom to count what was forged against.
    """
    for prefix, way in kit.ways.items():
        if token.startswith(prefix):
            return await way(token, origin)
    access = await genuine(kit, token)
    try:
        await still_good(kit, access)
    except InvalidToken:
        kit.cache.drop(token)
        raise
    return access


async def genuine(kit: Checking, token: str) -> Access:
    """The access that this token gave when it was made: signature, type, issuer, audience, time. Raises InvalidToken."""
    await kit.keyring.follow(heard=kit.revocations.fresh())
    access = kit.cache.get(token)
    if access is not None:
        return access
    try:
        access = tokens.verify(token, kit.keyring.ring, kit.policy, kit.clock.timestamp())
    except UnknownKey:
        if not await kit.keyring.look_again():
            raise
        access = tokens.verify(token, kit.keyring.ring, kit.policy, kit.clock.timestamp())
    kit.cache.put(token, access)
    return access


async def still_good(kit: Checking, access: Access) -> Access:
    """The access as it is now: the same, or what whoever knows it gives now where it was no JWT, which may hold for longer.

    Raises InvalidToken when the key has died, the session was revoked, or the token has expired meanwhile; where it was no
    JWT, when whoever knows it says so, or it gives something else now.

    Whether the feed is fresh is asked first: it may come back between the two questions, and what was missing from the set
    before does not count as absent for that.
    """
    if access.again is not None:
        renewed = await access.again()
        if renewed.principal != access.principal:
            raise InvalidToken("the scopes have changed")
        return renewed
    session_id, generation = access.principal.session_id, access.generation
    revocations = kit.revocations
    fresh = revocations.fresh()
    revoked = revocations.covers(session_id, generation)
    if not revoked and not fresh:
        revoked = await revocations.ask(session_id, generation)
    timestamp = kit.clock.timestamp()
    if not kit.keyring.alive(access.kid, timestamp):
        raise InvalidToken("the key's time is over")
    if revoked:
        raise InvalidToken("the session has ended, or its scopes have changed")
    if access.expires_at <= timestamp:
        raise ExpiredToken("the token has expired")
    return access


async def user(kit: Kit, who: Principal) -> Account:
    """The principal's row, read now. Raises InvalidToken when the user is gone or disabled, and for a service account, which
    is no user, whatever its id."""
    if who.auth_time == 0 and who.claims.get("owner") == SERVICE_ACCOUNT:
        raise InvalidToken("a service account is no user")
    found = await kit.users.get(who.user_id)
    if found is None or found.user.disabled:
        raise InvalidToken("the user is gone or disabled")
    return found.user


def require(
    kit: Checking, who: Principal, scopes: frozenset[str], max_age: int | None, methods: frozenset[str]
) -> None:
    """Raise InsufficientScope or StepUpRequired unless the principal has all of it. `max_age` is in seconds."""
    if not words.covers(who.scopes, scopes):
        raise InsufficientScope("the token lacks a scope", needed=scopes)
    if max_age is not None:
        signed_in(who, max_age)
        if kit.clock.timestamp() - who.auth_time > max_age:
            raise StepUpRequired("the authentication is too old", max_age=max_age)
    if not methods <= who.methods:
        raise StepUpRequired("a factor is missing", methods=methods)


def require_fresh(kit: Checking, who: Principal) -> None:
    """Raise StepUpRequired unless the authentication is some minutes old at most: what follows can't be taken back.
    RFC 9470."""
    require(kit, who, frozenset(), FRESH, frozenset())


def signed_in(who: Principal, max_age: int | None = None) -> None:
    """Raise StepUpRequired where nobody has signed in for this, as with an API key: that is never fresh, and no person."""
    if who.auth_time == 0:
        raise StepUpRequired("nobody has signed in for this", max_age=max_age)


async def leaving(
    kit: Kit, access_token: str | None, refresh_token: str | None, client: Client = NOWHERE
) -> frozenset[str]:
    """The sessions that a logout means: the refresh token's, and that of an access token that has not expired.

    Either may belong to a session that has ended already. Raises InvalidToken when neither names one (TooManyAttempts after
    too many forged refresh tokens, which keep nobody from going who has a good access token), MissingToken when neither was
    given.
    """
    named: set[str] = set()
    refusal: AuthError = MissingToken("neither an access token nor a refresh token")
    if refresh_token is not None:
        try:
            named.add(throttle.read_refresh(kit, refresh_token, client).session_id)
        except TooManyAttempts as error:
            refusal = error
        except InvalidGrant as error:
            refusal = InvalidToken(error.because)
    if access_token is not None:
        try:
            access = await genuine(kit, access_token)
            if access.expires_at <= kit.clock.timestamp():
                raise ExpiredToken("an expired access token alone does not end a session")
            named.add(access.principal.session_id)
        except InvalidToken as error:
            refusal = refusal if isinstance(refusal, TooManyAttempts) else error
    if not named:
        raise refusal
    return frozenset(named)
