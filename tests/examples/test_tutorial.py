"""examples/tutorial as its README says: the command that starts it, the curl journey, the block that keeps `JWTManager`."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.examples.example import environment
from tests.live import DEADLINE, free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "tutorial"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
PASSWORD = "correct horse battery staple"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Running:
    url: str
    folder: Path
    log: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The README's command, in a copy of the folder, on a free port."""
    command = blocks("sh")[0].splitlines()[-1]
    assert command == "uvicorn main:app --reload"
    folder = tmp_path_factory.mktemp("example") / "tutorial"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    log, port = folder.parent / "log", free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command.split(), "--port", str(port)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(f"http://localhost:{port}/openapi.json", server, log)
        yield Running(f"http://localhost:{port}", folder, log)
        server.send_signal(signal.SIGINT)  # Ctrl-C, as a person stops it
        assert server.wait(timeout=30) in (0, -signal.SIGINT), log.read_text()
        assert "Application shutdown complete" in log.read_text()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "something still listens"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up and server.poll() is None:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(url).status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError(f"the example did not come up:\n{log.read_text()}")


def test_register_login_items_and_401_without_a_token(running: Running) -> None:
    with httpx2.Client(base_url=running.url) as client:
        account = {"email": "grace@example.com", "password": PASSWORD}
        assert client.post("/register", json=account).status_code == 202
        login = client.post("/login", data={"username": "grace@example.com", "password": PASSWORD})
        assert login.status_code == 200
        bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
        items = client.get("/items/", headers=bearer)
        assert items.status_code == 200
        user_id = client.get("/me", headers=bearer).json()["user_id"]
        assert items.json() == {"user_id": user_id, "items": ["Foo", "Bar", "Baz"]}
        assert client.get("/items/").status_code == 401
        assert client.post("/login").status_code == 400
        wrong = client.post("/login", data={"username": "grace@example.com", "password": "not the password"})
        assert wrong.status_code == 400


def test_the_curl_journey_of_the_readme(running: Running) -> None:
    script = blocks("sh")[1].replace("http://localhost:8000", running.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    registered, items, without, again, logged_out, dead = done.stdout.splitlines()
    assert registered.startswith('{"detail":')
    assert re.fullmatch(r'\{"user_id":"[\w-]+","items":\["Foo","Bar","Baz"\]\}', items)
    assert (without, again, logged_out, dead) == ("401", items, "204", "401")


def test_it_keeps_its_things_beside_the_file_and_out_of_git(running: Running) -> None:
    kept = {path.name for path in (running.folder / ".watchword").iterdir()}
    assert {"watchword.db", "master.key", ".gitignore"} <= kept
    assert (running.folder / ".watchword" / "master.key").stat().st_mode & 0o077 == 0


def test_what_it_writes_does_not_make_it_start_again(running: Running) -> None:
    """`--reload` watches the folder that the database is in."""
    assert running.log.read_text().count("Application startup complete") == 1


def test_the_docs_know_how_to_sign_in(running: Running) -> None:
    openapi = httpx2.get(f"{running.url}/openapi.json").json()
    assert "security" in openapi["paths"]["/items/"]["get"]
    (scheme,) = openapi["components"]["securitySchemes"].values()
    assert scheme["flows"]["password"]["tokenUrl"] == "/login"


def test_the_block_that_keeps_the_class_runs(tmp_path: Path) -> None:
    (block,) = blocks("python")
    secret = "qZ3vT8mLw0RkYb5XnEoHc7JdUf2PsGa9"
    for value, ends in ((secret, 0), ("your-secret-key", 1)):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", f"{block}\nassert user_id == 'ada'"],
            cwd=tmp_path,
            env={**environment(), "SECRET_KEY": value},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == ends, done.stderr
        assert ("publicly known" in done.stderr) == bool(ends)


def test_the_example_is_short() -> None:
    """The tutorial's own two files have some fifty lines of code."""
    code = [line for line in (EXAMPLE / "main.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 14
