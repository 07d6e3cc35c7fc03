"""Tokens of a session that has ended, in every spelling and at every door, and logouts that somebody else wishes for.

Each docstring begins with the row of the security requirements that it shows. Several workers (RV-01, RV-04, RV-06) are in
`tests/races`.
"""

from typing import Any

import pytest
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, Login

from watchword.flows import accounts

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


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
            assert named <= {"session_id"}, (method, path)
    for name in ("access_token", "token", "authorization", "bearer"):
        assert (await house.client.get("/me", params={name: login.access})).status_code == 401
