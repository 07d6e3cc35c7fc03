"""What a worker holds in memory: after its start, after a login, and after 10,000 requests with tokens that all differ."""

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contestants, processes, report
from benchmarks.contestants import Contestant, Serving
from benchmarks.load import Answer, Connection
from benchmarks.measure_login_storm import POSTGRES, called, databases
from benchmarks.report import Bar, Report, Row

TAKING_PART = (
    (contestants.OURS, "SQLite"),
    (contestants.OURS, POSTGRES),
    (contestants.TUTORIAL, ""),
    (contestants.AUTHX, ""),
    (contestants.FULLAUTH, "SQLite"),
    (contestants.FASTAPI_USERS, "SQLite"),
    (contestants.FASTAPI_USERS, POSTGRES),
)


async def log_in(contestant: Contestant, url: str) -> str:
    """An access token."""
    async with Connection(url) as connection:
        if contestant.json_login:
            answer = await connection.post_json(contestant.login_path, contestant.credentials()["json"])
        else:
            answer = await connection.post(contestant.login_path, contestant.credentials()["data"])
    return str(_good(answer).json()["access_token"])


async def ask(url: str, path: str, tokens: Sequence[str]) -> None:
    async with Connection(url) as connection:
        for token in tokens:
            _good(await connection.get(path, token))


def _good(answer: Answer) -> Answer:
    assert answer.status == 200, answer
    return answer


def minted(contestant: Contestant, url: str, folder: Path, number: int, token: str) -> list[str]:
    """So many tokens that the server takes."""
    how = ["benchmarks.minting", str(number)] if contestant.ours else ["benchmarks.peers.minting", str(number), token]
    command = [str(contestant.python), "-m", *how]
    environment = contestant.environment(url)
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()


def measure(contestant: Contestant, url: str, folder: Path, number: int) -> dict[str, int]:
    """Bytes, by when."""
    with contestant.serving(folder, url) as serving:
        asyncio.run(ask(serving.url, "/", ["none"]))
        found = {"start": processes.resident(serving.pid)}
        token = asyncio.run(log_in(contestant, serving.url))
        found["login"] = processes.resident(serving.pid)
        return found | _asked(contestant, serving, minted(contestant, url, folder, number, token))


def _asked(contestant: Contestant, serving: Serving, tokens: Sequence[str]) -> dict[str, int]:
    found = {}
    for when in ("requests", "again"):  # each is new, and then each is known
        asyncio.run(ask(serving.url, "/items/", tokens))
        found[when] = processes.resident(serving.pid)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    arguments = report.arguments(parser)
    found: dict[str, tuple[bool, dict[str, int]]] = {}
    with databases() as (folder, server):
        for number, (contestant, database) in enumerate(TAKING_PART):
            place = folder / str(number)
            place.mkdir()
            kind = "sqlite" if contestant.ours else "sqlite+aiosqlite"
            url = server.create_database() if database == POSTGRES else f"{kind}:///{place}/benchmark.db"
            name = called(contestant, database)
            found[name] = contestant.ours, measure(contestant, url, place, arguments.requests)
            told = {when: f"{taken / processes.MIB:.1f}" for when, taken in found[name][1].items()}
            print(f"{name}: {told}", file=sys.stderr, flush=True)
    rows = []
    for name, (_, taken) in found.items():
        grown = taken["again"] - taken["login"]
        rows += [
            Row(f"{name}: after the start", taken["start"] / processes.MIB, "MiB"),
            Row(f"{name}: after a login", taken["login"] / processes.MIB, "MiB"),
            Row(f"{name}: grown by distinct tokens", grown / processes.MIB, "MiB"),
        ]
    Report(
        name="memory",
        title="Memory of a worker after 10,000 tokens",
        about="Resident MiB of the server's process; less is better.",
        rows=rows,
        bars=[Bar(name, taken["again"] / processes.MIB, ours=ours) for name, (ours, taken) in found.items()],
        unit="MiB",
        raw={name: taken for name, (_, taken) in found.items()},
        versions=contestants.versions(),
    ).finish(arguments)


if __name__ == "__main__":
    main()
