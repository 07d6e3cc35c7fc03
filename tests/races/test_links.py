"""Many uses of one mailed link, at several worker processes at once. Two hundred rounds of each are `scripts/prove links`."""

import pytest
from tests import databases
from tests.proofs import links
from tests.proofs.proof import Bench
from tests.races.linker import USES

ROUNDS = 5

pytestmark = pytest.mark.xdist_group("races")


@pytest.mark.parametrize("kind", databases.KINDS)
def test_of_64_uses_of_a_mailed_link_one_wins(kind: str, bench: Bench) -> None:
    """RS-02: whoever holds a link sends it 64 times at once, to four workers: fastapi-users honours 15 of 16 resets."""
    links.run(kind, tuple(USES), ROUNDS, bench)
