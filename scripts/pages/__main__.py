"""Make the made parts of the pages, or say which of them are not what they would be."""

import argparse
import logging
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from scripts.pages import command_line, doctor, errors, security, settings
from scripts.pages.marked import DOCS, LANGUAGES, Maker, Unsaid, filled

DOCTOR: dict[str, Maker] = {
    "refusals": doctor.refusals,
    "configuration": doctor.configuration,
    "deployment": doctor.deployment,
    "server": doctor.server,
    "attacks": doctor.attacks,
}


def pages() -> Iterator[tuple[Path, str]]:
    """Every page that has made parts, with the text that it should have. Raises Unsaid, and OSError for a missing page."""
    for language in LANGUAGES:
        folder = DOCS / language
        yield _page(folder / "settings.md", language, {"settings": settings.made})
        yield _page(folder / "command-line.md", language, {"commands": command_line.made})
        yield _page(folder / "doctor.md", language, DOCTOR)
        yield _page(folder / "security.md", language, {"rows": security.made})
        for code in errors.codes():
            path = folder / "errors" / f"{errors.slug(code)}.md"
            yield _page(path, language, {"facts": partial(errors.facts, code), "answer": partial(_answer, code)})
        yield _page(
            folder / "errors" / "index.md", language, {"codes": partial(errors.listed, folder=folder / "errors")}
        )


def _page(path: Path, language: str, makers: dict[str, Maker]) -> tuple[Path, str]:
    return path, filled(path.read_text("utf-8"), language, makers)


def _answer(code: str, _language: str) -> str:
    return _answers()[code]


@cache
def _answers() -> dict[str, str]:
    return errors.answers()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write them")
    write = parser.parse_args().write
    logging.getLogger("watchword").setLevel(logging.ERROR)  # the refusals are what is wanted here
    try:
        old = [(path, text) for path, text in pages() if text != path.read_text("utf-8")]
    except Unsaid as error:
        sys.exit(f"docs: {error}")
    for path, text in old:
        print(f"{'made' if write else 'out of date'}: {path.relative_to(DOCS.parent)}")
        if write:
            path.write_text(text, encoding="utf-8")
    return 0 if write or not old else 1


if __name__ == "__main__":
    sys.exit(main())
