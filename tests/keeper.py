"""A session's servers go when the session goes: at its end, and also when its process is killed.

The session holds a lock, which the kernel takes from it in any case. Beside each server waits a small process
(this file, run as a program) that gets the lock only then, stops the server and removes its directory.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Home:
    """The directory that a session's servers live in, each in one of its own, for as long as it is held."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ww-"))  # short: a Unix socket's path has about 100 bytes
        self.path.chmod(0o711)  # a server may run as another user
        self._hold = _held(self.path).open("w")
        fcntl.flock(self._hold, fcntl.LOCK_EX)

    def close(self) -> None:
        """Let the servers go, and return when they have gone."""
        self._hold.close()
        if not _servers(self.path):
            shutil.rmtree(self.path, ignore_errors=True)
        wait_until_gone(self.path)


def keep(directory: Path, stop: list[str]) -> None:
    """When the session that holds the directory's parent is gone, run `stop` and remove the directory."""
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    subprocess.run([sys.executable, "-I", __file__, directory, *stop], env=unmeasured, check=True)


def wait_until_gone(home: Path, seconds: float = 90) -> None:
    """Return when the last keeper has removed the home. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while home.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"a server in {home} does not stop")
        time.sleep(0.01)


def _held(home: Path) -> Path:
    return home / "held"


def _servers(home: Path) -> list[Path]:
    return [entry for entry in home.glob("*") if entry.is_dir()]


def _main(directory: Path, stop: list[str]) -> None:
    if os.fork():
        return  # whoever called `keep` goes on
    os.setsid()  # Ctrl-C is meant for the tests
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    home = directory.parent
    with _held(home).open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        subprocess.run(stop, check=False)
        shutil.rmtree(directory, ignore_errors=True)
        if not _servers(home):
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
