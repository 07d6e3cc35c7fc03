"""What can go wrong, as one tree.

    AuthError
    ├── InvalidRequest            400 invalid_request            RFC 6749 5.2
    │   └── UnsupportedGrantType  400 unsupported_grant_type     RFC 6749 5.2
    ├── InvalidGrant              400 invalid_grant              RFC 6749 5.2
    │   ├── RefreshReused         400 invalid_grant              a copied refresh token; its session has ended
    │   └── UnusableHash          400 invalid_grant              the stored password hash can't be verified with
    ├── InvalidLink               400 invalid_link               a mailed link that is used, old, or somebody else's
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
    ├── OwnAccount                409 own_account                an administrator would shut himself out
    ├── TooLarge                  413 request_too_large          before anything is parsed
    ├── Misdirected               421 misdirected_request        a loopback issuer reached by another name
    ├── InvalidInput              422 invalid_input
    │   └── WeakPassword          422 weak_password
    ├── TooManyAttempts           429 too_many_attempts          with Retry-After; RFC 6585 4
    └── Overloaded                503 overloaded                 with Retry-After
        └── Unavailable           503 unavailable                with Retry-After
    Undeliverable                 a mail that no attempt will deliver; never an answer
    ConfigError (ValueError)      a start that is refused; its text names the setting and the cure
    └── WeakSecret

Two texts per refusal: `detail` is for the caller, `because` for the log. An `AuthError` says *what*; the door it leaves
through (`web/errors.py`) says *how*.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar


class AuthError(Exception):
    """A refusal. `detail` may be told to anybody; `because` is for the operator's log and holds no secret."""

    code: ClassVar[str]
    status: ClassVar[int]
    default: ClassVar[str]
    because: str
    detail: str

    def __init_subclass__(cls, *, code: str = "", status: int = 0, default: str = "") -> None:
        """A refusal's first line gives its code, status and text; what it does not give is its parent's."""
        super().__init_subclass__()
        cls.code = code or cls.code
        cls.status = status or cls.status
        cls.default = default or cls.default

    def __init__(self, because: str = "", *, detail: str | None = None) -> None:
        self.because = because or self.default
        self.detail = detail or self.default
        super().__init__(self.because)


class InvalidRequest(AuthError, code="invalid_request", status=400, default="The request is malformed."):
    """The request is malformed: a missing, repeated or odd parameter. RFC 6749 5.2."""


class UnsupportedGrantType(
    InvalidRequest, code="unsupported_grant_type", default="This grant type is not supported here."
):
    """The `grant_type` is not one that this endpoint serves. RFC 6749 5.2."""


class InvalidGrant(AuthError, code="invalid_grant", status=400, default="The credentials are not valid."):
    """The credentials or the refresh token are not good. One text for every reason. RFC 6749 5.2."""


class RefreshReused(InvalidGrant):
    """A refresh token came back outside its grace: somebody holds a copy, so its session was ended. RFC 9700 4.14.2."""


class UnusableHash(InvalidGrant):
    """The stored password hash is corrupt, of an unknown kind, or absurdly costly: no password fits."""


class InvalidLink(
    AuthError, code="invalid_link", status=400, default="This link is not valid any more. Please ask for a new one."
):
    """A mailed link or code is used up, too old, not ours, or for something else. One text for every reason."""


class InvalidScope(AuthError, code="invalid_scope", status=400, default="The scope exceeds what was granted."):
    """A refresh asks for more than the session was granted. RFC 6749 6."""


class InvalidToken(AuthError, code="invalid_token", status=401, default="The token is not valid."):
    """The token is expired, revoked, malformed or not ours. RFC 6750 3.1."""


class ExpiredToken(InvalidToken, default="The token has expired."):
    """The token is genuine and its time is over: now ≥ `exp`. RFC 7519 4.1.4."""


class BadSignature(InvalidToken):
    """The signature does not match the token."""


class MalformedToken(InvalidToken):
    """The text is not a compact JWS of strict JSON."""


class UnknownKey(InvalidToken):
    """No key has the token's kid."""


class MissingToken(AuthError, code="not_authenticated", status=401, default="Authentication is needed."):
    """No credentials came with the request, so the challenge carries no error code. RFC 6750 3.1."""


class StepUpRequired(
    AuthError,
    code="insufficient_user_authentication",
    status=401,
    default="A fresh or stronger authentication is needed.",
):
    """The authentication is too old or too weak for this act. RFC 9470 3.

    `max_age` is in seconds; `methods` are the `amr` values that are wanted.
    """

    def __init__(self, because: str, *, max_age: int | None = None, methods: frozenset[str] = frozenset()) -> None:
        super().__init__(because)
        self.max_age = max_age
        self.methods = methods


class InsufficientScope(
    AuthError, code="insufficient_scope", status=403, default="The token does not carry the scope that is needed here."
):
    """The token is good, but not for this: `needed` says which scopes the route wants. RFC 6750 3.1."""

    def __init__(self, because: str, *, needed: frozenset[str]) -> None:
        super().__init__(because)
        self.needed = needed


class RegistrationClosed(AuthError, code="registration_closed", status=403, default="Registration is closed."):
    """Accounts are made by an operator here."""


class WrongPassword(AuthError, code="wrong_password", status=403, default="The current password is not right."):
    """The present password, asked for again before a change, is not right."""


class NotFound(AuthError, code="not_found", status=404, default="There is no such thing here."):
    """There is no such thing, or it belongs to somebody else: the answer does not tell which."""


class NotAtRoot(
    NotFound,
    code="not_at_root",
    default=(
        "This application is mounted below another one, and clients look for the metadata at the root of the host: "
        "call auth.install_well_known(outer_app) on the outer application."
    ),
):
    """The metadata was asked for below a mount, where no client looks for it. RFC 8414 3."""


class UsernameTaken(AuthError, code="username_taken", status=409, default="This username is taken."):
    """Usernames are public, so this may be told."""


class StillReferenced(
    AuthError,
    code="still_referenced",
    status=409,
    default="Other data still belongs to this account. Delete or reassign that first, or disable the account.",
):
    """The account can't be deleted while rows of the application's own tables point to it. Nothing was changed."""


class OwnAccount(
    AuthError,
    code="own_account",
    status=409,
    default=(
        "You would shut yourself out, and perhaps nobody would be left to let you in again. Ask another administrator, or use "
        "the command line on the server: watchword users, watchword roles."
    ),
):
    """An administrator would delete or disable the account in use, or take from it the right to administrate. Nothing was
    changed."""


class TooLarge(AuthError, code="request_too_large", status=413, default="The request is too large."):
    """The body is larger than any request of ours; it was not parsed. RFC 9110 15.5.14."""


class Misdirected(
    AuthError,
    code="misdirected_request",
    status=421,
    default=(
        "This server is set up for this machine alone (its issuer is a loopback address). To serve other hosts, "
        "set WATCHWORD_ISSUER to the public https address and WATCHWORD_MASTER_KEYS to a secret of your own."
    ),
):
    """A server that is set up for this machine alone was reached by another name. RFC 9110 15.5.20."""


class InvalidInput(AuthError, code="invalid_input", status=422, default="Some fields are not valid."):
    """A field is missing or not what it must be; `fields` maps each name to what is wrong with it, without its value."""

    def __init__(
        self, because: str = "", *, detail: str | None = None, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(because, detail=detail)
        self.fields: dict[str, str] = dict(fields or {})


class WeakPassword(InvalidInput, code="weak_password", default="This password is too easy to guess."):
    """The new password is too short, too common or too close to what everybody knows. SP 800-63B-4 3.1.1.2."""


class TooManyAttempts(
    AuthError, code="too_many_attempts", status=429, default="Too many attempts. Please try again later."
):
    """So much was tried that nothing is evaluated any more for a while. RFC 6585 4. `wait` is the time until it is again."""

    def __init__(self, because: str, *, wait: timedelta, detail: str | None = None) -> None:
        super().__init__(because, detail=detail)
        self.retry_after: int = max(1, math.ceil(wait.total_seconds()))


class Overloaded(
    AuthError, code="overloaded", status=503, default="Too many requests are waiting. Please try again shortly."
):
    """Too much is waiting already; `retry_after` is in seconds. Nothing was changed."""

    def __init__(self, because: str = "", *, retry_after: int = 1) -> None:
        super().__init__(because)
        self.retry_after = retry_after


class Unavailable(
    Overloaded, code="unavailable", default="The service is not available at the moment. Please try again shortly."
):
    """What is needed to decide can't be reached, so nothing is let through."""


class Undeliverable(Exception):
    """A mail that no attempt will deliver: its recipient was refused for good. It is nobody's answer, and is told to
    the log."""


class ConfigError(ValueError):
    """The start is refused. The text names the setting and what to do about it, and holds no secret."""


class WeakSecret(ConfigError):
    """A secret that is short, publicly known or easily guessed."""
