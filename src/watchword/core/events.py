"""Facts after the commit. An event holds nothing that could be used to get in.

What an administrator can do over HTTP tells who did (`by`, an id). It is None where it was done in another way: by the user,
at the command line, or by a program.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a user; `user_id` is None where nobody was found, and where it concerns no one user."""

    user_id: str | None


@dataclass(frozen=True, slots=True)
class Registered(Event):
    """An account was made."""

    by: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn(Event):
    """A session was opened."""

    session_id: str


@dataclass(frozen=True, slots=True)
class LoginFailed(Event):
    """A password was refused."""

    because: str


@dataclass(frozen=True, slots=True)
class AttemptsExhausted(Event):
    """The last wrong password was tried that is evaluated for now, for one account or from one network."""


@dataclass(frozen=True, slots=True)
class SessionClosed(Event):
    """One session was ended: by logging out, from the list of sessions, or to make room for a new one."""

    session_id: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshTokenReused(Event):
    """A refresh token came back outside its grace, and its session was ended."""

    session_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class StateRewound(Event):
    """A client held a newer generation than the database: commits were lost, and the session was moved forward."""

    session_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class SessionsEnded(Event):
    """All sessions of the user (or all but the one in use) were ended."""

    because: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class PasswordChanged(Event):
    """The password was changed."""


@dataclass(frozen=True, slots=True)
class PasswordReset(PasswordChanged):
    """The password was replaced by way of a mailed link, and all sessions ended."""


@dataclass(frozen=True, slots=True)
class PasswordResetRequested(Event):
    """Somebody asked for a link to a new password."""


@dataclass(frozen=True, slots=True)
class EmailVerified(Event):
    """A link that was mailed to the account's address came back."""


@dataclass(frozen=True, slots=True)
class EmailChangeRequested(Event):
    """Somebody who is signed in wants another address for the account."""


@dataclass(frozen=True, slots=True)
class EmailChanged(Event):
    """The address was changed; both the old and the new one had agreed."""


@dataclass(frozen=True, slots=True)
class UsernameChanged(Event):
    """The username was changed."""


@dataclass(frozen=True, slots=True)
class ProfileChanged(Event):
    """The owner changed what the application lets them keep with the account."""


@dataclass(frozen=True, slots=True)
class DeletionPlanned(Event):
    """The owner wants the account deleted, and can keep it until then."""

    deletes_at: datetime


@dataclass(frozen=True, slots=True)
class DeletionCancelled(Event):
    """The owner came back before the account was deleted, and keeps it."""


@dataclass(frozen=True, slots=True)
class AccountDisowned(Event):
    """The owner said of a change that it was somebody else's: all sessions ended, and the password works no longer."""


@dataclass(frozen=True, slots=True)
class Reauthenticated(Event):
    """Whoever is signed in has shown once more who they are."""

    session_id: str


@dataclass(frozen=True, slots=True)
class ScopesChanged(Event):
    """What the user may do was changed."""

    by: str | None = None


@dataclass(frozen=True, slots=True)
class RoleChanged(Event):
    """A role was made, or gives other scopes now."""

    role: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class RoleRemoved(Event):
    """A role was removed; whoever had it has lost it."""

    role: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class RoleGiven(Event):
    """A role was given to the user."""

    role: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class RoleTaken(Event):
    """A role was taken from the user."""

    role: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class UserDisabled(Event):
    """The account was disabled."""

    by: str | None = None


@dataclass(frozen=True, slots=True)
class UserEnabled(Event):
    """The account was enabled again."""

    by: str | None = None


@dataclass(frozen=True, slots=True)
class UserDeleted(Event):
    """The account was deleted."""

    by: str | None = None


@dataclass(frozen=True, slots=True)
class KeyPublished(Event):
    """A signing key was made: by rotation, by an operator, or in the place of one that was retired."""

    kid: str
    alg: str
    signs_from: datetime
    by: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRetired(Event):
    """A signing key was stopped by an operator: no token that it signed verifies any more."""

    kid: str


@dataclass(frozen=True, slots=True)
class KeysResealed(Event):
    """The signing keys were sealed with the first master key, and the database knows itself by that one."""

    keys: int


@dataclass(frozen=True, slots=True)
class KeysAbandoned(Event):
    """The master key was lost: every signing key was given up for a new one, and all sessions of everybody were ended."""

    keys: int
    sessions: int


@dataclass(frozen=True, slots=True)
class MailRetried(Event):
    """An administrator had a mail that waited to be delivered tried again at once."""

    mail_id: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class MailDiscarded(Event):
    """A mail that waited to be delivered was thrown away."""

    mail_id: str
    kind: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class ApiKeyCreated(Event):
    """An API key was made. `user_id` is its owner, a user or a service account; `by` is who made it, None for an operator at
    the command line."""

    key_id: str
    by: str | None


@dataclass(frozen=True, slots=True)
class ApiKeyRotated(Event):
    """An API key has a successor, and ends when their overlap does."""

    key_id: str
    successor_id: str
    by: str | None


@dataclass(frozen=True, slots=True)
class ApiKeyRevoked(Event):
    """An API key was ended: by its owner, by an administrator, with its service account, or when its successor was rotated."""

    key_id: str
    by: str | None


@dataclass(frozen=True, slots=True)
class ServiceAccountCreated(Event):
    """A service account was made."""

    account_id: str
    by: str | None


@dataclass(frozen=True, slots=True)
class ServiceAccountDisabled(Event):
    """A service account was disabled for good, and its keys were ended."""

    account_id: str
    by: str | None
