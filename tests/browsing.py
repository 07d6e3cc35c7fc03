"""A real Chromium, one for each worker of the suite."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright
from scripts import _browser

OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage"]
"""As root Chromium has no sandbox; and it only sees pages of ours."""


def _is_fault(message: ConsoleMessage) -> bool:
    """A status that is no success is the page's answer, and not its fault."""
    return message.type in ("error", "warning") and not message.text.startswith("Failed to load resource")


def program() -> str:
    """The browser's program. Where there is none the test is skipped, and in CI it fails."""
    found = _browser.find()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(_browser.MISSING)
        pytest.skip(_browser.MISSING)
    return found


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A started browser; it is closed at the end."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program(), args=OPTIONS)
        try:
            yield started
        finally:
            await started.close()
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def page(started: Browser, language: str = "en-US", **options: Any) -> AsyncIterator[Page]:
    """A page of a visitor who reads this language. A fault that the page's console would show fails the test."""
    context = await started.new_context(locale=language, **options)
    opened = await context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text) if _is_fault(message) else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield opened
        assert not said, said
    finally:
        await context.close()
