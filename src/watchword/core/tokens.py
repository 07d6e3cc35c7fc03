"""Access tokens: the RFC 9068 layer on top of `jose`. One `issue`, one `verify`, one REQUIRED."""

import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from watchword.core import jose, opaque, scopes, strict_json
from watchword.core.errors import ExpiredToken, InvalidToken, Unavailable
from watchword.core.keys import KeyRing, VerifyingRing
from watchword.core.models import FrozenDict, Principal, Session, Tokens
from watchword.core.policy import LEEWAY, MAX_ACCESS_TTL, Policy

TYP = "at+jwt"
HEADER = frozenset({"alg", "kid", "typ"})
REQUIRED = (
    "iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope", "sid", "gen", "auth_time", "amr",
)  # fmt: skip
ALL_REQUIRED = frozenset(REQUIRED)
TIMES = "exp", "iat", "auth_time", "nbf"
RESERVED = frozenset(REQUIRED) | {
    "nbf", "acr", "act", "at_hash", "azp", "c_hash", "cnf", "events", "may_act", "nonce", "s_hash", "sub_id", "toe",
    "txn", "typ",
}  # fmt: skip
"""Names that have a meaning to whoever verifies: a host's hook can't set them. RFC 7519 4.1, 7800 3.1, 8417 2, 8693 4."""

MAX_EXTRA = 2048
"""Bytes of JSON that a host may add, so that every token stays readable (jose.MAX_TOKEN)."""

MAX_INT = 2**53 - 1
"""The largest integer that every JSON parser reads alike. RFC 8259 6."""


@dataclass(frozen=True, slots=True)
class Access:
    """A verified access token: its principal, and what is checked anew on every request.

    `expires_at` is `exp` in seconds since the epoch; `kid` is the key that must still be alive; `generation` is compared
    with the revocations of the principal's session.

    What was not given by a JWT has `again`, which is asked instead of all this whether it still holds: it gives the access of
    now, or raises as at the door. `also` are the names, beside the session's, under which the feed tells that it may not.
    """

    principal: Principal
    kid: str
    generation: int
    expires_at: float
    again: Callable[[], Awaitable["Access"]] | None = field(default=None, compare=False)
    also: frozenset[str] = frozenset()


def accept_claims(claims: Mapping[Any, Any]) -> FrozenDict:
    """A host's own claims, as they may stand in an access token.

    Raises ValueError for a reserved name, for what is not plain JSON or would come back changed, and above MAX_EXTRA bytes.
    """
    extra = dict(claims)
    taken = sorted(name for name in map(str, extra) if _folded(name) in RESERVED)
    if taken:
        raise ValueError(
            f"{', '.join(map(ascii, taken))}: reserved claims are not the hook's to set, in any case or width"
        )
    try:
        written = strict_json.dumps(extra)
        same = strict_json.loads(written, "claims") == extra
    except (TypeError, ValueError, RecursionError, InvalidToken) as error:
        raise ValueError(f"the claims are not plain JSON: {error}") from None
    if not same:
        raise ValueError("the claims would come back changed: in JSON, names are texts and there are no tuples")
    if len(written) > MAX_EXTRA:
        raise ValueError(f"the claims take more than {MAX_EXTRA} bytes")
    return FrozenDict(extra)


def _folded(name: str) -> str:
    """As a verifier may read it: Go's encoding/json, for one, takes `ACR` and `\u017fub` for `acr` and `sub`."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def issue(
    ring: KeyRing,
    policy: Policy,
    session: Session,
    granted: frozenset[str],
    jti: bytes,
    now: datetime,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """A signed access token for this session, carrying `granted` and a host's accepted claims. It never outlives it.

    Raises Unavailable when it would be too long to be read: nobody is handed a token that is refused everywhere.
    """
    issued_at = int(now.timestamp())
    payload = {
        **(extra or {}),
        "iss": policy.issuer,
        "sub": session.user_id,
        "aud": policy.audience,
        "client_id": session.client_id,
        "iat": issued_at,
        "exp": issued_at + lifetime(policy, session, now),
        "jti": jose.b64encode(jti),
        "scope": scopes.text(granted),
        "sid": session.id,
        "gen": session.generation,
        "auth_time": int(session.auth_time.timestamp()),
        "amr": sorted(session.methods),
    }
    token = jose.sign(ring.signer(now), TYP, strict_json.dumps(payload))
    if len(token) > jose.MAX_TOKEN:
        raise Unavailable(
            f"the access token of the user {session.user_id} would be too long, so nobody could read it: "
            f"{len(payload['scope'])} characters of scopes (at most {scopes.MAX_TEXT} are given), and the hook's claims"
        )
    return token


def pair(
    ring: KeyRing,
    policy: Policy,
    session: Session,
    granted: frozenset[str],
    r: bytes,
    jti: bytes,
    now: datetime,
    extra: Mapping[str, Any] | None = None,
) -> Tokens:
    """What a login or refresh answers: an access token, and the refresh token of the session's generation."""
    return Tokens(
        access_token=issue(ring, policy, session, granted, jti, now, extra),
        refresh_token=opaque.mint(session.id, session.generation, r, ring.refresh_keys),
        expires_in=lifetime(policy, session, now),
        scopes=granted,
    )


def lifetime(policy: Policy, session: Session, now: datetime) -> int:
    """Whole seconds that an access token of this session lives when it is made now."""
    return max(1, int(min(policy.access_ttl, session.expires_at - now).total_seconds()))


def read_refresh(text: str, ring: KeyRing) -> opaque.Presented:
    """The genuine refresh token in `text`. Raises InvalidGrant before any I/O when its mac does not verify."""
    return opaque.parse(text, ring.refresh_keys)


def verify(token: str, ring: VerifyingRing, policy: Policy, timestamp: float) -> Access:
    """The access token in `token`, at `timestamp` (seconds since the epoch).

    Raises InvalidToken (ExpiredToken, MalformedToken, BadSignature) and nothing else. RFC 9068 4, RFC 8725 3.
    """
    verified = jose.verify(token, ring.keys)
    _check_header(verified.header)
    if not ring.alive(str(verified.kid), timestamp):
        raise InvalidToken("the key's time is over")
    claims = strict_json.loads(verified.payload, "payload")
    if not claims.keys() >= ALL_REQUIRED:
        missing = next(name for name in REQUIRED if name not in claims)
        raise InvalidToken(f"the token has no {missing}")
    _check_times(claims, timestamp)
    if claims["iss"] != policy.issuer or not isinstance(claims["iss"], str):
        raise InvalidToken("the token is of another issuer")
    if not _is_for(claims["aud"], policy.audience):
        raise InvalidToken("the token is for another audience")
    for name in ("sub", "client_id", "jti", "sid"):
        if not isinstance(claims[name], str) or not claims[name]:
            raise InvalidToken(f"the token's {name} is not a text")
    if not isinstance(claims["scope"], str):
        raise InvalidToken("the token's scope is not a text")
    if not _strings(claims["amr"]):
        raise InvalidToken("the token's amr is not a list of texts")
    if not isinstance(claims["gen"], int) or isinstance(claims["gen"], bool) or not 0 <= claims["gen"] <= MAX_INT:
        raise InvalidToken("the token's gen is not a number in range")
    return Access(
        principal=Principal(
            user_id=claims["sub"],
            session_id=claims["sid"],
            scopes=frozenset(claims["scope"].split()),
            methods=frozenset(claims["amr"]),
            auth_time=int(claims["auth_time"]),
            claims=FrozenDict(claims),
        ),
        kid=str(verified.kid),
        generation=claims["gen"],
        expires_at=float(claims["exp"]),
    )


def _check_header(header: Mapping[str, Any]) -> None:
    """Our own header holds exactly these names; `typ` tells an access token from every other kind. RFC 9068 2.1."""
    if header.keys() != HEADER:
        raise InvalidToken("the header is not that of an access token")
    typ = header["typ"]
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != TYP:
        raise InvalidToken("the token is not of the type at+jwt")


def _check_times(claims: dict[str, Any], timestamp: float) -> None:
    for name in TIMES:
        if name in claims and not _numeric_date(claims[name]):
            raise InvalidToken("a time in the token is not a number in range")
    if claims["exp"] <= timestamp:
        raise ExpiredToken("the token has expired")
    if claims["iat"] > timestamp + LEEWAY.total_seconds():
        raise InvalidToken("the token was issued in the future")
    if claims.get("nbf", 0) > timestamp + LEEWAY.total_seconds():
        raise InvalidToken("the token is not valid yet")
    if not 0 < claims["exp"] - claims["iat"] <= MAX_ACCESS_TTL.total_seconds():
        raise InvalidToken("the token lives longer than an access token may")


def _numeric_date(value: object) -> bool:
    """RFC 7519 2, within the range that every parser reads alike."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_INT


def _is_for(audience: object, mine: str) -> bool:
    if isinstance(audience, str):
        return audience == mine
    return _strings(audience) and mine in audience  # type: ignore[operator]


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
