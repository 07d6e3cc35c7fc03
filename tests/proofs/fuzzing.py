"""Fuzzing: whatever bytes a parser is given, it takes what is genuine, refuses the rest in its own words, and ends.

atheris (libFuzzer) drives and follows the code, so it finds its way behind one check after the other; where no atheris can
be installed, good inputs are changed by chance, and the report says so. A unit is a quarter of a million executions in a
process of its own, with a seed of its own; what led somewhere new is kept in `.proofs/fuzz/<parser>`, for the units after it.

What a parser may raise is written beside it in `tests/proofs/fuzz`: InvalidToken for tokens and keys, InvalidGrant for refresh
tokens, InvalidRequest for headers and scopes; a form or a body is answered with 400, 401, 413 or 422, and nothing else.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.proofs.fuzz.parsers import PARSERS
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

ROOT = Path(__file__).resolve().parents[2]
CORPORA = ROOT / ".proofs" / "fuzz"

CHUNK = 250_000
CHUNKS = 20
"""5,000,000 executions of each parser."""

SHORT = 2_000


def run(name: str, runs: int, seed: int, corpora: Path | None, bench: Bench, engine: str = "atheris") -> Figures:
    """Executions of one parser, in a process. Raises AssertionError with the bytes that were the counter-example."""
    corpus = (corpora or bench.folder) / _slug(name) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    work = json.dumps({"parser": name, "runs": runs, "seed": seed, "corpus": str(corpus), "engine": engine})
    command = [sys.executable, "-m", "tests.proofs.fuzz.process", work]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_"))}
    done = subprocess.run(command, cwd=ROOT, env=kept, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not said:
        words = done.stderr.decode(errors="replace")[-4000:]
        raise AssertionError(f"{name}, seed {seed}: ended with {done.returncode}\n{words}")
    figures: dict[str, int | float | str] = json.loads(said[-1])
    return {"parser": name, **figures, "kept": len(list(corpus.iterdir()))}


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


def units(short: bool) -> Sequence[Unit]:
    """All parsers get their first chunk before any gets its second."""
    if short:
        return [Unit(_slug(name), partial(run, name, SHORT, 1, None)) for name in PARSERS]
    return [
        Unit(f"{_slug(name)}-{seed:02}", partial(run, name, CHUNK, seed, CORPORA))
        for seed in range(1, CHUNKS + 1)
        for name in PARSERS
    ]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    """A row for each parser. Counter-examples there are none, or `run` raised."""
    rows = []
    for name, parser in PARSERS.items():
        of_it = [one for one in figures if one["parser"] == name]
        engines = ", ".join(sorted({str(one["engine"]) for one in of_it})) or "-"
        figure = f"{number(total(of_it, 'runs'))} ({engines})"
        rows.append(Row(f"executions: {name}", f"실행 횟수: {parser.ko}", figure))
    return [*rows, Row("errors that are no refusal", "거부가 아닌 오류", "0")]


PROOF = Proof("fuzzing", units, report)
