"""Copied, repeated, widened and revived refresh tokens, at the door where an attacker stands: `POST /refresh`.

Each docstring begins with the row of the security requirements that it shows. The races (RF-03) are in `tests/races`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from tests.house import ADA, BOB, House, Login, open_house

from watchword.core import opaque
from watchword.core.events import RefreshTokenReused


def assert_dead(answer: httpx2.Response) -> None:
    """RFC 6749 5.2, and not a word about which of the reasons it was."""
    assert answer.status_code == 400
    assert (answer.json()["error"], answer.json()["error_description"]) == (
        "invalid_grant",
        "The credentials are not valid.",
    )


async def turned(house: House, login: Login, times: int) -> list[Login]:
    """The login, and what each refresh of it gave."""
    chain = [login]
    for _ in range(times):
        chain.append(await house.refresh(chain[-1].refresh))
    return chain


async def test_a_used_token_is_dead_after_the_grace(either: House) -> None:
    """RF-01: the attacker reads a backup of the phone, with a token that its owner has used since. Peers accept it."""
    await either.register()
    first = await either.login()
    second = await either.refresh(first.refresh)
    assert second.refresh != first.refresh
    either.clock.tick(either.auth.policy.refresh_grace)
    assert_dead(await either.try_refresh(first.refresh))


async def test_a_copied_token_takes_the_whole_session_with_it_and_is_told(either: House) -> None:
    """RF-02: the thief has gone ahead with a copied token, and the owner comes with the old one. Nobody can tell which is the
    thief, so neither the newest refresh token nor any access token of the session works, and the application is told."""
    told: list[RefreshTokenReused] = []
    either.auth.on(RefreshTokenReused, told.append)
    await either.register()
    chain = await turned(either, await either.login(), 3)
    assert_dead(await either.try_refresh(chain[1].refresh))
    assert_dead(await either.try_refresh(chain[3].refresh))
    assert [(await either.me(login)).status_code for login in chain] == [401] * 4
    await (await either.kit()).handlers.drain()
    assert [(event.session_id, event.generation) for event in told] == [(chain[0].session_id, 1)]


async def test_a_repeat_within_the_grace_is_the_same_answer_and_no_second_branch(either: House) -> None:
    """RF-04: an answer was lost on the way, or two tabs woke at once. A second branch would be one more token to steal, and a
    grace that each repeat prolongs would keep a stolen one alive."""
    await either.register()
    first = await either.login()
    second = await either.refresh(first.refresh)
    for _ in range(3):
        either.clock.tick(7)
        assert (await either.refresh(first.refresh)).refresh == second.refresh
    either.clock.tick(9)  # thirty seconds after the turn, nine after the last repeat
    assert_dead(await either.try_refresh(first.refresh))
    assert_dead(await either.try_refresh(second.refresh))


async def test_the_order_of_turns_does_not_rest_on_a_clock(either: House) -> None:
    """RF-05: twenty turns within one second. A server that orders them by seconds takes an older one for the newest."""
    await either.register()
    for stolen in (0, 9, 18):
        chain = await turned(either, await either.login(), 20)
        assert_dead(await either.try_refresh(chain[stolen].refresh))
        assert_dead(await either.try_refresh(chain[20].refresh))


async def test_a_restart_revives_no_used_token(tmp_path: Path, database_url: str) -> None:
    """RF-06: the attacker waits for a deployment: what was remembered in the server's memory is forgotten."""
    master: dict[str, Any] = {"master_keys": "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS", "database_url": database_url}
    async with open_house(tmp_path, **master) as before:
        await before.register()
        chain = await turned(before, await before.login(), 2)
    async with open_house(tmp_path, clock=before.clock, **master) as after:
        assert_dead(await after.try_refresh(chain[0].refresh))
        assert_dead(await after.try_refresh(chain[2].refresh))
        assert (await after.me(chain[2])).status_code == 401


async def test_using_it_daily_does_not_make_a_session_immortal(either: House) -> None:
    """RF-08: a thief who refreshes in time would never have to sign in. Ninety days after the login everybody does."""
    await either.register()
    login = await either.login()
    for _ in range(89):
        either.clock.tick(timedelta(days=1))
        login = await either.refresh(login.refresh)
    either.clock.tick(timedelta(days=1))
    assert_dead(await either.try_refresh(login.refresh))


async def test_a_token_that_lay_unused_is_dead(either: House) -> None:
    """RF-08: a token in a forgotten backup is found after two weeks."""
    await either.register()
    login = await either.login()
    either.clock.tick(either.auth.policy.refresh_idle - timedelta(seconds=1))
    login = await either.refresh(login.refresh)
    either.clock.tick(either.auth.policy.refresh_idle)
    assert_dead(await either.try_refresh(login.refresh))


async def test_scopes_only_narrow(either: House) -> None:
    """RF-10: a stolen token asks for more than the session was given, though the user may do it; or for what the user may
    not do at all. It is refused, and the token stays what it was."""
    await either.register()
    await either.grant(ADA, "items:read", "items:write", "admin")
    login = await either.login(scope="items:read items:write")
    for wanted in ("admin", "items:read admin", "items:delete"):
        answer = await either.try_refresh(login.refresh, scope=wanted)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    narrowed = await either.try_refresh(login.refresh, scope="items:read")
    assert narrowed.json()["scope"] == "items:read"


async def test_a_token_is_its_own_client_s(either: House) -> None:
    """RF-09: another client that has got hold of the token names itself, as it must. It gets nothing, and the token stays what
    it was. There is one client here, a public one without a secret (so the design), hence none that has to authenticate."""
    await either.register()
    login = await either.login()
    for other in ("evil", "first-party ", "First-Party", "first-party,evil", "\x00"):
        assert_dead(await either.try_refresh(login.refresh, client_id=other))
        assert_dead(await either.try_refresh(login.refresh, client_id=other, client_secret="secret"))
    assert (await either.me(login)).status_code == 200
    second = await either.refresh(login.refresh, client_id="first-party")
    assert (await either.try_refresh(second.refresh, client_id="")).status_code == 200


async def test_what_the_database_holds_opens_nothing(either: House) -> None:
    """RF-11: the attacker has read the database. What stands there is presented as a token, alone and in the form of one."""
    await either.register()
    login = await either.login()
    assert either.auth._home is not None
    async with either.auth._home.db.read() as connection:
        (row,) = (await connection.execute(text("SELECT * FROM watchword_sessions"))).mappings().all()
    stored = [value.hex() if isinstance(value, bytes) else str(value) for value in row.values()]
    parts = login.refresh.removeprefix("wwr_").split(".")
    assert not {parts[2], parts[3]} & set(stored), "neither the secret nor its proof"
    keys = (await either.kit()).keyring.ring.refresh_keys
    secret = opaque.parse(login.refresh, keys).r
    assert secret.hex() not in "".join(stored)
    for value in stored:
        for presented in (value, f"wwr_{value}", f"wwr_{row['id']}.0.{value}.{value}"):
            assert (await either.try_refresh(presented)).status_code == 400
    assert (await either.me(login)).status_code == 200, "nor did any of it end the session"


@contextmanager
def failing(house: House, statement: str) -> Iterator[None]:
    """The database fails at statements that contain this text."""
    assert house.auth._home is not None
    engine = house.auth._home.db.engine.sync_engine

    def fail(_connection: Any, _cursor: Any, running: str, *_: Any) -> None:
        if statement in running:
            raise OperationalError(running, None, Exception("the disk is away"))

    event.listen(engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", fail)


async def test_a_logout_that_could_not_be_written_is_not_called_done(either: House) -> None:
    """RF-12: the attacker makes the database fail while the owner logs out. A 204 would let him believe that the stolen
    token is dead. He is told, nothing is half done, and the next try ends it."""
    await either.register()
    login = await either.login()
    with failing(either, "watchword_feed"):
        answer = await either.client.post("/logout", headers=login.headers)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert (await either.me(login)).status_code == 200
    login = await either.refresh(login.refresh)
    assert (await either.client.post("/logout", headers=login.headers)).status_code == 204
    assert (await either.me(login)).status_code == 401
    assert_dead(await either.try_refresh(login.refresh))


async def test_the_token_of_one_session_says_nothing_about_another(either: House) -> None:
    """RF-02: the attacker replays his own old token, in the hope that more than his own session ends."""
    await either.register()
    await either.register(BOB)
    owner = await either.login(ADA)
    attacker = await turned(either, await either.login(BOB), 2)
    assert_dead(await either.try_refresh(attacker[0].refresh))
    assert (await either.me(owner)).status_code == 200
    await either.refresh(owner.refresh)
