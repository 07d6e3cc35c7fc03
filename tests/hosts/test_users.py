"""Accounts in a table of the host's own, which it changes without a word to us."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, update
from tests.house import ADA, CHEAP, House

from watchword import Auth, ConfigError, Settings, User
from watchword.core.models import Credentials
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import users
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock


@dataclass(frozen=True)
class Shop:
    """A house with accounts of the host's (a table like ours, but not ours to watch), and the host's own way to them."""

    house: House
    db: Database

    async def disable(self) -> None:
        async with self.db.write() as connection:
            await connection.execute(update(users).values(disabled_at=self.house.clock.now()))

    async def delete(self) -> None:
        async with self.db.write() as connection:
            await connection.execute(delete(users))


@pytest.fixture
async def shop(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    db = Database(sqlite_url)
    db.settle(here=True)
    clock, app = FrozenClock(), FastAPI()
    settings = Settings(data_dir=tmp_path / "home", database_url=sqlite_url)
    auth = Auth(settings, users=SqlUsers(db), clock=clock, argon2=CHEAP)
    auth.install(app)
    await auth.start()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        house = House(app, auth, clock, client)
        await house.register()
        yield Shop(house, db)
    await auth.stop()
    await db.close()


async def test_a_refresh_goes_on_while_the_account_is_there(shop: Shop) -> None:
    login = await shop.house.login()
    refreshed = await shop.house.refresh(login.refresh)
    assert (await shop.house.me(refreshed)).status_code == 200


@pytest.mark.parametrize("act", ["disable", "delete"])
async def test_whom_the_host_takes_away_in_its_own_table_gets_no_new_token(shop: Shop, act: str) -> None:
    """The attack: a dismissed employee's application goes on refreshing, since only the back office's table knows."""
    login = await shop.house.login()
    await (shop.disable() if act == "disable" else shop.delete())
    refused = await shop.house.try_refresh(login.refresh)
    assert refused.json()["error"] == "invalid_grant"
    listed = await shop.house.client.get("/sessions", headers=login.headers)
    assert listed.status_code == 401, "the session was ended, and with it every token"


async def test_a_scope_that_is_refused_at_a_refresh_leaves_the_token_as_it_was(shop: Shop) -> None:
    login = await shop.house.login()
    refused = await shop.house.try_refresh(login.refresh, scope="admin")
    assert refused.json()["error"] == "invalid_scope"
    shop.house.clock.tick(60)
    await shop.house.refresh(login.refresh)


async def test_a_refresh_of_an_ended_session_is_refused_without_asking_for_its_user(shop: Shop) -> None:
    login = await shop.house.login()
    await shop.house.client.post("/logout", headers=login.headers)
    assert (await shop.house.try_refresh(login.refresh)).json()["error"] == "invalid_grant"


class TestALoginThatIsOvertaken:
    """Between the proof and the session somebody changes the account: the login reads it again before tokens go out."""

    async def test_scopes_that_keep_changing_refuse_the_login_in_the_end(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kit = await shop.house.kit()
        get, turns = kit.users.get, iter(range(100))

        async def changing(user_id: str) -> Credentials[User] | None:
            found = await get(user_id)
            assert found is not None
            assert isinstance(found.user, User)
            return Credentials(replace(found.user, scopes=frozenset({f"s{next(turns)}"})), found.password_hash)

        monkeypatch.setattr(kit.users, "get", changing)
        refused = await shop.house.try_login()
        assert refused.json()["error"] == "invalid_grant"
        monkeypatch.undo()
        login = await shop.house.login()
        assert len((await shop.house.client.get("/sessions", headers=login.headers)).json()) == 1, "none was left open"

    async def test_a_change_of_scopes_is_in_the_first_token(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        kit = await shop.house.kit()
        found = await kit.users.find(ADA)
        assert found is not None
        get = kit.users.get
        granted: list[object] = []

        async def overtaken(user_id: str) -> Credentials[User] | None:
            if not granted:
                granted.append(await kit.users.set_scopes(user_id, frozenset({"items:write"}), shop.house.clock.now()))
            return await get(user_id)  # type: ignore[return-value]

        monkeypatch.setattr(kit.users, "get", overtaken)
        assert (await shop.house.try_login()).json()["scope"] == "items:write"


class TestWhatIsNoUsers:
    def test_a_missing_verb_is_told_at_once(self, tmp_path: Path) -> None:
        class Half:
            async def find(self, identifier: str) -> None: ...

            def get(self, user_id: str) -> None: ...

        with pytest.raises(ConfigError, match=r"Half has no async add, get, page, .*UsersContract"):
            Auth(Settings(data_dir=tmp_path), users=Half())  # type: ignore[arg-type]
