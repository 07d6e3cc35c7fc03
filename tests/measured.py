"""A pytest plugin, `-p tests.measured` beside `--cov`: sums up what a whole run covered, and fails it below the floors.

Measured are this process, its xdist workers, and every Python process that a test starts (`tool.coverage.run`). One that
is killed can't tell what it did.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

FLOOR = 95.0
"""Percent of all lines, and of all branches."""

COMPLETE = "src/watchword/core/", "src/watchword/flows/"
"""Where nothing may be left out."""

MEASURED = pytest.StashKey["Measured"]()


@dataclass(frozen=True)
class Measured:
    """What a run covered, in percent, and what it left out where nothing may be left out."""

    lines: float
    branches: float
    holes: Mapping[str, str] = field(default_factory=dict)

    @property
    def enough(self) -> bool:
        return self.lines >= FLOOR and self.branches >= FLOOR and not self.holes


def judge(report: Mapping[str, Any]) -> Measured:
    """Read the JSON report of coverage.py."""
    totals = report["totals"]
    holes = {name: _holes(file) for name, file in report["files"].items() if name.startswith(COMPLETE)}
    return Measured(
        _percent(totals["covered_lines"], totals["num_statements"]),
        _percent(totals["covered_branches"], totals["num_branches"]),
        {name: left_out for name, left_out in holes.items() if left_out},
    )


def _percent(covered: int, of: int) -> float:
    return 100.0 * covered / of if of else 100.0


def _holes(file: Mapping[str, Any]) -> str:
    lines = [str(line) for line in file["missing_lines"]]
    branches = [f"{start}->{end if end > 0 else 'exit'}" for start, end in file["missing_branches"]]
    return ", ".join([*lines, *branches])


def _report() -> dict[str, Any]:
    """The report on `.coverage`, which pytest-cov has put together."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder, "coverage.json")
        data.json_report(outfile=str(path))
        report: dict[str, Any] = json.loads(path.read_text())
        return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, Any, Any]:
    """Judge when pytest-cov, which is further in, has what every process left."""
    result = yield
    if not hasattr(session.config, "workerinput"):
        measured = session.config.stash[MEASURED] = judge(_report())
        if not measured.enough:
            session.testsfailed += 1  # makes the exit code 1
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    measured = config.stash.get(MEASURED, None)
    if measured is None:  # interrupted
        return
    terminalreporter.section("coverage")
    for name, left_out in measured.holes.items():
        terminalreporter.write_line(f"{name}: {left_out} not covered", red=True)
    terminalreporter.write_line(
        f"lines {measured.lines:.1f} %, branches {measured.branches:.1f} % (at least {FLOOR:.0f} %); "
        f"core and flows {'have holes' if measured.holes else '100 %'}: {'enough' if measured.enough else 'FAILED'}",
        green=measured.enough,
        red=not measured.enough,
    )
