"""The other Pythons that the project promises to run on, where this machine has them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _environment

PROMISED = "3.11", "3.12", "3.13"
MINE = f"{sys.version_info.major}.{sys.version_info.minor}"

ABLE_TO_MEASURE = "3.12", "3.13"
"""Python 3.11 can hang: the weakref callback of a greenlet whose thread has ended runs in a pending call, and a traced call in
there waits for the next pending call, which waits for this one."""

NOT_MEASURED = f"the coverage is measured under Python {' or '.join(ABLE_TO_MEASURE)}, and neither is here"

PROBE = "import sqlite3, ssl, sys, venv; print('%d.%d' % sys.version_info[:2], getattr(sys, '_base_executable'))"
"""What a Python has to have here; a pyenv shim without its version, or one that was built without SQLite, fails."""


def find(version: str) -> str | None:
    """A Python of this version that works: of the PATH first, then of pyenv and uv."""
    return next((found for path in _candidates(version) if (found := _works(path, version))), None)


def measuring() -> str | None:
    """The newest version that the coverage can be measured under."""
    return next((version for version in reversed(ABLE_TO_MEASURE) if version == MINE or find(version)), None)


def environment(version: str) -> _environment.Environment | None:
    """The environment for a version; None where no such Python is."""
    if version == MINE:
        return _environment.HERE
    python = find(version)
    return (python and _environment.Environment(_environment.ROOT / f".venv-{version}", python)) or None


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    for folder in os.get_exec_path():
        if shutil.which(name, path=folder):
            yield Path(folder, name)
    homes = os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), Path.home() / ".local/share/uv/python"
    for home, shape in zip(homes, (f"versions/{version}*", f"cpython-{version}.*"), strict=True):
        yield from sorted(Path(home).glob(f"{shape}/bin/{name}"), reverse=True)


def _works(python: Path, version: str) -> str | None:
    """Where the Python really is, so that the environment made of it does not depend on a shim."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    is_, _, where = done.stdout.strip().partition(" ")
    return where if done.returncode == 0 and is_ == version else None
