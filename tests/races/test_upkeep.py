"""N machines do upkeep at once, without a leader: each dead row is counted once, and nobody fails or waits in a circle."""

import asyncio
import logging
import multiprocessing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from tests.house import CHEAP

from watchword import Auth, Settings
from watchword.core import opaque
from watchword.core.policy import CLOCK_JUMP
from watchword.flows import upkeep
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import feed, hits, sessions, single_use
from watchword.testing.contracts import NOW, R

pytestmark = pytest.mark.xdist_group("races")

WORKERS = 4
DEAD, ALIVE = 2500, 50
KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
SPAWN = multiprocessing.get_context("spawn")
LONG_AGO = NOW - timedelta(days=400)
FAR_AWAY = NOW + timedelta(days=36500)


def session(number: int) -> dict[str, Any]:
    alive = number >= DEAD
    ends = FAR_AWAY if alive else LONG_AGO
    return {
        "id": f"s{number:05}", "user_id": "u", "r_hash": opaque.fingerprint(R), "generation": 0, "answer": 0,
        "turned_at": LONG_AGO, "scopes": "", "follows_user": True, "methods": "pwd", "auth_time": LONG_AGO,
        "client_id": "c", "created_at": LONG_AGO, "used_at": LONG_AGO, "idle_expires_at": ends, "expires_at": ends,
        "access_expires_at": ends,
    }  # fmt: skip


async def filled(url: str) -> None:
    """Dead rows and living ones in every table that upkeep prunes."""
    ends = [LONG_AGO] * DEAD + [FAR_AWAY] * ALIVE
    rows = list(enumerate(ends))
    db = Database(url)
    db.settle(here=True)
    async with db.write() as connection:
        await connection.execute(insert(sessions), [session(number) for number, _ in rows])
        told = [{"session_id": f"s{number}", "generation": 0, "expires_at": end.timestamp()} for number, end in rows]
        await connection.execute(insert(feed), told)
        counted = [{"key": f"k{number}", "until": int(end.timestamp() * 1000)} for number, end in rows]
        await connection.execute(insert(hits), counted)
        used = [{"purpose": "p", "key": f"k{number}", "value": "", "until": end} for number, end in rows]
        await connection.execute(insert(single_use), used)
    await db.close()


async def left(url: str) -> list[int]:
    db = Database(url)
    db.settle(here=True)
    async with db.read() as connection:
        columns = (sessions.c.id, feed.c.session_id, hits.c.key, single_use.c.key)
        counts = [(await connection.execute(select(func.count(column)))).scalar_one() for column in columns]
    await db.close()
    return counts


def machine(url: str, folder: Path, together: Any, told: Any) -> None:
    """One machine's upkeep, in a process of its own."""
    logging.disable(logging.CRITICAL)
    told.put(asyncio.run(_kept_up(url, folder, together)))


async def _kept_up(url: str, folder: Path, together: Any) -> tuple[int, int, int] | str:
    auth = Auth(Settings(database_url=url, data_dir=folder, master_keys=KEY), argon2=CHEAP)
    await auth.start()
    try:
        kit = await auth.open()
        upkeep.rest = _no_rest
        await asyncio.to_thread(together.wait, 120)
        done = await upkeep.run(kit)
    except Exception as error:
        return repr(error)
    finally:
        await auth.stop()
    return done.sessions, done.revocations, done.attempts


async def _no_rest(_: float) -> None:
    """A process of its own has this; the others are at it at every moment."""


def test_each_dead_row_is_pruned_by_one_of_many_machines(database_url: str, tmp_path: Path) -> None:
    """In several batches, which all of them want at one moment: no row is counted twice, and none is left."""
    assert NOW - LONG_AGO > CLOCK_JUMP
    asyncio.run(filled(database_url))
    together, told = SPAWN.Barrier(WORKERS), SPAWN.Queue()
    machines = [SPAWN.Process(target=machine, args=(database_url, tmp_path, together, told)) for _ in range(WORKERS)]
    for one in machines:
        one.start()
    done = [told.get(timeout=120) for _ in machines]
    for one in machines:
        one.join(60)
    assert [one.exitcode for one in machines] == [0] * WORKERS
    assert not [one for one in done if isinstance(one, str)], done
    assert [sum(column) for column in zip(*done, strict=True)] == [DEAD, DEAD, 2 * DEAD]
    assert asyncio.run(left(database_url)) == [ALIVE] * 4


def test_many_machines_publish_one_key(database_url: str, tmp_path: Path) -> None:
    """KY-10: whoever is later than another finds that there is nothing to do."""
    asyncio.run(_publish(database_url, tmp_path))


async def _publish(url: str, folder: Path) -> None:
    auths = [Auth(Settings(database_url=url, data_dir=folder, master_keys=KEY), argon2=CHEAP) for _ in range(WORKERS)]
    for auth in auths:
        await auth.start()
    try:
        kits = [await auth.open() for auth in auths]
        due = kits[0].clock.now() + timedelta(days=40)
        made = await asyncio.gather(*(kit.keyring.rotate(due) for kit in kits))
        assert sorted(made) == [False] * (WORKERS - 1) + [True]
        assert len(await kits[0].keyring.records()) == 2
    finally:
        for auth in auths:
            await auth.stop()
