"""What a type checker knows of an application with users of its own. Checked by mypy --strict and pyright, never run."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_type

from watchword import Auth, Session, User
from watchword.core.models import Credentials, Revoked
from watchword.events import LoggedIn
from watchword.ports import Added, Ending, NewUser, Users


@dataclass(frozen=True)
class Person:
    """A host's own class: what the house reads, and one thing more."""

    id: str
    email: str
    username: str | None
    scopes: frozenset[str]
    created_at: datetime
    disabled: bool
    epoch: int
    full_name: str


class People:
    """A host's own table, in types alone."""

    async def add(self, user: NewUser) -> Added:
        raise NotImplementedError

    async def find(self, identifier: str) -> Credentials[Person] | None:
        raise NotImplementedError

    async def get(self, user_id: str) -> Credentials[Person] | None:
        raise NotImplementedError

    async def page(self, after: str, limit: int) -> Sequence[Credentials[Person]]:
        raise NotImplementedError

    async def set_password(
        self,
        user_id: str,
        new_hash: str,
        now: datetime,
        *,
        ending: Ending,
        keep: str | None = None,
        replacing: str | None = None,
    ) -> tuple[Revoked, ...] | None:
        raise NotImplementedError

    async def set_scopes(
        self, user_id: str, scopes: frozenset[str], now: datetime, *, replacing: frozenset[str] | None = None
    ) -> tuple[Revoked, ...] | None:
        raise NotImplementedError

    async def set_disabled(self, user_id: str, disabled: bool, now: datetime) -> tuple[Revoked, ...] | None:
        raise NotImplementedError

    async def remove(self, user_id: str, now: datetime) -> tuple[Revoked, ...] | None:
        raise NotImplementedError


def tenant(session: Session) -> Mapping[str, Any]:
    return {"tenant": session.user_id}


async def note(event: LoggedIn) -> None:
    assert_type(event.session_id, str)


people: Users[Person] = People()

ours = Auth()
assert_type(ours, Auth[User])
assert_type(ours.user, Callable[..., Awaitable[User]])

theirs = Auth(users=People(), claims=tenant)
assert_type(theirs, Auth[Person])
assert_type(theirs.user, Callable[..., Awaitable[Person]])


async def use() -> None:
    assert_type((await theirs.user()).full_name, str)


theirs.on(LoggedIn, note)


@theirs.on(LoggedIn)
async def again(event: LoggedIn) -> None:
    assert_type(event, LoggedIn)


def unlike(event: int) -> None: ...


theirs.on(LoggedIn, unlike)  # type: ignore[arg-type]
Auth(users=object())  # type: ignore[arg-type]
