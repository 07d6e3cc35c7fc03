"""Passwords at every door: common ones, storms of them, stolen sessions without them, hashes that are broken.

Each docstring begins with the row of the security requirements that it shows. What SP 800-63B says of a password (PW-01,
PW-02, PW-03, PW-05) and how it is kept (PW-06) are in `tests/conformance`.
"""

import ast
import asyncio
import contextlib
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from starlette.types import Message
from tests import fleet
from tests.gate import Gate
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, PATIENCE, House, Login, open_house

import watchword
from watchword.core import passwords
from watchword.core.errors import WeakPassword
from watchword.flows import accounts
from watchword.ports import Ending

FLOWS = Path(watchword.__file__).parent / "flows"
ROOM = 4
"""One thread that hashes, and a queue of three."""

# Common ones

COMMON = [
    "password", "123456", "qwerty", "monkey", "dragon", "letmein", "football", "baseball", "iloveyou", "master",
    "sunshine", "shadow", "michael", "jennifer", "superman", "batman", "princess", "trustno1", "starwars", "welcome",
    "ashley", "bailey", "passw0rd", "charlie", "jordan", "harley", "ranger", "hunter", "buster", "soccer", "hockey",
    "killer", "george", "andrew", "daniel", "jessica", "pepper", "joshua", "thomas", "summer", "winter", "computer",
    "internet", "pokemon", "cheese", "whatever", "secret", "freedom", "maggie", "ginger", "abc123", "1q2w3e4r",
    "zaq12wsx", "asdfgh", "zxcvbn", "qazwsx", "111111", "654321", "liverpool", "chelsea", "arsenal",
]  # fmt: skip


def lengthened(word: str) -> tuple[str, ...]:
    """What people make of their password when it has to have fifteen characters."""
    return (
        word * (-(-15 // len(word))),
        f"{word}{word}20262026"[:19].ljust(15, "6"),
        f"{word}123456789012345"[:15],
        word.capitalize() + "!" * 15,
        word + "1" * 15,
    )


EASY = (
    *(easy for word in COMMON for easy in lengthened(word)),
    "qwertyuiopasdfgh", "abcdefghijklmnop", "passwordpassword", "P@ssw0rdP@ssw0rd", "               ", "🔥" * 20, "\0" * 20,
    "ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ",
)  # fmt: skip
"""Common ones in all these forms, walks over the keyboard, and one thing many times."""

CLOSE = (
    "ada.lovelace@example.com", "ADA.LOVELACE@EXAMPLE.COM", "adalovelaceadalovelace", "adalovelace1234", "countesscountess",
    "watchwordwatchword", "watchword123456", "orchardorchard1", "ORCHARD20262026", "localhostlocalhost",
)  # fmt: skip
"""Ada's address and username, the product's name, the operator's `context_words`, the host."""

ADA_LOVELACE, COUNTESS = "ada.lovelace@example.com", "countess"


@pytest.fixture
async def orchard(tmp_path: Path, sqlite_url: str) -> AsyncIterator[House]:
    """A house of a product with a name."""
    async with open_house(tmp_path, database_url=sqlite_url, context_words="orchard") as opened:
        yield opened


async def test_common_passwords_at_the_front_door(orchard: House) -> None:
    """PW-04: the attacker tries the three thousand passwords that everybody uses, in the forms that a minimum length
    makes of them, and what he knows of the account: its address, its name, the product's. None of them can be chosen at
    registration."""
    for easy in (*EASY, *CLOSE):
        orchard.clock.tick(10)  # as slowly as the limit on registrations wants it
        body = {"email": ADA_LOVELACE, "username": COUNTESS, "password": easy}
        answer = await orchard.client.post("/register", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "weak_password"), easy
        assert easy.strip("\0 ") not in answer.text or not easy.strip("\0 ")


async def test_common_passwords_at_the_other_doors(orchard: House) -> None:
    """PW-04: registration checks, and the change of a password was forgotten, or the command with which the operator
    makes the first account: better-auth missed such paths."""
    user_id = await orchard.register(ADA_LOVELACE, username=COUNTESS)
    login, kit = await orchard.login(ADA_LOVELACE), await orchard.kit()
    for easy in (*EASY[::7], *CLOSE):
        body = {"current_password": PASSWORD, "new_password": easy}
        answer = await orchard.client.post("/change-password", json=body, headers=login.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "weak_password"), easy
        with pytest.raises(WeakPassword):
            await accounts.set_password(kit, user_id, easy)
        await accounts.find(kit, ADA_LOVELACE)
    await accounts.delete(kit, user_id)
    for easy in (*EASY[::7], *CLOSE):
        with pytest.raises(WeakPassword):
            await accounts.add(kit, ADA_LOVELACE, easy, COUNTESS, frozenset({"admin"}))
    assert await kit.users.find(ADA_LOVELACE) is None


@pytest.mark.parametrize("easy", ["passwordpassword", "ada.lovelace1234", "too short"])
def test_common_passwords_at_the_command_line(easy: str, tmp_path: Path) -> None:
    """PW-04: the operator's own account is the one that everything can be done with."""
    environment = fleet.settings(f"sqlite:///{tmp_path}/db", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "watchword", "users", "add", ADA_LOVELACE, "--scope", "admin"],
        cwd=tmp_path, env=environment, input=f"{easy}\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "A few" in done.stderr
    assert easy not in done.stdout + done.stderr


def test_no_path_to_a_hash_goes_past_the_check() -> None:
    """PW-04: the next way to set a password is written by somebody who does not know of the check. Every flow that
    hashes one asks for it first; only a rehash keeps a password that is there already."""
    hashing: dict[str, bool] = {}
    for path in FLOWS.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef):
                called = {
                    ast.unparse(node.func): node.lineno for node in ast.walk(function) if isinstance(node, ast.Call)
                }
                if "kit.hashing.hash" in called:
                    before = [line for name, line in called.items() if name.split(".")[-1] in ("accept", "accept_for")]
                    hashing[function.name] = min(before, default=10_000) < called["kit.hashing.hash"]
    assert hashing.pop("_rehash") is False
    assert hashing.pop("_take_away_from_host") is False, "chance, which nobody is told"
    assert hashing.keys() == {"add", "set_password", "change", "register", "reset"}
    assert all(hashing.values()), hashing


# Storms


@pytest.fixture
async def narrow(tmp_path: Path, sqlite_url: str) -> AsyncIterator[House]:
    """A house with little room for hashing."""
    async with open_house(tmp_path, database_url=sqlite_url, hashing_threads=1, hashing_queue=ROOM - 1) as opened:
        await opened.register()
        yield opened


async def test_a_storm_of_logins_gets_503_and_everybody_else_is_served(narrow: House, gate: Gate) -> None:
    """PW-07: the attacker sends more logins than can be hashed. On the event loop they would stop every other request,
    and in a pool without an end each would take 19 MiB. They wait in a queue; what does not fit is told when to come
    again, at once."""
    login_before = asyncio.create_task(narrow.login())
    await asyncio.to_thread(gate.busy.wait, PATIENCE)
    storm = [asyncio.create_task(narrow.try_login()) for _ in range(ROOM - 1)]
    hashing = (await narrow.kit()).hashing
    async with asyncio.timeout(PATIENCE):
        while hashing._waiting < ROOM:  # noqa: ASYNC110 - the storm has no event that says that it is here
            await asyncio.sleep(0)
    refused = await narrow.try_login()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["cache-control"] == "no-store"
    assert refused.json()["error"] == "temporarily_unavailable"
    body = {"email": BOB, "password": PASSWORD}
    registration = await narrow.client.post("/register", json=body)
    assert registration.status_code == 503
    assert registration.json()["code"] == "overloaded"
    assert (await narrow.client.get("/.well-known/jwks.json")).status_code == 200
    gate.open()
    assert {answer.status_code for answer in await asyncio.gather(*storm)} == {200}
    assert (await narrow.me(await login_before)).status_code == 200
    assert (await narrow.client.post("/register", json=body)).status_code == 202


async def test_a_login_whose_sender_has_hung_up_is_not_hashed_for(narrow: House, gate: Gate) -> None:
    """PW-07: the attacker sends logins and hangs up, which costs him nothing and keeps no connection. Each would be hashed
    for all the same, and hold a place in the queue until then. It is dropped, it counts as no guess, and its place is free."""
    login_before = asyncio.create_task(narrow.login())
    await asyncio.to_thread(gate.busy.wait, PATIENCE)
    hung_up = asyncio.Event()
    storm = [asyncio.create_task(_login_and_hang_up(narrow, hung_up)) for _ in range(ROOM - 1)]
    hashing = (await narrow.kit()).hashing
    async with asyncio.timeout(PATIENCE):
        while hashing._threads._work_queue.qsize() < ROOM - 1:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)
    hung_up.set()
    assert {await one for one in storm} == {503}
    login_after = asyncio.create_task(narrow.login())
    gate.open()
    assert (await narrow.me(await login_before)).status_code == 200
    assert (await narrow.me(await login_after)).status_code == 200
    assert len(gate.came) == 2


async def test_a_login_that_finds_no_place_costs_the_database_nothing(narrow: House) -> None:
    """PW-07: a storm that is refused would still fill the database's pool, and everybody else's requests wait there."""
    hashing = (await narrow.kit()).hashing
    with contextlib.ExitStack() as storm:
        for _ in range(ROOM):
            storm.enter_context(hashing.place())
        with narrow.statements() as seen:
            assert (await narrow.try_login(ADA, PASSWORD)).status_code == 503
    assert seen == []


async def test_a_server_that_calls_everybody_gone_keeps_nobody_out(house: House) -> None:
    """Some adapters and test clients say that the client has hung up as soon as the body is read, and always."""
    await house.register()
    gone = asyncio.Event()
    gone.set()
    assert await _login_and_hang_up(house, gone, PASSWORD) == 200


async def test_a_middleware_that_gives_the_body_for_ever_stops_nobody(house: House) -> None:
    """A common one reads the body, and gives it again whoever asks: who waits for its end would keep the whole worker busy."""
    await house.register()
    assert await _login_and_hang_up(house, asyncio.Event(), PASSWORD, for_ever=True) == 200


async def _login_and_hang_up(
    house: House, hung_up: asyncio.Event, password: str = "a guess", *, for_ever: bool = False
) -> int:
    """The status of an answer that nobody reads."""
    body = [{"type": "http.request", "body": urlencode({"username": ADA, "password": password}).encode()}]
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        if body:
            return body[0] if for_ever else body.pop()
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    headers = [(b"host", b"testserver"), (b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": "/login", "query_string": b"", "headers": headers}
    await house.app({**scope, "scheme": "http", "client": ("203.0.113.9", 1), "root_path": ""}, receive, send)
    return status[0]


async def test_no_password_is_hashed_on_the_event_loop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """PW-07: the attacker finds the one route that hashes where all the others are answered. Of every route that takes
    a password, the hash, the comparison and the estimate (which takes a second for some texts) work in a thread that is
    there for it."""
    where: dict[str, set[str]] = {}
    for name in ("hash_password", "verify", "check"):

        def noting(*arguments: object, name: str = name, work: object = getattr(passwords, name)) -> object:
            where.setdefault(name, set()).add(threading.current_thread().name)
            assert callable(work)
            return work(*arguments)

        monkeypatch.setattr(passwords, name, noting)
    await house.register()
    login = await house.login()
    await house.try_login("nobody@example.com")
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await house.client.post("/change-password", json=body, headers=login.headers)).status_code == 204
    assert where.keys() == {"hash_password", "verify", "check"}
    assert {name.rpartition("_")[0] for names in where.values() for name in names} == {"watchword-hashing"}


# Stolen sessions


async def change(house: House, login: Login, **body: str) -> httpx2.Response:
    return await house.client.post("/change-password", json=body, headers=login.headers)


async def test_a_stolen_session_does_not_give_the_account(either: House) -> None:
    """PW-08: the thief has a phone that was left open, and wants the account for good. Without the present password he
    can't change it: fastapi-users does it for him. Whatever he sends, nothing has changed, for him and for its
    owner."""
    await either.register()
    stolen, owner = await either.login(), await either.login()
    assert (await change(either, stolen, new_password=OTHER_PASSWORD)).status_code == 422
    for guess in ("", "wrong", OTHER_PASSWORD, PASSWORD.upper(), PASSWORD + " "):
        answer = await change(either, stolen, current_password=guess, new_password=OTHER_PASSWORD)
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_password")
    for method in ("PUT", "PATCH", "DELETE", "GET"):
        body = {"password": OTHER_PASSWORD, "new_password": OTHER_PASSWORD}
        for path in ("/me", "/change-password"):
            answer = await either.client.request(method, path, json=body, headers=stolen.headers)
            there = path == "/me" and method in ("GET", "PATCH")
            assert answer.status_code == (200 if there else 405)
    assert (await either.try_login(password=OTHER_PASSWORD)).status_code == 400
    assert (await either.me(owner)).status_code == 200
    await either.login()


async def test_a_new_password_puts_the_thief_out(either: House) -> None:
    """PW-08: the owner suspects something and changes the password. In fastapi-users the thief's token lives on. Here
    every other session ends, with its access token, and the password that the thief knew is wrong."""
    await either.register()
    thief = await either.login()
    thief = await either.refresh(thief.refresh)
    owner = await either.login()
    assert (await change(either, owner, current_password=PASSWORD, new_password=OTHER_PASSWORD)).status_code == 204
    assert (await either.me(thief)).status_code == 401
    assert (await either.try_refresh(thief.refresh)).status_code == 400
    assert (await either.try_login()).status_code == 400
    assert (await either.me(owner)).status_code == 200
    await either.refresh(owner.refresh)
    await either.login(password=OTHER_PASSWORD)


async def test_a_login_that_began_before_does_not_outlive_the_change(
    narrow: House, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PW-08: the thief knows the old password, and signs in at the very moment in which it is changed: his was found
    right before, and his session would be opened after all the others were ended."""
    kit = await narrow.kit()
    thief = asyncio.create_task(narrow.try_login())
    await asyncio.to_thread(gate.busy.wait, PATIENCE)
    found = await kit.users.find(ADA)
    assert found is not None
    new_hash = passwords.hash_password(OTHER_PASSWORD, kit.policy.argon2)
    await kit.users.set_password(found.user.id, new_hash, narrow.clock.now(), ending=Ending.ALL)
    gate.open()
    answer = await thief
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert await kit.sessions.of_user(found.user.id, narrow.clock.now()) == []


# Broken hashes

WHOLE = "$argon2id$v=19$m=8,t=1,p=1$Q521y1IY3cCVB+ZBzUK4wA$iEMc+ViIy8vTv0bw9taT+kVZGiHNi7wueOVQGVQjMpg"
"""Of PASSWORD; written down, so that every process of the suite names its tests alike."""


@pytest.mark.parametrize(
    "broken",
    ["", "x", "!", "*", PASSWORD, "$argon2id$", WHOLE[:-2], WHOLE[:-10], WHOLE[:40], WHOLE + "!", WHOLE.replace("id", "xx"),
     WHOLE.replace("v=19", "v=99"), WHOLE.replace("m=8", "m=4294967295"), "$2b$12$" + "a" * 20, "pbkdf2_sha256$1000$salt$AA==",
     "{SSHA}aGFzaA==", "5f4dcc3b5aa765d61d8327deb882cf99"],
)  # fmt: skip
async def test_a_broken_hash_lets_nobody_in(house: House, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """PW-09: a failed migration, or an attacker who can write into a row, left something that is no hash. A comparison
    that raises is a 500, and one that is skipped lets everybody in. It is a wrong password for whoever asks, and one
    line for the operator."""
    await house.register()
    await house.register(BOB)
    kit = await house.kit()
    found = await kit.users.find(ADA)
    assert found is not None
    await kit.users.set_password(found.user.id, broken, house.clock.now(), ending=Ending.NONE)
    wrong = await house.try_login(BOB, "wrong")
    for shown in (PASSWORD, broken or "x", "x"):
        caplog.clear()
        with caplog.at_level(logging.INFO, "watchword"):
            answer = await house.try_login(ADA, shown)
        assert (answer.status_code, answer.content, answer.headers) == (400, wrong.content, wrong.headers)
        (line,) = [record.getMessage() for record in caplog.records if record.name == "watchword.audit"]
        assert line.startswith(f"LoginFailed(user_id={found.user.id!r}, because='the stored ")
        assert len(broken) < 3 or broken not in caplog.text
        assert PASSWORD not in caplog.text
    assert (await kit.users.find(ADA)) == found.__class__(found.user, broken)
