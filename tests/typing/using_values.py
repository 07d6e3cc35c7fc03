"""What an application's author sees of a `Principal`, a `User` and a `Session`. Checked by mypy and pyright, never run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_type

from watchword import AuthError, ConfigError, Principal, Session, User


def reads(who: Principal, user: User, session: Session) -> None:
    assert_type(who.user_id, str)
    assert_type(who.session_id, str)
    assert_type(who.scopes, frozenset[str])
    assert_type(who.methods, frozenset[str])
    assert_type(who.auth_time, int)
    assert_type(who.claims, Mapping[str, Any])
    assert_type(user.username, str | None)
    assert_type(user.disabled, bool)
    assert_type(session.expires_at, datetime)


def changes_nothing(who: Principal, user: User) -> None:
    who.user_id = "another"  # type: ignore[misc]
    who.claims["sub"] = "another"  # type: ignore[index]
    user.scopes.add("admin")  # type: ignore[attr-defined]


def refusals(error: AuthError) -> None:
    assert_type(error.code, str)
    assert_type(error.status, int)
    assert_type(error.detail, str)
    assert_type(error.because, str)
    weak: ValueError = ConfigError("a start that is refused")
    raise weak


def misspelt() -> None:
    from watchword import Principle  # type: ignore[attr-defined]  # noqa: F401
