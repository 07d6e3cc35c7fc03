"""`watchword keys …` and `watchword upkeep`: what an operator types in an emergency has to work, and to say what it did."""

import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests import fleet
from tests.house import ADA, PASSWORD, PATIENCE
from tests.server.commands import Run, assert_refused
from tests.server.test_cli import make

OLD, NEW = (f"{letter}J8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS" for letter in "km")
OPERATORS = 4


def listing(run: Run) -> dict[str, Any]:
    said = run("keys", "list", "--json")
    assert (said.code, said.err) == (0, "")
    found: dict[str, Any] = json.loads(said.out)
    return found


def states(run: Run) -> list[str]:
    return [key["state"] for key in listing(run)["keys"]]


def watchword(environment: Mapping[str, str], folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "watchword", *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestListing:
    def test_the_first_look_shows_the_key_that_signs(self, run: Run) -> None:
        said = run("keys", "list")
        assert (said.code, said.err) == (0, "")
        (key,) = listing(run)["keys"]
        assert key["kid"] in said.out
        assert "signing" in said.out

    def test_a_kid_is_never_cut_since_it_is_typed_again(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        for columns in ("80", "250"):
            monkeypatch.setenv("COLUMNS", columns)
            assert listing(run)["keys"][0]["kid"] in run("keys", "list").out

    def test_as_json_its_names_are_stable_and_its_times_are_instants(self, run: Run) -> None:
        run("keys", "rotate")
        run("keys", "rotate", "--now")
        found = listing(run)
        assert found.keys() == {"keys", "master_keys"}
        old, _, new = found["keys"]
        assert old | {"kid": ""} == {
            "generation": 1,
            "kid": "",
            "alg": "ES256",
            "state": "verifying",
            "created_at": old["created_at"],
            "signs_from": old["created_at"],
            "verifies_until": old["verifies_until"],
            "retired_at": None,
            "master_key": 1,
        }
        assert (new["state"], new["verifies_until"]) == ("signing", None)
        assert all(old[name].endswith("+00:00") for name in ("created_at", "signs_from", "verifies_until"))
        assert found["master_keys"] == [{"position": 1, "signing_keys": 3, "database": True}]

    def test_nothing_that_is_printed_is_secret(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        """KY-09: neither a master key nor anything of a signing key, in answers and in the audit log."""
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", OLD)
        acts = (["list"], ["list", "--json"], ["rotate"], ["retire", "1", "--yes"], ["reseal"], ["retire", "9"])
        with caplog.at_level(logging.DEBUG, "watchword"):
            said = [run("keys", *act) for act in acts]
            monkeypatch.setenv("WATCHWORD_MASTER_KEYS", f"{NEW},{OLD}")
            said += [run("keys", *act) for act in acts]
        text = "".join(one.out + one.err for one in said) + caplog.text
        assert "KeysResealed" in text
        for secret in (OLD, NEW, "PRIVATE", "sealed="):
            assert secret not in text


class TestRotating:
    def test_a_successor_is_published_and_waits(self, run: Run) -> None:
        said = run("keys", "rotate")
        assert (said.code, said.err) == (0, "")
        assert "(generation 2) is published and signs from 20" in said.out
        assert states(run) == ["signing", "published"]
        again = run("keys", "rotate")
        assert again.code == 0
        assert "(generation 2) was made already" in again.out
        assert "No other one was made." in again.out
        assert states(run) == ["signing", "published"]

    def test_at_once_it_signs_and_the_price_is_told(self, run: Run) -> None:
        run("keys", "list")
        run("keys", "rotate")
        said = run("keys", "rotate", "--now")
        assert "(generation 3) is published and signs now." in said.out
        assert "Other services may refuse its tokens for up to 5 minutes" in said.out
        assert states(run) == ["verifying", "verifying", "signing"]

    def test_another_algorithm_is_said(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """A shell without the deployment's settings makes a key that other services do not expect."""
        run("keys", "list")
        monkeypatch.setenv("WATCHWORD_SIGNING_ALG", "Ed25519")
        assert "It replaces a key of ES256, as WATCHWORD_SIGNING_ALG says here." in run("keys", "rotate").out

    @pytest.mark.parametrize("how", [(), ("--now",)], ids=["ahead", "now"])
    def test_of_many_operators_at_once_one_makes_it(
        self, database_url: str, tmp_path: Path, how: tuple[str, ...]
    ) -> None:
        environment = fleet.settings(database_url, tmp_path) | {"WATCHWORD_MASTER_KEYS": OLD}
        first = watchword(environment, tmp_path, "keys", "rotate" if how else "list")
        assert first.communicate()[1] == ""
        operators = [watchword(environment, tmp_path, "keys", "rotate", *how) for _ in range(OPERATORS)]
        answers = [operator.communicate() for operator in operators]
        assert [operator.returncode for operator in operators] == [0] * OPERATORS, answers
        found = json.loads(watchword(environment, tmp_path, "keys", "list", "--json").communicate()[0])["keys"]
        assert len(found) == (3 if how else 2)
        assert all(found[-1]["kid"] in out for out, _ in answers)
        assert sum("is published" in out for out, _ in answers) == 1


class TestRetiring:
    def test_it_is_asked_for_first_and_tells_what_it_does(self, run: Run) -> None:
        (key,) = listing(run)["keys"]
        for answer in ("", "n\n", "\n"):
            said = run("keys", "retire", key["kid"], stdin=answer)
            assert said.code == 1
            assert "every access token that it signed is refused at once, and clients have to refresh" in said.out
        assert states(run) == ["signing"]
        said = run("keys", "retire", key["kid"], stdin="y\n")
        assert (said.code, said.err) == (0, "")
        assert f"Key {key['kid']} (generation 1) is retired: what it signed is refused." in said.out
        assert "(generation 2) signs now." in said.out
        assert "within 5 minutes" in said.out
        assert states(run) == ["retired", "signing"]

    def test_twice_says_so_and_is_no_failure(self, run: Run) -> None:
        run("keys", "list")
        assert run("keys", "retire", "1", "--yes").code == 0
        said = run("keys", "retire", "1")
        assert said.code == 0
        assert "(generation 1) was retired at 20" in said.out
        assert "Nothing was changed." in said.out
        assert states(run) == ["retired", "signing"]

    @pytest.mark.parametrize("odd", ["2", "nonsense", "", "\udcff", "x" * 5000, "1 OR 1=1"])
    def test_what_is_not_there_is_refused_with_what_is(self, run: Run, odd: str) -> None:
        (key,) = listing(run)["keys"]
        assert_refused(run("keys", "retire", odd, "--yes"), f"There are: 1 = {key['kid']} (signing).")
        assert states(run) == ["signing"]

    def test_every_worker_refuses_what_it_signed_and_everybody_stays_signed_in(
        self, sqlite_url: str, tmp_path: Path
    ) -> None:
        """KY-07: the operator's process is none of the workers; they hear of it by the feed."""
        with fleet.running(2, sqlite_url, tmp_path) as workers:
            client = Client(workers[0])
            first = client.sign_in()
            for worker in workers:
                assert client.items(worker, first["access_token"]) == 200
            operator = watchword(fleet.settings(sqlite_url, tmp_path), tmp_path, "keys", "retire", "1", "--yes")
            out, err = operator.communicate()
            assert operator.returncode == 0, (out, err)
            for worker in workers:
                client.until(worker, first["access_token"], 401)
            again = client.refresh(workers[1], first["refresh_token"])
            for worker in workers:
                assert client.items(worker, again["access_token"]) == 200


class TestResealing:
    def test_with_one_master_key_there_is_nothing_to_do(self, run: Run) -> None:
        said = run("keys", "reseal")
        assert (said.code, said.err) == (0, "")
        assert said.out == "Every signing key is sealed with the first master key already. Nothing was changed.\n"

    def test_it_says_until_when_to_keep_the_old_one(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", OLD)
        run("keys", "list")
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", f"{NEW},{OLD}")
        assert "The database is known by master key number 2. To move it to the first one: watchword keys reseal" in (
            run("keys", "list").out
        )
        assert [one["database"] for one in listing(run)["master_keys"]] == [False, True]
        said = run("keys", "reseal")
        assert (said.code, said.err) == (0, "")
        assert "The database is known by the first master key now" in said.out
        assert "keep it behind the first until 20" in said.out
        assert "No signing key needs master key 2 any more" in run("keys", "list").out
        assert listing(run)["master_keys"] == [
            {"position": 1, "signing_keys": 1, "database": True},
            {"position": 2, "signing_keys": 0, "database": False},
        ]
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", OLD)
        assert_refused(run("keys", "list"), "another master key", "resealed with")

    def test_from_the_old_master_key_to_the_new_one_nobody_has_to_sign_in_again(
        self, database_url: str, tmp_path: Path
    ) -> None:
        """Workers are replaced one by one: OLD; then NEW,OLD beside it; reseal; then NEW alone."""
        base = fleet.settings(database_url, tmp_path)
        old, both, new = ({**base, "WATCHWORD_MASTER_KEYS": keys} for keys in (OLD, f"{NEW},{OLD}", NEW))
        started: list[fleet.Worker] = []

        def start(environment: dict[str, str]) -> fleet.Worker:
            started.append(fleet.start(environment, tmp_path))
            fleet.ready(started[-1])
            return started[-1]

        try:
            with_old = start(old)
            client = Client(with_old)
            tokens = client.sign_in()
            with_both = start(both)
            assert client.items(with_both, tokens["access_token"]) == 200
            tokens = client.refresh(with_both, tokens["refresh_token"])
            assert client.items(with_old, tokens["access_token"]) == 200
            tokens = client.refresh(with_old, tokens["refresh_token"])
            with_old.stop()

            operator = watchword(both, tmp_path, "keys", "reseal")
            out, err = operator.communicate()
            assert (operator.returncode, err) == (0, ""), out
            assert client.items(with_both, tokens["access_token"]) == 200
            fleet.ready(with_both)  # which loads the keys: it has heard of the reseal then, however slow the feed is
            tokens = client.refresh(with_both, tokens["refresh_token"])

            with_new = start(new)
            assert client.items(with_new, tokens["access_token"]) == 200
            tokens = client.refresh(with_new, tokens["refresh_token"])
            assert client.items(with_both, tokens["access_token"]) == 200

            refused = fleet.start(old, tmp_path)
            started.append(refused)
            assert refused.process.wait(PATIENCE * 3) != 0
            assert "WATCHWORD_MASTER_KEYS: this database belongs to another master key" in refused.log.read_text()
        finally:
            for worker in started:
                worker.stop()


class TestAbandoning:
    """Somebody has to type this at night, without the master key."""

    def test_a_lost_master_key_is_told_with_the_way_out(self, lost: Run) -> None:
        for command in (("keys", "list"), ("users", "list"), ("serve",), ("upkeep",)):
            assert_refused(lost(*command), "another master key", "If that key is lost for good: watchword keys abandon")

    def test_it_is_asked_for_first_and_tells_what_it_does(self, lost: Run) -> None:
        for answer in ("", "n\n", "\n"):
            said = lost("keys", "abandon", stdin=answer)
            assert said.code == 1
            assert "2 signing keys are given up: every session ends, and everybody has to sign in again." in said.out
        assert_refused(lost("keys", "list"), "another master key")
        said = lost("keys", "abandon", stdin="y\n")
        assert (said.code, said.err) == (0, "")
        assert "2 signing keys are given up, and 0 sessions have ended." in said.out
        assert "(generation 3) signs now. Users and their passwords are as they were." in said.out
        assert "for up to 5 minutes" in said.out
        assert states(lost) == ["signing"]
        assert ADA in lost("users", "list").out

    def test_nothing_is_given_up_where_nothing_is_lost(self, lost: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        for given in (OLD, f"{NEW},{OLD}"):
            monkeypatch.setenv("WATCHWORD_MASTER_KEYS", given)
            said = lost("keys", "abandon", "--yes")
            assert (said.code, said.err) == (0, "")
            assert "nothing is lost. Nothing was changed." in said.out
            assert states(lost) == ["signing", "published"]

    def test_twice_is_once(self, lost: Run) -> None:
        assert lost("keys", "abandon", "--yes").code == 0
        kid = listing(lost)["keys"][0]["kid"]
        assert "Nothing was changed." in lost("keys", "abandon", "--yes").out
        assert [key["kid"] for key in listing(lost)["keys"]] == [kid]

    def test_it_works_on_a_desk_whose_key_file_was_deleted(self, run: Run, tmp_path: Path) -> None:
        make(run)
        (tmp_path / ".watchword" / "master.key").unlink()
        assert_refused(run("users", "list"), "watchword keys abandon")
        assert run("keys", "abandon", "--yes").code == 0
        assert ADA in run("users", "list").out

    def test_users_sign_in_again_with_the_password_they_have(self, database_url: str, tmp_path: Path) -> None:
        """Real workers: one that had the lost key until the end, and one with the new one."""
        base = fleet.settings(database_url, tmp_path)
        old, new = ({**base, "WATCHWORD_MASTER_KEYS": key} for key in (OLD, NEW))
        started = [fleet.start(old, tmp_path)]
        try:
            fleet.ready(started[0])
            client = Client(started[0])
            tokens = client.sign_in()
            operator = watchword(new, tmp_path, "keys", "abandon", "--yes")
            out, err = operator.communicate()
            assert (operator.returncode, err) == (0, ""), out
            assert "1 signing keys are given up, and 1 sessions have ended." in out
            client.until(started[0], tokens["access_token"], 401)
            started.append(fleet.start(new, tmp_path))
            fleet.ready(started[1])
            assert client.items(started[1], tokens["access_token"]) == 401
            form = {"username": ADA, "password": PASSWORD}
            again = httpx2.post(f"{started[1].url}/login", data=form).json()
            assert client.items(started[1], again["access_token"]) == 200
        finally:
            for worker in started:
                worker.stop()

    @pytest.fixture
    def lost(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
        """A database with a user and two keys, whose master key is not to be found."""
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", OLD)
        make(run)
        run("keys", "rotate")
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", NEW)
        return run


class TestUpkeep:
    def test_it_says_what_it_did(self, run: Run) -> None:
        said = run("upkeep")
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith("Removed: 0 ended sessions, ")
        assert said.out.endswith("No signing key was due.\n")

    def test_as_json(self, run: Run) -> None:
        run("keys", "rotate")
        run("keys", "retire", "1", "--yes")
        said = run("upkeep", "--json")
        assert (said.code, said.err) == (0, "")
        nothing = dict.fromkeys(
            ("sessions", "revocations", "attempts", "mails", "accounts", "features", "events", "roles"), 0
        )
        done = {**nothing, "rotated": False, "keys": 1, "left": False}
        assert json.loads(said.out) == done

    def test_another_algorithm_leads_to_a_successor(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        run("keys", "list")
        monkeypatch.setenv("WATCHWORD_SIGNING_ALG", "Ed25519")
        run("users", "list")
        assert states(run) == ["signing"], "no other command makes one"
        assert run("upkeep").out.endswith("Published the next signing key.\n")
        assert [key["alg"] for key in listing(run)["keys"]] == ["ES256", "Ed25519"]


CROWD = [f"user{number}@example.com" for number in range(5)]


class TestPages:
    """A hundred thousand users are listed without holding them all."""

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.modules["watchword.server.cli.users"], "PAGE", 2)

    @pytest.fixture
    def crowd(self, run: Run) -> Run:
        for name in CROWD:
            make(run, email=name)
        return run

    def emails(self, run: Run, *options: str) -> list[str]:
        said = run("users", "list", "--json", *options)
        assert (said.code, said.err) == (0, "")
        return [user["email"] for user in json.loads(said.out)]

    def test_the_pages_make_one_list(self, crowd: Run) -> None:
        assert self.emails(crowd) == CROWD
        assert self.emails(crowd, "--limit", "5") == CROWD
        assert self.emails(crowd, "--limit", "3") == CROWD[:3]
        assert self.emails(crowd, "--after", CROWD[1].upper()) == CROWD[2:]
        assert self.emails(crowd, "--after", CROWD[0], "--limit", "1") == CROWD[1:2]
        assert self.emails(crowd, "--after", "zzz") == []
        shown = crowd("users", "list").out
        assert all(shown.count(name) == 1 for name in CROWD)
        assert shown.count("email") == 3, "a heading for each page"

    def test_an_empty_page_says_so(self, crowd: Run) -> None:
        assert "There are no users behind this address." in crowd("users", "list", "--after", "zzz").out
        assert crowd("users", "list", "--limit", "0").code == 2


class TestCures:
    """A database that fails is told with what to do about it."""

    @pytest.mark.parametrize("command", [("users", "list"), ("keys", "list"), ("upkeep",), ("migrate",), ("serve",)])
    def test_a_file_that_is_no_database_or_can_not_be_opened(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        (tmp_path / "text").write_text("this is no database, and long enough to be looked at " * 9)
        monkeypatch.setenv("WATCHWORD_DATABASE_URL", f"sqlite:///{tmp_path / 'text'}")
        assert_refused(run(*command), "not a SQLite database; look at WATCHWORD_DATABASE_URL", "(SQLITE_NOTADB)")
        monkeypatch.setenv("WATCHWORD_DATABASE_URL", f"sqlite:///{tmp_path}")
        assert_refused(run(*command), "can't be opened; look at WATCHWORD_DATABASE_URL", "(SQLITE_CANTOPEN)")

    def test_a_failed_connection_leaves_no_traceback_behind(self, tmp_path: Path) -> None:
        """Its thread reports to an event loop that has ended meanwhile."""
        environment = fleet.settings(f"sqlite:///{tmp_path}", tmp_path)
        for _ in range(4):
            _, err = watchword(environment, tmp_path, "keys", "list").communicate()
            assert err.count("\n") == 1, err

    def test_a_postgresql_without_the_database_or_that_is_not_there(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, postgres_url: str
    ) -> None:
        monkeypatch.setenv("WATCHWORD_DATABASE_URL", postgres_url + "_not_there")
        assert_refused(run("keys", "list"), "no database of that name; make it (createdb)")
        monkeypatch.setenv("WATCHWORD_DATABASE_URL", "postgresql://root:hunter2@127.0.0.1:1/x")
        assert_refused(run("keys", "list"), "nothing answers there", "(ConnectionRefusedError)")

    def test_a_user_who_is_not_there_is_refused_with_where_to_look(self, run: Run) -> None:
        assert_refused(run("users", "disable", "nobody"), "See who there is: watchword users list")

    def test_an_address_is_looked_at_before_a_password_is_asked_for(self, run: Run) -> None:
        assert_refused(run("users", "add", "x"), "email: This is not an email address.")
        assert_refused(run("users", "add", ADA, "--username", "-"), "username: A username has")

    def test_a_signing_key_that_nothing_opens_names_both_cures(self, run: Run, tmp_path: Path) -> None:
        """Put the master key back, or give the key up. Neither may need a start that is refused."""
        run("keys", "rotate")
        with closing(sqlite3.connect(tmp_path / ".watchword" / "watchword.db")) as connection, connection:
            connection.execute("UPDATE watchword_keys SET sealed = ? WHERE generation = 2", (b"\x01" + bytes(60),))
        assert_refused(run("users", "list"), "WATCHWORD_MASTER_KEYS", "watchword keys retire 2")
        assert "left_out" in states(run)
        assert run("keys", "retire", "2", "--yes").code == 0
        assert run("users", "list").code == 0


class Client:
    """Somebody with a browser, who may reach any worker."""

    def __init__(self, first: fleet.Worker) -> None:
        self.first = first

    def sign_in(self) -> dict[str, str]:
        body = {"email": ADA, "password": PASSWORD}
        assert httpx2.post(f"{self.first.url}/register", json=body).status_code == 202
        form = {"username": ADA, "password": PASSWORD}
        return self.kept(httpx2.post(f"{self.first.url}/login", data=form))

    def refresh(self, worker: fleet.Worker, token: str) -> dict[str, str]:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self.kept(httpx2.post(f"{worker.url}/refresh", data=form))

    def items(self, worker: fleet.Worker, token: str) -> int:
        return httpx2.get(f"{worker.url}/items/", headers={"Authorization": f"Bearer {token}"}).status_code

    def until(self, worker: fleet.Worker, token: str, status: int) -> None:
        give_up = time.monotonic() + PATIENCE
        while self.items(worker, token) != status:
            assert time.monotonic() < give_up
            time.sleep(0.02)

    @staticmethod
    def kept(answer: httpx2.Response) -> dict[str, str]:
        assert answer.status_code == 200, answer.text
        kept: dict[str, str] = answer.json()
        return kept
