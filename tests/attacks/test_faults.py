"""What is underneath fails, at the worst moment: an attacker who can't break in may well be able to break things."""

import pytest
from tests.proofs import cuts, restarts
from tests.proofs.proof import Bench, Unit


def of(units: list[Unit], name: str) -> Unit:
    return next(unit for unit in units if unit.name.startswith(name))


@pytest.mark.parametrize("name", ["before-commit", "after-commit"])
def test_a_cut_connection_leaves_an_act_done_or_not_done(name: str, bench: Bench) -> None:
    """FT-02, FT-03: the connection to the database is cut in the middle of a refresh, a logout, a registration and a change
    of password. If the answer to COMMIT is lost, the client's retry gets the same successor, and nobody is logged out."""
    figures = of(list(cuts.units(True)), name).run(bench)
    assert int(figures["cuts"]) == 8


def test_a_database_that_crashes_lets_nobody_in_and_nobody_out(bench: Bench) -> None:
    """FT-01: the attacker crashes the database, to have a revoked token accepted while nobody can look, or everybody logged
    out. While it is away there is 503 with Retry-After; when it is back, all go on, without a restart of ours."""
    (unit,) = restarts.units(True)
    figures = unit.run(bench)
    assert int(figures["refused"]) >= 2 * restarts.CLIENTS
