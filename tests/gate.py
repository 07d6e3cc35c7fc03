"""A gate before the threads that hash: a test holds them, looks at the house, and lets them go."""

import threading
from collections.abc import Callable
from typing import Any

from tests.house import PATIENCE


class Gate:
    """Holds every thread that hashes until it is opened, and counts who came."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        self._open = threading.Event()
        self.came: list[tuple[Any, ...]] = []
        self.busy = threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self.came.append(arguments)
        self.busy.set()
        assert self._open.wait(PATIENCE)
        return self._original(*arguments)

    def open(self) -> None:
        self._open.set()
