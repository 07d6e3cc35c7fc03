"""The environment that the scripts share: `.venv`, made on first use from requirements.lock.

Standard library only, and in words that an old Python 3 can read far enough to be refused.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts a script may well have an older one
    sys.exit(f"watchword needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}")

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"
LOCKED = ROOT / "requirements.lock"
_LOCK = VENV / ".watchword-lock"  # uv waits for whoever holds .venv/.lock
_STAMP = VENV / ".watchword-stamp"


class _Stamp(NamedTuple):
    """What an environment was made for; the last step of an install writes it down."""

    packages: str
    project: str


class _Tool(NamedTuple):
    """A way to make an environment: the words before its directory, and those before what to install."""

    name: str
    make: tuple[str, ...]
    install: tuple[str, ...]


_BASE = os.path.realpath(sys.executable)  # not the python of a .venv that is about to go
_UV = _Tool(
    "uv",
    ("uv", "venv", "--quiet", "--allow-existing", "--python", _BASE),
    ("uv", "pip", "install", "--quiet", "--python", str(PYTHON)),
)
_PIP = _Tool(
    "pip",
    (_BASE, "-m", "venv"),
    (str(PYTHON), "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"),
)


def run(module: str, *arguments: str) -> None:
    """Become `python -m module` inside the environment; does not return."""
    prepare()
    os.execv(PYTHON, [str(PYTHON), "-m", module, *arguments])


def prepare() -> None:
    """Make `.venv` what the project asks for; costs next to nothing when it already is."""
    if _is_ready():
        return
    VENV.mkdir(exist_ok=True)
    with _one_at_a_time():
        if _is_ready():  # whoever held the lock before did the work
            return
        made = _read_stamp()
        if made is not None and made.packages == _wanted().packages and _first_that_works(_install_project):
            return
        if not _first_that_works(_build):
            sys.exit("watchword: .venv could not be made; the reason stands above")


def _is_ready() -> bool:
    return PYTHON.exists() and _read_stamp() == _wanted()


def _wanted() -> _Stamp:
    place = f"{sys.version}\n{sys.base_prefix}\n{ROOT}\n".encode()
    packages = hashlib.sha256(place + LOCKED.read_bytes())
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    return _Stamp(packages.hexdigest(), project.hexdigest())


def _read_stamp() -> _Stamp | None:
    try:
        packages, project = _STAMP.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return _Stamp(packages, project)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the lock; a process that is killed lets go of it too."""
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another start, which is making .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _first_that_works(step: Callable[[_Tool], bool]) -> bool:
    """Try uv where it is, then pip: a machine's pip configuration may know an index that uv does not."""
    tools = [_UV, _PIP] if shutil.which("uv") else [_PIP]
    return any(step(tool) for tool in tools)


def _build(tool: _Tool) -> bool:
    """Make the environment from nothing, so that it holds what is locked and no more."""
    _say(f"making .venv from requirements.lock with {tool.name} (once; it may take a minute)")
    _clear()
    return (
        _do(*tool.make, str(VENV))
        and _do(*tool.install, "--require-hashes", "--no-deps", "-r", str(LOCKED))  # the file names every one
        and _install_project(tool)
    )


def _install_project(tool: _Tool) -> bool:
    wanted = _wanted()
    done = _do(*tool.install, "--no-deps", "-e", str(ROOT))
    if done:
        _STAMP.write_text("\n".join(wanted))
    return done


def _clear() -> None:
    _STAMP.unlink(missing_ok=True)  # first: what follows may be cut short
    for entry in VENV.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != _LOCK:
            entry.unlink()


def _do(*command: str) -> bool:
    """Run one step with its words on standard error, and say which one failed."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode:
        _say(f"this failed: {' '.join(command)}")
    return done.returncode == 0


def _say(words: str) -> None:
    print(f"watchword: {words}", file=sys.stderr, flush=True)
