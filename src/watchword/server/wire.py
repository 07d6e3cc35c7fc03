"""How `watchword serve` reads from the network: what a client may send, and how long it may take, before anybody asks ours.

uvicorn bounds neither: one header may be as long as memory is, and a client that sends nothing, or a letter a minute, or never
reads its answers, keeps its connection for ever (CWE-400, CWE-770). And httptools makes headers of trailers (RFC 9110 6.5.1).
"""

import asyncio
import logging
import re
from collections import deque
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from watchword.web.stopping import draining

logger: logging.Logger = logging.getLogger("watchword.wire")

MAX_HEAD = 32 * 1024
"""Bytes of a request line and its headers: a token of 8 KB, and what browsers and proxies add, several times over."""

MAX_FIELDS = 100
"""Headers of one request."""

HEAD_SECONDS = 5.0
"""From the connection, or from the first letter of the next request, to the end of the headers."""

BODY_SECONDS = 10.0
"""From the end of the headers to the end of the body. The longest body of ours has 64 KB."""

MAX_WAITING = 8
"""Requests of one connection that wait while another of it is answered (pipelining, RFC 9112 9.3.2)."""

WRITE_SECONDS = 30.0
"""From the first byte that the client does not take to when it has taken all that was written."""

STOP_SECONDS = 30
"""Whole seconds from a stop to its end, whatever is still being answered."""

MAX_CONNECTIONS = 1000
SPARE_FILES = 100
"""Open files that are kept for the database, its log, and what else a process needs."""

ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")

REFUSALS = {
    400: (b"Bad Request", b"The request can't be read.\n"),
    408: (b"Request Timeout", b"The request took too long to come.\n"),
    431: (b"Request Header Fields Too Large", b"The headers are too large, or too many.\n"),
    503: (b"Service Unavailable", b"Too many connections are open. Please try again shortly.\n"),
}


def options() -> dict[str, Any]:
    """How uvicorn is run. There are no WebSockets here, and so no way around these bounds."""
    return {
        "http": f"{__name__}:{Bounded.__name__}",
        "ws": "none",
        "proxy_headers": False,
        "server_header": False,
        "log_config": None,
        "access_log": False,
        "timeout_graceful_shutdown": STOP_SECONDS,
    }


def room() -> int:
    """How many connections may be open: as many as the process may open files for, less those that it needs itself."""
    try:
        import resource  # noqa: PLC0415 - Unix has it
    except ImportError:
        return MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, soft - SPARE_FILES))


class Bounded(HttpToolsProtocol):
    """One connection, read within bounds. What goes beyond them is answered here, and the connection closed."""

    _seen = _going_on = _fields = 0
    _in_head = _in_body = _deaf = False
    _fault = 400, "the request can't be read"
    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _owed: deque[Any]
    """What is answered, and behind it what waits for that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there; the first request has to come soon, unless too many others are there already."""
        super().connection_made(transport)
        self._owed = deque()
        transport.set_write_buffer_limits(high=0)  # writing is paused while anything is not taken, however little
        if len(self.connections) > room():
            self._refuse(503, "too many connections are open")
        else:
            self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more. uvicorn tells so to the last request alone, and the one before would fail at writing."""
        self._wait(None)
        for cycle in self._owed:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not take what it asked for; it has to soon."""
        super().pause_writing()
        self._write_deadline = self.loop.call_later(WRITE_SECONDS, self._not_taken)

    def resume_writing(self) -> None:
        """It has taken all, or is gone."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def shutdown(self) -> None:
        """The server stops. A request that is coming is still answered; whoever is here a moment before uvicorn cancels what
        is at work is let go."""
        if not self._in_head:
            super().shutdown()
        self.loop.call_later(STOP_SECONDS * 0.9, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Some more bytes. A header or trailer is handed on when it is whole, so one that goes on and on is counted here."""
        if self.transport.is_closing() or self._deaf:
            return
        self._going_on += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if (self._in_head or self._in_body) and self._seen + self._going_on > MAX_HEAD:
            self._refuse(431, "the headers are over the bound")
        elif self._deadline is None and not self._in_body and not self._owed:
            self._wait(HEAD_SECONDS)  # empty lines before a request buy no time

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - these are our own words
        """What can't be read, or is refused while it is read."""
        self._refuse(*self._fault)

    def on_message_begin(self) -> None:
        """The first letter of a request."""
        super().on_message_begin()
        self._in_head = True
        self._seen = self._going_on = self._fields = 0
        if self._deadline is None:
            self._wait(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header; or a trailer, which is counted, and never becomes a header. RFC 9110 6.5.1."""
        if self._in_head:
            super().on_header(name, value)
        self._fields += 1
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """The application begins; the body has to come soon."""
        self._refuse_ambiguous()
        super().on_headers_complete()
        if draining():  # the next request of this client is somebody else's. RFC 9112 9.6
            self.cycle.keep_alive = False
        if self.parser.should_upgrade():  # the parser takes nothing more, and drops what it was given: nobody may go on
            self.cycle.keep_alive = False
            self._deaf = True
        self._in_head, self._in_body = False, True
        self._wait(BODY_SECONDS)
        self._owed.append(self.cycle)
        if len(self._owed) > 1 + MAX_WAITING:
            self._stop_reading(400, "too many requests are waiting")

    def on_body(self, body: bytes) -> None:
        """A piece of the body, which is bounded by the application."""
        self._going_on = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of the request is there; the answer may take its time."""
        self._in_body = False
        self._wait(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """One request is answered; the next one's turn."""
        self._owed.popleft()
        super().on_response_complete()
        if self._deadline is not None and not self.flow.read_paused:  # what waited unread could not come
            self._wait(HEAD_SECONDS if self._in_head else BODY_SECONDS)

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not offered is no fault: the request is answered as it is. RFC 9110 7.8."""

    def _refuse_ambiguous(self) -> None:
        """Raise for what another server in front may have understood otherwise: a target that names another host than `Host`
        (RFC 9112 3.2.2), and a tunnel or an upgrade whose body the parser would drop."""
        upgrades = self.parser.should_upgrade()
        if self.url.startswith(b"/") and not upgrades:
            return  # as nearly every request
        headers = dict(self.headers)
        absolute = ABSOLUTE.match(self.url)
        if absolute and absolute[1].lower() != headers.get(b"host", b"").lower():
            self._stop_reading(400, "the target and Host name two hosts")
        if upgrades and (
            self.parser.get_method() == b"CONNECT"
            or headers.get(b"content-length", b"0") != b"0"
            or b"transfer-encoding" in headers
        ):
            self._stop_reading(400, "a tunnel, or an upgrade with a body")

    def _count(self, size: int) -> None:
        self._seen += size
        self._going_on = 0
        if self._seen > MAX_HEAD or self._fields > MAX_FIELDS:
            self._stop_reading(431, "the headers are over the bound")

    def _stop_reading(self, status: int, because: str) -> NoReturn:
        """Raises, and the reading then ends with `send_400_response`."""
        self._fault = status, because
        raise ValueError(because)

    def _wait(self, seconds: float | None) -> None:
        """Give the client so many seconds from now, or any number."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # it is we who keep the client waiting
            self._wait(HEAD_SECONDS)
            return
        self._refuse(408, "the request took too long to come")

    def _not_taken(self) -> None:
        self._write_deadline = None
        logger.info("hung up: what was answered is not taken")
        self.transport.abort()

    def _refuse(self, status: int, because: str) -> None:
        """Answer, unless this request has had an answer, or one to an earlier request is due, and hang up."""
        self._wait(None)
        if self.transport.is_closing():
            return
        logger.info("refused %d: %s", status, because)
        mine = self._in_body and len(self._owed) == 1 and not self._owed[0].response_started
        if mine or (not self._owed and not self._in_body):
            phrase, text = REFUSALS[status]
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
                b"x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n%b"
                % (status, phrase, len(text), text)
            )
        self.transport.close()
