"""An application with Watchword in it, a client at its door, and a clock that stands still."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
from fastapi import FastAPI
from sqlalchemy import event
from starlette.types import Message, Receive, Scope, Send
from tests import databases

from watchword import Auth, Feature, Settings
from watchword.core.passwords import Argon2Parameters
from watchword.flows.kit import Kit
from watchword.flows.recording import Recorder
from watchword.stores.sql import hot
from watchword.testing import FrozenClock

CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)
ADA = "ada@example.com"
BOB = "bob@example.com"
PASSWORD = "seven lanterns over the harbour"
OTHER_PASSWORD = "nine kettles beneath the orchard"
PATIENCE = 20.0
"""Seconds after which a test that waits for news gives up. No test asserts a time."""


@dataclass(frozen=True)
class Login:
    """What a client keeps after it has signed in."""

    access: str
    refresh: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    @property
    def session_id(self) -> str:
        return self.refresh.removeprefix("wwr_").partition(".")[0]


@dataclass(frozen=True)
class House:
    """A started application, and its one client."""

    app: FastAPI
    auth: Auth
    clock: FrozenClock
    client: httpx2.AsyncClient
    prefix: str = ""

    async def kit(self) -> Kit:
        return await self.auth.open()

    async def written(self) -> None:
        """Until all that has happened is in the audit log, so that nothing is written beside what comes next."""
        await (await self.kit()).recorder.drain()

    async def register(self, email: str = ADA, password: str = PASSWORD, username: str | None = None) -> str:
        """Make an account through the front door; its id."""
        body = {"email": email, "password": password, "username": username}
        answer = await self.client.post(f"{self.prefix}/register", json=body)
        assert answer.status_code == 202, answer.text
        found = await (await self.kit()).users.find(email)
        assert found is not None
        return found.user.id

    async def grant(self, email: str, *scopes: str) -> None:
        """Set what the user may do, as an operator does."""
        kit = await self.kit()
        found = await kit.users.find(email)
        assert found is not None
        kit.revocations.apply(await kit.users.set_scopes(found.user.id, frozenset(scopes), self.clock.now()) or ())

    async def login(
        self, name: str = ADA, password: str = PASSWORD, scope: str = "", headers: Mapping[str, str] | None = None
    ) -> Login:
        form = {"username": name, "password": password, "scope": scope}
        return kept(await self.client.post(f"{self.prefix}/login", data=form, headers=headers))

    async def try_login(self, name: str = ADA, password: str = PASSWORD, **more: str) -> httpx2.Response:
        form = {"username": name, "password": password, **more}
        return await self.client.post(f"{self.prefix}/login", data=form)

    async def try_refresh(self, refresh_token: str, **more: str) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **more}
        return await self.client.post(f"{self.prefix}/refresh", data=form)

    async def refresh(self, refresh_token: str, **more: str) -> Login:
        return kept(await self.try_refresh(refresh_token, **more))

    async def me(self, login: Login) -> httpx2.Response:
        return await self.client.get(f"{self.prefix}/me", headers=login.headers)

    @contextlib.contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL that runs inside the block, without what the audit log is written with beside it."""
        assert self.auth._home is not None
        engine = self.auth._home.db.engine.sync_engine
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "watchword_audit" not in statement:
                seen.append(statement)

        async def sealed_later(_recorder: Recorder) -> bool:
            return True

        arguments = hot.Prepared.arguments

        def prepared(statement: hot.Prepared, values: Any) -> list[Any]:
            note(None, None, statement.sql)
            return arguments(statement, values)

        event.listen(engine, "before_cursor_execute", note)
        with (
            mock.patch.object(hot.Prepared, "arguments", prepared),  # it goes to the driver without SQLAlchemy
            mock.patch.object(Recorder, "_seal_all", sealed_later),
        ):
            try:
                yield seen
            finally:
                event.remove(engine, "before_cursor_execute", note)

    def let_go(self) -> None:
        """Hang up what is kept for logins and refreshes: the next connections come from the pool."""
        assert self.auth._home is not None
        for kept in self.auth._home.db.kept.values():
            kept.let_go()

    def socket(
        self, path: str, login: Login | None = None, *, subprotocols: tuple[str, ...] = (), **more: Any
    ) -> "Socket":
        """A WebSocket to this application, on the test's own event loop."""
        headers = [(b"host", b"testserver"), *more.pop("headers", ())]
        if login is not None:
            headers.append((b"authorization", f"Bearer {login.access}".encode()))
        path, _, query = path.partition("?")
        return Socket(
            self.app,
            {
                "type": "websocket",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "scheme": "ws",
                "http_version": "1.1",
                "path": path,
                "raw_path": path.encode(),
                "query_string": query.encode(),
                "root_path": "",
                "headers": headers,
                "subprotocols": list(subprotocols),
                "client": ("203.0.113.7", 50000),
                "server": ("testserver", 80),
                "state": {},
                "extensions": {},
                **more,
            },
        )


class Socket:
    """The other end of a WebSocket: what a server and a browser do together."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], scope: dict[str, Any]) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._app = app
        self._scope = scope
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Socket":
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(
            _until_done(self._app(self._scope, self._to_app.get, self._from_app.put), self._from_app)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(self._task, PATIENCE)

    async def next(self) -> Message:
        """What the application sends next; `{"type": "returned"}` when it is done."""
        return await asyncio.wait_for(self._from_app.get(), PATIENCE)

    async def say(self, text: str) -> None:
        await self._to_app.put({"type": "websocket.receive", "text": text})

    async def accepted(self) -> Message:
        message = await self.next()
        assert message["type"] == "websocket.accept", message
        return message


async def _until_done(running: Awaitable[None], told: "asyncio.Queue[Message]") -> None:
    try:
        await running
    finally:
        await told.put({"type": "returned"})


def kept(answer: httpx2.Response) -> Login:
    assert answer.status_code == 200, answer.text
    return Login(answer.json()["access_token"], answer.json()["refresh_token"])


def make_auth(
    folder: Path, *, clock: FrozenClock | None = None, features: Iterable[Feature] = (), **settings: Any
) -> Auth:
    """An Auth with cheap passwords, whose things are in `folder`."""
    clock = clock or FrozenClock()
    return Auth(Settings(data_dir=folder / "home", **settings), clock=clock, argon2=CHEAP, features=features)


Opening = Callable[..., contextlib.AbstractAsyncContextManager[House]]
"""Takes the folder and what `open_house` takes beside it."""


@contextlib.asynccontextmanager
async def open_house(
    folder: Path,
    *,
    prefix: str = "",
    health: bool = False,
    clock: FrozenClock | None = None,
    app: FastAPI | None = None,
    base_url: str = "http://testserver",
    features: Iterable[Feature] = (),
    **settings: Any,
) -> AsyncIterator[House]:
    """A started application, and its client; it is given back at the end."""
    clock = clock or FrozenClock()
    auth = make_auth(folder, clock=clock, features=features, **settings)
    if "database_url" not in settings:
        databases.lay_out(folder / "home")
    app = app or FastAPI()
    auth.install(app, prefix, health=health)
    await auth.start()
    transport = httpx2.ASGITransport(app=app, client=("203.0.113.7", 50000))
    try:
        async with httpx2.AsyncClient(transport=transport, base_url=base_url) as client:
            yield House(app, auth, clock, client, prefix)
    finally:
        await auth.stop()
