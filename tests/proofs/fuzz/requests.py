"""Forms, JSON bodies and headers, as they come through the doors of the house.

Behind the doors is nobody: the routes are the real ones, and the house that they ask for refuses, so what is tried is all that
reads a request, and nothing else.
"""

import asyncio
import functools
import ipaddress
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.types import Message
from tests.proofs.fuzz.parser import Parser

from watchword.core import scopes
from watchword.core.errors import InvalidRequest
from watchword.core.policy import Policy
from watchword.flows.kit import Kit
from watchword.web import accounts, client, device, guard, sessions

NOBODY = "Nobody is in."
FORMS = ("/login", "/refresh", "/logout")
BODIES = ("/register", "/change-password", "/logout")
TYPES = (
    b"application/x-www-form-urlencoded", b"application/json", b"application/x-www-form-urlencoded; charset=utf-7",
    b"multipart/form-data; boundary=x", b"application/vnd.api+json", b"", b"text/plain",
)  # fmt: skip
ANSWERS = {400, 401, 413, 415, 422}
BEARER = b"Bearer wwa"


class Refusing(Exception):
    """The request was refused, as it may be."""


async def _open_house() -> Kit:
    raise InvalidRequest("a house without a kit", detail=NOBODY)


@functools.cache
def application() -> FastAPI:
    """The routes, as `install` would take them."""
    app = FastAPI(openapi_url=None)
    who = guard.Guard(_open_house, guard.password_login(""), lambda: None)
    for router in (
        sessions.token_routes(_open_house),
        sessions.session_routes(_open_house, who),
        accounts.account_routes(_open_house, who),
    ):
        app.include_router(router)
    return app


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _send(path: str, data: bytes) -> None:
    """The first byte chooses the media type, the second how the body is cut and whether it is made long."""
    choice, cut, body = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    if cut[0] & 0x80:
        body *= 64
    status, answer = _loop().run_until_complete(
        _answer(path, TYPES[choice[0] % len(TYPES)], _pieces(body, cut[0] & 0x7F))
    )
    assert status in ANSWERS, f"{path} answered {status}"
    if b"watchword.readthedocs.io" not in answer:
        raise AssertionError(f"{path} did not answer in words of ours: {answer!r}")
    if NOBODY.encode() not in answer:
        raise Refusing


def _pieces(body: bytes, size: int) -> Iterator[bytes]:
    """The body in pieces of this size, or all at once for 0; at most 64 of them."""
    step = max(size or len(body), len(body) // 64, 1)
    yield from (body[at : at + step] for at in range(0, len(body), step))


async def _answer(path: str, media_type: bytes, pieces: Iterator[bytes]) -> tuple[int, bytes]:
    status, answer = 0, bytearray()

    async def receive() -> Message:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        answer.extend(message.get("body", b""))

    headers = [(b"content-type", media_type), (b"authorization", BEARER)]
    await application()(_scope("http", headers, method="POST", path=path), receive, send)
    return status, bytes(answer)


def _scope(kind: str, headers: list[tuple[bytes, bytes]], **more: Any) -> dict[str, Any]:
    made = {
        "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "path": "/", "root_path": "",
        "query_string": b"", "headers": headers, "client": ("203.0.113.7", 50000), "server": ("testserver", 80),
    }  # fmt: skip
    return made | more


def _form(data: bytes) -> None:
    _send(FORMS[data[0] % len(FORMS)] if data else FORMS[0], data[1:])


def _body(data: bytes) -> None:
    _send(BODIES[data[0] % len(BODIES)] if data else BODIES[0], data[1:])


def _forms() -> list[bytes]:
    """Good forms in one piece, and some that are odd."""
    login = {
        "grant_type": "password",
        "username": "ada@example.com",
        "password": "seven lanterns",
        "scope": "read write",
    }
    refresh = {"grant_type": "refresh_token", "refresh_token": "wwr_" + "a" * 26 + ".0.r.m", "scope": ""}
    good = [(0, urlencode(login)), (1, urlencode(refresh)), (2, urlencode({"refresh_token": "wwr_x"})), (2, "")]
    odd = [
        (0, "username=a&username=b&password=c"),
        (0, "username=%ff&password=%00"),
        (1, "grant_type=&;=&&=&a"),
        (0, "="),
    ]
    return [bytes([path, 0, cut]) + text.encode() for path, text in good + odd for cut in (0, 7)]


def _bodies() -> list[bytes]:
    """Good bodies in JSON, and some that are odd."""
    made: list[tuple[int, Any]] = [
        (0, {"email": "ada@example.com", "password": "seven lanterns over", "username": None}),
        (0, {"email": "ada@example.com", "password": 7, "username": [], "more": {}}),
        (1, {"current_password": "seven lanterns", "new_password": "nine kettles"}),
        (1, [None, {"a": 1e308}]),
        (2, {"refresh_token": None}),
    ]
    return [bytes([path, 1, cut]) + json.dumps(one).encode() for path, one in made for cut in (0, 7)]


def _connection(data: bytes, *names: bytes, **more: Any) -> HTTPConnection:
    """A request with a header for each line; the first byte of a line chooses the header's name."""
    lines = [line for line in data.split(b"\n") if line]
    return HTTPConnection(_scope("http", [(names[line[0] % len(names)], line[1:]) for line in lines], **more))


def _authorization(data: bytes) -> None:
    """A request; with a leading `!`, the handshake of a WebSocket, whose subprotocols stand before the first line's end."""
    more: dict[str, Any] = {}
    if data.startswith(b"!"):
        offered, _, data = data[1:].partition(b"\n")
        more = {"type": "websocket", "subprotocols": [name.strip() for name in offered.decode("latin-1").split(",")]}
    connection = _connection(data, b"authorization", b"cookie", **more)
    token, subprotocol = guard.presented(connection.scope)
    assert token is None or token in [*_values(connection, "authorization"), *more.get("subprotocols", [])]
    assert subprotocol is None or subprotocol in more["subprotocols"]
    if token is None:
        raise Refusing


def _values(connection: HTTPConnection, name: str) -> list[str]:
    return [value.partition(" ")[2].strip(" ") for value in connection.headers.getlist(name)]


POLICY = Policy(trusted_proxies=("203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32", "::1"))


def _client(data: bytes) -> None:
    """Where a request comes from, and with what."""
    found = client.describe(_connection(data, b"x-forwarded-for", b"user-agent"), POLICY)
    assert found.ip is not None, "the peer itself has an address"
    assert str(ipaddress.ip_address(found.ip)) == found.ip, "an address is written in two ways"
    assert found.user_agent is None or (len(found.user_agent) <= 512 and (found.user_agent.isprintable()))


def _host(data: bytes) -> None:
    """A host that counts as this machine is one to whoever resolves it, too."""
    hosts = _connection(data, b"host").headers.getlist("host")
    if len(hosts) != 1 or not client.is_local(hosts[0]):
        raise Refusing
    name = (urlsplit(f"//{hosts[0]}").hostname or "").partition("%")[0].removesuffix(".")
    assert name in ("testserver", "test", "localhost") or name.endswith(".localhost") or _loopback(name), ascii(hosts)


def _loopback(name: str) -> bool:
    ip = ipaddress.ip_address(name)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _scope_parameter(data: bytes) -> None:
    """What is taken comes back as it was said."""
    found = scopes.parse(data.decode("utf-8", "replace"))
    assert scopes.parse(scopes.text(found)) == found


def _device(data: bytes) -> None:
    """Past the cache, which would hold everything that was tried."""
    shown = device.name.__wrapped__(client.printable(data.decode("latin-1")[: client.MAX_USER_AGENT]))
    assert shown
    assert len(shown) < 300


AGENTS = (
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36", b"curl/8.5.0",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1 Version/17.2 Mobile/15E148 Safari/604.1",
    b"Mozilla/5.0 (Linux; Android 14; SM-G960F Build/QP1A) AppleWebKit/537.36 Mobile Safari/537.36", b"Android 9;  )",
    b"my-tool/1.2 (beta)", b"", b"\xe9\x00\x1b[31m",
)  # fmt: skip
HOSTS = (
    b"localhost", b"localhost:8000", b"127.0.0.1:1", b"[::1]:65535", b"a.localhost.", b"testserver", b"[::ffff:127.0.0.1]",
    b"127.0.0.1.example.com", b"example.com@localhost", b"[::1%25lo]", b"0x7f.1", b"127.1",
)  # fmt: skip

PRESENTED = (
    b"\0Bearer a.b.c", b"\0bearer  x ", b"\0Basic QTpC", b"\0Bearer a\n\0Bearer b", b"!bearer, a.b.c\n", b"!graphql-ws",
)  # fmt: skip
FORWARDED = (
    b"\x00198.51.100.1, 10.0.0.1", b"\0::ffff:10.0.0.1\n\0[::1]:80, unknown", b"\0fe80::1%eth0",
    *(b"\x01" + one for one in AGENTS),
)  # fmt: skip
SCOPES = (b"read write", b"a " * 65, b"\xc3\xa9", b" a  b ")

PARSERS = {
    "forms": Parser(_form, (Refusing,), _forms, "폼"),
    "JSON bodies": Parser(_body, (Refusing,), _bodies, "JSON 본문"),
    "Authorization": Parser(
        _authorization, (Refusing, InvalidRequest), lambda: list(PRESENTED), "Authorization 헤더와 서브프로토콜", 1024
    ),
    "X-Forwarded-For, User-Agent": Parser(
        _client, (), lambda: list(FORWARDED), "X-Forwarded-For, User-Agent 헤더", 1024
    ),
    "Host": Parser(_host, (Refusing,), lambda: [b"\0" + one for one in HOSTS], "Host 헤더", 256),
    "scope": Parser(_scope_parameter, (InvalidRequest,), lambda: list(SCOPES), "scope 매개변수"),
    "device of a User-Agent": Parser(_device, (), lambda: list(AGENTS), "User-Agent의 기기 이름", 512),
}
