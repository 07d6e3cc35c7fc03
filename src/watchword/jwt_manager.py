"""The tutorial's class, made strict: `JWTManager(secret).create_token(data, expires_delta)` and `.decode_token(token)`."""

from datetime import timedelta
from typing import Any

from watchword.core import jose, secrets, strict_json
from watchword.core.clock import Clock, SystemClock
from watchword.core.errors import BadSignature, InvalidToken, MalformedToken, WeakSecret
from watchword.core.jose import (
    KeySet,
    TokenExpired,
    TokenMalformed,
    TokenRefused,
    TokenSignatureInvalid,
    VerifyingKey,
)
from watchword.core.policy import LEEWAY

__all__ = ["JWTManager", "TokenExpired", "TokenMalformed", "TokenRefused", "TokenSignatureInvalid"]

RESERVED = ("exp", "iat", "nbf", "iss", "aud", "jti")
MAX_INT = 2**53 - 1


class JWTManager:
    """Makes and reads HS256 tokens under one secret, which has at least 32 bytes and stands in no tutorial.

    For an application that manages sessions itself. `Auth` does that for you, with keys that rotate and a logout that works.
    """

    def __init__(self, secret: str | bytes, *, clock: Clock | None = None) -> None:
        """Raises WeakSecret (a ConfigError and ValueError) for a short, known or guessable secret, and for a public key."""
        raw = secrets.strong(secret, "JWTManager's secret")
        try:
            self._key = jose.hmac_key(raw)
        except ValueError:
            raise WeakSecret(f"JWTManager's secret is a public key, so it is no secret. {secrets.CURE}") from None
        self._keys = KeySet([VerifyingKey(None, "HS256", frozenset({"HS256"}), self._key.material)])
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return "JWTManager(secret=…)"

    def create_token(self, data: dict[str, Any], expires_delta: timedelta) -> str:
        """A signed token with `data`, issued now, that expires after `expires_delta`.

        Raises ValueError for a reserved claim (exp, iat, nbf, iss, aud, jti: they are not the caller's), for a `sub` that
        is not a text (RFC 7519 4.1.2), for what is not JSON, and for a time out of range.
        """
        taken = [name for name in RESERVED if name in data]
        if taken:
            raise ValueError(f"{', '.join(taken)}: reserved claims are set by the manager, not by the caller")
        if not isinstance(data.get("sub", ""), str):
            raise ValueError("sub is a text (RFC 7519 4.1.2): write str(user_id)")
        now = int(self._clock.timestamp())
        expires = now + int(expires_delta.total_seconds())
        if not 0 <= expires <= MAX_INT:
            raise ValueError("expires_delta leads out of the range of dates")
        try:
            claims = {**data, "iat": now, "exp": expires}
            payload = strict_json.dumps(claims)
            same = strict_json.loads(payload, "payload") == claims
        except (TypeError, ValueError, RecursionError, InvalidToken) as error:
            raise ValueError(f"the data is not plain JSON: {error}") from None
        if not same:
            raise ValueError("the data would come back changed: in JSON, names are texts and there are no tuples")
        token = jose.sign(self._key, "JWT", payload, named=False)
        if len(token) > jose.MAX_TOKEN:
            raise ValueError("the token would be over 8 KB, and nobody would read it")
        return token

    def decode_token(self, token: str) -> dict[str, Any]:
        """The claims of a good token.

        Raises TokenExpired, TokenSignatureInvalid, TokenMalformed, or TokenRefused for everything else; each is also the
        PyJWT error that the tutorial catches.
        """
        try:
            verified = jose.verify(token, self._keys)
            claims = strict_json.loads(verified.payload, "payload")
        except BadSignature as error:
            raise TokenSignatureInvalid(error.because) from error
        except MalformedToken as error:
            raise TokenMalformed(error.because) from error
        except InvalidToken as error:
            raise TokenRefused(error.because) from error
        if str(verified.header.get("typ")).upper() != "JWT":
            raise TokenRefused("the token is not of the type JWT")
        self._check_times(claims)
        _check_names(claims)
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock.timestamp()
        if "exp" not in claims:
            raise TokenRefused("the token never expires")
        if not all(_is_date(claims[name]) for name in ("exp", "iat", "nbf") if name in claims):
            raise TokenRefused("a time in the token is not a number in range")
        if claims["exp"] <= now:
            raise TokenExpired("the token has expired")
        if max(claims.get("iat", 0), claims.get("nbf", 0)) > now + LEEWAY.total_seconds():
            raise TokenRefused("the token is of the future")


def _check_names(claims: dict[str, Any]) -> None:
    if "aud" in claims:
        raise TokenRefused("the token is for somebody else: it names an audience, and the manager has no name")
    if not all(isinstance(claims[name], str) for name in ("sub", "iss", "jti") if name in claims):
        raise TokenRefused("a name in the token is not a text")


def _is_date(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_INT
