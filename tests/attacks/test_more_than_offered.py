"""More than was offered: rights in a body, other people's things, dangerous acts with an old session, a way out of here.

Each docstring begins with the row of the security requirements that it shows.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from fastapi import Depends, FastAPI
from tests.attacks.forger import claims_of
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, open_house

from watchword.core.models import User


async def row(house: House, email: str = ADA) -> User:
    found = await (await house.kit()).users.find(email)
    assert found is not None
    assert isinstance(found.user, User)
    return found.user


PRESENTS: dict[str, Any] = {
    "id": "a" * 26, "user_id": "a" * 26, "sub": "admin", "scopes": ["admin"], "scope": "admin", "role": "admin",
    "roles": ["admin"], "is_admin": True, "is_superuser": True, "is_staff": True, "admin": True, "disabled": False,
    "disabled_at": None, "is_active": True, "verified": True, "is_verified": True, "email_verified": True, "epoch": 99,
    "tenant": "acme", "tenant_id": 1, "organization": "acme", "created_at": "2001-01-01T00:00:00Z", "password_hash": "x",
    "amr": ["otp"], "acr": "3", "client_id": "other", "__class__": "User", "__proto__": {"admin": True},
    "$set": {"admin": True},
}  # fmt: skip


async def test_nobody_gives_himself_more_than_was_offered(either: House) -> None:
    """LG-05: the attacker adds to each body what he would like to be, in all the names that frameworks have for it.
    Nothing of it arrives: his account and his token are those of anybody else."""
    body = {**PRESENTS, "email": ADA, "password": PASSWORD, "username": "ada"}
    answer = await either.client.post("/register", json=body)
    assert (answer.status_code, answer.json().keys()) == (202, {"detail"})
    made = await row(either)
    assert (made.scopes, made.disabled_at, made.epoch, made.created_at) == (frozenset(), None, 0, either.clock.now())
    assert made.id != PRESENTS["id"]
    form = {name: str(value) for name, value in PRESENTS.items() if name != "scope"}
    login = await either.client.post("/login", data={**form, "username": ADA, "password": PASSWORD, "scope": "admin"})
    assert login.json()["scope"] == ""
    assert unchanged(claims_of(login.json()["access_token"]))
    headers = {"authorization": f"Bearer {login.json()['access_token']}"}
    change = {**PRESENTS, "current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await either.client.post("/change-password", json=change, headers=headers)).status_code == 204
    token = {"grant_type": "refresh_token", "refresh_token": login.json()["refresh_token"]}
    refreshed = await either.client.post("/refresh", data={**form, **token, "client_id": "first-party"})
    assert unchanged(claims_of(refreshed.json()["access_token"]))
    now = await row(either)
    assert (now.id, now.scopes, now.email, now.username) == (made.id, frozenset(), ADA, "ada")
    assert now.created_at == made.created_at


def unchanged(claims: dict[str, Any]) -> bool:
    return (claims["scope"], claims["amr"], claims["client_id"]) == ("", ["pwd"], "first-party") and "acr" not in claims


# Other people's


def object_routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every route of ours that names an object in its path."""
    for path, methods in app.openapi()["paths"].items():
        if "{" in path:
            yield from ((method.upper(), path) for method in methods)


async def test_bob_neither_reads_nor_changes_what_is_ada_s(either: House) -> None:
    """LG-06: Bob, who has an account of his own, puts Ada's ids wherever a route takes one: in the path, the query, a
    header and the body. He gets what he would get for an id that was never given, and everything of hers is as it
    was."""
    ada_id, _ = await either.register(ADA), await either.register(BOB)
    ada, bob = await either.login(ADA), await either.login(BOB)
    mine = [ada.session_id, ada_id, ADA]
    routes = [
        route for route in object_routes(either.app) if not route[1].startswith("/administration/")
    ]  # those are below
    assert routes == [("DELETE", "/sessions/{session_id}")], "a new one needs an attack here"
    for method, path in routes:
        never = await either.client.request(method, path.format(session_id="a" * 26), headers=bob.headers)
        for name in mine:
            answer = await either.client.request(method, path.format(session_id=name), headers=bob.headers)
            assert (answer.status_code, answer.content) == (404, never.content)
    headers = {**bob.headers, "x-user-id": ada_id, "x-forwarded-user": ADA, "x-remote-user": ADA}
    query = {"user_id": ada_id, "id": ada_id, "sub": ada_id, "email": ADA}
    me = await either.client.get("/me", headers=headers, params=query)
    assert me.json()["email"] == BOB
    listed = await either.client.get("/sessions", headers=headers, params=query)
    assert [one["id"] for one in listed.json()] == [bob.session_id]
    body = {**query, "current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await either.client.post("/change-password", json=body, headers=headers, params=query)).status_code == 204
    assert (await either.client.request("DELETE", "/sessions", headers=headers, params=query)).status_code == 204
    assert (await either.me(ada)).status_code == 200
    await either.login(ADA)


# The administrator's


FILLED = {"user_id": "", "role": "writer", "session_id": "", "name": "writer", "mail_id": "a" * 26}
"""What stands in a path: of these, the ids are those of the test."""

BODIES: dict[str, dict[str, Any]] = {
    "POST /administration/users": {
        "email": "eve@example.com",
        "new_password": OTHER_PASSWORD,
        "scopes": ["watchword:admin"],
    },
    "PUT /administration/users/{user_id}/scopes": {"scopes": ["watchword:admin"]},
    "PUT /administration/roles/{name}": {"scopes": ["watchword:admin"]},
}


def admin_routes(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route for administrators; the door is recognised by its path, as an attacker would."""
    paths = app.openapi()["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        if path.startswith("/administration")
        for method in methods
    ]


async def try_all(house: House, headers: dict[str, str], filled: dict[str, str]) -> dict[str, httpx2.Response]:
    """What each route for administrators says to whoever sends these headers."""
    answers = {}
    for method, path in admin_routes(house.app):
        name, body = f"{method} {path}", BODIES.get(f"{method} {path}")
        answers[name] = await house.client.request(method, path.format(**filled), headers=headers, json=body)
    assert len(answers) >= 21
    return answers


async def test_only_administrators_administrate(either: House) -> None:
    """LG-06: Bob, who has an account of his own, every scope that the application knows and some that look like it, tries all
    routes for administrators, on himself and on Ada. He is told what he lacks, and nothing is changed; without a token, and
    with one that is narrower than its owner, it is the same."""
    ada_id, bob_id = await either.register(ADA), await either.register(BOB)
    await either.grant(
        BOB, "admin", "items:*", "watchword", "watchword:", "watchword:administrator", "watchwordx:*", "*"
    )
    await either.grant(ADA, "watchword:admin", "items:read")
    ada, bob = await either.login(ADA, scope="items:read"), await either.login(BOB)
    for target in (ada_id, bob_id):
        filled = {**FILLED, "user_id": target, "session_id": ada.session_id}
        for name, answer in (await try_all(either, {}, filled)).items():
            assert answer.status_code == 401, name
        for login in (bob, ada):
            for name, answer in (await try_all(either, login.headers, filled)).items():
                assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), name
                assert 'scope="watchword:admin"' in answer.headers["www-authenticate"]
    kit = await either.kit()
    assert [one.user.email for one in await kit.users.page("", 9)] == [ADA, BOB]
    assert (await row(either, BOB)).disabled_at is None
    assert "watchword:admin" not in (await row(either, BOB)).scopes
    assert (await kit.roles.listed(), len(await kit.keys.load())) == ([], 1)
    assert (await either.me(ada)).status_code == (await either.me(bob)).status_code == 200


async def test_what_an_administrator_changes_asks_for_somebody_who_is_there_now(either: House) -> None:
    """LG-07: the administrator's laptop was left open since the morning. Whoever finds it may look; a refresh makes nothing
    fresh, and each act is answered with what is wanted, before it is looked at (RFC 9470). The password opens it again."""
    ada_id = await either.register(ADA)
    await either.register(BOB)
    await either.grant(BOB, "watchword:*")
    left_open = await either.login(BOB)
    either.clock.tick(301)
    left_open = await either.refresh(left_open.refresh)
    filled = {**FILLED, "user_id": ada_id, "session_id": "a" * 26}
    for name, answer in (await try_all(either, left_open.headers, filled)).items():
        if name.startswith("GET "):
            assert answer.status_code in (200, 404), name
            continue
        assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_user_authentication"), name
        assert 'max_age="300"' in answer.headers["www-authenticate"]
    assert (await row(either)).disabled_at is None
    body = {"password": PASSWORD}
    fresh = await either.client.post("/reauthenticate", json=body, headers=left_open.headers)
    bearer = {"authorization": f"Bearer {fresh.json()['access_token']}"}
    assert (await either.client.post(f"/administration/users/{ada_id}/disable", headers=bearer)).status_code == 204


async def test_an_administrator_s_body_changes_what_it_names_and_no_more(either: House) -> None:
    """LG-05: a page for administrators sends a whole form, into which somebody has smuggled more than was to be seen."""
    await either.register(BOB)
    await either.grant(BOB, "watchword:admin")
    bob = await either.login(BOB)
    extra = {name: value for name, value in PRESENTS.items() if name != "scopes"}
    body = {**extra, "email": ADA, "new_password": OTHER_PASSWORD, "scopes": ["items:read"], "granted": ["admin"]}
    answer = await either.client.post("/administration/users", json=body, headers=bob.headers)
    assert answer.status_code == 201
    made = await row(either)
    assert made.scopes == {"items:read"}
    assert (made.epoch, made.disabled_at, made.email_verified_at) == (0, None, None)
    assert (made.id, made.created_at) == (answer.json()["id"], either.clock.now())
    await either.client.put("/administration/roles/writer", json={**extra, "scopes": ["items:*"]}, headers=bob.headers)
    for path in ("scopes", "roles/writer"):
        body = {**extra, "scopes": []}
        answer = await either.client.put(f"/administration/users/{made.id}/{path}", json=body, headers=bob.headers)
        assert answer.status_code == 200
    now = await row(either)
    assert now.scopes == {"items:*"}
    assert (now.id, now.email, now.epoch) == (made.id, ADA, 0)


async def test_a_dangerous_route_asks_for_somebody_who_is_there_now(tmp_path: Path, sqlite_url: str) -> None:
    """LG-07: the laptop was left open since the morning. A route of the host's that moves money asks for a sign-in of
    the last five minutes; a refresh is none, a repeated one neither, and the answer says what is wanted (RFC 9470). The
    password itself is never changed without the present one, however fresh the session is (PW-08)."""
    app = FastAPI()
    async with open_house(tmp_path, app=app, database_url=sqlite_url) as house:
        app.get("/pay", dependencies=[Depends(house.auth.requires(max_age=300))])(lambda: "paid")
        await house.register()
        left_open = await house.login()
        house.clock.tick(timedelta(seconds=300))
        assert (await house.client.get("/pay", headers=left_open.headers)).status_code == 200
        house.clock.tick(1)
        for login in (
            left_open,
            first := await house.refresh(left_open.refresh),
            await house.refresh(left_open.refresh),
        ):
            answer = await house.client.get("/pay", headers=login.headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_user_authentication")
            assert 'max_age="300"' in answer.headers["www-authenticate"]
        body = {"current_password": "", "new_password": OTHER_PASSWORD}
        assert (await house.client.post("/change-password", json=body, headers=first.headers)).status_code == 403
        assert (await house.client.get("/pay", headers=(await house.login()).headers)).status_code == 200


TARGETS = (
    "//evil.example", "/\\evil.example", "https://evil.example", "https:evil.example", "javascript:alert(1)",
    "%2f%2fevil.example", "http://testserver@evil.example", "/%0d%0aLocation:%20https://evil.example",
    "/me\r\nLocation: https://evil.example", "data:,x",
)  # fmt: skip


async def test_nothing_here_leads_away(house: House) -> None:
    """LG-08: the attacker mails a link to the real login page, which leads on to his copy of it. There is no redirect
    after a login, whatever parameter asks for one, and the only one there is (a slash too many) stays here."""
    await house.register()
    for target in TARGETS:
        asked = dict.fromkeys(
            ("next", "redirect_uri", "redirect", "return_to", "url", "continue", "RelayState"), target
        )
        form, headers = {"username": ADA, "password": PASSWORD, **asked}, {"referer": "https://evil.example/"}
        answer = await house.client.post("/login", data=form, params=asked, headers=headers)
        assert answer.status_code == 200
        assert "location" not in answer.headers
        assert "evil" not in answer.text
    for path in ("/login/", "/me/", "//evil.example/", "/\\evil.example/", "/%2f%2fevil.example/"):
        answer = await house.client.get(f"http://testserver{path}", headers={"x-forwarded-host": "evil.example"})
        assert answer.headers.get("location", "http://testserver/").startswith(("http://testserver/", "/me", "/login"))
