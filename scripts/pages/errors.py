"""errors/…: what every error has, and the answers that it really gives: each is provoked here."""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx2
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import text
from tests.house import ADA, PASSWORD, House, open_house

from watchword import Principal
from watchword.core.errors import AuthError
from watchword.flows import accounts, roles
from watchword.web.errors import ProblemRoute, page

WORDS = {
    "en": {"status": "status", "type": "type", "says": "says", "rfc": "specified in", "code": "code", "means": "means"},
    "ko": {"status": "상태 코드", "type": "type", "says": "문구", "rfc": "규격", "code": "코드", "means": "뜻"},
}
SPECIFIED = re.compile(r"RFC (\d+) (\d[\d.]*\d|\d)")
OF_STATUS = {400: "15.5.1", 403: "15.5.4", 404: "15.5.5", 409: "15.5.10", 422: "15.5.21", 503: "15.6.4"}
"""Where RFC 9110 describes the status, for the codes that no other RFC has."""

SHOWN = ("www-authenticate", "retry-after")
Provoke = Callable[[House], Awaitable[list[httpx2.Response]]]


def codes() -> dict[str, type[AuthError]]:
    """Every code, with the error that brings it, in the order of the tree."""
    found: dict[str, type[AuthError]] = {}
    for error in _below(AuthError):
        if "code" in vars(error) and error.__module__.startswith("watchword."):
            found.setdefault(error.code, error)
    return found


def _below(error: type[AuthError]) -> Iterator[type[AuthError]]:
    for child in error.__subclasses__():
        yield child
        yield from _below(child)


def slug(code: str) -> str:
    return code.replace("_", "-")


def facts(code: str, language: str) -> str:
    """The table at the top of a page."""
    error, words = codes()[code], WORDS[language]
    rows = [
        (words["status"], str(error.status)),
        (words["type"], f"`{page(code)}`"),
        (words["says"], f"“{error.default}”"),
        (words["rfc"], _specified(error)),
    ]
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def listed(language: str, folder: Path) -> str:
    """The table of all codes, with the first sentence of each page."""
    words = WORDS[language]
    rows = [f"| {words['code']} | {words['status']} | {words['means']} |", "|---|---|---|"]
    for code, error in codes().items():
        name = f"{slug(code)}.md"
        rows.append(f"| [`{code}`]({name}) | {error.status} | {_first_sentence(folder / name)} |")
    return "\n".join(rows)


def _first_sentence(path: Path) -> str:
    prose = path.read_text("utf-8").split("\n\n")[1]
    return re.split(r"(?<=[.])\s", " ".join(prose.split()))[0]


def _specified(error: type[AuthError]) -> str:
    found = SPECIFIED.search(error.__doc__ or "")
    rfc, section = (found[1], found[2]) if found else ("9110", OF_STATUS[error.status])
    return f"[RFC {rfc}, {section}](https://www.rfc-editor.org/rfc/rfc{rfc}#section-{section})"


def answers() -> dict[str, str]:
    """Each code's answers, as blocks of a page: the request, what is telling in the head, the body."""
    return {code: "\n\n".join(_block(one) for one in got) for code, got in asyncio.run(_provoke_all()).items()}


def _block(answer: httpx2.Response) -> str:
    request = answer.request
    head = [f"{request.method} {request.url.path} → {answer.status_code}"]
    head += [f"{name}: {answer.headers[name]}" for name in SHOWN if name in answer.headers]
    body = json.dumps(answer.json(), indent=2, ensure_ascii=False)
    lines = "\n".join(head)
    return f"```text\n{lines}\n```\n\n```json\n{body}\n```"


async def _provoke_all() -> dict[str, list[httpx2.Response]]:
    found = {}
    for code in codes():
        settings, provoke = PROVOKED[code]
        with tempfile.TemporaryDirectory() as folder:
            async with _open(Path(folder), **settings) as house:
                found[code] = await provoke(house)
    return found


@asynccontextmanager
async def _open(folder: Path, **settings: Any) -> AsyncIterator[House]:
    app = FastAPI()
    async with open_house(folder, app=app, base_url="http://localhost:8000", **settings) as house:
        guarded = [Depends(house.auth.requires("items:write"))]
        fresh = [Depends(house.auth.requires(max_age=300))]
        app.add_api_route("/items/", list, methods=["POST"], dependencies=guarded)
        app.add_api_route("/payments", list, methods=["POST"], dependencies=fresh)
        app.include_router(_own_routes(house))
        yield house


def _own_routes(house: House) -> APIRouter:
    """A route of the application's own that deletes whoever asks."""
    router = APIRouter(route_class=ProblemRoute)

    @router.delete("/account")
    async def delete_account(who: Annotated[Principal, Depends(house.auth.principal)]) -> None:
        await accounts.delete(await house.kit(), who.user_id)

    return router


async def _bad_form(house: House) -> list[httpx2.Response]:
    return [await house.client.post("/login", data={"username": ADA})]


async def _bad_grant_type(house: House) -> list[httpx2.Response]:
    return [await house.client.post("/refresh", data={"grant_type": "password", "refresh_token": "wwr_"})]


async def _bad_login(house: House) -> list[httpx2.Response]:
    return [await house.try_login()]


async def _wider_scope(house: House) -> list[httpx2.Response]:
    await house.register()
    login = await house.login()
    return [await house.try_refresh(login.refresh, scope="admin")]


async def _expired(house: House) -> list[httpx2.Response]:
    await house.register()
    login = await house.login()
    house.clock.tick(601)
    return [await house.me(login)]


async def _no_token(house: House) -> list[httpx2.Response]:
    return [await house.client.get("/me")]


async def _stale_login(house: House) -> list[httpx2.Response]:
    await house.register()
    login = await house.login()
    house.clock.tick(301)
    return [await house.client.post("/payments", headers=login.headers)]


async def _no_scope(house: House) -> list[httpx2.Response]:
    await house.register()
    return [await house.client.post("/items/", headers=(await house.login()).headers)]


async def _register(house: House) -> list[httpx2.Response]:
    return [await house.client.post("/register", json={"email": ADA, "password": PASSWORD})]


async def _wrong_password(house: House) -> list[httpx2.Response]:
    await house.register()
    body = {"current_password": "not the one of today", "new_password": "two larks above the mill"}
    headers = (await house.login()).headers
    return [await house.client.post("/change-password", json=body, headers=headers)]


async def _no_session(house: House) -> list[httpx2.Response]:
    await house.register()
    return [await house.client.delete("/sessions/of-somebody-else", headers=(await house.login()).headers)]


async def _mounted(house: House) -> list[httpx2.Response]:
    outer = FastAPI()
    outer.mount("/api", house.app)
    transport = httpx2.ASGITransport(app=outer)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        return [await client.get("/api/.well-known/oauth-authorization-server")]


async def _same_username(house: House) -> list[httpx2.Response]:
    await house.register(username="ada")
    body = {"email": "ada@example.org", "username": "ada", "password": PASSWORD}
    return [await house.client.post("/register", json=body)]


async def _with_notes(house: House) -> list[httpx2.Response]:
    user_id = await house.register()
    assert house.auth._home is not None
    async with house.auth._home.db.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE notes (owner_id TEXT REFERENCES watchword_users (id))"))
        await connection.execute(text("INSERT INTO notes VALUES (:id)"), {"id": user_id})
    return [await house.client.delete("/account", headers=(await house.login()).headers)]


async def _large_body(house: House) -> list[httpx2.Response]:
    return [await house.client.post("/register", json={"email": ADA, "password": "x" * 70_000})]


async def _other_host(house: House) -> list[httpx2.Response]:
    return [await house.client.get("/me", headers={"Host": "api.example.com"})]


async def _odd_fields(house: House) -> list[httpx2.Response]:
    return [await house.client.post("/register", json={"email": "ada", "password": PASSWORD})]


async def _common_password(house: House) -> list[httpx2.Response]:
    return [await house.client.post("/register", json={"email": ADA, "password": "passwordpassword"})]


async def _guesses(house: House) -> list[httpx2.Response]:
    """The one after the last that is evaluated, at both dialects."""
    await house.register()
    login = await house.login()
    for _ in range(3):
        await house.try_login(password="not the one of today")
    body = {"current_password": "nor this", "new_password": "two larks above the mill"}
    return [await house.try_login(), await house.client.post("/change-password", json=body, headers=login.headers)]


async def _storm(house: House) -> list[httpx2.Response]:
    """While as many wait for hashing as may."""
    hashing = (await house.kit()).hashing
    with ExitStack() as waiting:
        for _ in range(hashing._room):
            waiting.enter_context(hashing.place())
        registered = await house.client.post("/register", json={"email": ADA, "password": PASSWORD})
        return [registered, await house.try_login()]


async def _no_database(house: House) -> list[httpx2.Response]:
    await house.register()
    login = await house.login()
    assert house.auth._home is not None
    async with house.auth._home.db.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE watchword_users RENAME TO away"))
    return [await house.me(login), await house.try_login()]


async def _no_link(house: House) -> list[httpx2.Response]:
    body = {"token": "wwl_nothing", "new_password": PASSWORD}
    return [await house.client.post("/reset-password", json=body)]


async def _own_account(house: House) -> list[httpx2.Response]:
    me = await house.register()
    kit = await house.kit()
    await roles.put(kit, "administrator", frozenset({"watchword:*"}))
    await roles.give(kit, me, "administrator")
    login = await house.login()
    return [await house.client.delete("/administration/roles/administrator", headers=login.headers)]


PROVOKED: dict[str, tuple[dict[str, Any], Provoke]] = {
    "invalid_request": ({}, _bad_form),
    "unsupported_grant_type": ({}, _bad_grant_type),
    "invalid_grant": ({}, _bad_login),
    "invalid_link": ({}, _no_link),
    "invalid_scope": ({}, _wider_scope),
    "invalid_token": ({}, _expired),
    "not_authenticated": ({}, _no_token),
    "insufficient_user_authentication": ({}, _stale_login),
    "insufficient_scope": ({}, _no_scope),
    "registration_closed": ({"registration": "closed"}, _register),
    "wrong_password": ({}, _wrong_password),
    "not_found": ({}, _no_session),
    "not_at_root": ({}, _mounted),
    "username_taken": ({}, _same_username),
    "still_referenced": ({}, _with_notes),
    "own_account": ({}, _own_account),
    "request_too_large": ({}, _large_body),
    "misdirected_request": ({}, _other_host),
    "invalid_input": ({}, _odd_fields),
    "weak_password": ({}, _common_password),
    "too_many_attempts": ({"attempts_per_account": 3}, _guesses),
    "overloaded": ({"hashing_queue": 1}, _storm),
    "unavailable": ({}, _no_database),
}
