"""The environments that the scripts share: `.venv`, made on first use from requirements.lock; others for other Pythons, and
one for the peers that the benchmarks compare with.

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
LOCKED = ROOT / "requirements.lock"
PEERS_LOCKED = ROOT / "benchmarks" / "peers.lock"


class _Stamp(NamedTuple):
    """What an environment was made for; the last step of an install writes it down."""

    packages: str
    project: str


class _Tool(NamedTuple):
    """A way to make an environment: the words before its directory, and those before what to install."""

    name: str
    make: tuple[str, ...]
    install: tuple[str, ...]


class Environment:
    """One directory with a Python of its own, what a lock names, and the project unless it is to be left out."""

    def __init__(self, folder: Path, base: str, locked: Path = LOCKED, *, with_project: bool = True) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        self.base = base
        self._locked = locked
        self._with_project = with_project
        self._lock = folder / ".watchword-lock"  # uv waits for whoever holds .venv/.lock
        self._stamp = folder / ".watchword-stamp"

    def run(self, module: str, *arguments: str) -> None:
        """Become `python -m module` inside the environment; does not return."""
        self.prepare()
        os.execv(self.python, [str(self.python), "-m", module, *arguments])

    def prepare(self) -> None:
        """Make the environment what the project asks for; costs next to nothing when it already is."""
        if self._is_ready():
            return
        self.folder.mkdir(exist_ok=True)
        with self._one_at_a_time():
            if self._is_ready():  # whoever held the lock before did the work
                return
            made = self._read_stamp()
            if made is not None and made.packages == self._wanted().packages and self._first(self._install_project):
                return
            if not self._first(self._build):
                sys.exit(f"watchword: {self.folder.name} could not be made; the reason stands above")

    def _is_ready(self) -> bool:
        return self.python.exists() and self._read_stamp() == self._wanted()

    def _wanted(self) -> _Stamp:
        place = f"{self.base}\n{sys.version}\n{sys.base_prefix}\n{ROOT}\n".encode()
        packages = hashlib.sha256(place + self._locked.read_bytes())
        project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() if self._with_project else b"")
        return _Stamp(packages.hexdigest(), project.hexdigest())

    def _read_stamp(self) -> _Stamp | None:
        try:
            packages, project = self._stamp.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return _Stamp(packages, project)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Hold the lock; a process that is killed lets go of it too."""
        with self._lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say(f"waiting for another start, which is making {self.folder.name}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _first(self, step: Callable[[_Tool], bool]) -> bool:
        """Try uv where it is, then pip: a machine's pip configuration may know an index that uv does not."""
        tools = [self._uv(), self._pip()] if shutil.which("uv") else [self._pip()]
        return any(step(tool) for tool in tools)

    def _uv(self) -> _Tool:
        return _Tool(
            "uv",
            ("uv", "venv", "--quiet", "--allow-existing", "--python", self.base),
            ("uv", "pip", "install", "--quiet", "--python", str(self.python)),
        )

    def _pip(self) -> _Tool:
        return _Tool(
            "pip",
            (self.base, "-m", "venv"),
            (str(self.python), "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"),
        )

    def _build(self, tool: _Tool) -> bool:
        """Make the environment from nothing, so that it holds what is locked and no more."""
        _say(f"making {self.folder.name} from {self._locked.name} with {tool.name} (once; it may take a minute)")
        self._clear()
        return (
            _do(*tool.make, str(self.folder))
            and _do(*tool.install, "--require-hashes", "--no-deps", "-r", str(self._locked))  # the file names every one
            and self._install_project(tool)
        )

    def _install_project(self, tool: _Tool) -> bool:
        wanted = self._wanted()
        done = not self._with_project or _do(*tool.install, "--no-deps", "-e", str(ROOT))
        if done:
            self._stamp.write_text("\n".join(wanted))
        return done

    def _clear(self) -> None:
        self._stamp.unlink(missing_ok=True)  # first: what follows may be cut short
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != self._lock:
                entry.unlink()


def _do(*command: str) -> bool:
    """Run one step with its words on standard error, and say which one failed."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode:
        _say(f"this failed: {' '.join(command)}")
    return done.returncode == 0


def _say(words: str) -> None:
    print(f"watchword: {words}", file=sys.stderr, flush=True)


HERE = Environment(ROOT / ".venv", os.path.realpath(sys.executable))  # not the python of a .venv that is about to go
PEERS = Environment(ROOT / ".venv-peers", HERE.base, PEERS_LOCKED, with_project=False)
BIN = HERE.bin
run = HERE.run
prepare = HERE.prepare

if __name__ == "__main__":
    prepare()
