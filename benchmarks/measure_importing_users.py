"""Import a long file on SQLite and on PostgreSQL, kill the process three times on the way, and look at what is there."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import databases, importing, keeper, servers

RESULTS = Path(__file__).parent / "results"
KILLED_AT = (0.2, 0.5, 0.8)
"""Shares of the file."""


def measure(plan: importing.Plan, url: str, folder: Path) -> dict[str, float]:
    """Kill it, start it again, and compare; seconds of the last run and of one that finds everything there."""
    folder.mkdir()
    for share in KILLED_AT:
        wanted = int(len(plan.good) * share)
        there = importing.kill(importing.start(str(plan.path), url, folder), url, wanted)
        print(f"  killed at {there:,} accounts", file=sys.stderr)
    seconds = {"resumed": finish(plan, url, folder), "nothing_left": finish(plan, url, folder)}
    importing.compare(plan, url)
    return seconds


def finish(plan: importing.Plan, url: str, folder: Path) -> float:
    """Run it to its end; how long it took. It must have told exactly the bad lines."""
    errors = folder / "errors.jsonl"
    since = time.perf_counter()
    process = importing.start(str(plan.path), url, folder, "--errors", str(errors))
    process.communicate()
    assert process.returncode == 1, (folder / "import.log").read_text()
    assert [json.loads(line)["line"] for line in errors.read_text().splitlines()] == plan.bad
    return time.perf_counter() - since


def deployments(folder: Path) -> Iterator[tuple[str, str]]:
    """An empty database of each kind."""
    yield "SQLite", databases.copy(databases.sqlite_template(folder), folder)
    home = keeper.Home()
    try:
        server = servers.postgres(home.path)
        url = server.create_database()
        asyncio.run(databases.migrated(url))
        yield "PostgreSQL", url
    finally:
        home.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = importing.write(folder / "accounts.jsonl", arguments.lines)
        for kind, url in deployments(folder):
            results[kind] = measure(plan, url, folder / kind)
            print(
                f"{kind}: {len(plan.good):,} good and {len(plan.bad):,} bad lines, killed {len(KILLED_AT)} times: "
                f"exactly the good ones are there. The last run took {results[kind]['resumed']:.1f} s, "
                f"one more {results[kind]['nothing_left']:.1f} s."
            )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "importing_users.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
