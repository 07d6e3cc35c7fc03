"""`watchword --app main:auth …`: commands that act on an application's own Auth, its engine and its users."""

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.commands import Run, assert_refused

MAIN = """
from sqlalchemy.ext.asyncio import create_async_engine
from watchword import Auth

class Site:
    auth = Auth(engine=create_async_engine("sqlite+aiosqlite:///app.db"))

auth = Site.auth
something_else = object()
"""


@pytest.fixture(autouse=True)
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An application in the working directory, under a name that no other test uses."""
    (tmp_path / "app_of_the_cli_test.py").write_text(MAIN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("app_of_the_cli_test", None)


@pytest.mark.parametrize("name", ["app_of_the_cli_test:auth", "app_of_the_cli_test:Site.auth"])
def test_commands_act_on_the_applications_engine(run: Run, tmp_path: Path, name: str) -> None:
    assert "app.db was brought from nothing to schema" in run("--app", name, "migrate").out
    assert (tmp_path / "app.db").exists()
    assert not (tmp_path / ".watchword" / "watchword.db").exists()
    said = run("--app", name, "users", "add", "ada@example.com", stdin="seven lanterns over the harbour\n")
    assert said.code == 0, said.err
    assert "ada@example.com" in run("--app", name, "users", "list").out


def test_keys_are_those_of_the_applications_database(run: Run, tmp_path: Path) -> None:
    run("--app", "app_of_the_cli_test:auth", "migrate")
    for command in (["list"], ["rotate"], ["retire", "1", "--yes"], ["reseal"], ["abandon", "--yes"]):
        said = run("--app", "app_of_the_cli_test:auth", "keys", *command)
        assert (said.code, said.err) == (0, ""), command
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        assert connection.execute("SELECT count(*) FROM watchword_keys").fetchone() == (2,)
    assert not (tmp_path / ".watchword" / "watchword.db").exists()


def test_a_stolen_key_is_retired_in_the_applications_database(run: Run, tmp_path: Path) -> None:
    """The attack: the thief of a signing key goes on, because `keys retire` stopped a key of a database that it had just
    made for itself in the working directory, and said that all was well."""
    name = "app_of_the_cli_test:auth"
    run("--app", name, "migrate")
    (key,) = json.loads(run("--app", name, "keys", "list", "--json").out)["keys"]
    assert not (tmp_path / ".watchword" / "watchword.db").exists()
    said = run("--app", name, "keys", "retire", key["kid"], "--yes")
    assert said.code == 0, said.err
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        retired = connection.execute("SELECT kid FROM watchword_keys WHERE retired_at IS NOT NULL").fetchall()
    assert retired == [(key["kid"],)]


def test_the_environment_names_it_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHWORD_APP", "app_of_the_cli_test:auth")
    assert "app.db" in run("migrate").out
    assert (tmp_path / "app.db").exists()


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("no_such_module:auth", ["WATCHWORD_APP", "no_such_module", "main:auth", "folder"]),
        ("app_of_the_cli_test:nothing", ["WATCHWORD_APP", "nothing", "main:auth"]),
        ("app_of_the_cli_test:something_else", ["WATCHWORD_APP", "is no Auth", "main:auth"]),
        ("app_of_the_cli_test", ["WATCHWORD_APP", "main:auth"]),
        ("app_of_the_cli_test:", ["WATCHWORD_APP", "main:auth"]),
        (":auth", ["WATCHWORD_APP", "main:auth"]),
        (".main:auth", ["WATCHWORD_APP", "main:auth"]),
    ],
)
def test_what_is_not_there_is_told_with_the_cure(run: Run, name: str, texts: list[str]) -> None:
    assert_refused(run("--app", name, "users", "list"), *texts)


def test_an_application_that_cannot_be_imported_shows_its_own_fault(run: Run, tmp_path: Path) -> None:
    """A fault in the application's code is its developer's to see, not to be hidden behind a short text."""
    (tmp_path / "app_of_the_cli_test.py").write_text("import a_library_that_is_missing\n")
    assert_refused(run("--app", "app_of_the_cli_test:auth", "users", "list"), "a_library_that_is_missing")


def test_serve_does_not_run_an_application(run: Run) -> None:
    assert_refused(run("--app", "app_of_the_cli_test:auth", "serve"), "uvicorn", "--app")


def test_the_doctor_examines_the_applications_database(run: Run, tmp_path: Path) -> None:
    run("--app", "app_of_the_cli_test:auth", "migrate")
    said = run("--app", "app_of_the_cli_test:auth", "doctor", "--no-try", "--json")
    (weak,) = [finding for finding in json.loads(said.out)["findings"] if finding["severity"] == "weak"]
    assert (weak["id"], said.code) == ("database-not-wal", 1), "the engine is the host's, and so is its journal"
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    assert run("--app", "app_of_the_cli_test:auth", "doctor", "--no-try").code == 0
