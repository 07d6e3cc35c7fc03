"""A rehearsal of an application: its own code and settings, on a clock, a database and keys of one test."""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import Any, Protocol, Self, TypeVar

from anyio.from_thread import BlockingPortal
from starlette.types import ASGIApp

from watchword.auth import Auth
from watchword.core.errors import ConfigError
from watchword.core.models import Account, Tokens
from watchword.flows import session
from watchword.testing import stage
from watchword.testing.clock import FrozenClock
from watchword.testing.stage import PASSWORD, Carrier, Entrance

try:
    from starlette.testclient import TestClient
except (RuntimeError, ModuleNotFoundError) as _missing:
    raise ConfigError(
        "watchword.testing: Starlette's TestClient needs httpx2. Add it to what your tests need: pip install httpx2"
    ) from _missing

R = TypeVar("R")


class SignIn(Protocol):
    """The type of the fixture `signed_in`."""

    def __call__(
        self,
        user: str | Account,
        *,
        scopes: Iterable[str] | None = None,
        methods: Collection[str] = PASSWORD,
        age: timedelta | float = 0,
    ) -> "SignedIn":
        """See `Rehearsal.signed_in`."""
        ...


class SignedIn(Carrier, TestClient):
    """A client of the application that sends the access token of its session with every request and WebSocket."""

    def __init__(self, rehearsal: "Rehearsal", entrance: Entrance) -> None:
        outside = rehearsal.client
        super().__init__(outside.app, str(outside.base_url), rehearsal.raise_server_exceptions)
        # one event loop and one lifespan for all clients of a rehearsal
        self.portal: BlockingPortal | None = outside.portal
        self.app_state.update(outside.app_state)
        self._rehearsal = rehearsal
        self.user: Account = entrance.user
        self.session_id: str = entrance.session_id
        self._carry(entrance.tokens)

    def refresh(self) -> None:
        """Turn the refresh token and carry the new pair. Raises InvalidGrant when the session has ended."""
        self._carry(self._rehearsal._run(session.refresh, self.refresh_token, None))

    def log_out(self) -> None:
        """End the session. The client goes on sending its token, which is dead now."""
        self._rehearsal._run(session.close, self.session_id)

    def _carry(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.headers.update(self.bearer)

    def __enter__(self) -> Self:
        """The lifespan runs already; a `with` block changes nothing."""
        return self

    def __exit__(self, *args: Any) -> None:
        """See `__enter__`."""


class Rehearsal:
    """An application on the stage: its clock, a `client` that nobody is signed in with, and any number who are."""

    def __init__(self, auth: Auth, client: TestClient, clock: FrozenClock, *, raise_server_exceptions: bool) -> None:
        self.auth: Auth = auth
        self.client: TestClient = client
        self.clock: FrozenClock = clock
        self.raise_server_exceptions: bool = raise_server_exceptions
        self._signed_in: list[SignedIn] = []

    def signed_in(
        self,
        user: str | Account,
        *,
        scopes: Iterable[str] | None = None,
        methods: Collection[str] = PASSWORD,
        age: timedelta | float = 0,
    ) -> SignedIn:
        """A client that is signed in as this user: an address, a username, or a User of this rehearsal.

        Who is missing is made. With `scopes` the session has exactly these, and the user is allowed them; without, all
        that the user may. `methods` are the factors (`amr`), `age` is how long ago they were shown (seconds, or a
        timedelta): what `auth.requires(max_age=…, methods=…)` looks at. Raises ConfigError for who can't sign in.
        """
        entrance = self._run(stage.sign_in, user, scopes, methods, age)
        client = SignedIn(self, entrance)
        self._signed_in.append(client)
        return client

    def add_user(
        self, email: str, password: str | None = None, *, username: str | None = None, scopes: Iterable[str] = ()
    ) -> Account:
        """An account. With a password it can sign in through the form, at next to no cost."""
        return self._run(stage.add_user, email, password, username, scopes)

    def _run(self, flow: Callable[..., Awaitable[R]], *args: Any) -> R:
        """A flow, on the application's own event loop."""

        async def run() -> R:
            kit = await self.auth.open()
            return await flow(kit, *args)

        portal = self.client.portal
        if portal is None:
            raise ConfigError("the rehearsal is over.")
        return portal.call(run)


@contextlib.contextmanager
def rehearsal(
    app: ASGIApp,
    *,
    clock: FrozenClock | None = None,
    base_url: str = "http://testserver",
    raise_server_exceptions: bool = True,
) -> Iterator[Rehearsal]:
    """Run the application's lifespan on a deployment of its own: a temporary SQLite file, its own keys, the clock, cheap
    passwords. Settings, routes and dependencies are the application's; at the end everything is put back.

    Raises ConfigError when there is no Auth in the application, or more than one, or one that runs already.
    """
    auth, clock = stage.auth_of(app), clock or FrozenClock()
    with (
        stage.deployment(auth, clock),
        TestClient(app, base_url, raise_server_exceptions) as client,
    ):
        opened = Rehearsal(auth, client, clock, raise_server_exceptions=raise_server_exceptions)
        try:
            yield opened
        finally:
            for one in opened._signed_in:
                one.close()
