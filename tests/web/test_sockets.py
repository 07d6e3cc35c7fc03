"""The same guards in front of WebSocket routes, and what becomes of an open socket when its token dies."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import jwt
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket, WebSocketDisconnect
from fastapi.testclient import TestClient
from starlette.types import Message
from tests.house import ADA, OTHER_PASSWORD, PASSWORD, PATIENCE, House, Login, Socket, make_auth, open_house

from watchword import Principal, User
from watchword.core.errors import Unavailable
from watchword.core.models import Revoked
from watchword.flows import accounts, authenticate
from watchword.web.lines import Line, Lines

ANSWERS: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
"""A server that can answer a handshake with a response of HTTP, as uvicorn can."""


@pytest.fixture
async def login(house: House) -> Login:
    furnish(house)
    await house.register()
    await house.grant(ADA, "chat")
    return await house.login()


@pytest.fixture
def ends(house: House) -> list[int]:
    """The codes with which the host's handler saw its sockets end."""
    ends: list[int] = []
    house.app.state.ends = ends
    return ends


def furnish(house: House) -> None:
    app, auth = house.app, house.auth
    app.state.ends = []

    @app.websocket("/echo")
    async def echo(socket: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
        await socket.accept()
        await socket.send_text(who.user_id)
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect as gone:
            app.state.ends.append(gone.code)

    @app.websocket("/push")
    async def push(socket: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text("tick")
                await asyncio.sleep(0)
        except WebSocketDisconnect as gone:
            app.state.ends.append(gone.code)

    @app.websocket("/row")
    async def row(socket: WebSocket, user: Annotated[User, Depends(auth.user)]) -> None:
        await socket.accept()
        await socket.send_text(user.email)

    @app.websocket("/chat")
    async def chat(socket: WebSocket, who: Annotated[Principal, Depends(auth.requires("chat", max_age=300))]) -> None:
        await socket.accept()
        await socket.send_text("welcome")

    @app.websocket("/admin")
    async def admin(socket: WebSocket, who: Annotated[Principal, Security(auth.principal, scopes=["admin"])]) -> None:
        await socket.accept()

    @app.websocket("/open")
    async def free(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())

    @app.websocket("/chosen")
    async def chosen(socket: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
        await socket.accept(subprotocol="chat.v2")


async def until_closed(socket: Socket) -> Message:
    """The close message, after whatever was still on the way."""
    while (message := await socket.next())["type"] == "websocket.send":
        pass
    return message


async def greeted(socket: Socket) -> None:
    await socket.accepted()
    assert (await socket.next())["type"] == "websocket.send"


def assert_cut(message: Message) -> None:
    assert (message["type"], message["code"]) == ("websocket.close", 4401)


class TestTheHandshake:
    async def test_a_header_lets_in(self, house: House, login: Login) -> None:
        async with house.socket("/echo", login) as socket:
            assert (await socket.accepted()).get("subprotocol") is None
            await socket.next()
            await socket.say("hello")
            assert (await socket.next())["text"] == "hello"

    async def test_a_browser_says_it_in_the_subprotocols_and_hears_bearer(self, house: House, login: Login) -> None:
        """RFC 6455 4.2.2: a browser hangs up when none of the subprotocols that it offered comes back."""
        async with house.socket("/echo", subprotocols=("bearer", login.access)) as socket:
            assert (await socket.accepted())["subprotocol"] == "bearer"

    async def test_the_token_itself_never_comes_back(self, house: House, login: Login) -> None:
        """A server that picks the last subprotocol would send the token in its answer's header."""
        async with house.socket("/echo", subprotocols=("Bearer", login.access)) as socket:
            assert login.access not in str(await socket.accepted())

    async def test_a_subprotocol_that_the_host_chooses_is_left(self, house: House, login: Login) -> None:
        async with house.socket("/chosen", login) as socket:
            assert (await socket.accepted())["subprotocol"] == "chat.v2"

    async def test_the_user_and_the_requirements_work_too(self, house: House, login: Login) -> None:
        async with house.socket("/row", login) as socket:
            await socket.accepted()
            assert (await socket.next())["text"] == ADA
        async with house.socket("/chat", login) as socket:
            await greeted(socket)

    async def test_without_a_token_it_is_refused(self, house: House, login: Login) -> None:
        async with house.socket("/echo") as socket:
            assert (await socket.next()) == {"type": "websocket.close", "code": 4401, "reason": ""}
            assert (await socket.next())["type"] == "returned"

    @pytest.mark.parametrize(
        ("path", "headers", "status", "challenge"),
        [
            ("/echo", [], 401, b'Bearer realm="watchword"'),
            ("/echo", [(b"authorization", b"Bearer x")], 401, b"invalid_token"),
            ("/echo", [(b"authorization", b"Bearer \xff\x00")], 401, b"invalid_token"),
            ("/admin", None, 403, b'scope="admin"'),
        ],
    )
    async def test_a_server_that_can_answers_with_the_challenge(
        self,
        house: House,
        login: Login,
        path: str,
        headers: list[tuple[bytes, bytes]] | None,
        status: int,
        challenge: bytes,
    ) -> None:
        holder = login if headers is None else None
        async with house.socket(path, holder, headers=headers or [], **ANSWERS) as socket:
            start = await socket.next()
            assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
            assert challenge in dict(start["headers"])[b"www-authenticate"]
            assert b'"code"' in (await socket.next())["body"]

    async def test_an_old_authentication_is_refused(self, house: House, login: Login) -> None:
        house.clock.tick(301)
        async with house.socket("/chat", login, **ANSWERS) as socket:
            start = await socket.next()
            assert b'max_age="300"' in dict(start["headers"])[b"www-authenticate"]

    async def test_a_token_in_the_query_is_not_seen(self, house: House, login: Login) -> None:
        """Queries stand in the logs of every proxy between here and the browser."""
        for name in ("token", "access_token", "authorization"):
            async with house.socket(f"/echo?{name}={login.access}") as socket:
                assert (await socket.next())["type"] == "websocket.close"

    async def test_two_tokens_are_refused(self, house: House, login: Login) -> None:
        async with house.socket("/echo", login, subprotocols=("bearer", login.access), **ANSWERS) as socket:
            assert (await socket.next())["status"] == 400

    @pytest.mark.parametrize(
        "offered",
        [
            ("bearer",),
            ("bearer", ""),
            ("", ""),
            ("bearer", "a.b.c"),
            ("bearer", "x", "y"),
            ("graphql-ws",),
            ("bearer", "\xff"),
            ("bearer", "x" * 100_000),
        ],
    )
    async def test_odd_subprotocols_are_refused_and_never_a_fault(
        self, house: House, login: Login, offered: tuple[str, ...]
    ) -> None:
        async with house.socket("/echo", subprotocols=offered, **ANSWERS) as socket:
            assert (await socket.next())["status"] == 401

    async def test_a_dead_token_is_refused(self, house: House, login: Login) -> None:
        await house.client.post("/logout", headers=login.headers)
        async with house.socket("/echo", login) as socket:
            assert (await socket.next())["type"] == "websocket.close"

    async def test_a_socket_without_a_guard_is_left_alone(self, house: House, login: Login) -> None:
        async with house.socket("/open", subprotocols=("bearer", login.access)) as socket:
            assert (await socket.accepted()).get("subprotocol") is None
            await house.client.post("/logout", headers=login.headers)
            await socket.say("still here")
            assert (await socket.next())["text"] == "still here"

    async def test_below_a_mount_it_is_refused_as_well(self, house: House, login: Login) -> None:
        """A sub-application has none of our handlers."""
        sub = FastAPI()

        @sub.websocket("/echo")
        async def echo(socket: WebSocket, who: Annotated[Principal, Depends(house.auth.principal)]) -> None:
            await socket.accept()
            with contextlib.suppress(WebSocketDisconnect):
                await socket.receive_text()

        house.app.mount("/sub", sub)
        async with house.socket("/sub/echo", **ANSWERS) as socket:
            start = await socket.next()
            assert start["status"] == 401
            assert dict(start["headers"])[b"www-authenticate"] == b'Bearer realm="watchword"'
        async with house.socket("/sub/echo") as socket:
            assert (await socket.next())["type"] in ("websocket.close", "websocket.http.response.start")
        async with house.socket("/sub/echo", login) as socket:
            await socket.accepted()
            await house.client.post("/logout", headers=login.headers)
            assert_cut(await until_closed(socket))

    async def test_a_socket_that_nobody_could_cut_is_refused(self, tmp_path: Path) -> None:
        """Without `install` there is no line to hold: such a socket would outlive its session."""
        async with open_house(tmp_path) as house:
            await house.register()
            login = await house.login()
            plain = FastAPI()

            @plain.websocket("/echo")
            async def echo(socket: WebSocket, who: Annotated[Principal, Depends(house.auth.principal)]) -> None:
                await socket.accept()

            scope = house.socket("/echo", login, **ANSWERS)._scope
            async with Socket(plain, scope) as socket:
                assert (await socket.next())["status"] == 401


class TestAnOpenSocket:
    async def logout(self, house: House, login: Login) -> None:
        await house.client.post("/logout", headers=login.headers)

    async def everywhere(self, house: House, login: Login) -> None:
        await house.client.delete("/sessions", headers=login.headers)

    async def from_the_list(self, house: House, login: Login) -> None:
        other = await house.login()
        for session in (await house.client.get("/sessions", headers=other.headers)).json():
            if not session["current"]:
                await house.client.delete(f"/sessions/{session['id']}", headers=other.headers)

    async def new_password(self, house: House, login: Login) -> None:
        other = await house.login()
        body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        await house.client.post("/change-password", json=body, headers=other.headers)

    async def new_scopes(self, house: House, login: Login) -> None:
        await house.grant(ADA, "other")

    async def disabled(self, house: House, login: Login) -> None:
        await accounts.disable(await house.kit(), await user_id(house))

    async def deleted(self, house: House, login: Login) -> None:
        await accounts.delete(await house.kit(), await user_id(house))

    async def copied(self, house: House, login: Login) -> None:
        await house.refresh(login.refresh)
        house.clock.tick(31)
        assert (await house.try_refresh(login.refresh)).status_code == 400

    async def expired(self, house: House, login: Login) -> None:
        house.clock.tick(600)

    @pytest.mark.parametrize(
        "act",
        [logout, everywhere, from_the_list, new_password, new_scopes, disabled, deleted, copied, expired],
    )
    async def test_it_is_closed_with_4401(
        self, either: House, act: Callable[[Any, House, Login], Awaitable[None]]
    ) -> None:
        """An open socket is a door that was checked once: without this, a thief keeps it open after the logout."""
        furnish(either)
        await either.register()
        await either.grant(ADA, "chat")
        login = await either.login()
        async with either.socket("/echo", login) as socket:
            await greeted(socket)
            await act(self, either, login)
            assert_cut(await until_closed(socket))
            assert (await socket.next())["type"] == "returned"
        assert either.app.state.ends == [4401]

    async def test_an_emergency_retirement_of_its_key_closes_it(self, house: House, login: Login) -> None:
        """Whoever has stolen a signing key must lose the sockets that he opened with tokens of his own making."""
        kit = await house.kit()
        async with house.socket("/echo", login) as socket:
            await greeted(socket)
            assert await kit.keys.retire(1, house.clock.now())
            assert_cut(await until_closed(socket))
        assert (await house.me(login)).status_code == 401
        assert (await house.me(await house.login())).status_code == 200

    async def test_the_sockets_of_others_stay(self, house: House, login: Login) -> None:
        other = await house.login()
        async with house.socket("/echo", login) as one, house.socket("/echo", other) as two:
            await greeted(one)
            await greeted(two)
            await self.logout(house, login)
            assert_cut(await until_closed(one))
            await two.say("still here")
            assert (await two.next())["text"] == "still here"

    async def test_a_refresh_closes_nothing(self, house: House, login: Login) -> None:
        async with house.socket("/echo", login) as socket:
            await greeted(socket)
            refreshed = await house.refresh(login.refresh)
            await socket.say("still here")
            assert (await socket.next())["text"] == "still here"
            await self.logout(house, refreshed)
            assert_cut(await until_closed(socket))

    async def test_a_handler_that_only_sends_is_stopped(self, house: House, login: Login) -> None:
        async with house.socket("/push", login) as socket:
            await greeted(socket)
            await self.logout(house, login)
            assert_cut(await until_closed(socket))
            assert (await socket.next())["type"] == "returned"
        assert house.app.state.ends == [1006]

    async def test_the_logout_of_another_worker_closes_it(self, tmp_path: Path, database_url: str) -> None:
        async with (
            open_house(tmp_path, database_url=database_url) as here,
            open_house(tmp_path, database_url=database_url, clock=here.clock) as there,
        ):
            furnish(there)
            await here.register()
            login = await here.login()
            async with there.socket("/echo", login) as socket:
                await greeted(socket)
                await self.logout(here, login)
                here.clock.tick(3)  # while a feed is silent, the database is asked
                assert_cut(await until_closed(socket))

    async def test_when_nobody_can_say_it_is_closed(
        self, house: House, login: Login, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever cuts a worker from its database must not keep his socket."""

        async def away(*_: object) -> bool:
            raise Unavailable("the database failed")

        async with house.socket("/echo", login) as socket:
            await greeted(socket)
            kit = await house.kit()
            monkeypatch.setattr(kit.revocations, "ask", away)
            monkeypatch.setattr(kit.revocations, "fresh", lambda: False)
            assert_cut(await until_closed(socket))

    async def test_a_fault_in_the_looking_closes_it(
        self, house: House, login: Login, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A fault that nobody foresaw must not leave a socket open that nobody looks at any more, nor end the watch of the
        others."""
        furnished = await house.login()
        async with house.socket("/echo", login) as first, house.socket("/echo", furnished) as second:
            await greeted(first)
            await greeted(second)
            with monkeypatch.context() as patched:
                patched.setattr(authenticate, "still_good", broken)
                (await house.kit()).revocations.apply([Revoked(sid(login), 0, house.clock.timestamp() + 600)])
                assert_cut(await until_closed(first))
            await house.client.post("/logout", headers=furnished.headers)
            assert_cut(await until_closed(second))
        assert "an open socket can't be checked, so it is closed" in caplog.text

    async def test_a_logout_before_the_handler_accepts_refuses_the_handshake(self, house: House, login: Login) -> None:
        at_the_door, go_on = asyncio.Event(), asyncio.Event()

        @house.app.websocket("/slow")
        async def slow(socket: WebSocket, who: Annotated[Principal, Depends(house.auth.principal)]) -> None:
            at_the_door.set()
            await go_on.wait()
            await socket.accept()
            try:
                await socket.receive_text()
            except WebSocketDisconnect as gone:
                house.app.state.ends.append(gone.code)

        async with house.socket("/slow", login) as socket:
            await at_the_door.wait()
            await self.logout(house, login)
            assert_cut(await socket.next())
            go_on.set()
            assert (await socket.next())["type"] == "returned"
        assert house.app.state.ends == [4401]

    async def test_when_the_handler_has_ended_nobody_watches_any_more(self, house: House, login: Login) -> None:
        async with house.socket("/row", login) as socket:
            await socket.accepted()
        lines = house.auth.principal._switchboard._by_loop[asyncio.get_running_loop()]
        assert lines._lines == set()
        assert lines._task is None

    async def test_a_message_that_comes_while_the_handler_stops_waiting_is_not_lost(
        self, house: House, login: Login
    ) -> None:
        """`asyncio.timeout` around `receive`: the message may arrive in the very moment in which the timeout strikes."""
        kit = await house.kit()
        access = kit.cache.get(login.access) or await _access(house, login)
        for steps in range(8):
            messages: asyncio.Queue[Message] = asyncio.Queue()
            line = Line(messages.get, messages.put)
            line.access = access
            messages.put_nowait({"type": "websocket.connect"})
            await line.receive()
            waiting = asyncio.create_task(line.receive())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            messages.put_nowait({"type": "websocket.receive", "text": "hello"})
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                message = await waiting
            except asyncio.CancelledError:
                message = await asyncio.wait_for(line.receive(), PATIENCE)
            assert message["text"] == "hello"
            line.done()

    async def test_a_server_that_fails_while_the_handler_ends_is_nobody_s_fault(
        self, house: House, login: Login
    ) -> None:
        """What `receive` raises behind a handler that stopped listening is nobody's any more: not a line in the log."""
        loop, untold = asyncio.get_running_loop(), list[Any]()
        loop.set_exception_handler(lambda _, context: untold.append(context))
        connect, fails = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            if not connect.is_set():
                connect.set()
                return {"type": "websocket.connect"}
            await fails.wait()
            raise ConnectionResetError

        async def send(_: Message) -> None: ...

        line = Line(receive, send)
        line.access = await _access(house, login)
        await line.receive()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(line.receive(), 0.001)
        fails.set()
        for _ in range(3):
            await asyncio.sleep(0)
        line.done()
        del line
        gc.collect()
        assert untold == []


async def broken(*_: object) -> None:
    raise ZeroDivisionError


def sid(login: Login) -> str:
    return str(jwt.decode(login.access, options={"verify_signature": False})["sid"])


class TestTheWatch:
    """One task watches all sockets of an event loop. It must neither sleep through a change nor be held up."""

    def line(self, cut: "asyncio.Queue[str]", name: str, access: Any) -> Line:
        async def receive() -> Message:
            return await asyncio.Queue[Message]().get()

        async def send(message: Message) -> None:
            await cut.put(name)

        line = Line(receive, send)
        line.access = access
        return line

    async def test_a_socket_that_comes_as_the_last_one_goes_is_watched(self, house: House, login: Login) -> None:
        """The watch ends with the last socket; whoever enters in that moment must not be forgotten until `exp`."""
        kit, access, cut = await house.kit(), await _access(house, login), asyncio.Queue[str]()
        lines = Lines(kit)
        first, second = self.line(cut, "first", access), self.line(cut, "second", access)
        lines.add(first, access.principal.session_id)
        await asyncio.sleep(0)
        lines.remove(first)
        lines.add(second, access.principal.session_id)
        await asyncio.sleep(0)
        await house.client.post("/logout", headers=login.headers)
        assert await _next(cut) == "second"

    async def test_a_session_that_ended_before_the_watch_listens_is_noticed(self, house: House, login: Login) -> None:
        """Between the guard's look and the watch's first moment the feed's thread may bring the end of the session."""
        kit, access, cut = await house.kit(), await _access(house, login), asyncio.Queue[str]()
        await house.client.post("/logout", headers=login.headers)
        Lines(kit).add(self.line(cut, "only", access), access.principal.session_id)
        assert await _next(cut) == "only"

    async def test_a_client_that_does_not_answer_holds_up_nobody(self, house: House, login: Login) -> None:
        """Closing waits for the client. A hundred clients that do not answer would keep every other socket open."""
        kit, access, cut = await house.kit(), await _access(house, login), asyncio.Queue[str]()
        lines, never = Lines(kit), asyncio.Event()

        async def hang(message: Message) -> None:
            await never.wait()

        for number in range(3):
            deaf = self.line(cut, f"deaf {number}", access)
            deaf._send = hang
            lines.add(deaf, access.principal.session_id)
        lines.add(self.line(cut, "good", access), access.principal.session_id)
        await house.client.post("/logout", headers=login.headers)
        assert await _next(cut) == "good"
        never.set()


async def _access(house: House, login: Login) -> Any:
    assert (await house.me(login)).status_code == 200
    access = (await house.kit()).cache.get(login.access)
    assert access is not None
    return access


async def _next(cut: "asyncio.Queue[str]") -> str:
    return await asyncio.wait_for(cut.get(), PATIENCE)


async def user_id(house: House) -> str:
    found = await (await house.kit()).users.find(ADA)
    assert found is not None
    return found.user.id


class TestWithTheTestClientOfTheEcosystem:
    @pytest.mark.parametrize("entered", [True, False], ids=["with", "without with"])
    def test_a_socket_opens_speaks_and_is_closed(self, tmp_path: Path, entered: bool) -> None:
        app = FastAPI()
        auth = make_auth(tmp_path)
        auth.install(app)

        @app.websocket("/echo")
        async def echo(socket: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
            await socket.accept()
            with contextlib.suppress(WebSocketDisconnect):
                while True:
                    await socket.send_text(await socket.receive_text())

        client = TestClient(app)
        with client if entered else contextlib.nullcontext():
            client.post("/register", json={"email": ADA, "password": PASSWORD})
            token = client.post("/login", data={"username": ADA, "password": PASSWORD}).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            with pytest.raises(WebSocketDisconnect), client.websocket_connect("/echo"):
                pass
            with client.websocket_connect("/echo", headers=headers) as socket:
                socket.send_text("hello")
                assert socket.receive_text() == "hello"
                client.post("/logout", headers=headers)
                with pytest.raises(WebSocketDisconnect) as gone:
                    socket.receive_text()
                assert gone.value.code == 4401
        asyncio.run(auth.stop())
