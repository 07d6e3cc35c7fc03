"""Tokens with a genuine signature and false claims, at the door: the key leaked, or a service that signs was talked into it.

Each docstring begins with the row of the security requirements that it shows. TC-05 is in `test_forged_tokens`, TC-07 in
`tests/conformance`, and TC-11 on several workers in `tests/races`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from tests.attacks.forger import assert_refused, claims_of, forger
from tests.house import ADA, BOB, CHEAP, OTHER_PASSWORD, House, open_house

from watchword import Auth, Settings
from watchword.core.tokens import REQUIRED, RESERVED
from watchword.flows import accounts
from watchword.testing import FrozenClock

HOUR = 3600
YEAR = 365 * 24 * HOUR


@pytest.mark.parametrize("name", REQUIRED)
async def test_a_token_without_a_claim(house: House, name: str) -> None:
    """TC-01: a token without `exp` lives for ever in a library that checks only what is there; and so it is with every
    other claim that is left out. PyJWT, joserfc, python-jose and authx take it."""
    attacker = await forger(house)
    assert_refused(await attacker.present(attacker.token(**{name: ...})))


async def test_a_token_is_dead_from_the_second_that_exp_names(either: House) -> None:
    """TC-01: the thief comes at the very second, or a moment later in the hope for some leeway. There is none for
    `exp`, also not for a token that was verified before and is remembered."""
    attacker = await forger(either)
    now = int(either.clock.timestamp())
    issued = {"iat": now - 60}
    for exp in (now, now - 1, now - 59, now - 60):
        assert_refused(await attacker.present(attacker.token(exp=exp, **issued)))
    remembered = attacker.token(exp=now + 1, **issued)
    assert (await attacker.present(remembered)).status_code == 200
    either.clock.tick(1)
    assert_refused(await attacker.present(remembered))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "auth_time"])
async def test_a_time_that_is_no_number(house: House, name: str) -> None:
    """TC-02: a text compares as larger than every number, 2^70 overflows a clock, 1e999 is infinity and NaN compares
    with nothing: each is a token without end, or a 500 for every request."""
    attacker = await forger(house)
    now = int(house.clock.timestamp())
    odd = [str(now + 600), "never", True, None, [now + 600], {"at": now}, -1, 2**70, 2**53, -0.5]
    for value in odd:
        assert_refused(await attacker.present(attacker.token(**{name: value})))
    for text in ("1e999", "-1e999", "NaN", "Infinity", "9" * 400, "1" + "0" * 4000, "0x7fffffff", "1_0"):
        assert_refused(await attacker.present(attacker.raw(name, text)))


async def test_a_token_of_the_future(either: House) -> None:
    """TC-03: a token that was made ahead, to be used when its maker has long been dismissed. A minute is granted to
    clocks that differ, and not a second more."""
    attacker = await forger(either)
    now = int(either.clock.timestamp())
    assert await attacker.status(iat=now + 60, exp=now + 300) == 200
    assert await attacker.status(nbf=now + 60) == 200
    assert_refused(await attacker.present(attacker.token(iat=now + 61, exp=now + 300)))
    assert_refused(await attacker.present(attacker.token(nbf=now + 61)))
    assert_refused(await attacker.present(attacker.token(nbf=now + YEAR)))


async def test_a_token_that_lives_for_a_year(either: House) -> None:
    """TC-03: whoever had the key for a minute makes a token for the rest of his life. An access token lives for an hour
    at most, whatever it says of itself, so he needs the key again every hour."""
    attacker = await forger(either)
    now = int(either.clock.timestamp())
    assert await attacker.status(iat=now, exp=now + HOUR) == 200
    for iat, exp in ((now, now + HOUR + 1), (now, now + YEAR), (now - YEAR, now + YEAR), (now - HOUR, now + 1)):
        assert_refused(await attacker.present(attacker.token(iat=iat, exp=exp)))
    assert_refused(await attacker.present(attacker.token(iat=now + 30, exp=now + 30)))


async def test_an_issuer_that_is_nearly_ours(either: House) -> None:
    """TC-04: another issuer's name begins, ends or sounds like ours, and a library compares a part of it
    (CVE-2024-53861), or asks whether it is `in` a text."""
    attacker = await forger(either)
    ours = either.auth.policy.issuer
    near: list[Any] = [
        ours[:-1], ours[1:], ours + "/", ours + " ", " " + ours, ours.upper(), ours.replace("http", "https"),
        ours + ".evil.example", ours.replace("localhost", "login.localhost"), ours.replace("localhost", "127.0.0.1"),
        ours.replace("localhost", "localhost@evil.example"), ours + "#", ours + "\0", "", "h", [ours], {ours: ours}, None,
        True, 0,
    ]  # fmt: skip
    for iss in near:
        assert_refused(await attacker.present(attacker.token(iss=iss)))


async def test_a_token_for_somebody_else(tmp_path: Path, sqlite_url: str) -> None:
    """TC-06: a token that was made for another service of the same issuer is presented here. `aud` names this API,
    letter by letter; a list may name others beside it, and nothing but texts."""
    api = "https://api.example.com/v1"
    async with open_house(tmp_path, database_url=sqlite_url, audience=api) as house:
        attacker = await forger(house)
        assert await attacker.status(aud=["https://other.example", api]) == 200
        others: list[Any] = [
            house.auth.policy.issuer, api + "/", api[:-1], api[1:], api.upper(), api + "/users", "https://api.example.com",
            "", [], [api + "/"], [[api]], [api, 1], ["a", None], {api: api}, {"aud": api}, None, True, "*", ["*"],
        ]  # fmt: skip
        for aud in others:
            assert_refused(await attacker.present(attacker.token(aud=aud)))


async def test_an_address_that_is_given_again_does_not_give_the_account(either: House) -> None:
    """TC-08: Ada's account is deleted, and Bob registers her address, or her username, in the hope for what was hers:
    her scopes, her sessions, whatever other systems keep under her `sub`. A `sub` is random and never given again."""
    ada = await either.register(ADA, username="ada")
    await either.grant(ADA, "admin")
    before = await either.login(ADA)
    kit = await either.kit()
    await accounts.delete(kit, ada)
    bob = await either.register(ADA, OTHER_PASSWORD, username="ada")
    after = await either.login(ADA, OTHER_PASSWORD, scope="admin")
    assert ada != bob
    assert (claims_of(after.access)["sub"], claims_of(after.access)["scope"]) == (bob, "")
    for path in ("/me", "/sessions"):
        assert (await either.client.get(path, headers=before.headers)).status_code == 401
    assert (await either.try_refresh(before.refresh)).status_code == 400
    assert [one["id"] for one in (await either.client.get("/sessions", headers=after.headers)).json()] == [
        after.session_id
    ]


async def test_a_name_is_no_sub(house: House) -> None:
    """TC-08: the attacker takes Ada's id for a username, or a text that other systems know as one, and hopes to be
    taken for her where a token is read. Names never stand in tokens. (Clients are not registered here: all are
    `first-party`, which can be no user's id.)"""
    ada = await house.register(ADA)
    bob = await house.register(BOB, username=ada)
    claims = claims_of((await house.login(ada)).access)
    assert (claims["sub"], claims["client_id"]) == (bob, "first-party")
    assert not {ADA, BOB} & {str(value) for value in claims.values()}


async def test_the_host_s_own_claims_do_not_touch_ours(tmp_path: Path) -> None:
    """TC-09: the host's hook copies what users write about themselves into their tokens, and the attacker writes a
    claim of ours: another `sub`, an `exp` in a hundred years, more scope. Go's encoding/json takes `SUB`, and even a
    long s, for `sub`, so no spelling gets through. No token goes out at all, neither at the login nor at a refresh."""
    written: dict[str, Any] = {"tenant": "acme"}
    clock, app = FrozenClock(), FastAPI()
    auth = Auth(Settings(data_dir=tmp_path / "home"), claims=lambda _: written, clock=clock, argon2=CHEAP).install(app)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://testserver") as client:
        house = House(app, auth, clock, client)
        await house.register()
        login = await house.login()
        assert claims_of(login.access)["tenant"] == "acme"
        for name in (*sorted(RESERVED), "SUB", "Acr", "\u017fub", "\uff53\uff55\uff42", "scope ", "\tjti"):
            written[name] = "admin"
            for refused in (await house.try_login(), await house.try_refresh(login.refresh)):
                assert refused.status_code == 503, name
                assert "access_token" not in refused.text
            del written[name]
        await house.refresh(login.refresh)
    await auth.stop()


async def test_the_time_and_the_way_of_signing_in_survive_every_refresh(tmp_path: Path, database_url: str) -> None:
    """TC-10: a thief refreshes until his token looks fresh enough for a dangerous route, or names a factor that was
    never shown. Signing in again is what makes it fresh; a password is a password and no second factor."""
    app = FastAPI()
    async with open_house(tmp_path, app=app, database_url=database_url) as house:
        for path, demand in (("/fresh", {"max_age": 300}), ("/otp", {"methods": {"otp"}})):
            app.get(path, dependencies=[Depends(house.auth.requires(**demand))])(lambda: "ok")
        await house.register()
        login = await house.login()
        signed_in = int(house.clock.timestamp())
        assert (await house.client.get("/fresh", headers=login.headers)).status_code == 200
        for _ in range(5):
            house.clock.tick(timedelta(minutes=7))
            login = await house.refresh(login.refresh)
            claims = claims_of(login.access)
            assert (claims["auth_time"], claims["amr"]) == (signed_in, ["pwd"])
            stale = await house.client.get("/fresh", headers=login.headers)
            assert (stale.status_code, stale.json()["code"]) == (401, "insufficient_user_authentication")
            assert 'max_age="300"' in stale.headers["www-authenticate"]
            assert (await house.client.get("/otp", headers=login.headers)).status_code == 401
        again = await house.login()
        assert (await house.client.get("/fresh", headers=again.headers)).status_code == 200
        assert (await house.client.get("/otp", headers=again.headers)).status_code == 401


async def test_a_right_that_was_taken_away_does_not_come_back_by_a_repeat(either: House) -> None:
    """TC-11: the dismissed administrator still holds her tokens: the access token, the refresh token, and the one
    before, whose repeat gets the same answer again. None of them carries the right from the moment on in which it was
    taken."""
    user_id = await either.register()
    await either.grant(ADA, "admin", "items:read")
    by_name = await either.login(scope="admin")
    first = await either.login()
    second = await either.refresh(first.refresh)
    assert claims_of(second.access)["scope"] == "admin items:read"
    await accounts.revoke(await either.kit(), user_id, {"admin"})
    for login in (by_name, first, second):
        assert (await either.me(login)).status_code == 401
    repeated = await either.refresh(first.refresh)
    assert repeated.refresh == second.refresh
    for login in (repeated, await either.refresh(second.refresh), await either.login(scope="admin items:read")):
        assert claims_of(login.access)["scope"] == "items:read"
    assert claims_of((await either.refresh(by_name.refresh)).access)["scope"] == ""
    refused = await either.try_refresh(repeated.refresh, scope="admin")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
