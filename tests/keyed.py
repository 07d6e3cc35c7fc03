"""A house with API keys, and a program that carries one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI, WebSocket
from tests.house import ADA, PATIENCE, House, Login, open_house

from watchword import Principal, User
from watchword.features.api_keys import ApiKeys
from watchword.features.api_keys.flow import ApiKeysAnnex, annex_of


@dataclass(frozen=True)
class Program:
    """What was shown when the key was made, and how it is sent."""

    id: str
    key: str
    shown: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def login(self) -> Login:
        """For what takes a login's access token."""
        return Login(self.key, "")


@contextlib.asynccontextmanager
async def keyed_house(folder: Path, database_url: str, **more: Any) -> AsyncIterator[House]:
    """A started application with API keys, and a route for each kind of guard."""
    app = FastAPI()
    async with open_house(folder, app=app, database_url=database_url, features=[ApiKeys()], **more) as house:
        auth = house.auth

        @app.get("/who")
        async def who(who: Annotated[Principal, Depends(auth.principal)]) -> dict[str, Any]:
            return {**who.claims, "scopes": sorted(who.scopes), "methods": sorted(who.methods), "at": who.auth_time}

        @app.get("/read", dependencies=[Depends(auth.requires("read"))])
        async def read() -> str:
            return "read"

        @app.get("/row")
        async def row(user: Annotated[User, Depends(auth.user)]) -> str:
            return user.email

        @app.get("/perhaps")
        async def perhaps(who: Annotated[Principal | None, Depends(auth.optional)]) -> str | None:
            return None if who is None else who.user_id

        @app.websocket("/echo")
        async def echo(socket: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
            await socket.accept()
            await socket.send_text(who.user_id)
            async for text in socket.iter_text():
                await socket.send_text(text)

        yield house


async def annex(house: House) -> ApiKeysAnnex:
    return annex_of(await house.kit())


async def signed_in(house: House, *scopes: str, email: str = ADA) -> Login:
    """A user who may do this, signed in now."""
    await house.register(email)
    if scopes:
        await house.grant(email, *scopes)
    return await house.login(email)


def program(answer: httpx2.Response) -> Program:
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    return Program(shown["id"], shown.pop("key"), shown)


async def made(house: House, login: Login, *scopes: str, **more: Any) -> Program:
    body = {"name": "deploy", "scopes": list(scopes), **more}
    return program(await house.client.post(f"{house.prefix}/api-keys", json=body, headers=login.headers))


async def rotated(house: House, login: Login, one: Program, keys: str = "/api-keys", **body: Any) -> Program:
    """The successor of a key."""
    return program(await house.client.post(f"{keys}/{one.id}/rotate", json=body or None, headers=login.headers))


async def an_account(house: House, admin: Login, *scopes: str) -> str:
    """The path of a new service account."""
    body = {"name": "ci", "scopes": list(scopes)}
    answer = await house.client.post("/service-accounts", json=body, headers=admin.headers)
    assert answer.status_code == 201, answer.text
    return f"/service-accounts/{answer.json()['id']}"


async def a_job(house: House, admin: Login, account: str, *scopes: str) -> Program:
    """A key of the service account at this path."""
    body = {"name": "job", "scopes": list(scopes)}
    return program(await house.client.post(f"{account}/api-keys", json=body, headers=admin.headers))


async def used(house: House, one: Program, path: str = "/who") -> httpx2.Response:
    return await house.client.get(path, headers=one.headers)


async def settled(house: House) -> None:
    """Until all uses are noted."""
    await (await annex(house)).uses.close()


async def heard(house: House) -> None:
    """Until the feed is heard, after a clock that was set forward."""
    kit = await house.kit()
    async with asyncio.timeout(PATIENCE):
        while not kit.revocations.fresh():  # noqa: ASYNC110 - a thread hears it
            await asyncio.sleep(0.01)
