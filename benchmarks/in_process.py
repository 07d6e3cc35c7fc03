"""CPU per request of an ASGI application in this very process: no server, no sockets, no client beside it.

As a program (`python -m benchmarks.in_process benchmarks.peers.tutorial`) it runs in the peers' environment: for
each line on its standard input (batches, requests in each) it answers a line of JSON: seconds of CPU per request of each path.
"""

import asyncio
import importlib
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Ask = Callable[[], Awaitable[None]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HEADERS = ((b"host", b"localhost"), (b"user-agent", b"benchmark"), (b"accept", b"*/*"))
"""What a client sends beside its token."""


def request(app: Any, path: str, token: str) -> Ask:
    """One GET; it fails for any answer but 200."""
    bearer = token.encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message.get("status", 200) != 200:
            raise AssertionError(message)

    async def ask() -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 40000),
            "scheme": "http",
            "method": "GET",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [*HEADERS, (b"authorization", b"Bearer " + bearer)],  # made anew, as by a server
            "state": {},
        }
        await app(scope, receive, send)

    return ask


async def cpu(ask: Ask, requests: int) -> float:
    """Seconds of CPU per request; all threads of the process count, so a database driver's too."""
    since = time.process_time()
    for _ in range(requests):
        await ask()
    return (time.process_time() - since) / requests


async def least(asks: Mapping[str, Ask], batches: int, requests: int) -> dict[str, float]:
    """For each the least of many small batches, taken by turns in an order that changes.

    What disturbs a batch (another process on the core, a cold cache) only ever adds to it.
    """
    found = dict.fromkeys(asks, float("inf"))
    for _ in range(batches):
        for name in random.sample(list(asks), len(asks)):
            found[name] = min(found[name], await cpu(asks[name], requests))
    return found


async def main(module: str) -> None:
    contestant = importlib.import_module(module)
    async with contestant.app.router.lifespan_context(contestant.app):
        token = await contestant.token()
        asks = {path: request(contestant.app, path, token) for path in ("/", "/items/")}
        for line in sys.stdin:
            batches, requests = map(int, line.split())
            print(json.dumps(await least(asks, batches, requests)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
