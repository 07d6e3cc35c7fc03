"""What every test may ask for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import databases, keeper, left_open, servers
from tests.gate import Gate
from tests.house import House, Opening, open_house
from tests.proofs.proof import Bench

from watchword.core import passwords

HOME = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Let the first process hold the home of the servers; workers are told where it is."""
    config.pluginmanager.register(left_open)
    told = getattr(config, "workerinput", None)
    if told is not None:
        config.stash[HOME] = told["home"]
        return
    home = keeper.Home()
    config.add_cleanup(home.close)
    config.stash[HOME] = str(home.path)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["home"] = node.config.stash[HOME]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> servers.PostgresServer:
    """The session's PostgreSQL."""
    return servers.postgres(Path(pytestconfig.stash[HOME]))


@pytest.fixture
def valkey(pytestconfig: pytest.Config) -> Iterator[servers.Valkey]:
    """A running Valkey, for this test alone."""
    made = servers.Valkey(Path(pytestconfig.stash[HOME]))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def postgres_url(postgres_server: servers.PostgresServer) -> Iterator[str]:
    """The URL of an empty database, for this test alone."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file."""
    return databases.sqlite_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: servers.PostgresServer) -> Iterator[str]:
    """A migrated PostgreSQL database to clone."""
    url = postgres_server.create_database()
    asyncio.run(databases.migrated(url))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=databases.KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database: each test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield databases.copy(request.getfixturevalue("sqlite_template"), tmp_path)
        return
    server: servers.PostgresServer = request.getfixturevalue("postgres_server")
    template: str = request.getfixturevalue("postgres_template")
    url = server.create_database(template.rsplit("/", 1)[1])
    yield url
    server.drop_database(url)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated, empty SQLite database."""
    return databases.copy(sqlite_template, tmp_path)


@pytest.fixture
def bench(pytestconfig: pytest.Config, tmp_path: Path) -> Bench:
    """What a unit of a proof works on."""
    return Bench(tmp_path, Path(pytestconfig.stash[HOME]))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """In front of `passwords.verify`."""
    gate = Gate(passwords.verify)
    monkeypatch.setattr(passwords, "verify", gate)
    yield gate
    gate.open()


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """`create_app` sets up the logging of its process, which here is that of the tests."""
    names = ("", "watchword", "uvicorn")
    before = {name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in names}
    yield
    for name, (level, handlers) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers[:] = handlers


@pytest.fixture
def opening() -> Opening:
    """How `house` and `either` are opened. Where tests need more in them, their file has a fixture of this name."""
    return open_house


@pytest.fixture
async def house(tmp_path: Path, sqlite_url: str, opening: Opening) -> AsyncIterator[House]:
    """An application on SQLite."""
    async with opening(tmp_path, database_url=sqlite_url) as opened:
        yield opened


@pytest.fixture
async def either(tmp_path: Path, database_url: str, opening: Opening) -> AsyncIterator[House]:
    """An application on SQLite, and one on PostgreSQL."""
    async with opening(tmp_path, database_url=database_url) as opened:
        yield opened
