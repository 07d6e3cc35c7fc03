"""LS-01: no password, token or key in logs, errors, or plain in the database. All is done once, and then searched."""

import base64
import json
import logging
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text
from tests import live
from tests.attacks.canaries import Canaries, forms, logged, stored, told
from tests.attacks.canary_run import FIRST, FORM, MASTER, NEW_MASTER, SECOND, THIRD, WRONG, Run, two_houses
from tests.house import ADA, BOB, Login
from tests.server import commands, conftest

run = conftest.run


async def test_no_secret_is_in_a_log_an_error_a_value_or_the_database(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """LS-01: the attacker reads what is not kept as carefully as a secret: logs, reports of faults with their stack traces, a
    backup of the database. Everything that can be done is done once, right and wrong, while every logger says all it has to
    say. Then all of it is searched for every password, token, part of a token, key and master key, in seven spellings."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy")  # which keeps itself quiet otherwise
    canaries = Canaries()
    for name, secret in (("password", FIRST), ("password", SECOND), ("password", THIRD), ("password", WRONG)):
        canaries.add(name, secret)
    canaries.add("master key", MASTER)
    canaries.add("master key", NEW_MASTER)
    async with two_houses(tmp_path, database_url) as (house, newer):
        run = Run(house, canaries)
        await run.accounts_and_sessions()
        await run.changes()
        await run.malformed()
        await run.faults()
        await run.keys(newer)
        held = await stored(house)
        assert house.auth._home is not None
        async with house.auth._home.db.read() as connection:
            hashes = (await connection.execute(text("SELECT password_hash FROM watchword_users"))).scalars().all()
    log = logged(caplog.records)
    assert {answer.status_code for answer in run.refusals} >= {200, 202, 204, 400, 401, 403, 404, 409, 422, 503}
    assert len(canaries.secrets) > 60
    assert len(caplog.records) > 500
    assert b"watchword" in held or ADA.encode() in held
    assert canaries.found("a log", log) == []
    assert canaries.found("an answer", told(run.refusals)) == []
    assert canaries.found("a value that was shown", "\n".join(run.shown)) == []
    assert canaries.found("the database", held) == []
    for digest in hashes:  # those are in the database, and nowhere else
        assert digest not in log + told(run.refusals) + "\n".join(run.shown)


@pytest.mark.parametrize("name", ["password", "private key"])
def test_the_search_finds_what_has_leaked(name: str) -> None:
    """LS-01: the counterpart: in whichever spelling and place a secret is written, the search finds it."""
    canaries = Canaries()
    secret = FIRST.encode() if name == "password" else bytes(range(200, 232))
    canaries.add(name, secret)
    assert len(forms(secret)) >= 5
    for form in forms(secret):
        assert canaries.found("a log", b"event=x value=" + form + b" end")
    for shown in (base64.b64encode(secret).decode(), repr(secret), repr({"secret": secret}), secret.hex()):
        assert canaries.found("a log", f"value={shown}")
    record = logging.LogRecord("x", logging.DEBUG, "x.py", 1, "nothing here", (), None)
    record.password = FIRST
    canaries.add("password", FIRST)
    assert canaries.found("a log", logged([record]))


def test_no_command_shows_or_keeps_a_secret(
    run: commands.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LS-01: what commands print stays in the window of a terminal and in the log of a pipeline: passwords that are refused,
    hashes of an import with faults, master keys."""
    caplog.set_level(logging.DEBUG)
    canaries = Canaries()
    for secret in (FIRST, SECOND, WRONG, MASTER, NEW_MASTER):
        canaries.add("secret", secret)
    digest = "$2b$12$Cn4ryCn4ryCn4ryCn4ryCuQ7kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL"
    lines = [{"email": "imported@example.com", "password_hash": digest}, {"email": WRONG, "password_hash": digest}]
    (tmp_path / "import.jsonl").write_text("\n".join([*map(json.dumps, lines), f'{{"password": "{WRONG}"', WRONG]))
    monkeypatch.setenv("WATCHWORD_MASTER_KEYS", MASTER)
    said = [
        run("users", "add", ADA, stdin=f"{FIRST}\n"),
        run("users", "add", ADA, stdin=f"{FIRST}\n"),
        run("users", "add", BOB, stdin=FIRST[:14] + "\n"),
        run("users", "set-password", ADA, stdin=f"{SECOND}\n"),
        run("users", "set-password", ADA, stdin=SECOND[:10] + "\n"),
        run("users", "set-password", "nobody@example.com", stdin=f"{WRONG}\n"),
        run("users", "import", "import.jsonl", "--errors", "errors.jsonl"),
        run("users", "import", "import.jsonl", "--json"),
        run("users", "list", "--json"),
        run("keys", "list", "--json"),
        run("keys", "rotate", "--now"),
        run("keys", "retire", "1", "--yes"),
        run("doctor", "--no-try", "--json"),
        run("upkeep"),
    ]
    monkeypatch.setenv("WATCHWORD_MASTER_KEYS", f"{NEW_MASTER},{MASTER}")
    said += [run("keys", "reseal"), run("keys", "list")]
    monkeypatch.setenv("WATCHWORD_MASTER_KEYS", f"{MASTER},{WRONG}")
    said += [run("users", "list"), run("doctor", "--no-try")]
    monkeypatch.setenv("WATCHWORD_MASTER_KEYS", MASTER)
    monkeypatch.setenv("WATCHWORD_DATABASE_URL", f"postgresql://u:{NEW_MASTER}@127.0.0.1:1/x?password={MASTER}")
    said += [run("users", "list"), run("migrate"), run("doctor", "--no-try", "--json")]
    assert {one.code for one in said} == {0, 1}
    printed = "\n".join(f"{one.out}{one.err}" for one in said)
    held = b"".join(path.read_bytes() for path in sorted((tmp_path / ".watchword").iterdir()) if path.is_file())
    assert b"imported@example.com" in held
    assert canaries.found("the database", held) == []
    canaries.add("hash", digest.rpartition("$")[2])
    assert canaries.found("the output", printed) == []
    assert canaries.found("a log", logged(caplog.records)) == []
    assert canaries.found("the file of bad lines", (tmp_path / "errors.jsonl").read_bytes()) == []


def test_the_server_s_own_log_holds_no_secret(tmp_path: Path) -> None:
    """LS-01: the process as it is started: its access log, its warnings and stack traces, with canaries where a client should
    never put one: in the address, in the query, in headers, in bodies that can't be read."""
    canaries = Canaries()
    for secret in (FIRST, WRONG, "canary-in-an-address", MASTER):
        canaries.add("secret", secret)
    canary = "canary-in-an-address"
    with live.serving(tmp_path, WATCHWORD_MASTER_KEYS=MASTER) as url, httpx2.Client(base_url=url) as client:
        assert client.post("/register", json={"email": ADA, "password": FIRST}).status_code == 202
        answer = client.post("/login", data={"username": ADA, "password": FIRST}).json()
        login = Login(answer["access_token"], answer["refresh_token"])
        canaries.add_login(login)
        client.post("/login", data={"username": ADA, "password": WRONG})
        for query in (login.access, login.refresh, canary, FIRST):
            client.get("/me", params={"access_token": query, "password": query})
            client.get(f"/nothing/{canary}", headers={"Authorization": f"Bearer {query.replace(' ', '-')}"})
            client.post("/login", params={"username": ADA, "password": query}, content=query.encode(), headers=FORM)
            client.post("/register", content=query.encode(), headers={"content-type": "application/json"})
            client.get("/me", headers={"Host": canary, "Cookie": canary})
        assert client.post("/logout", headers=login.headers).status_code == 204
    log = (tmp_path / "serve.log").read_bytes()
    assert b"LoginFailed" in log
    assert canaries.found("the server's log", log) == []
    held = b"".join(path.read_bytes() for path in (tmp_path / ".watchword").glob("watchword.db*"))
    assert canaries.found("the database", held) == []
