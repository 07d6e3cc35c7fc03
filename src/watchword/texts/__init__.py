"""What the house says to people: mails, and the pages that their links lead to. Each text stands in a language's
TOML file; one layout for each medium shows it. An application overrides a layout, a text, or all of a language with
files of the same names.
"""

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from watchword.core.errors import ConfigError
from watchword.core.mail import ENGLISH, LANGUAGE

OURS = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail in words."""

    subject: str
    text: str
    html: str


class Texts:
    """The texts of this house, and those of the application (`folder`) in front of them.

    Raises ConfigError for a folder that is not there, a file that can't be read, and for a text that mentions what it is not
    told.
    """

    def __init__(self, folder: Path | None = None, name: str = "Watchword") -> None:
        folders = [OURS] if folder is None else [folder, OURS]
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"Auth(texts=…): {folder} is no folder.")
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folders),
            autoescape=jinja2.select_autoescape(["html"], default_for_string=False),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._compiled = functools.lru_cache(maxsize=None)(self._environment.from_string)
        self._name = name
        self._said: dict[str, Any] = {}
        for place in reversed(folders):
            for file in sorted(place.glob("*.toml")):
                self._said[file.stem.lower()] = _merged(self._said.get(file.stem.lower(), {}), _read(file))
        self.languages: Sequence[str] = [ENGLISH, *sorted(self._said.keys() - {ENGLISH})]
        """English first: whoever reads none of the others gets it."""

    def letter(self, kind: str, language: str, facts: Mapping[str, str]) -> Letter:
        """The mail of this kind. What the facts hold is never markup."""
        said = self._told("mail", kind, language, facts)
        subject = " ".join(said["subject"].split())  # a line of its own would be a header of its own. RFC 5322 2.2
        shown = {**facts, **said, "subject": subject}
        return Letter(subject, self._show("mail.txt", shown), self._show("mail.html", shown))

    def page(self, name: str, language: str, facts: Mapping[str, Any]) -> str:
        """The page of this name."""
        return self._show("page.html", {**facts, **self._told("page", name, language, facts)})

    def fault(self, code: str, language: str, said: str) -> str:
        """What a page says where something was refused with this code; `said`, in English, where a language has no
        words for it."""
        words: str = self._said.get(language, {}).get("faults", {}).get(code, said)
        return words

    def _told(self, medium: str, name: str, language: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The text's parts with the facts in them, and those that all texts of a language share."""
        language = language if language in self._said else ENGLISH
        everything = [self._said[ENGLISH], self._said[language]]
        parts: dict[str, Any] = {}
        for one in everything:
            parts = _merged(parts, {**one.get("shared", {}), **one.get(medium, {}).get(name, {})})
        known = {"app": self._name, **facts}
        return {**known, "language": language, **{part: self._fill(text, known) for part, text in parts.items()}}

    def _fill(self, text: Any, facts: Mapping[str, Any]) -> Any:
        if isinstance(text, list):
            return [self._fill(one, facts) for one in text]
        return self._compiled(str(text)).render(facts)

    def _show(self, layout: str, shown: Mapping[str, Any]) -> str:
        return self._environment.get_template(layout).render(shown)


def _read(file: Path) -> dict[str, Any]:
    if LANGUAGE.fullmatch(file.stem) is None:
        raise ConfigError(f"Auth(texts=…): {file} is not named by a language: en.toml, pt-br.toml.")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"Auth(texts=…): {file} can't be read: {error}") from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in both, as it is `above`; tables part by part."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged
