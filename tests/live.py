"""A real `watchword serve` for tests that speak to it from outside."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

DEADLINE = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[str]:
    """The base URL of a server that keeps its things in `folder`; it is stopped at the end."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    log = folder / "serve.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "watchword", "serve", "--port", str(port), *arguments],
            cwd=folder,
            env={**kept, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(f"http://localhost:{port}/readyz", server, log)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server answers this with 200. Raises AssertionError with what it printed."""
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up and server.poll() is None:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(url).status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError(f"the server did not come up:\n{log.read_text()}")
