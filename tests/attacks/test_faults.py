"""What is underneath fails, at the worst moment: an attacker who can't break in may well be able to break things."""

import pytest
from tests.proofs import cuts
from tests.proofs.proof import Bench, Unit


def of(units: list[Unit], name: str) -> Unit:
    return next(unit for unit in units if unit.name.startswith(name))


@pytest.mark.parametrize("name", ["before-commit", "after-commit"])
def test_a_cut_connection_leaves_an_act_done_or_not_done(name: str, bench: Bench) -> None:
    """FT-02, FT-03: the connection to the database is cut in the middle of a refresh, a logout, a registration and a change
    of password. If the answer to COMMIT is lost, the client's retry gets the same successor, and nobody is logged out."""
    figures = of(list(cuts.units(True)), name).run(bench)
    assert int(figures["cuts"]) == 8
