"""Keys rotate under load: every worker takes what any other one signs, and none takes a retired key."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from tests import fleet
from tests.house import ADA, CHEAP, PASSWORD, PATIENCE

from watchword import Auth, Settings
from watchword.flows import accounts, signing_keys
from watchword.flows.kit import Kit

ROTATIONS = 12
AHEAD = {"sqlite": timedelta(seconds=3), "postgresql": timedelta(seconds=9)}
"""How long before its time a key is published here; upkeep does it ten minutes ahead. On SQLite the feed brings it within a
quarter of a second; on PostgreSQL, without a feed, each worker looks every five seconds."""

pytestmark = pytest.mark.xdist_group("races")


@dataclass
class Load:
    """A client that goes round the workers: it refreshes at one and shows the new token, and the one before, to the
    others."""

    client: httpx2.AsyncClient
    urls: list[str]
    refresh_token: str
    access_tokens: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    kids: set[str] = field(default_factory=set)
    stop: bool = False

    async def run(self) -> None:
        for url in itertools.cycle(self.urls):
            if self.stop:
                return
            await self.turn(url)
            for other in self.urls:
                for token in self.access_tokens[-2:]:
                    answer = await self.client.get(f"{other}/items/", headers={"Authorization": f"Bearer {token}"})
                    if answer.status_code != 200:
                        self.wrong.append(f"{other}: {answer.status_code} {answer.text}")

    async def turn(self, url: str) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token}
        answer = await self.client.post(f"{url}/refresh", data=form)
        if answer.status_code != 200:
            self.wrong.append(f"{url}: {answer.status_code} {answer.text}")
            return
        self.refresh_token = answer.json()["refresh_token"]
        self.access_tokens.append(answer.json()["access_token"])
        self.kids.add(self.access_tokens[-1].partition(".")[0])


@asynccontextmanager
async def operating(database_url: str, folder: Path) -> AsyncIterator[Kit]:
    operator = Auth(Settings(database_url=database_url, data_dir=folder / ".watchword"), argon2=CHEAP)
    await operator.start()
    try:
        yield await operator.open()
    finally:
        await operator.stop()


async def refused_everywhere(load: Load, token: str) -> None:
    for url in load.urls:
        give_up = time.monotonic() + PATIENCE
        while (await load.client.get(f"{url}/items/", headers={"Authorization": f"Bearer {token}"})).status_code != 401:
            assert time.monotonic() < give_up, f"{url} still takes the retired key"


async def test_many_rotations_refuse_nobody_and_a_retired_key_is_refused_by_all(
    database_url: str, tmp_path: Path
) -> None:
    """KY-07: a worker that does not know the newest key yet would send people away who have done nothing wrong, so a
    key is published before it signs. And a stolen one that an operator retires must not go on at the worker that nobody
    told."""
    kind = "sqlite" if database_url.startswith("sqlite") else "postgresql"
    count = 4 if kind == "sqlite" else 2
    with fleet.running(count, database_url, tmp_path) as workers:
        async with operating(database_url, tmp_path) as kit, httpx2.AsyncClient(timeout=30) as client:
            await accounts.add(kit, ADA, PASSWORD, None, frozenset())
            urls = [worker.url for worker in workers]
            signed_in = await client.post(f"{urls[0]}/login", data={"username": ADA, "password": PASSWORD})
            load = Load(client, urls, signed_in.json()["refresh_token"])
            running = asyncio.create_task(load.run())
            for _ in range(ROTATIONS):
                now = kit.clock.now()
                assert await kit.keyring.publish(await kit.keyring.records(), now + AHEAD[kind], now)
                await asyncio.sleep(0.2)  # the load goes on meanwhile; nothing is waited for
            newest = kit.keyring.ring.records[-1]
            give_up = time.monotonic() + PATIENCE
            while kit.keyring.ring.signer(kit.clock.now()).kid != newest.kid:
                assert time.monotonic() < give_up
                await asyncio.sleep(0.05)
            load.stop = True
            await running
            assert load.wrong == []
            assert len(load.kids) > 5, "tokens of many keys were shown"
            await load.turn(urls[0])
            stolen = load.access_tokens[-1]
            retired = await signing_keys.retire(kit, newest.generation)
            assert retired.done
            await refused_everywhere(load, stolen)
            for url in urls:
                await load.turn(url)
            assert load.wrong == []
