"""Sessions: whose they are, how long they last, and how many there may be.

Each docstring begins with the row of the security requirements that it shows. SE-01 is in `test_logout`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from tests.attacks.forger import claims_of
from tests.attacks.test_refresh_tokens import assert_dead
from tests.house import ADA, BOB, PASSWORD, House, Login, open_house

from watchword.core.models import Client, Proof
from watchword.core.policy import MAX_SESSIONS
from watchword.flows import session
from watchword.flows.password import METHODS
from watchword.web.lines import CLOSE_CODE

SECOND = timedelta(seconds=1)


async def listed(house: House, login: Login) -> list[str]:
    answer = await house.client.get("/sessions", headers=login.headers)
    assert answer.status_code == 200
    return [one["id"] for one in answer.json()]


@pytest.mark.parametrize("agent", ["Android 9;  )", "Mozilla/5.0 (Linux; Android 9;  ) Mobile"])
async def test_no_user_agent_hides_a_session(house: House, agent: str) -> None:
    """SE-02, DL-05: a thief who knows the password signs in with a user agent in which a pattern finds a device with no name.
    The list would be an error 500 for as long as that session lives, and nobody could see it or end it."""
    await house.register()
    headers = [(b"user-agent", agent.encode("latin-1"))]
    form = {"username": ADA, "password": PASSWORD}
    assert (await house.client.post("/login", data=form, headers=headers)).status_code == 200
    assert len(await listed(house, await house.login())) == 2


async def test_a_user_sees_and_ends_the_thief_s_session(either: House) -> None:
    """SE-02: the owner finds a device in the list that is not hers, and ends it: it is out at once. The row asks for a
    fresh sign-in before that; the design does not, and wins: whoever ends a session gains nothing by it, and an owner
    in a hurry loses nothing."""
    await either.register()
    owner = await either.login(headers={"user-agent": "curl/8.9"})
    thief = await either.login(headers={"user-agent": "evil/1.0"})
    either.clock.tick(3600)
    owner = await either.refresh(owner.refresh)
    shown = (await either.client.get("/sessions", headers=owner.headers)).json()
    assert {one["device"]: one["current"] for one in shown} == {"curl": True, "evil 1.0": False}
    answer = await either.client.delete(f"/sessions/{thief.session_id}", headers=owner.headers)
    assert answer.status_code == 204
    assert await listed(either, owner) == [owner.session_id]
    assert (await either.me(thief)).status_code == 401
    assert_dead(await either.try_refresh(thief.refresh))


async def test_nobody_sees_or_ends_another_s(either: House) -> None:
    """SE-02: the attacker has read Ada's session id in a log, and asks for it in every spelling that a careless lookup
    takes for it. He can't even tell whether there is such a session."""
    await either.register(ADA)
    await either.register(BOB)
    ada, attacker = await either.login(ADA), await either.login(BOB)
    never = await either.client.delete(f"/sessions/{'a' * 26}", headers=attacker.headers)
    sid = ada.session_id
    for text in (
        sid,
        sid.upper(),
        f"{sid}%20",
        f"%20{sid}",
        f"{sid}%00",
        f"{sid}'--",
        f"{attacker.session_id},{sid}",
        "*",
        "%25",
    ):
        answer = await either.client.delete(f"/sessions/{text}", headers=attacker.headers)
        assert (answer.status_code, answer.content) == (404, never.content)
    assert await listed(either, attacker) == [attacker.session_id]
    assert await listed(either, ada) == [sid]
    for method, path in (("GET", "/sessions"), ("DELETE", f"/sessions/{sid}"), ("DELETE", "/sessions")):
        assert (await either.client.request(method, path)).status_code == 401
    assert (await either.me(ada)).status_code == 200


async def test_a_session_that_lay_idle_is_over_for_the_server(either: House) -> None:
    """SE-03: a browser that forgets the cookie is no timeout: the thief's copy forgets nothing. The server counts, to
    the second, and the session is not listed any more either."""
    await either.register()
    idle, used = await either.login(), await either.login()
    either.clock.tick(either.auth.policy.refresh_idle - SECOND)
    used = await either.refresh(used.refresh)
    assert set(await listed(either, used)) == {idle.session_id, used.session_id}
    either.clock.tick(SECOND)
    assert await listed(either, used) == [used.session_id]
    assert_dead(await either.try_refresh(idle.refresh))
    assert (await either.me(idle)).status_code == 401


async def test_nothing_outlives_the_absolute_end(tmp_path: Path, database_url: str) -> None:
    """SE-03: a thief who refreshes in time, and once more in the last second, in the hope that the last access token,
    or a socket that he opened with it, goes on beyond the end. All three stop at it."""
    app = FastAPI()
    settings: dict[str, Any] = {"refresh_absolute": 3600, "refresh_idle": 1800, "access_ttl": 600}
    async with open_house(tmp_path, app=app, database_url=database_url, **settings) as house:

        @app.websocket("/ws", dependencies=[Depends(house.auth.principal)])
        async def talk(socket: WebSocket) -> None:
            await socket.accept()
            async for _ in socket.iter_text():
                pass

        await house.register()
        login = await house.login()
        end = int((house.clock.now() + house.auth.policy.refresh_absolute).timestamp())
        for _ in range(11):
            house.clock.tick(300)
            login = await house.refresh(login.refresh)
        house.clock.tick(299)
        last = await house.refresh(login.refresh)
        assert claims_of(last.access)["exp"] == end
        async with house.socket("/ws", last) as socket:
            await socket.accepted()
            assert (await house.me(last)).status_code == 200
            house.clock.tick(1)
            closed = await socket.next()
            assert (closed["type"], closed["code"]) == ("websocket.close", CLOSE_CODE)
        assert (await house.me(last)).status_code == 401
        assert_dead(await house.try_refresh(last.refresh))


@pytest.mark.parametrize("refresh_idle", [60, 3600])
async def test_the_lifetimes_are_the_operator_s(tmp_path: Path, sqlite_url: str, refresh_idle: int) -> None:
    """SE-03: for sensitive data the operator sets short lifetimes; the client has no say in them."""
    async with open_house(tmp_path, database_url=sqlite_url, refresh_idle=refresh_idle) as house:
        await house.register()
        form = {"refresh_idle": "999999", "expires_in": "999999", "remember_me": "true"}
        answer = (await house.try_login(**form)).json()
        house.clock.tick(refresh_idle)
        assert_dead(await house.try_refresh(answer["refresh_token"]))


async def test_logging_in_again_and_again_keeps_a_hundred_sessions(either: House) -> None:
    """SE-04: whoever knows a password opens sessions without end: a list that no owner can look through for the
    thief's, a table that grows. A user has a hundred; one more ends the one that was used longest ago, with its tokens.
    So a session in use stays, and the sessions of others do."""
    user_id = await either.register()
    await either.register(BOB)
    bob, owner, forgotten = await either.login(BOB), await either.login(), await either.login()
    either.clock.tick(60)
    owner = await either.refresh(owner.refresh)
    kit = await either.kit()
    found = await kit.users.get(user_id)
    assert found is not None
    for _ in range(MAX_SESSIONS - 2):
        either.clock.tick(1)
        await session.open(kit, Proof(found.user, METHODS, either.clock.now()), None, Client())
    assert len(await listed(either, owner)) == MAX_SESSIONS == 100
    assert (await either.me(forgotten)).status_code == 200
    attacker = await either.login()
    shown = await listed(either, owner)
    assert len(shown) == MAX_SESSIONS
    assert {owner.session_id, attacker.session_id} <= set(shown)
    assert (await either.me(forgotten)).status_code == 401
    assert_dead(await either.try_refresh(forgotten.refresh))
    for login in (owner, attacker, bob):
        assert (await either.me(login)).status_code == 200
