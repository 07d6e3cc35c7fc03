"""A rehearsal on the test's own event loop, for tests that are coroutines under whatever plugin runs them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchword.auth import Auth
from watchword.core.errors import ConfigError
from watchword.core.models import Account, Tokens
from watchword.flows import session
from watchword.testing import stage
from watchword.testing.clock import FrozenClock
from watchword.testing.stage import PASSWORD, Carrier, Entrance

try:
    import httpx2
except ModuleNotFoundError as _missing:
    raise ConfigError(
        "watchword.testing: the asynchronous client is httpx2's. Add it to what your tests need: pip install httpx2"
    ) from _missing


class AsyncSignedIn(Carrier, httpx2.AsyncClient):
    """An asynchronous client that sends the access token of its session with every request."""

    def __init__(self, rehearsal: "AsyncRehearsal", entrance: Entrance) -> None:
        super().__init__(transport=rehearsal.transport(), base_url=rehearsal.client.base_url)
        self._rehearsal = rehearsal
        self.user: Account = entrance.user
        self.session_id: str = entrance.session_id
        self._carry(entrance.tokens)

    async def refresh(self) -> None:
        """Turn the refresh token and carry the new pair. Raises InvalidGrant when the session has ended."""
        self._carry(await session.refresh(await self._rehearsal.auth.open(), self.refresh_token, None))

    async def log_out(self) -> None:
        """End the session. The client goes on sending its token, which is dead now."""
        await session.close(await self._rehearsal.auth.open(), self.session_id)

    def _carry(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.headers.update(self.bearer)


class AsyncRehearsal:
    """An application on the stage: its clock, a `client` that nobody is signed in with, and any number who are."""

    def __init__(self, app: ASGIApp, auth: Auth, clock: FrozenClock, state: Mapping[str, Any], base_url: str) -> None:
        self.auth: Auth = auth
        self.clock: FrozenClock = clock
        self._app = _WithState(app, state)
        self.client: httpx2.AsyncClient = httpx2.AsyncClient(transport=self.transport(), base_url=base_url)
        self._signed_in: list[httpx2.AsyncClient] = [self.client]

    async def signed_in(
        self,
        user: str | Account,
        *,
        scopes: Iterable[str] | None = None,
        methods: Collection[str] = PASSWORD,
        age: timedelta | float = 0,
    ) -> AsyncSignedIn:
        """A client that is signed in as this user. See `Rehearsal.signed_in`."""
        entrance = await stage.sign_in(await self.auth.open(), user, scopes, methods, age)
        client = AsyncSignedIn(self, entrance)
        self._signed_in.append(client)
        return client

    async def add_user(
        self, email: str, password: str | None = None, *, username: str | None = None, scopes: Iterable[str] = ()
    ) -> Account:
        """An account. With a password it can sign in through the form, at next to no cost."""
        return await stage.add_user(await self.auth.open(), email, password, username, scopes)

    def transport(self) -> httpx2.ASGITransport:
        """A way into the application, for a client with other headers or another base URL."""
        return httpx2.ASGITransport(self._app)

    async def close(self) -> None:
        """Let the clients go."""
        for client in self._signed_in:
            await client.aclose()


class _WithState:
    """What the lifespan yields stands in every request's state, as a server puts it there."""

    def __init__(self, app: ASGIApp, state: Mapping[str, Any]) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "state": dict(self._state)}, receive, send)


@contextlib.asynccontextmanager
async def async_rehearsal(
    app: ASGIApp, *, clock: FrozenClock | None = None, base_url: str = "http://testserver"
) -> AsyncIterator[AsyncRehearsal]:
    """The same as `rehearsal`, on the running event loop. Its clients speak HTTP; WebSockets are for `rehearsal`.

    The lifespan runs in a task of its own, so that a fixture may open and close this from two tasks.
    """
    auth, clock = stage.auth_of(app), clock or FrozenClock()
    with stage.deployment(auth, clock):
        async with _lifespan(app) as state:
            opened = AsyncRehearsal(app, auth, clock, state, base_url)
            try:
                yield opened
            finally:
                await opened.close()


@contextlib.asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncIterator[dict[str, Any]]:
    """The server's side of the ASGI lifespan; gives the state. What the application raises is raised here."""
    state: dict[str, Any] = {}
    said: asyncio.Queue[Message] = asyncio.Queue()
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def hear(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set_result(None)

    async def run() -> None:
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}, said.get, hear)

    running = asyncio.create_task(run())
    said.put_nowait({"type": "lifespan.startup"})
    try:
        await asyncio.wait({started, running}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            await running
        yield state
    finally:
        said.put_nowait({"type": "lifespan.shutdown"})
        if not started.done():
            running.cancel()
        await asyncio.wait([running])
    await running
