"""RF-03: 64 clients present one refresh token at once to two machines that share PostgreSQL and nothing else.

The two are workers in network namespaces of their own. Nothing leads out of those but Unix sockets: no loopback is shared,
nor even up.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests import apart, fleet
from tests.crowd import CLIENTS, one_branch_through_all_rounds
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

ROUNDS = 200


@contextlib.contextmanager
def two_machines(database_url: str, folder: Path) -> Iterator[list[fleet.Worker]]:
    """Two workers that are apart, ready; stopped at the end. Raises apart.Together."""
    environment = fleet.settings(database_url, folder)
    with contextlib.ExitStack() as stack:
        short = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ww-"))
        )  # a socket's path has some 100 bytes
        started = []
        for name in ("a", "b"):
            started.append(fleet.start_apart(apart.command(), short / name, environment, folder))
            stack.callback(started[-1].stop)
        for worker in started:
            fleet.ready(worker)
        yield started


def assert_apart(workers: Sequence[fleet.Worker]) -> None:
    """Each is in a network namespace of its own, and nothing there speaks TCP."""
    pids = [worker.process.pid for worker in workers]
    assert len({apart.namespace("self"), *map(apart.namespace, pids)}) == 1 + len(pids)
    for pid in pids:
        assert apart.interfaces(pid) == ["lo"]
        assert apart.tcp_sockets(pid) == 0


def run(rounds: int, bench: Bench) -> Figures:
    ground = bench.ground("postgresql")
    try:
        with two_machines(bench.postgres.by_socket(ground.url), bench.folder) as workers:
            assert_apart(workers)
            asyncio.run(one_branch_through_all_rounds(workers, rounds))
            assert_apart(workers)
    finally:
        ground.close()
    return {"rounds": rounds, "refreshes": rounds * CLIENTS}


def units(short: bool) -> Sequence[Unit]:
    if short:
        return [Unit("short", partial(run, 20))]
    return [Unit("rounds", partial(run, ROUNDS))]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    rounds = number(total(figures, "rounds"))
    return [
        Row("rounds of 64 clients with one refresh token", "클라이언트 64개가 토큰 하나로 동시에 요청한 횟수", rounds),
        Row("refreshes, all answered 200", "갱신 요청 (모두 200)", number(total(figures, "refreshes"))),
        Row("second branches, or clients logged out", "두 번째 갈래 또는 로그아웃된 클라이언트", "0"),
    ]  # fmt: skip


PROOF = Proof("machines", units, report)
