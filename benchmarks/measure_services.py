"""Log out at the issuer of `examples/microservices`, and ask its two services until each answers 401."""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2
from benchmarks.measure_revocation import GOLDEN, RESULTS, until_refused
from tests.examples.example import PASSWORD, Example
from tests.live import free_port

from watchword.flows.issuer_revocations import BREATH_SECONDS

BOUND_MS = 1000
ACCOUNT = {"email": "ada@example.com", "password": PASSWORD}


async def measure(issuer: str, urls: list[str], logouts: int) -> list[float]:
    lags: list[float] = []
    async with httpx2.AsyncClient(timeout=30) as client:
        await client.post(f"{issuer}/register", json=ACCOUNT)
        for number in range(logouts):
            form = {"username": ACCOUNT["email"], "password": PASSWORD}
            token = (await client.post(f"{issuer}/login", data=form)).json()["access_token"]
            bearer = {"Authorization": f"Bearer {token}"}
            for url in urls:
                await until_known(client, url, bearer)
            await asyncio.sleep(number * GOLDEN % 1 * BREATH_SECONDS)
            await client.post(f"{issuer}/logout", headers=bearer)
            since = time.perf_counter()
            lags += await asyncio.gather(*(until_refused(client, url, bearer, since) for url in urls))
            print(f"\r{number + 1}/{logouts} logouts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return lags


async def until_known(client: httpx2.AsyncClient, url: str, bearer: dict[str, str]) -> None:
    """Wait for a service that is still starting."""
    while True:
        try:
            if (await client.get(url, headers=bearer)).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        await asyncio.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logouts", type=int, default=200)
    arguments = parser.parse_args()
    ports = {name: f"http://localhost:{free_port()}" for name in ("ORDERS", "STOCK")}
    with tempfile.TemporaryDirectory() as name:
        with Example.copy("microservices", Path(name), **ports).serving("sh run.sh") as issuer:
            urls = [f"{ports['ORDERS']}/orders", f"{ports['STOCK']}/stock"]
            lags = asyncio.run(measure(issuer, urls, arguments.logouts))
            stopped_at = time.perf_counter()
        print(f"all three stopped within {time.perf_counter() - stopped_at:.1f} s")
    lags.sort()
    p99 = lags[int(len(lags) * 0.99)]
    print(f"two services, {arguments.logouts} logouts at their issuer, {len(lags)} observations, in ms")
    print(f"{'p50':>8} {'p99':>8} {'max':>8} {'bound':>8}")
    print(f"{statistics.median(lags):8.0f} {p99:8.0f} {lags[-1]:8.0f} {BOUND_MS:8}")
    print("kept" if lags[-1] <= BOUND_MS else "MISSED")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "services.json").write_text(json.dumps({"lags_ms": lags, "bound_ms": BOUND_MS}))


if __name__ == "__main__":
    main()
