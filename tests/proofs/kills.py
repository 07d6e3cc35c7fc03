"""RF-07: `kill -9` at every moment of every act that writes; afterwards the old or the new holds, never both, never neither.

Each act runs in a process of its own, forked from one that has loaded everything. A third one looks what became of it.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import random
import signal
import sqlite3
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy.engine import make_url
from tests import databases
from tests.house import House, open_house
from tests.proofs.deployment import MASTER
from tests.proofs.errands import ERRANDS, Errand, Held
from tests.proofs.grounds import Ground
from tests.proofs.moments import Moments
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

from watchword.testing import FrozenClock

PATIENCE = 60.0
"""Seconds after which a process of ours is given up."""

REPEATS = 3
ANYWHERE = 50
"""Kills at an instant that nobody chose, per kind of database."""

LONGEST = 0.04
"""Seconds from which such an instant is drawn: some turns take place meanwhile."""

Errands = multiprocessing.get_context("forkserver")
Errands.set_forkserver_preload(
    [
        __name__,
        "pydantic.v1",
        "cryptography.hazmat.backends.openssl.backend",
        "watchword.web.routes",
        "watchword.home",
        "asyncpg",
        "aiosqlite",
    ]
)


@contextlib.asynccontextmanager
async def _house(url: str, folder: str, held: Held, moments: Moments | None = None) -> AsyncIterator[House]:
    clock, app = FrozenClock(), FastAPI()
    clock.tick(held.get("later", 0))
    if moments is not None:
        moments.watch(app)
    async with open_house(Path(folder), clock=clock, app=app, database_url=url, master_keys=MASTER) as house:
        yield house


async def _prepare(errand: Errand, url: str, folder: str, held: Held) -> Held:
    if errand.opening:
        return held
    async with _house(url, folder, {}) as house:
        return await errand.prepare(house)


async def _act(errand: Errand, url: str, folder: str, held: Held, fatal: int | None) -> list[str]:
    """Do it, and die in it at number `fatal`; otherwise the names of its moments."""
    moments = Moments(fatal)
    if errand.opening:
        moments.arm()
    async with _house(url, folder, held, moments) as house:
        moments.arm()
        await errand.act(house, held)
        return list(moments.names)


async def _check(errand: Errand, url: str, folder: str, held: Held) -> bool:
    path = make_url(url).database
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(str(path))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with _house(url, folder, held) as house:
        return await errand.check(house, held)


async def _turn_for_ever(url: str, folder: str, held: Held, told: Connection) -> None:
    """A client that tells which refresh token it holds, as soon as it has it."""
    async with _house(url, folder, {}) as house:
        told.send(refresh := held["refresh"])
        while True:
            refresh = (await house.refresh(refresh)).refresh
            told.send(refresh)


def _said(work: Callable[..., Any], told: Connection, *arguments: Any) -> None:
    """What a process does: its work, and tell what came of it."""
    gc.disable()  # it would copy the heap that it was forked with, and the process soon goes
    try:
        told.send((True, asyncio.run(work(*arguments))))
    except BaseException:
        told.send((False, traceback.format_exc()))


def _asked(work: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a process of its own; None when it was killed."""
    ours, theirs = Errands.Pipe(duplex=False)
    process = Errands.Process(target=_said, args=(work, theirs, *arguments))
    process.start()
    theirs.close()
    try:
        good, answer = ours.recv() if ours.poll(PATIENCE) else (False, "it hangs")
    except EOFError:
        process.join()
        assert process.exitcode == -signal.SIGKILL
        return None
    finally:
        if process.exitcode is None:
            process.join(PATIENCE)
        ours.close()
    assert good, answer
    return answer


def at_every_moment(kind: str, name: str, repeats: int, bench: Bench) -> Figures:
    """Kill the act at each of its moments. Raises AssertionError with the moment."""
    ground, errand, folder = bench.ground(kind), ERRANDS[name], str(bench.folder)
    try:
        held = _asked(_prepare, errand, ground.url, folder, {})
        ground.backup()
        moments = _asked(_act, errand, ground.url, folder, held, None)
        happened = 0
        for fatal, moment in list(enumerate(moments)) * repeats:
            ground.restore()
            with _told(f"{name} on {kind}, killed {moment} (number {fatal + 1} of {moments})"):
                assert _asked(_act, errand, ground.url, folder, held, fatal) is None, "it was not killed"
                happened += _asked(_check, errand, ground.url, folder, held)
    finally:
        ground.close()
    kills = len(moments) * repeats
    return {"kills": kills, "points": len(moments), "old": kills - happened, "new": happened}


def at_any_instant(kind: str, kills: int, seed: int, bench: Bench) -> Figures:
    """Kill a process that turns one token after another, at an instant that the seed and the machine choose."""
    chance = random.Random(seed)
    ground, errand, folder = bench.ground(kind), ERRANDS["turn"], str(bench.folder)
    happened = 0
    try:
        held = _asked(_prepare, errand, ground.url, folder, {})
        ground.backup()
        for count in range(kills):
            ground.restore()
            newest = _last_told(ground, folder, held, chance.uniform(0, LONGEST))
            with _told(f"turns on {kind}, killed at some instant (number {count + 1}, seed {seed})"):
                happened += _asked(_check, errand, ground.url, folder, {**held, "refresh": newest})
    finally:
        ground.close()
    return {"kills": kills, "points": 0, "old": kills - happened, "new": happened}


def _last_told(ground: Ground, folder: str, held: Held, seconds: float) -> str:
    """The refresh token that the client held when its server was killed."""
    ours, theirs = Errands.Pipe(duplex=False)
    process = Errands.Process(target=_run_for_ever, args=(ground.url, folder, held, theirs))
    process.start()
    theirs.close()
    newest = ours.recv()
    time.sleep(seconds)
    process.kill()
    process.join()
    with contextlib.suppress(EOFError), contextlib.closing(ours):
        while True:
            newest = ours.recv()
    return str(newest)


def _run_for_ever(url: str, folder: str, held: Held, told: Connection) -> None:
    asyncio.run(_turn_for_ever(url, folder, held, told))


@contextlib.contextmanager
def _told(what: str) -> Any:
    try:
        yield
    except AssertionError as error:
        error.add_note(what)
        raise


def units(short: bool) -> Sequence[Unit]:
    repeats = 1 if short else REPEATS
    chosen = [
        Unit(f"{kind}-{name.replace(' ', '-')}", partial(at_every_moment, kind, name, repeats))
        for kind in databases.KINDS
        for name in ERRANDS
    ]
    anywhere = 3 if short else ANYWHERE
    return [
        *chosen,
        *(Unit(f"{kind}-anywhere", partial(at_any_instant, kind, anywhere, 7)) for kind in databases.KINDS),
    ]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    rows = [
        ("`kill -9` of the server, on SQLite and PostgreSQL", "서버에 보낸 `kill -9` (SQLite, PostgreSQL)", "kills"),
        ("points chosen for them", "골라낸 지점", "points"),
        ("after which the old state held", "이전 상태가 유효했던 경우", "old"),
        ("after which the new state held", "새 상태가 유효했던 경우", "new"),
    ]
    return [
        *(Row(en, ko, number(total(figures, name))) for en, ko, name in rows),
        Row(
            "both, half of it, or a client lost that tried again",
            "둘 다 유효, 절반만 반영, 재시도한 클라이언트가 로그아웃된 경우",
            "0",
        ),
    ]


PROOF = Proof("kills", units, report)
