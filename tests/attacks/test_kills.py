"""The server dies in the middle of an act."""

import pytest
from tests.proofs import kills
from tests.proofs.proof import Bench, Unit


@pytest.mark.parametrize("unit", kills.units(True), ids=lambda unit: unit.name)
def test_a_killed_server_leaves_the_old_or_the_new(unit: Unit, bench: Bench) -> None:
    """RF-07: the attacker hopes for the moment in which a crash leaves two tokens valid, a logout half done, or a client
    locked out. The process gets `kill -9` at each moment of the act; `scripts/prove kills` does it more often."""
    figures = unit.run(bench)
    assert int(figures["kills"]) >= 3
