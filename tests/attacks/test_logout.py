"""Tokens of a session that has ended, in every spelling and at every door, and logouts that somebody else wishes for.

Each docstring begins with the row of the security requirements that it shows. Several workers (RV-01, RV-04, RV-06) are in
`tests/races` too.
"""

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends
from tests.attacks.test_refresh_tokens import failing
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, Login, open_house

from watchword.flows import accounts, authenticate, upkeep
from watchword.stores.sql.revocations import SqlRevocations
from watchword.stores.sql.sqlite_feed import Follower, SqliteFeed
from watchword.testing import FrozenClock

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SILENCE = 3
ELSEWHERE = "INSERT INTO watchword_feed (session_id, generation, expires_at) VALUES (?, 9, ?)"


async def opens_nothing(house: House, login: Login) -> bool:
    """Whether every door that a token opens is shut for both tokens."""
    guarded = [
        ("GET", "/me"),
        ("GET", "/sessions"),
        ("DELETE", "/sessions"),
        ("DELETE", f"/sessions/{login.session_id}"),
    ]
    answers = [await house.client.request(method, path, headers=login.headers) for method, path in guarded]
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    answers.append(await house.client.post("/change-password", json=body, headers=login.headers))
    refused = await house.try_refresh(login.refresh)
    return {answer.status_code for answer in answers} == {401} and refused.json().get("error") == "invalid_grant"


async def test_after_a_logout_neither_token_opens_any_door(either: House) -> None:
    """RV-01: the thief keeps both tokens and waits until the owner has logged out. Where the JWT is believed by its signature
    alone, or the logout is the client forgetting it, he goes on."""
    await either.register()
    login, elsewhere = await either.login(), await either.login()
    assert (await either.me(login)).status_code == 200
    assert (await either.client.post("/logout", headers=login.headers)).status_code == 204
    assert await opens_nothing(either, login)
    assert (await either.me(elsewhere)).status_code == 200


@pytest.mark.parametrize("act", ["log out everywhere", "new password", "disable", "delete"])
async def test_what_ends_all_sessions_ends_every_token_of_each(either: House, act: str) -> None:
    """RV-04: three devices, one of them stolen. Whatever the owner or the operator does, the thief's tokens die with it."""
    user_id = await either.register()
    logins = [await either.login() for _ in range(3)]
    kit = await either.kit()
    match act:
        case "log out everywhere":
            assert (await either.client.delete("/sessions", headers=logins[0].headers)).status_code == 204
        case "new password":
            await accounts.set_password(kit, user_id, OTHER_PASSWORD)
        case "disable":
            await accounts.disable(kit, user_id)
        case _:
            await accounts.delete(kit, user_id)
    for login in logins:
        assert await opens_nothing(either, login)


def spellings(token: str) -> list[str]:
    """Other texts that a lax decoder reads as the same token: padding, spare bits, other letters for 62 and 63, spaces."""
    head, payload, signature = token.split(".")
    last = LETTERS.index(signature[-1])
    spare = [f"{head}.{payload}.{signature[:-1]}{LETTERS[last ^ bits]}" for bits in (1, 2, 3)]
    return [
        *spare,
        f"{token}=",
        f"{token}==",
        f"{head}=.{payload}.{signature}",
        f"{head}.{payload}=.{signature}",
        f"{head}.{payload}.{signature}.",
        f" {token}",
        f"{token}%3D",
        token.replace("-", "+").replace("_", "/") + "=",
    ]


async def test_a_feed_that_comes_back_between_two_questions_lets_nobody_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RV-06: a feed was silent while a session was ended elsewhere, and comes back in the midst of a request. The set was
    asked before it knew, and the feed is fresh a moment later: both answers are true, and together they are a lie."""
    await house.register()
    login = await house.login()
    revocations = (await house.kit()).revocations
    assert isinstance(revocations, SqlRevocations)
    assert isinstance(revocations._feed, SqliteFeed)
    await revocations._feed.stop()
    house.clock.tick(SILENCE)
    assert house.auth._home is not None
    path = house.auth._home.db.path
    assert path is not None
    with closing(sqlite3.connect(path)) as elsewhere, elsewhere:
        elsewhere.execute(ELSEWHERE, (login.session_id, 1e12))
    follower = Follower(path, threading.Event())
    covers = revocations.covers

    def asked_just_before(session_id: str, generation: int) -> bool:
        answer = covers(session_id, generation)
        follower.poll(revocations._heard)
        return answer

    with closing(follower), monkeypatch.context() as patched:
        patched.setattr(revocations, "covers", asked_just_before)
        assert (await house.me(login)).status_code == 401
        assert revocations.fresh()


async def test_a_revoked_token_in_another_spelling_is_still_revoked(either: House) -> None:
    """RV-05: the deny-list knows a text, and the thief writes the same token otherwise. Here sessions are revoked and not
    texts, and besides there is one spelling."""
    await either.register()
    login = await either.login()
    assert (await either.client.post("/logout", headers=login.headers)).status_code == 204
    for spelling in spellings(login.access):
        assert (await either.me(Login(spelling, login.refresh))).status_code == 401


async def test_a_logout_can_be_repeated_and_works_when_the_access_token_is_old(either: House) -> None:
    """RV-07: a logout that fails the second time, or for an expired token, leaves its owner in doubt, and the refresh token
    with whoever copied it."""
    await either.register()
    login = await either.login()
    either.clock.tick(either.auth.policy.access_ttl * 2)
    for _ in range(2):
        answer = await either.client.post("/logout", headers=login.headers, data={"refresh_token": login.refresh})
        assert answer.status_code == 204
    assert await opens_nothing(either, login)


CROSS_SITE: dict[str, dict[str, Any]] = {
    "an image": {"method": "GET"},
    "a prefetched link": {"method": "HEAD"},
    "a form": {"method": "POST", "data": {"logout": "now"}},
    "a form that knows the session's id": {"method": "POST", "data": {"session_id": "…"}},
    "a text/plain form": {
        "method": "POST",
        "content": '{"refresh_token": ""}',
        "headers": {"content-type": "text/plain"},
    },
}


@pytest.mark.parametrize("how", CROSS_SITE)
async def test_a_foreign_page_signs_nobody_out(house: House, how: str) -> None:
    """RV-07: evil.example makes the visitor's browser call `/logout`. It holds no token, and nothing else counts."""
    await house.register()
    login = await house.login()
    request = CROSS_SITE[how]
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", **request.get("headers", {})}
    answer = await house.client.request(**{**request, "url": "/logout", "headers": headers})
    assert answer.status_code in (400, 401, 405, 415)
    assert (await house.me(login)).status_code == 200
    await house.refresh(login.refresh)


async def test_a_logout_with_what_is_no_token_ends_nothing_and_tells_nothing(either: House) -> None:
    """RV-02: the attacker logs out with guesses, to end sessions or to learn which texts are tokens. Ours is not the endpoint
    of RFC 7009, where an unknown token is answered with 200: it is for whoever is signed in, by the design, so garbage
    is refused, with one answer for all of it. A hint at the token's kind changes nothing."""
    await either.register()
    login, other = await either.login(), await either.login()
    forged = f"wwr_{login.session_id}.0.{'A' * 43}.{'A' * 43}"
    answers = [
        await either.client.post("/logout", data={"refresh_token": text, "token_type_hint": hint})
        for text in ("x", "wwr_", forged, login.access, login.session_id, "")
        for hint in ("access_token", "refresh_token", "x")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) <= 2  # none came, or it was not good
    assert (await either.me(login)).status_code == 200
    for hint, presented in (("access_token", login), ("refresh_token", other)):
        data = {"refresh_token": presented.refresh, "token_type_hint": hint, "token": "x"}
        assert (await either.client.post("/logout", data=data)).status_code == 204
        assert await opens_nothing(either, presented)


async def test_nobody_ends_or_learns_of_another_s_tokens(either: House) -> None:
    """RV-03: the attacker has an account, and has seen Ada's session in a log. With his own token he tries to end hers, and to
    learn whether it lives: an id that is alive, one that has ended and one that never was are one answer."""
    await either.register(ADA)
    await either.register(BOB)
    ada, ended, bob = await either.login(ADA), await either.login(ADA), await either.login(BOB)
    assert (await either.client.post("/logout", headers=ended.headers)).status_code == 204
    ids = (ada.session_id, ended.session_id, "a" * 26)
    answers = [await either.client.delete(f"/sessions/{one}", headers=bob.headers) for one in ids]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    mixed = bob.refresh.replace(bob.session_id, ada.session_id)
    assert (await either.try_refresh(mixed)).json()["error"] == "invalid_grant"
    assert (await either.client.post("/logout", data={"refresh_token": mixed})).status_code == 401
    assert (await either.client.post("/logout", headers=bob.headers, data={"refresh_token": mixed})).status_code == 204
    assert (await either.me(ada)).status_code == 200
    await either.refresh(ada.refresh)


async def test_a_revocation_outlives_the_token(tmp_path: Path, database_url: str) -> None:
    """RV-06: upkeep forgets the revocation a moment too early, or the thief waits for a worker that is started anew and knows
    nothing. Up to the last second of the token, and for a minute longer (clocks differ), every worker knows of it."""
    master: dict[str, Any] = {"master_keys": "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS", "database_url": database_url}
    async with open_house(tmp_path, **master) as house:
        await house.register()
        login = await house.login()
        assert (await house.client.post("/logout", headers=login.headers)).status_code == 204
        house.clock.tick(house.auth.policy.access_ttl - timedelta(seconds=1))
        await upkeep.run(await house.kit())
        assert (await house.me(login)).status_code == 401
        async with open_house(tmp_path, clock=house.clock, **master) as fresh:
            kit = await fresh.kit()
            await authenticate.genuine(kit, login.access)  # not expired yet: it is the revocation that refuses it
            assert (await fresh.me(login)).status_code == 401
            late = FrozenClock(house.clock.now() - timedelta(seconds=59))
            house.clock.tick(59)
            await upkeep.run(await house.kit())
            async with open_house(tmp_path, clock=late, **master) as behind:
                await authenticate.genuine(await behind.kit(), login.access)
                assert (await behind.me(login)).status_code == 401


async def test_a_worker_that_has_lost_its_memory_asks_and_one_that_can_not_ask_refuses(either: House) -> None:
    """RV-06: the list of what was revoked is lost, by a fault or by the attacker's doing, and the feed is silent. The
    database is asked; where that is away too the answer is 503, to good tokens as to bad ones."""
    await either.register()
    ended, good = await either.login(), await either.login()
    assert (await either.client.post("/logout", headers=ended.headers)).status_code == 204
    kit = await either.kit()
    await kit.revocations.stop()
    kit.revocations._heard.revoked.replace([])  # type: ignore[attr-defined]
    assert not kit.revocations.covers(ended.session_id, 0)

    @either.app.get("/items", dependencies=[Depends(either.auth.principal)])
    async def items() -> str:
        return "items"

    async def ask(login: Login) -> int:
        return (await either.client.get("/items", headers=login.headers)).status_code

    assert (await ask(ended), await ask(good)) == (401, 200)
    with failing(either, "watchword_feed"):
        assert (await ask(ended), await ask(good)) == (503, 503)
    assert (await ask(ended), await ask(good)) == (401, 200)


async def test_who_knows_a_session_s_id_has_nothing(either: House) -> None:
    """SE-01: ids stand in lists and logs. The attacker, who has an account of his own, presents Ada's wherever a request can
    carry a text: it opens no session and ends none."""
    await either.register(ADA)
    await either.register(BOB)
    ada, bob = await either.login(ADA), await either.login(BOB)
    sid = ada.session_id
    for headers in ({"Authorization": f"Bearer {sid}"}, {"Cookie": f"session={sid}; sid={sid}"}, {"X-Session-Id": sid}):
        assert (await either.client.get("/me", headers=headers, params={"sid": sid})).status_code == 401
    assert (await either.client.delete(f"/sessions/{sid}", headers=bob.headers)).status_code == 404
    assert (await either.try_refresh(sid)).status_code == 400
    assert (await either.client.post("/logout", data={"refresh_token": sid})).status_code == 401
    assert (await either.me(ada)).status_code == 200


async def test_ids_can_not_be_guessed(either: House) -> None:
    """SE-01: 128 random bits in 26 letters: of a hundred thousand none comes twice, and no bit of them stands still."""
    kit = await either.kit()
    ids = [kit.new_id() for _ in range(100_000)]
    assert len(set(ids)) == len(ids)
    assert {len(one) for one in ids} == {26}
    for place in range(25):  # the last letter holds the three bits that are left
        assert len({one[place] for one in ids}) == 32


async def test_no_url_of_ours_carries_a_token(house: House) -> None:
    """SE-01: what stands in a URL stands in logs, in the history and in Referer. No route takes a secret there, and one that
    is put there opens nothing."""
    await house.register()
    login = await house.login()
    for path, methods in house.app.openapi()["paths"].items():
        for method, operation in methods.items():
            named = {one["name"] for one in operation.get("parameters", [])}
            assert not named & {"token", "access_token", "refresh_token", "password", "code", "key"}, (method, path)
    for name in ("access_token", "token", "authorization", "bearer"):
        assert (await house.client.get("/me", params={name: login.access})).status_code == 401
