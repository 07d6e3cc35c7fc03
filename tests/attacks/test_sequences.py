"""Attacks that need several steps, in an order that nobody thought of."""

import pytest
from tests.proofs import states
from tests.proofs.proof import Bench, Unit


@pytest.mark.parametrize("unit", states.units(True), ids=lambda unit: unit.name)
def test_no_sequence_of_acts_makes_two_branches_or_revives_a_token(unit: Unit, bench: Bench) -> None:
    """RF-13: the attacker waits for the one order of login, refresh, replay, logout, password change, disabling, wrong
    clocks, restarts and restored backups in which a dead token lives again. `scripts/prove states` tries many more."""
    figures = unit.run(bench)
    assert int(figures["steps"]) > 80
    assert int(figures["turned"]) > 5
