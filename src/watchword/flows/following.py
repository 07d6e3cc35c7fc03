"""A thread that follows an issuer, whatever event loops the requests are served on."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from watchword.core.clock import Entropy
from watchword.core.errors import Unavailable
from watchword.ports import Issuer

logger: logging.Logger = logging.getLogger("watchword.issuer")

FIRST_BACK_OFF, LAST_BACK_OFF = 0.25, 15.0
"""Seconds between attempts while the issuer can't be reached: twice as many each time, less some by chance."""

STOP_SECONDS = 5.0
FIRST_SECONDS = 10.0
"""How long the first request, or a start, waits for the first answers."""

WAIT_SECONDS = 0.01

Step = Callable[[], Awaitable[None]]
"""One turn of following: it waits for its time and fetches. Raises Unavailable."""


class Follower:
    """Takes each of the steps again and again. A failure is logged once, and tried again later and later."""

    def __init__(self, issuer: Issuer, entropy: Entropy, *steps: Step) -> None:
        self._issuer = issuer
        self._entropy = entropy
        self._steps = steps
        self._guard = threading.Lock()
        self._life: _Life | None = None

    @property
    def settled(self) -> bool:
        """Whether the thread is there, and has tried each step."""
        life = self._life
        return life is not None and not life.ended.is_set() and len(life.tried) == len(self._steps)

    async def start(self) -> None:
        """Start the thread once, and wait until each step was tried once; not for ever, for the issuer may be down."""
        with self._guard:
            if self._life is None or self._life.ended.is_set():
                self._life = _Life()
                work = _follow(self._life, self._issuer, self._entropy, self._steps)
                threading.Thread(target=_run, args=(self._life, work), name="watchword-issuer", daemon=True).start()
            life = self._life
        for _ in range(int(FIRST_SECONDS / WAIT_SECONDS)):
            if self.settled or life.ended.is_set():
                return
            await asyncio.sleep(WAIT_SECONDS)

    async def stop(self) -> None:
        """End the thread, and wait for it."""
        life = self._life
        self.end()
        if life is not None:
            await asyncio.to_thread(life.ended.wait, STOP_SECONDS)

    def end(self) -> None:
        """Let the thread end, without waiting for it."""
        with self._guard:
            life, self._life = self._life, None
        if life is not None:
            life.end()

    async def elsewhere(self, work: Coroutine[Any, Any, bool]) -> bool:
        """Run this on the thread's event loop; False when there is none, or it ends meanwhile."""
        life = self._life
        try:
            if life is None or life.loop is None:
                raise RuntimeError("there is no thread")
            running = asyncio.run_coroutine_threadsafe(work, life.loop)
        except RuntimeError:
            work.close()
            return False
        try:
            return await asyncio.wait_for(asyncio.wrap_future(running), FIRST_SECONDS)
        except TimeoutError:
            return False


class _Life:
    """What a thread and its Follower know of each other."""

    def __init__(self) -> None:
        self.tried: set[Step] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ended = threading.Event()
        self.over = asyncio.Event()
        self._ends = False
        self._guard = threading.Lock()

    def begin(self) -> None:
        """Called on the thread's event loop."""
        with self._guard:
            self.loop = asyncio.get_running_loop()
            if self._ends:
                self.over.set()

    def end(self) -> None:
        """From any thread."""
        with self._guard:
            self._ends = True
            if self.loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop has closed by itself
                    self.loop.call_soon_threadsafe(self.over.set)


def _run(life: _Life, work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    finally:
        life.ended.set()


async def _follow(life: _Life, issuer: Issuer, entropy: Entropy, steps: tuple[Step, ...]) -> None:
    life.begin()
    await issuer.start()
    working = [asyncio.create_task(_repeat(life, step, entropy)) for step in steps]
    try:
        await life.over.wait()
    finally:
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        await issuer.stop()


async def _repeat(life: _Life, step: Step, entropy: Entropy) -> None:
    failures, told = 0, ""
    while True:
        try:
            await step()
            if failures:
                logger.warning("the issuer is back")
            failures, told = 0, ""
        except Exception as error:
            failures += 1
            told = _tell(error, told)
        life.tried.add(step)
        if failures:
            await asyncio.sleep(_back_off(failures, entropy))


def _tell(error: Exception, told: str) -> str:
    """Log what went wrong, unless that was the last thing said."""
    if not isinstance(error, Unavailable):
        logger.exception("following the issuer failed")
        return ""
    if error.because != told:
        logger.warning("%s; tried again until it works", error.because)
    return error.because


def _back_off(failures: int, entropy: Entropy) -> float:
    """Between half and all of the time, so that a thousand services don't come back at one moment."""
    longest: float = min(FIRST_BACK_OFF * 2 ** min(failures - 1, 10), LAST_BACK_OFF)
    return longest * (0.5 + entropy(1)[0] / 512)
