"""What units have found, kept in `.proofs/` until the program, or a proof, is another one."""

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tests import servers
from tests.proofs.proof import Figures, Unit

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".proofs"
WATCHED = ("src", "tests/proofs")


@dataclass(frozen=True)
class Entry:
    """A unit's result; `seconds` is how long it took, `day` when it was, `versions` on what."""

    figures: Figures
    seconds: float
    day: str
    versions: str


class Ledger:
    """The results of one proof. Each unit's are written as a whole, so a run that is broken off loses none."""

    def __init__(self, name: str, *, short: bool, place: Path = PLACE) -> None:
        self._folder = place / (f"{name}-short" if short else name)

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def entry(self, unit: Unit) -> Entry | None:
        """What this unit found with the program as it is now."""
        try:
            kept = json.loads(self._path(unit).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return Entry(**kept["entry"]) if kept["of"] == fingerprint() else None

    def entries(self, units: Sequence[Unit]) -> list[Entry] | None:
        """What all of them found; None while one is missing."""
        found = [self.entry(unit) for unit in units]
        return None if None in found else [entry for entry in found if entry is not None]

    def keep(self, unit: Unit, entry: Entry) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / ".draft"
        draft.write_text(json.dumps({"of": fingerprint(), "entry": asdict(entry)}, indent=1), "utf-8")
        os.replace(draft, self._path(unit))

    def _path(self, unit: Unit) -> Path:
        return self._folder / f"{unit.name}.json"


@cache
def fingerprint() -> str:
    """Which program, proven by which proofs, on which Python."""
    found = hashlib.sha256(platform.python_version().encode())
    for folder in WATCHED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()


@cache
def versions() -> str:
    postgres = subprocess.run(
        [servers.programs() / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL {postgres[2]}"
