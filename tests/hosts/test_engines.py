"""Watchword on the application's own SQLAlchemy engine: its pool, its database, and it stays the application's."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool
from tests.house import ADA, CHEAP, PASSWORD

from watchword import Auth, ConfigError, Settings
from watchword.core.errors import StillReferenced
from watchword.flows import accounts
from watchword.testing import FrozenClock

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The host's engine, with the defaults of `create_async_engine`."""
    url = database_url.replace("sqlite:", "sqlite+aiosqlite:")
    made = create_async_engine(url)
    yield made
    await made.dispose()


@contextlib.asynccontextmanager
async def house(engine: AsyncEngine, folder: Path, **settings: Any) -> AsyncIterator[tuple[Auth, httpx2.AsyncClient]]:
    auth = Auth(Settings(data_dir=folder / "home", **settings), engine=engine, clock=FrozenClock(), argon2=CHEAP)
    app = FastAPI()
    auth.install(app)
    await auth.start()
    try:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client:
            yield auth, client
    finally:
        await auth.stop()


async def sign_in(client: httpx2.AsyncClient) -> dict[str, str]:
    await client.post("/register", json={"email": ADA, "password": PASSWORD})
    answer = await client.post("/login", data={"username": ADA, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


async def test_the_whole_journey_runs_on_the_hosts_engine(engine: AsyncEngine, tmp_path: Path) -> None:
    async with house(engine, tmp_path) as (_, client):
        tokens = await sign_in(client)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        refreshed = await client.post("/refresh", data=form)
        headers = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}
        assert (await client.get("/me", headers=headers)).json()["email"] == ADA
        assert (await client.post("/logout", headers=headers)).status_code == 204
        assert (await client.get("/me", headers=headers)).status_code == 401
    assert not list((tmp_path / "home").glob("*.db*")), "no database beside the host's"


async def test_statements_go_through_the_hosts_pool_and_leave_its_connections_as_they_were(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    seen: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *told: seen.append(told[2]))
    async with engine.connect() as connection:
        before = await connection.get_isolation_level()
    async with house(engine, tmp_path) as (_, client):
        await sign_in(client)
    assert any("watchword_sessions" in statement for statement in seen)
    async with engine.begin() as connection:  # alive after our stop, and isolated as the host chose
        assert await connection.get_isolation_level() == before
        assert (await connection.execute(text("SELECT count(*) FROM watchword_users"))).scalar_one() == 1


async def test_a_transaction_of_the_host_still_rolls_back(engine: AsyncEngine, tmp_path: Path) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)"))
    async with house(engine, tmp_path) as (_, client):
        await sign_in(client)
        async with engine.connect() as connection:
            await connection.execute(text("INSERT INTO notes VALUES (1, 'draft')"))
            await connection.rollback()
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM notes"))).scalar_one() == 0


async def test_an_echoing_engine_does_not_write_what_we_keep_into_the_hosts_log(
    engine: AsyncEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The attack: a developer turns `echo` on, and whoever reads the log has every password hash."""
    with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
        engine.echo = True
        async with house(engine, tmp_path) as (_, client):
            await sign_in(client)
    assert "watchword_sessions" in caplog.text
    assert "$argon2" not in caplog.text
    assert ADA not in caplog.text


@pytest.mark.parametrize("logger", ["sqlalchemy.engine", None], ids=["SQLAlchemy's", "the root"])
async def test_a_log_that_is_turned_up_as_far_as_it_goes_holds_nothing_that_we_keep(
    engine: AsyncEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture, logger: str | None
) -> None:
    """The attack: the same, with `echo="debug"` or `basicConfig(level=DEBUG)`. Parameters were hidden, and the rows that came
    back were printed, hashes and all; aiosqlite prints every statement with its parameters."""
    with caplog.at_level(logging.DEBUG, logger=logger):
        async with house(engine, tmp_path) as (_, client):
            await sign_in(client)
    assert "$argon2" not in caplog.text
    assert ADA not in caplog.text


async def test_many_logins_at_once_share_the_hosts_pool(engine: AsyncEngine, tmp_path: Path) -> None:
    async with house(engine, tmp_path) as (_, client):
        await sign_in(client)
        names = [ADA, *(f"user{number}@example.com" for number in range(3))]
        for name in names[1:]:
            await client.post("/register", json={"email": name, "password": PASSWORD})
        forms = [{"username": name, "password": PASSWORD} for name in names] * 8  # ten at once is the limit of each
        answers = await asyncio.gather(*(client.post("/login", data=form) for form in forms))
        assert {answer.status_code for answer in answers} == {200}


async def test_a_host_that_begins_sqlites_transactions_itself_is_no_obstacle(sqlite_url: str, tmp_path: Path) -> None:
    """SQLAlchemy's own recipe for SQLite emits BEGIN from a listener: ours came second, and every write was a 503."""
    engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))

    def leave_it_to_me(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    event.listen(engine.sync_engine, "connect", leave_it_to_me)
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    async with house(engine, tmp_path) as (_, client):
        await sign_in(client)
    await engine.dispose()


async def test_an_engine_that_moves_tables_into_a_schema_takes_ours_along(postgres_url: str, tmp_path: Path) -> None:
    """The second start did not find the version, and made the tables again."""
    engine = create_async_engine(postgres_url, execution_options={"schema_translate_map": {None: "shop"}})
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA shop"))
    for _ in range(2):
        async with house(engine, tmp_path) as (_, client):
            await sign_in(client)
    async with engine.begin() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM shop.watchword_users"))).scalar_one() == 1
    await engine.dispose()


async def test_an_account_that_a_row_of_the_host_points_to_is_not_deleted(engine: AsyncEngine, tmp_path: Path) -> None:
    def enforce(connection: Any, _record: object) -> None:
        connection.cursor().execute("PRAGMA foreign_keys=ON")

    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", enforce)
    async with engine.begin() as connection:
        await connection.execute(
            text("CREATE TABLE notes (id INTEGER PRIMARY KEY, owner VARCHAR(64) REFERENCES watchword_users (id))")
        )
    async with house(engine, tmp_path) as (auth, client):
        tokens = await sign_in(client)
        kit = await auth.open()
        ada = await accounts.find(kit, ADA)
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO notes VALUES (1, :owner)"), {"owner": ada.id})
        with pytest.raises(StillReferenced):
            await accounts.delete(kit, ada.id)
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await client.get("/me", headers=headers)).status_code == 200
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM notes"))
        await accounts.delete(kit, ada.id)
        assert (await client.get("/me", headers=headers)).status_code == 401


class TestWhatIsNoEngineForUs:
    def test_a_synchronous_engine_is_refused_with_the_cure(self, tmp_path: Path) -> None:
        engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
        auth = Auth(Settings(data_dir=tmp_path), engine=engine)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"takes an AsyncEngine\. .*database_url=engine\.url"):
            asyncio.run(auth.start())

    def test_something_else_is_refused(self, tmp_path: Path) -> None:
        auth = Auth(Settings(data_dir=tmp_path), engine="sqlite:///app.db")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="create_async_engine"):
            asyncio.run(auth.start())

    def test_one_connection_for_everybody_is_refused(self, tmp_path: Path) -> None:
        """The attack: a request of the host that fails rolls back the logout that was just confirmed."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}", poolclass=StaticPool)
        auth = Auth(Settings(data_dir=tmp_path), engine=engine)
        with pytest.raises(ConfigError, match="StaticPool"):
            asyncio.run(auth.start())

    def test_a_database_in_memory_is_refused(self, tmp_path: Path) -> None:
        auth = Auth(Settings(data_dir=tmp_path), engine=create_async_engine("sqlite+aiosqlite://"))
        with pytest.raises(ConfigError, match="memory"):
            asyncio.run(auth.start())

    def test_a_setting_that_names_another_database_is_refused_without_its_password(self, tmp_path: Path) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
        settings = Settings(data_dir=tmp_path, database_url="postgresql://me:hunter2@host/name?password=hunter2")
        with pytest.raises(ConfigError, match="name two databases") as refused:
            asyncio.run(Auth(settings, engine=engine).start())
        assert "hunter2" not in str(refused.value)

    def test_a_setting_that_names_the_engines_database_is_welcome(self, tmp_path: Path) -> None:
        """The commands read it where no --app is given."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
        settings = Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path / 'app.db'}")

        async def start() -> None:
            auth = await Auth(settings, engine=engine).start()
            await auth.stop()
            await engine.dispose()

        asyncio.run(start())

    def test_off_localhost_an_engine_says_where_users_are_kept(self, tmp_path: Path) -> None:
        public = Settings(issuer="https://auth.example.com", master_keys=KEY, data_dir=tmp_path)
        with pytest.raises(ConfigError, match=r"WATCHWORD_DATABASE_URL.*engine=engine"):
            Auth(public)
        Auth(public, engine=create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"))
