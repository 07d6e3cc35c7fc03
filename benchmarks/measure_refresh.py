"""Refresh on SQLite and on PostgreSQL, against the same server that signs the same tokens and keeps nothing."""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import report
from benchmarks.load import Answer, Connection, Latencies, at_once
from tests import databases, fleet, servers
from tests.live import free_port

CLIENTS = 16
LEAST = 0.6
P99_MS = 50
WARM_UP_SECONDS = 1.0
PASSWORD = "correct horse battery staple"
WAYS = ("without storage", "SQLite", "PostgreSQL")


class Client:
    """Somebody who signs in once and then refreshes, each time with the successor."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = Connection(url)
        self._name = name
        self._token = ""

    async def sign_in(self) -> None:
        await self._connection.post_json("/register", {"email": self._name, "password": PASSWORD})
        answer = await self._connection.post("/login", {"username": self._name, "password": PASSWORD})
        self._token = answer.json()["refresh_token"]

    async def refresh(self) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": self._token}
        answer = await self._connection.post("/refresh", form)
        assert answer.status == 200, answer
        self._token = answer.json()["refresh_token"]
        return answer


@contextlib.contextmanager
def serving(database_url: str, folder: Path) -> Iterator[str]:
    """A server of its own process on this database; its address."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    environment = fleet.settings(database_url, folder) | {"WATCHWORD_ATTEMPTS_PER_NETWORK": "10000"}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.refreshing", str(port)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    worker = fleet.Worker(f"http://localhost:{port}", log, process)
    try:
        fleet.ready(worker)
        yield worker.url
    finally:
        worker.stop()


async def measure(urls: dict[str, str], rounds: int, seconds: float) -> dict[str, list[Latencies]]:
    async with Connection(urls["without storage"]) as connection:
        await connection.post("/benchmark/without-storage", {})
    clients = {way: [Client(url, f"{n}@example.com") for n in range(CLIENTS)] for way, url in urls.items()}
    for way, several in clients.items():
        for client in several:
            await client.sign_in()
        await at_once([client.refresh for client in several], WARM_UP_SECONDS)
        print(f"{way}: ready", file=sys.stderr)
    found: dict[str, list[Latencies]] = {way: [] for way in urls}
    for number in range(rounds):
        for way, several in clients.items():
            found[way].append(await at_once([client.refresh for client in several], seconds))
        rates = ", ".join(f"{way} {several[-1].rate:.0f}/s" for way, several in found.items())
        print(f"{number + 1}/{rounds} rounds: {rates}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way in each round")
    arguments = report.arguments(parser)
    with tempfile.TemporaryDirectory(prefix="watchword-") as name, contextlib.ExitStack() as open_:
        folder = Path(name)
        os.chmod(folder, 0o755)  # PostgreSQL may have to run as somebody else
        server = servers.postgres(folder)
        open_.callback(servers.stop, folder)
        server.wait_for_the_disk()
        postgres = server.create_database()
        asyncio.run(databases.migrated(postgres))
        template = databases.sqlite_template(folder)
        urls = {}
        for way in WAYS:
            (there := folder / way.replace(" ", "-")).mkdir()
            url = postgres if way == "PostgreSQL" else databases.copy(template, there)
            urls[way] = open_.enter_context(serving(url, there))
        found = asyncio.run(measure(urls, arguments.rounds, arguments.seconds))
    tell(found, arguments)


def tell(found: dict[str, list[Latencies]], arguments: argparse.Namespace) -> None:
    rows, bars = [], []
    for way, several in found.items():
        rate = statistics.median(one.rate for one in several)
        ratio = statistics.median(
            one.rate / bare.rate for one, bare in zip(several, found["without storage"], strict=True)
        )
        whole = Latencies([second for one in several for second in one.seconds])
        stored = way != "without storage"
        bound = LEAST if stored else None
        rows.append(report.Row(f"{way}: refreshes", rate, "/s"))
        rows.append(report.Row(f"{way}: ratio", ratio, "×", bound=bound, at_least=True))
        rows.append(report.Row(f"{way}: p99", whole.quantile(0.99), "ms", bound=P99_MS if stored else None))
        bars.append(report.Bar(way, rate, ours=stored))
    report.Report(
        "refresh",
        f"Refreshes per second, {CLIENTS} clients, one process",
        "How many refresh tokens one process turns in a second, with and without a database behind it.",
        rows,
        bars,
        "/s",
        raw={
            way: [{"rate": one.rate, "p99_ms": one.quantile(0.99)} for one in several] for way, several in found.items()
        },
    ).finish(arguments)


if __name__ == "__main__":
    main()
