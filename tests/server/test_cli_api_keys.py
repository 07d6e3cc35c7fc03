"""`watchword api-keys …` and `watchword service-accounts …`: the key alone goes to stdout, so that it can be piped on."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.house import ADA, BOB
from tests.server.commands import Run, Said, assert_refused
from tests.server.test_cli import make

from watchword import Auth
from watchword.features.api_keys.rules import SHAPE
from watchword.server import annexes


def created(said: Said) -> tuple[str, str]:
    """The key, and its id."""
    assert said.code == 0, said.err
    key = said.out.removesuffix("\n")
    assert SHAPE.fullmatch(key)
    found = re.match(r"API key (\w{26}) \(", said.err)
    assert found is not None
    assert key not in said.err
    return key, found[1]


def listed(run: Run, owner: str) -> list[dict[str, Any]]:
    said = run("api-keys", "list", owner, "--json")
    assert (said.code, said.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def status(key: str, path: str = "/me") -> int:
    """What the server of this working directory answers."""
    app = FastAPI()
    Auth(features=annexes.standard()).install(app)
    with TestClient(app) as client:
        return client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code


def test_a_key_is_made_used_rotated_and_revoked(run: Run) -> None:
    user_id = make(run, "--scope", "read")
    key, key_id = created(run("api-keys", "create", ADA, "deploy", "--scope", "read", "--days", "30", "--limit", "60"))
    assert status(key) == 200
    (one,) = listed(run, user_id)
    assert (one["id"], one["name"], one["scopes"], one["limit_per_minute"]) == (key_id, "deploy", ["read"], 60)
    assert one["shown"] == key[:12]
    assert one["expires_at"] is not None
    assert one["last_used_at"] is not None
    shown = run("api-keys", "list", ADA)
    assert key_id in shown.out
    assert key not in shown.out
    new, new_id = created(run("api-keys", "rotate", key_id, "--overlap", "1"))
    assert {one["id"]: one["rotated_to"] for one in listed(run, ADA)} == {key_id: new_id, new_id: None}
    said = run("api-keys", "revoke", key_id)
    assert (said.code, said.out) == (0, f"{key[:12]}… (deploy) is revoked.\n")
    assert [status(one) for one in (key, new)] == [401, 200]


def test_one_without_an_end_says_none(run: Run) -> None:
    make(run)
    created(run("api-keys", "create", ADA, "deploy"))
    (one,) = listed(run, ADA)
    assert (one["expires_at"], one["last_used_at"], one["limit_per_minute"], one["scopes"]) == (None, None, None, [])


def test_whoever_has_none_is_told_how_to_make_one(run: Run) -> None:
    make(run)
    assert "watchword api-keys create OWNER NAME" in run("api-keys", "list", ADA).out
    assert "watchword service-accounts add NAME" in run("service-accounts", "list").out
    assert json.loads(run("service-accounts", "list", "--json").out) == []


def test_what_can_t_be_is_one_clear_text(run: Run) -> None:
    make(run, "--scope", "read")
    _, key_id = created(run("api-keys", "create", ADA, "deploy"))
    assert_refused(run("api-keys", "create", BOB, "deploy"), "There is no user with this address")
    assert_refused(run("api-keys", "create", ADA, "deploy", "--scope", "admin"), "more than its owner has")
    assert_refused(run("api-keys", "create", ADA, " "), "name")
    assert_refused(run("api-keys", "revoke", "a" * 26), "no live API key with this id")
    assert_refused(run("api-keys", "rotate", "deploy"), "no live API key with this id")
    created(run("api-keys", "rotate", key_id))
    assert_refused(run("api-keys", "rotate", key_id), "has a successor already")
    run("users", "disable", ADA)
    assert_refused(run("api-keys", "create", ADA, "deploy"), "There is no such owner, or it is disabled.")
    assert_refused(run("service-accounts", "disable", "ci", "--yes"), "no service account with this id")


def test_a_service_account_is_made_listed_and_disabled(run: Run) -> None:
    said = run("service-accounts", "add", "nightly", "--scope", "read", "--scope", "write")
    assert said.code == 0
    account = said.out.split()[-1].rstrip(".")
    assert said.out == f"nightly is service account {account}.\n"
    assert account in run("service-accounts", "list").out
    (one,) = json.loads(run("service-accounts", "list", "--json").out)
    assert (one["id"], one["name"], one["scopes"]) == (account, "nightly", ["read", "write"])
    key, _ = created(run("api-keys", "create", account, "job", "--scope", "read"))
    assert status(key, "/api-keys") == 401
    asked = run("service-accounts", "disable", account, stdin="n\n")
    assert asked.code == 1
    assert len(listed(run, account)) == 1
    done = run("service-accounts", "disable", account, stdin="y\n")
    assert "nightly is disabled, and its API keys have ended." in done.out
    assert json.loads(run("service-accounts", "list", "--json").out) == []


def test_an_application_without_the_feature_is_told_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_without_keys.py").write_text("from watchword import Auth\n\nauth = Auth()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WATCHWORD_APP", "shop_without_keys:auth")
    assert_refused(run("service-accounts", "list"), "Auth(features=[ApiKeys()])")
