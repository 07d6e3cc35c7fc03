"""What ends an API key on one worker has ended it on all of them, whoever remembers it. Real processes, real databases."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests import fleet

from watchword import Auth, Settings
from watchword.core.passwords import Argon2Parameters
from watchword.features.api_keys import ApiKeys
from watchword.features.api_keys.flow import OPERATOR, ApiKeysAnnex, Shown, annex_of
from watchword.features.api_keys.rules import Owner, Wanted
from watchword.flows import accounts
from watchword.flows.kit import Kit

PASSWORD = "correct horse battery staple"
CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)
DEADLINE = 10.0

pytestmark = pytest.mark.xdist_group("races")


class Deployment:
    """Workers on one database, and the operator beside them."""

    def __init__(self, running: list[fleet.Worker], client: httpx2.AsyncClient, kit: Kit) -> None:
        self.urls = [worker.url for worker in running]
        self.client = client
        self.kit = kit
        self.keys: ApiKeysAnnex = annex_of(kit)
        self.made = 0

    async def remembered(self) -> Shown:
        """A key of a fresh user, which every worker remembers."""
        self.made += 1
        email = f"user{self.made}@example.com"
        user = await accounts.add(self.kit, email, PASSWORD, None, frozenset({"items:write"}))
        shown = await self.keys.create(Owner.USER, user.id, Wanted("k", frozenset({"items:write"})), OPERATOR)
        for url in self.urls:
            for _ in range(2):
                assert await self.status(url, shown, "/written") == 200
        return shown

    async def status(self, url: str, shown: Shown, path: str = "/items/") -> int:
        answer = await self.client.get(url + path, headers={"Authorization": f"Bearer {shown.text}"})
        return answer.status_code

    async def everywhere(self, shown: Shown, status: int, path: str = "/items/") -> None:
        """Wait until every worker answers so."""
        for url in self.urls:
            give_up = time.monotonic() + DEADLINE
            while await self.status(url, shown, path) != status:
                assert time.monotonic() < give_up, f"{url} still answers otherwise"


@pytest.fixture
def running(database_url: str, tmp_path: Path) -> Iterator[tuple[str, list[fleet.Worker]]]:
    count = 4 if database_url.startswith("sqlite") else 2
    with fleet.running(count, database_url, tmp_path) as started:
        yield database_url, started


@asynccontextmanager
async def deployment(running: tuple[str, list[fleet.Worker]], folder: Path) -> AsyncIterator[Deployment]:
    database_url, started = running
    settings = Settings(database_url=database_url, data_dir=folder / ".watchword")
    operator = Auth(settings, argon2=CHEAP, features=[ApiKeys()])
    await operator.start()
    try:
        async with httpx2.AsyncClient(timeout=30) as client:
            yield Deployment(started, client, await operator.open())
    finally:
        await operator.stop()


ENDS: dict[str, Callable[[Deployment, Shown], Awaitable[Any]]] = {
    "revoke": lambda d, one: d.keys.revoke(Owner.USER, one.key.owner_id, one.key.id, OPERATOR),
    "rotate": lambda d, one: d.keys.rotate(Owner.USER, one.key.owner_id, one.key.id, timedelta(0), OPERATOR),
    "disable the owner": lambda d, one: accounts.disable(d.kit, one.key.owner_id),
    "delete the owner": lambda d, one: accounts.delete(d.kit, one.key.owner_id),
}


async def test_every_act_that_ends_a_key_ends_it_on_every_worker(
    running: tuple[str, list[fleet.Worker]], tmp_path: Path
) -> None:
    """RV-04: a stolen key must not outlive its end by going to another worker, which remembers it. So it is with a service
    account that is disabled, and with a scope that its owner has no more; and what was given back holds again."""
    async with deployment(running, tmp_path) as d:
        for act in ENDS.values():
            one = await d.remembered()
            await act(d, one)
            await d.everywhere(one, 401)
        account = await d.keys.add_account("ci", frozenset(), OPERATOR)
        theirs = await d.keys.create(Owner.SERVICE_ACCOUNT, account.id, Wanted("k"), OPERATOR)
        await d.everywhere(theirs, 200)
        await d.keys.disable_account(account.id, OPERATOR)
        await d.everywhere(theirs, 401)
        one = await d.remembered()
        await accounts.revoke(d.kit, one.key.owner_id, ["items:write"])
        await d.everywhere(one, 403, "/written")
        await accounts.grant(d.kit, one.key.owner_id, ["items:write"])
        await d.everywhere(one, 200, "/written")
