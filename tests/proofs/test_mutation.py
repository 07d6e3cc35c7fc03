"""The short form of the mutation testing: one small module, whose every mutant is noticed."""

import json
from pathlib import Path

import pytest
from tests.proofs import mutation
from tests.proofs.proof import Bench, Unit


@pytest.mark.parametrize("unit", mutation.units(True), ids=lambda unit: unit.name)
def test_a_small_module_loses_every_mutant(unit: Unit, tmp_path: Path) -> None:
    figures = unit.run(Bench(tmp_path, tmp_path))
    assert int(figures["mutants"]) > 20
    alive = [one for one in json.loads(str(figures["survivors"])) if mutation.reason(mutation.SHORT, one) is None]
    assert alive == []


def test_each_module_of_the_heart_has_its_tests() -> None:
    assert set(mutation.HEART) <= set(mutation.modules())
    for module in mutation.modules():
        for path in mutation.tests_of(module):
            assert (mutation.ROOT / path).exists(), path


def test_each_reason_is_told_in_both_languages() -> None:
    for told in mutation._told():
        assert told.keys() == {"module", "was", "became", "en", "ko"}
        assert (mutation.SOURCE / f"{told['module']}.py").exists()
