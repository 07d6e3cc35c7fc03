"""Many clients with one refresh token, all at once, at several workers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
from tests import fleet

CLIENTS = 64
PASSWORD = "correct horse battery staple"
ACCOUNT = {"email": "ada@example.com", "password": PASSWORD}


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
async def connected(workers: list[fleet.Worker]) -> AsyncIterator[list[Client]]:
    """All clients, spread evenly over the workers."""
    clients: list[Client] = []
    try:
        for number in range(CLIENTS):
            worker = workers[number % len(workers)]
            if worker.socket is None:
                clients.append(Client(*await asyncio.open_connection("localhost", urlsplit(worker.url).port)))
            else:
                clients.append(Client(*await asyncio.open_unix_connection(worker.socket)))
        yield clients
    finally:
        for client in clients:
            client.writer.close()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()


def browser_at(worker: fleet.Worker) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(uds=worker.uds)
    return httpx2.AsyncClient(transport=transport, base_url=worker.url, timeout=60)


async def one_branch_through_all_rounds(workers: list[fleet.Worker], rounds: int) -> None:
    """Each round, every client presents the same token to some worker; the next round goes on from the answer.

    Raises AssertionError where there is a second successor, or a client is refused.
    """
    first, last = browser_at(workers[0]), browser_at(workers[-1])
    async with first, last, connected(workers) as clients:
        await first.post("/register", json=ACCOUNT)
        form = {"username": ACCOUNT["email"], "password": PASSWORD}
        token = (await first.post("/login", data=form)).json()["refresh_token"]
        access = ""
        for number in range(rounds):
            answers = await asyncio.gather(*(client.refresh(token) for client in clients))
            assert {status for status, _ in answers} == {200}, f"round {number}"
            successors = {answer["refresh_token"] for _, answer in answers}
            assert len(successors) == 1, f"round {number}: one branch, and one only"
            assert successors != {token}
            token, access = successors.pop(), answers[0][1]["access_token"]
        bearer = {"Authorization": f"Bearer {access}"}
        assert (await last.get("/items/", headers=bearer)).status_code == 200
        assert len((await first.get("/sessions", headers=bearer)).json()) == 1
