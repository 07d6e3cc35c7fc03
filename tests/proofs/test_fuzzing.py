"""The short form of the fuzzing: the same harnesses, a few thousand executions of each."""

import pytest
from tests.proofs import fuzzing
from tests.proofs.fuzz.parsers import PARSERS


@pytest.mark.parametrize("unit", fuzzing.units(long=False))
def test_a_parser_refuses_in_its_own_words_whatever_comes(unit: str) -> None:
    figures = fuzzing.run(unit)
    assert figures["runs"] == fuzzing.SHORT


@pytest.mark.parametrize("name", PARSERS)
def test_a_harness_takes_some_of_what_it_calls_good(name: str) -> None:
    """Else it would try nothing: everything would be refused at the first step."""
    parser = PARSERS[name]
    assert any(parser(good) for good in parser.good())
