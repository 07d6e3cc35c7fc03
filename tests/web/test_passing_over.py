"""A router passes over the routes of the house, and FastAPI's own pages, with one look; every answer is what it was."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from watchword import Auth, Settings
from watchword.testing import rehearsal


@pytest.fixture
def auth(tmp_path: Path) -> Auth:
    return Auth(Settings(data_dir=tmp_path / "never"))


class BehindProxy:
    """As a server that was told its root path."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app, self.root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "root_path": self.root_path}, receive, send)


WAYS = [
    ("GET", "/docs", 200),
    ("GET", "/openapi.json", 200),
    ("HEAD", "/docs", 200),
    ("POST", "/docs", 405),
    ("GET", "/.well-known/jwks.json", 200),
    ("GET", "{prefix}/me", 401),
    ("POST", "{prefix}/me", 405),
    ("DELETE", "{prefix}/sessions/nothing", 401),
    ("GET", "{prefix}/sessions/nothing", 405),
    ("GET", "{prefix}/sessions/a/b", 404),
    ("GET", "{prefix}/me/", 307),
    ("GET", "/elsewhere/me", 404),
    ("GET", "{prefix}/mee", 404),
    ("GET", "/items", 200),
]


@pytest.mark.parametrize("prefix", ["", "/auth"])
@pytest.mark.parametrize(("method", "path", "status"), WAYS)
@pytest.mark.parametrize("root_path", ["", "/api"])
def test_every_route_answers_as_ever(
    auth: Auth, prefix: str, method: str, path: str, status: int, root_path: str
) -> None:
    app = FastAPI()
    auth.install(app, prefix)
    app.add_middleware(BehindProxy, root_path=root_path)

    @app.get("/items")
    async def items() -> list[str]:
        return []

    with rehearsal(app) as stage:
        for below in {"", root_path}:  # a proxy takes the root path away, or leaves it there
            answer = stage.client.request(method, below + path.format(prefix=prefix), follow_redirects=False)
            assert answer.status_code == status, (below, answer.text)


def test_below_a_mount_every_route_answers_as_ever(auth: Auth) -> None:
    inner, outer = FastAPI(), FastAPI()
    auth.install(inner)
    outer.mount("/inner", inner)
    with rehearsal(outer) as stage:
        ada = stage.signed_in("ada")
        assert ada.get("/inner/me").status_code == 200
        assert ada.delete("/inner/sessions/nothing").status_code == 404
        assert ada.get("/inner/docs").status_code == 200
        assert ada.get("/me").status_code == 404


def test_for_a_route_of_the_host_none_of_ours_is_tried(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs more than the guard does, and there are a dozen."""
    app = FastAPI()
    auth.install(app)

    @app.get("/items")
    async def items() -> list[str]:
        return []

    tried: list[str] = []
    matches = APIRoute.matches

    def trying(route: APIRoute, scope: Scope) -> Any:
        tried.append(route.path)
        return matches(route, scope)

    monkeypatch.setattr(APIRoute, "matches", trying)
    with rehearsal(app) as stage:
        assert stage.client.get("/items").status_code == 200
        assert tried == ["/items"]
        assert stage.client.get("/me").status_code == 401
        assert "/me" in tried
