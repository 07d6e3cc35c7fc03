"""The pytest plugin: fixtures over `watchword.testing`, for the tests of applications.

It stands beside the package because every pytest of an environment loads it, and loading a module of a package loads the
package. It imports pytest alone; a test that asks for a fixture pays for the rest.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from watchword.testing import FrozenClock, Rehearsal, SignIn

INI = "watchword_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`watchword_app` in pytest's configuration."""
    parser.addini(INI, "the application whose Auth the fixtures rehearse, as uvicorn names it: main:app", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """The application is found from the folder of pytest's configuration, as uvicorn finds it from where it is started."""
    folder = str(early_config.rootpath if early_config.inipath is None else early_config.inipath.parent)
    if early_config.getini(INI) and folder not in sys.path:
        sys.path.insert(0, folder)


@pytest.fixture
def watchword_app(pytestconfig: pytest.Config) -> Any:
    """The application: the one that `watchword_app` in pytest's configuration names. Override it for one that is made."""
    return named(pytestconfig.getini(INI))


def named(name: str) -> Any:
    """What `module:name` names, or a failure that says what to write."""
    if not name:
        pytest.fail(
            f'No application is named. Write {INI} = "main:app" below [tool.pytest.ini_options] in pyproject.toml (or in '
            f"another configuration of pytest), or give it in a fixture {INI} of your conftest.py.",
            pytrace=False,
        )
    module, _, path = name.partition(":")
    if not module or not path:
        pytest.fail(f'{INI} = "{name}" does not name an application. Write module:name, as for uvicorn.', pytrace=False)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another one
        pytest.fail(f'{INI} = "{name}": there is no module {error.name} on sys.path.', pytrace=False)
    try:
        return attrgetter(path)(found)
    except AttributeError as error:
        pytest.fail(f'{INI} = "{name}": {error}.', pytrace=False)


@pytest.fixture
def watchword_clock() -> "FrozenClock":
    """The clock that the application goes by in this test; it stands still until `tick`."""
    from watchword.testing import FrozenClock

    return FrozenClock()


@pytest.fixture
def watchword_rehearsal(watchword_app: Any, watchword_clock: "FrozenClock") -> "Iterator[Rehearsal]":
    """The application on a deployment of its own, for this test. See `watchword.testing.rehearsal`."""
    with ExitStack() as stack:
        with _told():
            from watchword.testing import rehearsal

            opened = stack.enter_context(rehearsal(watchword_app, clock=watchword_clock))
        yield opened


@contextmanager
def _told() -> Iterator[None]:
    """A ConfigError is for people: its text, without the way to it."""
    from watchword import ConfigError

    try:
        yield
    except ConfigError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def auth_client(watchword_rehearsal: "Rehearsal") -> "TestClient":
    """A client of the application that nobody is signed in with; the lifespan has run."""
    return watchword_rehearsal.client


@pytest.fixture
def signed_in(watchword_rehearsal: "Rehearsal") -> "SignIn":
    """`signed_in("ada@example.com", scopes={"items:write"})`: a client that is signed in. See `Rehearsal.signed_in`."""
    return watchword_rehearsal.signed_in
