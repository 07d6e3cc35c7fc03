"""The short form of the schemathesis run: some hundred requests made of the OpenAPI document."""

from pathlib import Path

import pytest
from tests.conftest import HOME
from tests.proofs import schema
from tests.proofs.proof import Bench, Unit


@pytest.mark.parametrize("unit", schema.units(True), ids=lambda unit: unit.name)
def test_every_answer_is_one_that_the_document_tells(unit: Unit, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    figures = unit.run(Bench(tmp_path, Path(pytestconfig.stash[HOME])))
    assert int(figures["requests"]) >= schema.SHORT[unit.name]
    assert {"200", "204", "400", "401", "403", "404", "422"} <= figures.keys(), "it got behind every door"
    assert schema.report([figures])[1].figure == "0"
