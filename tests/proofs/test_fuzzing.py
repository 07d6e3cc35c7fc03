"""The short form of the fuzzing: the same harnesses, a few thousand executions of each."""

from pathlib import Path

import pytest
from tests.proofs import fuzzing
from tests.proofs.fuzz.parsers import CANARY, PARSERS
from tests.proofs.proof import Bench, Unit


@pytest.mark.parametrize("unit", fuzzing.units(True), ids=lambda unit: unit.name)
def test_a_parser_refuses_in_its_own_words_whatever_comes(unit: Unit, tmp_path: Path) -> None:
    figures = unit.run(Bench(tmp_path, tmp_path))
    assert figures["runs"] == fuzzing.SHORT
    assert {row.figure for row in fuzzing.report([figures])} > {"0"}


def test_without_atheris_chance_drives_and_the_figures_say_so(tmp_path: Path) -> None:
    figures = fuzzing.run("access token", 500, 1, None, Bench(tmp_path, tmp_path), engine="chance")
    assert (figures["runs"], figures["engine"]) == (500, "chance")


@pytest.mark.parametrize("engine", ["atheris", "chance"])
def test_a_fault_is_found_and_told_with_its_bytes(tmp_path: Path, engine: str) -> None:
    with pytest.raises(AssertionError, match=r"KeyError: 'a fault that has to be found' with b'.*{.*{"):
        fuzzing.run(CANARY, 100_000, 1, None, Bench(tmp_path, tmp_path), engine)


@pytest.mark.parametrize("name", PARSERS)
def test_a_harness_takes_some_of_what_it_calls_good(name: str) -> None:
    """Else it would try nothing: everything would be refused at the first step."""
    parser = PARSERS[name]
    assert any(parser(good) for good in parser.good())
