"""What every benchmark ends with: a table with targets kept or MISSED, the raw results as JSON, and a plot.

`--publish` writes all three where the documentation shows them; without it there is `benchmarks/results`, which git ignores.
"""

import argparse
import json
import math
import os
import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PUBLISHED = HERE / "published"
DOCS = HERE.parent / "docs"
KOREAN = HERE / "names.ko.toml"
"""What the rows are called on the Korean page."""


@dataclass(frozen=True)
class Row:
    """One measured value. `bound` is the most it may be (with `at_least`, the least); None where nothing is promised."""

    name: str
    value: float
    unit: str = ""
    bound: float | None = None
    at_least: bool = False
    ratio: float | None = None
    """How many times the baseline that the benchmark names."""

    @property
    def kept(self) -> bool | None:
        """Whether the promise holds, by the unrounded value."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def verdict(self) -> str:
        return {None: "", True: "kept", False: "MISSED"}[self.kept]


@dataclass
class Bar:
    """A bar of the plot; `mark` is where its bound stands."""

    name: str
    value: float
    mark: float | None = None
    ours: bool = False


@dataclass
class Report:
    """One benchmark's outcome. `raw` is whatever it has measured, `about` one sentence for whoever can't see the plot."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    bars: Sequence[Bar] = ()
    unit: str = ""
    raw: Any = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if row.kept is False]

    def finish(self, arguments: argparse.Namespace) -> None:
        """Print it and write it, as the command line asked."""
        where = machine()
        print(f"{self.title} ({where['date']}; {where['cpu']}, {where['cores']} cores, Python {where['python']})")
        print(table(self.rows))
        RESULTS.mkdir(exist_ok=True)
        self._write(RESULTS)
        if arguments.publish:
            PUBLISHED.mkdir(exist_ok=True)
            self._write(PUBLISHED)
            for language, called in languages():
                folder = DOCS / language / "figures"
                folder.mkdir(exist_ok=True)
                (folder / f"{self.name}.svg").write_text(plot(self.title, self.about, self.bars, self.unit))
                page = DOCS / language / "performance.md"
                page.write_text(shown(page.read_text(), self.name, markdown(self.rows, where, called)))

    def _write(self, folder: Path) -> None:
        rows = [{**asdict(row), "verdict": row.verdict} for row in self.rows]
        told = {"title": self.title, "machine": machine(), "versions": self.versions, "rows": rows, "raw": self.raw}
        (folder / f"{self.name}.json").write_text(json.dumps(told, indent=1) + "\n")


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line, with what every benchmark offers."""
    parser.add_argument("--publish", action="store_true", help="write the results and the plot into the documentation")
    return parser.parse_args()


def languages() -> tuple[tuple[str, dict[str, str]], ...]:
    """The languages of the pages, each with what the rows are called in it."""
    return ("en", {}), ("ko", tomllib.loads(KOREAN.read_text()))


def machine() -> dict[str, Any]:
    """What the figures were taken on. The machine's name is nobody's business."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def table(rows: Sequence[Row]) -> str:
    """For a terminal."""
    wide = max(len(row.name) for row in rows)
    lines = [f"{'':{wide}} {'value':>14} {'ratio':>8} {'bound':>10}"]
    for row in rows:
        value = f"{number(row.value)} {row.unit}".strip()
        ratio = "" if row.ratio is None else f"{number(row.ratio)} ×"
        bound = "" if row.bound is None else f"{'≥' if row.at_least else '≤'} {number(row.bound)}"
        lines.append(f"{row.name:{wide}} {value:>14} {ratio:>8} {bound:>10}  {row.verdict}".rstrip())
    return "\n".join(lines)


def markdown(rows: Sequence[Row], where: Mapping[str, Any], called: Mapping[str, str]) -> str:
    """For a page; `called` has the names of another language."""

    def say(text: str) -> str:
        return called.get(text, text)

    lines = [
        f"{where['date']}, {where['cpu']}, {where['cores']} {say('cores')}, Python {where['python']}",
        "",
        f"| | {say('value')} | {say('ratio')} | {say('bound')} | |",
        "|---|---:|---:|---:|---|",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{number(row.ratio)} ×"
        bound = "" if row.bound is None else f"{'≥' if row.at_least else '≤'} {number(row.bound)}"
        value = f"{number(row.value)} {row.unit}".strip()
        lines.append(f"| {say(row.name)} | {value} | {ratio} | {bound} | {say(row.verdict)} |")
    return "\n".join(lines)


def shown(page: str, name: str, text: str) -> str:
    """The page, with this between the marks of the benchmark. Raises ValueError where it has none."""
    begin, end = f"<!-- measured: {name} -->", "<!-- end -->"
    before, mark, rest = page.partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def number(value: float) -> str:
    """Three digits that say something."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .ground { fill: #ffffff }
  .quiet { fill: #57606a }
  .bar { fill: #8c959f }
  .ours { fill: #1a7f5a }
  .mark { stroke: #b35900; stroke-width: 2; stroke-dasharray: 3 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ground { fill: #161b22 }
    .quiet { fill: #9da7b1 }
    .bar { fill: #6e7681 }
    .ours { fill: #3fb98c }
    .mark { stroke: #f0a35e }
  }
"""
WIDTH, NAMES, VALUES, LINE, TOP = 720, 240, 90, 26, 44


def plot(title: str, about: str, bars: Sequence[Bar], unit: str) -> str:
    """Horizontal bars as an SVG with a title and a description, for light and dark pages.

    Where one is more than fifty times another, the axis is logarithmic and says so.
    """
    values = [bar.value for bar in bars if bar.value > 0]
    marks = [bar.mark for bar in bars if bar.mark]
    longest, shortest = max([*values, *marks], default=1.0), min([*values, *marks], default=1.0)
    logarithmic = longest > 50 * shortest
    room = WIDTH - NAMES - VALUES

    def length(value: float) -> float:
        if logarithmic:
            base = shortest / 2
            return room * math.log(max(value, base) / base) / math.log(longest / base)
        return room * max(value, 0.0) / longest

    height = TOP + LINE * len(bars) + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(about)} {escape(_spoken(bars, unit))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',  # a page may be dark where the system is light
        f'<text x="12" y="24" font-weight="600">{escape(title)}</text>',
    ]
    for index, bar in enumerate(bars):
        top = TOP + LINE * index
        wide = length(bar.value)
        lines += [
            f'<text x="{NAMES - 8}" y="{top + 14}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="{"ours" if bar.ours else "bar"}" x="{NAMES}" y="{top}" width="{wide:.1f}" height="18" rx="2"/>',
            f'<text x="{NAMES + wide + 6:.1f}" y="{top + 14}">{escape(f"{number(bar.value)} {unit}".strip())}</text>',
        ]
        if bar.mark:
            at = NAMES + length(bar.mark)
            lines.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 3}" y2="{top + 21}"/>')
    notes = ["dashed: the bound"] if marks else []
    if logarithmic:
        notes.append("logarithmic scale")
    lines += [f'<text class="quiet" x="{NAMES}" y="{height - 6}">{escape("; ".join(notes))}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def _spoken(bars: Sequence[Bar], unit: str) -> str:
    return "; ".join(f"{bar.name}: {number(bar.value)} {unit}".strip() for bar in bars) + "."
