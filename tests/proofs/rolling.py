"""Workers are restarted one after another, and keys rotated, while clients are at work behind a balancer; nobody notices.

No request is lost and none is wrongly refused; what was revoked is.
"""

import asyncio
import base64
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx2
from tests import fleet
from tests.balancer import Backend, Balancer, balancing
from tests.house import CHEAP, PASSWORD, Login, kept
from tests.live import free_port
from tests.proofs.deployment import MASTER
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

from watchword import Auth, Settings
from watchword.flows import accounts
from watchword.flows.kit import Kit

WORKERS, CLIENTS = 2, 4
RESTARTS, ROTATIONS = {"sqlite": 6, "postgresql": 20}, {"sqlite": 2, "postgresql": 5}
DRAIN = "5"
AHEAD = timedelta(seconds=9)
"""How long before its time a key is published here; upkeep does it ten minutes ahead."""

SETTLED = 5.0
"""Seconds after which a revocation is known to all, whatever their feed does: twice `revocation_staleness`, and more."""

PATIENCE = 120.0


@dataclass
class Client:
    """Somebody who signs in, uses, refreshes, signs out, and tries what was revoked, without a pause."""

    http: httpx2.AsyncClient
    email: str
    requests: int = 0
    refused: int = 0
    kids: set[str] = field(default_factory=set)
    revoked: list[tuple[float, Login]] = field(default_factory=list)

    async def live(self) -> None:
        """Until it is cancelled. Raises AssertionError at the first wrong answer."""
        while True:
            form = {"username": self.email, "password": PASSWORD}
            login = self.signed_in(await self.ask(200, "POST", "/login", data=form))
            for _ in range(3):
                for _ in range(3):
                    await self.ask(200, "GET", "/me", headers=login.headers)
                before = login
                form = {"grant_type": "refresh_token", "refresh_token": login.refresh}
                login = self.signed_in(await self.ask(200, "POST", "/refresh", data=form))
                await self.ask(200, "GET", "/me", headers=before.headers)
            await self.ask(204, "POST", "/logout", headers=login.headers)
            form = {"grant_type": "refresh_token", "refresh_token": login.refresh}
            await self.ask(400, "POST", "/refresh", data=form)
            self.revoked.append((time.monotonic(), login))
            for since, ended in self.revoked[-40:]:
                if since < time.monotonic() - SETTLED:
                    await self.ask(401, "GET", "/me", headers=ended.headers)
                    self.refused += 1

    async def ask(self, good: int, method: str, path: str, **more: object) -> httpx2.Response:
        answer = await self.http.request(method, path, **more)  # type: ignore[arg-type]
        self.requests += 1
        assert answer.status_code == good, f"{method} {path}: {answer.status_code} instead of {good}: {answer.text}"
        return answer

    def signed_in(self, answer: httpx2.Response) -> Login:
        login = kept(answer)
        head = login.access.partition(".")[0]
        self.kids.add(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])
        return login


class Fleet:
    """The workers behind the balancer, each on a port that stays its own."""

    def __init__(self, balancer: Balancer, environment: dict[str, str], folder: Path) -> None:
        self.balancer = balancer
        self.workers: dict[int, fleet.Worker] = {}
        self._environment = environment
        self._folder = folder

    async def start(self, backend: Backend) -> None:
        """Start a worker, and wait until it is sent clients."""
        self.workers[backend.port] = worker = fleet.start(self._environment, self._folder, backend.port, "tests.served")
        try:
            await self.balancer.until(backend, ready=True)
        except TimeoutError:
            raise AssertionError(f"the worker did not come up:\n{worker.log.read_text()}") from None

    async def stop(self, backend: Backend, *, hurry: bool) -> None:
        """SIGTERM, and wait for its end. In a `hurry` a second one says that the balancer knows."""
        worker = self.workers.pop(backend.port)
        worker.process.send_signal(signal.SIGTERM)
        if hurry:
            await self.balancer.until(backend, ready=False)
            assert b'{"status":"draining"}' in backend.last or worker.process.poll() is not None, backend.last
            async with httpx2.AsyncClient(base_url=worker.url) as client:
                assert (await client.get("/healthz")).status_code == 200, "whoever comes is served yet"
            worker.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(worker.process.wait, PATIENCE)
        worker.stop()
        assert code == 0, f"exit code {code}\n{worker.log.read_text()}"
        await self.balancer.until(backend, ready=False)

    def kill(self) -> None:
        for worker in self.workers.values():
            worker.process.kill()
            worker.stop()


@contextlib.asynccontextmanager
async def operating(url: str, folder: Path) -> AsyncIterator[Kit]:
    operator = Auth(Settings(database_url=url, data_dir=folder, master_keys=MASTER), argon2=CHEAP)
    await operator.start()
    try:
        yield await operator.open()
    finally:
        await operator.stop()


async def _roll(bench: Bench, url: str, restarts: int, rotations: int, *, hurry: bool) -> Figures:
    environment = fleet.settings(url, bench.folder)
    environment |= {"WATCHWORD_MASTER_KEYS": MASTER, "WATCHWORD_DRAIN_SECONDS": "300" if hurry else DRAIN}
    async with (
        operating(url, bench.folder) as kit,
        balancing([free_port() for _ in range(WORKERS)]) as balancer,
        contextlib.AsyncExitStack() as stack,
    ):
        workers = Fleet(balancer, environment, bench.folder)
        stack.callback(workers.kill)
        clients = []
        for count in range(CLIENTS):
            http = await stack.enter_async_context(httpx2.AsyncClient(base_url=balancer.url, timeout=PATIENCE))
            clients.append(Client(http, f"ada{count}@example.com"))
            await accounts.add(kit, clients[-1].email, PASSWORD, None, frozenset())
        for backend in balancer.backends:
            await workers.start(backend)
        living = [asyncio.create_task(client.live()) for client in clients]
        rolling = asyncio.create_task(_restart(workers, kit, clients, restarts, rotations, hurry=hurry))
        try:
            await asyncio.wait([rolling, *living], return_when=asyncio.FIRST_COMPLETED)
            for task in (*living, rolling):
                if task.done():
                    task.result()
        finally:
            for task in (rolling, *living):
                task.cancel()
            await asyncio.gather(rolling, *living, return_exceptions=True)
        for backend in balancer.backends:
            await workers.stop(backend, hurry=hurry)
    assert balancer.lost == []
    for log in bench.folder.glob("worker-*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()
    return {
        "restarts": restarts,
        "stops": (restarts + 1) * WORKERS,
        "rotations": rotations,
        "requests": sum(client.requests for client in clients),
        "refused": sum(client.refused for client in clients),
        "keys": len(set().union(*(client.kids for client in clients))),
    }


async def _restart(
    workers: Fleet, kit: Kit, clients: Sequence[Client], restarts: int, rotations: int, *, hurry: bool
) -> None:
    """The rounds, with the rotations spread over them; each goes on when clients have met every worker."""
    balancer = workers.balancer
    for count in range(restarts):
        if count * rotations // restarts != (count - 1) * rotations // restarts or not count:
            now = kit.clock.now()
            assert await kit.keyring.publish(await kit.keyring.records(), now + AHEAD, now)
        for backend in balancer.backends:
            await workers.stop(backend, hurry=hurry)
            await workers.start(backend)
            await _until(partial(_served, {one.port: one.passed + 5 for one in balancer.backends}, balancer))
    newest = kit.keyring.ring.records[-1].kid
    await _until(lambda: all(newest in client.kids for client in clients))
    await _until(lambda: all(client.refused for client in clients))


def _served(wanted: dict[int, int], balancer: Balancer) -> bool:
    """Whether each worker has answered so many."""
    return all(backend.passed >= wanted[backend.port] for backend in balancer.backends)


async def _until(came: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not came():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


def run(kind: str, restarts: int, rotations: int, hurry: bool, bench: Bench) -> Figures:
    ground = bench.ground(kind)
    try:
        return asyncio.run(_roll(bench, ground.url, restarts, rotations, hurry=hurry))
    finally:
        ground.close()


def units(short: bool) -> Sequence[Unit]:
    if short:
        return [Unit("short", partial(run, "postgresql", 2, 1, True))]
    return [Unit(kind, partial(run, kind, RESTARTS[kind], ROTATIONS[kind], False)) for kind in RESTARTS]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    def row(en: str, ko: str, name: str) -> Row:
        return Row(en, ko, number(total(figures, name)))

    return [
        row("rolling restarts, on SQLite and PostgreSQL", "SQLite와 PostgreSQL의 순차 재시작", "restarts"),
        row("workers stopped by SIGTERM, exit code 0", "SIGTERM으로 종료한 워커 (종료 코드 0)", "stops"),
        row("rotations of the signing key", "서명 키 교체", "rotations"),
        row("requests meanwhile", "그동안 보낸 요청", "requests"),
        row("of them with a revoked token, all refused", "그중 폐기된 토큰을 쓴 요청 (모두 거부)", "refused"),
        Row("lost, or wrongly refused", "유실되거나 잘못 거부된 요청", "0"),
    ]


PROOF = Proof("rolling", units, report)
