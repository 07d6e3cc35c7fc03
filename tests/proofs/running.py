"""Running the units of proofs, some at a time, each in a process of its own, with a bar that tells how far it is."""

import logging
import multiprocessing
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.proofs.ledger import Entry, Ledger, versions
from tests.proofs.proof import Bench, Figures, Unit

SPAWN = multiprocessing.get_context("spawn")
QUICK = Path("/dev/shm")
"""Where there is a disk in memory, a unit's files are on it: nothing there has to survive a power cut."""

WIDTH = 30


class Disproved(Exception):
    """A promise does not hold. The text is the unit's, with what is needed to see it again."""


@dataclass
class Running:
    """A unit at work."""

    unit: Unit
    process: BaseProcess
    told: Connection


@dataclass
class Bar:
    """How far a proof is. On a terminal it is one line; elsewhere each unit gets one."""

    name: str
    total: int
    done: int = 0
    known: int = 0
    _began: float = field(default_factory=time.monotonic)

    def step(self, unit: str, entry: Entry) -> None:
        self.done += 1
        if not sys.stdout.isatty():
            print(f"{self.name}: {self.known + self.done} / {self.total}, {unit} in {entry.seconds:.1f} s", flush=True)
        self.draw()

    def draw(self, end: str = "") -> None:
        if sys.stdout.isatty():
            done = self.known + self.done
            filled = WIDTH * done // max(1, self.total)
            bar = "#" * filled + "-" * (WIDTH - filled)
            print(f"\r\033[K{self.name:10} [{bar}] {done} / {self.total}{self._left()}", end=end, flush=True)

    def _left(self) -> str:
        left = self.total - self.known - self.done
        if not left or not self.done:
            return ""
        seconds = (time.monotonic() - self._began) / self.done * left
        return f"  about {seconds / 60:.0f} min" if seconds > 90 else f"  about {seconds:.0f} s"


def run(name: str, units: Sequence[Unit], ledger: Ledger, home: Path, jobs: int) -> list[Entry]:
    """What all units found, those included that had been run before. Raises Disproved at the first that fails; what is
    at work then, or when somebody presses Ctrl-C, is killed and forgotten."""
    pending = [unit for unit in units if ledger.entry(unit) is None]
    bar = Bar(name, len(units), known=len(units) - len(pending))
    bar.draw()
    running: list[Running] = []
    try:
        while pending or running:
            while pending and len(running) < jobs:
                running.append(_started(pending.pop(0), home))
            for one in _finished(running):
                running.remove(one)
                entry = _result(one)
                ledger.keep(one.unit, entry)
                bar.step(one.unit.name, entry)
    finally:
        for one in running:
            one.process.kill()
            one.process.join()
        bar.draw("\n")
    found = ledger.entries(units)
    assert found is not None
    return found


def _started(unit: Unit, home: Path) -> Running:
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_work, args=(unit.run, home, theirs))
    process.start()
    theirs.close()
    return Running(unit, process, ours)


def _finished(running: Sequence[Running]) -> list[Running]:
    ready = wait([one.told for one in running], timeout=1)
    return [one for one in running if one.told in ready]


def _result(one: Running) -> Entry:
    try:
        good, told, seconds = one.told.recv()
    except EOFError:
        good, told, seconds = False, "its process died", 0.0
    one.told.close()
    one.process.join()
    if not good:
        raise Disproved(f"{one.unit.name}\n{told}")
    return Entry(told, seconds, datetime.now(UTC).date().isoformat(), versions())


def _work(run_unit: Callable[[Bench], Figures], home: Path, told: Connection) -> None:
    """What the process of a unit does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides
    logging.disable(logging.WARNING)  # refusals are what is wanted here
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(dir=QUICK if QUICK.is_dir() else None, prefix="proof-") as folder:
            figures = dict(run_unit(Bench(Path(folder), home)))
        told.send((True, figures, time.monotonic() - began))
    except BaseException:
        told.send((False, traceback.format_exc(), 0.0))
