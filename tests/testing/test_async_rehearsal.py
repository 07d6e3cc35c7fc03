"""`async_rehearsal`: the same on the test's own event loop."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from tests.house import PASSWORD
from tests.testing.applications import auth_in, guarded

from watchword.core.errors import ConfigError, InvalidGrant
from watchword.testing import async_rehearsal


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return guarded(tmp_path)


async def test_users_sign_in_and_out(app: FastAPI) -> None:
    async with async_rehearsal(app) as stage:
        ada = await stage.signed_in("ada@example.com", scopes={"items:write"}, methods={"pwd", "otp"})
        bob = await stage.signed_in("bob", age=301)
        assert (await stage.client.get("/who")).status_code == 401
        assert (await ada.get("/who")).json()["id"] == ada.user.id
        assert [(await one.get("/write")).status_code for one in (ada, bob)] == [200, 403]
        assert [(await one.get("/careful")).status_code for one in (ada, bob)] == [200, 401]
        assert (await stage.client.get("/who", headers=bob.bearer)).json()["id"] == bob.user.id
        await ada.log_out()
        assert [(await one.get("/who")).status_code for one in (ada, bob)] == [401, 200]
        with pytest.raises(InvalidGrant):
            await ada.refresh()


async def test_a_token_expires_by_the_clock_and_a_refresh_gives_another(app: FastAPI) -> None:
    async with async_rehearsal(app) as stage:
        ada = await stage.signed_in("ada")
        stage.clock.tick(600)
        assert (await ada.get("/who")).status_code == 401
        await ada.refresh()
        assert (await ada.get("/who")).status_code == 200


async def test_an_account_with_a_password_signs_in_through_the_form(app: FastAPI) -> None:
    async with async_rehearsal(app) as stage:
        await stage.add_user("ada@example.com", PASSWORD)
        form = {"username": "ada@example.com", "password": PASSWORD}
        assert (await stage.client.post("/login", data=form)).status_code == 200


async def test_requests_run_at_the_same_time(app: FastAPI) -> None:
    async with async_rehearsal(app) as stage:
        clients = [await stage.signed_in(name) for name in ("ada", "bob", "eve")]
        answers = await asyncio.gather(*(client.get("/who") for client in clients))
        assert [answer.json()["id"] for answer in answers] == [client.user.id for client in clients]


async def test_nothing_is_left_and_everything_is_put_back(
    app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = auth_in(app).settings
    async with async_rehearsal(app) as stage:
        await stage.signed_in("ada")
    assert auth_in(app).settings is before
    assert not auth_in(app).started
    assert os.listdir(tmp_path) == []


async def test_a_fixture_may_open_and_close_it_from_two_tasks(tmp_path: Path) -> None:
    """As pytest-asyncio does; a task group in the lifespan must be left by the task that entered it."""
    stopped = asyncio.Event()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        async with anyio.create_task_group() as group:
            group.start_soon(asyncio.sleep, 0)
            yield {"colour": "green"}
        stopped.set()

    opening = async_rehearsal(guarded(tmp_path, lifespan=lifespan))
    stage = await asyncio.create_task(opening.__aenter__())
    ada = await stage.signed_in("ada")
    assert (await ada.get("/state")).json() == {"colour": "green"}
    await asyncio.create_task(opening.__aexit__(None, None, None))
    assert stopped.is_set()


async def test_a_start_that_fails_is_raised(tmp_path: Path) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if app.title:
            raise LookupError("no such cupboard")
        yield

    app = guarded(tmp_path, lifespan=lifespan)
    with pytest.raises(LookupError, match="no such cupboard"):
        async with async_rehearsal(app):
            pass
    assert not auth_in(app).started


async def test_a_stop_that_fails_is_raised(tmp_path: Path) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        raise LookupError("no such cupboard")

    with pytest.raises(LookupError, match="no such cupboard"):
        async with async_rehearsal(guarded(tmp_path, lifespan=lifespan)):
            pass


async def test_an_application_around_it_that_knows_no_lifespan_does_no_harm(tmp_path: Path) -> None:
    class Outer:
        def __init__(self, app: FastAPI) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await self.app(scope, receive, send)

    app = guarded(tmp_path)
    async with async_rehearsal(Outer(app)) as stage:
        assert (await (await stage.signed_in("ada")).get("/who")).status_code == 200
    assert not auth_in(app).started


async def test_an_auth_that_runs_already_is_told(app: FastAPI) -> None:
    async with async_rehearsal(app):
        with pytest.raises(ConfigError, match="auth runs already"):
            async with async_rehearsal(app):
                pass
