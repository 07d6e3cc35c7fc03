"""The short form of the schemathesis run: some hundred requests made of the OpenAPI document."""

import pytest
from tests.proofs import schema


@pytest.mark.parametrize("unit", schema.units(long=False))
def test_every_answer_is_one_that_the_document_tells(unit: str) -> None:
    figures = schema.run(unit)
    assert figures["requests"] >= schema.SHORT
    assert {"200", "204", "400", "401", "403", "404", "422"} <= figures["answers"].keys(), "it got behind every door"
