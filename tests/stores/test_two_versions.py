"""Two versions of the code run on one database: migrations only add, and the database says whom it still serves."""

import importlib
import itertools
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from tests.ahead import AHEAD, bring_ahead
from tests.house import make_auth, open_house
from tests.stores.schemas import narrowed, reflected

from watchword import ConfigError
from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import COMPATIBLE_FROM, SCHEMA_VERSION

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
PUBLIC: dict[str, Any] = {"issuer": "https://auth.example.com", "master_keys": KEY}
FIRST_OF_MINOR = {"0.1": "0003"}
"""For each minor version the oldest schema whose code may run beside it. A new minor version adds a line; with it alone
`COMPATIBLE_FROM` may be raised."""


def migrated_to(connection: Connection, revision: str) -> None:
    command = importlib.import_module("alembic.command")
    command.upgrade(alembic(connection), revision)


def alembic(connection: Connection | None = None) -> Any:
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def steps() -> list[tuple[str, str]]:
    """The migrations that code at `COMPATIBLE_FROM` has to live with, each as where from and where to."""
    found = [script.revision for script in ScriptDirectory.from_config(alembic()).walk_revisions()][::-1]
    since = found[found.index(COMPATIBLE_FROM) :]
    return list(itertools.pairwise(since))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


async def execute(url: str, *statements: str) -> None:
    db = Database(url)
    db.settle(here=True)
    async with db.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await db.close()


class TestMigrationsOnlyAdd:
    def test_the_oldest_code_that_is_served_is_that_of_the_minor_version(self) -> None:
        """Whoever raises it in between stops the machines that have not been upgraded yet."""
        assert FIRST_OF_MINOR[".".join(version("watchword").split(".")[:2])] == COMPATIBLE_FROM
        assert COMPATIBLE_FROM <= SCHEMA_VERSION

    async def test_none_takes_anything_from_the_code_of_before(self, empty_url: str) -> None:
        db = Database(empty_url)
        db.settle(here=True)
        async with db.write() as connection:
            await connection.run_sync(migrated_to, COMPATIBLE_FROM)
            for before, after in steps():
                known = await connection.run_sync(reflected)
                await connection.run_sync(migrated_to, after)
                assert narrowed(known, await connection.run_sync(reflected)) == [], f"{before} to {after}"
        await db.close()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda op: op.drop_table("watchword_hits"), "watchword_hits is gone"),
            (lambda op: dropped(op, "watchword_users", "username"), "watchword_users.username is gone"),
            (lambda op: altered(op, nullable=False), "watchword_users.password_hash may not be null any more"),
            (lambda op: altered(op, type_=sa.String(10)), "watchword_users.password_hash is of another type"),
            (lambda op: added(op, sa.Column("more", sa.Text, nullable=False)), "watchword_hits.more is new, and has"),
            (lambda op: unique(op, "watchword_keys", "alg"), "watchword_keys: unique is another"),
            (lambda op: checked(op), "watchword_hits: bound by"),
        ],
        ids=["a table", "a column", "not null", "a type", "a column to give", "uniqueness", "a check"],
    )
    async def test_what_takes_something_is_noticed(
        self, database_url: str, change: Callable[[Operations], None], told: str
    ) -> None:
        def changed(connection: Connection) -> None:
            change(Operations(MigrationContext.configure(connection)))

        db = Database(database_url)
        db.settle(here=True)
        async with db.write() as connection:
            before = await connection.run_sync(reflected)
            await connection.run_sync(changed)
            assert told in "\n".join(narrowed(before, await connection.run_sync(reflected)))
        await db.close()

    async def test_what_only_adds_passes(self, database_url: str) -> None:
        db = Database(database_url)
        db.settle(here=True)
        async with db.write() as connection:
            before = await connection.run_sync(reflected)
            await connection.run_sync(bring_ahead)
            after = await connection.run_sync(reflected)
            assert narrowed(before, after) == []
            assert before != after
        await db.close()


def dropped(op: Operations, table: str, column: str) -> None:
    with op.batch_alter_table(table) as batch:
        batch.drop_column(column)


def altered(op: Operations, **change: Any) -> None:
    with op.batch_alter_table("watchword_users") as batch:
        batch.alter_column("password_hash", **change)


def on_postgresql(op: Operations) -> bool:
    return op.get_bind().dialect.name == "postgresql"


def added(op: Operations, column: "sa.Column[Any]") -> None:
    with op.batch_alter_table("watchword_hits", recreate="auto" if on_postgresql(op) else "always") as batch:
        batch.add_column(column)


def unique(op: Operations, table: str, column: str) -> None:
    op.create_index("one_of_each", table, [column], unique=True)


def checked(op: Operations) -> None:
    with op.batch_alter_table("watchword_hits") as batch:
        batch.create_check_constraint("watchword_hits_check", "until > 0")


class TestANewerDatabase:
    @pytest.fixture
    async def ahead_url(self, database_url: str) -> str:
        db = Database(database_url)
        db.settle(here=True)
        async with db.write() as connection:
            await connection.run_sync(bring_ahead)
        await db.close()
        return database_url

    async def test_the_code_of_before_goes_on_and_says_so_once(
        self, tmp_path: Path, ahead_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "watchword.schema")
        settings = {**PUBLIC, "registration": "open", "database_url": ahead_url}
        async with open_house(tmp_path, base_url="https://auth.example.com", **settings) as house:
            await house.register()
            login = await house.login()
            again = await house.refresh(login.refresh)
            assert (await house.me(again)).status_code == 200
            assert (await house.client.post("/logout", headers=again.headers)).status_code == 204
            assert (await house.me(again)).status_code == 401
        assert (
            caplog.text.count(f"the database is at schema {AHEAD}, this code at {SCHEMA_VERSION}, which may use it")
            == 1
        )

    async def test_a_localhost_of_before_goes_on_too(self, tmp_path: Path, ahead_url: str) -> None:
        async with open_house(tmp_path, database_url=ahead_url) as house:
            await house.register()
            assert (await house.me(await house.login())).status_code == 200

    async def test_the_code_of_the_oldest_schema_that_is_served_starts(
        self, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the database itself says it, and not a test."""
        monkeypatch.setattr(migrate, "SCHEMA_VERSION", COMPATIBLE_FROM)
        async with open_house(tmp_path, database_url=database_url) as house:
            await house.register()
            assert (await house.me(await house.login())).status_code == 200

    async def test_code_that_is_older_than_that_is_refused(
        self, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """CF-08: it would write rows that the newer code does not understand."""
        monkeypatch.setattr(migrate, "SCHEMA_VERSION", "0002")
        with pytest.raises(ConfigError, match=r"newer than this code.*Install the version"):
            await make_auth(tmp_path, database_url=database_url, **PUBLIC).start()

    async def test_a_database_that_does_not_say_whom_it_serves_serves_nobody_of_before(
        self, tmp_path: Path, ahead_url: str
    ) -> None:
        await execute(ahead_url, "DELETE FROM watchword_facts WHERE name = 'compatible_from'")
        with pytest.raises(ConfigError, match="newer than this code"):
            await make_auth(tmp_path, database_url=ahead_url, **PUBLIC).start()

    async def test_the_migration_of_before_leaves_it_as_it_is(self, ahead_url: str) -> None:
        """Machines are upgraded one by one, and each runs `watchword migrate` as it was installed there."""
        db = Database(ahead_url)
        db.settle(here=True)
        assert await migrate.upgrade(db) == AHEAD
        assert await migrate.version(db) == AHEAD
        async with db.read() as connection:
            columns = await connection.run_sync(lambda found: inspect(found).get_columns("watchword_users"))
        assert "hue" in {column["name"] for column in columns}
        await db.close()

    async def test_the_migration_of_long_before_is_refused_with_the_cure(self, ahead_url: str) -> None:
        await execute(ahead_url, f"UPDATE watchword_facts SET value = '{AHEAD}' WHERE name = 'compatible_from'")
        db = Database(ahead_url)
        db.settle(here=True)
        with pytest.raises(ConfigError, match=r"newer than this code.*Install the version"):
            await migrate.upgrade(db)
        await db.close()
