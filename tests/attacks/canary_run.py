"""Everything that can be done, once, with secrets that would be recognised: for `test_canaries.py` to search."""

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import text
from tests.attacks.canaries import Canaries
from tests.house import ADA, BOB, House, Login, open_house

from watchword.core import opaque, tokens
from watchword.core.errors import AuthError
from watchword.core.models import Client
from watchword.flows import accounts, password, session, signing_keys, upkeep
from watchword.stores.sql.engine import Database

MASTER = "Cn4ryM4sterKeyOfTheFirstHouse7qX"
NEW_MASTER = "Cn4ryM4sterKeyOfTheNextHouse9wZr"
FIRST = "canary ladders under the harbour"
SECOND = "canary kettles over the orchard"
THIRD = "canary lanterns behind the mill"
WRONG = "canary that was never a password"
ODD = [
    "canary in a field \x00",
    "canary-in-a-field'--",
    "canary\r\nin-a-field",
    "{canary-in-a-field",
    "canary-in-a-field=" * 9,
]
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Run:
    """All flows, one after another, with what they answered and what was shown of their values."""

    def __init__(self, house: House, canaries: Canaries) -> None:
        self.house = house
        self.canaries = canaries
        self.refusals: list[httpx2.Response] = []
        self.shown: list[str] = []
        self.headers: dict[str, str] = {}

    def take(self, answer: httpx2.Response) -> httpx2.Response:
        """A login's answer holds tokens, which become canaries; any other answer is searched."""
        if answer.status_code == 200 and "access_token" in answer.text:
            found = answer.json()
            self.canaries.add_login(Login(found["access_token"], found["refresh_token"]))
        else:
            self.refusals.append(answer)
        return answer

    async def login(self, name: str = ADA, secret: str = FIRST) -> Login:
        answer = self.take(await self.house.try_login(name, secret))
        assert answer.status_code == 200, answer.text
        return Login(answer.json()["access_token"], answer.json()["refresh_token"])

    async def refresh(self, login: Login, **more: str) -> Login:
        answer = self.take(await self.house.try_refresh(login.refresh, **more))
        assert answer.status_code == 200, answer.text
        return Login(answer.json()["access_token"], answer.json()["refresh_token"])

    async def accounts_and_sessions(self) -> None:
        house, client = self.house, self.house.client
        await house.register(ADA, FIRST, "ada")
        await house.grant(ADA, "items:read", "items:write")
        await house.register(BOB, THIRD)
        for name, secret in ((ADA, WRONG), ("nobody@example.com", FIRST), (FIRST, FIRST), (ADA, WRONG * 100)):
            self.take(await house.try_login(name, secret))
        for body in (
            {"email": ADA, "password": FIRST},
            {"email": "x", "password": FIRST},
            {"email": BOB, "password": "short"},
        ):
            self.take(await client.post("/register", json={**body, "username": "ada"}))
        login = await self.login()
        self.take(await client.get("/me", headers=login.headers))
        self.take(await client.get("/sessions", headers=login.headers))
        narrowed = await self.refresh(login, scope="items:read")
        self.take(await house.try_refresh(narrowed.refresh, scope="admin"))
        repeated = await self.refresh(login)
        house.clock.tick(60)
        self.take(await house.try_refresh(login.refresh))  # a copy: the session ends
        self.take(await house.me(repeated))
        first, second, third = await self.login(), await self.login("ada"), await self.login(BOB, THIRD)
        self.take(await client.post("/logout", headers=first.headers))
        house.clock.tick(house.auth.policy.access_ttl)
        self.take(await house.me(second))
        self.take(await client.post("/logout", headers=second.headers, data={"refresh_token": second.refresh}))
        third = await self.refresh(third)
        self.take(await client.delete(f"/sessions/{third.session_id}", headers=third.headers))

    async def changes(self) -> None:
        house, client, kit = self.house, self.house.client, await self.house.kit()
        login, bob = await self.login(), await self.login(BOB, THIRD)
        for current, new in ((WRONG, SECOND), (FIRST, FIRST[:14]), (FIRST, "password1234567"), (FIRST, SECOND)):
            body = {"current_password": current, "new_password": new}
            self.take(await client.post("/change-password", json=body, headers=login.headers))
        again = await self.login(secret=SECOND)
        found = await kit.users.find(BOB)
        assert found is not None
        user_id = found.user.id
        self.shown += [repr(found), str(found)]
        await accounts.grant(kit, user_id, ["admin"])
        await accounts.revoke(kit, user_id, ["admin"])
        await accounts.set_password(kit, user_id, FIRST)
        await accounts.disable(kit, user_id)
        self.take(await house.try_login(BOB, FIRST))
        self.take(await house.me(bob))
        await accounts.enable(kit, user_id)
        proof = await password.prove(kit, BOB, FIRST)
        made = await session.open(kit, proof, None, Client())
        self.canaries.add_login(Login(made.access_token, made.refresh_token))
        access = tokens.verify(made.access_token, kit.keyring.ring, kit.policy, kit.clock.timestamp())
        presented = opaque.parse(made.refresh_token, kit.keyring.ring.refresh_keys)
        self.show(
            proof, made, access, access.principal, presented, *await kit.sessions.of_user(user_id, kit.clock.now())
        )
        await accounts.delete(kit, user_id)
        self.take(await client.delete("/sessions", headers=again.headers))

    async def keys(self, newer: House) -> None:
        kit = await self.house.kit()
        await signing_keys.publish(kit, at_once=True)
        await signing_keys.retire(kit, kit.keyring.ring.records[0].generation)
        other = await newer.kit()
        await signing_keys.reseal(other)
        self.house.clock.tick(3600 * 24 * 40)
        for one in (kit, other):
            await upkeep.run(one)
            for key in one.keyring.ring.private.values():
                self.canaries.add_key(key)
                self.show(key, key.verifying())
        self.show(newer.auth, newer.auth.settings, newer.auth.policy, other, other.keyring, other.keyring.ring)
        for settings in (newer.auth.settings, self.house.auth.settings):
            self.shown += [str(settings.model_dump()), settings.model_dump_json(), str(settings.__dict__)]
        for secret in kit.keyring.ring.refresh_keys:
            self.canaries.add("key of refresh tokens", secret)

    async def malformed(self) -> None:
        """A canary in every field and header, where it belongs and where it does not."""
        login = await self.login(secret=SECOND)
        for odd in ODD:
            self.canaries.add("field", odd)
            safe = "".join(letter for letter in odd if letter.isprintable())
            self.headers = dict.fromkeys(("Cookie", "X-Api-Key", "Proxy-Authorization", "Forwarded"), safe)
            await self._forms(odd, safe)
            await self._bodies(odd, login)
            await self._addresses(safe, login)

    async def _forms(self, odd: str, safe: str) -> None:
        good = {
            "username": "nobody@example.com",
            "password": WRONG,
            "grant_type": "refresh_token",
            "refresh_token": "x",
        }
        names = [*good, "scope", "client_secret", odd]
        for path in ("/login", "/refresh", "/logout"):
            for data in [{name: odd} for name in names] + [{**good, name: odd} for name in names]:
                query = {"access_token": safe, "password": safe}
                self.take(await self.house.client.post(path, data=data, headers=self.headers, params=query))
            self.take(await self.house.client.post(path, content=odd.encode(), headers={**self.headers, **FORM}))

    async def _bodies(self, odd: str, login: Login) -> None:
        good = {"email": "eve@example.com", "password": "short", "current_password": WRONG, "new_password": "short"}
        headers = {**self.headers, **login.headers}
        for path in ("/register", "/change-password"):
            for name in (*good, "username", odd):
                for value in (odd, [odd], {odd: odd}):
                    body = {"email": good["email"], "password": "short", name: value}
                    self.take(await self.house.client.post(path, json=body, headers=headers))
            self.take(await self.house.client.post(path, content=odd.encode(), headers=headers))

    async def _addresses(self, safe: str, login: Login) -> None:
        given = (
            f"Bearer {safe}",
            f"Basic {safe}",
            safe,
            f"Bearer {login.access}{safe}",
            f"Bearer {login.access}, {safe}",
        )
        for value in given:
            headers = {**self.headers, "Authorization": value}
            self.take(await self.house.client.get("/me", headers=headers))
        paths = (
            f"/sessions/{safe}",
            f"/me/{safe}",
            f"/{safe}",
            f"/me?token={safe}",
            f"/me?access_token={login.access}",
        )
        for path in paths:
            self.take(await self.house.client.request("DELETE", path, headers=login.headers))

    async def faults(self) -> None:
        """The tables are away, one after another: the driver's own words, with its own parameters."""
        self.house.clock.tick(3600)  # whatever was guessed too often is forgotten
        house, client, kit = self.house, self.house.client, await self.house.kit()
        assert house.auth._home is not None
        db = house.auth._home.db
        login = await self.login(secret=SECOND)
        for table in ("watchword_users", "watchword_sessions", "watchword_feed", "watchword_keys", "watchword_facts"):
            await rename(db, table, "away")
            self.take(await house.try_login(ADA, SECOND))
            self.take(await house.try_refresh(login.refresh))
            self.take(await client.post("/logout", headers=login.headers))
            self.take(await client.post("/register", json={"email": "eve@example.com", "password": FIRST}))
            body = {"current_password": SECOND, "new_password": THIRD}
            self.take(await client.post("/change-password", json=body, headers=login.headers))
            for act in (
                lambda: accounts.add(kit, "mallory@example.com", THIRD, None, frozenset()),
                lambda: session.refresh(kit, login.refresh, None),
                lambda: signing_keys.publish(kit, at_once=True),
                lambda: kit.sessions.turn(
                    opaque.parse(login.refresh, kit.keyring.ring.refresh_keys),
                    kit.clock.now(),
                    grace=kit.policy.refresh_grace,
                    idle=kit.policy.refresh_idle,
                    access_ttl=kit.policy.access_ttl,
                ),
            ):
                try:
                    await act()
                except AuthError as error:
                    self.shown += [*traceback.format_exception(error), repr(error), repr(error.__cause__)]
            await upkeep.attempt(kit)
            await rename(db, "away", table)

    def show(self, *values: object) -> None:
        self.shown += [shown for value in values for shown in (repr(value), str(value), f"{value}")]


async def rename(db: Database, table: str, name: str) -> None:
    """SQLite looks for the new name in the schema as its connection last saw it, so it has to look at it again first."""
    async with db.write() as connection:
        await connection.execute(text(f"SELECT count(*) FROM {table}"))
        await connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


@asynccontextmanager
async def two_houses(folder: Path, url: str) -> AsyncIterator[tuple[House, House]]:
    """A worker with the master key of the database, and one that has been given the next one too."""
    async with open_house(folder, master_keys=MASTER, database_url=url, key_rotation=3600) as house:
        both: dict[str, Any] = {"master_keys": f"{NEW_MASTER},{MASTER}", "clock": house.clock}
        async with open_house(folder, database_url=url, **both) as newer:
            yield house, newer
