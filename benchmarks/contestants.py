"""Who takes part in the benchmarks: with which Python each runs, how it is served over HTTP, and how one logs in there."""

import contextlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.people import EMAILS, PASSWORD
from tests.live import free_port, wait

ROOT = Path(__file__).resolve().parent.parent
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True)
class Contestant:
    """One application. `url` in its environment says on which database; a peer without a database ignores it."""

    name: str
    target: str
    """What uvicorn is given: `module:app`, or `module:factory` for ours."""

    python: Path
    login_path: str = "/login"
    json_login: bool = False

    @property
    def ours(self) -> bool:
        return self.python != PEERS_PYTHON

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    def credentials(self, email: str = EMAILS[0]) -> dict[str, dict[str, str]]:
        """What a client's `post(login_path, …)` takes beside the path."""
        if self.json_login:
            return {"json": {"email": email, "password": PASSWORD}}
        return {"data": {"username": email, "password": PASSWORD}}

    def environment(self, url: str, people: int = 1) -> dict[str, str]:
        """The environment of its process: nothing of ours comes in from outside."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "FULLAUTH_"))}
        here = {"PYTHONPATH": str(ROOT), "BENCHMARK_PEOPLE": str(people)}
        return {**kept, **here, ("WATCHWORD_DATABASE_URL" if self.ours else "BENCHMARK_DATABASE_URL"): url}

    def command(self, port: int) -> list[str]:
        """How it is served, by one worker."""
        factory = ["--factory"] if self.ours else []
        quiet = ["--log-level", "warning", "--no-access-log"]
        return [str(self.python), "-m", "uvicorn", *factory, self.target, "--port", str(port), *quiet]

    @contextlib.contextmanager
    def serving(self, folder: Path, url: str, people: int = 1, **more: str) -> Iterator["Serving"]:
        """Serve it on an empty database until the end of the block. `more` are variables of its environment."""
        port = free_port()
        log = folder / f"{self.name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(port),
                cwd=folder,
                env={**self.environment(url, people), **more},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait(f"http://localhost:{port}/openapi.json", process, log)
            yield Serving(f"http://localhost:{port}", process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Serving:
    """A running contestant."""

    url: str
    pid: int


OURS = Contestant("Watchword", "benchmarks.ours:dependency", Path(sys.executable))
PROTECTED = Contestant("Watchword, deny by default", "benchmarks.ours:protected", Path(sys.executable))
TUTORIAL = Contestant("FastAPI's tutorial", "benchmarks.peers.tutorial:app", PEERS_PYTHON)
AUTHX = Contestant("AuthX", "benchmarks.peers.authx:app", PEERS_PYTHON)
FULLAUTH = Contestant(
    "fastapi-fullauth", "benchmarks.peers.fullauth:app", PEERS_PYTHON, "/api/v1/auth/login", json_login=True
)
FASTAPI_USERS = Contestant("fastapi-users", "benchmarks.peers.fastapi_users:app", PEERS_PYTHON)
PEERS = (TUTORIAL, AUTHX, FULLAUTH, FASTAPI_USERS)


def versions() -> dict[str, str]:
    """Which versions are compared, as the locks say."""
    locked = {}
    for line in (ROOT / "benchmarks" / "peers.lock").read_text().splitlines():
        name, _, version = line.partition(" ")[0].partition("==")
        if name in {"fastapi", "fastapi-users", "authx", "fastapi-fullauth", "pyjwt"}:
            locked[name] = version
    return {"watchword": importlib.metadata.version("watchword"), **locked}
