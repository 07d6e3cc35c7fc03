"""Open WebSockets that stand on a token: each is closed with 4401 when its session ends, its scopes change, or at `exp`."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from starlette.types import Message, Receive, Send

from watchword.core.errors import AuthError
from watchword.core.models import Revoked
from watchword.core.tokens import Access
from watchword.flows import authenticate
from watchword.flows.kit import Checking

if TYPE_CHECKING:
    from watchword.ports import Change

logger: logging.Logger = logging.getLogger("watchword.sockets")

LINE = "watchword.line"
"""Where a WebSocket's line stands in the ASGI scope."""

CLOSE_CODE = 4401
REASON = "the token is not good any more"
TICK_SECONDS = 0.1
ASK_EVERY = 2
"""While the feed is silent, every second tick asks the database about each open socket."""


class Line:
    """One WebSocket's way in and out, which a guard can cut.

    Cutting it looks to the application like a client that hung up: its `receive` gets the disconnect, its `send` fails as
    on a closed connection.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.access: Access | None = None
        self.subprotocol: str | None = None
        self.watched: Callable[[], None] | None = None
        self._receive = receive
        self._send = send
        self._next: asyncio.Future[Message] | None = None
        self._cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._met = False
        self._closed = False

    async def receive(self) -> Message:
        """The application's `receive`: the next message, or the disconnect as soon as the line is cut.

        A `receive` that the application cancels (a timeout, say) loses nothing: the next one gets the message.
        """
        if self.access is None or not self._met:
            self._met = True  # "websocket.connect" is always there, and awaited before anything else
            return await self._receive()
        if self._next is None:
            self._next = asyncio.ensure_future(self._receive())
        either: set[asyncio.Future[Any]] = {self._next, self._cut}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._cut.done():
            return {"type": "websocket.disconnect", "code": CLOSE_CODE, "reason": REASON}
        message, self._next = self._next, None
        return message.result()

    async def send(self, message: Message) -> None:
        """The application's `send`: a browser that offered `bearer` gets it back, or it would hang up (RFC 6455 4.2.2)."""
        if self._cut.done():
            if message["type"] == "websocket.accept":
                return  # the handshake was refused meanwhile; the first `receive` tells
            raise OSError(f"the line was cut: {REASON}")
        if message["type"] == "websocket.accept" and self.subprotocol and not message.get("subprotocol"):
            message = {**message, "subprotocol": self.subprotocol}
        if message["type"] == "websocket.close":
            self._closed = True
        await self._send(message)

    def done(self) -> None:
        """The application has returned."""
        if self.watched is not None:
            self.watched()
        if self._next is not None:
            self._next.cancel()  # and where it has failed already: nobody asks any more, so nobody is told

    async def cut(self) -> None:
        """Close with 4401, once."""
        if self._cut.done() or self._closed:
            return
        self._cut.set_result(None)
        with contextlib.suppress(Exception):  # the client may have gone first
            await self._send({"type": "websocket.close", "code": CLOSE_CODE, "reason": REASON})


class Lines:
    """All guarded lines of one event loop, watched by one task that lives as long as there are any."""

    def __init__(self, kit: Checking) -> None:
        self._kit = kit
        self._lines: set[Line] = set()
        self._news: set[str | None] = set()
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._cutting: set[asyncio.Task[None]] = set()

    def add(self, line: Line, session_id: str) -> None:
        """Watch a line until it is removed; it is looked at once now, whatever happened before the task listens."""
        self._lines.add(line)
        self._wake(session_id)
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._watch())

    def remove(self, line: Line) -> None:
        """The application is done with it."""
        self._lines.discard(line)
        if not self._lines and self._task is not None:
            self._task.cancel()
            self._task = None  # it ends later; whoever comes before that starts another

    async def _watch(self) -> None:
        stop = self._kit.revocations.watch(self._on_change)
        ticks = 0
        try:
            while self._lines:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), TICK_SECONDS)
                self._woken.clear()
                ticks += 1
                for line, access in self._due(asking=ticks % ASK_EVERY == 0):
                    await self._check(line, access)
        finally:
            stop()

    def _due(self, *, asking: bool) -> list[tuple[Line, Access]]:
        """The lines to look at: those with news, those past `exp`; all when the keys changed, and now and then all while
        the feed is silent."""
        news, self._news = self._news, set()
        watched = [(line, line.access) for line in self._lines if line.access]
        if None in news or (asking and not self._kit.revocations.fresh()):
            return watched
        now = self._kit.clock.timestamp()
        return [
            (line, access)
            for line, access in watched
            if access.principal.session_id in news or access.expires_at <= now or not news.isdisjoint(access.also)
        ]

    async def _check(self, line: Line, access: Access) -> None:
        try:
            if self._kit.keyring.stale:
                await self._kit.keyring.reload()
            line.access = await authenticate.still_good(self._kit, access)
        except Exception as error:
            if not isinstance(error, AuthError):
                logger.exception("an open socket can't be checked, so it is closed")
            self._lines.discard(line)
            cutting = self._loop.create_task(line.cut())  # a client that does not answer must not hold up the others
            self._cutting.add(cutting)
            cutting.add_done_callback(self._cutting.discard)

    def _on_change(self, change: "Change") -> None:
        """From any thread: note the session (None where the keys changed) and wake the task."""
        session_id = change.session_id if isinstance(change, Revoked) else None
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._wake, session_id)

    def _wake(self, session_id: str | None) -> None:
        self._news.add(session_id)
        self._woken.set()


class Switchboard:
    """The lines of each event loop."""

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Lines] = WeakKeyDictionary()

    def watch(self, line: Line, access: Access, kit: Checking) -> Callable[[], None]:
        """Cut the line when the access ends; call the result when the application is done with it."""
        loop = asyncio.get_running_loop()
        lines = self._by_loop.get(loop)
        if lines is None or lines._kit is not kit:
            lines = self._by_loop[loop] = Lines(kit)
        line.access = access
        lines.add(line, access.principal.session_id)
        return lambda: lines.remove(line)
