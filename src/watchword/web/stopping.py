"""Whether the server is about to stop. First it is taken out of the balancer, by `/readyz`; then it accepts nothing more.

uvicorn tells no application of a stop, so it is asked: its handler of SIGTERM is its own method. Another server is not known
here; there a wait ends with its time, and nothing is drained.
"""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

logger: logging.Logger = logging.getLogger("watchword.stop")

Handler = Callable[[int, Any], Any]


def stopping() -> bool:
    """Whether uvicorn was told to stop: whoever waits for news would hold it up, for it waits for every answer first."""
    return bool(getattr(_behind_sigterm(), "should_exit", False))


def draining() -> bool:
    """Whether nobody should be sent here any more, though whoever comes is served."""
    heard = _behind_sigterm()
    return bool(getattr(heard, "begun", False) or getattr(heard, "should_exit", False))


@contextlib.contextmanager
def drained(seconds: float) -> Iterator[None]:
    """While the block lasts, uvicorn hears of a SIGTERM so many seconds later, and of a second one at once.

    Called on the server's event loop. Under another server, or off the main thread, it does nothing.
    """
    handler: Any = signal.getsignal(signal.SIGTERM)
    known = hasattr(getattr(handler, "__self__", None), "should_exit")
    if not seconds or not known or threading.current_thread() is not threading.main_thread():
        yield
        return
    drain = Drain(handler, seconds, asyncio.get_running_loop())
    signal.signal(signal.SIGTERM, drain.heard)
    try:
        yield
    finally:
        drain.end()
        if signal.getsignal(signal.SIGTERM) == drain.heard:
            signal.signal(signal.SIGTERM, handler)


class Drain:
    """Stands before uvicorn's handler of SIGTERM. SIGINT is uvicorn's alone, so Ctrl-C waits for no balancer."""

    def __init__(self, handler: Handler, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.begun: bool = False
        self._handler = handler
        self._seconds = seconds
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    @property
    def should_exit(self) -> bool:
        """Whether uvicorn itself was told."""
        return bool(getattr(self._handler, "__self__").should_exit)  # noqa: B009 - any callable, as the type says

    def heard(self, number: int, frame: Any) -> None:
        """The signal's handler: nothing here waits or writes, for it stands in the middle of something else."""
        if self.begun:
            self._handler(number, frame)
        else:
            self.begun = True
            self._loop.call_soon_threadsafe(self._begin, number)

    def end(self) -> None:
        """Forget the time that is left."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, number: int) -> None:
        logger.info("draining: /readyz answers 503; in %g seconds nothing is accepted any more", self._seconds)
        self._timer = self._loop.call_later(self._seconds, self._handler, number, None)


def _behind_sigterm() -> object:
    return getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
