"""Many clients, one refresh token, several worker processes."""

from pathlib import Path

import pytest
from tests import apart, databases, fleet, servers
from tests.crowd import one_branch_through_all_rounds
from tests.proofs import machines
from tests.proofs.proof import Bench

ROUNDS = 200

pytestmark = pytest.mark.xdist_group("races")


async def test_all_clients_get_one_successor_over_four_workers_on_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    """RF-03: two tabs, or a thief and the owner, present one token at once; there is never a second branch."""
    url = databases.copy(sqlite_template, tmp_path)
    with fleet.running(4, url, tmp_path) as running:
        await one_branch_through_all_rounds(running, ROUNDS)


async def test_all_clients_get_one_successor_over_two_workers_on_postgresql(
    postgres_server: servers.PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    """RF-03, under READ COMMITTED: the row's lock decides."""
    url = postgres_server.create_database(postgres_template.rsplit("/", 1)[1])
    try:
        with fleet.running(2, url, tmp_path) as running:
            await one_branch_through_all_rounds(running, ROUNDS)
    finally:
        postgres_server.drop_database(url)


def test_all_clients_get_one_successor_over_two_machines_that_share_only_postgresql(bench: Bench) -> None:
    """RF-03: the thief's request reaches one machine and the owner's another; what decides is in the database alone. In short;
    `scripts/prove machines` goes on for 200 rounds."""
    try:
        apart.command()
    except apart.Together as error:
        pytest.skip(f"no network namespaces here: {error}")
    (unit,) = machines.units(True)
    assert int(unit.run(bench)["rounds"]) > 1
