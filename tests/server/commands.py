"""What a command is typed at, and what it says."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

NEW = "watchword: a new database was made in "


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code. `made` says that it told of a new database, which is then not in `err`."""

    code: int
    out: str
    err: str
    made: bool = field(default=False, compare=False)


Run = Callable[..., Said]
"""Runs a command with its arguments, and `stdin` on its standard input."""


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self) -> bool:
        return True


def assert_refused(said: Said, *texts: str) -> None:
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith("watchword: ")
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    for text in texts:
        assert text in said.err
