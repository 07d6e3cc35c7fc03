"""Feeds that are cut, and a database that stands still: nothing that was revoked is let in later than promised."""

import pytest
from tests.proofs import feed
from tests.proofs.proof import Bench, Unit

pytestmark = pytest.mark.xdist_group("races")

CUT, STANDSTILL = feed.units(True)


def found(unit: Unit, bench: Bench) -> dict[str, float]:
    return {name: float(value) for name, value in unit.run(bench).items()}


def test_no_logout_is_missed_while_the_feed_s_connections_are_cut(bench: Bench) -> None:
    """RV-06: somebody goes on with a revoked token on the worker whose feed has just been lost. In short; `scripts/prove feed`
    logs out ten thousand times."""
    figures = found(CUT, bench)
    assert figures["logouts"] > 200
    assert figures["cut"] > 0


def test_while_postgresql_stands_still_what_nobody_can_confirm_is_refused(bench: Bench) -> None:
    """RV-06: a database that neither answers nor breaks its connections keeps a revocation from the other worker; the token is
    good there until the silence counts, and not longer."""
    figures = found(STANDSTILL, bench)
    assert figures["stops"] == 1
    assert figures["unavailable"] > 0
