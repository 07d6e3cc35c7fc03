"""security.md, row by row: what is promised, and the tests that show it, told by their docstrings.

A test shows a row when its docstring begins with the row's id: `TF-01: …`, `RV-01, RV-04: …`, `RF-03, on PostgreSQL: …`.
The tests are read, never imported.
"""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scripts.pages.marked import LANGUAGES, ROOT, Unsaid

TESTS = ROOT / "tests"
FOLDERS = ("attacks", "conformance", "races", "proofs")
"""Where the tests are that are shown. Others may name rows too."""

ROW = r"[A-Z]{2}-\d\d\b"
NAMES_A_ROW = re.compile(ROW)
SHOWS = re.compile(rf"(?P<rows>{ROW}(?:(?:, | and |, and ){ROW})*)(?:, [^:]+)?: ")
PROMISES = {"en": Path(__file__).with_name("promises.toml"), "ko": Path(__file__).with_name("promises.ko.toml")}
WORDS = {
    "en": {"row": "row", "promise": "promise", "shown": "shown by", "many": "{n} tests"},
    "ko": {"row": "항목", "promise": "약속", "shown": "확인하는 테스트", "many": "테스트 {n}개"},
}


@dataclass(frozen=True)
class Test:
    """A test function, and the docstring that it begins with."""

    file: str
    name: str
    docstring: str

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows that it shows."""
        return rows(self.docstring)


@dataclass(frozen=True)
class Promise:
    """What a row says to the reader; where nothing is there yet that it could hold for, why not."""

    text: str
    absent: str = ""


@dataclass(frozen=True)
class Group:
    """The promises of one kind, by their rows."""

    name: str
    heading: str
    promises: dict[str, Promise]


def made(language: str) -> str:
    """A heading and a table for each group. Raises Unsaid for a row that is not in both languages."""
    if missing := unsaid():
        raise Unsaid(f"{', '.join(path.name for path in PROMISES.values())} differ: {', '.join(missing)}")
    showing = shown()
    return "\n\n".join(_group(group, showing, language) for group in groups(language))


def groups(language: str) -> list[Group]:
    """The promises of a language, in their order."""
    written = tomllib.loads(PROMISES[language].read_text("utf-8"))
    return [_read(name, table) for name, table in written.items()]


def promises(language: str) -> dict[str, Promise]:
    return {row: promise for group in groups(language) for row, promise in group.promises.items()}


def unsaid() -> list[str]:
    """The rows that one language has and the other has not, or calls absent alone."""
    first, second = ({(row, bool(one.absent)) for row, one in promises(language).items()} for language in LANGUAGES)
    return sorted({row for row, _ in first ^ second})


def unshown() -> list[str]:
    """The promises that no test shows, though nothing is said to be absent."""
    showing = shown()
    return [row for row, promise in promises("en").items() if not promise.absent and row not in showing]


def no_more_absent() -> list[str]:
    """The rows that a test shows, and that are said to hold for nothing yet."""
    showing = shown()
    return [row for row, promise in promises("en").items() if promise.absent and row in showing]


def unpromised() -> list[str]:
    """The rows that any test names, wherever it stands, and that nobody promises."""
    named = {row for test in tests() for row in _named(test.docstring)}
    return sorted(named - promises("en").keys())


def misspelt() -> list[str]:
    """The tests whose docstring begins with a row, and not in the form by which they would be found."""
    return [
        f"{test.file}::{test.name}"
        for test in tests(*FOLDERS)
        if NAMES_A_ROW.match(test.docstring) and not SHOWS.match(test.docstring)
    ]


def shown() -> dict[str, list[Test]]:
    """The tests of each row."""
    found: defaultdict[str, list[Test]] = defaultdict(list)
    for test in tests(*FOLDERS):
        for row in test.rows:
            found[row].append(test)
    return dict(found)


def rows(docstring: str) -> tuple[str, ...]:
    """The rows with which a docstring begins."""
    found = SHOWS.match(docstring)
    return tuple(NAMES_A_ROW.findall(found["rows"])) if found else ()


@cache
def tests(*folders: str) -> tuple[Test, ...]:
    """Every test of these folders, or of all, file by file."""
    roots = [TESTS / folder for folder in folders] or [TESTS]
    paths = [path for root in roots for path in sorted(root.rglob("test_*.py"))]
    return tuple(test for path in paths for test in read(path.read_text("utf-8"), path.relative_to(ROOT).as_posix()))


def read(source: str, file: str) -> Iterator[Test]:
    """The tests of one file: its functions, and the methods of its classes."""
    body = ast.parse(source).body
    for node in [*body, *(inner for outer in body if isinstance(outer, ast.ClassDef) for inner in outer.body)]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Test(file, node.name, " ".join((ast.get_docstring(node) or "").split()))


def _named(docstring: str) -> tuple[str, ...]:
    """The rows that a docstring begins with, in whatever form."""
    first = NAMES_A_ROW.match(docstring)
    return rows(docstring) or ((first[0],) if first else ())


def _read(name: str, table: dict[str, Any]) -> Group:
    heading = table.pop("heading")
    found = {row: Promise(one) if isinstance(one, str) else Promise(**one) for row, one in table.items()}
    return Group(name, heading, found)


def _group(group: Group, showing: dict[str, list[Test]], language: str) -> str:
    words = WORDS[language]
    lines = [f"### {group.heading} {{ #{group.name.lower()} }}", ""]
    lines += [f"| {words['row']} | {words['promise']} | {words['shown']} |", "|---|---|---|"]
    for row, promise in group.promises.items():
        by = promise.absent or _shown_by(showing.get(row, []), words)
        lines.append(f"| {row} | {promise.text} | {by} |")
    return "\n".join(lines)


def _shown_by(found: list[Test], words: dict[str, str]) -> str:
    """Each file, with its test, or with how many there are."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for test in found:
        names[test.file].append(test.name)
    return (
        "<br>".join(
            f"`{file}`: " + (f"`{inside[0]}`" if len(inside) == 1 else words["many"].format(n=len(inside)))
            for file, inside in names.items()
        )
        or "—"
    )
