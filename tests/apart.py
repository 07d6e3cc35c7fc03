"""Two machines on one: processes in network namespaces of their own share no loopback, only what a Unix socket leads to."""

import os
import subprocess
from functools import cache
from pathlib import Path

WAYS = (("unshare", "--user", "--map-root-user", "--net"), ("unshare", "--net"))
"""As anybody; and as root, where namespaces of users are forbidden."""


class Together(Exception):
    """This platform can't set processes apart; the text is what it said."""


@cache
def command() -> list[str]:
    """What stands before the command of a process that gets a network namespace of its own, and keeps its pid.

    Raises Together.
    """
    said = []
    for way in WAYS:
        try:
            subprocess.run([*way, "true"], capture_output=True, text=True, check=True)
        except subprocess.CalledProcessError as error:
            said.append(f"{' '.join(way)}: {error.stderr.strip()}")
        except OSError as error:
            said.append(f"{way[0]}: {error.strerror}")
        else:
            return list(way)
    raise Together("; ".join(said))


def namespace(pid: int | str) -> str:
    """The network namespace that the process is in."""
    return os.readlink(f"/proc/{pid}/ns/net")


def interfaces(pid: int) -> list[str]:
    """The names of the network interfaces that the process can see."""
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def tcp_sockets(pid: int) -> int:
    """How many TCP sockets there are in the process's namespace: listening, open, or closed a moment ago."""
    return sum(len(Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()) - 1 for kind in ("tcp", "tcp6"))
