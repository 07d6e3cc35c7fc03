"""The floors of coverage, as `tests/measured.py` keeps them."""

from typing import Any

import pytest
from tests import measured

Missing = tuple[list[int], list[tuple[int, int]]]


def report(lines: int = 100, branches: int = 100, /, **files: Missing) -> dict[str, Any]:
    """What coverage.py says of a hundred lines and a hundred branches."""
    totals = {"covered_lines": lines, "num_statements": 100, "covered_branches": branches, "num_branches": 100}
    named = {
        f"src/watchword/{name.replace('_', '/')}.py": {"missing_lines": missing, "missing_branches": partial}
        for name, (missing, partial) in files.items()
    }
    return {"totals": totals, "files": named}


def test_a_run_that_covers_all_is_enough() -> None:
    judged = measured.judge(report(core_jose=([], []), web_guard=([], [])))
    assert (judged.lines, judged.branches, judged.holes, judged.enough) == (100.0, 100.0, {}, True)


@pytest.mark.parametrize(("lines", "branches", "enough"), [(95, 95, True), (94, 100, False), (100, 94, False)])
def test_lines_and_branches_have_a_floor_each(lines: int, branches: int, enough: bool) -> None:
    assert measured.judge(report(lines, branches)).enough is enough


@pytest.mark.parametrize("room", ["core_jose", "flows_session"])
def test_core_and_flows_have_no_holes(room: str) -> None:
    judged = measured.judge(report(**{room: ([3, 5], [(7, 9), (8, -1)])}))
    assert not judged.enough
    assert judged.holes == {f"src/watchword/{room.replace('_', '/')}.py": "3, 5, 7->9, 8->exit"}


def test_elsewhere_a_hole_is_no_fault_while_the_totals_hold() -> None:
    assert measured.judge(report(99, 99, web_guard=([3], []))).enough
