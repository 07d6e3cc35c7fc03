"""Many clients, one refresh token, several worker processes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest
from tests import databases, fleet, servers

CLIENTS = 64
ROUNDS = 200
PASSWORD = "correct horse battery staple"
ACCOUNT = {"email": "ada@example.com", "password": PASSWORD}

pytestmark = pytest.mark.xdist_group("races")


@dataclass
class Client:
    """One connection that is kept open. A whole HTTP client for each of 25,600 requests would be what is measured."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def refresh(self, token: str) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        form = urlencode({"grant_type": "refresh_token", "refresh_token": token})
        self.writer.write(
            "POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(form)}\r\n\r\n{form}".encode()
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
        length = next(int(line.partition(":")[2]) for line in head if line.startswith("content-length:"))
        return int(head[0].split()[1]), json.loads(await self.reader.readexactly(length))


@contextlib.asynccontextmanager
async def connected(urls: list[str]) -> AsyncIterator[list[Client]]:
    """All clients, spread evenly over the workers."""
    clients: list[Client] = []
    try:
        for number in range(CLIENTS):
            port = urlsplit(urls[number % len(urls)]).port
            clients.append(Client(*await asyncio.open_connection("localhost", port)))
        yield clients
    finally:
        for client in clients:
            client.writer.close()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()


async def one_branch_through_all_rounds(urls: list[str]) -> None:
    """Each round, every client presents the same token to some worker; the next round goes on from the answer."""
    async with httpx2.AsyncClient(timeout=60) as browser, connected(urls) as clients:
        await browser.post(f"{urls[0]}/register", json=ACCOUNT)
        form = {"username": ACCOUNT["email"], "password": PASSWORD}
        token = (await browser.post(f"{urls[0]}/login", data=form)).json()["refresh_token"]
        access = ""
        for number in range(ROUNDS):
            answers = await asyncio.gather(*(client.refresh(token) for client in clients))
            assert {status for status, _ in answers} == {200}, f"round {number}"
            successors = {answer["refresh_token"] for _, answer in answers}
            assert len(successors) == 1, f"round {number}: one branch, and one only"
            assert successors != {token}
            token, access = successors.pop(), answers[0][1]["access_token"]
        bearer = {"Authorization": f"Bearer {access}"}
        assert (await browser.get(f"{urls[-1]}/items/", headers=bearer)).status_code == 200
        assert len((await browser.get(f"{urls[0]}/sessions", headers=bearer)).json()) == 1


async def test_all_clients_get_one_successor_over_four_workers_on_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    """RF-03: two tabs, or a thief and the owner, present one token at once; there is never a second branch."""
    url = databases.copy(sqlite_template, tmp_path)
    with fleet.running(4, url, tmp_path) as running:
        await one_branch_through_all_rounds([worker.url for worker in running])


async def test_all_clients_get_one_successor_over_two_workers_on_postgresql(
    postgres_server: servers.PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    """RF-03, under READ COMMITTED: the row's lock decides."""
    url = postgres_server.create_database(postgres_template.rsplit("/", 1)[1])
    try:
        with fleet.running(2, url, tmp_path) as running:
            await one_branch_through_all_rounds([worker.url for worker in running])
    finally:
        postgres_server.drop_database(url)
