"""`watchword …`: what operators type. A refusal is one clear text and exit code 1, never a traceback."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, PATIENCE
from tests.live import free_port
from tests.server.commands import NEW, Run, Terminal, assert_refused

from watchword import Auth
from watchword.stores.sql.tables import SCHEMA_VERSION

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"


def without(module: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command where this module is not installed."""
    code = f"import sys; sys.modules['{module}'] = None; from watchword.__main__ import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def make(run: Run, *more: str, email: str = ADA) -> str:
    """An account; its id."""
    said = run("users", "add", email, *more, stdin=PASSWORD + "\n")
    assert (said.code, said.err) == (0, "")
    return said.out.split()[-1].rstrip(".")


def everybody(run: Run) -> list[dict[str, Any]]:
    said = run("users", "list", "--json")
    assert (said.code, said.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def can_sign_in(name: str, password: str, **more: str) -> dict[str, Any] | None:
    """Whether the server of this working directory lets them in; what it answers."""
    app, auth = FastAPI(), Auth()
    auth.install(app)
    with TestClient(app) as client:
        answer = client.post("/login", data={"username": name, "password": password, **more})
    answered: dict[str, Any] = answer.json()
    return answered if answer.status_code == 200 else None


def test_a_command_in_the_wrong_folder_says_that_it_made_a_database(run: Run, tmp_path: Path) -> None:
    """Else an operator looks for users who are elsewhere, or disables nobody."""
    assert run("users", "list").made
    assert not run("users", "list").made
    assert not run("users", "list").made


class TestAddingUsers:
    def test_the_first_user_is_made_and_can_sign_in(self, run: Run) -> None:
        said = run("users", "add", "Ada@Example.com", "--username", "Ada", stdin=PASSWORD + "\n")
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith("ada@example.com is user ")
        assert PASSWORD not in said.out
        assert can_sign_in("ada", PASSWORD)

    def test_scopes_are_given_one_by_one_or_together(self, run: Run) -> None:
        make(run, "--scope", "admin", "--scope", "items:read items:write")
        signed_in = can_sign_in(ADA, PASSWORD)
        assert signed_in is not None
        assert signed_in["scope"] == "admin items:read items:write"

    @pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nsecond line\n"])
    def test_one_line_of_stdin_is_the_password(self, run: Run, ending: str) -> None:
        run("users", "add", ADA, stdin=f"  {PASSWORD} {ending}")
        assert can_sign_in(ADA, f"  {PASSWORD} ")
        assert can_sign_in(ADA, PASSWORD) is None

    def test_a_password_is_never_an_argument(self, run: Run) -> None:
        """Arguments are seen by everybody on the machine, and kept in the shell's history."""
        for option in ("--password", "-p"):
            said = run("users", "add", ADA, option, PASSWORD)
            assert said.code == 2
        assert everybody(run) == []

    @pytest.mark.parametrize(
        ("arguments", "stdin", "told"),
        [
            ((ADA,), "", "no password came on stdin"),
            ((ADA,), "\n", "no password came on stdin"),
            ((ADA,), "short\n", "at least 15 characters"),
            ((ADA,), "x" * 1025, "at most 1024 characters"),
            ((ADA,), "ada@example.com!!", "close to your name or address"),
            ((ADA,), b"\xff\xfe seven lanterns over the harbour", "not UTF-8"),
            (("nonsense",), PASSWORD, "email: This is not an email address."),
            (("\udcff@example.com",), PASSWORD, "email: This is not an email address."),
            ((ADA, "--username", "a b"), PASSWORD, "username: "),
            ((ADA, "--scope", 'quo"ted'), PASSWORD, "The scope is malformed."),
        ],
    )
    def test_what_can_not_be_is_refused(
        self, run: Run, arguments: tuple[str, ...], stdin: str | bytes, told: str
    ) -> None:
        said = run("users", "add", *arguments, stdin=stdin)
        assert_refused(said, told)
        assert PASSWORD not in said.err
        assert everybody(run) == []

    def test_what_is_taken_is_refused_and_named(self, run: Run) -> None:
        """Whoever sits at this terminal may know who has an account."""
        make(run, "--username", "ada")
        assert_refused(run("users", "add", "ADA@example.com", stdin=PASSWORD), "email: This is taken.")
        assert_refused(run("users", "add", BOB, "--username", "ADA", stdin=PASSWORD), "username: This is taken.")
        assert len(everybody(run)) == 1

    def test_at_a_terminal_it_is_asked_for_twice(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        typed = iter([PASSWORD, PASSWORD + "x", PASSWORD, PASSWORD])
        monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
        said = run("users", "add", ADA, stdin=Terminal())
        assert_refused(said, "the two passwords differ. Nothing was changed.")
        assert run("users", "add", ADA, stdin=Terminal()).code == 0
        assert can_sign_in(ADA, PASSWORD)


class TestListingUsers:
    def test_an_empty_house_says_what_comes_next(self, run: Run) -> None:
        said = run("users", "list")
        assert said.code == 0
        assert "There are no users yet. Make one with: watchword users add EMAIL" in said.out
        assert everybody(run) == []

    def test_everybody_stands_in_the_order_of_their_addresses(self, run: Run) -> None:
        ids = [make(run, email=email) for email in ("c@example.com", "a@example.com", "b@example.com")]
        assert [user["email"] for user in everybody(run)] == ["a@example.com", "b@example.com", "c@example.com"]
        assert {user["id"] for user in everybody(run)} == set(ids)
        shown = run("users", "list").out
        assert shown.index("a@example.com") < shown.index("b@example.com") < shown.index("c@example.com")

    def test_as_json_it_holds_all_that_is_known_and_no_hash(self, run: Run) -> None:
        user_id = make(run, "--username", "ada", "--scope", "b a")
        run("users", "disable", "ada")
        (user,) = everybody(run)
        assert user.pop("created_at").endswith("+00:00")
        assert user == {"id": user_id, "email": ADA, "username": "ada", "scopes": ["a", "b"], "disabled": True}

    def test_in_a_pipe_nothing_is_cut(self, run: Run) -> None:
        """`watchword users list | grep` has to find whoever is there."""
        long = f"{'a' * 60}@{'b' * 60}.example.com"
        user_id = make(run, "--scope", "s" * 64, email=long)
        (line,) = (line for line in run("users", "list").out.splitlines() if user_id in line)
        assert long in line
        assert "s" * 64 in line

    def test_a_scope_that_looks_like_markup_is_shown_as_it_is(self, run: Run) -> None:
        make(run, "--scope", "[red]", "--scope", "[/x]")
        said = run("users", "list")
        assert said.code == 0
        assert "[/x] [red]" in said.out


class TestScopes:
    def test_they_are_given_and_taken(self, run: Run) -> None:
        user_id = make(run, "--username", "ada")
        assert run("users", "grant", "ada", "a", "b").out == f"{ADA} may now: a b\n"
        assert run("users", "grant", ADA, "b c").out == f"{ADA} may now: a b c\n"
        assert run("users", "revoke", user_id, "a", "c", "never had").out == f"{ADA} may now: b\n"
        assert run("users", "revoke", "ADA", "b").out == f"{ADA} may now: nothing beyond signing in\n"

    @pytest.mark.parametrize("whom", ["nobody", "nobody@example.com", "a" * 26, "", "\udcff", "x" * 5000])
    @pytest.mark.parametrize("act", ["grant", "revoke", "disable", "enable", "delete", "set-password"])
    def test_whoever_is_not_there_is_refused(self, run: Run, act: str, whom: str) -> None:
        rest = {"grant": ["a"], "revoke": ["a"], "delete": ["--yes"]}.get(act, [])
        said = run("users", act, whom, *rest, stdin=PASSWORD)
        assert_refused(said, "There is no user with this address, username or id.")

    def test_odd_ones_are_refused(self, run: Run) -> None:
        make(run)
        for odd in ('"', "é", "\udcff", "s" * 65, "a\x7f"):
            assert_refused(run("users", "grant", ADA, odd), "The scope is malformed.")
        assert everybody(run)[0]["scopes"] == []


class TestLockingAndRemoving:
    def test_a_disabled_user_is_out_until_enabled(self, run: Run) -> None:
        make(run)
        assert run("users", "disable", ADA).out == f"{ADA} is disabled, and signed out everywhere.\n"
        assert can_sign_in(ADA, PASSWORD) is None
        assert run("users", "enable", ADA).out == f"{ADA} is enabled.\n"
        assert can_sign_in(ADA, PASSWORD)

    def test_a_new_password_replaces_the_old_one(self, run: Run) -> None:
        make(run)
        said = run("users", "set-password", ADA, stdin=OTHER_PASSWORD + "\n")
        assert said.out == f"{ADA} has a new password, and is signed out everywhere.\n"
        assert can_sign_in(ADA, PASSWORD) is None
        assert can_sign_in(ADA, OTHER_PASSWORD)

    @pytest.mark.parametrize("weak", ["", "short", "ada@example.com!!"])
    def test_a_weak_new_password_changes_nothing(self, run: Run, weak: str) -> None:
        make(run)
        assert_refused(run("users", "set-password", ADA, stdin=weak))
        assert can_sign_in(ADA, PASSWORD)

    def test_deleting_asks_first(self, run: Run) -> None:
        make(run)
        for answer in ("", "n\n", "\n"):
            said = run("users", "delete", ADA, stdin=answer)
            assert said.code == 1
            assert "Traceback" not in said.err
        assert len(everybody(run)) == 1
        said = run("users", "delete", ADA, stdin="y\n")
        assert said.out.endswith(f"{ADA} is deleted.\n")
        assert everybody(run) == []

    def test_with_yes_it_does_not_ask(self, run: Run) -> None:
        make(run)
        assert run("users", "delete", ADA, "--yes").out == f"{ADA} is deleted.\n"
        assert can_sign_in(ADA, PASSWORD) is None

    @pytest.mark.parametrize("act", [("disable",), ("set-password",), ("delete", "--yes"), ("revoke", "admin")])
    def test_a_running_server_hears_of_it(self, run: Run, act: tuple[str, ...]) -> None:
        """The operator locks a stolen account: tokens that are already out must end, without a restart."""
        make(run, "--scope", "admin")
        app, auth = FastAPI(), Auth()
        auth.install(app)
        heard = threading.Event()
        with TestClient(app) as client:
            answer = client.post("/login", data={"username": ADA, "password": PASSWORD}).json()
            headers = {"Authorization": f"Bearer {answer['access_token']}"}
            assert client.get("/me", headers=headers).status_code == 200
            assert auth._kit is not None
            auth._kit.revocations.watch(lambda _: heard.set())
            verb, *rest = act
            assert run("users", verb, ADA, *rest, stdin=OTHER_PASSWORD).code == 0
            assert heard.wait(PATIENCE)
            assert client.get("/me", headers=headers).status_code == 401


class TestMigrating:
    def test_an_empty_database_is_brought_to_the_present_schema(self, run: Run, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'app.db'}"
        said = run("migrate", "--database", url)
        assert (said.code, said.err) == (0, "")
        assert said.out.endswith(f"was brought from nothing to schema {SCHEMA_VERSION}.\n")
        assert run("migrate", "--database", url).out.endswith(f"is at schema {SCHEMA_VERSION}.\n")

    def test_a_public_deployment_is_migrated_and_then_takes_users(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, postgres_url: str
    ) -> None:
        monkeypatch.setenv("WATCHWORD_ISSUER", "https://auth.example.com")
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", KEY)
        monkeypatch.setenv("WATCHWORD_DATABASE_URL", postgres_url)
        assert_refused(run("users", "list"), "is empty. Run: watchword migrate")
        assert run("migrate").code == 0
        make(run)
        assert [user["email"] for user in everybody(run)] == [ADA]

    def test_the_password_of_the_database_is_not_printed(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, postgres_url: str
    ) -> None:
        said = run("migrate", "--database", postgres_url.replace("postgres@", "postgres:hunter2@"))
        assert said.code == 0
        assert "hunter2" not in said.out + said.err

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("nonsense", "WATCHWORD_DATABASE_URL"),
            ("mysql://root:hunter2@localhost/x", "WATCHWORD_DATABASE_URL"),
            ("sqlite://", "WATCHWORD_DATABASE_URL"),
            ("postgresql://root:hunter2@127.0.0.1:1/x", "not available"),
            ("postgresql://root:hunter2@127.0.0.1:port/x", "WATCHWORD_DATABASE_URL"),
            ("postgresql://root:hunter2@127.0.0.1:70000/x", "port"),
            ("postgresql://root@127.0.0.1:1/x?password=hunter2&sslmode=require", "ssl=require"),
            ("postgresql://root:hunter2@127.0.0.1:1/x?no_such_option=hunter2", "no_such_option"),
            ("postgresql://root:hunter2@127.0.0.1:1/x?prepared_statement_cache_size=hunter2", "WATCHWORD_DATABASE_URL"),
            ("sqlite:///a\udcff.db", "WATCHWORD_DATABASE_URL"),
        ],
    )
    def test_what_can_not_be_reached_is_refused(self, run: Run, url: str, told: str) -> None:
        serving = ("serve", "--port", str(free_port()), "--database", url)
        for arguments in (("migrate", "--database", url), serving):
            said = run(*arguments)
            assert_refused(said, told)
            assert "hunter2" not in said.err

    def test_a_database_that_does_not_exist_is_refused(self, run: Run, postgres_url: str) -> None:
        assert_refused(run("migrate", "--database", postgres_url + "_not_there"), "not available")


class TestServing:
    def test_a_port_in_use_is_told_before_anything_else(self, run: Run) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            assert_refused(run("serve", "--port", str(port)), f"port {port} is in use", f"--port {port + 1}")

    def test_an_address_that_is_not_here_is_told_in_words(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATCHWORD_ISSUER", "https://auth.example.com")
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", KEY)
        monkeypatch.setenv("WATCHWORD_DATABASE_URL", "sqlite:///there.db")
        assert_refused(run("serve", "--host", "192.0.2.1"), "--host 192.0.2.1", "can't be listened on")

    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """How uvicorn was called, which does not run here."""
        served: list[dict[str, Any]] = []
        monkeypatch.setattr(uvicorn, "run", lambda app, **how: served.append({"app": app, **how}))
        return served

    def test_the_first_start_says_where_things_are_and_what_comes_next(
        self, run: Run, served: list[dict[str, Any]], tmp_path: Path
    ) -> None:
        said = run("serve", "--port", "9123")
        assert (said.code, said.err) == (0, "")
        assert "http://localhost:9123" in said.out
        assert str(tmp_path / ".watchword" / "watchword.db") in said.out
        assert str(tmp_path / ".watchword" / "master.key") in said.out
        assert "users add" in said.out
        assert (tmp_path / ".watchword" / "master.key").read_text().strip() not in said.out
        (how,) = served
        assert (how["host"], how["port"], how["workers"]) == ("127.0.0.1", 9123, 1)

    def test_uvicorn_believes_no_forwarding_header_and_keeps_its_name_to_itself(
        self, run: Run, served: list[dict[str, Any]]
    ) -> None:
        """Its own list of proxies would be a second one, and trusts more than ours."""
        run("serve")
        assert served[0]["proxy_headers"] is False
        assert served[0]["server_header"] is False

    def test_with_users_it_does_not_ask_for_the_first_one(self, run: Run, served: list[dict[str, Any]]) -> None:
        make(run)
        assert "users add" not in run("serve").out

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
    def test_a_loopback_issuer_serves_this_machine(self, run: Run, served: list[dict[str, Any]], host: str) -> None:
        assert run("serve", "--host", host).code == 0
        assert served[0]["host"] == host

    @pytest.mark.parametrize(
        "host", ["0.0.0.0", "::", "", "192.168.0.1", "example.com", "test", "testserver", "localhost.example.com"]
    )
    def test_a_loopback_issuer_serves_nobody_else(self, run: Run, served: list[dict[str, Any]], host: str) -> None:
        """`--host 0.0.0.0` is what everybody types; with open registration and a key made for a developer."""
        assert_refused(run("serve", "--host", host), "WATCHWORD_ISSUER", "WATCHWORD_MASTER_KEYS")
        assert served == []

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("WATCHWORD_ISUER", "https://auth.example.com", "Did you mean WATCHWORD_ISSUER?"),
            ("WATCHWORD_ISSUER", "http://auth.example.com", "Use https"),
            ("WATCHWORD_ACCESS_TTL", "1", "WATCHWORD_ACCESS_TTL"),
            ("WATCHWORD_TRUSTED_PROXIES", "*", "WATCHWORD_TRUSTED_PROXIES"),
        ],
    )
    def test_weak_settings_are_refused_before_anything_is_served(
        self,
        run: Run,
        served: list[dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        name: str,
        value: str,
        told: str,
    ) -> None:
        monkeypatch.setenv(name, value)
        assert_refused(run("serve"), told)
        assert served == []
        assert list(tmp_path.iterdir()) == []

    def test_a_public_issuer_without_a_key_is_told_how_to_make_one(
        self, run: Run, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WATCHWORD_ISSUER", "https://auth.example.com")
        said = run("serve", "--host", "0.0.0.0")
        assert said.code == 1
        assert "token_urlsafe(32)" in said.err
        assert "Traceback" not in said.err
        assert served == []

    def test_a_database_of_another_key_is_refused(
        self, run: Run, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        make(run)
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", KEY)
        assert_refused(run("serve"), "another master key")
        assert served == []

    @pytest.mark.parametrize("arguments", [("--port", "70000"), ("--port", "x"), ("--workers", "0"), ("--nonsense",)])
    def test_odd_options_are_refused(self, run: Run, served: list[dict[str, Any]], arguments: tuple[str, ...]) -> None:
        said = run("serve", *arguments)
        assert said.code == 2
        assert "Traceback" not in said.err
        assert served == []


class TestTheProgram:
    """The same, as a process of its own: nothing between the operator and the exit code."""

    def watchword(self, folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "watchword", *arguments],
            cwd=folder,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def test_it_helps(self, tmp_path: Path) -> None:
        done = self.watchword(tmp_path, "--help")
        assert done.returncode == 0
        for command in ("serve", "migrate", "users"):
            assert command in done.stdout
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("module", ["typer", "uvicorn", "structlog"])
    def test_without_its_extra_it_says_how_to_get_it(self, module: str, tmp_path: Path) -> None:
        done = without(module, tmp_path)
        assert done.returncode == 1
        assert done.stderr == f"The command line needs {module}: install Watchword with its extra [server]\n"

    def test_a_module_of_our_own_that_is_missing_is_a_fault_and_told_as_one(self, tmp_path: Path) -> None:
        """An installation that is broken would otherwise be told to install what is there."""
        done = without("watchword.server.cli.users", tmp_path)
        assert done.returncode == 1
        assert "ModuleNotFoundError" in done.stderr
        assert "pip install" not in done.stderr

    def test_it_makes_a_user(self, tmp_path: Path) -> None:
        done = self.watchword(tmp_path, "users", "add", ADA, stdin=PASSWORD)
        assert (done.returncode, done.stderr.startswith(NEW)) == (0, True)
        assert ADA in done.stdout

    def test_a_refused_start_ends_at_once_with_one_line(self, tmp_path: Path) -> None:
        """A start that fails halfway must give its connections back, or the process never ends."""
        (tmp_path / ".watchword").mkdir()
        (tmp_path / ".watchword" / "watchword.db").write_text(
            "this is no database, and long enough to be looked at " * 9
        )
        done = self.watchword(tmp_path, "users", "list")
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("watchword: ")
        assert done.stderr.count("\n") == 1, done.stderr


def test_a_list_behind_what_is_no_address_is_refused_in_words(run: Run) -> None:
    """Bytes that are no UTF-8 arrive as surrogates, which no database takes."""
    assert_refused(run("users", "list", "--after", "a\udcff"), "--after")
