"""Fuzzing: whatever bytes a parser is given, it takes what is genuine, refuses the rest in its own words, and ends.

atheris (libFuzzer) drives and follows the code, so it finds its way behind one check after the other; where no atheris can
be installed, good inputs are changed by chance, and the report says so. A unit is a quarter of a million executions in a
process of its own, with a seed of its own; what led somewhere new is kept in `.proofs/fuzz/<parser>`, for the units after it.

What a parser may raise is written beside it in `tests/proofs/fuzz`: InvalidToken for tokens and keys, InvalidGrant for refresh
tokens, InvalidRequest for headers and scopes; a form or a body is answered with 400, 401, 413 or 422, and nothing else.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.proofs.fuzz.parsers import PARSERS

NAME = "fuzzing"

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".proofs" / "fuzz"

CHUNK = 250_000
CHUNKS = 20
"""5,000,000 executions of each parser."""

SHORT = 2_000


def units(long: bool) -> list[str]:
    """A parser, how often, and the seed. All parsers get their first chunk before any gets its second."""
    runs, chunks = (CHUNK, CHUNKS) if long else (SHORT, 1)
    return [f"{name}: {runs} with seed {seed}" for seed in range(1, chunks + 1) for name in PARSERS]


def run(unit: str) -> dict[str, Any]:
    """The figures of one unit. Raises AssertionError with the bytes that were the counter-example."""
    name, _, rest = unit.partition(": ")
    runs, _, seed = rest.partition(" with seed ")
    if int(runs) < CHUNK:
        with tempfile.TemporaryDirectory() as folder:
            return _run(name, int(runs), int(seed), Path(folder))
    return _run(name, int(runs), int(seed), WORK / name.lower().replace(" ", "-").replace("'", ""))


def report(results: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """One row per parser: how many executions, how fast, driven by what. Counter-examples there are none, or `run` raised."""
    rows: list[tuple[str, ...]] = [("parser", "executions", "a second", "driven by", "inputs that led somewhere new")]
    for name in PARSERS:
        of_it = [figures for unit, figures in results.items() if unit.partition(": ")[0] == name]
        if of_it:
            runs, seconds = sum(one["runs"] for one in of_it), sum(one["seconds"] for one in of_it)
            engines = ", ".join(sorted({one["engine"] for one in of_it}))
            kept = max(one["kept"] for one in of_it)
            rows.append((name, f"{runs:,}", f"{runs / (seconds or 1):,.0f}", engines, f"{kept:,}"))
    return rows


def _run(name: str, runs: int, seed: int, folder: Path) -> dict[str, Any]:
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    work = json.dumps({"parser": name, "runs": runs, "seed": seed, "corpus": str(corpus)})
    command = [sys.executable, "-m", "tests.proofs.fuzz.process", work]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not said:
        words = done.stderr.decode(errors="replace")[-4000:]
        raise AssertionError(f"{name}, seed {seed}: ended with {done.returncode}\n{words}")
    figures: dict[str, Any] = json.loads(said[-1])
    return {**figures, "kept": len(list(corpus.iterdir()))}
