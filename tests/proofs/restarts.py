"""FT-01: PostgreSQL crashes and comes back while clients are at work; nobody restarts anything of ours.

While it is away each request is answered 503 with Retry-After, and nothing that was revoked is let in. Once it is back, all
clients go on with the tokens that they have.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from tests import databases, keeper, servers
from tests.house import House, Login, kept, open_house
from tests.proofs.deployment import MASTER
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

CLIENTS = 6
RESTARTS, UNITS = 10, 10
BOUND = 5.0
"""Seconds within which everybody is served again."""

PATIENCE = 60.0


class Client:
    """Somebody who signs in, refreshes, uses, logs out, and tries what was revoked, without a pause."""

    def __init__(self, house: House, email: str) -> None:
        self._house = house
        self._email = email
        self._revoked: list[Login] = []
        self.requests = self.refused = 0
        self.served_at = 0.0
        self.refused_at = 0.0

    async def live(self) -> None:
        """Until it is cancelled. Raises AssertionError at the first wrong answer."""
        while True:
            login = kept(await self._until_served(partial(self._house.try_login, self._email), {200}))
            for _ in range(3):
                for _ in range(3):
                    await self._served(partial(self._house.me, login), {200})
                if self._revoked:
                    await self._served(partial(self._house.me, self._revoked[-1]), {401})
                login = kept(await self._until_served(partial(self._house.try_refresh, login.refresh), {200}))
            end = partial(self._house.client.post, "/logout", headers=login.headers)
            await self._until_served(end, {204})
            self._revoked.append(login)

    async def _until_served(self, ask: Callable[[], Awaitable[httpx2.Response]], good: set[int]) -> httpx2.Response:
        """Try again, as clients do, with the same token."""
        while (answer := await self._served(ask, good)) is None:  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.02)
        return answer

    async def _served(self, ask: Callable[[], Awaitable[httpx2.Response]], good: set[int]) -> httpx2.Response | None:
        """An answer out of `good`, or none for a 503."""
        asked_at = time.monotonic()
        answer = await ask()
        self.requests += 1
        if answer.status_code == 503:
            assert "retry-after" in answer.headers
            self.refused += 1
            self.refused_at = asked_at
            await asyncio.sleep(0.01)
            return None
        assert answer.status_code in good, f"{answer.request.url.path}: {answer.status_code} {answer.text}"
        self.served_at = asked_at
        return answer


async def _restarts(folder: Path, home: Path, url: str, restarts: int) -> Figures:
    options: dict[str, Any] = {"attempts_per_account": 100, "attempts_per_network": 10_000}
    recoveries = []
    async with open_house(folder, database_url=url, master_keys=MASTER, **options) as house:
        clients = [Client(house, f"ada{count}@example.com") for count in range(CLIENTS)]
        for client in clients:
            await house.register(client._email)
        living = [asyncio.create_task(client.live()) for client in clients]
        try:
            for _ in range(restarts):
                await _until(lambda since: all(one.served_at > since for one in clients), living)
                await asyncio.to_thread(servers.stop, home)
                await _until(lambda since: all(one.refused_at > since for one in clients), living)
                await asyncio.to_thread(servers.start, home)
                recoveries.append(await _until(lambda since: all(one.served_at > since for one in clients), living))
        finally:
            for task in living:
                task.cancel()
            await asyncio.gather(*living, return_exceptions=True)
    return {
        "restarts": restarts,
        "requests": sum(one.requests for one in clients),
        "refused": sum(one.refused for one in clients),
        "slowest": round(max(recoveries), 3),
        "median": round(statistics.median(recoveries), 3),
    }


async def _until(came: Callable[[float], bool], living: Sequence["asyncio.Task[None]"]) -> float:
    """The seconds until this is so of what was asked since now. Raises what one of the clients raised."""
    since = time.monotonic()
    while not came(since):
        for task in living:
            if task.done():
                task.result()
        assert time.monotonic() < since + PATIENCE, "nobody was served any more"
        await asyncio.sleep(0.005)
    return time.monotonic() - since


def run(restarts: int, bound: float, bench: Bench) -> Figures:
    """With a PostgreSQL of its own, since it is crashed."""
    with contextlib.closing(keeper.Home()) as home:
        url = servers.postgres(home.path).create_database()
        asyncio.run(databases.migrated(url))
        figures = asyncio.run(_restarts(bench.folder, home.path, url, restarts))
    assert float(figures["slowest"]) <= bound, f"it took {figures['slowest']} s until everybody was served"
    return figures


def units(short: bool) -> Sequence[Unit]:
    if short:
        return [Unit("short", partial(run, 2, PATIENCE))]
    return [Unit(f"{count:02}", partial(run, RESTARTS, BOUND)) for count in range(1, UNITS + 1)]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    slowest = max((float(one["slowest"]) for one in figures), default=0)
    median = statistics.median([float(one["median"]) for one in figures] or [0])
    return [
        Row("crashes and starts of PostgreSQL", "PostgreSQL 비정상 종료와 재시작", number(total(figures, "restarts"))),
        Row("requests meanwhile", "그동안 보낸 요청", number(total(figures, "requests"))),
        Row("answered 503 while it was away", "중단된 동안 503으로 응답한 요청", number(total(figures, "refused"))),
        Row("until everybody was served again, median", "모두 다시 응답을 받을 때까지 (중앙값)", f"{median:.2f} s"),
        Row("the slowest", "가장 오래 걸린 경우", f"{slowest:.2f} s"),
        Row("wrong acceptances, lost clients, other errors", "잘못된 허용, 로그아웃된 클라이언트, 그 밖의 오류", "0"),
    ]


PROOF = Proof("restarts", units, report)
