"""Clients that hold on to a connection and say nothing, or too little: DL-06 of the security requirements.

No test asserts a time. The server's patience is shortened, so that the tests need none.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
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
    "a body that does not come": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nuser",
    "half a second request": GOOD.replace(b"Connection: close\r\n", b"") + b"GET",
    "a body for a route that is not there": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nuser",
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
    answer = said(port, SILENT[name])
    assert answer.count(b"HTTP/1.1 408 ") == 1 or b"HTTP/1.1 404 " in answer


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
