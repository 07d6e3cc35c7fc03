"""How many threads may hash here: the processors of this process, and what its container leaves of them.

An affinity mask is a set of processors of its own. A quota of cgroups is a ration of time: whoever uses it up is stopped as a
whole, the event loop too, and no thread's low priority helps. So hashing stays below a quota where it can.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MAX_THREADS = 64


def hashing_threads(workers: int) -> int:
    """How many threads each of so many workers on this machine has for hashing: 1 to 64."""
    limit = quota()
    threads = available() if limit is None else min(available(), max(1, math.ceil(limit) - 1))
    return min(MAX_THREADS, max(1, threads // workers))


def available() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota() -> float | None:
    """The processors' time per time that the cgroups of this process grant it; None without a limit, and off Linux.

    A group is bound by those above it too. In a container the path may be the host's, and only the root is seen.
    """
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += [share for group in _upwards(CGROUPS, path) if (share := _share(group / "cpu.max", None))]
        elif "cpu" in controllers.split(","):
            root = CGROUPS / "cpu"
            found += [
                share
                for group in _upwards(root, path)
                if (share := _share(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us"))
            ]
    return min(found, default=None)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    inside = PurePosixPath(path.lstrip("/"))
    for part in (inside, *inside.parents):
        yield root / part


def _share(quota: Path, period: Path | None) -> float | None:
    """Of version 2 one file has both numbers (`200000 100000`, or `max 100000`), of version 1 there are two."""
    with contextlib.suppress(OSError, ValueError):
        numbers = quota.read_text().split()
        if period is not None:
            numbers += period.read_text().split()
        micros, every = map(int, numbers)
        if micros > 0 and every > 0:
            return micros / every
    return None
