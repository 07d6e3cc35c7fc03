"""The p99 of a protected route while 16 and while 200 clients log in all the time, and what that takes of memory and CPU."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import contestants, processes, report
from benchmarks.contestants import Contestant, Serving
from benchmarks.report import Bar, Report, Row
from tests import servers

from watchword import processors
from watchword.core.passwords import OWASP

CROWDS = (16, 200)
ALLOWANCE_MIB = 16
"""For what is loaded with the first login, two hundred connections, the logins that wait on them, and compiled SQL."""

LOGINS = 30
"""Per second and CPU, at the least."""

SQLITE, POSTGRES = "SQLite", "PostgreSQL"
TAKING_PART: tuple[tuple[Contestant, str], ...] = (
    (contestants.OURS, SQLITE),
    (contestants.OURS, POSTGRES),
    (contestants.TUTORIAL, ""),
    (contestants.AUTHX, ""),
    (contestants.FULLAUTH, SQLITE),
    (contestants.FASTAPI_USERS, SQLITE),
    (contestants.FASTAPI_USERS, POSTGRES),
)


@dataclass(frozen=True)
class Phase:
    """What the clients saw in a phase, and the peak of the server's memory in bytes."""

    seen: dict[str, Any]
    peak: int

    @property
    def p99(self) -> float:
        """Milliseconds."""
        looks = sorted(self.seen["looks"])
        return float(looks[min(int(len(looks) * 0.99), len(looks) - 1)]) * 1000

    @property
    def refused(self) -> float:
        """The share of logins that was told to come again."""
        tried = self.seen["logins"] + self.seen["refused"]
        return self.seen["refused"] / tried if tried else 0.0

    @property
    def told_when(self) -> bool:
        return bool(self.seen["refused"] == self.seen["told_when"]) and not self.seen["failures"]

    @property
    def logins(self) -> float:
        """Per second and CPU."""
        return float(self.seen["logins"] / self.seen["cpu"])


@dataclass(frozen=True)
class Measured:
    """A contestant's phases by the number of clients, none among them, and its memory before the first login."""

    ours: bool
    base: int
    phases: dict[int, Phase]


def measure(contestant: Contestant, url: str, folder: Path, seconds: float, **more: str) -> Measured:
    most = max(CROWDS)
    with contestant.serving(folder, url, most + 1, **more) as serving:
        base = processes.resident(serving.pid)
        storm(contestant, serving, 1, 1.0)  # what is loaded with the first login is no part of the storm
        phases = {}
        for clients in (0, *CROWDS):
            processes.forget_peak(serving.pid)
            seen = storm(contestant, serving, clients, seconds)
            phases[clients] = Phase(seen, processes.peak(serving.pid))
    return Measured(contestant.ours, base, phases)


def storm(contestant: Contestant, serving: Serving, clients: int, seconds: float) -> dict[str, Any]:
    """What the clients saw, from a process of their own."""
    kind = "json" if contestant.json_login else "data"
    credentials = [contestant.credentials(f"person{n}@example.com")[kind] for n in range(clients + 1)]
    how = {
        "url": serving.url,
        "pid": serving.pid,
        "login_path": contestant.login_path,
        "credentials": credentials,
        "kind": kind,
        "clients": clients,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.storming", json.dumps(how)],
        cwd=contestants.ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@contextlib.contextmanager
def databases() -> Iterator[tuple[Path, servers.PostgresServer]]:
    """A folder, and a PostgreSQL that waits for the disk; the tests' does not."""
    with tempfile.TemporaryDirectory(prefix="watchword-") as name, contextlib.ExitStack() as open_:
        folder = Path(name)
        os.chmod(folder, 0o755)  # PostgreSQL may have to run as somebody else
        server = servers.postgres(folder)
        open_.callback(servers.stop, folder)
        server.wait_for_the_disk()
        yield folder, server


def called(contestant: Contestant, database: str) -> str:
    return f"{contestant.name}, {database}" if database else contestant.name


def rows(name: str, found: Measured, threads: int) -> Iterator[Row]:
    quiet = found.phases[0].p99
    yield Row(f"{name}: p99, quiet", quiet, "ms", ratio=1.0)
    for clients in CROWDS:
        p99 = found.phases[clients].p99
        bound = 2 * quiet + 5 if found.ours else None
        yield Row(f"{name}: p99, {clients} log in", p99, "ms", bound=bound, ratio=p99 / quiet)
    for clients in CROWDS:
        each = found.phases[clients]
        yield Row(
            f"{name}: logins per s and CPU, {clients} log in",
            each.logins,
            bound=LOGINS if found.ours else None,
            at_least=True,
        )
    busiest = found.phases[max(CROWDS)]
    bound = threads * OWASP.memory_cost / 1024 + ALLOWANCE_MIB if found.ours else None
    grown = max(phase.peak for phase in found.phases.values()) - found.base
    yield Row(f"{name}: memory at rest", found.base / processes.MIB, "MiB")
    yield Row(f"{name}: memory of the storm", grown / processes.MIB, "MiB", bound=bound)
    if found.ours:
        yield Row(f"{name}: refused with 503, {max(CROWDS)} log in", busiest.refused * 100, "%")
        wrong = sum(not phase.told_when for phase in found.phases.values())
        yield Row(f"{name}: refused without Retry-After, or otherwise", wrong, bound=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each phase")
    parser.add_argument("--only", default="", help="those whose name begins so")
    arguments = report.arguments(parser)
    found = {}
    with databases() as (folder, server):
        for number, (contestant, database) in enumerate(TAKING_PART):
            name = called(contestant, database)
            if not name.startswith(arguments.only):
                continue
            place = folder / str(number)
            place.mkdir()
            kind = "sqlite" if contestant.ours else "sqlite+aiosqlite"
            url = server.create_database() if database == POSTGRES else f"{kind}:///{place}/benchmark.db"
            found[name] = measure(contestant, url, place, arguments.seconds)
            told = ", ".join(f"{clients}: {phase.p99:.1f} ms" for clients, phase in found[name].phases.items())
            print(f"{name}: {told}", file=sys.stderr, flush=True)
    tell(found, arguments)


def tell(found: dict[str, Measured], arguments: argparse.Namespace) -> None:
    threads = processors.hashing_threads(1)
    Report(
        name="login-storm",
        title="p99 of a protected route while 200 clients log in",
        about="Milliseconds until /items/ is answered, in 99 of 100 cases; less is better.",
        rows=[row for name, one in found.items() for row in rows(name, one, threads)],
        bars=[
            Bar(
                name,
                one.phases[max(CROWDS)].p99,
                mark=2 * one.phases[0].p99 + 5 if one.ours else None,
                ours=one.ours,
            )
            for name, one in found.items()
        ],
        unit="ms",
        raw={
            name: {
                "base_bytes": one.base,
                "phases": {
                    clients: {
                        **phase.seen,
                        "looks": sorted(round(look, 4) for look in phase.seen["looks"]),
                        "peak_bytes": phase.peak,
                    }
                    for clients, phase in one.phases.items()
                },
            }
            for name, one in found.items()
        },
        versions=contestants.versions(),
    ).finish(arguments)


if __name__ == "__main__":
    main()
