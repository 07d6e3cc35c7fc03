"""What every proof is: a list of units that can be run one by one, anywhere and again, and what their figures say together.

A new proof is a module here with a `PROOF`, its name in `registry.NAMES`, and a section in docs/*/proofs.md.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests import databases, servers
from tests.proofs.grounds import Ground, PostgresGround, SqliteGround

Figures = Mapping[str, int | float | str]
"""What a unit found, in plain JSON."""


@dataclass(frozen=True)
class Bench:
    """What a unit may use: a folder that is its own, and a PostgreSQL that lives in `home`."""

    folder: Path
    home: Path

    @cached_property
    def postgres(self) -> servers.PostgresServer:
        return servers.postgres(self.home)

    @cached_property
    def _sqlite_template(self) -> Path:
        return databases.sqlite_template(self.folder)

    @cached_property
    def _postgres_template(self) -> str:
        url = self.postgres.create_database()
        asyncio.run(databases.migrated(url))
        return url

    def ground(self, kind: str) -> Ground:
        """A fresh, migrated database: one of `databases.KINDS`."""
        if kind == "sqlite":
            return SqliteGround(self._sqlite_template, self.folder)
        return PostgresGround(self.postgres, self._postgres_template)


@dataclass(frozen=True)
class Unit:
    """A part of a proof. It raises where the promise does not hold, with what is needed to see it again.

    `run` travels to another process, so it is a function of a module, or a `functools.partial` of one.
    """

    name: str
    run: Callable[[Bench], Figures]


@dataclass(frozen=True)
class Row:
    """One line of the report: what the figure is, in both languages, and the figure."""

    en: str
    ko: str
    figure: str


@dataclass(frozen=True)
class Proof:
    """`units(short=True)` is the form that takes seconds. `report` gets the figures of all units, in their order.

    `alone` says that a unit uses all processors by itself.
    """

    name: str
    units: Callable[[bool], Sequence[Unit]]
    report: Callable[[Sequence[Figures]], Sequence[Row]]
    alone: bool = False


def total(figures: Sequence[Figures], name: str) -> int:
    """The sum of what the units counted under this name."""
    return sum(int(one.get(name, 0)) for one in figures)


def number(value: int) -> str:
    """1,234,567"""
    return f"{value:,}"
