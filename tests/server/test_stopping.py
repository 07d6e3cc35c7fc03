"""A stop loses nothing: the balancer is told first, what is under way is finished, and the process ends well."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests import fleet
from tests.fleet import Worker
from tests.house import ADA, PASSWORD, PATIENCE, open_house
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from watchword.web.stopping import drained, draining, stopping

pytestmark = pytest.mark.xdist_group("races")

LONG = "300"
"""Seconds of a drain that no test waits for: a second signal ends it."""


@contextlib.contextmanager
def running(url: str, folder: Path, module: str = "tests.served", **settings: str) -> Iterator[Worker]:
    worker = fleet.start({**fleet.settings(url, folder), **settings}, folder, module=module)
    try:
        fleet.ready(worker)
        yield worker
    finally:
        worker.process.kill()
        worker.stop()


def ended(worker: Worker) -> int:
    """The exit code. What was printed holds no traceback."""
    code = worker.process.wait(PATIENCE)
    assert "Traceback" not in worker.log.read_text()
    return code


def address(worker: Worker) -> tuple[str, int]:
    return "127.0.0.1", int(worker.url.rpartition(":")[2])


def until_refused(worker: Worker) -> None:
    """Until nobody can connect any more."""
    give_up = time.monotonic() + PATIENCE
    with contextlib.suppress(OSError):
        while time.monotonic() < give_up:
            socket.create_connection(address(worker), timeout=PATIENCE).close()
        pytest.fail("it goes on accepting")


def until_draining(client: httpx2.Client) -> httpx2.Response:
    give_up = time.monotonic() + PATIENCE
    while (answer := client.get("/readyz")).status_code == 200:
        assert time.monotonic() < give_up
    return answer


class TestTheServer:
    def test_the_balancer_is_told_first_and_whoever_comes_is_served(self, sqlite_url: str, tmp_path: Path) -> None:
        with running(sqlite_url, tmp_path, WATCHWORD_DRAIN_SECONDS=LONG) as worker:
            with httpx2.Client(base_url=worker.url, timeout=PATIENCE) as client:
                assert "connection" not in client.get("/healthz").headers
                worker.process.send_signal(signal.SIGTERM)
                answer = until_draining(client)
                assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
                told = client.post("/login", data={"username": ADA, "password": PASSWORD})
                assert told.status_code == 400, "an answer of the house, and no refusal for the stop"
                assert told.headers["connection"] == "close", "the next request is another worker's"
            worker.process.send_signal(signal.SIGTERM)
            assert ended(worker) == 0
            log = worker.log.read_text()
            assert log.count("draining: /readyz answers 503; in 300 seconds nothing is accepted any more") == 1

    @pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
    def test_a_second_signal_waits_for_nobody(self, sqlite_url: str, tmp_path: Path, second: signal.Signals) -> None:
        with running(sqlite_url, tmp_path, WATCHWORD_DRAIN_SECONDS=LONG) as worker:
            with httpx2.Client(base_url=worker.url, timeout=PATIENCE) as client:
                worker.process.send_signal(signal.SIGTERM)
                until_draining(client)
            worker.process.send_signal(second)
            assert ended(worker) == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_on_localhost_one_signal_is_enough(self, sqlite_url: str, tmp_path: Path, number: signal.Signals) -> None:
        with running(sqlite_url, tmp_path) as worker:
            worker.process.send_signal(number)
            assert ended(worker) == 0
            assert "draining" not in worker.log.read_text()

    def test_ctrl_c_does_not_drain(self, sqlite_url: str, tmp_path: Path) -> None:
        with running(sqlite_url, tmp_path, WATCHWORD_DRAIN_SECONDS=LONG) as worker:
            worker.process.send_signal(signal.SIGINT)
            assert ended(worker) == 0

    @pytest.mark.parametrize("cut", [30, -10], ids=["in its headers", "in its body"])
    def test_a_request_that_is_coming_is_answered(self, sqlite_url: str, tmp_path: Path, cut: int) -> None:
        """A refresh that is cut off in the midst would leave its client in doubt whether it has turned."""
        whole = (
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 27\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nusername=ada&password=wrong"
        )
        with running(sqlite_url, tmp_path) as worker, socket.create_connection(address(worker), PATIENCE) as line:
            line.sendall(whole[:cut])
            with httpx2.Client(base_url=worker.url) as other:
                other.get("/healthz")  # by then the server has read what was sent before
            worker.process.send_signal(signal.SIGTERM)
            until_refused(worker)
            line.sendall(whole[cut:])
            said = b""
            while more := line.recv(65536):
                said += more
            assert said.startswith(b"HTTP/1.1 400 "), said
            assert b"\r\nconnection: close\r\n" in said
            assert ended(worker) == 0

    def test_a_connection_that_nobody_uses_holds_up_no_stop(self, sqlite_url: str, tmp_path: Path) -> None:
        with running(sqlite_url, tmp_path) as worker, httpx2.Client(base_url=worker.url, timeout=PATIENCE) as client:
            client.get("/healthz")
            worker.process.send_signal(signal.SIGTERM)
            assert ended(worker) == 0


class TestAnApplication:
    def test_its_readiness_is_told_too_and_open_sockets_get_1012(self, sqlite_url: str, tmp_path: Path) -> None:
        """Under its own uvicorn: a client that gets 1012 (service restart, RFC 6455's registry) comes again by itself."""
        there = running(sqlite_url, tmp_path, "tests.fleet_worker", WATCHWORD_DRAIN_SECONDS=LONG)
        with there as worker, httpx2.Client(base_url=worker.url, timeout=PATIENCE) as client:
            assert client.post("/register", json={"email": ADA, "password": PASSWORD}).status_code == 202
            tokens = client.post("/login", data={"username": ADA, "password": PASSWORD}).json()
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            with connect(f"{worker.url.replace('http', 'ws')}/ws", additional_headers=headers) as line:
                line.send("hello")
                assert str(line.recv(PATIENCE)).endswith(": hello")
                worker.process.send_signal(signal.SIGTERM)
                assert until_draining(client).json() == {"status": "draining"}
                assert client.get("/items/", headers=headers).status_code == 200
                line.send("still here")
                assert str(line.recv(PATIENCE)).endswith(": still here")
                client.close()
                worker.process.send_signal(signal.SIGTERM)
                with pytest.raises(ConnectionClosed) as closed:
                    line.recv(PATIENCE)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
            worker.process.wait(PATIENCE)


class Server:
    """As much of uvicorn as its handler of signals is."""

    def __init__(self) -> None:
        self.should_exit = False
        self.told = asyncio.Event()

    def handle_exit(self, *_: object) -> None:
        self.should_exit = True
        self.told.set()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    yield server
    signal.signal(signal.SIGTERM, before)


class TestTheDrain:
    async def test_the_server_is_told_when_it_is_over(self, server: Server) -> None:
        with drained(0.01):
            os.kill(os.getpid(), signal.SIGTERM)
            assert (draining(), stopping()) == (True, False)
            await asyncio.wait_for(server.told.wait(), PATIENCE)
            assert stopping()

    async def test_a_second_signal_goes_straight_to_the_server(self, server: Server) -> None:
        with drained(300):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert server.should_exit
        assert signal.getsignal(signal.SIGTERM) == server.handle_exit

    async def test_readiness_ends_with_the_first(self, tmp_path: Path, server: Server) -> None:
        async with open_house(tmp_path, health=True) as house:
            with drained(300):
                assert (await house.client.get("/readyz")).status_code == 200
                os.kill(os.getpid(), signal.SIGTERM)
                answer = await house.client.get("/readyz")
                assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
                assert (await house.client.get("/healthz")).status_code == 200

    async def test_without_a_drain_readiness_ends_when_the_server_is_told(self, tmp_path: Path, server: Server) -> None:
        async with open_house(tmp_path, health=True) as house:
            server.handle_exit()
            assert (await house.client.get("/readyz")).json() == {"status": "draining"}

    async def test_another_server_s_handler_is_left_alone(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        with drained(300):
            assert signal.getsignal(signal.SIGTERM) == before
            assert not draining()

    async def test_off_the_main_thread_nothing_is_touched(self, server: Server) -> None:
        """Python lets the main thread alone set handlers, and a TestClient's lifespan is elsewhere."""

        async def elsewhere() -> None:
            with drained(300):
                assert signal.getsignal(signal.SIGTERM) == server.handle_exit

        thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
        thread.start()
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive()
        assert not draining()
