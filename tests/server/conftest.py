"""What every test of commands may ask for."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.live import free_port
from tests.server.commands import NEW, Run, Said, Terminal

from watchword.server import cli


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in an empty working directory, with `stdin` on its standard input."""
    for name in {*os.environ, "WATCHWORD_ISSUER", "WATCHWORD_DATABASE_URL"}:
        if name.startswith("WATCHWORD_"):
            monkeypatch.setenv(name, "")  # so that it is put back whatever the command does
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)

    def watchword(*arguments: str, stdin: str | bytes | Terminal = "") -> Said:
        if arguments[:1] == ("serve",) and "--port" not in arguments:  # somebody's server may run on the usual one
            arguments = (*arguments, "--port", str(free_port()))
        typed = stdin.encode() if isinstance(stdin, str) else stdin
        piped = io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8") if isinstance(typed, bytes) else typed
        monkeypatch.setattr(sys, "argv", ["watchword", *arguments])
        monkeypatch.setattr(sys, "stdin", piped)
        code: Any = 0
        try:
            cli.run()
        except SystemExit as leaving:
            code = leaving.code or 0
        out, err = capsys.readouterr()
        if isinstance(code, str):  # as the interpreter does
            code, err = 1, f"{err}{code}\n"
        told = [line for line in err.splitlines(keepends=True) if not line.startswith(NEW)]
        return Said(code, out, "".join(told), made=NEW in err)

    return watchword
