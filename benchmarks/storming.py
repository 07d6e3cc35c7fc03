"""The clients of the login storm, in a process of their own: some log in all the time, one more looks at `/items/`.

As a program it reads what to do as JSON from its arguments, and writes what it saw as JSON. The looks start at fixed times,
whatever became of those before, and their latency counts from then: a server that stands still delays all that should
have come meanwhile, and not one.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks import processes
from benchmarks.load import Answer, Connection

EVERY = 0.01
"""Seconds between two looks."""

PATIENCE = 20.0
"""Seconds after the end for which looks are waited for. What is unanswered then has waited at least that long."""

PRIORITY = -5
"""Where it may have one: what the clients wait for each other is no time of the server's."""


@dataclass
class Seen:
    """What the clients saw. Seconds of the looks; how many logins were let in, were told to come again, and went wrong."""

    looks: list[float] = field(default_factory=list)
    logins: int = 0
    refused: int = 0
    told_when: int = 0
    """The refused that had `Retry-After`."""

    failures: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of CPU of the server's process meanwhile."""


class Storm:
    """`how` has `url`, `login_path`, `credentials` (for each client what it sends, and last for the one who looks: nobody
    else signs in to their account, who might end their session by so many), `kind` (form or json), `pid`."""

    def __init__(self, how: dict[str, Any]) -> None:
        self._how = how
        self._seen = Seen()
        self._idle: list[Connection] = []
        self._stop = False

    async def run(self, clients: int, seconds: float) -> Seen:
        async with Connection(self._how["url"]) as first:
            token = (await self._login(first, -1)).json()["access_token"]
        crowd = [asyncio.create_task(self._keep_logging_in(number)) for number in range(clients)]
        if crowd:
            await asyncio.sleep(min(2.0, seconds))  # the first rush, with its connections, is over
            self._seen = Seen()
        start, cpu = time.perf_counter(), processes.cpu(self._how["pid"])
        looks = [asyncio.create_task(self._look(start + EVERY * n, token)) for n in range(int(seconds / EVERY))]
        await asyncio.sleep(seconds)
        self._seen.seconds = time.perf_counter() - start
        self._seen.cpu = processes.cpu(self._how["pid"]) - cpu
        self._stop = True
        seen, self._seen = self._seen, Seen()
        seen.looks = await asyncio.gather(*(self._patiently(one, start + EVERY * n) for n, one in enumerate(looks)))
        for one in crowd:
            one.cancel()
        for look in looks:
            look.cancel()
        await asyncio.gather(*crowd, *looks, return_exceptions=True)
        for connection in self._idle:
            connection.close()
        return seen

    async def _patiently(self, look: asyncio.Task[float], at: float) -> float:
        done, _ = await asyncio.wait([look], timeout=PATIENCE)
        return look.result() if done else time.perf_counter() - at

    async def _look(self, at: float, token: str) -> float:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        connection = self._idle.pop() if self._idle else Connection(self._how["url"])
        answer = await connection.get("/items/", token)
        if answer.status != 200:  # it counts with what it took, and as a failure
            self._failed(f"/items/ {answer.status}")
        self._idle.append(connection)
        return time.perf_counter() - at

    async def _keep_logging_in(self, number: int) -> None:
        async with Connection(self._how["url"]) as connection:
            while not self._stop:
                try:
                    answer = await self._login(connection, number)
                except (OSError, asyncio.IncompleteReadError) as error:
                    connection.close()
                    self._failed(type(error).__name__)
                    continue
                if answer.status == 200:
                    self._seen.logins += 1
                elif answer.status == 503:
                    self._seen.refused += 1
                    await asyncio.sleep(self._wait(answer))
                else:
                    self._failed(str(answer.status))

    def _failed(self, what: str) -> None:
        self._seen.failures[what] = self._seen.failures.get(what, 0) + 1

    def _wait(self, answer: Answer) -> float:
        """As `Retry-After` says, with some chance in it."""
        for line in answer.headers.lower().split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name == b"retry-after":
                self._seen.told_when += 1
                return float(value) * (1 + random.random())
        return 0.0

    async def _login(self, connection: Connection, number: int) -> Answer:
        sent = self._how["credentials"][number]
        if self._how["kind"] == "json":
            return await connection.post_json(self._how["login_path"], sent)
        return await connection.post(self._how["login_path"], sent)


def main() -> None:
    how = json.loads(sys.argv[1])
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    print(json.dumps(vars(asyncio.run(Storm(how).run(how["clients"], how["seconds"])))))


if __name__ == "__main__":
    main()
