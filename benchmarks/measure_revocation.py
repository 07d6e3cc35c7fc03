"""Log out on one worker, and ask another until it answers 401: quiet, and with every core kept busy."""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
from benchmarks import contestants, report
from benchmarks.load import Connection
from benchmarks.report import Bar, Report, Row
from tests import databases, fleet, keeper, servers
from tests.proofs.revoking import signed_in

from watchword.stores.sql.sqlite_feed import POLL_SECONDS

RESULTS = Path(__file__).parent / "results"
POSTGRES, SQLITE = "PostgreSQL", "SQLite"
QUIET, LOADED = "quiet", "every core busy"
BOUNDS = {(POSTGRES, QUIET): 50.0, (POSTGRES, LOADED): 250.0, (SQLITE, QUIET): 250.0, (SQLITE, LOADED): 250.0}
"""Milliseconds, for 99 of 100."""

GOLDEN = 0.618034
"""Spreads the logouts evenly over the polls, which the last 401 would otherwise keep step with."""

PAUSE = 0.001
"""Seconds between two questions: whoever asks without a pause measures himself."""

GIVE_UP = 5.0
"""Seconds after which a peer's worker is asked no more."""

PEER_PAUSE = 0.05
LOGOUTS = {contestants.FASTAPI_USERS: "/logout", contestants.FULLAUTH: "/api/v1/auth/logout"}
"""The tutorial and AuthX have none: there the client forgets its token."""

STORED = (contestants.FASTAPI_USERS, contestants.FULLAUTH)
"""Peers whose workers share a database, in which the first of them makes the account."""

Case = tuple[str, str]


async def until_refused(client: httpx2.AsyncClient, url: str, bearer: dict[str, str], since: float) -> float:
    """Milliseconds from `since` to the end of the first answer that is 401."""
    while (await client.get(url, headers=bearer)).status_code != 401:
        pass
    return (time.perf_counter() - since) * 1000


async def refused(connection: Connection, token: str, since: float) -> float:
    """The same, asked by a client that takes few cycles."""
    while (await connection.get("/items/", token)).status != 401:  # noqa: ASYNC110 - the other side is a server
        await asyncio.sleep(PAUSE)
    return (time.perf_counter() - since) * 1000


async def measure(urls: Sequence[str], tokens: Sequence[str], name: str) -> list[float]:
    """Milliseconds from the answer to each logout to the 401 of each other worker."""
    lags: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        first, *others = [await stack.enter_async_context(Connection(url)) for url in urls]
        for number, token in enumerate(tokens):
            for connection in (first, *others):
                assert (await connection.get("/items/", token)).status == 200
            await asyncio.sleep(number * GOLDEN % 1 * POLL_SECONDS)
            assert (await first.post("/logout", {}, token)).status == 204
            since = time.perf_counter()
            lags += await asyncio.gather(*(refused(connection, token, since) for connection in others))
            print(f"\r{name}: {number + 1}/{len(tokens)} logouts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return sorted(lags)


@contextlib.contextmanager
def busy(cores: int) -> Iterator[None]:
    """So many processes of this process's priority that never rest."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


def ours(logouts: int, workers: int, home: Path) -> dict[Case, list[float]]:
    """The lags of each case, least first."""
    found: dict[Case, list[float]] = {}
    for database in (POSTGRES, SQLITE):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if database == POSTGRES:
                url = servers.postgres(home).create_database()
                asyncio.run(databases.migrated(url))
            else:
                url = databases.copy(databases.sqlite_template(folder), folder)
            tokens = asyncio.run(signed_in(url, folder, 2 * logouts))
            with fleet.running(workers, url, folder) as running:
                urls = [worker.url for worker in running]
                for load, some in ((QUIET, tokens[:logouts]), (LOADED, tokens[logouts:])):
                    with busy(os.cpu_count() or 1) if load == LOADED else contextlib.nullcontext():
                        found[database, load] = asyncio.run(measure(urls, some, f"{database}, {load}"))
    return found


async def accepted_for(peer: contestants.Contestant, urls: Sequence[str]) -> float:
    """Seconds after the logout on the first worker at which the second still let the token in; GIVE_UP at most."""
    credentials: dict[str, Any] = {**peer.credentials()}
    async with httpx2.AsyncClient(timeout=60) as client:
        answer = await client.post(f"{urls[0]}{peer.login_path}", **credentials)
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await client.get(f"{urls[1]}/items/", headers=bearer)).status_code == 200
        if (logout := LOGOUTS.get(peer)) is not None:
            answer = await client.post(f"{urls[0]}{logout}", headers=bearer)
            assert answer.is_success, answer.text
        since, accepted = time.perf_counter(), 0.0
        while time.perf_counter() - since < GIVE_UP:
            if (await client.get(f"{urls[1]}/items/", headers=bearer)).status_code == 401:
                return accepted
            accepted = time.perf_counter() - since
            await asyncio.sleep(PEER_PAUSE)
    return GIVE_UP


def peers(home: Path) -> dict[str, float]:
    """For each peer, on two workers that share what they can, the seconds of `accepted_for`."""
    found = {}
    for peer in contestants.PEERS:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            url = servers.postgres(home).create_database()
            with (
                peer.serving(Path(one), url) as first,
                peer.serving(Path(other), url, people=0 if peer in STORED else 1) as second,
            ):
                print(f"{peer.name}: at most {GIVE_UP} s", file=sys.stderr)
                found[peer.name] = asyncio.run(accepted_for(peer, [first.url, second.url]))
    return found


def p99(lags: Sequence[float]) -> float:
    return lags[int(len(lags) * 0.99)]


def rows(found: dict[Case, list[float]], theirs: dict[str, float]) -> Iterator[Row]:
    for case, lags in found.items():
        name = ", ".join(case)
        yield Row(f"{name}: median", statistics.median(lags), "ms")
        yield Row(f"{name}: 99 of 100", p99(lags), "ms", bound=BOUNDS[case])
        yield Row(f"{name}: the slowest", lags[-1], "ms")
    for peer, seconds in theirs.items():
        yield Row(f"{peer}: let in for" + (" at least" if seconds >= GIVE_UP else ""), seconds * 1000, "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logouts", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    arguments = report.arguments(parser)
    for name in [name for name in os.environ if name.startswith("WATCHWORD_")]:
        del os.environ[name]
    load_before = os.getloadavg()
    with contextlib.closing(keeper.Home()) as home:
        theirs = peers(home.path)
        found = ours(arguments.logouts, arguments.workers, home.path)
    Report(
        name="revocation",
        title="A logout on one worker, until the other refuses the token",
        about="Ours: 99 of 100 logouts. A peer was asked for five seconds, and lets the token in for longer; less is better.",
        rows=list(rows(found, theirs)),
        bars=[
            *(Bar(f"Watchword, {', '.join(case)}", p99(lags), BOUNDS[case], ours=True) for case, lags in found.items()),
            *(Bar(name, seconds * 1000) for name, seconds in theirs.items()),
        ],
        unit="ms",
        raw={
            "lags_ms": {", ".join(case): lags for case, lags in found.items()},
            "peers_s": theirs,
            "load_before": load_before,
        },
        versions=contestants.versions(),
    ).finish(arguments)


if __name__ == "__main__":
    main()
