"""Showing once more who one is, before something dangerous. RFC 9470."""

from watchword.core import scopes, tokens
from watchword.core.errors import InvalidToken
from watchword.core.events import Reauthenticated
from watchword.core.models import NOWHERE, Client, Principal, Tokens
from watchword.flows import authenticate
from watchword.flows import password as passwords
from watchword.flows.claims import extra_claims
from watchword.flows.kit import Kit


async def by_password(kit: Kit, who: Principal, password: str, client: Client = NOWHERE) -> Tokens:
    """An access token whose `auth_time` is now, for the session of whoever is signed in; it carries what the present one does.

    The refresh token stays as it is (the answer's is empty), and what it brings later is as fresh. Raises WrongPassword,
    TooManyAttempts (whoever holds a token has no more guesses than others) and Overloaded.
    """
    now = kit.clock.now()
    await passwords.confirm(kit, who, password, client)
    session = await kit.sessions.prove_anew(who.session_id, passwords.METHODS, now, access_ttl=kit.policy.access_ttl)
    if session is None:
        raise InvalidToken("the session has ended")
    await authenticate.user(kit, who)
    kit.announce(Reauthenticated(who.user_id, session.id), client=client)
    granted = scopes.narrowed(who.scopes, session.scopes)
    claims = await extra_claims(kit, session) if kit.claims else None
    access = tokens.issue(kit.keyring.ring, kit.policy, session, granted, kit.entropy(16), now, claims)
    return Tokens(access, "", tokens.lifetime(kit.policy, session, now), granted)
