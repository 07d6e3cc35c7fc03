"""Who else on this machine can reach the files: the database's and the master key's."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from watchword.home import Places
from watchword.server.doctor.findings import Finding, found
from watchword.stores.sql import examination

MOUNTS = Path("/proc/self/mounts")
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "9p", "glusterfs", "gpfs", "beegfs"}
)
GIT_SECONDS = 10


def examine(places: Places, database: Path | None) -> Iterator[Finding]:
    """Findings about the files that are there. `database` is the SQLite file, if one is used."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield found("running-as-root")
    if places.folder is not None and places.folder.is_dir() and _mode(places.folder) & 0o077:
        yield found("data-folder-open", cure=f"chmod 700 {places.folder}")
    if places.key_file is not None and places.key_file.exists():
        yield from _key_file(places.key_file)
    if database is not None and database.exists():
        yield from _database_file(database)


def filesystem(path: Path) -> str:
    """The type of the file system that holds the path; empty where the system does not tell (it is not Linux)."""
    try:
        lines = [line.split() for line in MOUNTS.read_text(errors="replace").splitlines()]
    except OSError:
        return ""
    resolved = path.resolve()
    held = [(len(_unescape(words[1])), words[2]) for words in lines if len(words) > 2 and _holds(words[1], resolved)]
    return max(held, key=lambda one: one[0])[1] if held else ""


def _key_file(path: Path) -> Iterator[Finding]:
    if _mode(path) & 0o077:
        yield found("key-file-open", cure=f"chmod 600 {path} (and make a new key if anybody may have read it)")
    if _in_git(path):
        yield found("key-file-in-git")


def _database_file(path: Path) -> Iterator[Finding]:
    beside = [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]
    opened = [one for one in beside if one.exists() and _mode(one) & 0o006]
    if opened and _reachable(path.parent):
        yield found("database-file-open", cure=f"chmod 600 {' '.join(str(one) for one in opened)}")
    folder = _mode(path.parent)
    if folder & stat.S_IWOTH and _reachable(path.parent):
        yield found("database-folder-writable", cure=f"chmod 700 {path.parent}")
    kind = filesystem(path)
    if kind in NETWORK or kind.startswith("fuse."):
        yield found(
            "database-on-network", f"The SQLite file lies on a network file system ({kind}), whose locks do not hold."
        )
    if not examination.journal_is_wal(path) and path.stat().st_size:
        yield found("database-not-wal")
    if _in_git(path):
        yield found("database-in-git")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _reachable(folder: Path) -> bool:
    """Whether every folder on the way lets others through."""
    resolved = folder.resolve()
    return all(_mode(each) & stat.S_IXOTH for each in (resolved, *resolved.parents))


def _holds(mount_point: str, path: Path) -> bool:
    return path.is_relative_to(_unescape(mount_point))


def _unescape(mount_point: str) -> str:
    """Spaces and their like stand as octal numbers. proc_mounts(5), fstab(5)."""
    return mount_point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _in_git(path: Path) -> bool:
    """Whether git would take the file along: it lies in a work tree and is not ignored, or is followed already."""
    git = shutil.which("git")
    if git is None or not any((folder / ".git").exists() for folder in path.resolve().parents):
        return False
    try:
        done = subprocess.run(  # noqa: S603 - git itself, and a path of the settings as one argument
            [git, "-C", str(path.parent), "check-ignore", "-q", "--", path.name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 1  # 128: git itself refuses, which says nothing
