"""What both kinds of rehearsal stand on: the application's Auth, a deployment for one test, and signing in for real."""

import contextlib
import functools
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread

from watchword.auth import Auth
from watchword.core import jose, tokens
from watchword.core.clock import system_entropy
from watchword.core.errors import ConfigError
from watchword.core.models import Account, Client, Proof, Tokens
from watchword.core.passwords import Argon2Parameters
from watchword.core.scopes import covers
from watchword.flows import accounts, session
from watchword.flows.kit import Kit
from watchword.ports import Added, NewUser
from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.testing.clock import FrozenClock

CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)
"""The least that Argon2 does: a login through the form costs no time, and everything else is as in production."""

PASSWORD = frozenset({"pwd"})
HERE = Client(user_agent="watchword.testing", ip=None)


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who was signed in, and what they carry."""

    user: Account
    session_id: str
    tokens: Tokens


class Carrier:
    """What a signed-in client tells of itself: the user, the session, and the tokens that it has now."""

    user: Account
    session_id: str
    _tokens: Tokens

    @property
    def access_token(self) -> str:
        """What it sends as `Authorization: Bearer …`."""
        return self._tokens.access_token

    @property
    def refresh_token(self) -> str:
        """What `refresh` turns."""
        return self._tokens.refresh_token

    @property
    def scopes(self) -> frozenset[str]:
        """What the access token allows."""
        return self._tokens.scopes

    @property
    def bearer(self) -> dict[str, str]:
        """The header with which another client is taken for this one."""
        return {"Authorization": f"Bearer {self.access_token}"}


def auth_of(app: Any) -> Auth:
    """The Auth of this application, or of one that is mounted in it. Raises ConfigError for none and for two."""
    if isinstance(app, Auth):
        raise ConfigError("a rehearsal is given the application, not its Auth: rehearsal(app).")
    found = {id(auth): auth for auth in _auths(app, set())}
    if not found:
        raise ConfigError(
            f"{_name(app)} has no Auth: nothing below it has been given to auth.install(app). Is this the right application?"
        )
    if len(found) > 1:
        raise ConfigError(
            f"{_name(app)} holds {len(found)} applications with an Auth of their own, and a rehearsal is of one. "
            "Give it the mounted application that you mean."
        )
    return next(iter(found.values()))


def _auths(app: Any, seen: set[int]) -> Iterator[Auth]:
    """Those at `app.state.watchword`, where `install` leaves them, through mounts and middleware around an application."""
    if app is None or id(app) in seen:
        return
    seen.add(id(app))
    auth = getattr(getattr(app, "state", None), "watchword", None)
    if isinstance(auth, Auth):
        yield auth
    for inner in (getattr(app, "app", None), *(getattr(app, "routes", None) or ())):
        yield from _auths(inner, seen)


def _name(app: Any) -> str:
    return f"the application {getattr(app, 'title', None) or type(app).__name__!r}"


@contextlib.contextmanager
def deployment(auth: Auth, clock: FrozenClock) -> Iterator[None]:
    """Put the Auth on a temporary SQLite file, the test's clock and cheap passwords, and back at the end."""
    with tempfile.TemporaryDirectory(prefix="watchword-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        path = folder / "watchword.db"
        path.write_bytes(template())
        settings = auth.settings.elsewhere(folder, f"sqlite:///{path}", master_key())
        with auth.rehearse(settings, clock, CHEAP):
            try:
                yield
            finally:
                if auth.started:  # on first use, where no lifespan of the Auth's own application ran
                    with anyio.from_thread.start_blocking_portal() as portal:
                        portal.call(auth.stop)


@functools.cache
def template() -> bytes:
    """A migrated SQLite file, made once: a test starts from its copy."""
    with tempfile.TemporaryDirectory(prefix="watchword-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "template.db"
        with anyio.from_thread.start_blocking_portal() as portal:
            portal.call(_migrated, f"sqlite:///{path}")
        return path.read_bytes()


async def _migrated(url: str) -> None:
    db = Database(url)
    db.settle(here=True)
    await migrate.upgrade(db)
    await db.close()


@functools.cache
def master_key() -> str:
    """One for all rehearsals of this process: an `engine` of the application may outlive a test."""
    return jose.b64encode(system_entropy(32))


async def sign_in(
    kit: Kit, whom: str | Account, scopes: Iterable[str] | None, methods: Collection[str], age: timedelta | float
) -> Entrance:
    """Open a session by the real flow, for a user who is made if missing. No password is hashed; nothing else is spared.

    With `scopes` the session has exactly these, and the user is allowed them; without it has all that the user may.
    Raises ConfigError for who can't sign in.
    """
    asked = None if scopes is None else _words(scopes)
    user = await _user(kit, whom, asked or frozenset())
    if user.disabled:
        raise ConfigError(f"{user.email} is disabled, so nobody can sign in as this user.")
    ago = age if isinstance(age, timedelta) else timedelta(seconds=age)
    proof = Proof(user, _words(methods), auth_time=kit.clock.now() - ago)
    opened = await session.open(kit, proof, asked, HERE)
    return Entrance(user, tokens.read_refresh(opened.refresh_token, kit.keyring.ring).session_id, opened)


async def add_user(kit: Kit, email: str, password: str | None, username: str | None, scopes: Iterable[str]) -> Account:
    """An account; without a password nobody signs in to it through the form."""
    if password is not None:
        return await accounts.add(kit, email, password, username, _words(scopes))
    return await _add(kit, NewUser(kit.new_id(), email, username, None, _words(scopes), kit.clock.now()))


async def _user(kit: Kit, whom: str | Account, scopes: frozenset[str]) -> Account:
    """The account as it is now, with at least these scopes."""
    found = await (kit.users.find(whom) if isinstance(whom, str) else kit.users.get(whom.id))
    if found is not None:
        if covers(found.user.scopes, scopes):
            return found.user
        await accounts.grant(kit, found.user.id, scopes)
        return await accounts.find(kit, found.user.id)
    if not isinstance(whom, str):
        raise ConfigError(f"there is no user {whom.email} here any more; a rehearsal begins with an empty database.")
    email, username = (whom, None) if "@" in whom else (f"{whom}@example.com", whom)
    return await _add(kit, NewUser(kit.new_id(), email, username, None, scopes, kit.clock.now()))


async def _add(kit: Kit, user: NewUser) -> Account:
    added = await kit.users.add(user)
    if added is not Added.ADDED:
        raise ConfigError(f"{user.email} can't be made: the {added.value.replace('_taken', '')} is taken.")
    return await accounts.find(kit, user.email)


def _words(scopes: Iterable[str]) -> frozenset[str]:
    """A set of words; a single text names them with spaces between, as everywhere."""
    return frozenset(scopes.split() if isinstance(scopes, str) else scopes)
