"""docs/*/proofs.md: what is proven stands there, in parts that only a whole run writes."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.proofs.ledger import ROOT, Entry
from tests.proofs.proof import Proof

LANGUAGES = ("en", "ko")
PART = re.compile(
    r"(?P<open><!-- proved: (?P<name>[\w-]+) -->\n).*?(?P<close>^<!-- /proved -->$)", re.DOTALL | re.MULTILINE
)
WORDS = {
    "en": {"what": "what", "figure": "figure", "time": "computing time", "on": "on", "minutes": "{} min"},
    "ko": {"what": "항목", "figure": "수치", "time": "계산 시간", "on": "실행 환경", "minutes": "{}분"},
}


def page(language: str) -> Path:
    return ROOT / "docs" / language / "proofs.md"


def write(proof: Proof, entries: Sequence[Entry]) -> None:
    """Put the proof's table into the page of each language."""
    for language in LANGUAGES:
        path = page(language)
        path.write_text(filled(path.read_text("utf-8"), proof.name, table(language, proof, entries)), "utf-8")


def filled(text: str, name: str, made: str) -> str:
    """The page with one part made again. Raises ValueError where it has no such part."""
    if name not in parts(text):
        raise ValueError(f"the page has no part <!-- proved: {name} -->")
    return PART.sub(
        lambda part: f"{part['open']}\n{made}\n\n{part['close']}" if part["name"] == name else part[0], text
    )


def parts(text: str) -> list[str]:
    """The names of the page's proven parts."""
    return [part["name"] for part in PART.finditer(text)]


def table(language: str, proof: Proof, entries: Sequence[Entry]) -> str:
    words = WORDS[language]
    days = sorted({entry.day for entry in entries})
    day = days[0] if len(days) == 1 else f"{days[0]} – {days[-1]}"
    minutes = max(1, round(sum(entry.seconds for entry in entries) / 60))
    rows = [
        *((getattr(row, language), row.figure) for row in proof.report([entry.figures for entry in entries])),
        (words["time"], words["minutes"].format(minutes)),
        (words["on"], f"{day}, {'; '.join(sorted({entry.versions for entry in entries}))}"),
    ]
    lines = [
        f"| {words['what']} | {words['figure']} |",
        "|---|---|",
        *(f"| {what} | {figure} |" for what, figure in rows),
    ]
    return "\n".join(lines)
