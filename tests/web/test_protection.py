"""Deny by default: `auth.install(app, protect=True)` and `@auth.public`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket, WebSocketDisconnect
from fastapi.middleware.cors import CORSMiddleware
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import WebSocketDenialResponse
from starlette.types import Receive, Scope, Send

from watchword import Auth, Principal, Settings, User
from watchword.core import jose
from watchword.core.errors import ConfigError
from watchword.core.tokens import Access
from watchword.testing import Rehearsal, rehearsal
from watchword.web.guard import Guard


class Protected:
    """An application that is protected as a whole, and what its routes did."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.auth = Auth(Settings(data_dir=folder, **options.pop("settings", {})))
        self.app = FastAPI()
        self.begun: list[str] = []
        self.options = options

    def install(self) -> None:
        self.auth.install(self.app, protect=True, **self.options)

    def begin(self, name: str) -> str:
        self.begun.append(name)
        return name

    @contextlib.contextmanager
    def stage(self, **options: Any) -> Iterator[Rehearsal]:
        with rehearsal(self.app, **options) as stage:
            yield stage


@pytest.fixture
def host(tmp_path: Path) -> Protected:
    return Protected(tmp_path / "never")


def refused(answer: Any) -> bool:
    return answer.status_code == 401 and str(answer.headers["www-authenticate"]).startswith("Bearer")


def test_a_route_needs_a_token_though_nobody_asked_for_one(host: Protected) -> None:
    host.install()

    @host.app.get("/items")
    async def items() -> str:
        return host.begin("items")

    with host.stage() as stage:
        assert refused(stage.client.get("/items"))
        assert refused(stage.client.post("/items")), "not even which methods there are"
        assert host.begun == []
        assert stage.signed_in("ada").get("/items").json() == "items"


@pytest.mark.parametrize("inner", [True, False])
def test_a_public_route_needs_none_whichever_decorator_comes_first(host: Protected, inner: bool) -> None:
    async def page() -> str:
        return host.begin("page")

    host.install()
    if inner:
        host.app.get("/page")(host.auth.public(page))
    else:
        host.auth.public(host.app.get("/page")(page))
    with host.stage() as stage:
        assert stage.client.get("/page").json() == "page"
        assert stage.client.get("/page", headers={"Authorization": "Bearer nonsense"}).json() == "page"
        assert stage.signed_in("ada").get("/page").json() == "page"


def test_ours_work_as_ever(host: Protected) -> None:
    host.install()
    with host.stage() as stage:
        account = {"email": "ada@example.com", "password": "correct horse battery staple"}
        assert stage.client.post("/register", json=account).status_code == 202
        form = {"username": account["email"], "password": account["password"]}
        tokens = stage.client.post("/login", data=form).json()
        refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert stage.client.post("/refresh", data=refresh).status_code == 200
        assert stage.client.get("/.well-known/jwks.json").status_code == 200
        assert refused(stage.client.get("/me"))
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert stage.client.get("/me", headers=bearer).json()["email"] == account["email"]
        assert stage.client.post("/logout", headers=bearer).status_code == 204
        assert refused(stage.client.get("/me", headers=bearer))


def test_a_logout_is_heeded_at_once(host: Protected) -> None:
    host.install()

    @host.app.get("/items")
    async def items() -> str:
        return "items"

    with host.stage() as stage:
        ada = stage.signed_in("ada")
        assert ada.get("/items").status_code == 200
        ada.log_out()
        answer = ada.get("/items")
        assert refused(answer)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("protect", [True, False])
def test_a_known_signature_does_not_vouch_for_another_payload(host: Protected, protect: bool) -> None:
    """Bob signs in and uses his token, so that the worker knows it. Then he writes ada's id over his own, or puts something in
    front, and keeps his signature, by whose end the worker finds what it knows. All in the spellings of the scheme."""
    host.auth.install(host.app, protect=protect)

    @host.app.get("/who")
    async def who(who: Annotated[Principal, Depends(host.auth.principal)]) -> str:
        return who.user_id

    with host.stage() as stage:
        ada, bob = stage.signed_in("ada"), stage.signed_in("bob")
        token = str(bob.headers["Authorization"]).removeprefix("Bearer ")
        header, payload, signature = token.split(".")
        claims = jose.b64decode(payload).replace(bob.user.id.encode(), ada.user.id.encode())
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert stage.client.get("/who", headers={"Authorization": f"{scheme} {token}"}).json() == bob.user.id
            for forged in (
                f"{header}.{jose.b64encode(claims)}.{signature}",
                f"{header}{header}.{payload}.{signature}",
                f".{payload}.{signature}",
                signature,
                signature[-43:],
            ):
                assert refused(stage.client.get("/who", headers={"Authorization": f"{scheme} {forged}"}))


def test_the_dependencies_read_what_was_found(host: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    host.install()
    auth = host.auth

    @host.app.get("/who")
    async def who(
        who: Annotated[Principal, Depends(auth.principal)],
        user: Annotated[User, Depends(auth.user)],
        maybe: Annotated[Principal | None, Depends(auth.optional)],
    ) -> list[str]:
        assert maybe is not None
        return [who.user_id, user.id, maybe.user_id]

    @host.app.get("/admin", dependencies=[Depends(auth.requires("admin"))])
    async def admin() -> str:
        return "admin"

    with host.stage() as stage:
        ada = stage.signed_in("ada", scopes={"items:read"})
        looked: list[str] = []
        at_once = Guard.at_once

        def looking(guard: Guard, scope: Scope) -> Access | None:
            looked.append(scope["path"])
            return at_once(guard, scope)

        ada.get("/who")
        monkeypatch.setattr(Guard, "at_once", looking)
        assert ada.get("/who").json() == [ada.user.id] * 3
        assert looked == ["/who"], "by the guard in front alone"
        assert ada.get("/admin").status_code == 403
        assert stage.signed_in("root", scopes={"admin"}).get("/admin").status_code == 200


def test_routes_that_are_added_later_and_those_of_routers_are_not_forgotten(host: Protected) -> None:
    """A guard that was put on each route at the start would miss the one that a plugin adds."""
    host.install()
    router, inner = APIRouter(prefix="/router"), APIRouter(prefix="/inner")

    @inner.get("/closed")
    async def closed() -> str:
        return host.begin("closed")

    @inner.get("/open")
    @host.auth.public
    async def open_() -> str:
        return "open"

    router.include_router(inner)
    host.app.include_router(router)

    async def late() -> str:
        return host.begin("late")

    with host.stage() as stage:
        host.app.add_api_route("/late", late)
        assert refused(stage.client.get("/late"))
        assert refused(stage.client.get("/router/inner/closed"))
        assert stage.client.get("/router/inner/open").json() == "open"
        assert host.begun == []
        assert stage.signed_in("ada").get("/late").json() == "late"


def test_what_is_not_there_is_told_as_ever(host: Protected) -> None:
    host.install()
    with host.stage() as stage:
        assert stage.client.get("/nothing").status_code == 404
        assert stage.signed_in("ada").get("/nothing").status_code == 404


class Odd(BaseRoute):
    """A route of a kind that nobody knows, which does not tell its name."""

    def __init__(self, host: Protected) -> None:
        self._host = host

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope.get("path", "").startswith("/odd") else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(self._host.begin("odd"))(scope, receive, send)


class TestMounted:
    def test_static_files_and_plain_applications_are_behind_the_guard(self, host: Protected, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a")
        host.install()

        async def plain(scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse(host.begin("plain"))(scope, receive, send)

        host.app.mount("/closed", StaticFiles(directory=tmp_path))
        host.app.mount("/open", host.auth.public(StaticFiles(directory=tmp_path)))
        host.app.mount("/plain", plain)
        host.app.router.routes.append(Odd(host))
        with host.stage() as stage:
            assert refused(stage.client.get("/closed/a.txt"))
            assert refused(stage.client.get("/plain/x"))
            assert host.begun == []
            assert refused(stage.client.get("/odd")), "whoever does not say who answers says nothing"
            assert stage.client.get("/open/a.txt").text == "a"
            assert stage.signed_in("ada").get("/closed/a.txt").text == "a"
            assert stage.signed_in("ada").get("/odd").text == "odd"

    def test_what_has_no_hash_and_is_equal_to_all_is_behind_the_guard_too(self, host: Protected) -> None:
        """A dataclass is an application without a hash: a stranger gets 401 and no 500. One that says of everything that it is
        equal to that is none of ours."""
        host.install()

        class Equal:
            __hash__ = None  # type: ignore[assignment]

            def __eq__(self, other: object) -> bool:
                return True

            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await PlainTextResponse(host.begin("plain"))(scope, receive, send)

        class Hashed(Equal):
            def __hash__(self) -> int:  # type: ignore[override]
                return hash(next(iter(host.auth._routes())))

        host.app.mount("/equal", Equal())
        host.app.mount("/hashed", Hashed())
        host.app.router.routes.append(Route("/route", Equal(), name="route"))
        with host.stage(raise_server_exceptions=False) as stage:
            assert refused(stage.client.get("/equal/x"))
            assert refused(stage.client.get("/hashed/x"))
            assert refused(stage.client.get("/route"))
            assert host.begun == []
            assert stage.signed_in("ada").get("/equal/x").text == "plain"
        asked = {route.path: route.asks for route in host.auth.routes()}
        assert {asked[path] for path in ("/equal/", "/hashed/", "/route")} == {"token"}

    def test_the_routes_of_a_mounted_application_are_looked_at_one_by_one(self, host: Protected) -> None:
        host.install()
        inner = FastAPI()

        @inner.get("/closed")
        async def closed() -> str:
            return host.begin("closed")

        @inner.get("/open")
        @host.auth.public
        async def open_() -> str:
            return "open"

        host.app.mount("/inner", inner)
        with host.stage() as stage:
            assert refused(stage.client.get("/inner/closed"))
            assert stage.client.get("/inner/open").json() == "open"
            assert refused(stage.client.get("/inner/docs"))
            assert refused(stage.client.get("/inner/nothing"))
            assert host.begun == []
            assert stage.signed_in("ada").get("/inner/closed").json() == "closed"

    def test_a_mounted_application_can_be_public_as_a_whole(self, host: Protected) -> None:
        host.install()

        async def page(request: Request) -> PlainTextResponse:
            return PlainTextResponse("page")

        below = Starlette(routes=[Route("/page", page)])
        host.app.mount("/open", host.auth.public(Starlette(routes=[Route("/page", page), Mount("/below", below)])))
        host.app.mount("/closed", Starlette(routes=[Route("/page", page)]))
        with host.stage() as stage:
            assert stage.client.get("/open/page").text == "page"
            assert stage.client.get("/open/below/page").text == "page"
            assert refused(stage.client.get("/closed/page"))

    def test_middleware_of_a_mounted_application_opens_nothing(self, host: Protected) -> None:
        """It may hand on a copy of the scope, in which nobody looks any more: then nothing is done without a token."""
        host.install()

        class Copying:
            def __init__(self, app: Any) -> None:
                self.app = app

            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await self.app(dict(scope), receive, send)

        async def page(request: Request) -> PlainTextResponse:
            return PlainTextResponse(host.begin("secret"))

        async def passing(request: Request, go_on: Any) -> Any:
            return await go_on(request)

        for name, middleware in (("copying", (Copying, {})), ("base", (BaseHTTPMiddleware, {"dispatch": passing}))):
            inner = Starlette(routes=[Route("/page", page)])
            inner.add_middleware(middleware[0], **middleware[1])
            host.app.mount(f"/{name}", inner)
            host.app.mount(f"/wrapped-{name}", middleware[0](Starlette(routes=[Route("/page", page)]), **middleware[1]))
        with host.stage(raise_server_exceptions=False) as stage:
            for name in ("copying", "base", "wrapped-copying", "wrapped-base"):
                answer = stage.client.get(f"/{name}/page")
                assert answer.status_code == 401, name
                assert "secret" not in answer.text
                assert host.begun == []
                assert stage.signed_in("ada").get(f"/{name}/page").text == "secret"
                host.begun.clear()

    def test_what_is_derived_from_a_public_class_is_not_public(self, host: Protected) -> None:
        host.install()

        @host.auth.public
        class Page(HTTPEndpoint):
            async def get(self, request: Request) -> PlainTextResponse:
                return PlainTextResponse("page")

        class Secret(Page):
            pass

        host.app.router.routes += [Route("/page", Page), Route("/secret", Secret)]
        host.app.router.routes.append(Host("other", Starlette(routes=[Route("/there", Secret)])))
        with host.stage() as stage:
            assert stage.client.get("/page").text == "page"
            assert refused(stage.client.get("/secret"))


class TestSockets:
    def test_a_socket_needs_a_token_and_is_closed_with_its_session(self, host: Protected) -> None:
        host.install()

        @host.app.websocket("/closed")
        async def closed(socket: WebSocket) -> None:
            host.begin("closed")
            await socket.accept()
            await socket.send_text("hello")
            with contextlib.suppress(WebSocketDisconnect):
                await socket.receive_text()

        @host.app.websocket("/open")
        @host.auth.public
        async def open_(socket: WebSocket) -> None:
            await socket.accept()
            await socket.send_text("open")

        with host.stage() as stage:
            with pytest.raises(WebSocketDenialResponse) as denied, stage.client.websocket_connect("/closed"):
                pass
            assert denied.value.status_code == 401
            assert host.begun == []
            with stage.client.websocket_connect("/open") as socket:
                assert socket.receive_text() == "open"
            ada = stage.signed_in("ada")
            with ada.websocket_connect("/closed") as socket:
                assert socket.receive_text() == "hello"
                ada.log_out()
                assert socket.receive()["code"] == 4401


class TestOutside:
    def test_cors_works_as_ever_whichever_came_first(self, tmp_path: Path) -> None:
        """A browser's preflight carries no token: a guard in front of the CORS middleware would refuse it."""
        for order in (True, False):
            host = Protected(tmp_path / "never")
            if order:
                host.install()
            host.app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_headers=["*"])
            if not order:
                host.install()

            @host.app.get("/items")
            async def items() -> str:
                return "items"

            with host.stage() as stage:
                headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
                preflight = stage.client.options("/items", headers=headers)
                assert preflight.status_code == 200
                answer = stage.client.get("/items", headers=headers)
                assert refused(answer)
                assert answer.headers["access-control-allow-origin"] == "https://app.example"

    def test_the_pages_of_fastapi_are_public_on_localhost(self, host: Protected) -> None:
        host.install()
        with host.stage() as stage:
            assert stage.client.get("/docs").status_code == stage.client.get("/openapi.json").status_code == 200

    @pytest.mark.parametrize(("docs", "status"), [(None, 401), (True, 200)])
    def test_elsewhere_they_need_a_token_unless_it_is_said(
        self, tmp_path: Path, docs: bool | None, status: int
    ) -> None:
        host = Protected(
            tmp_path / "never",
            docs=docs,
            settings={
                "issuer": "https://auth.example.com",
                "master_keys": "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS",
                "database_url": f"sqlite:///{tmp_path / 'x.db'}",
            },
        )
        host.install()
        with host.stage() as stage:
            assert stage.client.get("/docs").status_code == status
            assert stage.client.get("/openapi.json").status_code == status

    def test_an_application_without_a_lifespan_is_protected_too(self, host: Protected) -> None:
        host.install()

        @host.app.get("/items")
        async def items() -> str:
            return "items"

        outer = FastAPI()
        outer.mount("/below", host.app)
        with rehearsal(outer) as stage:
            assert refused(stage.client.get("/below/items"))
            assert stage.signed_in("ada").get("/below/items").json() == "items"


class TestContradictions:
    def start(self, host: Protected) -> None:
        with host.stage():
            pass

    def test_a_route_that_is_public_and_asks_for_a_token_is_refused_at_the_start(self, host: Protected) -> None:
        host.install()

        @host.app.get("/both")
        @host.auth.public
        async def both(who: Annotated[Principal, Depends(host.auth.principal)]) -> str:
            return who.user_id

        with pytest.raises(ConfigError, match=r"GET /both .*both\) is marked with auth.public and asks for a token"):
            self.start(host)

    def test_so_is_one_whose_router_asks(self, host: Protected) -> None:
        host.install()
        router = APIRouter(dependencies=[Security(host.auth.principal, scopes=["admin"])])

        @router.websocket("/both")
        @host.auth.public
        async def both(socket: WebSocket) -> None: ...

        host.app.include_router(router, prefix="/x")
        with pytest.raises(ConfigError, match=r"WS /x/both .*\(token, scopes admin\)"):
            self.start(host)

    def test_and_one_below_a_public_mount(self, host: Protected) -> None:
        host.install()
        inner = FastAPI(dependencies=[Depends(host.auth.requires("a"))])

        @inner.get("/both")
        async def both() -> None: ...

        host.app.mount("/inner", host.auth.public(inner))
        with pytest.raises(ConfigError, match="GET /inner/both"):
            self.start(host)

    def test_a_public_route_may_look_who_is_there(self, host: Protected) -> None:
        host.install()

        @host.app.get("/page")
        @host.auth.public
        async def page(who: Annotated[Principal | None, Depends(host.auth.optional)]) -> str:
            return "nobody" if who is None else who.user_id

        with host.stage() as stage:
            assert stage.client.get("/page").json() == "nobody"
            ada = stage.signed_in("ada")
            assert ada.get("/page").json() == ada.user.id

    def test_what_cannot_be_marked_is_told(self, host: Protected) -> None:
        with pytest.raises(ConfigError, match=r"auth\.public"):
            host.auth.public(5)
