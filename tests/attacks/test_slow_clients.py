"""Clients that hold on to a connection and say nothing, or too little, or do not listen: DL-06 of the security requirements.

No test asserts a time. The server's patience is shortened, so that the tests need none.
"""

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from tests.house import PATIENCE
from tests.wired import GOOD, connect, heard, said, wired

from watchword import Settings
from watchword.server import wire
from watchword.server.app import create_app


@pytest.fixture
def port(tmp_path: Path, logging_as_before: None) -> Iterator[int]:
    """The stand-alone server of a developer."""
    with wired(create_app(Settings(data_dir=tmp_path / "home"))) as port:
        yield port


SILENT = {
    "nothing": b"",
    "a letter": b"G",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "empty lines": b"\r\n",
    "a body that does not come": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nuser",
    "a body that nobody waits for": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nuser",
    "half a second request": GOOD.replace(b"Connection: close\r\n", b"") + b"GET",
    "a body for a route that is not there": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nuser",
}


ANSWERS = {
    "half a second request": [b"200", b"408"],
    "a body that nobody waits for": [b"400"],
    "a body for a route that is not there": [b"404"],
}


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are given a moment, so that the test does not wait for long."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.3)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("name", SILENT)
def test_a_client_that_says_nothing_more_is_let_go(port: int, name: str) -> None:
    """DL-06: slowloris: a connection that holds a place and sends a letter now and then, or an empty line, or half a body. The
    server waits for so long, says 408 where nothing was answered yet, and hangs up."""
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", said(port, SILENT[name]))
    assert statuses == ANSWERS.get(name, [b"408"])


@pytest.mark.usefixtures("hurried")
def test_an_empty_line_after_an_answer_buys_no_time(port: int) -> None:
    """DL-06: an open connection is closed after five seconds without a word. An empty line is a word, and begins no request:
    with one of them a connection would be kept for ever."""
    with connect(port) as connection:
        connection.sendall(GOOD.replace(b"Connection: close\r\n", b""))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")
        assert heard(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("hurried")
def test_letters_now_and_then_buy_no_time(port: int) -> None:
    """DL-06: a header of a letter at a time. The clock runs from the first of them."""
    with connect(port) as connection:
        connection.settimeout(0.02)
        answer = b""
        for letter in range(2000):
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" if letter == 0 else b"X")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
                break
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_five_hundred_silent_connections_keep_nobody_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """DL-06: the attacker opens five hundred connections and says nothing. Others are answered meanwhile, and after the
    moment that each is given all of them are gone."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 3.0)
    with contextlib.ExitStack() as held:
        silent = [held.enter_context(connect(port)) for _ in range(500)]
        assert said(port, GOOD).startswith(b"HTTP/1.1 200 ")
        assert all(heard(connection).startswith(b"HTTP/1.1 408 ") for connection in silent)


@pytest.mark.usefixtures("logging_as_before")
def test_with_too_many_connections_the_next_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DL-06: more connections than the process has files for would stop it from accepting anybody. One too many is told so at
    once, before it has said a word, and as soon as the others are gone there is room again."""
    monkeypatch.setattr(wire, "MAX_CONNECTIONS", 20)
    with wired(create_app(Settings(data_dir=tmp_path / "home"))) as port:
        with contextlib.ExitStack() as held:
            kept = [held.enter_context(connect(port)) for _ in range(20)]
            for connection in kept:  # all have been accepted once the last was answered
                connection.sendall(GOOD.replace(b"Connection: close\r\n", b""))
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            with connect(port) as one_more:
                assert heard(one_more).startswith(b"HTTP/1.1 503 ")
        give_up = threading.Event()
        for _ in range(1000):
            if said(port, GOOD).startswith(b"HTTP/1.1 200 "):
                break
            give_up.wait(PATIENCE / 1000)
        else:
            pytest.fail("there is no room again")


def test_a_client_that_hangs_up_in_the_middle_is_no_fault(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """DL-06: each upload that is cut off would write a stack trace, and the disk is filled for the price of a packet."""
    caplog.set_level(logging.DEBUG)
    for path in (b"/login", b"/register", b"/refresh", b"/me"):
        with connect(port) as connection:
            head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n" % path
            connection.sendall(head + b"Content-Type: application/x-www-form-urlencoded\r\n\r\nuser")
            assert said(port, GOOD).startswith(b"HTTP/1.1 200 ")  # so it was read by now
    give_up = threading.Event()
    for _ in range(1000):
        if caplog.text.count("the sender has gone") >= 3:
            break
        give_up.wait(PATIENCE / 1000)
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []
    assert caplog.text.count("the sender has gone") == 3


NEXT = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
FULL = 2**26
"""Bytes that no system takes on behalf of a client that does not read."""


class Watched:
    """The connections of a server, and whether one of them was lost."""

    def __init__(self) -> None:
        self.open: list[wire.Bounded] = []
        self.lost = threading.Event()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    seen = Watched()
    made, lost = wire.Bounded.connection_made, wire.Bounded.connection_lost

    def note_made(self: wire.Bounded, transport: asyncio.Transport) -> None:
        seen.open.append(self)
        made(self, transport)

    def note_lost(self: wire.Bounded, exc: Exception | None) -> None:
        lost(self, exc)
        seen.lost.set()

    monkeypatch.setattr(wire.Bounded, "connection_made", note_made)
    monkeypatch.setattr(wire.Bounded, "connection_lost", note_lost)
    return seen


class Talking:
    """An application that answers in pieces of this size, until one is not taken by the client or its system."""

    def __init__(self, watched: Watched, piece: int) -> None:
        self.watched = watched
        self.piece = b"a" * piece
        self.stuck = threading.Event()
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200})
        for _ in range(FULL // len(self.piece)):
            await send({"type": "http.response.body", "body": self.piece, "more_body": True})
            if self.watched.open[0].transport.get_write_buffer_size():
                self.stuck.set()
                break
        await send({"type": "http.response.body", "body": b""})
        self.ended.set()


@contextlib.contextmanager
def deaf(port: int) -> Iterator[socket.socket]:
    """A client whose system takes little, unless it reads. It asks twice."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", port))
        connection.sendall(NEXT * 2)
        yield connection


@pytest.mark.parametrize("piece", [2**20, 2**10], ids=["much is left", "a little is left"])
def test_a_client_that_does_not_read_is_let_go(
    piece: int, watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """DL-06: the attacker asks and never takes the answers, or all but the last of them: a place is held for ever, and what is
    not taken stays in memory. However little that is, there is a time until which it has to be taken."""
    monkeypatch.setattr(wire, "WRITE_SECONDS", 0.3)
    app = Talking(watched, piece)
    with wired(app) as port, deaf(port):
        assert watched.lost.wait(PATIENCE)
        assert app.ended.wait(PATIENCE)
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


def test_a_client_that_goes_while_it_is_answered_is_no_fault(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """DL-06: it has asked for more already. Its first answer would fail at writing, with a stack trace for each of them."""
    app = Talking(watched, 2**20)
    with wired(app) as port:
        with deaf(port):
            assert app.stuck.wait(PATIENCE)
        assert watched.lost.wait(PATIENCE)
        assert app.ended.wait(PATIENCE)
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


class Waiting:
    """An application that does not answer before the client has gone, and counts what it is asked meanwhile."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.begun += 1
        while (await receive())["type"] != "http.disconnect":
            pass
        self.ended.set()


def test_more_requests_than_may_wait_end_the_connection() -> None:
    """DL-02, DL-06: a request of 35 bytes is kept in two kilobytes until those before it are answered, and a million of them
    fit in what one connection sends. Eight may wait. With the next the connection is closed, and none that waits is begun."""
    app = Waiting()
    with wired(app) as port, connect(port) as connection:
        connection.sendall(NEXT * (1 + wire.MAX_WAITING))
        connection.sendall(NEXT)
        assert heard(connection) == b""
        assert app.ended.wait(PATIENCE)
        assert app.begun == 1


def test_as_many_requests_as_may_wait_are_answered(port: int) -> None:
    """DL-02: the counterpart: one and eight behind it, in their order, and again."""
    ask = GOOD.replace(b"Connection: close\r\n", b"")
    with connect(port) as connection:
        for last in (ask, GOOD):
            connection.sendall(ask * wire.MAX_WAITING + last)
            answers = b""
            while answers.count(b"HTTP/1.1 200 ") < 1 + wire.MAX_WAITING:
                part = connection.recv(65536)
                assert part
                answers += part


def test_nobody_is_hurried_whom_the_server_keeps_waiting(watched: Watched) -> None:
    """The counterpart: while requests wait, the server reads no more. What is not read can't come in time, and the client
    would lose the answers that it waits for."""

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if watched.open[0].flow.read_paused:
                watched.open[0]._late()  # the time for the third request's head is over
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    with wired(patient) as port, connect(port) as connection:
        connection.sendall(NEXT * 2 + NEXT[:10])
        connection.sendall(NEXT[10:].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert heard(connection).count(b"HTTP/1.1 200 ") == 3


def test_what_is_wrong_with_a_request_is_not_the_answer_to_the_one_before() -> None:
    """DL-06, HD-04: the second request can't be read while the first is at work. A 400 would be taken for the first one's
    answer, by a proxy for another client's: nothing is said."""
    app = Waiting()
    with wired(app) as port, connect(port) as connection:
        connection.sendall(NEXT + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        assert heard(connection) == b""


def test_a_stop_ends_though_a_client_does_not_read(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """FT-07: the server is told to stop, and waits for a client to take its answer. It would wait for as long as the attacker
    likes, and the next version not start."""
    monkeypatch.setattr(wire, "WRITE_SECONDS", 600.0)
    monkeypatch.setattr(wire, "STOP_SECONDS", 1)
    app = Talking(watched, 2**20)
    with contextlib.ExitStack() as held, wired(app) as port:  # it tells the server to stop, and asserts that it does
        held.enter_context(deaf(port))
        assert app.stuck.wait(PATIENCE)
    assert app.ended.is_set()


def test_a_stop_ends_though_an_answer_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """FT-07: one request is at work for ever, and does not ask whether anybody waits for it."""
    monkeypatch.setattr(wire, "STOP_SECONDS", 1)
    begun = threading.Event()

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            begun.set()
            await asyncio.Event().wait()

    with contextlib.ExitStack() as held, wired(never) as port:
        held.enter_context(connect(port)).sendall(NEXT)
        assert begun.wait(PATIENCE)
