"""The database that a proof stands on: fresh in milliseconds, copied while nobody is connected, and put back."""

import shutil
from pathlib import Path
from typing import Protocol

from tests import servers


class Ground(Protocol):
    """One database. `backup` and `restore` are for while nobody is connected."""

    @property
    def url(self) -> str: ...

    def backup(self) -> None:
        """Keep a copy of what it holds now, in the place of an older one."""

    def restore(self) -> None:
        """Hold again what the copy holds."""

    def close(self) -> None:
        """Give everything back."""


class SqliteGround:
    """A file, copied from a migrated one."""

    def __init__(self, template: Path, folder: Path) -> None:
        self._file = folder / "watchword.db"
        self._copy = folder / "backup.db"
        shutil.copyfile(template, self._file)

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    def backup(self) -> None:
        for beside in ("-wal", "-shm"):
            assert not Path(f"{self._file}{beside}").exists(), "a stopped house leaves one whole file"
        shutil.copyfile(self._file, self._copy)

    def restore(self) -> None:
        shutil.copyfile(self._copy, self._file)

    def close(self) -> None:
        self._file.unlink()
        self._copy.unlink(missing_ok=True)


class PostgresGround:
    """A database of its own on the session's server."""

    def __init__(self, server: servers.PostgresServer, template: str) -> None:
        self._server = server
        self._url = server.create_database(template)
        self._copy: str | None = None

    @property
    def url(self) -> str:
        return self._url

    def backup(self) -> None:
        if self._copy is not None:
            self._server.drop_database(self._copy)
        self._copy = self._server.create_database(self.url)

    def restore(self) -> None:
        assert self._copy is not None
        self._server.drop_database(self.url)
        self._server.create_database(self._copy, name=self.url.rpartition("/")[2])

    def close(self) -> None:
        for url in (self.url, self._copy):
            if url is not None:
                self._server.drop_database(url)
