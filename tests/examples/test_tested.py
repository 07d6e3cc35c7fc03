"""examples/tested as its README says: the command that starts it, the command that runs its tests, the table of them."""

import contextlib
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx2
import pytest
from tests.examples.example import environment
from tests.live import DEADLINE, free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "tested"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
TESTS = (EXAMPLE / "tests" / "test_notes.py").read_text(encoding="utf-8")
COMMANDS = [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)]
PASSWORD = "correct horse battery staple"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example."""
    copy = tmp_path / "tested"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    return copy


def test_its_tests_pass_by_the_command_of_the_readme_and_leave_nothing(folder: Path) -> None:
    (command,) = COMMANDS[1]
    assert command == "pytest"
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    done = subprocess.run(
        [command, "-W", "error", "--strict-config", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TESTS.count('def test_')} passed" in done.stdout
    assert {path.relative_to(folder) for path in folder.rglob("*")} == before


def test_it_runs_by_the_command_of_the_readme(folder: Path) -> None:
    install, command = COMMANDS[0]
    assert install == "pip install '../..[server]' pytest"
    assert command == "uvicorn main:app --reload"
    port, log = free_port(), folder.parent / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(  # without --reload, which would start a second process to stop
            [*command.split()[:2], "--port", str(port)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _use(f"http://localhost:{port}", server, log)
    finally:
        server.terminate()
        server.wait(timeout=30)


def _use(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up and server.poll() is None:
        with contextlib.suppress(httpx2.TransportError), httpx2.Client(base_url=url) as client:
            account = {"email": "grace@example.com", "password": PASSWORD}
            assert client.post("/register", json=account).status_code == 202
            login = client.post("/login", data={"username": "grace@example.com", "password": PASSWORD})
            bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
            assert client.get("/notes", headers=bearer).json() == []
            assert client.post("/notes", headers=bearer, json={"text": "Hello"}).status_code == 403
            return
        time.sleep(0.02)
    raise AssertionError(f"the example did not come up:\n{log.read_text()}")


def test_the_readme_names_each_test_and_the_one_line(folder: Path) -> None:
    assert re.findall(r"^\| `(test_\w+)`", README, re.MULTILINE) == re.findall(r"^def (test_\w+)", TESTS, re.MULTILINE)
    (configuration,) = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert configuration == (EXAMPLE / "pyproject.toml").read_text()
    assert not list(EXAMPLE.rglob("conftest.py"))
