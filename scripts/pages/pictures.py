"""Pictures of mails and of the pages that their links lead to, made from the real texts in a real Chromium.

The name of each picture holds a fingerprint of the page that it shows, so that a test finds those that are out of date.
"""

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import ViewportSize, async_playwright
from scripts import _browser

from watchword.texts import Texts

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("en", "ko")
LINK = "https://lantern.example/links/{}#wwl_WyJyZXNldC1wYXNzd29yZCIsIjVtdWk2NnJrN2J2ZW1jY3Zpb3di.AyWKtmZxHf8QHBltqyof"
MAILS = ("confirm-registration", "reset-password", "password-changed")
PAGES = ("reset-password",)
SIZE: ViewportSize = {"width": 560, "height": 400}
PAGE_SIZE: ViewportSize = {"width": 560, "height": 520}


class Picture(NamedTuple):
    """What is to be seen, and where."""

    path: Path
    html: str
    is_page: bool

    @property
    def mark(self) -> str:
        """Stands for what is to be seen."""
        return hashlib.sha256(self.html.encode()).hexdigest()[:16]


def pictures() -> Iterator[Picture]:
    """All of them, as they should be now."""
    texts = Texts(name="Lantern")
    for language in NAMES:
        folder = ROOT / "docs" / language / "pictures"
        for kind in MAILS:
            facts = {"minutes": "60", "when": "2026-03-14 09:26 UTC"}
            told = {"undo": LINK.format("undo")} if kind.endswith("changed") else {"link": LINK.format(kind)}
            yield Picture(folder / f"mail-{kind}.png", texts.letter(kind, language, facts | told).html, False)
        for name in PAGES:
            facts = {"state": "form", "fault": "", "token": "", "nonce": "", "script": ""}
            html = texts.page(name, language, facts).replace('<div id="secret">', '<div id="secret" hidden>')
            yield Picture(folder / f"page-{name}.png", html, True)


def marks() -> Path:
    """Where it is written down what each picture shows."""
    return ROOT / "docs" / "pictures.txt"


def listed() -> str:
    """What belongs there now."""
    return "".join(f"{one.path.relative_to(ROOT).as_posix()} {one.mark}\n" for one in pictures())


async def take() -> None:
    """Take them all anew."""
    program = _browser.prepare()
    if program is None:
        sys.exit(f"watchword: {_browser.MISSING}")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for one in pictures():
            page = await chromium.new_page(viewport=PAGE_SIZE if one.is_page else SIZE, color_scheme="light")
            await page.set_content(one.html)
            one.path.parent.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=one.path, full_page=True)
            await page.close()
        await chromium.close()
    marks().write_text(listed())


if __name__ == "__main__":
    asyncio.run(take())
