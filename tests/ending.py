"""For processes that tests start: they end when their standard input does, and so with the tests, however those end."""

import os
import threading


def with_the_tests() -> None:
    """Called once, before anything else is done."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    while os.read(0, 1024):  # not sys.stdin, whose lock an interpreter needs to end
        pass
    os._exit(1)
