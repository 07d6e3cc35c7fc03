"""Many workers write one audit log, and some are killed: no gap, nothing twice, nothing half, and all is sealed."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from tests import fleet
from tests.races.writer import KEY

from watchword import Auth, Settings
from watchword.core.audit import Row
from watchword.flows import audit_verification
from watchword.flows.audit_verification import Verified
from watchword.stores.sql.audit import SqlAudit
from watchword.stores.sql.engine import Database

pytestmark = pytest.mark.xdist_group("races")

WRITERS = 4
EVENTS = 400
KILLS = 6


def writer(url: str, folder: Path, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.races.writer", url, str(folder), str(count)]
    environment = fleet.settings(url, folder)
    return subprocess.Popen(
        command, cwd=fleet.ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def say(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def looked_at(url: str, folder: Path) -> tuple[Verified, list[Row], int]:
    """The log as another worker finds it, before and after it seals what is left."""
    auth = await Auth(Settings(database_url=url, data_dir=folder, master_keys=KEY)).start()
    try:
        kit = await auth.open()
        left = (await kit.audit.extent()).unsealed
        assert not (await audit_verification.verify(kit)).count
        await kit.recorder.seal()
        found = await audit_verification.verify(kit)
        return found, list(await kit.audit.rows(0, 100_000)), left
    finally:
        await auth.stop()


def test_many_writers_and_sealers_leave_no_gap(database_url: str, tmp_path: Path) -> None:
    """LS-03: a gap is what a removed row looks like, so there must be none of our own making. A row that commits late, with a
    smaller number than others that are sealed already, comes into the next batch."""
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(writer(database_url, tmp_path, EVENTS)) for _ in range(WRITERS)]
        assert [hear(one) for one in processes] == ["ready"] * WRITERS
        for one in processes:
            say(one)
        assert [hear(one) for one in processes] == ["done"] * WRITERS
        assert [one.wait(60) for one in processes] == [0] * WRITERS
    found, rows, left = asyncio.run(looked_at(database_url, tmp_path))
    assert (found.count, left) == (0, 0), found.faults
    assert [one.position for one in rows] == list(range(1, len(rows) + 1))
    assert len({one.number for one in rows}) == len(rows)
    assert sum(one.kind == "LoggedIn" for one in rows) == WRITERS * EVENTS, "and none is lost"


def test_a_worker_that_is_killed_leaves_nothing_half(database_url: str, tmp_path: Path) -> None:
    """LS-03: the attacker kills a worker between a row and its place, or between a place and its signature. What was written
    is sealed by the next one, and what is sealed is whole."""
    for kill in range(KILLS):
        with writer(database_url, tmp_path, 100_000) as process:
            assert hear(process) == "ready"
            say(process)
            asyncio.run(_some_more(database_url, 40 * (kill + 1)))
            process.kill()
    found, rows, _ = asyncio.run(looked_at(database_url, tmp_path))
    assert (found.count, found.unsealed) == (0, 0), found.faults
    assert [one.position for one in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 40 * KILLS


async def _some_more(url: str, count: int) -> None:
    """Wait until there are so many sealed rows."""
    db = Database(url)
    db.settle(here=True)
    async with asyncio.timeout(60):
        while (await SqlAudit(db).extent()).last < count:  # noqa: ASYNC110 - another process writes them
            await asyncio.sleep(0.002)
    await db.close()
