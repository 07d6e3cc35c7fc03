"""What each operation costs with 10^3 to 10^6 users, five sessions each; and what others notice of pruning."""

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from benchmarks import measure_pruning, report, seeding
from benchmarks.report import Bar, Report, Row
from benchmarks.seeding import NOW, SESSIONS, Plan
from fastapi import FastAPI
from sqlalchemy import delete, update
from tests import servers
from tests.house import CHEAP, PASSWORD

from watchword import Auth, Settings
from watchword.core import opaque
from watchword.core.models import Session
from watchword.core.opaque import Presented
from watchword.flows import upkeep
from watchword.flows.kit import Kit
from watchword.ports import Added, Limit, NewUser, Turn
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import feed, hits, sessions, users

STEPS = (1_000, 10_000, 100_000, 1_000_000)
JUDGED_FROM = 10_000
BOUND = 1.3
TIMES = 25
SELDOM = 3
"""How often in a round what takes long is done."""

SERVER = "-c shared_buffers=1GB -c max_wal_size=4GB"
MASTER_KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

Act = Callable[[], Awaitable[Any]]
Samples = dict[str, list[list[float]]]
"""For each operation, for each round: seconds of each call."""


class Clock:
    """Runs on from the moment the rows are from."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.monotonic() - self._since)

    def timestamp(self) -> float:
        return self.now().timestamp()

    monotonic: "staticmethod[[], float]" = staticmethod(time.monotonic)


@dataclass
class Place:
    """A database of so many users, with an application in front of it."""

    people: int
    kit: Kit
    db: Database
    client: httpx2.AsyncClient
    made: list[str] = field(default_factory=list)
    """Ids of users and sessions that were added."""

    touched: list[str] = field(default_factory=list)
    """Ids of sessions that were there."""

    def someone(self) -> int:
        return random.randrange(self.people)

    def session(self) -> int:
        number = random.randrange(self.people * SESSIONS)
        self.touched.append(seeding.session_id(number))
        return number

    async def as_it_was(self) -> None:
        """Undo what was measured, so that the next round finds the same rows."""
        made, touched = self.made, self.touched
        self.made, self.touched = [], []
        async with self.db.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.id.in_(made)))
            await connection.execute(delete(users).where(users.c.id.in_(made)))
            await connection.execute(delete(feed).where(feed.c.session_id.in_([*made, *touched])))
            fresh = update(sessions).where(sessions.c.id.in_(touched))
            await connection.execute(fresh.values(closed_at=None, generation=0))


@contextlib.asynccontextmanager
async def opened(url: str, folder: Path, people: int) -> AsyncIterator[Place]:
    auth = Auth(
        Settings(database_url=url, data_dir=folder / f"home{people}", master_keys=MASTER_KEY),
        clock=Clock(),
        argon2=CHEAP,
    )
    app = FastAPI()
    auth.install(app)
    db = Database(url)
    db.settle(here=True)
    await auth.start()
    try:
        stale = (sessions.c.generation != 0) | sessions.c.closed_at.is_not(None)
        async with db.write() as connection:  # of a run that was killed
            await connection.execute(update(sessions).where(stale).values(generation=0, closed_at=None))
            await connection.execute(delete(hits).where(hits.c.until < (NOW + timedelta(days=1)).timestamp() * 1000))
        transport = httpx2.ASGITransport(app, client=("203.0.113.7", 50000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            yield Place(people, await auth.open(), db, client)
    finally:
        await db.close()
        await auth.stop()


def new_session(place: Place, user_id: str) -> Session:
    policy, now = place.kit.policy, place.kit.clock.now()
    made = Session(
        id=place.kit.new_id(), user_id=user_id, generation=0, scopes=frozenset({"read"}), follows_user=True,
        methods=frozenset({"pwd"}), auth_time=now, client_id=policy.client_id, created_at=now, used_at=now,
        idle_expires_at=now + policy.refresh_idle, expires_at=now + policy.refresh_absolute,
        access_expires_at=now + policy.access_ttl, user_agent=seeding.AGENT, ip="203.0.113.7",
    )  # fmt: skip
    place.made.append(made.id)
    return made


def acts(place: Place) -> Iterator[tuple[str, Callable[[], Act], int]]:
    """What is measured: its name, what prepares one call (which is not), and how often in a round."""
    kit, someone, policy = place.kit, place.someone, place.kit.policy
    now = kit.clock.now

    def reading(verb: Callable[[str], Awaitable[Any]], named: Callable[[int], str]) -> Callable[[], Act]:
        def prepare() -> Act:
            name = named(someone())
            return lambda: found(verb(name))

        return prepare

    async def found(asked: Awaitable[Any]) -> None:
        assert await asked

    yield "find by address", reading(kit.users.find, seeding.email), TIMES
    yield "find by username", reading(kit.users.find, seeding.username), TIMES
    yield "user by id", reading(kit.users.get, seeding.user_id), TIMES
    yield "page of 64 users", reading(lambda name: kit.users.page(name[:3], 64), seeding.email), TIMES
    yield "sessions of a user", reading(lambda name: kit.sessions.of_user(name, now()), seeding.user_id), TIMES
    of_session = lambda number: seeding.session_id(number * SESSIONS)  # noqa: E731
    yield "session by id", reading(lambda name: kit.sessions.get(name, now()), of_session), TIMES

    def add() -> Act:
        name = kit.new_id()
        place.made.append(name)
        new = NewUser(name, f"{secrets.token_hex(5)}@new.example.com", None, seeding.HASH, frozenset(), now())

        async def act() -> None:
            assert await kit.users.add(new) is Added.ADDED

        return act

    yield "add a user", add, TIMES

    def log_in() -> Act:
        made, r = new_session(place, seeding.user_id(someone())), secrets.token_bytes(32)
        return lambda: kit.sessions.open(made, r)

    yield "open a session", log_in, TIMES

    def turn() -> Act:
        number = place.session()
        presented = Presented(seeding.session_id(number), 0, seeding.secret(number))

        async def act() -> None:
            turned = await kit.sessions.turn(
                presented, now(), grace=policy.refresh_grace, idle=policy.refresh_idle, access_ttl=policy.access_ttl
            )
            assert turned.answer in (Turn.TURNED, Turn.REPEATED)

        return act

    yield "refresh", turn, TIMES

    def log_out() -> Act:
        name = seeding.session_id(place.session())
        return lambda: kit.sessions.close(name, None, now())

    yield "close a session", log_out, TIMES

    def log_out_everywhere() -> Act:
        whose = someone()
        place.touched += [seeding.session_id(whose * SESSIONS + one) for one in range(SESSIONS)]
        name = seeding.user_id(whose)
        return lambda: kit.sessions.close_all(name, now())

    yield "close all of a user", log_out_everywhere, TIMES

    def attempt() -> Act:
        keys = (secrets.token_hex(20), "network", secrets.token_hex(20), secrets.token_hex(20))
        limits = [Limit(key, 1_000_000, timedelta(minutes=15), unless=key + "known") for key in keys]
        return lambda: kit.scratch.hit(limits, now())

    yield "count an attempt", attempt, TIMES
    ask = lambda: kit.revocations.ask(opaque.identifier(secrets.token_bytes(16)), 0)  # noqa: E731
    yield "ask for a revocation", lambda: ask, TIMES
    yield "load the keys", lambda: kit.keys.load, TIMES

    async def follow() -> None:
        await kit.revocations.stop()
        await kit.revocations.start()

    yield "load the revocations", lambda: follow, SELDOM
    yield "upkeep, nothing due", lambda: lambda: upkeep.run(kit), SELDOM
    yield from over_http(place)


def over_http(place: Place) -> Iterator[tuple[str, Callable[[], Act], int]]:
    """The whole of a request: application, flow, verbs. Hashing with the least that Argon2 takes."""
    kept: list[dict[str, str]] = []

    def log_in() -> Act:
        form = {"username": seeding.email(place.someone()), "password": PASSWORD}

        async def act() -> None:
            answer = await place.client.post("/login", data=form)
            assert answer.status_code == 200, answer.text
            kept.append(answer.json())
            place.made.append(kept[-1]["refresh_token"].removeprefix("wwr_").partition(".")[0])

        return act

    def refresh() -> Act:
        one = kept[random.randrange(len(kept))]

        async def act() -> None:
            form = {"grant_type": "refresh_token", "refresh_token": one["refresh_token"]}
            answer = await place.client.post("/refresh", data=form)
            assert answer.status_code == 200, answer.text

        return act

    def log_out() -> Act:
        bearer = {"Authorization": f"Bearer {kept.pop()['access_token']}"}

        async def act() -> None:
            answer = await place.client.post("/logout", headers=bearer)
            assert answer.status_code == 204, answer.text

        return act

    yield "POST /login", log_in, TIMES
    yield "POST /refresh", refresh, TIMES
    yield "POST /logout", log_out, TIMES


async def one_round(place: Place) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {}
    for name, prepare, times in acts(place):
        seconds = taken.setdefault(name, [])
        gc.collect()
        gc.disable()
        for _ in range(times):
            act = prepare()
            since = time.perf_counter()
            await act()
            seconds.append(time.perf_counter() - since)
        gc.enable()
    await place.as_it_was()
    return taken


async def measure(urls: dict[int, str], rounds: int, name: str) -> dict[int, Samples]:
    """The databases by turns, so that whatever else the machine does falls on all of them."""
    found: dict[int, Samples] = {people: {} for people in urls}
    with tempfile.TemporaryDirectory() as folder:
        async with contextlib.AsyncExitStack() as stack:
            places = [
                await stack.enter_async_context(opened(url, Path(folder), people)) for people, url in urls.items()
            ]
            for place in places:
                await one_round(place)  # warm
            for number in range(rounds):
                for place in random.sample(places, len(places)):
                    for act, seconds in (await one_round(place)).items():
                        found[place.people].setdefault(act, []).append(seconds)
                print(f"\r{name}: round {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def median(samples: list[list[float]]) -> float:
    return statistics.median(second for one in samples for second in one)


def p99(samples: list[list[float]]) -> float:
    return statistics.quantiles((second for one in samples for second in one), n=100)[98]


def growth(found: dict[int, Samples], act: str) -> float:
    """How many times as much the operation costs after a tenfold step, the worst one from 10^4 on: the rounds' median."""
    judged = [people for people in sorted(found) if people >= JUDGED_FROM]
    steps = []
    for fewer, more in itertools.pairwise(judged):
        pairs = zip(found[fewer][act], found[more][act], strict=True)
        steps.append(statistics.median(statistics.median(b) / statistics.median(a) for a, b in pairs))
    return max(steps, default=float("nan"))


def medians(found: dict[str, dict[int, Samples]], called: dict[str, str]) -> str:
    """A table of every median, in milliseconds: databases below each other, a column for each number of users."""
    steps = sorted(next(iter(found.values())))
    lines = [f"| ms | {' | '.join(f'{people:,}' for people in steps)} | p99 |", "|---|" + "---:|" * (len(steps) + 1)]
    for name, of_database in found.items():
        for act in of_database[steps[0]]:
            values = [report.number(median(of_database[people][act]) * 1000) for people in steps]
            values.append(report.number(p99(of_database[steps[-1]][act]) * 1000))
            lines.append(f"| {NAMES[name]}: {called.get(act, act)} | {' | '.join(values)} |")
    return "\n".join(lines)


def rows(found: dict[str, dict[int, Samples]]) -> Iterator[Row]:
    for name, of_database in found.items():
        for act in next(iter(of_database.values())):
            yield Row(f"{NAMES[name]}: {act}", growth(of_database, act), "×", bound=BOUND)


@contextlib.contextmanager
def seeded(name: str, plans: Iterable[Plan]) -> Iterator[tuple[list[str], Callable[[Plan], str]]]:
    """The URLs of the seeded databases, and how to get a copy of one."""
    if name == "sqlite":
        yield [f"sqlite:///{seeding.sqlite(plan)}" for plan in plans], seeding.sqlite_copy
        return
    with servers.kept(seeding.FOLDER / "postgresql", SERVER) as server:
        yield [seeding.postgresql(server, plan) for plan in plans], lambda plan: seeding.postgresql_copy(server, plan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=STEPS[-1], help="the last step")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--dead", type=int, default=1_000_000, help="of sessions, revocations and attempts each; 0: no pruning"
    )
    parser.add_argument("--windows", type=int, default=10**6, help="of pruning at most; all of it needs some minutes")
    parser.add_argument("--only-pruning", action="store_true")
    arguments = report.arguments(parser)
    for name in [name for name in os.environ if name.startswith("WATCHWORD_")]:
        del os.environ[name]
    steps = [people for people in STEPS if people <= arguments.users] if not arguments.only_pruning else []
    found: dict[str, dict[int, Samples]] = {}
    pruned: dict[str, measure_pruning.Found] = {}
    for name in arguments.databases.split(","):
        with seeded(name, [Plan(people) for people in steps]) as (urls, copy):
            if steps:
                for path in seeding.FOLDER.glob("users*dead0.db" if name == "sqlite" else "postgresql/data/base"):
                    seeding.read_through(path)
                found[name] = asyncio.run(measure(dict(zip(steps, urls, strict=True)), arguments.rounds, NAMES[name]))
                keep("growth", name, found[name])
            if arguments.dead:
                url = copy(Plan(min(measure_pruning.PEOPLE, arguments.users), arguments.dead))
                pruned[name] = asyncio.run(
                    measure_pruning.measure(
                        url, Clock(), min(measure_pruning.PEOPLE, arguments.users), arguments.windows
                    )
                )
                keep("pruning", name, pruned[name])
    if found:
        finish({**earlier("growth"), **found}, arguments)
    if pruned:
        measure_pruning.finish({**earlier("pruning"), **pruned}, arguments)


def keep(what: str, name: str, found: Any) -> None:
    """Keep what was measured on a database, for a run that measures the other one."""
    (seeding.FOLDER / f"{what}-{name}.json").write_text(json.dumps(found))


def earlier(what: str) -> dict[str, Any]:
    """What was measured on each database by the last run that did."""
    paths = [(name, seeding.FOLDER / f"{what}-{name}.json") for name in NAMES]
    return {name: json.loads(path.read_text(), object_hook=_numbered) for name, path in paths if path.exists()}


def _numbered(read: dict[str, Any]) -> dict[Any, Any]:
    """JSON has no numbers for keys."""
    return {int(key) if key.isdecimal() else key: value for key, value in read.items()}


def finish(found: dict[str, dict[int, Samples]], arguments: argparse.Namespace) -> None:
    print(medians(found, {}))
    table = list(rows(found))
    Report(
        name="growth",
        title="What an operation costs with ten times the users, times what it cost",
        about="The worst tenfold step from ten thousand users to a million; 1 is no growth.",
        rows=table,
        bars=[Bar(row.name, row.value, mark=BOUND, ours=True) for row in table],
        unit="×",
        raw={
            name: {
                people: {act: {"median": median(s), "p99": p99(s)} for act, s in samples.items()}
                for people, samples in of_database.items()
            }
            for name, of_database in found.items()
        },
    ).finish(arguments)
    if arguments.publish:
        for language, called in report.languages():
            page = report.DOCS / language / "performance.md"
            page.write_text(report.shown(page.read_text(), "growth-medians", medians(found, called)))


if __name__ == "__main__":
    main()
