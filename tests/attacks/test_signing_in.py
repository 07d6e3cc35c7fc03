"""Who gets in: the locked out, whoever planted a session, twins, and accounts that nobody made.

Each docstring begins with the row of the security requirements that it shows.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI, WebSocket
from sqlalchemy import func, select
from tests.attacks.forger import claims_of
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, open_house
from tests.live import serving

from watchword.core.errors import InvalidInput
from watchword.core.models import User
from watchword.flows import accounts
from watchword.stores.sql.tables import users
from watchword.web.lines import CLOSE_CODE

# Locked out


@pytest.mark.parametrize("act", ["disable", "delete"])
async def test_a_locked_user_comes_in_by_no_door(tmp_path: Path, database_url: str, act: str) -> None:
    """LG-01: somebody is dismissed while signed in: with an access token that lives on for ten minutes, a refresh token
    for weeks, and a password. From the operator's act on none of them opens anything, and the answer to the password is
    that to a wrong one."""
    app = FastAPI()
    async with open_house(tmp_path, app=app, database_url=database_url) as house:

        @app.get("/row")
        async def whole(user: Annotated[User, Depends(house.auth.user)]) -> str:
            return user.email

        user_id = await house.register()
        await house.register(BOB)
        login = await house.login()
        assert (await house.client.get("/row", headers=login.headers)).text == f'"{ADA}"'
        wrong = await house.try_login(BOB, "wrong")
        await getattr(accounts, act)(await house.kit(), user_id)
        for path in ("/me", "/row", "/sessions"):
            assert (await house.client.get(path, headers=login.headers)).status_code == 401
        answer = await house.try_login()
        assert (answer.status_code, answer.content) == (400, wrong.content)
        assert (await house.try_refresh(login.refresh)).content == wrong.content


async def test_an_open_socket_of_a_locked_user_is_closed(tmp_path: Path, sqlite_url: str) -> None:
    """LG-01: the WebSocket was opened before, and asks for nothing any more."""
    app = FastAPI()
    async with open_house(tmp_path, app=app, database_url=sqlite_url) as house:

        @app.websocket("/ws", dependencies=[Depends(house.auth.principal)])
        async def talk(socket: WebSocket) -> None:
            await socket.accept()
            async for _ in socket.iter_text():
                pass

        user_id = await house.register()
        async with house.socket("/ws", await house.login()) as socket:
            await socket.accepted()
            await accounts.disable(await house.kit(), user_id)
            closed = await socket.next()
            assert (closed["type"], closed["code"]) == ("websocket.close", CLOSE_CODE)


async def test_an_account_that_is_unlocked_does_not_revive_its_tokens(either: House) -> None:
    """LG-01: the account was locked because its tokens were stolen, and is unlocked when that is over. The thief has
    kept them."""
    user_id = await either.register()
    thief = await either.login()
    kit = await either.kit()
    await accounts.disable(kit, user_id)
    await accounts.enable(kit, user_id)
    assert (await either.me(thief)).status_code == 401
    assert (await either.try_refresh(thief.refresh)).status_code == 400
    assert (await either.me(await either.login())).status_code == 200


# A new session each time


async def test_nobody_is_signed_in_to_a_session_that_somebody_else_began(either: House) -> None:
    """LG-02: fixation. The attacker puts his session into the victim's browser, as a cookie, a header or a field, and
    waits for her to sign in to it. Each login makes a session of its own; what came with it is not looked at, and gains
    nothing."""
    await either.register(ADA)
    await either.register(BOB)
    planted = await either.login(BOB)
    sid = planted.session_id
    before = claims_of(planted.access)
    answer = await either.client.post(
        "/login",
        data={"username": ADA, "password": PASSWORD, "session_id": sid, "sid": sid, "refresh_token": planted.refresh},
        headers={
            "cookie": f"session={sid}; sid={sid}; refresh_token={planted.refresh}",
            "x-session-id": sid,
            **planted.headers,
        },
        params={"sid": sid, "session_id": sid},
    )
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    made = claims_of(answer.json()["access_token"])
    for name in ("sid", "jti", "sub"):
        assert made[name] != before[name]
    assert sid not in answer.json()["refresh_token"]
    assert (await either.me(planted)).json()["email"] == BOB
    listed = await either.client.get("/sessions", headers={"authorization": f"Bearer {answer.json()['access_token']}"})
    assert [one["id"] for one in listed.json()] == [made["sid"]]


async def test_no_two_logins_have_anything_in_common(either: House) -> None:
    """LG-02: a login that gives the tokens of the one before lets whoever had those go on."""
    await either.register()
    logins = [await either.login() for _ in range(5)]
    for part in range(3):
        texts = {login.refresh.removeprefix("wwr_").split(".")[part if part == 0 else part + 1] for login in logins}
        assert len(texts) == 5
    for name in ("sid", "jti"):
        assert len({claims_of(login.access)[name] for login in logins}) == 5


# Twins

TWINS = (
    "ADA@EXAMPLE.COM", "Ada@Example.Com", " ada@example.com", "ada@example.com \t", "ａｄａ@example.com",
    "ada@ｅｘａｍｐｌｅ.com", "ada＠example.com", "ᴬda@example.com", "ada@example．com",
)  # fmt: skip


@pytest.mark.parametrize("twin", TWINS)
async def test_a_twin_of_an_address_is_no_account(either: House, twin: str) -> None:
    """LG-03: the attacker registers an address that looks like Ada's or that a mail server takes for hers, and hopes
    that something sends him what was meant for her. It is her address; he gets no account, and she signs in with any of
    its spellings."""
    await either.register()
    answer = await either.client.post("/register", json={"email": twin, "password": OTHER_PASSWORD})
    assert answer.status_code == 202
    assert await count(either) == 1
    assert (await either.try_login(twin, OTHER_PASSWORD)).status_code == 400
    await either.login(twin)


@pytest.mark.parametrize("twin", ["ADA", "Ada", " ada ", "ａｄａ", "ᴬᴰᴬ"])
async def test_a_twin_of_a_username_is_taken(either: House, twin: str) -> None:
    """LG-03: the same with the name that others see."""
    await either.register(username="ada")
    answer = await either.client.post("/register", json={"email": BOB, "password": OTHER_PASSWORD, "username": twin})
    assert answer.status_code == 409
    assert await count(either) == 1
    await either.login(twin)


async def test_of_sixty_four_twins_at_once_one_is_an_account(either: House) -> None:
    """LG-03: 64 machines register one address at the same moment, each in a spelling of its own, and each has looked
    whether it is free. The database decides: there is one row, and one password."""

    async def register(number: int) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=either.app, client=(f"198.51.{number}.7", 50000))
        body = {"email": TWINS[number % len(TWINS)], "password": f"{PASSWORD} number {number}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.post("/register", json=body)

    answers = await asyncio.gather(*(register(number) for number in range(64)))
    assert {answer.status_code for answer in answers} == {202}
    assert await count(either) == 1


async def count(house: House) -> int:
    """How many accounts there are."""
    assert house.auth._home is not None
    async with house.auth._home.db.read() as connection:
        there: int = (await connection.execute(select(func.count()).select_from(users))).scalar_one()
        return there


# Accounts that nobody made


def test_a_new_server_has_no_account(tmp_path: Path) -> None:
    """LG-04: the attacker is quicker than the operator, and tries admin/admin on the fresh server. There is nobody in
    it: no default account and no page that makes the first administrator (so there is no bootstrap token either)."""
    with serving(tmp_path, WATCHWORD_DATA_DIR=str(tmp_path / "home")) as url, httpx2.Client(base_url=url) as client:
        for name, password in (
            ("admin", "admin"),
            ("root", "root"),
            ("admin@localhost", "changeme"),
            ("watchword", ""),
        ):
            answer = client.post("/login", data={"username": name, "password": password})
            assert answer.status_code == 400
        document = client.get("/openapi.json")
        paths = set(document.json()["paths"]) if document.status_code == 200 else set()
        open_to_all = [
            path for path in paths if not path.startswith("/administration/")
        ]  # needs an administrator already
        assert not [
            path for path in open_to_all if any(word in path for word in ("setup", "bootstrap", "admin", "init"))
        ]
        body = {"email": "first@example.com", "password": PASSWORD, "username": "admin"}
        assert client.post("/register", json=body).status_code == 202
        answer = client.post("/login", data={"username": "admin", "password": PASSWORD, "scope": "admin"})
        assert answer.json()["scope"] == "", "the first to come is nobody special"


async def test_a_new_database_is_empty(either: House) -> None:
    """LG-04: the same, seen from inside."""
    assert await count(either) == 0


# Names that look like others


@pytest.mark.parametrize(
    "name", ["paypa1", "PAYPA1", "раураl", "pаypal", "ｐａｙｐａｌ", " paypal ", "рaypal"], ids=ascii
)
async def test_nobody_takes_a_name_that_looks_like_another_s(either: House, name: str) -> None:
    """LG-03: the attacker signs his messages with a name that readers take for Ada's: a digit for a letter, a letter of
    another alphabet, another width. He gets it neither when he registers nor later."""
    await either.register(username="paypal")
    body = {"email": "mallory@example.com", "password": PASSWORD, "username": name}
    answer = await either.client.post("/register", json=body)
    assert answer.status_code in (409, 422), answer.text
    await either.register(BOB, username="bob")
    bob = await either.login(BOB)
    later = await either.client.post("/change-username", json={"username": name}, headers=bob.headers)
    assert later.status_code == answer.status_code
    kit = await either.kit()
    with pytest.raises(InvalidInput):
        await accounts.add(kit, "mallory@example.com", PASSWORD, name, frozenset())
    assert [one.user.username for one in await kit.users.page("", 10)] == ["paypal", "bob"]


async def test_of_64_names_that_look_alike_one_is_given(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """LG-03: the attacker registers them at the same moment, and each has looked before the others were there."""
    monkeypatch.setattr("watchword.flows.register._taken", never)
    names = ["lantern" + tail for tail in ("l0", "1o", "10", "lo")] * 16
    bodies = [
        {"email": f"user{number}@example.com", "password": PASSWORD, "username": name}
        for number, name in enumerate(names)
    ]
    answers = await asyncio.gather(*(either.client.post("/register", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 63
    assert len(await (await either.kit()).users.page("", 100)) == 1


async def never(*_: object) -> bool:
    return False
