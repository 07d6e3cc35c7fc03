"""What can go wrong, as one tree.

    AuthError
    ├── InvalidRequest            400 invalid_request            RFC 6749 5.2
    │   └── UnsupportedGrantType  400 unsupported_grant_type     RFC 6749 5.2
    ├── InvalidGrant              400 invalid_grant              RFC 6749 5.2
    │   ├── RefreshReused         400 invalid_grant              a copied refresh token; its session has ended
    │   └── UnusableHash          400 invalid_grant              the stored password hash can't be verified with
    ├── InvalidScope              400 invalid_scope              RFC 6749 5.2
    ├── InvalidToken              401 invalid_token              RFC 6750 3.1
    │   ├── ExpiredToken          401 invalid_token
    │   ├── BadSignature          401 invalid_token
    │   ├── MalformedToken        401 invalid_token
    │   └── UnknownKey            401 invalid_token
    ├── MissingToken              401 (no error code)            RFC 6750 3.1
    ├── StepUpRequired            401 insufficient_user_authentication   RFC 9470 3
    ├── InsufficientScope         403 insufficient_scope         RFC 6750 3.1
    ├── RegistrationClosed        403 registration_closed
    ├── WrongPassword             403 wrong_password             the present password, asked for again
    ├── NotFound                  404 not_found
    │   └── NotAtRoot             404 not_at_root                metadata under a mount; RFC 8414 3
    ├── UsernameTaken             409 username_taken
    ├── StillReferenced           409 still_referenced           other tables hold on to the account
    ├── TooLarge                  413 request_too_large          before anything is parsed
    ├── Misdirected               421 misdirected_request        a loopback issuer reached by another name
    ├── InvalidInput              422 invalid_input
    │   └── WeakPassword          422 weak_password
    └── Overloaded                503 overloaded                 with Retry-After
        └── Unavailable           503 unavailable                with Retry-After
    ConfigError (ValueError)      a start that is refused; its text names the setting and the cure
    └── WeakSecret

Two texts per refusal: `detail` is for the caller, `because` for the log. An `AuthError` says *what*; the door it leaves
through (`web/errors.py`) says *how*.
"""

from collections.abc import Mapping
from typing import ClassVar


class AuthError(Exception):
    """A refusal. `detail` may be told to anybody; `because` is for the operator's log and holds no secret."""

    code: ClassVar[str]
    status: ClassVar[int]
    default: ClassVar[str]

    def __init__(self, because: str = "", *, detail: str | None = None) -> None:
        self.because = because or self.default
        self.detail = detail or self.default
        super().__init__(self.because)


class InvalidRequest(AuthError):
    """The request is malformed: a missing, repeated or odd parameter. RFC 6749 5.2."""

    code, status, default = "invalid_request", 400, "The request is malformed."


class UnsupportedGrantType(InvalidRequest):
    """The `grant_type` is not one that this endpoint serves. RFC 6749 5.2."""

    code, default = "unsupported_grant_type", "This grant type is not supported here."


class InvalidGrant(AuthError):
    """The credentials or the refresh token are not good. One text for every reason. RFC 6749 5.2."""

    code, status, default = "invalid_grant", 400, "The credentials are not valid."


class RefreshReused(InvalidGrant):
    """A refresh token came back outside its grace: somebody holds a copy, so its session was ended. RFC 9700 4.14.2."""


class UnusableHash(InvalidGrant):
    """The stored password hash is corrupt, of an unknown kind, or absurdly costly: no password fits."""


class InvalidScope(AuthError):
    """A refresh asks for more than the session was granted. RFC 6749 6."""

    code, status, default = "invalid_scope", 400, "The scope exceeds what was granted."


class InvalidToken(AuthError):
    """The token is expired, revoked, malformed or not ours. RFC 6750 3.1."""

    code, status, default = "invalid_token", 401, "The token is not valid."


class ExpiredToken(InvalidToken):
    """The token is genuine and its time is over: now ≥ `exp`. RFC 7519 4.1.4."""

    default = "The token has expired."


class BadSignature(InvalidToken):
    """The signature does not match the token."""


class MalformedToken(InvalidToken):
    """The text is not a compact JWS of strict JSON."""


class UnknownKey(InvalidToken):
    """No key has the token's kid."""


class MissingToken(AuthError):
    """No credentials came with the request, so the challenge carries no error code. RFC 6750 3.1."""

    code, status, default = "not_authenticated", 401, "Authentication is needed."


class StepUpRequired(AuthError):
    """The authentication is too old or too weak for this act. RFC 9470 3.

    `max_age` is in seconds; `methods` are the `amr` values that are wanted.
    """

    code, status, default = (
        "insufficient_user_authentication",
        401,
        "A fresh or stronger authentication is needed.",
    )

    def __init__(self, because: str, *, max_age: int | None = None, methods: frozenset[str] = frozenset()) -> None:
        super().__init__(because)
        self.max_age = max_age
        self.methods = methods


class InsufficientScope(AuthError):
    """The token is good, but not for this: `needed` says which scopes the route wants. RFC 6750 3.1."""

    code, status, default = (
        "insufficient_scope",
        403,
        "The token does not carry the scope that is needed here.",
    )

    def __init__(self, because: str, *, needed: frozenset[str]) -> None:
        super().__init__(because)
        self.needed = needed


class RegistrationClosed(AuthError):
    """Accounts are made by an operator here."""

    code, status, default = "registration_closed", 403, "Registration is closed."


class WrongPassword(AuthError):
    """The present password, asked for again before a change, is not right."""

    code, status, default = "wrong_password", 403, "The current password is not right."


class NotFound(AuthError):
    """There is no such thing, or it belongs to somebody else: the answer does not tell which."""

    code, status, default = "not_found", 404, "There is no such thing here."


class NotAtRoot(NotFound):
    """The metadata was asked for below a mount, where no client looks for it. RFC 8414 3."""

    code = "not_at_root"
    default = (
        "This application is mounted below another one, and clients look for the metadata at the root of the host: "
        "call auth.install_well_known(outer_app) on the outer application."
    )


class UsernameTaken(AuthError):
    """Usernames are public, so this may be told."""

    code, status, default = "username_taken", 409, "This username is taken."


class StillReferenced(AuthError):
    """The account can't be deleted while rows of the application's own tables point to it. Nothing was changed."""

    code, status = "still_referenced", 409
    default = "Other data still belongs to this account. Delete or reassign that first, or disable the account."


class TooLarge(AuthError):
    """The body is larger than any request of ours; it was not parsed. RFC 9110 15.5.14."""

    code, status, default = "request_too_large", 413, "The request is too large."


class Misdirected(AuthError):
    """A server that is set up for this machine alone was reached by another name. RFC 9110 15.5.20."""

    code, status = "misdirected_request", 421
    default = (
        "This server is set up for this machine alone (its issuer is a loopback address). To serve other hosts, "
        "set WATCHWORD_ISSUER to the public https address and WATCHWORD_MASTER_KEYS to a secret of your own."
    )


class InvalidInput(AuthError):
    """A field is missing or not what it must be; `fields` maps each name to what is wrong with it, without its value."""

    code, status, default = "invalid_input", 422, "Some fields are not valid."

    def __init__(
        self, because: str = "", *, detail: str | None = None, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(because, detail=detail)
        self.fields = dict(fields or {})


class WeakPassword(InvalidInput):
    """The new password is too short, too common or too close to what everybody knows. SP 800-63B-4 3.1.1.2."""

    code, default = "weak_password", "This password is too easy to guess."


class Overloaded(AuthError):
    """Too much is waiting already; `retry_after` is in seconds. Nothing was changed."""

    code, status, default = "overloaded", 503, "Too many requests are waiting. Please try again shortly."

    def __init__(self, because: str = "", *, retry_after: int = 1) -> None:
        super().__init__(because)
        self.retry_after = retry_after


class Unavailable(Overloaded):
    """What is needed to decide can't be reached, so nothing is let through."""

    code, default = "unavailable", "The service is not available at the moment. Please try again shortly."


class ConfigError(ValueError):
    """The start is refused. The text names the setting and what to do about it, and holds no secret."""


class WeakSecret(ConfigError):
    """A secret that is short, publicly known or easily guessed."""
