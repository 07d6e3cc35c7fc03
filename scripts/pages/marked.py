"""The parts of a page that are made, and how they are put in."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LANGUAGES = ("en", "ko")
PART = re.compile(
    r"(?P<open><!-- made: (?P<name>[\w-]+) -->\n).*?(?P<close>^<!-- /made -->$)", re.DOTALL | re.MULTILINE
)

Maker = Callable[[str], str]
"""The text of a part in a language."""


class Unsaid(Exception):
    """A sentence that has not been written in this language yet."""


def filled(text: str, language: str, makers: Mapping[str, Maker]) -> str:
    """The page with its parts made again. Raises KeyError for a part that nobody makes."""
    return PART.sub(lambda part: f"{part['open']}\n{makers[part['name']](language).strip()}\n\n{part['close']}", text)


def parts(text: str) -> list[str]:
    """The names of the page's made parts."""
    return [part["name"] for part in PART.finditer(text)]
