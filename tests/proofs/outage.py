"""RL-09: the mail server is away for a minute under load. Answers stay the same, and afterwards every mail arrives, once."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from functools import partial

import httpx2
from tests import databases
from tests.letterbox import SENDER, Mailbox
from tests.live import serving
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

from watchword.core.clock import SystemClock
from watchword.ports import NewUser
from watchword.stores.sql.engine import Database
from watchword.stores.sql.users import SqlUsers

SECONDS = 60
PER_SECOND = 10
ANSWER = b'{"detail":"If this is right, a mail is on its way."}'


async def accounts(url: str, count: int) -> None:
    """So many accounts, in the database of a server that runs."""
    db = Database(url)
    db.settle(here=True)
    users, now = SqlUsers(db), SystemClock().now()
    await users.add_many([NewUser(f"id-{n}", address(n), None, "hash", frozenset(), now) for n in range(count)])
    await db.close()


def address(place: int) -> str:
    return f"user{place}@example.com"


async def load(client: httpx2.AsyncClient, places: range) -> list[float]:
    """Ask for a link for each of these accounts, so many in a second; how many milliseconds each answer took."""
    took: list[float] = []

    async def ask(place: int) -> None:
        begun = time.perf_counter()
        answer = await client.post("/forgot-password", json={"email": address(place)})
        took.append((time.perf_counter() - begun) * 1000)
        assert (answer.status_code, answer.content) == (202, ANSWER)

    async with asyncio.TaskGroup() as group:
        for place in places:
            group.create_task(ask(place))
            await asyncio.sleep(1 / PER_SECOND)
    return took


async def outage(url: str, box: Mailbox, count: int) -> Figures:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        healthy = await load(client, range(count))
        await box.have(count)
        await box.stop()
        away = await load(client, range(count, 2 * count))
        assert len(box.received) == count
        await box.start()
        received = await box.have(2 * count, patience=600)
        await asyncio.sleep(2)  # a second copy would come now
    assert sorted(mail.to for mail in received) == sorted(address(place) for place in range(2 * count))
    assert len({mail.id for mail in received}) == len(received) == 2 * count
    return {
        "mails": 2 * count,
        "away": count,
        "healthy p50": round(statistics.median(healthy), 1),
        "away p50": round(statistics.median(away), 1),
        "healthy p99": round(statistics.quantiles(healthy, n=100)[98], 1),
        "away p99": round(statistics.quantiles(away, n=100)[98], 1),
    }


def run(kind: str, seconds: int, bench: Bench) -> Figures:
    ground = bench.ground(kind)
    count = seconds * PER_SECOND

    async def all_of_it() -> Figures:
        box = Mailbox()
        await box.start()
        settings = {
            "WATCHWORD_DATABASE_URL": ground.url,
            "WATCHWORD_MAIL_URL": box.url,
            "WATCHWORD_MAIL_FROM": SENDER,
            "WATCHWORD_ATTEMPTS_PER_NETWORK": "10000",
        }
        try:
            with serving(bench.folder, **settings) as url:
                await accounts(ground.url, 2 * count)
                return await outage(url, box, count)
        finally:
            await box.stop()

    try:
        return asyncio.run(all_of_it())
    finally:
        ground.close()


def units(short: bool) -> Sequence[Unit]:
    return [Unit(kind, partial(run, kind, 2 if short else SECONDS)) for kind in databases.KINDS]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    def each(name: str) -> str:
        return ", ".join(str(one[name]) for one in figures)

    return [
        Row("mails that were asked for", "요청한 메일", number(total(figures, "mails"))),
        Row("of them while the mail server was away", "그중 메일 서버가 멈춘 사이에", number(total(figures, "away"))),
        Row("mails that did not arrive, or arrived twice", "도착하지 않았거나 두 번 도착한 메일", "0"),
        Row("median answer, ms (SQLite, PostgreSQL)", "응답 시간 중앙값, ms", each("healthy p50")),
        Row("the same, the mail server away", "메일 서버가 멈췄을 때", each("away p50")),
        Row("99 of 100 answers within, ms", "응답 100개 중 99개가 걸린 시간, ms", each("healthy p99")),
        Row("the same, the mail server away", "메일 서버가 멈췄을 때", each("away p99")),
    ]


PROOF = Proof("outage", units, report, alone=True)
