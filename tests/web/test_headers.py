"""What every answer of ours says to browsers and caches, and what the host's own answers don't."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.house import ADA, PASSWORD, House, open_house

from watchword import Settings
from watchword.server.app import create_app

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
ISSUER = "https://auth.example.com"
CSP = "default-src 'none'; frame-ancestors 'none'"


def armoured(answer: httpx2.Response) -> bool:
    wanted = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "content-security-policy": CSP}
    return all(answer.headers.get(name) == value for name, value in wanted.items())


async def answers(house: House) -> AsyncIterator[httpx2.Response]:
    """One of each kind, refusals too."""
    login = await house.login()
    yield await house.try_login()
    yield await house.try_login(password="wrong")
    yield await house.try_refresh(login.refresh)
    yield await house.try_refresh("wwr_none")
    yield await house.client.get("/me", headers=login.headers)
    yield await house.client.get("/me")
    yield await house.client.get("/sessions", headers=login.headers)
    yield await house.client.post("/register", json={})
    yield await house.client.get("/healthz")
    yield await house.client.delete("/sessions", headers=login.headers)


async def test_every_answer_is_armoured_and_kept_by_no_cache(tmp_path: Path, sqlite_url: str) -> None:
    """A page that frames it, a cache that keeps it, a browser that guesses its type: each would hand out what is private."""
    async with open_house(tmp_path, database_url=sqlite_url, health=True) as house:
        await house.register()
        async for answer in answers(house):
            assert armoured(answer), answer.request.url
            assert answer.headers["cache-control"] == "no-store", answer.request.url
            assert "strict-transport-security" not in answer.headers  # on localhost it would bind other people's ports


async def test_keys_and_metadata_may_be_kept(tmp_path: Path, sqlite_url: str) -> None:
    async with open_house(tmp_path, database_url=sqlite_url) as house:
        for path in ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server"):
            answer = await house.client.get(path)
            assert armoured(answer)
            assert answer.headers["cache-control"] == "public, max-age=300"


async def test_on_an_https_issuer_browsers_are_told_to_stay_there(tmp_path: Path, sqlite_url: str) -> None:
    async with open_house(tmp_path, database_url=sqlite_url, issuer=ISSUER, master_keys=KEY) as house:
        for answer in [await house.client.get("/me"), await house.try_login(ADA, PASSWORD)]:
            assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("path", ["/theirs", "/nothing"])
async def test_the_host_s_own_answers_stay_as_they_are(tmp_path: Path, sqlite_url: str, path: str) -> None:
    """The host may want frames, scripts and caches; that is not ours to decide."""
    app = FastAPI()

    @app.get("/theirs")
    async def theirs() -> str:
        return "theirs"

    async with open_house(tmp_path, app=app, database_url=sqlite_url) as house:
        answer = await house.client.get(path)
        assert not [name for name in answer.headers if name not in ("content-type", "content-length")]


async def test_a_misdirected_request_is_armoured_too(tmp_path: Path, sqlite_url: str) -> None:
    async with open_house(tmp_path, database_url=sqlite_url) as house:
        answer = await house.client.get("/me", headers={"Host": "evil.example"})
        assert answer.status_code == 421
        assert armoured(answer)


@pytest.mark.usefixtures("logging_as_before")
def test_the_stand_alone_server_armours_what_no_route_answers(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        for method, path in [("GET", "/nothing"), ("PUT", "/me"), ("GET", "/openapi.json")]:
            assert armoured(client.request(method, path)), path
        page = client.get("/docs")
        assert page.status_code == 200
        assert page.headers["content-security-policy"] == "frame-ancestors 'none'"  # Swagger UI loads its scripts


@pytest.mark.usefixtures("logging_as_before")
def test_off_localhost_the_stand_alone_server_has_no_developers_pages(tmp_path: Path, sqlite_url: str) -> None:
    app = create_app(Settings(issuer=ISSUER, master_keys=KEY, database_url=sqlite_url))
    with TestClient(app) as client:
        for path in ("/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect"):
            answer = client.get(path)
            assert answer.status_code == 404, path
            assert answer.headers["strict-transport-security"]
