"""Rolling restarts under load: nobody notices."""

import pytest
from tests.proofs import rolling
from tests.proofs.proof import Bench

pytestmark = pytest.mark.xdist_group("races")


def test_rolling_restarts_and_a_rotation_lose_no_request_and_refuse_nobody(bench: Bench) -> None:
    """In short; `scripts/prove rolling` goes on for longer, and waits for the drain's own end."""
    (unit,) = rolling.units(True)
    figures = unit.run(bench)
    assert int(figures["stops"]) > 4
    assert int(figures["keys"]) > 1
