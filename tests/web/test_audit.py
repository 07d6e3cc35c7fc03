"""`GET /audit`, and events of an application that nobody started: they come into the log all the same."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.house import ADA, BOB, PASSWORD, PATIENCE, House, Login, make_auth

from watchword.core.events import LoggedIn


async def events(house: House, login: Login, **query: str | int) -> list[dict[str, object]]:
    await (await house.kit()).recorder.drain()
    answer = await house.client.get("/audit", params=query, headers=login.headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["events"]
    return found


async def test_one_reads_what_happened_to_oneself(either: House) -> None:
    """LS-03: whoever was broken in on sees it: a guess, and from where."""
    user_id = await either.register()
    await either.register(BOB)
    await either.try_login(password="wrong")
    login = await either.login(headers={"User-Agent": "Ada's browser"})
    await either.login(BOB)
    found = await events(either, login)
    assert [one["kind"] for one in found] == ["LoggedIn", "LoginFailed", "Registered"]
    assert {one["user_id"] for one in found} == {user_id}
    assert (found[0]["ip"], found[0]["user_agent"]) == ("203.0.113.7", "Ada's browser")
    assert found[0]["facts"] == {"session_id": login.session_id}
    assert set(found[1]["facts"]) == {"because"}  # type: ignore[call-overload]


async def test_pages_lead_to_the_first_event(either: House) -> None:
    await either.register()
    login = await either.login()
    kit = await either.kit()
    owner = (await kit.users.find(ADA)).user.id  # type: ignore[union-attr]
    for number in range(5):
        kit.recorder.note(LoggedIn(owner, f"s{number}"))
    await kit.recorder.drain()
    seen: list[str] = []
    before = None
    while True:
        query = {"limit": 3} | ({"before": before} if before else {})
        page = (await either.client.get("/audit", params=query, headers=login.headers)).json()
        seen += [one["kind"] for one in page["events"]]
        before = page["before"]
        if before is None:
            break
    assert seen == ["LoggedIn"] * 6 + ["Registered"]


async def test_others_are_read_by_administrators_alone(either: House) -> None:
    """LS-03: the attacker asks for the events of somebody else, and so for their addresses."""
    await either.register()
    bobs = await either.register(BOB)
    login = await either.login()
    for query in ({"user_id": bobs}, {"user_id": "nobody"}):
        answer = await either.client.get("/audit", params=query, headers=login.headers)
        assert answer.status_code == 403
        assert answer.json()["code"] == "insufficient_scope"
        assert "watchword:admin" in answer.headers["www-authenticate"]
    assert (await either.client.get("/audit")).status_code == 401
    await either.grant(ADA, "watchword:admin")
    login = await either.login()
    everything = await events(either, login)
    assert {"KeyPublished", "Registered", "LoggedIn"} == {one["kind"] for one in everything}
    assert {one["kind"] for one in await events(either, login, user_id=bobs)} == {"Registered"}
    assert {one["kind"] for one in await events(either, login, kind="KeyPublished")} == {"KeyPublished"}


async def test_an_application_that_deletes_accounts_itself_has_them_forgotten(either: House) -> None:
    """The account was in a table of its own, and the addresses are in ours."""
    user_id = await either.register()
    login = await either.login()
    await either.auth.forget(user_id)
    await (await either.kit()).recorder.drain()
    found = await events(either, login)
    assert [one["kind"] for one in found] == ["UserDeleted", "LoggedIn", "Registered"]
    assert {one["ip"] for one in found} == {None}


@pytest.mark.parametrize(
    "query",
    ["before=0", "before=9223372036854775808", "limit=0", "limit=201", "user_id=%00", "kind=%27", "kind="],
)
async def test_odd_questions_are_refused(either: House, query: str) -> None:
    await either.register()
    login = await either.login()
    assert (await either.client.get(f"/audit?{query}", headers=login.headers)).status_code == 422


def test_without_a_lifespan_events_come_into_the_log_too(tmp_path: Path) -> None:
    """A mounted application has none, and each request of such a client has an event loop of its own, which ends with it."""
    app = FastAPI()
    auth = make_auth(tmp_path)
    auth.install(app)
    client = TestClient(app)
    assert client.post("/register", json={"email": ADA, "password": PASSWORD}).status_code == 202
    assert client.post("/login", data={"username": ADA, "password": PASSWORD}).status_code == 200
    with closing(sqlite3.connect(tmp_path / "home" / "watchword.db")) as connection:
        give_up = time.monotonic() + PATIENCE
        kinds: list[str] = []
        while time.monotonic() < give_up and len(kinds) < 3:
            rows = connection.execute("SELECT kind FROM watchword_audit WHERE position IS NOT NULL ORDER BY position")
            kinds = [kind for (kind,) in rows]
            time.sleep(0.01)
    assert kinds == ["KeyPublished", "Registered", "LoggedIn"]
    asyncio.run(auth.stop())
