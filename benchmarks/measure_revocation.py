"""Log out on one worker, and ask the others until each answers 401."""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2
from tests import databases, fleet

from watchword.stores.sql.sqlite_feed import POLL_SECONDS

RESULTS = Path(__file__).parent / "results"
BOUND_MS = 250
GOLDEN = 0.618034
"""Spreads the logouts evenly over the polls, which the last 401 would otherwise keep step with."""

PASSWORD = "correct horse battery staple"
ACCOUNT = {"email": "ada@example.com", "password": PASSWORD}


async def until_refused(client: httpx2.AsyncClient, url: str, bearer: dict[str, str], since: float) -> float:
    """Milliseconds from `since` to the end of the first answer that is 401."""
    while (await client.get(url, headers=bearer)).status_code != 401:
        pass
    return (time.perf_counter() - since) * 1000


async def measure(urls: list[str], logouts: int) -> list[float]:
    lags: list[float] = []
    async with httpx2.AsyncClient(timeout=30) as client:
        await client.post(f"{urls[0]}/register", json=ACCOUNT)
        form = {"username": ACCOUNT["email"], "password": PASSWORD}
        for number in range(logouts):
            token = (await client.post(f"{urls[0]}/login", data=form)).json()["access_token"]
            bearer = {"Authorization": f"Bearer {token}"}
            for url in urls:
                answer = await client.get(f"{url}/items/", headers=bearer)
                assert answer.status_code == 200, answer.text
            await asyncio.sleep(number * GOLDEN % 1 * POLL_SECONDS)
            await client.post(f"{urls[0]}/logout", headers=bearer)
            since = time.perf_counter()
            lags += await asyncio.gather(*(until_refused(client, f"{url}/items/", bearer, since) for url in urls[1:]))
            print(f"\r{number + 1}/{logouts} logouts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return lags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logouts", type=int, default=500)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = databases.copy(databases.sqlite_template(folder), folder)
        with fleet.running(arguments.workers, url, folder) as running:
            lags = asyncio.run(measure([worker.url for worker in running], arguments.logouts))
    lags.sort()
    p99 = lags[int(len(lags) * 0.99)]
    print(
        f"{arguments.workers} workers on one SQLite file, {arguments.logouts} logouts, {len(lags)} observations, in ms"
    )
    print(f"{'p50':>8} {'p99':>8} {'max':>8} {'bound':>8}")
    print(f"{statistics.median(lags):8.0f} {p99:8.0f} {lags[-1]:8.0f} {BOUND_MS:8}")
    print("kept" if lags[-1] <= BOUND_MS else "MISSED")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "revocation.json").write_text(json.dumps({"lags_ms": lags, "bound_ms": BOUND_MS}))


if __name__ == "__main__":
    main()
