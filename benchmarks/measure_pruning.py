"""What others notice of upkeep that prunes: logins and refreshes of one worker, with it and without, by turns."""

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import seeding
from benchmarks.report import Bar, Report, Row
from benchmarks.seeding import SESSIONS
from tests.house import CHEAP

from watchword import Auth, Settings
from watchword.core import opaque
from watchword.core.clock import Clock
from watchword.core.models import Client, Proof
from watchword.flows import session, upkeep
from watchword.flows.kit import Kit

MASTER_KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
PEOPLE = 10_000
CLIENTS = 8
PAUSE = 0.04
"""Seconds between two requests of a client, on the average."""

WINDOW = 4.0
GUARD = 0.1
"""Seconds at the beginning of a window that count for nothing: what was begun before goes on into it."""

BOUND = 1.1
WHERE = Client("benchmark", "203.0.113.7")

Found = dict[str, Any]


class Gate:
    """Lets the pruning go on or holds it, between two batches."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.batches = 0

    async def rest(self, seconds: float) -> None:
        self.batches += 1
        await asyncio.sleep(seconds)
        await self._open.wait()

    def set(self, *, pruning: bool) -> None:
        (self._open.set if pruning else self._open.clear)()


async def client(kit: Kit, numbers: range, taken: list[tuple[float, str, float]]) -> None:
    """Refreshes and logs in by turns, each time as somebody else."""
    for number in itertools.cycle(random.sample(numbers, len(numbers))):
        await asyncio.sleep(random.expovariate(1 / PAUSE))
        text = opaque.mint(seeding.session_id(number), 0, seeding.secret(number), kit.keyring.ring.refresh_keys)
        since = time.perf_counter()
        await session.refresh(kit, text, None, WHERE)
        taken.append((since, "refresh", time.perf_counter() - since))
        await asyncio.sleep(random.expovariate(1 / PAUSE))
        found = await kit.users.get(seeding.user_id(number // SESSIONS))
        assert found is not None
        proof = Proof(found.user, frozenset({"pwd"}), kit.clock.now())
        since = time.perf_counter()
        await session.open(kit, proof, None, WHERE)
        taken.append((since, "login", time.perf_counter() - since))


async def measure(url: str, clock: Clock, people: int, windows: int) -> Found:
    """Windows with pruning and without it by turns, until all is pruned."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=url, data_dir=Path(folder), master_keys=MASTER_KEY)
        auth = Auth(settings, clock=clock, argon2=CHEAP)
        await auth.start()
        kit = await auth.open()
        taken: list[tuple[float, str, float]] = []
        share = people * SESSIONS // CLIENTS
        at_work = [
            asyncio.create_task(client(kit, range(one * share, (one + 1) * share), taken)) for one in range(CLIENTS)
        ]
        try:
            return await _windows(kit, taken, at_work, windows)
        finally:
            for one in at_work:
                one.cancel()
            await asyncio.wait(at_work)
            await auth.stop()


async def _windows(
    kit: Kit, taken: list[tuple[float, str, float]], at_work: list[asyncio.Task[None]], most: int
) -> Found:
    gate = Gate()
    known, upkeep.rest = upkeep.rest, gate.rest
    windows: list[dict[str, Any]] = []
    await asyncio.sleep(2 * WINDOW)
    gate.set(pruning=True)
    running = asyncio.create_task(upkeep.run(kit))
    try:
        for number in itertools.count():
            with_pruning = number % 2 == 0
            gate.set(pruning=with_pruning)
            taken.clear()
            begun = time.perf_counter()
            await asyncio.sleep(WINDOW)
            for one in at_work:
                if one.done():
                    one.result()
            if number >= most or (running.done() and with_pruning):
                break
            seconds = [(name, length) for since, name, length in taken if since > begun + GUARD]
            windows.append({"pruning": with_pruning, "taken": seconds})
            print(f"\r{number + 1} windows, {gate.batches:,} batches", end="", file=sys.stderr, flush=True)
    finally:
        upkeep.rest = known
        running.cancel()
        await asyncio.wait([running])
    print(file=sys.stderr)
    return {"windows": windows, "batches": gate.batches, "finished": not running.cancelled()}


def p99(found: Found, name: str, *, pruning: bool) -> float:
    """The median of the windows' 99th percentiles: a disk that somebody else keeps busy for some seconds spoils a few windows,
    of one kind or the other."""
    windows = [
        [length for what, length in one["taken"] if what == name]
        for one in found["windows"]
        if one["pruning"] is pruning
    ]
    return float(statistics.median(statistics.quantiles(lengths, n=100)[98] for lengths in windows))


def finish(pruned: dict[str, Found], arguments: argparse.Namespace) -> None:
    rows, bars = [], []
    for database, found in pruned.items():
        seconds = len(found["windows"]) // 2 * WINDOW
        print(
            f"{NAMES[database]}: {found['batches']:,} batches in {seconds:.0f} s of pruning; all: {found['finished']}"
        )
        for name in ("refresh", "login"):
            quiet, busy = (p99(found, name, pruning=pruning) for pruning in (False, True))
            called = f"{NAMES[database]}: {name}, p99"
            rows += [
                Row(called, quiet * 1000, "ms", ratio=1.0),
                Row(f"{called} while dead rows are pruned", busy * 1000, "ms", ratio=busy / quiet),
                Row(f"{called}, with pruning times without", busy / quiet, bound=BOUND),
            ]
            bars.append(Bar(called, busy / quiet, mark=BOUND, ours=True))
    Report(
        name="pruning",
        title="p99 of others while dead rows are pruned, times that without",
        about="A million dead sessions, revocations and attempts each, pruned by a worker that serves others.",
        rows=rows,
        bars=bars,
        unit="×",
        raw={
            database: {"batches": found["batches"], "finished": found["finished"]} for database, found in pruned.items()
        },
    ).finish(arguments)
