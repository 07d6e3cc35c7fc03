"""From the start of the process to the first 200 of `/`: on nothing at all, and once more on what the first start has made."""

import argparse
import contextlib
import http.client
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import contestants, report
from benchmarks.contestants import Contestant
from benchmarks.measure_importing import BASE, OURS, cpu_seconds
from benchmarks.measure_login_storm import POSTGRES, TAKING_PART, called, databases
from benchmarks.report import Bar, Report, Row
from tests.live import free_port

PATIENCE = 120.0
FIRST, AGAIN = "first start", "started again"


def started(contestant: Contestant, url: str, folder: Path) -> float:
    """Seconds until it answers; then it is stopped. Nobody has an account there: making them is the benchmark's work."""
    port = free_port()
    log = folder / "log"
    with log.open("wb") as output:
        since = time.perf_counter()
        process = subprocess.Popen(
            contestant.command(port),
            cwd=folder,
            env=contestant.environment(url, people=0),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while not _answers(port):
                took = time.perf_counter() - since
                assert process.poll() is None, log.read_text()
                assert took < PATIENCE, log.read_text()
                time.sleep(0.005)
            return time.perf_counter() - since
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("localhost", port, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        finally:
            connection.close()
    return False


def measure(contestant: Contestant, make: Callable[[Path], str]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="watchword-") as name:
        url = make(Path(name))
        return started(contestant, url, Path(name)), started(contestant, url, Path(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = report.arguments(parser)
    starts: dict[str, list[tuple[float, float]]] = {}
    imports: list[tuple[float, float]] = []
    cpu_seconds(BASE), cpu_seconds(OURS)  # the caches are warm from here on
    with databases() as (_, server):
        for number in range(arguments.rounds + 1):
            for contestant, database in TAKING_PART:
                kind = "sqlite" if contestant.ours else "sqlite+aiosqlite"

                def make(folder: Path, database: str = database, kind: str = kind) -> str:
                    return server.create_database() if database == POSTGRES else f"{kind}:///{folder}/benchmark.db"

                both = measure(contestant, make)
                if number:  # the first round fills the caches
                    starts.setdefault(called(contestant, database), []).append(both)
            imports.append((cpu_seconds(BASE), cpu_seconds(OURS)))
            print(f"\r{number}/{arguments.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    medians = {name: [statistics.median(one) for one in zip(*several, strict=True)] for name, several in starts.items()}
    ratio = statistics.median(ours / base for base, ours in imports)
    rows = [
        Row("import fastapi", statistics.median(base for base, _ in imports) * 1000, "ms", ratio=1.0),
        Row("import watchword", statistics.median(ours for _, ours in imports) * 1000, "ms", ratio=ratio),
    ]
    for name, (first, again) in medians.items():
        rows += [Row(f"{name}: {FIRST}", first * 1000, "ms"), Row(f"{name}: {AGAIN}", again * 1000, "ms")]
    Report(
        name="start-up",
        title="From the start of the process to its first answer",
        about="Milliseconds until / is answered, started on what a first start has made; less is better.",
        rows=rows,
        bars=[Bar(name, again * 1000, ours=name.startswith("Watchword")) for name, (_, again) in medians.items()],
        unit="ms",
        raw={"starts": starts, "imports": imports},
        versions=contestants.versions(),
    ).finish(arguments)


if __name__ == "__main__":
    main()
