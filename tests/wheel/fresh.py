"""A wheel as it would be published, and an environment that has never heard of this repository."""

import email
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PASSES_BY = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", ".watchword", "__pycache__", ".coverage*"
)


def copy_of_the_repository(to: Path) -> Path:
    """The tree, without what the tools of a developer left in it."""
    return shutil.copytree(ROOT, to, ignore=PASSES_BY)


def build(tree: Path, out: Path, *kinds: str) -> Path:
    """Build (`--wheel`, `--sdist`) with what is locked; the file that came of it."""
    run([sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", str(out), str(tree)], tree)
    (built,) = out.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> "email.message.Message[str, str]":
    """What the wheel says of itself."""
    (told,) = [raw for name, raw in contents(wheel).items() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(told)


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, and an empty folder to work in."""

    home: Path
    folder: Path

    @property
    def python(self) -> str:
        return str(self.home / "bin" / "python")

    @property
    def watchword(self) -> str:
        return str(self.home / "bin" / "watchword")

    def install(self, wheel: Path, *extras: str) -> None:
        """Install the wheel with these extras: its dependencies in the locked versions, by their hashes."""
        locked = self.home / "locked.txt"
        locked.write_text("".join(_blocks(_needed(metadata(wheel).get_all("Requires-Dist", []), extras))))
        self._packages("install", "--quiet", "--no-deps", "--require-hashes", "-r", str(locked))
        self._packages("install", "--quiet", "--no-deps", str(wheel))
        self._packages("check")  # nothing that the wheel asks for is missing

    def run(self, *command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of this environment in its folder, to the end, whatever that is."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=surroundings(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _packages(self, verb: str, *arguments: str) -> None:
        """uv where it is; pip where it is not, or where uv does not know the index that pip does."""
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", verb]
        uv = ["uv", "pip", verb, "--python", self.python]
        if not shutil.which("uv") or self.run(*uv, *arguments).returncode:
            run([*pip, *arguments], self.folder)


def environment(home: Path, folder: Path) -> Environment:
    """A new environment with nothing but pip in it."""
    folder.mkdir()
    run([sys.executable, "-m", "venv", str(home)], folder)
    return Environment(home, folder)


def surroundings(**settings: str) -> dict[str, str]:
    """This process's environment without what leads back to the repository, or measures it."""
    leads_back = ("WATCHWORD_", "COVERAGE_", "PYTHON", "PYTEST_", "VIRTUAL_ENV")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(leads_back)}, **settings}


def run(command: list[str], folder: Path) -> None:
    """Run a command that has to work. Raises AssertionError with what it said."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"


def _needed(requirements: Iterable[str], extras: tuple[str, ...]) -> set[str]:
    """The names of everything that these requirements bring on this machine."""
    names: set[str] = set()
    waiting = [(Requirement(text), extras) for text in requirements]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        requirement, given = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *given)):
            continue
        name, more = canonicalize_name(requirement.name), tuple(sorted(requirement.extras))
        names.add(name)
        if (name, more) not in seen:
            seen.add((name, more))
            waiting += [(Requirement(text), more) for text in importlib.metadata.requires(name) or ()]
    return names


def _blocks(names: set[str]) -> list[str]:
    """The part of requirements.lock that is about these names."""
    missing = names - _locked().keys()
    assert not missing, f"requirements.lock does not name {missing}"
    return [_locked()[name] for name in sorted(names)]


@functools.cache
def _locked() -> dict[str, str]:
    blocks: dict[str, str] = {}
    for block in re.findall(r"^\S.*\n(?:\s.*\n)*", (ROOT / "requirements.lock").read_text(), re.MULTILINE):
        name = canonicalize_name(re.split("[=;]", block, maxsplit=1)[0].strip())
        blocks[name] = blocks.get(name, "") + block  # another version for another Python
    return blocks
