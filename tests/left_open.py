"""A pytest plugin: connections to SQLite that a test leaves open are told at the end, by the name of that test.

The garbage collector would find one in some later test that has nothing to do with it, or never: caches hold what they saw.
With LEFT_OPEN=fail the run fails for them.
"""

import gc
import os
import weakref
from typing import Any

import aiosqlite
import pytest

OPENED: "weakref.WeakSet[aiosqlite.Connection]" = weakref.WeakSet()
LEFT: list[str] = []


def pytest_configure() -> None:
    opened = aiosqlite.Connection.__init__

    def opening(self: Any, *arguments: Any, **options: Any) -> None:
        opened(self, *arguments, **options)
        self._opened_in = os.environ.get("PYTEST_CURRENT_TEST", "no test")
        OPENED.add(self)

    def forgotten(self: Any) -> None:
        """Instead of a warning in whatever test the collector comes by. No future here: its loop may have closed."""
        if last := getattr(self, "_connection", None):
            LEFT.append(self._opened_in)
            self._tx.put_nowait((None, lambda: last.close() or aiosqlite.core._STOP_RUNNING_SENTINEL))

    aiosqlite.Connection.__init__ = opening  # type: ignore[method-assign]
    aiosqlite.Connection.__del__ = forgotten  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    gc.collect()
    LEFT.extend(str(one._opened_in) for one in OPENED if one._connection is not None)  # type: ignore[attr-defined]
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["left"] = LEFT  # a worker tells the first process
    elif LEFT and not session.exitstatus and os.environ.get("LEFT_OPEN") == "fail":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    LEFT.extend((getattr(node, "workeroutput", None) or {}).get("left", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for test in sorted(LEFT):
        terminalreporter.write_line(f"a connection to SQLite was left open by {test}", red=True)
