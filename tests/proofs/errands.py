"""Acts that a process may be killed in the middle of, each with what has to be true afterwards.

`prepare` makes the state before and answers what the client holds then; `act` is what the process is killed in; `check` opens
the house anew, in another process. It says whether the act had happened, and raises AssertionError when it half had: or when
a client that tries again does not get what it is promised.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, Login, kept

from watchword.core.errors import InvalidToken
from watchword.flows import accounts, authenticate, upkeep

Held = dict[str, Any]
"""What the client holds, in plain JSON; `later` are the seconds that the clock has gone on."""

MONTH = 31 * 86_400


@dataclass(frozen=True)
class Errand:
    """`opening` says that the act is the start of the house itself."""

    name: str
    act: Callable[[House, Held], Awaitable[object]]
    check: Callable[[House, Held], Awaitable[bool]]
    prepare: Callable[[House], Awaitable[Held]]
    opening: bool = False


async def signed_in(house: House) -> Held:
    await house.register()
    await house.register(BOB)
    first = await house.login()
    second = await house.refresh(first.refresh)
    other = await house.login()
    stranger = await house.login(BOB)
    return {
        "copied": first.refresh,
        "refresh": second.refresh,
        "access": second.access,
        "other": [other.access, other.refresh],
        "stranger": [stranger.access, stranger.refresh],
    }


async def nothing(_: House) -> Held:
    return {}


# turn


async def turn(house: House, held: Held) -> None:
    await house.refresh(held["refresh"])


async def turned(house: House, held: Held) -> bool:
    """Old or new: whoever sends the token again gets one successor, and the token itself is dead after the grace."""
    generation = await _generation(house, held["refresh"])
    before = int(held["refresh"].split(".")[1])
    assert generation in (before, before + 1)
    retried = await house.refresh(held["refresh"])
    assert (await house.refresh(held["refresh"])).refresh == retried.refresh, "a second branch"
    assert await _works(house, retried)
    newer = await house.refresh(retried.refresh)
    house.clock.tick(31)
    assert (await house.try_refresh(held["refresh"])).status_code == 400
    assert not await _works(house, newer), "the copy ended the session"
    return generation == before + 1


async def reuse(house: House, held: Held) -> None:
    assert (await house.try_refresh(held["copied"])).status_code == 400


async def turn_twice(house: House) -> Held:
    held = await signed_in(house)
    newest = await house.refresh(held["refresh"])
    return {**held, "refresh": newest.refresh, "access": newest.access}


async def ended(house: House, held: Held) -> bool:
    """The session and its access tokens end together, and a retry ends them."""
    over = not await _lives(house, held["refresh"])
    assert await _lets_in(house, held["access"]) is not over, "half ended"
    for answer in (
        await house.client.post("/logout", data={"refresh_token": held["refresh"]}),
        await house.client.post("/logout", data={"refresh_token": held["refresh"]}),
    ):
        assert answer.status_code == 204
    assert not await _lets_in(house, held["access"])
    assert (await house.try_refresh(held["refresh"])).status_code == 400
    assert await _untouched(house, held)
    return over


# open


async def login(house: House, held: Held) -> None:
    await house.login()


async def opened(house: House, held: Held) -> bool:
    """At most a session that nobody holds a token of; what was there goes on, and the next try signs in."""
    before, now = int(held["sessions"]), await _count(house, "watchword_sessions")
    assert now in (before, before + 1)
    assert await _works(house, await house.login())
    assert await _lets_in(house, held["access"])
    await house.refresh(held["refresh"])
    return now == before + 1


async def counted(house: House) -> Held:
    return {**await signed_in(house), "sessions": await _count(house, "watchword_sessions")}


async def register(house: House, held: Held) -> None:
    await house.register("eve@example.com")


async def registered(house: House, held: Held) -> bool:
    there = (await house.try_login("eve@example.com")).status_code == 200
    await house.register("eve@example.com")
    assert await _works(house, await house.login("eve@example.com"))
    return there


# close


async def logout(house: House, held: Held) -> None:
    headers = {"Authorization": f"Bearer {held['access']}"}
    assert (await house.client.post("/logout", headers=headers)).status_code == 204


async def everywhere(house: House, held: Held) -> None:
    headers = {"Authorization": f"Bearer {held['access']}"}
    assert (await house.client.delete("/sessions", headers=headers)).status_code == 204


async def all_ended(house: House, held: Held) -> bool:
    """All of the user's sessions, or none."""
    over = not await _lives(house, held["refresh"])
    assert await _lives(house, held["other"][1]) is not over, "some ended"
    for access in (held["access"], held["other"][0]):
        assert await _lets_in(house, access) is not over, "half ended"
    assert await _untouched(house, held, owner=False)
    return over


async def change_password(house: House, held: Held) -> None:
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    headers = {"Authorization": f"Bearer {held['access']}"}
    assert (await house.client.post("/change-password", headers=headers, json=body)).status_code == 204


async def password_changed(house: House, held: Held) -> bool:
    """One password opens the account; with the new one, all other sessions have ended."""
    changed = (await house.try_login(password=OTHER_PASSWORD)).status_code == 200
    assert (await house.try_login(password=PASSWORD)).status_code == (400 if changed else 200)
    assert await _lives(house, held["other"][1]) is not changed
    assert await _lets_in(house, held["other"][0]) is not changed
    assert await _lets_in(house, held["access"]), "this session lives on"
    await house.refresh(held["refresh"])
    return changed


async def disable(house: House, held: Held) -> None:
    await accounts.disable(await house.kit(), (await accounts.find(await house.kit(), ADA)).id)


async def disabled(house: House, held: Held) -> bool:
    is_disabled: bool = (await accounts.find(await house.kit(), ADA)).disabled
    assert await all_ended(house, held) is is_disabled
    await disable(house, held)
    assert (await house.try_login()).status_code == 400
    assert not await _lets_in(house, held["access"])
    return is_disabled


async def delete(house: House, held: Held) -> None:
    await accounts.delete(await house.kit(), (await accounts.find(await house.kit(), ADA)).id)


async def deleted(house: House, held: Held) -> bool:
    there = await (await house.kit()).users.find(ADA)
    assert await all_ended(house, held) is (there is None)
    return there is None


# consume

CODE = ("proof", "a code", "what it opens")


async def code_kept(house: House) -> Held:
    await (await house.kit()).scratch.keep(*CODE, until=house.clock.now() + timedelta(minutes=10))
    return {}


async def consume(house: House, held: Held) -> None:
    purpose, key, value = CODE
    assert await (await house.kit()).scratch.consume(purpose, key, house.clock.now()) == value


async def consumed(house: House, held: Held) -> bool:
    """Used, or still good for one use; never for two."""
    purpose, key, value = CODE
    scratch = (await house.kit()).scratch
    found = [await scratch.consume(purpose, key, house.clock.now()) for _ in range(3)]
    assert found in ([value, None, None], [None, None, None])
    return found[0] is None


# signing keys


async def rotate(house: House, held: Held) -> None:
    house.clock.tick(MONTH - held.get("later", 0))
    await upkeep.run(await house.kit())


async def month_old(house: House) -> Held:
    await house.register()
    return {"later": MONTH}


async def rotated(house: House, held: Held) -> bool:
    """Each generation once, and every key opens. The next upkeep makes what is missing, and not more."""
    before = await _count(house, "watchword_keys")
    assert before in (1, 2)
    await upkeep.run(await house.kit())
    await upkeep.run(await house.kit())
    await _published(house, 2)
    login = await house.login()
    house.clock.tick(timedelta(minutes=10) - timedelta(seconds=1))
    assert await _works(house, login)
    house.clock.tick(2)  # and now the new key signs
    assert await _works(house, await house.refresh(login.refresh))
    return before == 2


async def start(house: House, held: Held) -> None:
    """The house was opened, and that was the act."""


async def started(house: House, held: Held) -> bool:
    await _published(house, 1)
    await house.register()
    assert await _works(house, await house.login())
    return True


ERRANDS = {
    errand.name: errand
    for errand in (
        Errand("turn", turn, turned, signed_in),
        Errand("turn a copy", reuse, ended, turn_twice),
        Errand("open", login, opened, counted),
        Errand("register", register, registered, signed_in),
        Errand("close", logout, ended, signed_in),
        Errand("close all", everywhere, all_ended, signed_in),
        Errand("change password", change_password, password_changed, signed_in),
        Errand("disable", disable, disabled, signed_in),
        Errand("delete", delete, deleted, signed_in),
        Errand("consume", consume, consumed, code_kept),
        Errand("rotate", rotate, rotated, month_old),
        Errand("first key", start, started, nothing, opening=True),
    )
}


async def _lets_in(house: House, access: str) -> bool:
    """The decision behind every guarded route."""
    try:
        await authenticate.bearer(await house.kit(), access)
    except InvalidToken:
        return False
    return True


async def _works(house: House, login: Login) -> bool:
    return await _lets_in(house, login.access)


async def _generation(house: House, refresh: str) -> int | None:
    statement = "SELECT generation FROM watchword_sessions WHERE id = :id AND closed_at IS NULL"
    found = await _scalar(house, statement, id=Login("", refresh).session_id)
    return None if found is None else int(found)


async def _lives(house: House, refresh: str) -> bool:
    return await _generation(house, refresh) is not None


async def _untouched(house: House, held: Held, owner: bool = True) -> bool:
    """What the act is not about: the owner's other session, and a stranger's."""
    for access, refresh in [held["stranger"], *([held["other"]] if owner else [])]:
        assert await _lets_in(house, access)
        kept(await house.try_refresh(refresh))
    return True


async def _published(house: House, count: int) -> None:
    assert await _count(house, "watchword_keys") == count
    assert len((await house.client.get("/.well-known/jwks.json")).json()["keys"]) == count, "a key does not open"


async def _count(house: House, table: str) -> int:
    return int(await _scalar(house, f"SELECT count(*) FROM {table}"))


async def _scalar(house: House, statement: str, **bound: Any) -> Any:
    assert house.auth._home is not None
    async with house.auth._home.db.read() as connection:
        return (await connection.execute(text(statement), bound)).scalar()
