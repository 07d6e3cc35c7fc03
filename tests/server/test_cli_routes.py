"""`watchword routes main:app`: every route, and what it asks for."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.commands import Run, assert_refused

NAME = "app_of_the_routes_test"
MAIN = """
from typing import Annotated
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from fastapi.staticfiles import StaticFiles
from watchword import Auth, Principal, User

auth = Auth()
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
auth.install(app, prefix="/auth", protect={protect})
bare = FastAPI()

@app.get("/items")
async def items(who: Annotated[Principal, Depends(auth.principal)]): ...

@app.delete("/items", dependencies=[Depends(auth.requires("items:write", max_age=300, methods={{"otp"}}))])
async def delete(user: Annotated[User, Depends(auth.user)]): ...

@app.get("/page")
@auth.public
async def page(who: Annotated[Principal | None, Depends(auth.optional)]): ...

@app.get("/plain")
async def plain(): ...

admin = APIRouter(prefix="/admin", dependencies=[Security(auth.principal, scopes=["admin"])])

@admin.websocket("/socket")
async def socket(socket: WebSocket): ...

app.include_router(admin)
inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

@inner.get("/there")
async def there(): ...

app.mount("/inner", inner)
app.mount("/static", StaticFiles(directory="."))
app.mount("/open", auth.public(StaticFiles(directory=".")))
"""


@pytest.fixture(params=[False, True], ids=["each by itself", "protected as a whole"])
def protected(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    (tmp_path / f"{NAME}.py").write_text(MAIN.format(protect=request.param))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield request.param
    sys.modules.pop(NAME, None)


def test_every_route_is_listed_with_what_it_asks_for(run: Run, protected: bool, tmp_path: Path) -> None:
    said = run("routes", f"{NAME}:app", "--json")
    assert (said.code, said.err) == (0, "")
    listed = json.loads(said.out)
    theirs = {(*one["methods"], one["path"]): one["asks"] for one in listed if not one["ours"]}
    default = "token" if protected else None
    assert theirs == {
        ("GET", "/items"): "token",
        ("DELETE", "/items"): "token, methods otp, max_age 300, user, scopes items:write",
        ("GET", "/page"): "public",
        ("GET", "/plain"): default,
        ("WS", "/admin/socket"): "token, scopes admin",
        ("GET", "/inner/there"): default,
        ("*", "/static/"): default,
        ("*", "/open/"): "public",
    }
    ours = {(*one["methods"], one["path"]): one["asks"] for one in listed if one["ours"]}
    assert ours["POST", "/auth/login"] == "public"
    assert ours["GET", "/auth/me"] == "token, user"
    assert ours["GET", "/auth/administration/users"] == "token, scopes watchword:admin"
    assert ours["DELETE", "/auth/administration/roles/{name}"] == "token, max_age 300, scopes watchword:admin"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] in ([], ["__pycache__"]), "not started"


def test_at_a_terminal_it_is_a_table_that_says_who_is_asked_nothing(run: Run, protected: bool) -> None:
    said = run("routes", f"{NAME}:auth")
    assert said.code == 0
    (line,) = [line for line in said.out.splitlines() if "/plain" in line]
    assert line.split("  ")[-1] == f"{NAME}.plain"
    assert ("nobody is asked" in line) is not protected
    assert ("protect=True" in said.err) is not protected


@pytest.mark.usefixtures("protected")
def test_what_is_no_application_of_ours_is_told(run: Run) -> None:
    assert_refused(run("routes", f"{NAME}:bare"), "auth.install(app)")
    assert_refused(run("routes", NAME), "main:app")
    assert_refused(run("routes", f"{NAME}:nothing"), "is not there")
    assert_refused(run("routes", ".relative:app"), "relative")
