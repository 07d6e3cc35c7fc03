"""What an application does when something has happened: handlers of events, run after the commit and beside the request."""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary

from watchword.core.errors import ConfigError
from watchword.core.events import Event

logger: logging.Logger = logging.getLogger("watchword.handlers")

MAX_WAITING = 10_000
"""Events that may wait for one handler; what comes on top is logged as lost, and memory stays bounded."""

DRAIN_SECONDS = 10.0
"""How long a stop waits for handlers that are still at work."""

Handler = Callable[[Any], Awaitable[object] | object]


class Handlers:
    """The handlers of one house. Each gets its events one after another, in the order of their commits."""

    def __init__(self) -> None:
        self._posts: list[_Post] = []

    def add(self, kind: Any, handler: Any) -> None:
        """Call `handler` with every event of this kind, its subclasses included.

        Raises ConfigError for what is neither, since at an event it would fail somebody's login.
        """
        given: tuple[Any, Any] = (kind, handler)  # whatever the types promise
        if not (isinstance(given[0], type) and issubclass(given[0], Event) and callable(given[1])):
            raise ConfigError("auth.on takes a class of watchword.events and what to call: auth.on(LoggedIn, handler).")
        self._posts.append(_Post(kind, handler))

    def tell(self, event: Event) -> None:
        """Put the event into the posts of those who want it. Returns at once; nothing that a handler does comes back."""
        for post in self._posts:
            if isinstance(event, post.kind):
                post.put(event)

    async def drain(self) -> None:
        """Wait until the handlers of this event loop have had all that was told, or for DRAIN_SECONDS."""
        loop = asyncio.get_running_loop()
        tasks = [task for post in self._posts if (task := post.working_on(loop)) is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            if late:
                logger.error("%d event handlers were still at work at the stop", len(late))


class _Post:
    """One handler's events. A loop has a queue of its own, emptied by one task that lives while there are any."""

    def __init__(self, kind: type[Event], handler: Handler) -> None:
        self.kind = kind
        self._handler = handler
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Event]] = WeakKeyDictionary()
        self._tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()

    def put(self, event: Event) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(loop, deque())
        if len(waiting) >= MAX_WAITING:
            logger.error("a handler is too slow: %s was lost to it", type(event).__name__)
            return
        waiting.append(event)
        task = self._tasks.get(loop)
        if task is None or task.done():
            # not in the context of the request that came first: the next event is somebody else's
            self._tasks[loop] = loop.create_task(self._deliver(waiting), context=Context())

    def working_on(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Task[None] | None":
        task = self._tasks.get(loop)
        return None if task is None or task.done() else task

    async def _deliver(self, waiting: deque[Event]) -> None:
        while waiting:
            event = waiting.popleft()
            try:
                await self._call(event)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                logger.error("a handler of %s was cancelled from within", type(event).__name__)
            except Exception:
                logger.exception("a handler of %s failed", type(event).__name__)

    async def _call(self, event: Event) -> None:
        """An `async` handler runs here; another one in a thread, so that what it waits for stops nobody."""
        if inspect.iscoroutinefunction(self._handler) or inspect.iscoroutinefunction(type(self._handler).__call__):
            await self._handler(event)  # type: ignore[misc]
            return
        returned = await asyncio.to_thread(self._run, event)
        if inspect.isawaitable(returned):
            await returned

    def _run(self, event: Event) -> object:
        """The handler in a thread. A future takes no StopIteration: whoever awaits it would wait for ever."""
        try:
            return self._handler(event)
        except StopIteration as error:
            raise RuntimeError("the handler raised StopIteration") from error
