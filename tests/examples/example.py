"""An example, copied to a folder of its own and run there by the commands that its README gives."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.live import free_port, wait

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = "correct horse battery staple"


def environment() -> dict[str, str]:
    """This one's, without any setting of Watchword or pytest, and with the programs of this environment first."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "PYTEST_", "COVERAGE_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass
class Example:
    """A copy of `examples/<name>`; `settings` stand in the environment of every command."""

    name: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def copy(cls, name: str, to: Path, **settings: str) -> "Example":
        folder = to / name
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.db"))
        return cls(name, folder, settings)

    def blocks(self) -> list[str]:
        """The shell blocks of the README."""
        readme = (self.folder / "README.md").read_text(encoding="utf-8")
        return re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)

    def run(self, command: str) -> str:
        """Run a command to its end; what it printed. Raises AssertionError when it fails."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=environment() | self.settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def serving(self, command: str) -> Iterator[str]:
        """Run a command that serves, on a free port; its address. It is stopped at the end."""
        port, log = free_port(), self.folder.parent / f"{self.name}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [*command.split(), "--port", str(port)],
                cwd=self.folder,
                env=environment() | self.settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait(f"http://localhost:{port}/openapi.json", server, log)
            yield f"http://localhost:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)
