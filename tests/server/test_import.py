"""`watchword users import`: what an operator types to take over accounts, and what becomes of it when it is killed."""

import asyncio
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import fleet, importing
from tests.house import ADA
from tests.importing import BAD, Plan, compare, kill, start, write
from tests.server.commands import Run, Said, assert_refused

from watchword.core.errors import Unavailable
from watchword.flows.importing import BATCH
from watchword.stores.sql.users import SqlUsers

LINES = 2_000
SECRET = "hunter2-hunter2"


@pytest.fixture
def run(run: Run) -> Run:
    """Run `watchword users import` in an empty working directory."""

    def watchword(*arguments: str, stdin: bytes = b"", command: tuple[str, ...] = ("users", "import")) -> Said:
        said: Said = run(*command, *arguments, stdin=stdin)
        return said

    return watchword


def everybody(run: Run) -> list[str]:
    return [user["email"] for user in json.loads(run("--json", command=("users", "list")).out)]


def file_of(*lines: dict[str, Any] | bytes) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


GOOD = {"email": ADA, "password_hash": importing.pbkdf2()}
BOB = {"email": "bob@example.com"}


class TestTheCommand:
    def test_good_lines_are_taken_over_and_the_summary_says_so(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(file_of(GOOD, BOB))
        assert run("a.jsonl") == Said(0, "2 added, 0 already there, 0 bad.\n", "")
        assert run("a.jsonl") == Said(0, "0 added, 2 already there, 0 bad.\n", "")
        assert everybody(run) == [ADA, "bob@example.com"]

    def test_bad_lines_are_told_with_number_and_reason_and_the_exit_code_is_1(self, run: Run) -> None:
        said = run("-", stdin=file_of(GOOD, {"email": SECRET}, b"\n", BOB, {**BOB, "password": SECRET}))
        assert said.code == 1
        assert said.out.splitlines() == [
            "2 added, 0 already there, 2 bad.",
            "line 2: email: This is not an email address.",
            "line 6: password: a plain password is not taken over: hash it, or make the account with `watchword users add`",
        ]
        assert said.err == ""
        assert everybody(run) == [ADA, "bob@example.com"]

    def test_the_first_twenty_are_shown_and_the_rest_counted(self, run: Run, tmp_path: Path) -> None:
        bad = file_of(*[b"nonsense"] * 25)
        lines = run("-", stdin=bad).out.splitlines()
        assert len(lines) == 22
        assert lines[-1] == "and 5 more; --errors FILE keeps them all."
        lines = run("-", "--errors", "bad.jsonl", stdin=bad).out.splitlines()
        assert lines[-1] == "and 5 more; all are in bad.jsonl."
        kept = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
        assert kept == [{"line": n, "because": "the line is not strict JSON"} for n in range(1, 26)]

    def test_as_json_the_summary_is_for_programs(self, run: Run) -> None:
        said = run("-", "--json", stdin=file_of(GOOD, b"nonsense"))
        assert said.code == 1
        assert json.loads(said.out) == {
            "dry_run": False,
            "added": 1,
            "already_there": 0,
            "bad": 1,
            "first_bad_lines": [{"line": 2, "because": "the line is not strict JSON"}],
        }

    def test_a_dry_run_checks_everything_and_writes_nothing(self, run: Run) -> None:
        said = run("-", "--dry-run", stdin=file_of(GOOD, BOB, BOB, b"nonsense"))
        assert said.code == 1
        assert said.out.splitlines()[0] == "2 would be added, 1 already there, 1 bad."
        assert everybody(run) == []

    def test_no_line_of_any_output_shows_a_value(self, run: Run, tmp_path: Path) -> None:
        names = ("email", "password_hash", "username", "scopes", "disabled", "created_at", "id", "password", "secret")
        lines = [{**BOB, name: SECRET + '" '} for name in names]
        for how in ((), ("--json",), ("--errors", "bad.jsonl")):
            said = run("-", *how, stdin=file_of(*lines))
            assert SECRET not in said.out + said.err
        assert SECRET not in (tmp_path / "bad.jsonl").read_text()

    def test_every_kind_of_bad_line_is_told_and_skipped(self, run: Run, tmp_path: Path) -> None:
        plan = write(tmp_path / "a.jsonl", 2 * len(BAD), one_bad_in=2)
        said = run("a.jsonl", "--errors", "bad.jsonl")
        assert said.out.startswith(f"{len(BAD)} added, 0 already there, {len(BAD)} bad.")
        told = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
        assert [each["line"] for each in told] == plan.bad
        assert len({each["because"] for each in told}) >= 24
        compare(plan, f"sqlite:///{tmp_path / '.watchword' / 'watchword.db'}")

    def test_what_can_not_be_read_is_refused_with_the_cure(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        assert_refused(run("nowhere.jsonl"), "nowhere.jsonl can't be read (No such file or directory)")
        assert_refused(run("folder"), "folder can't be read (Is a directory)")
        assert_refused(run("a\0b"), "can't be read (not a file name)")
        assert_refused(run("-", stdin="{}".encode("utf-16")), "UTF-16", "iconv")
        assert_refused(run("-", stdin=b"\x1f\x8b\x08"), "compressed", "zcat")

    def test_a_binary_file_is_bad_lines_and_no_traceback(self, run: Run) -> None:
        said = run("-", stdin=bytes(range(256)) * 2000)
        assert said.code == 1
        assert "Traceback" not in said.err
        assert said.out.startswith("0 added, 0 already there, ")

    def test_an_empty_file_adds_nobody(self, run: Run) -> None:
        assert run("-") == Said(0, "0 added, 0 already there, 0 bad.\n", "")

    def test_the_file_of_errors_is_never_the_file_to_import(self, run: Run, tmp_path: Path) -> None:
        """To open it for writing would empty it before a line was read."""
        (tmp_path / "a.jsonl").write_bytes(file_of(GOOD))
        (tmp_path / "link").symlink_to("a.jsonl")
        for name in ("a.jsonl", "link"):
            assert_refused(run("a.jsonl", "--errors", name), "is the file to import itself")
        assert (tmp_path / "a.jsonl").read_bytes() == file_of(GOOD)

    def test_a_file_of_errors_that_can_not_be_written_is_refused_before_anything_is_done(self, run: Run) -> None:
        assert_refused(run("-", "--errors", "nowhere/bad.jsonl", stdin=file_of(GOOD)), "can't be written")
        assert everybody(run) == []

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_a_disk_that_is_full_is_told_in_words(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(file_of({"email": "x"}))
        assert_refused(run("a.jsonl", "--errors", "/dev/full"), "can't be written any more")

    def test_bcrypt_without_its_extra_is_refused_with_the_cure(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "bcrypt", None)
        assert_refused(run("-", stdin=file_of({**GOOD, "password_hash": importing.HASHES[0]})), "pip install bcrypt")

    def test_a_database_that_fails_halfway_says_how_far_it_came(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original, calls = SqlUsers.add_many, 0

        async def failing(self: SqlUsers, new: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise Unavailable("the database failed: OperationalError")
            return await original(self, new)

        monkeypatch.setattr(SqlUsers, "add_many", failing)
        lines = file_of(*({"email": f"user{n}@example.com"} for n in range(BATCH + 5)))
        assert_refused(run("-", stdin=lines), f"({BATCH} accounts)", "Start the import again, and it goes on.")
        monkeypatch.undo()

    def test_a_store_that_takes_no_imports_says_so(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        class OwnUsers:
            def __init__(self, _: object) -> None:
                pass

        monkeypatch.setattr("watchword.home.SqlUsers", OwnUsers)
        assert_refused(run("-", stdin=file_of(GOOD)), "a table of its own")


class TestProgress:
    def test_without_a_terminal_a_line_comes_now_and_then(self, run: Run) -> None:
        said = run("-", "--dry-run", stdin=b"nonsense\n" * 20_001)
        assert said.err == "10,000 lines read\n20,000 lines read\n"

    @pytest.mark.parametrize("source", ["a.jsonl", "-"])
    def test_at_a_terminal_a_bar_is_drawn_on_stderr(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
    ) -> None:
        (tmp_path / "a.jsonl").write_bytes(file_of(GOOD, BOB))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        said = run(source, stdin=file_of(GOOD, BOB))
        assert said.out == "2 added, 0 already there, 0 bad.\n"
        assert "2 lines" in said.err


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return write(tmp_path / "accounts.jsonl", LINES, one_bad_in=20)


class TestKilled:
    """`kill -9` at any moment: the second start ends with exactly the good ones, each once."""

    def finish(self, plan: Plan, url: str, folder: Path) -> None:
        errors = folder / "errors.jsonl"
        process = start(str(plan.path), url, folder, "--errors", str(errors))
        process.communicate(timeout=120)
        assert process.returncode == 1, (folder / "import.log").read_text()
        assert [json.loads(line)["line"] for line in errors.read_text().splitlines()] == plan.bad
        compare(plan, url)

    def test_while_it_waits_for_more_lines(self, plan: Plan, database_url: str, tmp_path: Path) -> None:
        """Two batches are in, a third is begun; the process is killed for certain before its end."""
        process = start("-", database_url, tmp_path)
        assert process.stdin is not None
        process.stdin.write(b"".join(plan.path.read_bytes().splitlines(keepends=True)[: 2 * BATCH + 100]))
        process.stdin.flush()
        good_of_two = sum(number <= 2 * BATCH and number not in plan.bad for number in range(1, LINES))
        there = kill(process, database_url, at_least=good_of_two)
        assert there == good_of_two
        self.finish(plan, database_url, tmp_path)

    def test_in_the_middle_of_a_transaction(self, plan: Plan, database_url: str, tmp_path: Path) -> None:
        """The rows are written and not committed: none of them may be there, and none may be missing afterwards."""
        program = (
            "import os, signal, sys\n"
            "from watchword.stores.sql import users\n"
            "look, calls = users._in_the_way, []\n"
            "async def last(connection, rows):\n"
            "    calls.append(connection.in_transaction())\n"
            "    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return await look(connection, rows)\n"
            "users._in_the_way = last\n"
            f"sys.argv = ['watchword', 'users', 'import', {str(plan.path)!r}]\n"
            "from watchword.server.cli import run\n"
            "run()\n"
        )
        environment = fleet.settings(database_url, tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == -9, done.stderr
        there = len(asyncio.run(importing.everybody(database_url)))
        assert there == sum(number <= BATCH and number not in plan.bad for number in range(1, LINES))
        self.finish(plan, database_url, tmp_path)

    def test_the_file_stays_as_it_was(self, plan: Plan, sqlite_url: str, tmp_path: Path) -> None:
        before = plan.path.read_bytes()
        plan.path.chmod(stat.S_IRUSR)
        self.finish(plan, sqlite_url, tmp_path)
        assert plan.path.read_bytes() == before
