"""The first start on a loopback issuer makes what is needed, once; every start looks whether the database fits."""

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.house import make_auth, open_house

from watchword import Auth, ConfigError
from watchword.flows import signing_keys
from watchword.home import Home
from watchword.settings import Settings
from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import SCHEMA_VERSION

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
NEW_KEY = "Zt4-wQ9_nB2xC7vL1mK6jH3gF8dS5aPo"


TOO_NEW = (
    "UPDATE watchword_schema SET version_num = '9999'",
    "UPDATE watchword_facts SET value = '9998' WHERE name = 'compatible_from'",
)


async def execute(url: str, *statements: str) -> None:
    db = Database(url)
    db.settle(here=True)
    async with db.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await db.close()


async def started(auth: Auth) -> list[str]:
    """The ids of the keys that this start found or made."""
    try:
        await auth.start()
        return [record.kid for record in (await auth.open()).keyring.ring.records]
    finally:
        await auth.stop()


class TestTheFolder:
    async def test_it_holds_the_database_and_a_private_key_and_git_leaves_it_alone(self, tmp_path: Path) -> None:
        async with open_house(tmp_path) as house:
            folder = tmp_path / "home"
            assert {entry.name for entry in folder.iterdir()} >= {"watchword.db", "master.key", ".gitignore"}
            assert oct(folder.stat().st_mode & 0o777) == "0o700"
            assert oct((folder / "master.key").stat().st_mode & 0o777) == "0o600"
            assert (folder / ".gitignore").read_text() == "*\n"
            assert len((folder / "master.key").read_text().strip()) == 43
            assert str(folder / "master.key") in "\n".join(house.auth.describe())
            assert (folder / "master.key").read_text().strip() not in "\n".join(house.auth.describe())

    async def test_a_second_start_changes_nothing_in_it(self, tmp_path: Path) -> None:
        first = await started(make_auth(tmp_path))
        key = (tmp_path / "home" / "master.key").read_bytes()
        (tmp_path / "home" / ".gitignore").write_text("# mine\n")
        assert await started(make_auth(tmp_path)) == first
        assert (tmp_path / "home" / "master.key").read_bytes() == key
        assert (tmp_path / "home" / ".gitignore").read_text() == "# mine\n"
        assert not list((tmp_path / "home").glob(".draft-*"))

    async def test_what_is_given_is_not_made(self, tmp_path: Path, sqlite_url: str) -> None:
        await started(make_auth(tmp_path, master_keys=KEY, database_url=sqlite_url))
        assert not (tmp_path / "home").exists()

    async def test_a_place_that_can_not_be_written_is_told_with_the_cure(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("a file")
        with pytest.raises(ConfigError, match="WATCHWORD_DATA_DIR"):
            await make_auth(tmp_path).start()

    async def test_a_full_disk_is_told_with_the_cure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(**_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(tempfile, "mkstemp", full)
        with pytest.raises(ConfigError, match=r"master\.key can't be made \(No space left .*WATCHWORD_MASTER_KEYS"):
            await make_auth(tmp_path).start()

    @pytest.mark.parametrize("content", ["", "\n", "short", "a" * 64])
    async def test_a_key_file_that_somebody_broke_is_named(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "master.key").write_text(content)
        with pytest.raises(ConfigError, match=r"master\.key") as refused:
            await make_auth(tmp_path).start()
        assert not content.strip() or content.strip() not in str(refused.value).replace("shorter", "")

    async def test_a_key_file_that_was_lost_does_not_get_a_silent_successor(self, tmp_path: Path) -> None:
        """A new key could not open the signing keys; making new ones would sign everybody out without a word."""
        await started(make_auth(tmp_path))
        (tmp_path / "home" / "master.key").unlink()
        with pytest.raises(ConfigError, match="another master key"):
            await make_auth(tmp_path).start()

    def test_of_many_threads_all_get_one_key(self, tmp_path: Path) -> None:
        masters: list[Any] = []
        together = threading.Barrier(16)

        def make() -> None:
            settings = Settings(data_dir=tmp_path / "home")
            together.wait()
            masters.append(Home(settings).masters)

        threads = [threading.Thread(target=make) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(masters) == 16
        assert len(set(masters)) == 1

    def test_of_many_processes_all_get_one_key_one_schema_and_one_signing_key(self, tmp_path: Path) -> None:
        """The workers of one server start at once, in an empty folder."""
        program = """
            import asyncio, os, sys
            from watchword import Auth, Settings
            from watchword.core import sealing
            from watchword.home import Home  # imported before the fork, so that all are as close as can be
            import alembic.command, alembic.config

            async def start():
                auth = Auth(Settings(data_dir="home"))
                await auth.start()
                kids = [record.kid for record in (await auth.open()).keyring.ring.records]
                line = " ".join([sealing.check_value(auth._home.masters[0]), *kids])
                os.write(1, (line + os.linesep).encode())  # at once: print writes the words of several lines mixed
                await auth.stop()

            reader, writer = os.pipe()
            children = []
            for _ in range(16):
                child = os.fork()
                if child == 0:
                    os.close(writer)
                    os.read(reader, 1)  # returns for all at once, when the parent lets go
                    try:
                        asyncio.run(start())
                        os._exit(0)
                    except BaseException as error:
                        print(repr(error), file=sys.stderr, flush=True)
                        os._exit(1)
                children.append(child)
            os.close(reader)
            os.close(writer)
            sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 16
        assert len(set(lines)) == 1, lines
        assert len(lines[0].split()) == 2
        assert not list((tmp_path / "home").glob(".draft-*"))

    async def test_many_first_starts_on_one_postgresql_make_one_schema_and_one_signing_key(
        self, tmp_path: Path, postgres_url: str
    ) -> None:
        auths = [make_auth(tmp_path, database_url=postgres_url) for _ in range(8)]
        found = await asyncio.gather(*(started(auth) for auth in auths))
        assert len(found[0]) == 1
        assert all(one == found[0] for one in found)


class TestTheMasterKey:
    async def test_another_one_is_refused_and_makes_no_new_key(self, tmp_path: Path, database_url: str) -> None:
        """With a wrong key a worker would otherwise sign with keys of its own, which no other worker knows."""
        made = await started(make_auth(tmp_path, master_keys=KEY, database_url=database_url))
        with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS") as refused:
            await make_auth(tmp_path, master_keys=NEW_KEY, database_url=database_url).start()
        assert KEY not in str(refused.value)
        assert NEW_KEY not in str(refused.value)
        assert await started(make_auth(tmp_path, master_keys=KEY, database_url=database_url)) == made

    async def test_the_old_one_may_stand_behind_a_new_one(self, tmp_path: Path, database_url: str) -> None:
        async with open_house(tmp_path, master_keys=KEY, database_url=database_url) as house:
            await house.register()
            login = await house.login()
        async with open_house(tmp_path, master_keys=f"{NEW_KEY},{KEY}", database_url=database_url) as house:
            assert (await house.me(login)).status_code == 200
            assert (await house.try_refresh(login.refresh)).status_code == 200

    async def test_what_the_new_one_sealed_the_old_one_alone_does_not_open(
        self, tmp_path: Path, database_url: str
    ) -> None:
        both = make_auth(tmp_path, master_keys=f"{NEW_KEY},{KEY}", database_url=database_url)
        await started(both)
        with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS"):
            await make_auth(tmp_path, master_keys=KEY, database_url=database_url).start()

    @pytest.mark.parametrize("resealed", [False, True], ids=["before", "after"])
    async def test_who_has_the_old_master_key_alone_opens_all_before_a_reseal_and_leaves_out_what_comes_after(
        self, tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture, resealed: bool
    ) -> None:
        """A new master key is given to one worker after another. Those that still wait for it go on: with everything while
        the database is the old one's, with what they have opened once it was resealed, and then they say so."""
        async with open_house(tmp_path, master_keys=KEY, database_url=database_url) as house:
            await house.register()
            login = await house.login()
            newer = make_auth(
                tmp_path,
                clock=house.clock,
                master_keys=f"{NEW_KEY},{KEY}",
                database_url=database_url,
                key_rotation=3600,
            )
            await newer.start()
            if resealed:
                await signing_keys.reseal(await newer.open())
            house.clock.tick(3000)
            assert await (await newer.open()).keyring.rotate(house.clock.now())
            await newer.stop()
            kit = await house.kit()
            await kit.keyring.reload()
            assert [record.generation for record in kit.keyring.ring.records] == ([1] if resealed else [1, 2])
            assert ("a signing key is left out: WATCHWORD_MASTER_KEYS" in caplog.text) is resealed
            again = await house.refresh(login.refresh)
            assert (await house.me(again)).status_code == 200
            late = make_auth(tmp_path, master_keys=KEY, database_url=database_url)
            if resealed:
                with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS"):
                    await late.start()
            else:
                await started(late)


class TestTheSchema:
    def public(self, folder: Path, url: str) -> Auth:
        return make_auth(folder, issuer="https://auth.example.com", master_keys=KEY, database_url=url)

    async def test_a_newer_database_is_refused_everywhere(self, tmp_path: Path, database_url: str) -> None:
        """An old worker would write rows that the new ones do not understand."""
        await execute(database_url, *TOO_NEW)
        for auth in (self.public(tmp_path, database_url), make_auth(tmp_path, database_url=database_url)):
            with pytest.raises(ConfigError, match=f"9999, which is newer than this code .{SCHEMA_VERSION}."):
                await auth.start()

    async def test_an_older_database_is_refused_off_localhost_with_the_command(
        self, tmp_path: Path, database_url: str
    ) -> None:
        await execute(database_url, "UPDATE watchword_schema SET version_num = '0000'")
        with pytest.raises(ConfigError, match=r"older than this code.*watchword migrate"):
            await self.public(tmp_path, database_url).start()

    async def test_an_empty_sqlite_is_refused_off_localhost_with_the_command(self, tmp_path: Path) -> None:
        """A path with a typing error must not become a new, empty house."""
        with pytest.raises(ConfigError, match=r"is empty\. Run: watchword migrate"):
            await self.public(tmp_path, f"sqlite:///{tmp_path / 'typo.db'}").start()

    async def test_an_empty_postgresql_is_refused_off_localhost_with_the_command(
        self, tmp_path: Path, postgres_url: str
    ) -> None:
        with pytest.raises(ConfigError, match=r"is empty\. Run: watchword migrate"):
            await self.public(tmp_path, postgres_url).start()

    async def test_after_the_command_it_starts(self, tmp_path: Path, postgres_url: str) -> None:
        db = Database(postgres_url)
        db.settle(here=True)
        assert await migrate.version(db) is None
        assert await migrate.upgrade(db) == SCHEMA_VERSION
        await db.close()
        assert len(await started(self.public(tmp_path, postgres_url))) == 1

    @pytest.mark.parametrize(
        ("url", "cure"),
        [
            ("nonsense", "sqlite:///path/to/file.db"),
            ("mysql://root:hunter2@localhost/x", "sqlite or postgresql"),
            ("sqlite://", "sqlite:///watchword.db"),
            ("sqlite:///:memory:", "sqlite:///watchword.db"),
            ("sqlite:///file:x?mode=memory&uri=true", "sqlite:///watchword.db"),
        ],
    )
    async def test_what_is_no_database_is_refused_without_its_password(
        self, tmp_path: Path, url: str, cure: str
    ) -> None:
        with pytest.raises(ConfigError, match="WATCHWORD_DATABASE_URL") as refused:
            await make_auth(tmp_path, database_url=url).start()
        assert cure in str(refused.value)
        assert "hunter2" not in str(refused.value)

    async def test_a_refused_start_can_be_tried_again(self, tmp_path: Path, database_url: str) -> None:
        await execute(database_url, *TOO_NEW)
        auth = make_auth(tmp_path, database_url=database_url)
        with pytest.raises(ConfigError, match="newer"):
            await auth.start()
        await execute(database_url, f"UPDATE watchword_schema SET version_num = '{SCHEMA_VERSION}'")
        assert len(await started(auth)) == 1
