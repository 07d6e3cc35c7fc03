"""RV-06: what one worker revokes reaches the other, though its feed is cut every second, or PostgreSQL stands still.

A revoked token is let in no later than `revocation_staleness` and a quarter of a second after the logout was answered, and
never again once it was refused. A moment is that before the request was sent, so a slow client is no broken promise.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.load import Connection
from sqlalchemy import text
from tests import fleet
from tests.proofs import standstill
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total
from tests.proofs.revoking import PROMISED, beside, signed_in

LOGOUTS, UNITS, CLIENTS = 1_000, 10, 12
STANDSTILLS, STANDSTILL_UNITS = 4, 5
CUT_SECONDS = 1.0
PAUSE = 0.002
CUT = text("""
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'watchword feed' AND datname = current_database()
""")


class Cutter:
    """Ends every connection that a worker listens on, again and again."""

    def __init__(self) -> None:
        self.cut = 0

    async def live(self, url: str, every: float) -> None:
        """Until it is cancelled."""
        async with beside(url) as connection:
            while True:
                await asyncio.sleep(every)
                self.cut += (await connection.execute(CUT)).scalar_one()


async def _log_out(a: str, b: str, tokens: Iterator[tuple[int, str]]) -> list[float]:
    """One client: log out at A, and ask B until it refuses. The seconds that each took, from the logout's answer on."""
    lags = []
    async with Connection(a) as at_a, Connection(b) as at_b:
        for count, token in tokens:
            if count % 2:  # B knows one half of them
                assert (await at_b.get("/items/", token)).status == 200
            answer = await at_a.post("/logout", {}, token)
            assert answer.status == 204, answer
            lags.append(await _until_refused(at_b, token, time.monotonic()))
    return lags


async def _until_refused(at_b: Connection, token: str, since: float) -> float:
    while True:
        asked_at = time.monotonic()
        answer = await at_b.get("/items/", token)
        if answer.status == 401:
            return time.monotonic() - since
        assert answer.status == 200, answer
        assert asked_at <= since + PROMISED, f"let in {asked_at - since:.3f} s after the logout"
        await asyncio.sleep(PAUSE)


async def _still_refused(url: str, tokens: Sequence[str]) -> None:
    async with Connection(url) as connection:
        for token in tokens:
            answer = await connection.get("/items/", token)
            assert answer.status == 401, f"let in again, after it was refused: {answer}"


async def _logouts(folder: Path, url: str, logouts: int, every: float) -> Figures:
    tokens = await signed_in(url, folder, logouts)
    cutter = Cutter()
    with fleet.running(2, url, folder) as (a, b):
        cutting = asyncio.create_task(cutter.live(url, every))
        try:
            queue = iter(enumerate(tokens))
            found = await asyncio.gather(*(_log_out(a.url, b.url, queue) for _ in range(CLIENTS)))
            assert not cutting.done(), cutting
            await _still_refused(a.url, tokens)
            await _still_refused(b.url, tokens)
        finally:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
        for worker in (a, b):
            assert "Traceback" not in worker.log.read_text(), worker.log.read_text()
    lags = sorted(itertools.chain.from_iterable(found))
    return {
        "logouts": len(lags),
        "cut": cutter.cut,
        "median": round(statistics.median(lags), 4),
        "p99": round(lags[int(len(lags) * 0.99)], 4),
        "slowest": round(lags[-1], 4),
    }


def cut(logouts: int, every: float, bench: Bench) -> Figures:
    ground = bench.ground("postgresql")
    try:
        return asyncio.run(_logouts(bench.folder, ground.url, logouts, every))
    finally:
        ground.close()


def units(short: bool) -> Sequence[Unit]:
    if short:
        return [
            Unit("cut", partial(cut, 240, CUT_SECONDS / 5)),
            Unit("standstill", partial(standstill.run, 1)),
        ]
    cuts = [Unit(f"cut-{count:02}", partial(cut, LOGOUTS, CUT_SECONDS)) for count in range(1, UNITS + 1)]
    stops = [
        Unit(f"standstill-{count}", partial(standstill.run, STANDSTILLS)) for count in range(1, STANDSTILL_UNITS + 1)
    ]
    return [*cuts, *stops]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    cuts, stops = [one for one in figures if "cut" in one], [one for one in figures if "stops" in one]

    def row(en: str, ko: str, name: str) -> Row:
        return Row(en, ko, number(total(figures, name)))

    def milliseconds(name: str, *, median: bool = False) -> str:
        found = [float(one[name]) for one in cuts] or [0.0]
        return f"{(statistics.median(found) if median else max(found)) * 1000:,.0f} ms"

    return [
        row("logouts, each asked elsewhere until refused", "로그아웃 (거부될 때까지 다른 워커에 요청)", "logouts"),
        row("feed connections ended meanwhile", "그동안 끊은 피드 연결", "cut"),
        Row("until refused, median", "거부될 때까지 (중앙값)", milliseconds("median", median=True)),
        Row("99 of 100, in the slowest unit", "거부될 때까지 (가장 느린 단위의 p99)", milliseconds("p99")),
        Row("the slowest", "가장 오래 걸린 경우", milliseconds("slowest")),
        row("standstills of PostgreSQL (SIGSTOP)", "PostgreSQL 정지 (SIGSTOP)", "stops"),
        row("revoked just before, half of them unheard", "직전에 폐기한 토큰 (절반은 전달되지 않음)", "revoked"),
        row("requests answered 503 meanwhile", "그동안 503으로 응답한 요청", "unavailable"),
        Row(
            "the last 200 for a revoked token, after the logout",
            "폐기된 토큰에 대한 마지막 200 (로그아웃 이후)",
            f"{max((float(one['last']) for one in stops), default=0):.2f} s",
        ),
        Row(
            f"let in later than {PROMISED} s, or after a refusal",
            f"{PROMISED}초보다 늦게, 또는 거부된 뒤에 다시 허용한 요청",
            "0",
        ),
    ]  # fmt: skip


PROOF = Proof("feed", units, report)
