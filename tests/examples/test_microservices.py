"""examples/microservices: what ends at the issuer ends at two services that have no database and no key that signs."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.examples.example import PASSWORD, Example
from tests.house import PATIENCE
from tests.live import free_port
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect


@dataclass(frozen=True)
class Running:
    """The issuer and its services, by their addresses."""

    issuer: str
    orders: str
    stock: str
    client: httpx2.Client

    def login(self) -> dict[str, str]:
        """Sign in at the issuer; the header that a client then sends everywhere."""
        account = {"email": "ada@example.com", "password": PASSWORD}
        assert self.client.post(f"{self.issuer}/register", json=account).status_code == 202
        answer = self.client.post(
            f"{self.issuer}/login", data={"username": account["email"], "password": account["password"]}
        )
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def until(self, url: str, status: int, headers: dict[str, str]) -> None:
        """Wait until this is answered so."""
        give_up, last = time.monotonic() + PATIENCE, 0
        while last != status:
            assert time.monotonic() < give_up, f"{url} answers {last}"
            try:
                last = self.client.get(url, headers=headers).status_code
            except httpx2.TransportError:
                time.sleep(0.02)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    ports = {name: f"http://localhost:{free_port()}" for name in ("ORDERS", "STOCK")}
    example = Example.copy("microservices", tmp_path, **ports)
    assert example.blocks()[0].splitlines()[-1] == "sh run.sh"
    with example.serving("sh run.sh") as issuer, httpx2.Client() as client:
        yield Running(issuer, ports["ORDERS"], ports["STOCK"], client)


def test_a_logout_at_the_issuer_is_refused_by_both_services(running: Running) -> None:
    """RV-01: the owner of a stolen token signs out. (How long it takes is measured by `benchmarks/services`.)"""
    headers = running.login()
    running.until(f"{running.orders}/orders", 200, headers)
    running.until(f"{running.stock}/stock", 200, headers)
    assert running.client.get(f"{running.orders}/orders").status_code == 401
    assert running.client.put(f"{running.stock}/stock/kettles?number=1", headers=headers).status_code == 403
    with live(running, headers) as socket:
        socket.send("hello")
        assert str(socket.recv(PATIENCE)).endswith(": hello")
        assert running.client.post(f"{running.issuer}/logout", headers=headers).status_code == 204
        running.until(f"{running.orders}/orders", 401, headers)
        running.until(f"{running.stock}/stock", 401, headers)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def live(running: Running, headers: dict[str, str]) -> ClientConnection:
    return connect(f"{running.orders.replace('http', 'ws')}/live", additional_headers=headers)
