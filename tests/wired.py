"""An application that is read as `watchword serve` reads, and raw bytes for it."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from tests.house import PATIENCE

from watchword.server import wire

CLOSING = b"Host: localhost\r\nConnection: close\r\n"
GOOD = b"GET /healthz HTTP/1.1\r\n" + CLOSING + b"\r\n"


@contextlib.contextmanager
def wired(app: ASGIApp) -> Iterator[int]:
    """The port of an application that is read as `watchword serve` reads."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        server = uvicorn.Server(uvicorn.Config(app, **wire.options()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the stop does not end"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def heard(connection: socket.socket) -> bytes:
    """All that comes until the server hangs up; what a reset cuts off is lost."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            said += part
    return said


def said(port: int, *parts: bytes) -> bytes:
    """All that the server says to these bytes until it hangs up."""
    with connect(port) as connection:
        for part in parts:
            connection.sendall(part)
        return heard(connection)
