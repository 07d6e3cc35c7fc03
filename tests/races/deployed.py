"""Workers on one database, and the operator beside them."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from tests import fleet
from tests.house import CHEAP, PASSWORD

from watchword import Auth, Settings
from watchword.core.models import Account
from watchword.features.base import Feature
from watchword.flows import accounts
from watchword.flows.kit import Kit

DEADLINE = 10.0


class Deployment:
    """`urls` are the workers', `kit` is the operator's."""

    def __init__(self, running: list[fleet.Worker], client: httpx2.AsyncClient, kit: Kit) -> None:
        self.urls = [worker.url for worker in running]
        self.client = client
        self.kit = kit
        self._made = 0

    async def user(self, *scopes: str) -> Account:
        """A fresh user, with PASSWORD."""
        self._made += 1
        return await accounts.add(self.kit, f"user{self._made}@example.com", PASSWORD, None, frozenset(scopes))

    async def status(self, url: str, bearer: dict[str, str], path: str = "/items/") -> int:
        """What one worker answers."""
        return (await self.client.get(url + path, headers=bearer)).status_code

    async def everywhere(self, bearer: dict[str, str], status: int, path: str = "/items/") -> None:
        """Wait until every worker answers so."""
        for url in self.urls:
            give_up = time.monotonic() + DEADLINE
            while (answered := await self.status(url, bearer, path)) != status:
                assert time.monotonic() < give_up, f"{url} still answers {answered}"


@asynccontextmanager
async def deployment(
    running: tuple[str, list[fleet.Worker]], folder: Path, features: Sequence[Feature] = ()
) -> AsyncIterator[Deployment]:
    """What the fixture `running` gives, with its operator."""
    database_url, started = running
    settings = Settings(database_url=database_url, data_dir=folder / ".watchword")
    operator = Auth(settings, argon2=CHEAP, features=features)
    await operator.start()
    try:
        async with httpx2.AsyncClient(timeout=30) as client:
            yield Deployment(started, client, await operator.open())
    finally:
        await operator.stop()
