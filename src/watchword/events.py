"""What an application can react to: `auth.on(LoggedIn, handler)`. Each event is a fact, told after the commit."""

from watchword.core.events import (
    Event,
    KeyPublished,
    KeyRetired,
    KeysResealed,
    LoggedIn,
    LoginFailed,
    PasswordChanged,
    RefreshTokenReused,
    Registered,
    ScopesChanged,
    SessionClosed,
    SessionsEnded,
    StateRewound,
    UserDeleted,
    UserDisabled,
    UserEnabled,
)

__all__ = [
    "Event",
    "KeyPublished",
    "KeyRetired",
    "KeysResealed",
    "LoggedIn",
    "LoginFailed",
    "PasswordChanged",
    "RefreshTokenReused",
    "Registered",
    "ScopesChanged",
    "SessionClosed",
    "SessionsEnded",
    "StateRewound",
    "UserDeleted",
    "UserDisabled",
    "UserEnabled",
]
