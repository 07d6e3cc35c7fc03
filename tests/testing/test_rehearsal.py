"""`rehearsal`: the application as it is, on a stage of its own."""

import contextlib
import importlib.util
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.cors import CORSMiddleware
from starlette.websockets import WebSocketDisconnect
from tests.house import PASSWORD
from tests.testing.applications import auth_in, guarded

import watchword.testing
from watchword.core.errors import ConfigError, InvalidGrant
from watchword.flows import accounts
from watchword.testing import FrozenClock, Rehearsal, rehearsal, stage


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return guarded(tmp_path)


def disable(stage: Rehearsal, user_id: str) -> None:
    stage._run(accounts.disable, user_id)


def test_a_signed_in_client_is_the_user(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada@example.com")
        assert ada.get("/who").json() == {"id": ada.user.id, "scopes": [], "amr": ["pwd"]}
        assert ada.get("/row").json() == "ada@example.com"
        assert ada.user.email == "ada@example.com"
        assert stage.client.get("/who").status_code == 401
        assert stage.client.get("/who", headers=ada.bearer).status_code == 200


def test_two_users_in_one_test_are_two(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada, bob = stage.signed_in("ada"), stage.signed_in("bob")
        assert (ada.user.username, bob.user.email) == ("ada", "bob@example.com")
        assert [client.get("/who").json()["id"] for client in (ada, bob)] == [ada.user.id, bob.user.id]


def test_the_same_name_is_the_same_user_in_another_session(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        here = stage.signed_in("ada@example.com")
        there = stage.signed_in("Ada@Example.com")
        third = stage.signed_in(here.user)
        assert here.user.id == there.user.id == third.user.id
        assert len({here.session_id, there.session_id, third.session_id}) == 3
        assert len(here.get("/sessions").json()) == 3


def test_the_scopes_are_exactly_those_that_are_given(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada", scopes={"items:write"})
        assert ada.scopes == {"items:write"}
        assert ada.get("/write").status_code == 200
        other = stage.signed_in("ada", scopes="items:read notes")
        assert other.scopes == {"items:read", "notes"}
        assert other.get("/write").status_code == 403
        assert stage.signed_in("ada", scopes=()).scopes == frozenset()
        assert stage.signed_in("ada").scopes == {"items:read", "items:write", "notes"}
        assert ada.get("/write").status_code == 200


def test_factors_and_their_age_open_the_careful_route(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        both = {"pwd", "otp"}
        assert stage.signed_in("ada", methods=both).get("/careful").status_code == 200
        assert stage.signed_in("ada", methods=both, age=300).get("/careful").status_code == 200
        assert stage.signed_in("ada").get("/careful").status_code == 401
        stale = stage.signed_in("ada", methods=both, age=timedelta(minutes=6)).get("/careful")
        assert (stale.status_code, stale.json()["code"]) == (401, "insufficient_user_authentication")


def test_a_token_expires_by_the_clock_and_a_refresh_gives_another(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada")
        first = ada.access_token
        stage.clock.tick(600)
        assert ada.get("/who").status_code == 401
        ada.refresh()
        assert ada.access_token != first
        assert ada.get("/who").status_code == 200


def test_a_session_that_was_logged_out_stays_out(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada")
        ada.log_out()
        assert ada.get("/who").status_code == 401
        with pytest.raises(InvalidGrant):
            ada.refresh()


def test_the_routes_of_the_application_know_its_tokens(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada")
        form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token}
        assert stage.client.post("/refresh", data=form).status_code == 200
        assert ada.post("/logout").status_code == 204
        assert ada.get("/who").status_code == 401


def test_a_socket_carries_the_token_and_is_closed_when_the_session_ends(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada")
        with ada.websocket_connect("/live") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == f"{ada.user.id} hello"
            ada.log_out()
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
        assert closed.value.code == 4401


def test_a_socket_is_closed_when_the_token_expires(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        with stage.signed_in("ada").websocket_connect("/live") as socket:
            stage.clock.tick(600)
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
        assert closed.value.code == 4401


def test_a_with_block_around_a_client_starts_nothing(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        with stage.signed_in("ada") as ada:
            assert ada.get("/who").status_code == 200
        assert stage.client.get("/state").status_code == 200
        assert ada.get("/who").status_code == 200


def test_an_account_with_a_password_signs_in_through_the_form(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        user = stage.add_user("ada@example.com", PASSWORD, scopes={"items:write"})
        answer = stage.client.post("/login", data={"username": "ada@example.com", "password": PASSWORD})
        assert answer.json()["scope"] == "items:write"
        assert stage.signed_in(user).get("/write").status_code == 200


def test_an_account_without_one_does_not(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        stage.add_user("ada@example.com", username="ada")
        for password in ("", PASSWORD, "None"):
            form = {"username": "ada", "password": password}
            assert stage.client.post("/login", data=form).status_code == 400


def test_signing_in_hashes_nothing(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a password was hashed")

    with rehearsal(app) as stage:
        monkeypatch.setattr("watchword.core.passwords.hash_password", refuse)
        assert stage.signed_in("ada").get("/who").status_code == 200


def test_whoever_is_taken_can_not_be_made_again(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        stage.add_user("ada@example.com", username="ada")
        with pytest.raises(ConfigError, match=r"ada@example\.com can't be made: the email is taken"):
            stage.add_user("ada@example.com")
        with pytest.raises(ConfigError, match="the username is taken"):
            stage.add_user("other@example.com", username="ada")


def test_who_is_disabled_can_not_sign_in(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada")
        disable(stage, ada.user.id)
        assert ada.get("/who").status_code == 401
        with pytest.raises(ConfigError, match=r"ada@example\.com is disabled"):
            stage.signed_in("ada")


def test_a_user_of_another_rehearsal_is_not_here(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada@example.com")
    with rehearsal(app) as stage:
        with pytest.raises(ConfigError, match=r"no user ada@example\.com here"):
            stage.signed_in(ada.user)
        assert stage.client.get("/who", headers=ada.bearer).status_code == 401


def test_nothing_is_left_and_everything_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    app = guarded(tmp_path)
    auth = auth_in(app)
    before = auth.settings, auth.policy, auth._clock
    with rehearsal(app) as stage:
        stage.signed_in("ada")
        assert auth.describe()[0].startswith(f"database  sqlite+aiosqlite:///{temporary}")
        assert auth.policy.argon2.memory_cost == 8
    assert (auth.settings, auth.policy, auth._clock) == before
    assert all(one is other for one, other in zip((auth.settings, auth.policy, auth._clock), before, strict=True))
    assert not auth.started
    assert list(tmp_path.iterdir()) == [temporary]
    assert list(temporary.iterdir()) == []


def test_it_is_put_back_after_a_test_that_fails(app: FastAPI) -> None:
    before = auth_in(app).settings
    with pytest.raises(LookupError), rehearsal(app) as stage:
        stage.signed_in("ada").get("/broken")
    assert auth_in(app).settings is before
    with rehearsal(app) as stage:
        assert stage.signed_in("ada").get("/who").status_code == 200


def test_the_settings_of_the_application_hold(tmp_path: Path) -> None:
    app = guarded(tmp_path, access_ttl=60, registration="closed", password_min_length=20)
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada")
        account = {"email": "bob@example.com", "password": PASSWORD}
        assert stage.client.post("/register", json=account).status_code == 403
        stage.clock.tick(60)
        assert ada.get("/who").status_code == 401


def test_an_application_off_localhost_is_rehearsed_with_its_own_master_key(tmp_path: Path) -> None:
    key = "3f1c5a0d9be84627c05e1f7a2d8b46901c7e"
    database_url = f"sqlite:///{tmp_path}/production.db"
    app = guarded(tmp_path, issuer="https://api.example.com", master_keys=[key], database_url=database_url)
    with rehearsal(app) as stage:
        assert stage.signed_in("ada").get("/who").status_code == 200
        assert auth_in(app).settings.master_keys[0].get_secret_value() == key
    assert list(tmp_path.iterdir()) == []


def test_a_clock_of_the_test_is_taken(app: FastAPI) -> None:
    clock = FrozenClock(datetime(2031, 5, 1, tzinfo=UTC))
    with rehearsal(app, clock=clock) as stage:
        assert stage.clock is clock
        assert stage.signed_in("ada").user.created_at == clock.now()


def test_the_way_in_is_told_to_every_client(app: FastAPI) -> None:
    with rehearsal(app, base_url="https://localhost", raise_server_exceptions=False) as stage:
        ada = stage.signed_in("ada")
        assert str(ada.get("/who").url) == "https://localhost/who"
        assert ada.get("/broken").status_code == 500
    with rehearsal(app) as stage, pytest.raises(LookupError):
        stage.signed_in("ada").get("/broken")


def test_the_lifespan_runs_once_and_its_state_reaches_every_client(tmp_path: Path) -> None:
    runs: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        runs.append("start")
        yield {"colour": "green"}
        runs.append("stop")

    app = guarded(tmp_path, lifespan=lifespan)
    with rehearsal(app) as stage:
        assert stage.signed_in("ada").get("/state").json() == {"colour": "green"}
        assert runs == ["start"]
    assert runs == ["start", "stop"]


def test_an_application_below_another_is_found_and_given_back(tmp_path: Path) -> None:
    """No lifespan of a mounted application runs, so its Auth starts on first use, on a loop of its own."""
    inner, outer = guarded(tmp_path), FastAPI()
    outer.mount("/api", inner)
    with rehearsal(CORSMiddleware(outer)) as stage:
        assert stage.auth is auth_in(inner)
        ada = stage.signed_in("ada")
        assert ada.get("/api/who").json()["id"] == ada.user.id
        ada.refresh()
    assert not auth_in(inner).started
    assert list(tmp_path.iterdir()) == []


def test_an_application_without_auth_is_told() -> None:
    with pytest.raises(ConfigError, match="the application 'Shop' has no Auth"), rehearsal(FastAPI(title="Shop")):
        pass


def test_two_auths_are_told(tmp_path: Path) -> None:
    outer = FastAPI(title="Shop")
    outer.mount("/one", guarded(tmp_path))
    outer.mount("/two", guarded(tmp_path))
    with pytest.raises(ConfigError, match="'Shop' holds 2 applications"), rehearsal(outer):
        pass


def test_an_auth_is_no_application(app: FastAPI) -> None:
    wrong: Any = auth_in(app)
    with pytest.raises(ConfigError, match="not its Auth"), rehearsal(wrong):
        pass


def test_an_auth_that_runs_already_is_told(app: FastAPI) -> None:
    with TestClient(app), pytest.raises(ConfigError, match="auth runs already"), rehearsal(app):
        pass
    with rehearsal(app), pytest.raises(ConfigError, match="another rehearsal that is still open"), rehearsal(app):
        pass


def test_a_client_that_outlives_the_rehearsal_is_told(app: FastAPI) -> None:
    with rehearsal(app) as stage:
        ada = stage.signed_in("ada")
    with pytest.raises(ConfigError, match="the rehearsal is over"):
        ada.log_out()


def test_the_template_is_made_once(app: FastAPI) -> None:
    stage.template.cache_clear()
    for _ in range(3):
        with rehearsal(app):
            pass
    assert stage.template.cache_info().misses == 1


@pytest.mark.parametrize(("room", "gone"), [("rehearsals", "starlette.testclient"), ("async_rehearsals", "httpx2")])
def test_a_missing_client_library_is_told(room: str, gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, gone, None)
    found = importlib.util.find_spec(f"watchword.testing.{room}")
    assert found is not None
    assert found.loader is not None
    with pytest.raises(ConfigError, match="pip install httpx2"):
        found.loader.exec_module(importlib.util.module_from_spec(found))


def test_the_door_opens_to_exactly_what_it_lists() -> None:
    assert all(hasattr(watchword.testing, name) for name in watchword.testing.__all__)
    public = {"AsyncRehearsal", "AsyncSignedIn", "FrozenClock", "Rehearsal", "SignIn", "SignedIn"}
    assert set(watchword.testing.__all__) == public | {"async_rehearsal", "rehearsal", "seeded_entropy"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        watchword.testing.nothing  # noqa: B018
