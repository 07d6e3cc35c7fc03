"""Real worker processes of a small protected application, each on a port of its own, so that a test can choose one."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.live import DEADLINE, free_port

ISSUER = "http://localhost:8000"
ROOT = Path(__file__).parents[1]


@dataclass
class Worker:
    """One process: `url` is its own, `log` what it printed, `socket` where it listens if that is no port."""

    url: str
    log: Path
    process: "subprocess.Popen[bytes]"
    socket: Path | None = None

    @property
    def uds(self) -> str | None:
        """The socket as HTTP clients call it."""
        return None if self.socket is None else str(self.socket)

    def stop(self) -> None:
        """End it, by force if it does not go."""
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            if self.process.stdin is not None:
                self.process.stdin.close()


def settings(database_url: str, folder: Path) -> dict[str, str]:
    """The environment that makes processes workers of one deployment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "WATCHWORD_ISSUER": ISSUER,
        "WATCHWORD_DATABASE_URL": database_url,
        "WATCHWORD_DATA_DIR": str(folder / ".watchword"),
    }


def start(
    environment: dict[str, str], folder: Path, port: int | None = None, module: str = "tests.fleet_worker"
) -> Worker:
    """Start one worker (`tests.served` is `watchword serve`); it is not waited for. It ends when this process does."""
    port = port or free_port()
    log = folder / f"worker-{port}.log"
    return Worker(f"http://localhost:{port}", log, _started([], module, str(port), environment, folder, log))


def start_apart(apart: list[str], place: Path, environment: dict[str, str], folder: Path) -> Worker:
    """Start one worker that listens at a Unix socket; `apart` stands before its command and takes it elsewhere."""
    log = folder / f"{place.name}.log"
    process = _started(apart, "tests.fleet_worker", str(place), environment, folder, log)
    return Worker("http://localhost", log, process, place)


def _started(
    before: list[str], module: str, place: str, environment: dict[str, str], folder: Path, log: Path
) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            [*before, sys.executable, "-m", module, place],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@contextlib.contextmanager
def running(count: int, database_url: str, folder: Path) -> Iterator[list[Worker]]:
    """`count` workers on one database, ready; stopped at the end."""
    environment = settings(database_url, folder)
    started = [start(environment, folder) for _ in range(count)]
    try:
        for worker in started:
            ready(worker)
        yield started
    finally:
        for worker in started:
            worker.stop()


def ready(worker: Worker) -> None:
    """Wait until a worker answers /readyz. Raises AssertionError with what it printed."""
    give_up = time.monotonic() + DEADLINE
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=worker.uds)) as client:
        while time.monotonic() < give_up and worker.process.poll() is None:
            with contextlib.suppress(httpx2.TransportError):
                if _listens(worker) and client.get(f"{worker.url}/readyz").status_code == 200:
                    return
            time.sleep(0.02)
    raise AssertionError(f"the worker did not come up:\n{worker.log.read_text()}")


def _listens(worker: Worker) -> bool:
    """Whether its Unix socket takes connections: httpx2 leaves one open that was refused. A port may be asked at any time."""
    if worker.socket is None:
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(worker.socket)) == 0
