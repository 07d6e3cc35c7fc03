"""Users of fastapi-users keep their ids and their passwords, by the code of docs/en/from-fastapi-users.md, in both ways.

The table and the hashes are what fastapi-users 15.0.5, its SQLAlchemy adapter 7.0.0 and pwdlib 0.3.0 made: the statements of
`Base.metadata.create_all`, and values as `UserManager.create` stored them.
"""

import asyncio
import contextlib
import importlib
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.docs import pages, running
from tests.house import CHEAP, House, open_house

from watchword import Auth, Settings
from watchword.stores.sql.engine import parse
from watchword.testing import FrozenClock, contracts

PAGE = pages.DOCS / "en" / "from-fastapi-users.md"
CODE = {block.title: block.code for block in pages.blocks(PAGE) if block.title not in ("", "before", "main.py")}

TABLES = {
    "sqlite": """
CREATE TABLE user (
    id CHAR(36) NOT NULL,
    email VARCHAR(320) NOT NULL,
    hashed_password VARCHAR(1024) NOT NULL,
    is_active BOOLEAN NOT NULL,
    is_superuser BOOLEAN NOT NULL,
    is_verified BOOLEAN NOT NULL,
    PRIMARY KEY (id)
)""",
    "postgresql": """
CREATE TABLE "user" (
    id UUID NOT NULL,
    email VARCHAR(320) NOT NULL,
    hashed_password VARCHAR(1024) NOT NULL,
    is_active BOOLEAN NOT NULL,
    is_superuser BOOLEAN NOT NULL,
    is_verified BOOLEAN NOT NULL,
    PRIMARY KEY (id)
)""",
}
INDEX = 'CREATE UNIQUE INDEX ix_user_email ON "user" (email)'
ROW = 'INSERT INTO "user" VALUES (:id, :email, :hashed_password, :is_active, :is_superuser, :is_verified)'


@dataclass(frozen=True)
class Old:
    """An account of fastapi-users, with the password that its owner types."""

    id: str
    email: str
    hashed_password: str
    password: str
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = False


USERS = (
    Old(
        "670b6549-7369-4fc6-9f0d-c7d06734d5ea",
        "Ada@example.com",  # the local part stays as it was typed
        "$argon2id$v=19$m=65536,t=3,p=4$E+V0ye+3zC79vIMAdObq8Q$4mFsgpMWYz7QaSBZCt4awWaOqJJVryXZyXmRJCt2dHs",
        "correct horse battery staple",
        is_superuser=True,
        is_verified=True,
    ),
    Old(
        "ddc861ae-5de8-476f-998a-fbcca9c8f9b2",
        "bob@example.com",
        "$argon2id$v=19$m=65536,t=3,p=4$HNdcf+NNi5Z8ykIFGOjksA$RlKgeGK3vzt26J0QObh3eDwPwoNahJfK5NvW4iK/dsE",
        "abc",
    ),
    Old(
        "0ae080e1-dc51-4470-b5d4-3751c5d3b812",
        "carol@example.com",
        "$2b$12$E08.jXN.Wqb319Ctr.AwXOCf2Hhz71v08zLNsEmJoCQYoWwwM4LX6",
        "old times",
        is_verified=True,
    ),
    Old(
        "c5b31aa1-6c50-4a5f-8d1e-0f1f0a3a0f10",
        "gone@example.com",
        "$2b$12$60VpoqNoqhDJZZ33/ZnSAuBAyjdm.mw.xpX9HE8RTNcGEFCRZPblu",
        "abc",
        is_active=False,
    ),
)
SCOPES = {old.email.lower(): ["admin"] if old.is_superuser else [] for old in USERS}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The application's own engine, on a database with fastapi-users' table beside Watchword's."""
    engine = create_async_engine(parse(database_url))
    await fill(engine, USERS)
    yield engine
    await engine.dispose()


async def fill(engine: AsyncEngine, users: tuple[Old, ...]) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(TABLES[engine.dialect.name]))
        await connection.execute(text(INDEX))
        for old in users:
            row = {name: value for name, value in vars(old).items() if name != "password"}
            row["id"] = uuid.UUID(old.id) if engine.dialect.name == "postgresql" else old.id
            await connection.execute(text(ROW), row)


async def rows(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    statement = text('SELECT id, lower(email), is_active, is_superuser, is_verified FROM "user" ORDER BY email')
    async with engine.connect() as connection:
        return [(str(row[0]), *row[1:]) for row in await connection.execute(statement)]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's people.py."""
    save(tmp_path, "people.py")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("people", None)
    yield importlib.import_module("people")
    sys.modules.pop("people", None)


def save(folder: Path, name: str) -> Path:
    (folder / name).write_text(CODE[name], encoding="utf-8")
    return folder / name


async def sign_everybody_in(house: House) -> None:
    """With the passwords of before: all but those who were not active, and a wrong password nobody."""
    for old in USERS:
        if not old.is_active:
            assert (await house.try_login(old.email, old.password)).status_code == 400
            continue
        assert (await house.try_login(old.email, old.password + "!")).status_code == 400
        me = (await house.me(await house.login(old.email, old.password))).json()
        assert (me["user_id"], me["email"]) == (old.id, old.email.lower())
        assert me["scopes"] == SCOPES[old.email.lower()]


async def test_copied_over_they_keep_their_ids_and_old_passwords_work(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    script = save(tmp_path, "export.py")
    before = await rows(engine)
    environment = {"OLD_DATABASE": engine.url.render_as_string(hide_password=False)}
    exported = await asyncio.to_thread(ran, environment, str(script))
    assert [set(json.loads(line)) for line in exported.splitlines()] == [
        {"id", "email", "password_hash", "scopes", "disabled"}
    ] * len(USERS)
    settings = {"WATCHWORD_DATABASE_URL": database_url, "WATCHWORD_DATA_DIR": str(tmp_path / "home")}
    for added, there in ((len(USERS), 0), (0, len(USERS))):
        said = await asyncio.to_thread(
            ran, settings, "-m", "watchword", "users", "import", "-", "--json", given=exported
        )
        assert (json.loads(said)["added"], json.loads(said)["already_there"]) == (added, there)
    async with open_house(tmp_path, database_url=database_url) as house:
        await sign_everybody_in(house)
        assert await hashes(house, engine) == {"today": 3, "as it was": 1}
    assert await rows(engine) == before


async def test_left_where_they_are_they_keep_everything_and_old_passwords_work(
    engine: AsyncEngine, people: ModuleType, tmp_path: Path
) -> None:
    before = await rows(engine)
    await people.prepare(engine)
    assert await rows(engine) == before
    async with own_house(engine, people, tmp_path) as house:
        await sign_everybody_in(house)
        kit = await house.kit()
        everybody: list[Any] = [one.user for one in await kit.users.page("", 10)]
        verified = {one.email: one.is_verified for one in everybody}
        assert verified == {old.email.lower(): old.is_verified for old in USERS}
        assert await house.register("dora@example.com")
        await house.login("DORA@example.com")
    assert [row for row in await rows(engine) if row[1] != "dora@example.com"] == before


async def test_two_addresses_that_differ_in_case_stop_the_preparation_and_change_nothing(
    people: ModuleType, database_url: str
) -> None:
    """fastapi-users looks its users up without case, and its index allows both."""
    engine = create_async_engine(parse(database_url))
    twin = Old(str(uuid.uuid4()), "ADA@example.com", USERS[1].hashed_password, "abc")
    await fill(engine, (*USERS, twin))
    before = await rows(engine)
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        await people.prepare(engine)
    assert await rows(engine) == before
    async with engine.connect() as connection:
        columns = (await connection.execute(text('SELECT * FROM "user"'))).keys()
    assert "epoch" not in columns
    await engine.dispose()


class TestPeople(contracts.UsersContract):
    """The page's implementation keeps what `ports.Users` promises, on both databases."""

    @pytest.fixture
    async def stores(self, database_url: str, people: ModuleType, tmp_path: Path) -> AsyncIterator[Any]:
        engine = create_async_engine(parse(database_url))
        await fill(engine, ())
        await people.prepare(engine)
        auth = await Auth(Settings(data_dir=tmp_path), engine=engine, users=people.People(engine)).start()
        yield await auth.open()
        await auth.stop()
        await engine.dispose()


@contextlib.asynccontextmanager
async def own_house(engine: AsyncEngine, people: ModuleType, folder: Path) -> AsyncIterator[House]:
    """An application on its own engine and users."""
    clock, app = FrozenClock(), FastAPI()
    auth: Auth[Any] = Auth(
        Settings(data_dir=folder), engine=engine, users=people.People(engine), clock=clock, argon2=CHEAP
    )
    auth.install(app)
    await auth.start()
    transport = httpx2.ASGITransport(app=app)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield House(app, auth, clock, client)
    finally:
        await auth.stop()


async def hashes(house: House, engine: AsyncEngine) -> dict[str, int]:
    """How many are kept with today's parameters, and how many as they were."""
    async with engine.connect() as connection:
        stored = (await connection.execute(text("SELECT password_hash FROM watchword_users"))).scalars().all()
    old = {one.hashed_password for one in USERS}
    return {"today": sum(one not in old for one in stored), "as it was": sum(one in old for one in stored)}


def ran(environment: dict[str, str], *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=running.environment() | environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
