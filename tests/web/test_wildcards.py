"""Scopes that end in `:*`: at a login, at a refresh, in front of routes, and in a service that only verifies."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from tests.house import ADA, PASSWORD, House, open_house
from tests.services import beside

from watchword.flows import roles


@pytest.fixture
async def guarded(tmp_path: Path, database_url: str) -> AsyncIterator[House]:
    """Routes of the application that ask for one scope each; the path is the scope."""
    app = FastAPI()
    async with open_house(tmp_path, app=app, database_url=database_url) as house:
        for scope in ("items:read", "items:a:b", "items", "items:*", "itemsx:read", "orders:read"):
            app.get(f"/{scope}", dependencies=[Depends(house.auth.requires(scope))])(lambda: "here")
        await house.register()
        yield house


async def opened(house: House, access: str) -> set[str]:
    """The scopes whose route lets this token in."""
    headers = {"Authorization": f"Bearer {access}"}
    found = set()
    for scope in ("items:read", "items:a:b", "items", "items:*", "itemsx:read", "orders:read"):
        answer = await house.client.get(f"/{scope}", headers=headers)
        assert answer.status_code in (200, 403)
        if answer.status_code == 200:
            found.add(scope)
    return found


async def login(house: House, scope: str = "") -> dict[str, Any]:
    answer = await house.try_login(ADA, PASSWORD, scope=scope)
    told: dict[str, Any] = answer.json()
    return told


async def test_a_wildcard_opens_what_is_below_it_and_nothing_that_looks_alike(guarded: House) -> None:
    """The attack: whoever holds `items:*` tries what begins with the same letters."""
    await guarded.grant(ADA, "items:*")
    token = await login(guarded)
    assert token["scope"] == "items:*"
    assert await opened(guarded, token["access_token"]) == {"items:read", "items:a:b", "items:*"}


async def test_a_login_gets_what_it_asks_for_below_a_wildcard(guarded: House) -> None:
    await guarded.grant(ADA, "items:*", "orders:read")
    token = await login(guarded, "items:read orders:write admin")
    assert token["scope"] == "items:read"
    assert await opened(guarded, token["access_token"]) == {"items:read"}


async def test_who_asks_for_a_wildcard_gets_what_he_has_below_it(guarded: House) -> None:
    await guarded.grant(ADA, "items:read", "items:a:b", "orders:read")
    assert (await login(guarded, "items:*"))["scope"] == "items:a:b items:read"


async def test_a_refresh_narrows_a_wildcard_and_never_widens_to_one(guarded: House) -> None:
    """The attack: a client whose session has `items:read` asks its refresh for `items:*`."""
    await guarded.grant(ADA, "items:*")
    wide = await login(guarded)
    narrow = await guarded.try_refresh(wide["refresh_token"], scope="items:read items:a:*")
    assert narrow.json()["scope"] == "items:a:* items:read"
    small = await login(guarded, "items:read")
    for scope in ("items:*", "items:read items:*", "items:write"):
        refused = await guarded.try_refresh(small["refresh_token"], scope=scope)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    assert (await guarded.try_refresh(small["refresh_token"])).json()["scope"] == "items:read"


async def test_a_wildcard_that_is_taken_away_leaves_sessions_what_is_still_theirs(guarded: House) -> None:
    """The session lives on; what its user has no more is gone from it, and its tokens of before are dead."""
    await guarded.grant(ADA, "items:*")
    follows, asked = await login(guarded), await login(guarded, "items:*")
    await guarded.grant(ADA, "items:read", "orders:read")
    for one, scope in ((follows, "items:read orders:read"), (asked, "items:read")):
        headers = {"Authorization": f"Bearer {one['access_token']}"}
        assert (await guarded.client.get("/items:read", headers=headers)).status_code == 401
        assert (await guarded.try_refresh(one["refresh_token"])).json()["scope"] == scope


async def test_a_fresh_token_carries_no_more_than_both_have(guarded: House) -> None:
    """The attack: a token that was narrowed at a refresh is exchanged for a fresh one that is wide."""
    await guarded.grant(ADA, "items:*")
    wide = await login(guarded)
    narrow = (await guarded.try_refresh(wide["refresh_token"], scope="items:read")).json()
    headers = {"Authorization": f"Bearer {narrow['access_token']}"}
    fresh = await guarded.client.post("/reauthenticate", json={"password": PASSWORD}, headers=headers)
    assert fresh.json()["scope"] == "items:read"


async def test_a_service_that_only_verifies_understands_wildcards(house: House) -> None:
    await house.register()
    await house.grant(ADA, "items:*")
    token = await house.login()
    other = await house.login(scope="items:read")
    async with beside(house) as service:
        assert (await service.get(token.access, "/written")).status_code == 200
        assert (await service.get(other.access, "/written")).status_code == 403


async def test_thirty_routes_and_roles_cost_no_query(tmp_path: Path, sqlite_url: str) -> None:
    """What roles give travels in the token with the rest: neither their number nor a wildcard makes a guard ask anybody."""
    app = FastAPI()
    async with open_house(tmp_path, app=app, database_url=sqlite_url) as house:
        scopes = [f"thing{number}:read" for number in range(30)]
        for scope in scopes:
            app.get(f"/{scope}", dependencies=[Depends(house.auth.requires(scope))])(lambda: "here")
        ada = await house.register()
        kit = await house.kit()
        for number, scope in enumerate(scopes[:29]):
            wild = scope.replace(":read", ":*") if number % 2 else scope
            await roles.put(kit, f"role{number}", frozenset({wild}))
            await roles.give(kit, ada, f"role{number}")
        who = await house.login()
        await house.me(who)
        with house.statements() as seen:
            answers = [(await house.client.get(f"/{scope}", headers=who.headers)).status_code for scope in scopes]
        assert answers == [200] * 29 + [403]
        assert seen == []
