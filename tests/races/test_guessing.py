"""Many guesses at one password, and many uses of one single-use value, at several worker processes at once."""

import asyncio
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from tests import databases, fleet, servers

from watchword.stores.sql.engine import Database
from watchword.stores.sql.scratch import SqlScratch
from watchword.testing.contracts import NOW

GUESSES = 500
LIMIT = 10
CLIENTS = 64
ROUNDS = 20
PASSWORD = "correct horse battery staple"

pytestmark = pytest.mark.xdist_group("races")


async def guessed(urls: list[str]) -> Counter[int]:
    """How so many wrong passwords were answered, sent at once and evenly to all workers."""
    limits = httpx2.Limits(max_connections=50)
    async with httpx2.AsyncClient(timeout=120, limits=limits) as client:
        await client.post(f"{urls[0]}/register", json={"email": "ada@example.com", "password": PASSWORD})
        forms = [{"username": "ada@example.com", "password": f"wrong {number}"} for number in range(GUESSES)]
        posts = [guess(client, f"{urls[number % len(urls)]}/login", form) for number, form in enumerate(forms)]
        async with asyncio.timeout(300):  # whoever is never let in would ask for ever
            return Counter(await asyncio.gather(*posts))


async def guess(client: httpx2.AsyncClient, url: str, form: dict[str, str]) -> int:
    """One guess, sent again while a busy machine has no room for it, which evaluates nothing."""
    while (answer := await client.post(url, data=form)).status_code == 503:
        pass
    return answer.status_code


async def test_of_500_guesses_at_four_workers_on_sqlite_ten_are_evaluated(
    sqlite_template: Path, tmp_path: Path
) -> None:
    """RL-02: the attacker spreads parallel guesses over the workers, each of which might count for itself."""
    url = databases.copy(sqlite_template, tmp_path)
    with fleet.running(4, url, tmp_path) as running:
        answers = await guessed([worker.url for worker in running])
    assert answers == {400: LIMIT, 429: GUESSES - LIMIT}


async def test_of_500_guesses_at_two_workers_on_postgresql_ten_are_evaluated(
    postgres_server: servers.PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    """RL-02, under READ COMMITTED: the row's lock decides."""
    url = postgres_server.create_database(postgres_template.rsplit("/", 1)[1])
    try:
        with fleet.running(2, url, tmp_path) as running:
            answers = await guessed([worker.url for worker in running])
    finally:
        postgres_server.drop_database(url)
    assert answers == {400: LIMIT, 429: GUESSES - LIMIT}


async def consumed(url: str, processes: int, folder: Path) -> list[int]:
    """In each round 64 callers, in several processes, want one value: how many got it, per round."""
    environment = fleet.settings(url, folder)
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.races.consumer", url, str(CLIENTS // processes), str(ROUNDS),
            env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(processes)
    ]  # fmt: skip
    db = Database(url)
    db.settle(here=True)
    scratch = SqlScratch(db)
    won = []
    try:
        for number in range(ROUNDS):
            await scratch.keep("race", f"round {number}", "value", NOW + timedelta(minutes=1))
            for process in started:
                assert process.stdin is not None
                process.stdin.write(b"go\n")
                await process.stdin.drain()
            lines = [await process.stdout.readline() for process in started if process.stdout is not None]
            won.append(sum(int(line) for line in lines))
    finally:
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
        await db.close()
    return won


async def test_of_64_uses_in_four_processes_on_sqlite_one_wins(sqlite_template: Path, tmp_path: Path) -> None:
    """Whoever holds a single-use value sends it 64 times at once: fastapi-users honours 15 of 16 uses of a reset token."""
    url = databases.copy(sqlite_template, tmp_path)
    assert await consumed(url, 4, tmp_path) == [1] * ROUNDS


async def test_of_64_uses_in_four_processes_on_postgresql_one_wins(
    postgres_server: servers.PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    """The same, under READ COMMITTED."""
    url = postgres_server.create_database(postgres_template.rsplit("/", 1)[1])
    try:
        assert await consumed(url, 4, tmp_path) == [1] * ROUNDS
    finally:
        postgres_server.drop_database(url)
