"""Many clients, one refresh token, several worker processes."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from tests import databases, fleet, servers

CLIENTS = 64
ROUNDS = 200
PASSWORD = "correct horse battery staple"
ACCOUNT = {"email": "ada@example.com", "password": PASSWORD}

pytestmark = pytest.mark.xdist_group("races")


async def one_branch_through_all_rounds(urls: list[str]) -> None:
    """Each round, every client presents the same token to some worker; the next round goes on from the answer."""
    limits = httpx2.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        await client.post(f"{urls[0]}/register", json=ACCOUNT)
        form = {"username": ACCOUNT["email"], "password": PASSWORD}
        token = (await client.post(f"{urls[0]}/login", data=form)).json()["refresh_token"]
        access = ""
        for number in range(ROUNDS):
            refresh = {"grant_type": "refresh_token", "refresh_token": token}
            answers = await asyncio.gather(
                *(client.post(f"{urls[n % len(urls)]}/refresh", data=refresh) for n in range(CLIENTS))
            )
            assert {answer.status_code for answer in answers} == {200}, f"round {number}"
            successors = {answer.json()["refresh_token"] for answer in answers}
            assert len(successors) == 1, f"round {number}: one branch, and one only"
            assert successors != {token}
            token, access = successors.pop(), answers[0].json()["access_token"]
        answer = await client.get(f"{urls[-1]}/items/", headers={"Authorization": f"Bearer {access}"})
        assert answer.status_code == 200
        sessions = await client.get(f"{urls[0]}/sessions", headers={"Authorization": f"Bearer {access}"})
        assert len(sessions.json()) == 1


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
