"""`auth.install(app)`: where the routes go, what it refuses, and how the house starts and stops with its host."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.testclient import TestClient
from starlette.routing import Host
from starlette.websockets import WebSocketDisconnect
from tests.house import ADA, PASSWORD, PATIENCE, House, make_auth, open_house

from watchword import Auth, ConfigError, Principal
from watchword.flows import accounts, upkeep

PUBLIC: dict[str, Any] = {"issuer": "https://auth.example.com", "master_keys": "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"}
Add = Callable[[FastAPI], None]


def route(path: str, method: str = "GET") -> Add:
    """A route that a host adds."""

    def add(app: FastAPI) -> None:
        @app.api_route(path, methods=[method])
        async def of_the_host() -> str:
            return "host"

    return add


def mount(path: str) -> Add:
    def add(app: FastAPI) -> None:
        app.mount(path, FastAPI())

    return add


async def start(folder: Path, before: Add | None, after: Add | None, prefix: str = "") -> None:
    """Start an application that has routes of its own before and behind ours."""
    app, auth = FastAPI(), make_auth(folder)
    if before is not None:
        before(app)
    auth.install(app, prefix)
    if after is not None:
        after(app)
    try:
        await auth.start()
    finally:
        await auth.stop()


def sign_in(client: TestClient, prefix: str = "") -> dict[str, str]:
    """Whoever registers and logs in, as a header."""
    answer = client.post(f"{prefix}/register", json={"email": ADA, "password": PASSWORD})
    assert answer.status_code == 202
    answer = client.post(f"{prefix}/login", data={"username": ADA, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


class TestThePrefix:
    async def test_it_moves_the_routes_and_leaves_the_well_known_ones(self, tmp_path: Path) -> None:
        async with open_house(tmp_path, prefix="/api/auth") as house:
            await house.register()
            login = await house.login()
            assert (await house.me(login)).status_code == 200
            assert (await house.client.get("/me", headers=login.headers)).status_code == 404
            assert (await house.client.get("/.well-known/jwks.json")).status_code == 200
            assert (await house.client.get("/api/auth/.well-known/jwks.json")).status_code == 404

    @pytest.mark.parametrize("prefix", ["auth", "/", "/auth/", "//", " /auth"])
    def test_an_odd_one_is_refused_with_an_example(self, tmp_path: Path, prefix: str) -> None:
        with pytest.raises(ConfigError, match="/auth"):
            make_auth(tmp_path).install(FastAPI(), prefix)

    def test_twice_is_refused_with_the_cure(self, tmp_path: Path) -> None:
        auth = make_auth(tmp_path).install(FastAPI())
        with pytest.raises(ConfigError, match="second Auth"):
            auth.install(FastAPI())


class TestCollisions:
    """The loser of two routes for one request is silent: a host's `/me` would answer for ours, or never be asked."""

    @pytest.mark.parametrize(
        ("before", "after", "prefix", "named"),
        [
            (route("/me"), None, "", "GET /me"),
            (None, route("/me"), "", "GET /me"),
            (route("/login", "POST"), None, "", "POST /login"),
            (route("/{page}"), None, "", "GET /{page}"),
            (route("/{kind}/{page}"), None, "/auth", "GET /{kind}/{page}"),
            (route("/{page:path}"), None, "", "GET /{page:path}"),
            (route("/{page:path}"), None, "/auth", "GET /{page:path}"),
            (route("/sessions/{number}", "DELETE"), None, "", "DELETE /sessions/{number}"),
            (None, route("/sessions/all", "DELETE"), "", "DELETE /sessions/all"),
            (route("/.well-known/jwks.json"), None, "/auth", "GET /.well-known/jwks.json"),
            (mount("/"), None, "", "/{path:path}"),
            (mount("/"), None, "/auth", "/{path:path}"),
            (mount("/auth"), None, "/auth", "/auth/{path:path}"),
        ],
    )
    async def test_one_is_refused_at_start_and_both_are_named(
        self, tmp_path: Path, before: Add | None, after: Add | None, prefix: str, named: str
    ) -> None:
        with pytest.raises(ConfigError) as refused:
            await start(tmp_path, before, after, prefix)
        text = str(refused.value)
        assert named in text
        assert "watchword.web." in text
        assert "of_the_host" in text or "FastAPI" in text
        assert "prefix=" in text

    @pytest.mark.parametrize(
        ("before", "after", "prefix"),
        [
            (route("/me"), None, "/auth"),
            (route("/me", "PUT"), None, ""),
            (route("/me/items"), None, ""),
            (route("/{number:int}"), None, ""),
            (route("/sessions/{number:int}", "DELETE"), None, ""),
            (route("/items/{page:path}"), None, ""),
            (mount("/static"), None, ""),
            (None, mount("/"), ""),
            (None, route("/{page}"), ""),
            (None, route("/{page:path}"), ""),
            (None, route("/{page:path}"), "/auth"),
            (None, route("/sessions/{rest:path}", "DELETE"), ""),
        ],
    )
    async def test_neighbours_and_a_catch_all_behind_are_fine(
        self, tmp_path: Path, before: Add | None, after: Add | None, prefix: str
    ) -> None:
        await start(tmp_path, before, after, prefix)

    async def test_what_has_no_path_takes_none(self, tmp_path: Path) -> None:
        await start(tmp_path, lambda app: app.router.routes.append(Host("api.example.com", FastAPI())), None)

    async def test_a_router_of_the_host_is_looked_into(self, tmp_path: Path) -> None:
        def included(app: FastAPI) -> None:
            router = APIRouter(prefix="/v1")
            router.add_api_route("/me", lambda: None, methods=["GET"])
            app.include_router(router)

        await start(tmp_path / "one", included, None)
        with pytest.raises(ConfigError, match="GET /v1/me"):
            await start(tmp_path / "two", included, None, "/v1")

    async def test_two_houses_in_one_application_need_two_prefixes(self, tmp_path: Path) -> None:
        app = FastAPI()
        one, two = make_auth(tmp_path / "one"), make_auth(tmp_path / "two")
        one.install(app)
        two.install(app)
        with pytest.raises(ConfigError, match="Two routes collide"):
            await one.start()
        await one.stop()

    def test_without_a_lifespan_the_first_request_tells(self, tmp_path: Path) -> None:
        app = FastAPI()
        route("/me")(app)
        make_auth(tmp_path).install(app)
        with pytest.raises(ConfigError, match="Two routes collide"):
            TestClient(app).post("/login", data={"username": "a", "password": "b"})


class TestStartingAndStopping:
    def build(self, folder: Path, **settings: Any) -> tuple[FastAPI, Auth]:
        app, auth = FastAPI(), make_auth(folder, **settings)
        auth.install(app)

        @app.get("/items")
        async def items(who: Annotated[Principal, Depends(auth.principal)]) -> str:
            return who.user_id

        return app, auth

    def test_a_test_client_that_is_entered_works(self, tmp_path: Path, database_url: str) -> None:
        app, auth = self.build(tmp_path, database_url=database_url)
        with TestClient(app) as client:
            headers = sign_in(client)
            assert client.get("/items", headers=headers).status_code == 200
        assert auth._kit is None

    def test_a_test_client_that_is_not_entered_works(self, tmp_path: Path, database_url: str) -> None:
        """It runs no lifespan, and each request on an event loop of its own."""
        app, auth = self.build(tmp_path, database_url=database_url)
        client = TestClient(app)
        headers = sign_in(client)
        assert client.get("/items", headers=headers).status_code == 200
        assert client.post("/logout", headers=headers).status_code == 204
        assert client.get("/items", headers=headers).status_code == 401
        asyncio.run(auth.stop())

    def test_several_test_clients_one_after_another_work(self, tmp_path: Path, database_url: str) -> None:
        app, auth = self.build(tmp_path, database_url=database_url)
        headers = sign_in(TestClient(app))
        for _ in range(3):
            assert TestClient(app).get("/items", headers=headers).status_code == 200
        asyncio.run(auth.stop())
        for _ in range(2):
            with TestClient(app) as client:
                assert client.get("/items", headers=headers).status_code == 200
        assert TestClient(app).get("/items", headers=headers).status_code == 200
        asyncio.run(auth.stop())

    def test_a_client_within_an_entered_one_works(self, tmp_path: Path) -> None:
        app, _ = self.build(tmp_path)
        with TestClient(app) as entered:
            headers = sign_in(entered)
            assert TestClient(app).get("/items", headers=headers).status_code == 200
            assert entered.get("/items", headers=headers).status_code == 200

    async def test_a_restart_keeps_everybody_signed_in(self, tmp_path: Path, database_url: str) -> None:
        app, auth = self.build(tmp_path, database_url=database_url)
        headers: dict[str, str] = {}
        for _ in range(3):
            async with LifespanManager(app) as manager:
                transport = httpx2.ASGITransport(app=manager.app)
                async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
                    if not headers:
                        await client.post("/register", json={"email": ADA, "password": PASSWORD})
                        answer = await client.post("/login", data={"username": ADA, "password": PASSWORD})
                        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
                    assert (await client.get("/items", headers=headers)).status_code == 200
        assert auth._kit is None

    async def test_after_a_restart_a_logout_before_it_still_holds(self, tmp_path: Path, database_url: str) -> None:
        """Revocations that live in memory alone would be forgotten by a restart, and the thief's token would live again."""
        async with open_house(tmp_path, database_url=database_url) as house:
            await house.register()
            login = await house.login()
            await house.client.post("/logout", headers=login.headers)
        async with open_house(tmp_path, database_url=database_url) as house:
            assert (await house.me(login)).status_code == 401

    def test_many_threads_that_come_first_start_one_house(self, tmp_path: Path) -> None:
        app, auth = self.build(tmp_path)
        answers: list[int] = []

        def visit() -> None:
            answers.append(TestClient(app).get("/.well-known/jwks.json").status_code)

        threads = [threading.Thread(target=visit) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 12
        keys = TestClient(app).get("/.well-known/jwks.json").json()["keys"]
        assert len(keys) == 1
        asyncio.run(auth.stop())

    async def test_the_host_s_own_lifespan_and_state_still_run(self, tmp_path: Path) -> None:
        happened: list[str] = []

        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
            happened.append("up")
            yield {"greeting": "hello"}
            happened.append("down")

        app, auth = FastAPI(lifespan=lifespan), make_auth(tmp_path)
        auth.install(app)

        @app.get("/greeting")
        async def greeting(request: Request) -> str:
            assert auth._kit is not None
            return str(request.state.greeting)

        async with LifespanManager(app) as manager:
            transport = httpx2.ASGITransport(app=manager.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
                assert (await client.get("/greeting")).json() == "hello"
            assert happened == ["up"]
        assert happened == ["up", "down"]
        assert auth._kit is None

    async def test_the_host_s_lifespan_can_use_the_house(self, tmp_path: Path) -> None:
        auth = make_auth(tmp_path)
        users: list[Any] = []

        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            users.extend(await (await auth.open()).users.page("", 10))
            users.append("asked")
            yield

        app = FastAPI(lifespan=lifespan)
        auth.install(app)
        async with LifespanManager(app):
            assert users == ["asked"]

    async def test_a_host_that_fails_to_start_leaves_nothing_behind(self, tmp_path: Path) -> None:
        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            if app.routes:
                raise RuntimeError("the host's database is away")
            yield

        app, auth = FastAPI(lifespan=lifespan), make_auth(tmp_path)
        auth.install(app)
        with pytest.raises(RuntimeError, match="database is away"):
            async with LifespanManager(app):
                raise AssertionError("it did not start")
        assert auth._kit is None

    async def test_before_the_start_there_is_nothing_to_describe(self, tmp_path: Path) -> None:
        assert make_auth(tmp_path).describe() == []

    async def test_whoever_waits_for_a_start_that_is_stopped_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        auth = make_auth(tmp_path)
        start = auth._start

        async def and_stop(*, lifespan: bool) -> None:
            await start(lifespan=lifespan)
            await auth.stop()

        monkeypatch.setattr(auth, "_start", and_stop)
        with pytest.raises(ConfigError, match="stopped while it was starting"):
            await auth.open()

    async def test_upkeep_goes_on_after_a_fault(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The task that does it every hour lives as long as the application, whatever one turn meets."""
        turns: asyncio.Queue[None] = asyncio.Queue()

        async def broken(_: object) -> upkeep.Done:
            turns.put_nowait(None)
            raise ZeroDivisionError

        monkeypatch.setattr(upkeep, "run", broken)
        monkeypatch.setattr("watchword.auth.UPKEEP_SECONDS", 0)
        app, auth = FastAPI(), make_auth(tmp_path)
        auth.install(app)
        async with LifespanManager(app):
            for _ in range(3):
                await asyncio.wait_for(turns.get(), PATIENCE)

    async def test_upkeep_goes_on_at_once_where_much_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ten minutes of each hour are too few for a database that is busy: what died in the hour was more than was pruned in
        them, and the tables grew for ever."""
        turns: asyncio.Queue[None] = asyncio.Queue()

        async def some(_: object) -> upkeep.Done:
            turns.put_nowait(None)
            return upkeep.Done(0, 0, rotated=False, left=True)

        monkeypatch.setattr(upkeep, "run", some)
        app, auth = FastAPI(), make_auth(tmp_path)
        auth.install(app)
        async with LifespanManager(app):
            for _ in range(3):
                await asyncio.wait_for(turns.get(), PATIENCE)

    async def test_stopping_twice_is_no_error(self, tmp_path: Path) -> None:
        auth = make_auth(tmp_path)
        await auth.start()
        await auth.stop()
        await auth.stop()

    def test_mounted_below_another_application_it_works_without_its_lifespan(self, tmp_path: Path) -> None:
        """Starlette runs no lifespan of a mounted application."""
        inner, auth = self.build(tmp_path)
        outer = FastAPI()
        outer.mount("/accounts", inner)
        with TestClient(outer) as client:
            headers = sign_in(client, "/accounts")
            assert client.get("/accounts/items", headers=headers).status_code == 200
            assert client.get("/accounts/items").status_code == 401
            assert client.delete("/accounts/sessions", headers=headers).status_code == 204
            assert client.get("/accounts/items", headers=headers).status_code == 401
        asyncio.run(auth.stop())

    def test_settings_that_are_weak_are_told_before_anything_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WATCHWORD_ISSUER", "http://auth.example.com")
        with pytest.raises(ConfigError, match="WATCHWORD_ISSUER"):
            Auth()
        assert list(tmp_path.iterdir()) == []


class TestTheHostHeader:
    """A loopback issuer has a key that was made for a developer, and open registration: it must not serve the world. And
    a page on the internet must not reach the developer's server by a name that it resolves to 127.0.0.1 (DNS rebinding)."""

    async def get(self, house: House, *hosts: bytes) -> httpx2.Response:
        headers = [(b"Host", host) for host in hosts]
        return await house.client.get("/.well-known/jwks.json", headers=headers)

    @pytest.mark.parametrize(
        "host",
        [
            b"localhost",
            b"localhost:8000",
            b"LOCALHOST",
            b"localhost.",
            b"app.localhost:3000",
            b"127.0.0.1",
            b"127.0.0.1:8000",
            b"127.1.2.3",
            b"[::1]",
            b"[::1]:8000",
            b"[::ffff:127.0.0.1]",
            b"testserver",
            b"test",
        ],
    )
    async def test_this_machine_is_served(self, house: House, host: bytes) -> None:
        assert (await self.get(house, host)).status_code == 200

    @pytest.mark.parametrize(
        "host",
        [
            b"",
            b"example.com",
            b"example.com:8000",
            b"localhost.example.com",
            b"notlocalhost",
            b"localhost:x",
            b"localhost:999999",
            b"localhost:80:80",
            b"localhost@example.com",
            b"example.com@localhost",
            b"example.com#.localhost",
            b"example.com?.localhost",
            b"%.localhost",
            b"[::1.]:3",
            b"[127.0.0.1]",
            b"localhost..",
            b"localhost/",
            b"localhost, example.com",
            b"localhost example.com",
            b"192.168.0.1",
            b"10.0.0.1:8000",
            b"0.0.0.0",
            b"127.0.0.1.nip.io",
            b"2130706433",
            b"0x7f.1",
            b"127.1",
            b"::1",
            b"[::1",
            b"[::1]x",
            b"[::]",
            b"[2001:db8::1]:8000",
            b"[::ffff:192.168.0.1]",
            b"[::1%25eth0]",
            b"\xff\xfe",
            b"l\xc3\xb6calhost",
            b"testserver.example.com",
        ],
    )
    async def test_any_other_name_is_misdirected_and_told_the_cure(self, house: House, host: bytes) -> None:
        answer = await self.get(house, host)
        assert answer.status_code == 421
        assert answer.json()["code"] == "misdirected_request"
        assert "WATCHWORD_ISSUER" in answer.json()["detail"]

    async def test_the_routes_of_the_host_are_kept_here_too(self, house: House) -> None:
        route("/items")(house.app)
        assert (await house.client.get("/items", headers={"Host": "example.com"})).status_code == 421

    async def test_a_name_that_was_found_to_be_local_lets_no_other_in(self, house: House) -> None:
        """The developer's own browser comes first, and is remembered; then a page on the internet whose name resolves to
        127.0.0.1 asks, by its own name, by a longer one, by none."""
        for good in (b"localhost:8000", b"127.0.0.1"):
            assert (await self.get(house, good)).status_code == 200
            for bad in (b"example.com", good + b".example.com", b""):
                assert (await self.get(house, bad)).status_code == 421
        socket = house.socket("/free", extensions={"websocket.http.response": {}})
        socket._scope["headers"] = []
        async with socket:
            assert (await socket.next())["status"] == 421

    async def test_forwarding_headers_do_not_help(self, house: House) -> None:
        headers = {"Host": "example.com", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
        assert (await house.client.get("/.well-known/jwks.json", headers=headers)).status_code == 421

    @pytest.mark.parametrize(
        ("hosts", "status"), [([b"example.com"], 421), ([], 421), ([b"localhost", b"localhost"], 400)]
    )
    async def test_a_handshake_is_held_to_it_as_well(self, house: House, hosts: list[bytes], status: int) -> None:
        """A page on the internet whose name resolves to 127.0.0.1 opens a WebSocket to the developer's server."""

        @house.app.websocket("/free")
        async def free(socket: WebSocket) -> None:
            await socket.accept()

        socket = house.socket("/free", extensions={"websocket.http.response": {}})
        socket._scope["headers"] = [(b"host", host) for host in hosts]
        async with socket:
            assert (await socket.next())["status"] == status
        socket = house.socket("/free")
        socket._scope["headers"] = [(b"host", host) for host in hosts]
        async with socket:
            assert (await socket.next())["type"] == "websocket.close"
        async with house.socket("/free") as socket:
            await socket.accepted()

    async def test_a_public_issuer_answers_to_any_name(self, tmp_path: Path, sqlite_url: str) -> None:
        """Load balancers ask by address, and names are the proxy's affair."""
        async with open_house(tmp_path, database_url=sqlite_url, **PUBLIC) as house:
            for host in (b"auth.example.com", b"10.0.0.1:8000", b"example.net", b""):
                assert (await self.get(house, host)).status_code == 200

    def test_the_test_client_of_the_ecosystem_is_let_in(self, tmp_path: Path) -> None:
        app = FastAPI()
        auth = make_auth(tmp_path).install(app)

        @app.websocket("/free")
        async def free(socket: WebSocket) -> None:
            await socket.accept()
            await socket.send_text("hello")

        with TestClient(app) as client:
            assert client.get("/.well-known/jwks.json").status_code == 200
            with client.websocket_connect("/free") as socket:
                assert socket.receive_text() == "hello"
        with TestClient(app, base_url="http://example.com") as client:
            assert client.get("/.well-known/jwks.json").status_code == 421
            with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://example.com/free"):
                pass
        assert auth._kit is None


@pytest.mark.parametrize("what", ["principal", "user", "requires", "one that stands on it"])
def test_a_guard_on_the_application_as_a_whole_is_refused(tmp_path: Path, what: str) -> None:
    """It would stand in front of /login too, and nobody could sign in."""
    auth = make_auth(tmp_path)

    def own(who: Annotated[Principal, Depends(auth.principal)]) -> Principal:
        return who

    guards: dict[str, Callable[..., Any]] = {
        "principal": auth.principal,
        "user": auth.user,
        "requires": auth.requires("a"),
        "one that stands on it": own,
    }
    with pytest.raises(ConfigError, match=r"/login .*APIRouter\(dependencies"):
        auth.install(FastAPI(dependencies=[Depends(guards[what])]))


def test_another_dependency_of_the_application_is_the_hosts_own_affair(tmp_path: Path) -> None:
    def audit(request: Request) -> None: ...

    make_auth(tmp_path).install(FastAPI(dependencies=[Depends(audit)]))


async def test_an_optional_principal_is_none_without_a_token_and_refused_with_a_bad_one(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:

        @house.app.get("/greeting")
        async def greeting(who: Annotated[Principal | None, Depends(house.auth.optional)]) -> str:
            return who.user_id if who else "stranger"

        user_id = await house.register()
        login = await house.login()
        assert (await house.client.get("/greeting")).json() == "stranger"
        assert (await house.client.get("/greeting", headers=login.headers)).json() == user_id
        house.clock.tick(600)
        assert (await house.client.get("/greeting", headers=login.headers)).status_code == 401


async def test_a_refusal_that_leaves_a_route_of_the_host_is_a_problem_and_no_fault(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:

        @house.app.post("/promote/{whom}")
        async def promote(whom: str) -> None:
            kit = await house.auth.open()
            await accounts.grant(kit, (await accounts.find(kit, whom)).id, {"admin"})

        answer = await house.client.post("/promote/nobody@example.com")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.headers["content-type"] == "application/problem+json"
