"""What the answers say to browsers, what errors tell of the house, and requests that two readers read in two ways.

Each docstring begins with the row of the security requirements that it shows.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from tests import databases, live
from tests.house import ADA, OTHER_PASSWORD, PASSWORD, House, Login, open_house
from tests.wired import connect, heard, said, wired

from watchword import Settings
from watchword.server.app import create_app
from watchword.stores.sql.users import SqlUsers

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
PUBLIC: dict[str, Any] = {"issuer": "https://auth.example.com", "master_keys": KEY}
ARMOUR = {
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


def every_request(app: Any) -> Iterator[tuple[str, str]]:
    """A method and a path for each route of ours, as OpenAPI lists them, so that a new one is among them."""
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path.replace("{session_id}", "a" * 26)


@pytest.mark.usefixtures("logging_as_before")
def test_every_answer_of_the_server_is_armoured(sqlite_url: str) -> None:
    """HD-01: the attacker frames an answer, has a browser guess its type, reads an address in a Referer, or waits for the one
    request that goes out by http. Every route, good answers and refusals, and what no route answers."""
    app = create_app(Settings(**PUBLIC, database_url=sqlite_url, registration="open"))
    with TestClient(app, base_url=PUBLIC["issuer"]) as client:
        client.post("/register", json={"email": ADA, "password": PASSWORD})
        login = client.post("/login", data={"username": ADA, "password": PASSWORD})
        headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
        requests = [*every_request(app), ("GET", "/nothing"), ("PUT", "/me"), ("OPTIONS", "/login")]
        assert len(requests) > 14
        answers = [login, *(client.request(*request) for request in requests)]
        answers += [client.request(*request, headers=headers) for request in requests if request[0] == "GET"]
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 405, 422}
    for answer in answers:
        assert {name: answer.headers.get(name) for name in ARMOUR} == ARMOUR, answer.request.url


async def test_every_answer_of_ours_is_armoured_in_an_application_too(tmp_path: Path, sqlite_url: str) -> None:
    """HD-01: the same attack where Watchword is part of an application that has no such headers of its own."""
    async with open_house(tmp_path, database_url=sqlite_url, health=True, registration="open", **PUBLIC) as house:
        await house.register()
        login = await house.login()
        for method, path in every_request(house.app):
            for headers in ({}, login.headers):
                answer = await house.client.request(method, path, headers=headers)
                assert {name: answer.headers.get(name) for name in ARMOUR} == ARMOUR, (method, path)


FOREIGN_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "evil.example:80",
    "127.0.0.1.nip.io",
    "0x7f000001",
    "",
    "localhost@x",
]
FORWARDED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Port": "70",
    "X-Forwarded-Prefix": "//evil.example",
    "Forwarded": "host=evil.example;proto=gopher",
    "X-Original-URL": "//evil.example/",
}


@pytest.mark.parametrize("name", FOREIGN_HOSTS)
async def test_a_server_for_the_desk_answers_to_no_other_name(house: House, name: str) -> None:
    """HD-02: a page whose name the attacker lets resolve to 127.0.0.1 speaks to the developer's server. The row asks for 400;
    the design for 421, which says what is wrong."""
    for path in ("/me", "/.well-known/oauth-authorization-server", "/nothing"):
        answer = await house.client.get(path, headers={"Host": name, **FORWARDED})
        assert answer.status_code == 421
        assert "evil" not in answer.text


async def test_elsewhere_no_answer_depends_on_what_the_request_calls_the_server(
    tmp_path: Path, sqlite_url: str
) -> None:
    """HD-02: a mail or a cache would hand out the attacker's address. Behind a load balancer any Host may come (the row asks
    for a refusal; names are the proxy's affair in the design), so it changes nothing: no host, no scheme, no prefix."""
    proxies = "203.0.113.0/24"  # where this client is: even a trusted proxy says nothing of host and scheme
    async with open_house(tmp_path, database_url=sqlite_url, trusted_proxies=proxies, **PUBLIC) as house:
        plain = [await house.client.request(*request) for request in every_request(house.app)]
        spoofed = [
            await house.client.request(*request, headers={"Host": "evil.example", **FORWARDED})
            for request in every_request(house.app)
        ]
    assert [(one.status_code, one.headers, one.text) for one in plain] == [
        (one.status_code, one.headers, one.text) for one in spoofed
    ]


@pytest.mark.usefixtures("logging_as_before")
def test_no_redirect_leads_to_the_host_that_a_request_names(sqlite_url: str) -> None:
    """HD-02: `/me/` would be sent on to `/me` at whatever Host says, with http for https behind a proxy: a link to us that
    leads to the attacker."""
    with TestClient(create_app(Settings(**PUBLIC, database_url=sqlite_url)), follow_redirects=False) as client:
        for path in ("/me/", "/sessions/", "/.well-known/jwks.json/", "/healthz/", "//evil.example", "/\\evil.example"):
            answer = client.get(path, headers={"Host": "evil.example", **FORWARDED})
            assert answer.status_code == 404
            assert "location" not in answer.headers


VERSIONS = [
    re.escape(metadata.version(name)) for name in ("watchword", "fastapi", "starlette", "uvicorn", "sqlalchemy")
]
TELLING = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|sqlalchemy|sqlite|asyncpg|psycopg|uvicorn|starlette|pydantic|httptools|"
    r"watchword_|SELECT|INSERT|UPDATE|/usr/|/srv/|/tmp/|0x[0-9a-f]{6}|Exception|" + "|".join(VERSIONS),
    re.IGNORECASE,
)
SAID = r"https://(watchword\.readthedocs\.io|docs\.pydantic\.dev)/\S*"


def assert_says_nothing(answer: httpx2.Response) -> None:
    told = re.sub(SAID, "", f"{answer.text} {dict(answer.headers)}")
    assert not TELLING.search(told), told


async def requests(house: House, login: Login) -> AsyncIterator[httpx2.Response]:
    """Something at every route, good and malformed."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    for method, path in every_request(house.app):
        for headers in ({}, login.headers):
            yield await house.client.request(method, path, headers=headers)
            for body in (b"", b"{", b"[]", b'{"email": 1}', b"\xff\xfe", b"x" * 70_000, b"username=%00&password=%ff"):
                yield await house.client.request(method, path, headers=headers, content=body)
                yield await house.client.request(method, path, headers={**headers, **form}, content=body)
    yield await house.try_login()
    yield await house.try_refresh(login.refresh)
    yield await house.client.post("/logout", headers=login.headers, data={"refresh_token": login.refresh})
    change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    yield await house.client.post("/change-password", json=change, headers=login.headers)
    for path in ("/nothing", "/%00", "/me/../../etc/passwd", "/sessions/x'--", "/docs/../x"):
        yield await house.client.get(path)
        yield await house.client.request("TRACE", path)


@contextlib.contextmanager
def falling(house: House) -> Iterator[None]:
    """Every statement fails, with words of the database's own."""
    assert house.auth._home is not None
    engine = house.auth._home.db.engine.sync_engine

    def fail(_connection: Any, _cursor: Any, running: str, *_: Any) -> None:
        raise OperationalError(running, {"email": ADA}, Exception('File "/srv/app/driver.py", line 1: SELECT failed'))

    event.listen(engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", fail)


async def test_no_error_tells_how_the_house_is_built(either: House) -> None:
    """HD-03: the attacker sends what is wrong to every route and reads the answers for a stack trace, a version, SQL, a path:
    first while all is well, then while the database fails with words of its own."""
    await either.register()
    login = await either.login()
    statuses: set[int] = set()
    with falling(either):
        async for answer in requests(either, login):
            assert_says_nothing(answer)
            statuses.add(answer.status_code)
    async for answer in requests(either, login):
        assert_says_nothing(answer)
        statuses.add(answer.status_code)
    assert statuses >= {200, 204, 400, 401, 404, 405, 413, 422, 503}
    assert 500 not in statuses


async def test_a_fault_of_our_own_tells_nothing_either(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """HD-03: a bug that nobody knows of is found by the attacker first. He gets three words."""

    async def broken(self: SqlUsers, identifier: str) -> None:
        raise RuntimeError(f"SELECT * FROM watchword_users WHERE email = {identifier!r}  /srv/app/users.py")

    monkeypatch.setattr(SqlUsers, "find", broken)
    transport = httpx2.ASGITransport(app=house.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/login", data={"username": ADA, "password": PASSWORD})
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert_says_nothing(answer)


FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""What the attacker smuggles in: read as a body by one, as the next request by the other."""

CHUNKED = b"0\r\n\r\n" + HIDDEN


def post(*headers: bytes, body: bytes = CHUNKED, version: bytes = b"1.1") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST /login HTTP/" + version + b"\r\nHost: auth.example.com\r\n" + FORM + lines + b"\r\n" + body


def get(*headers: bytes, path: bytes = b"/healthz") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


HOST = b"Host: auth.example.com"
LENGTH = b"Content-Length: 5"
UPGRADE = b"Connection: Upgrade", b"Upgrade: h2c"
READ_IN_TWO_WAYS: dict[str, bytes] = {
    "Content-Length and Transfer-Encoding": post(LENGTH, b"Transfer-Encoding: chunked"),
    "Transfer-Encoding and Content-Length": post(b"Transfer-Encoding: chunked", LENGTH),
    "two lengths": post(LENGTH, b"Content-Length: 6"),
    "a length twice": post(LENGTH, LENGTH),
    "a list of lengths": post(b"Content-Length: 5, 5"),
    "a length with a sign": post(b"Content-Length: +5"),
    "a length in hex": post(b"Content-Length: 0x5"),
    "a negative length": post(b"Content-Length: -1"),
    "a length beyond all numbers": post(b"Content-Length: 99999999999999999999999"),
    "an unknown coding": post(b"Transfer-Encoding: xchunked"),
    "chunked and not at the end": post(b"Transfer-Encoding: chunked, identity"),
    "chunked twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "a space before the colon": post(b"Transfer-Encoding : chunked"),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked"),
    "a vertical tab before it": post(b"Transfer-Encoding: \x0bchunked"),
    "a chunk's size in another notation": post(b"Transfer-Encoding: chunked", body=b"0x5\r\nabcde\r\n" + CHUNKED),
    "a chunk's size without its CR": post(b"Transfer-Encoding: chunked", body=b"5\nabcde\n" + CHUNKED),
    "a line feed in a chunk's extension": post(b"Transfer-Encoding: chunked", body=b"5;a=\nb\r\nabcde\r\n" + CHUNKED),
    "a chunk that is longer than it says": post(b"Transfer-Encoding: chunked", body=b"3\r\nabcde\r\n" + CHUNKED),
    "a folded header": get(HOST, b"X-A: b\r\n c"),
    "a token on the next line": get(HOST, b"Authorization: Bearer\r\n\tx.y.z", path=b"/me"),
    "two hosts": get(HOST, b"Host: evil.example"),
    "a host twice": get(HOST, HOST),
    "a target with another host": get(HOST, path=b"http://evil.example/jwks"),
    "a target with another port": get(HOST, path=b"https://auth.example.com:444/jwks"),
    "a tunnel": get(HOST, path=b"/healthz").replace(b"GET", b"CONNECT"),
    "an upgrade with a body": get(HOST, *UPGRADE, LENGTH) + b"abcde",
    "an upgrade with chunks": get(HOST, *UPGRADE, b"Transfer-Encoding: chunked") + CHUNKED,
    "two hosts in two cases": get(HOST, b"HOST: evil.example"),
    "two tokens": get(HOST, b"Authorization: Bearer x", b"Authorization: Bearer y", path=b"/me"),
    "two tokens where none is needed": get(HOST, b"Authorization: Bearer x", b"Authorization: Basic eDp5"),
    "lines without CR": HIDDEN.replace(b"\r", b""),
    "a CR within a value": get(HOST, b"X-A: b\rX-B: c"),
    "NUL within a value": get(HOST, b"X-A: b\0c"),
    "a space within a name": get(HOST, b"X A: b"),
    "a line that is no header": get(HOST, b"X-A"),
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server as the product starts it, for a public issuer."""
    folder = tmp_path_factory.mktemp("served")
    settings = {
        "WATCHWORD_ISSUER": PUBLIC["issuer"],
        "WATCHWORD_MASTER_KEYS": KEY,
        "WATCHWORD_DATABASE_URL": databases.copy(sqlite_template, folder),
    }
    with live.serving(folder, **settings) as url:
        port = urlsplit(url).port
        assert port is not None
        yield port


@pytest.mark.parametrize("name", READ_IN_TWO_WAYS)
def test_a_request_that_can_be_read_in_two_ways_is_not_read(served: int, name: str) -> None:
    """HD-04: a proxy and the server disagree where the request ends, which host it is for, or whose token it carries; what the
    attacker hid in it is answered to the next client. It is refused with 400, and nothing behind it is read."""
    request = READ_IN_TWO_WAYS[name]
    answers = said(served, request.replace(HOST, HOST + b"\r\nConnection: close"))
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1
    assert not TELLING.search(re.sub(SAID, "", answers.decode()))


def test_what_comes_behind_an_upgrade_is_not_read(served: int) -> None:
    """HD-04: the parser drops what came with a request for an upgrade, and would read on in the middle of the next one: there
    the attacker has put the body of a request, which is a request by itself."""
    hidden = get(HOST, path=b"/docs")
    head = post(b"Content-Length: %d" % len(hidden), body=b"")
    with connect(served) as connection:
        connection.sendall(get(HOST, *UPGRADE) + head)
        answers = connection.recv(65536)
        with contextlib.suppress(ConnectionError):
            connection.sendall(hidden)
        answers += heard(connection)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 ") == 1


def test_a_request_that_was_answered_is_not_answered_again(served: int) -> None:
    """HD-04: the body is not wanted, and the answer is there before it. When it turns out to be none, a second answer would be
    taken by a proxy for that of the next request."""
    head = post(b"Transfer-Encoding: chunked", body=b"").replace(FORM, b"Content-Type: text/plain\r\n")
    with connect(served) as connection:
        connection.sendall(head)
        answers = connection.recv(65536)
        connection.sendall(b"zzz\r\n")
        answers += heard(connection)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1


@pytest.mark.usefixtures("logging_as_before")
def test_a_trailer_is_no_header(tmp_path: Path) -> None:
    """HD-04: a proxy looks at the headers and lets through what stands behind the body, where one reader makes headers of it:
    a token, a second token, another host (RFC 9110 6.5.1). Head and body come at once, before the application begins."""
    account = {"email": ADA, "password": PASSWORD}
    chunked = (b"Host: localhost", b"Connection: close", b"Transfer-Encoding: chunked")
    stale = b"Authorization: Bearer x"

    def me(*headers: bytes, trailers: tuple[bytes, ...]) -> bytes:
        body = b"0\r\n" + b"".join(trailer + b"\r\n" for trailer in trailers) + b"\r\n"
        return said(port, get(*chunked, *headers, path=b"/me") + body)

    with wired(create_app(Settings(data_dir=tmp_path / "home"))) as port:
        assert httpx2.post(f"http://localhost:{port}/register", json=account).status_code == 202
        form = {"username": ADA, "password": PASSWORD}
        token = httpx2.post(f"http://localhost:{port}/login", data=form).json()["access_token"].encode()
        mine = b"Authorization: Bearer " + token
        assert me(trailers=(mine,)).startswith(b"HTTP/1.1 401 ")
        assert me(stale, trailers=(mine,)).startswith(b"HTTP/1.1 401 ")
        assert me(mine, trailers=(stale, b"Host: evil.example")).startswith(b"HTTP/1.1 200 ")


def test_the_server_reads_what_is_written_as_it_should_be(served: int) -> None:
    """HD-04: the counterpart, without which a server that refuses everything would pass."""
    closing = b"Connection: close"
    assert said(served, get(HOST, closing)).startswith(b"HTTP/1.1 200 ")
    chunks = b"15\r\nusername=a&password=b\r\n0\r\n\r\n"
    for request in (
        post(closing, b"Transfer-Encoding: chunked", body=chunks),
        post(closing, b"Content-Length: 21", body=b"username=a&password=b"),
    ):
        assert b'"error":"invalid_grant"' in said(served, request)
