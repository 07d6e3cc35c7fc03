"""CPU per request of a protected route, by turns with an unprotected one: ours in this process, a peer in one of its own."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks import contestants, in_process, ours, report
from benchmarks.report import Bar, Report, Row
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from fastapi import FastAPI
from tests import keeper, servers

from watchword import Auth
from watchword.core import jose, tokens
from watchword.flows import authenticate
from watchword.flows.kit import Kit

BATCHES, REQUESTS = 40, 25
PEER_BATCHES = 10
STEP_BATCHES = 60
PLAIN, IDLE = "FastAPI, unprotected", "FastAPI, a dependency that does nothing"
DENY, DENY_WHO, WHO = "deny by default", "deny by default, with auth.principal", "auth.principal"
OURS: dict[str, Callable[[], FastAPI]] = {
    PLAIN: ours.plain,
    IDLE: ours.idle,
    DENY: ours.protected,
    DENY_WHO: ours.protected_dependency,
    WHO: ours.dependency,
}
USERS_SQLITE, USERS_POSTGRES = "fastapi-users, SQLite", "fastapi-users, PostgreSQL"

Found = dict[str, list[float]]


class Peer:
    """A contestant in its own Python, which answers how much CPU a request takes."""

    def __init__(self, contestant: contestants.Contestant, url: str) -> None:
        self._process = subprocess.Popen(
            [contestant.python, "-m", "benchmarks.in_process", contestant.module],
            cwd=contestants.ROOT,
            env=contestant.environment(url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, batches: int) -> dict[str, float]:
        """Seconds of `/` and of `/items/`."""
        to, back = _pipe(self._process.stdin), _pipe(self._process.stdout)
        print(batches, REQUESTS, file=to, flush=True)
        answer: dict[str, float] = json.loads(back.readline())
        return answer

    def stop(self) -> None:
        _pipe(self._process.stdin).close()
        self._process.wait(timeout=30)
        _pipe(self._process.stdout).close()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@contextlib.contextmanager
def peers(folder: Path) -> Iterator[dict[str, Peer]]:
    """Every peer, started; fastapi-users on both databases."""
    home = keeper.Home()
    running: dict[str, Peer] = {}
    try:
        url = servers.postgres(home.path).create_database()
        for contestant in contestants.PEERS:
            name = USERS_SQLITE if contestant is contestants.FASTAPI_USERS else contestant.name
            running[name] = Peer(contestant, f"sqlite+aiosqlite:///{folder}/{contestant.module}.db")
        running[USERS_POSTGRES] = Peer(contestants.FASTAPI_USERS, url)
        yield running
    finally:
        for peer in running.values():
            peer.stop()
        home.close()


async def measure(rounds: int, running: dict[str, Peer]) -> tuple[Found, Found, dict[str, list[float]]]:
    """Ours, in seconds; the peers' protected and unprotected route, in seconds; and single steps of ours, in seconds."""
    found: Found = {name: [] for name in OURS}
    theirs: Found = {f"{name}{path}": [] for name in running for path in ("/", "/items/")}
    steps: dict[str, list[float]] = {}
    async with contextlib.AsyncExitStack() as stack:
        asks = {}
        kit: Kit | None = None
        token = ""
        for name, make in OURS.items():
            with contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())):
                app = make()
                await stack.enter_async_context(app.router.lifespan_context(app))
            auth: Auth | None = getattr(app.state, "watchword", None)
            token = await ours.token(app) if auth else "x" * 500
            asks[name] = in_process.request(app, "/items/", token)
            kit = await auth.open() if auth else kit
        assert kit is not None
        await in_process.least(asks, 2, 500)
        for peer in running.values():
            peer.measure(4)
        for number in range(rounds):
            for name, seconds in (await in_process.least(asks, BATCHES, REQUESTS)).items():
                found[name].append(seconds)
            for name, peer in running.items():
                for path, seconds in peer.measure(PEER_BATCHES).items():
                    theirs[f"{name}{path}"].append(seconds)
            for name, seconds in (await single_steps(kit, token)).items():
                steps.setdefault(name, []).append(seconds)
            print(f"\r{number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found, theirs, steps


async def single_steps(kit: Kit, token: str) -> dict[str, float]:
    """Verifying a token that is known, one that is new, and what cryptography takes for the signature alone."""
    access = await authenticate.bearer(kit, token)
    ring, now = kit.keyring.ring, kit.clock.timestamp()
    credentials = b"Bearer " + token.encode()
    signed, _, encoded = token.rpartition(".")
    raw = jose.b64decode(encoded)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key: Any = ring.private[access.kid].material.public_key()
    message, algorithm = signed.encode(), ec.ECDSA(hashes.SHA256())
    acts: dict[str, tuple[Callable[[], object], int]] = {
        "known": (lambda: authenticate.at_once(kit, credentials), 500),
        "new": (lambda: tokens.verify(token, ring, kit.policy, now), 50),
        "raw": (lambda: key.verify(der, message, algorithm), 50),
    }
    assert authenticate.at_once(kit, credentials) is access
    least = dict.fromkeys(acts, float("inf"))
    for _ in range(STEP_BATCHES):
        for name in random.sample(list(acts), len(acts)):
            act, times = acts[name]
            since = time.process_time()
            for _ in range(times):
                act()
            least[name] = min(least[name], (time.process_time() - since) / times)
    return least


def ratio(one: list[float], other: list[float]) -> float:
    """The median of the alternations' ratios."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def micro(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e6


def rows(found: Found, theirs: Found, steps: Found, names: list[str]) -> Iterator[Row]:
    yield Row(PLAIN, micro(found[PLAIN]), "µs", ratio=1.0)
    for name in (DENY, DENY_WHO, WHO, IDLE):
        yield Row(name, micro(found[name]), "µs", ratio=ratio(found[name], found[PLAIN]))
    for name in names:
        items, root = theirs[f"{name}/items/"], theirs[f"{name}/"]
        yield Row(name, micro(items), "µs", ratio=ratio(items, root))
    yield Row(f"{DENY}, times FastAPI unprotected", ratio(found[DENY], found[PLAIN]), bound=1.05)
    yield Row("auth.principal, times a dependency that does nothing", ratio(found[WHO], found[IDLE]), bound=1.0)
    added = [a - b for a, b in zip(found[WHO], found[PLAIN], strict=True)]
    users = zip(theirs[f"{USERS_SQLITE}/items/"], theirs[f"{USERS_SQLITE}/"], strict=True)
    yield Row("CPU added, times what fastapi-users adds", ratio(added, [a - b for a, b in users]), bound=1 / 50)
    yield Row("a known token", micro(steps["known"]), "µs", bound=1.0)
    yield Row("a new ES256 token", micro(steps["new"]), "µs", ratio=ratio(steps["new"], steps["raw"]))
    yield Row("its signature alone (cryptography)", micro(steps["raw"]), "µs", ratio=1.0)
    yield Row("a new ES256 token, times its signature alone", ratio(steps["new"], steps["raw"]), bound=1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = report.arguments(parser)
    for name in [name for name in os.environ if name.startswith("WATCHWORD_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder, peers(Path(folder)) as running:
        found, theirs, steps = asyncio.run(measure(arguments.rounds, running))
        names = list(running)
    table = list(rows(found, theirs, steps, names))
    Report(
        name="verify",
        title="CPU per request of a protected route, times the unprotected one",
        about="Each peer is compared with the unprotected route of its own environment; less is better.",
        rows=table,
        bars=[
            Bar(f"Watchword, {DENY}", ratio(found[DENY], found[PLAIN]), mark=1.05, ours=True),
            Bar(f"Watchword, {WHO}", ratio(found[WHO], found[PLAIN]), ours=True),
            Bar("a dependency that does nothing", ratio(found[IDLE], found[PLAIN])),
            *(Bar(name, ratio(theirs[f"{name}/items/"], theirs[f"{name}/"])) for name in names),
        ],
        unit="×",
        raw={"ours": found, "peers": theirs, "steps": steps},
        versions=contestants.versions(),
    ).finish(arguments)


if __name__ == "__main__":
    main()
