"""`watchword audit …`: whether the log is whole, and what is in it."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.house import ADA, BOB, PASSWORD
from tests.server.commands import Run, assert_refused
from tests.server.test_cli import make

from watchword.core import audit


def changed(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / ".watchword" / "watchword.db")) as connection, connection:
        connection.execute(statement)


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Path:
    """A key, two accounts, and a scope."""
    make(run)
    run("users", "add", BOB, stdin=PASSWORD)
    assert run("users", "grant", ADA, "read").code == 0
    return tmp_path


class TestVerify:
    def test_a_log_that_nobody_touched_is_whole(self, run: Run, filled: Path) -> None:
        """What a command did is sealed when it ends."""
        said = run("audit", "verify")
        assert (said.code, said.err) == (0, "")
        assert "4 rows, from position 1 to 4." in said.out
        assert said.out.endswith("The audit log is whole.\n")

    def test_a_head_that_was_noted_is_looked_for(self, run: Run, filled: Path) -> None:
        """LS-03: the attacker puts a backup in the place of today's log; both are whole."""
        head = next(line for line in run("audit", "verify").out.splitlines() if line.startswith("head "))[5:]
        assert run("audit", "verify", "--head", head).code == 0
        position, _, digest = head.partition(":")
        assert run("audit", "verify", "--head", f"{position}:{'0' * len(digest)}").code == 1
        said = run("audit", "verify", "--head", f"99:{digest}")
        assert said.code == 1
        assert "the log reached to position 99" in said.out
        for nonsense in ("nonsense", "4:00", f"-1:{digest}", f"{10**20}:{digest}"):
            assert_refused(run("audit", "verify", "--head", nonsense), "POSITION:HASH")

    def test_what_is_not_there_is_not_called_whole(self, run: Run, filled: Path) -> None:
        """LS-03: the end was cut off, and somebody asks for what stood there."""
        assert run("audit", "verify", "--from", "4").code == 0
        assert_refused(run("audit", "verify", "--from", "5"), "The audit log ends at position 4")
        assert run("audit", "verify", "--from", str(10**20)).code == 2

    def test_what_is_wrong_is_told_with_its_position(self, run: Run, filled: Path) -> None:
        changed(filled, "UPDATE watchword_audit SET user_id = 'mallory' WHERE position = 2")
        changed(filled, "DELETE FROM watchword_audit WHERE position = 3")
        said = run("audit", "verify")
        assert said.code == 1
        assert "position 2: changed: " in said.out
        assert "position 3: removed: it is not there" in said.out
        assert said.out.endswith("The audit log is NOT whole: 2 faults.\n")
        assert run("audit", "verify", "--from", "3").code == 0

    def test_more_than_a_hundred_faults_are_counted(
        self, run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("watchword.core.audit_verification.MOST_FAULTS", 1)
        changed(filled, "UPDATE watchword_audit SET kind = 'X'")
        said = run("audit", "verify")
        assert "and 3 more" in said.out

    def test_other_programs_get_json(self, run: Run, filled: Path) -> None:
        found: dict[str, Any] = json.loads(run("audit", "verify", "--json").out)
        assert (found["whole"], found["rows"], found["first"], found["last"]) == (True, 4, 1, 4)
        assert (found["unsealed"], found["erased"], found["checkpoints"], found["unknown"]) == (0, 0, 1, 0)
        assert found["head"]["position"] == 4
        changed(filled, "DELETE FROM watchword_audit_checkpoints")
        said = run("audit", "verify", "--json")
        found = json.loads(said.out)
        assert (said.code, found["whole"], found["head"], found["signed_at"]) == (1, False, None, None)
        assert found["faults"][0]["kind"] == "unproved"

    def test_rows_that_wait_and_rows_that_were_erased_are_counted(self, run: Run, filled: Path) -> None:
        changed(filled, "UPDATE watchword_audit SET personal_hash = X'00', personal = NULL WHERE position = 4")
        changed(filled, "UPDATE watchword_audit SET position = NULL WHERE position = 4")
        out = run("audit", "verify").out
        assert "1 rows are not sealed yet." in out
        assert "position 4: removed" in out

    def test_a_new_log_has_nothing(self, run: Run, tmp_path: Path) -> None:
        run("keys", "list")
        changed(tmp_path, "DELETE FROM watchword_audit")
        changed(tmp_path, "DELETE FROM watchword_audit_checkpoints")
        said = run("audit", "verify")
        assert (said.code, said.out) == (0, "No row is sealed yet.\nThe audit log is whole.\n")

    def test_deleting_an_account_leaves_it_whole(self, run: Run, filled: Path) -> None:
        """What was personal is gone, and the log is no other."""
        assert run("users", "delete", BOB, "--yes").code == 0
        assert run("audit", "verify").code == 0
        assert '"UserDeleted"' in run("audit", "export").out


class TestExport:
    def test_each_line_is_an_event_that_others_can_verify(self, run: Run, filled: Path) -> None:
        """With what docs/en/audit.md says, and nothing of ours."""
        said = run("audit", "export")
        lines = [json.loads(line) for line in said.out.splitlines()]
        assert [one["kind"] for one in lines] == ["KeyPublished", "Registered", "Registered", "ScopesChanged"]
        assert [one["position"] for one in lines] == [1, 2, 3, 4]
        last = bytes(32)
        for one in lines:
            facts = json.dumps(one["facts"], separators=(",", ":"), sort_keys=True)
            fields = [one["number"], one["at"], one["kind"], one["user_id"], facts, one["personal_hash"]]
            canonical = json.dumps(fields, separators=(",", ":"))
            last = hashlib.sha256(last + canonical.encode()).digest()
            assert last.hex() == one["hash"]
        assert audit.BEGINNING.hash == bytes(32)

    def test_a_time_is_narrowed(self, run: Run, filled: Path) -> None:
        assert run("audit", "export", "--since", "2999-01-01").out == ""
        assert run("audit", "export", "--until", "2000-01-01T12:00:00").out == ""
        assert len(run("audit", "export", "--since", "2000-01-01").out.splitlines()) == 4


class TestTail:
    def test_the_last_events_are_shown(self, run: Run, filled: Path) -> None:
        lines = run("audit", "tail", "-n", "2").out.splitlines()
        assert len(lines) == 2
        assert " 4 ScopesChanged " in lines[1]
        assert run("audit", "tail", "-n", "0").out == ""
