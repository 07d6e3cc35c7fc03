"""The state machine as a proof: many seeds, each with some examples."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, stateful
from tests.proofs.grounds import Ground
from tests.proofs.machine import Machine
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

STEPS = 100
LONG = {"sqlite": (50, 24), "postgresql": (10, 6)}
"""Units for each kind of database, and their examples. Hypothesis cuts some sequences short, so there are more than 1,000."""


def run(kind: str, seed: int, examples: int, steps: int, bench: Bench) -> Figures:
    """Examples of one seed. Raises what Hypothesis found, made as small as it can, with the seed."""
    counted: Counter[str] = Counter()

    class Here(Machine):
        acts = counted
        length = steps

        def ground(self) -> Ground:
            return bench.ground(kind)

        def folder(self) -> Path:
            return bench.folder

    try:
        stateful.run_state_machine_as_test(hypothesis.seed(seed)(Here), settings=_settings(examples, steps))
    except BaseException as error:
        error.add_note(f"on {kind}, with seed {seed}, {examples} examples of {steps} steps")
        raise
    return counted


def _settings(examples: int, steps: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def units(short: bool) -> Sequence[Unit]:
    if short:
        return [
            Unit("sqlite", partial(run, "sqlite", 1, 15, 30)),
            Unit("postgresql", partial(run, "postgresql", 2, 3, 30)),
        ]
    return [
        Unit(f"{kind}-{seed:02}", partial(run, kind, seed, examples, STEPS))
        for kind, (count, examples) in LONG.items()
        for seed in range(1, count + 1)
    ]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    rows: list[Any] = [
        (
            f"sequences of {STEPS} steps, on SQLite and PostgreSQL",
            f"{STEPS}단계짜리 시퀀스 (SQLite, PostgreSQL)",
            "whole",
        ),
        ("steps in all", "전체 단계", "steps"),
        ("refresh tokens turned", "회전한 리프레시 토큰", "turned"),
        ("repeated within the grace", "유예 시간 안에 다시 보낸 토큰", "repeated"),
        ("copies that ended their session", "세션을 종료시킨 복사본", "reused"),
        ("newer than a restored database", "복원한 데이터베이스보다 앞선 토큰", "rewound"),
        ("dead ones refused", "거부한 죽은 토큰", "dead"),
        ("restarts", "재시작", "restart"),
        ("restored backups", "백업 복원", "rewind"),
    ]
    return [
        *(Row(en, ko, number(total(figures, name))) for en, ko, name in rows),
        Row("counter-examples", "반례", "0"),
    ]


PROOF = Proof("states", units, report)
