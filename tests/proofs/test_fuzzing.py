"""The short form of the fuzzing: the same harnesses, a few thousand executions of each."""

from pathlib import Path

import pytest
from tests.proofs import fuzzing
from tests.proofs.fuzz.parsers import PARSERS
from tests.proofs.proof import Bench, Unit


@pytest.mark.parametrize("unit", fuzzing.units(True), ids=lambda unit: unit.name)
def test_a_parser_refuses_in_its_own_words_whatever_comes(unit: Unit, tmp_path: Path) -> None:
    figures = unit.run(Bench(tmp_path, tmp_path))
    assert figures["runs"] == fuzzing.SHORT
    assert {row.figure for row in fuzzing.report([figures])} > {"0"}


@pytest.mark.parametrize("name", PARSERS)
def test_a_harness_takes_some_of_what_it_calls_good(name: str) -> None:
    """Else it would try nothing: everything would be refused at the first step."""
    parser = PARSERS[name]
    assert any(parser(good) for good in parser.good())
