"""PostgreSQL stands still (SIGSTOP of all its processes): no connection breaks, and nothing answers.

What the other worker has not heard of is let in until its silence counts; from then on the answer is 503 for whatever nobody
can confirm. When the database goes on, so does everybody, and nothing of ours is restarted.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import Connection
from sqlalchemy import text
from tests import databases, fleet, keeper, servers
from tests.proofs.proof import Bench, Figures
from tests.proofs.revoking import PROMISED, beside, signed_in

EACH = 8
"""Tokens of each kind in a round: revoked and heard of, revoked and not heard of, good."""

PAUSE = 0.01
PATIENCE = 60.0
LISTENING = text("SELECT pid FROM pg_stat_activity WHERE application_name = 'watchword feed'")


@dataclass
class Asker:
    """Presents one token to one worker without a pause, and remembers each answer."""

    token: str
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    """When it was asked, when answered, and how."""

    async def live(self, url: str) -> None:
        """Until it is cancelled."""
        async with Connection(url) as connection:
            while True:
                asked_at = time.monotonic()
                answer = await connection.get("/items/", self.token)
                self.answers.append((asked_at, time.monotonic(), answer.status))
                await asyncio.sleep(PAUSE)

    def was_told(self, status: int, since: float) -> bool:
        """Whether a question from after that moment was answered so."""
        return any(asked > since and said == status for asked, _, said in self.answers[-20:])

    def last(self, status: int) -> tuple[float, float]:
        """The last such question, and its answer."""
        found = [(asked, answered) for asked, answered, said in self.answers if said == status]
        return found[-1] if found else (0.0, 0.0)


@dataclass(frozen=True)
class Round:
    """Askers of the three kinds, at B."""

    heard: Sequence[Asker]
    unheard: Sequence[Asker]
    good: Sequence[Asker]

    @property
    def everybody(self) -> list[Asker]:
        return [*self.heard, *self.unheard, *self.good]


async def _stop_and_go_on(home: Path, url: str, a: str, b: str, who: Round) -> Figures:
    """One round. Raises AssertionError at what is let in too late, or not again."""
    since = time.monotonic()
    living = [asyncio.create_task(asker.live(b)) for asker in who.everybody]
    try:
        await _until(lambda: all(asker.was_told(200, since) for asker in who.everybody), living)
        heard = await _log_out(a, who.heard)
        await _until(lambda: all(asker.was_told(401, heard) for asker in who.heard), living)
        await _silence(url)
        revoked = await _log_out(a, who.unheard)
        servers.freeze(home)
        stopped = time.monotonic()
        try:
            over = stopped + PROMISED
            await _until(lambda: all(asker.was_told(503, over) for asker in [*who.unheard, *who.good]), living)
        finally:
            servers.thaw(home)
        going_on = time.monotonic()
        await _until(lambda: all(asker.was_told(401, going_on) for asker in [*who.heard, *who.unheard]), living)
        await _until(lambda: all(asker.was_told(200, going_on) for asker in who.good), living)
        served = time.monotonic()
    finally:
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)
    for asker in who.heard:
        _refused_from(asker, heard + PROMISED)
    for asker in who.unheard:
        _refused_from(asker, revoked + PROMISED)
    for asker in who.good:
        late = [
            asked for asked, answered, said in asker.answers if said == 200 and asked > over and answered < going_on
        ]
        assert not late, "nobody could confirm it, and it was let in"
        assert asker.last(401) == (0.0, 0.0), "a good token was refused"
    return {
        "last": max(asker.last(200)[1] - revoked for asker in who.unheard),
        "unavailable": sum(said == 503 for asker in who.everybody for _, _, said in asker.answers),
        "resumed": served - going_on,
    }


def _refused_from(asker: Asker, moment: float) -> None:
    asked, _ = asker.last(200)
    assert asked <= moment, f"let in {asked - moment:.3f} s later than promised"
    told = [said for _, _, said in asker.answers]
    assert 200 not in told[told.index(401) :], "let in again, after it was refused"
    assert set(told) <= {200, 401, 503}


async def _log_out(url: str, askers: Sequence[Asker]) -> float:
    """The moment at which the last of them was answered."""
    async with Connection(url) as connection:
        for asker in askers:
            assert (await connection.post("/logout", {}, asker.token)).status == 204
    return time.monotonic()


async def _silence(url: str) -> None:
    """Stop the processes that tell the workers of revocations, and these alone."""
    async with beside(url) as connection:
        for pid in (await connection.execute(LISTENING)).scalars():
            os.kill(pid, signal.SIGSTOP)


async def _until(came: Callable[[], bool], living: Sequence["asyncio.Task[None]"]) -> None:
    """Raises what one of the askers raised."""
    give_up = time.monotonic() + PATIENCE
    while not came():
        for task in living:
            if task.done():
                task.result()
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(PAUSE)


async def _rounds(folder: Path, home: Path, url: str, rounds: int) -> Figures:
    tokens = iter(await signed_in(url, folder, rounds * EACH * 3))

    def some() -> list[Asker]:
        return [Asker(next(tokens)) for _ in range(EACH)]

    with fleet.running(2, url, folder) as (a, b):
        found = [await _stop_and_go_on(home, url, a.url, b.url, Round(some(), some(), some())) for _ in range(rounds)]
        for worker in (a, b):
            assert "Traceback" not in worker.log.read_text(), worker.log.read_text()
    return {
        "stops": rounds,
        "revoked": rounds * EACH * 2,
        "unavailable": sum(int(one["unavailable"]) for one in found),
        "last": round(max(float(one["last"]) for one in found), 3),
        "resumed": round(max(float(one["resumed"]) for one in found), 3),
    }


def run(rounds: int, bench: Bench) -> Figures:
    """With a PostgreSQL of its own, since it is stopped."""
    with contextlib.closing(keeper.Home()) as home:
        url = servers.postgres(home.path).create_database()
        asyncio.run(databases.migrated(url))
        return asyncio.run(_rounds(bench.folder, home.path, url, rounds))
