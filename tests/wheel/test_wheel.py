"""The wheel, installed where the repository is not: it holds what it needs and no more, and the quick start works."""

import contextlib
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.live import DEADLINE, free_port
from tests.wheel import fresh

pytestmark = pytest.mark.xdist_group("wheel")

PASSWORD = "correct horse battery staple"
NEVER = {
    ".venv/lib/secret.py": "secret = 1\n",
    ".watchword/master.key": "a secret\n",
    ".env": "WATCHWORD_MASTER_KEYS=a secret\n",
    "examples/tutorial/.watchword/master.key": "a secret\n",
    "examples/tutorial/.watchword/watchword.db": "a database\n",
    "examples/tutorial/.env": "WATCHWORD_MASTER_KEYS=a secret\n",
    "src/watchword/__pycache__/auth.cpython-311.pyc": "bytes\n",
    "src/watchword/.watchword/master.key": "a secret\n",
}
"""What lies about in a developer's tree and may not leave it."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, with things in it that are nobody's business."""
    tree = fresh.copy_of_the_repository(tmp_path_factory.mktemp("wheel") / "tree")
    for name, text in NEVER.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    """The wheel, built from the tree."""
    return fresh.build(tree, tree.parent / "wheel", "--wheel")


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    """The source distribution."""
    return fresh.build(tree, tree.parent / "sdist", "--sdist")


@pytest.fixture(scope="module")
def core(wheel: Path) -> fresh.Environment:
    """The wheel without extras."""
    installed = fresh.environment(wheel.parent / "core", wheel.parent / "core-folder")
    installed.install(wheel)
    return installed


@pytest.fixture(scope="module")
def full(wheel: Path) -> fresh.Environment:
    """The wheel with the server's extra."""
    installed = fresh.environment(wheel.parent / "full", wheel.parent / "full-folder")
    installed.install(wheel, "server")
    return installed


class TestWhatIsInside:
    def test_the_wheel_holds_the_package_and_nothing_else(self, wheel: Path) -> None:
        inside = {name for name in fresh.contents(wheel) if ".dist-info/" not in name}
        source = fresh.ROOT / "src"
        files = (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        assert inside == {str(path.relative_to(source)) for path in files}

    def test_types_migrations_and_licence_are_in_it(self, wheel: Path) -> None:
        inside = fresh.contents(wheel)
        assert "watchword/py.typed" in inside
        assert any(re.match(r"watchword/stores/sql/migrations/versions/0001_\w+\.py", name) for name in inside)
        assert any(name.endswith("/licenses/LICENSE") for name in inside)

    def test_the_source_distribution_leaks_nothing_of_the_developer_s(self, sdist: Path) -> None:
        with tarfile.open(sdist) as archive:
            inside = {name.partition("/")[2] for name in archive.getnames()}
        assert {"pyproject.toml", "README.md", "LICENSE", "src/watchword/auth.py"} <= inside
        assert inside.isdisjoint(NEVER)

    def test_a_wheel_built_from_the_source_distribution_is_the_same(
        self, wheel: Path, sdist: Path, tmp_path: Path
    ) -> None:
        with tarfile.open(sdist) as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
        (unpacked,) = (tmp_path / "unpacked").iterdir()
        assert fresh.contents(fresh.build(unpacked, tmp_path / "out", "--wheel")) == fresh.contents(wheel)

    def test_it_says_what_it_is(self, wheel: Path) -> None:
        told = fresh.metadata(wheel)
        assert (told["Name"], told["Requires-Python"], told["License-Expression"]) == ("watchword", ">=3.11", "MIT")
        assert {"server", "postgres"} <= set(told.get_all("Provides-Extra", []))
        assert "Authentication for FastAPI" in str(told.get_payload())


class TestWithoutExtras:
    def test_the_library_comes_from_the_environment_and_works(self, core: fresh.Environment) -> None:
        code = (
            "import sys, watchword; print(watchword.__file__); import fastapi; watchword.Settings();"
            "watchword.Auth().install(fastapi.FastAPI()); print({'typer', 'uvicorn', 'rich', 'httpx2'} & {*sys.modules})"
        )
        done = core.run(core.python, "-W", "error", "-c", code)
        assert done.returncode == 0, done.stderr
        where, extras = done.stdout.splitlines()
        assert Path(where).is_relative_to(core.home)
        assert extras == "set()"

    def test_a_house_opens_with_its_own_migrations(self, core: fresh.Environment) -> None:
        code = "import asyncio; from watchword import Auth; print(*asyncio.run(Auth().start()).describe())"
        done = core.run(core.python, "-W", "error", "-c", code)
        assert done.returncode == 0, done.stderr
        assert str(core.folder / ".watchword" / "watchword.db") in done.stdout

    @pytest.mark.parametrize("module", [False, True], ids=["watchword", "python -m watchword"])
    def test_the_command_says_what_it_needs(self, core: fresh.Environment, module: bool) -> None:
        command = [core.python, "-m", "watchword"] if module else [core.watchword]
        done = core.run(*command, "--help")
        assert done.returncode == 1
        assert re.fullmatch(
            r"The command line needs \w+: install Watchword with its extra \[server\]\n", done.stderr
        ), done.stderr


class TestTheQuickStart:
    def test_the_command_helps_and_migrates(self, full: fresh.Environment) -> None:
        helped = full.run(full.watchword, "--help")
        assert helped.returncode == 0, helped.stderr
        assert "migrate" in helped.stdout
        for expected in ("was brought from nothing to", "is at"):
            done = full.run(full.watchword, "migrate", WATCHWORD_DATA_DIR="migrated")
            assert done.returncode == 0, done.stderr
            assert expected in done.stdout

    def test_the_application_of_the_readme_signs_in_refreshes_and_signs_out(self, full: fresh.Environment) -> None:
        (full.folder / "main.py").write_text(application())
        with serving(full, full.python, "-W", "error", "-m", "uvicorn", "main:app", path="/openapi.json") as url:
            journey(url)
            assert (full.folder / ".watchword" / "watchword.db").is_file()

    def test_the_server_stands_alone(self, full: fresh.Environment) -> None:
        with serving(full, full.watchword, "serve", path="/readyz") as url:
            assert httpx2.get(f"{url}/docs").status_code == 200


def application() -> str:
    """The README's application, as it stands there."""
    block = re.search(r"^```python\n(.*?)^```", (fresh.ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


def journey(url: str) -> None:
    with httpx2.Client(base_url=url) as client:
        account = {"email": "ada@example.com", "password": PASSWORD}
        assert client.post("/register", json=account).status_code == 202
        assert client.get("/items/").status_code == 401
        first = client.post("/login", data={"username": "ada@example.com", "password": PASSWORD}).json()
        form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        second = client.post("/refresh", data=form).json()
        bearer = {"Authorization": f"Bearer {second['access_token']}"}
        assert client.get("/items/", headers=bearer).json()["items"] == ["Foo", "Bar", "Baz"]
        assert client.post("/logout", headers=bearer).status_code == 204
        for tokens in (first, second):
            bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert client.get("/items/", headers=bearer).status_code == 401
            form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
            assert client.post("/refresh", data=form).status_code == 400


@contextlib.contextmanager
def serving(installed: fresh.Environment, *command: str, path: str) -> Iterator[str]:
    """A server of the environment, on a port of its own; it is stopped at the end."""
    port = free_port()
    log = installed.folder / "serve.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=installed.folder,
            env=fresh.surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://localhost:{port}"
    try:
        give_up = time.monotonic() + DEADLINE
        while not _answers(f"{url}{path}"):
            assert time.monotonic() < give_up, log.read_text()
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=15)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.TransportError:
        return False
