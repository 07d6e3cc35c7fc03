"""`/administration`: what an administrator sees and does. Who gets in is attacked in
`tests/attacks/test_more_than_offered.py`."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from tests.house import ADA, BOB, PASSWORD, House, Login, open_house
from tests.letterbox import SENDER

from watchword.core.events import (
    Event,
    KeyPublished,
    MailDiscarded,
    MailRetried,
    Registered,
    RoleChanged,
    RoleGiven,
    RoleRemoved,
    RoleTaken,
    ScopesChanged,
    SessionClosed,
    SessionsEnded,
    UserDeleted,
    UserDisabled,
    UserEnabled,
)
from watchword.features.api_keys import ApiKeys
from watchword.flows import accounts, roles

ROOT = "root@example.com"
NOBODY = "a" * 26
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def root(either: House) -> Login:
    return await administrator(either)


async def administrator(house: House, email: str = ROOT) -> Login:
    """Somebody who has the scope, signed in a moment ago."""
    await house.register(email)
    await house.grant(email, "watchword:admin")
    return await house.login(email)


async def made(house: House) -> Login:
    """The same where a registration counts only after its mail came back."""
    await accounts.add(await house.kit(), ROOT, PASSWORD, None, frozenset({"watchword:admin"}))
    return await house.login(ROOT)


async def ask(house: House, who: Login, method: str, path: str, **more: Any) -> httpx2.Response:
    return await house.client.request(method, f"{house.prefix}/administration{path}", headers=who.headers, **more)


async def asked(house: House, who: Login, method: str, path: str, **more: Any) -> Any:
    """The body of an answer that must be a success."""
    answer = await ask(house, who, method, path, **more)
    assert answer.status_code < 300, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json() if answer.content and answer.status_code != 202 else None


def heard(house: House) -> list[Event]:
    told: list[Event] = []
    house.auth.on(Event, told.append)
    return told


class TestUsers:
    async def test_they_are_listed_page_by_page(self, either: House, root: Login) -> None:
        for number in range(4):
            await either.register(f"user{number}@example.com")
        first = await asked(either, root, "GET", "/users", params={"limit": 3})
        assert [one["email"] for one in first["users"]] == [ROOT, "user0@example.com", "user1@example.com"]
        assert first["after"] == "user1@example.com"
        rest = await asked(either, root, "GET", "/users", params={"after": first["after"], "limit": 3})
        assert [one["email"] for one in rest["users"]] == ["user2@example.com", "user3@example.com"]
        assert rest["after"] is None
        (mine,) = [one for one in first["users"] if one["email"] == ROOT]
        assert mine == {
            "id": mine["id"], "email": ROOT, "username": None, "scopes": ["watchword:admin"],
            "granted": ["watchword:admin"], "roles": [], "disabled": False, "created_at": "2026-01-01T00:00:00Z",
            "email_verified": False, "deletes_at": None,
        }  # fmt: skip

    async def test_one_is_looked_up_by_exactly_one_name(self, either: House, root: Login) -> None:
        ada = await either.register(ADA, username="lovelace")
        for name in ({"email": "ADA@example.com"}, {"username": "Lovelace"}, {"id": ada}):
            found = await asked(either, root, "GET", "/users", params=name)
            assert [one["id"] for one in found["users"]] == [ada]
        for name in ({"email": "lovelace"}, {"username": ADA}, {"id": NOBODY}, {"email": BOB}, {"id": "\x00"}):
            assert await asked(either, root, "GET", "/users", params=name) == {"users": [], "after": None}
        assert (await asked(either, root, "GET", f"/users/{ada}"))["username"] == "lovelace"
        two = await ask(either, root, "GET", "/users", params={"email": ADA, "id": ada})
        assert two.status_code == 422

    @pytest.mark.parametrize("query", [{"limit": 101}, {"limit": 0}, {"after": "\x00"}, {"after": "a" * 255}])
    async def test_an_odd_page_is_refused(self, house: House, query: dict[str, Any]) -> None:
        root = await administrator(house)
        assert (await ask(house, root, "GET", "/users", params=query)).status_code == 422

    async def test_an_account_is_made(self, either: House, root: Login) -> None:
        told = heard(either)
        body = {"email": "Ada@Example.com", "new_password": PASSWORD, "username": "ada", "scopes": ["items:*"]}
        answer = await ask(either, root, "POST", "/users", json=body)
        assert answer.status_code == 201
        made = answer.json()
        assert (made["email"], made["username"], made["scopes"]) == (ADA, "ada", ["items:*"])
        assert PASSWORD not in answer.text
        await either.login()
        await (await either.kit()).handlers.drain()
        me = (await either.me(root)).json()["user_id"]
        assert told[0] == Registered(made["id"], by=me)

    async def test_an_account_without_a_password_lets_nobody_in_until_its_owner_has_chosen_one(
        self, either: House, root: Login
    ) -> None:
        await asked(either, root, "POST", "/users", json={"email": ADA})
        for attempt in ("", PASSWORD, "None"):
            assert (await either.try_login(ADA, attempt)).status_code == 400
        assert (await either.client.post("/forgot-password", json={"email": ADA})).status_code == 202

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"email": ROOT, "new_password": PASSWORD}, "email"),
            ({"email": "nobody", "new_password": PASSWORD}, "email"),
            ({"email": ADA, "new_password": "short"}, None),
            ({"email": ADA, "scopes": ["a b"]}, "scopes"),
            ({"email": ADA, "scopes": ['"']}, "scopes"),
            ({"email": ADA, "scopes": [""]}, "scopes"),
            ({"email": ADA, "scopes": "admin"}, "scopes"),
            ({"new_password": PASSWORD}, "email"),
        ],
    )
    async def test_what_can_be_no_account_is_refused(
        self, house: House, body: dict[str, Any], field: str | None
    ) -> None:
        root = await administrator(house)
        answer = await ask(house, root, "POST", "/users", json=body)
        assert answer.status_code == 422
        assert field is None or field in answer.json()["fields"]
        assert len((await asked(house, root, "GET", "/users"))["users"]) == 1

    async def test_one_is_locked_unlocked_and_removed(self, either: House, root: Login) -> None:
        ada = await either.register()
        login = await either.login()
        told = heard(either)
        await asked(either, root, "POST", f"/users/{ada}/disable")
        assert (await either.me(login)).status_code == 401
        assert (await either.try_login()).status_code == 400
        assert (await asked(either, root, "GET", f"/users/{ada}"))["disabled"]
        await asked(either, root, "POST", f"/users/{ada}/enable")
        login = await either.login()
        await asked(either, root, "DELETE", f"/users/{ada}")
        assert (await either.me(login)).status_code == 401
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/disable"),
            ("POST", "/enable"),
            ("GET", "/sessions"),
        ):
            assert (await ask(either, root, method, f"/users/{ada}{path}")).status_code == 404
        await (await either.kit()).handlers.drain()
        me = (await either.me(root)).json()["user_id"]
        for event in (UserDisabled(ada, by=me), UserEnabled(ada, by=me), UserDeleted(ada, by=me)):
            assert event in told


class TestScopesAndRoles:
    async def test_scopes_are_set_and_roles_given_and_taken(self, either: House, root: Login) -> None:
        ada = await either.register()
        login = await either.login()
        told = heard(either)
        user = await asked(either, root, "PUT", f"/users/{ada}/scopes", json={"scopes": ["items:read", "orders:*"]})
        assert user["scopes"] == user["granted"] == ["items:read", "orders:*"]
        role = {"scopes": ["items:*"], "description": "writes items"}
        made = await asked(either, root, "PUT", "/roles/writer", json=role)
        assert made == {"name": "writer", **role}
        user = await asked(either, root, "PUT", f"/users/{ada}/roles/writer")
        assert user["scopes"] == ["items:*", "items:read", "orders:*"]
        assert (user["granted"], user["roles"]) == (["items:read", "orders:*"], ["writer"])
        user = await asked(either, root, "PUT", f"/users/{ada}/scopes", json={"scopes": []})
        assert (user["scopes"], user["granted"]) == (["items:*"], [])
        await asked(either, root, "PUT", "/roles/writer", json={"scopes": ["items:write"]})
        assert (await asked(either, root, "GET", "/roles")) == [{**made, "scopes": ["items:write"]}]
        shown = await asked(either, root, "GET", "/roles/writer")
        assert (shown["members"], shown["after"]) == ([ada], None)
        assert (await asked(either, root, "GET", "/roles/writer", params={"limit": 1}))["after"] == ada
        assert (await either.me(login)).status_code == 401, "its scopes have changed"
        refreshed = await either.try_refresh(login.refresh)
        assert refreshed.json()["scope"] == "items:write"
        user = await asked(either, root, "DELETE", f"/users/{ada}/roles/writer")
        assert (user["scopes"], user["roles"]) == ([], [])
        await asked(either, root, "DELETE", "/roles/writer")
        assert (await asked(either, root, "GET", "/roles")) == []
        await (await either.kit()).handlers.drain()
        me = (await either.me(root)).json()["user_id"]
        for event in (
            ScopesChanged(ada, by=me), RoleChanged(None, "writer", by=me), RoleGiven(ada, "writer", by=me),
            RoleTaken(ada, "writer", by=me), RoleRemoved(None, "writer", by=me),
        ):  # fmt: skip
            assert event in told

    async def test_what_is_not_there_is_not_found(self, either: House, root: Login) -> None:
        ada = await either.register()
        await asked(either, root, "PUT", "/roles/writer", json={"scopes": []})
        for method, path, body in (
            ("GET", "/roles/editor", None),
            ("DELETE", "/roles/editor", None),
            ("DELETE", "/roles/%00", None),
            ("PUT", f"/users/{ada}/roles/editor", None),
            ("DELETE", f"/users/{ada}/roles/writer", None),
            ("PUT", f"/users/{NOBODY}/roles/writer", None),
            ("PUT", f"/users/{NOBODY}/scopes", {"scopes": []}),
            ("GET", "/users/%00", None),
            ("DELETE", f"/users/{ada}/sessions/{NOBODY}", None),
            ("DELETE", f"/users/{NOBODY}/sessions", None),
            ("POST", f"/outbox/{NOBODY}/retry", None),
            ("DELETE", "/outbox/%00", None),
        ):
            assert (await ask(either, root, method, path, json=body)).status_code == 404, (method, path)

    @pytest.mark.parametrize("name", ["Writer", "a b", "%00", "%EC%9E%91%EA%B0%80"])
    async def test_a_role_s_name_is_plain(self, house: House, name: str) -> None:
        root = await administrator(house)
        answer = await ask(house, root, "PUT", f"/roles/{name}", json={"scopes": []})
        assert (answer.status_code, [*answer.json()["fields"]]) == (422, ["name"])


class TestTheAdministratorInUse:
    """So that somebody is left who can let others in."""

    async def test_nor_under_another_spelling_of_his_id(self, either: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host's table may take 007 for 7. The path says what was asked for, the account whom it is about."""
        root = await administrator(either)
        me = (await either.me(root)).json()["user_id"]
        kit = await either.kit()
        get = kit.users.get

        async def in_any_case(user_id: str) -> Any:
            return await get(user_id.lower())

        monkeypatch.setattr(kit.users, "get", in_any_case)
        for method, path in (("DELETE", ""), ("POST", "/disable")):
            answer = await ask(either, root, method, f"/users/{me.upper()}{path}")
            assert (answer.status_code, answer.json()["code"]) == (409, "own_account"), path

    async def test_nobody_locks_out_or_deletes_himself(self, either: House, root: Login) -> None:
        me = (await either.me(root)).json()["user_id"]
        for method, path, body in (
            ("DELETE", f"/users/{me}", None),
            ("POST", f"/users/{me}/disable", None),
            ("PUT", f"/users/{me}/scopes", {"scopes": ["watchword", "watchword:administrator"]}),
        ):
            answer = await ask(either, root, method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "own_account"), path
            assert "watchword users" in answer.json()["detail"]
        await asked(either, root, "PUT", f"/users/{me}/scopes", json={"scopes": ["watchword:*", "items:read"]})
        again = await either.login(ROOT)
        await asked(either, again, "GET", "/users")

    async def test_nobody_takes_the_right_from_himself_by_a_role(self, either: House) -> None:
        kit = await either.kit()
        me = await either.register(ROOT)
        await roles.put(kit, "root", frozenset({"watchword:*"}))
        await roles.put(kit, "reader", frozenset({"items:read"}))
        for name in ("root", "reader"):
            await roles.give(kit, me, name)
        root = await either.login(ROOT)
        for method, path, body in (
            ("DELETE", f"/users/{me}/roles/root", None),
            ("DELETE", "/roles/root", None),
            ("PUT", "/roles/root", {"scopes": ["items:*"]}),
        ):
            answer = await ask(either, root, method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "own_account"), path
        await asked(either, root, "DELETE", f"/users/{me}/roles/reader")
        root = await either.login(ROOT)
        await asked(either, root, "PUT", f"/users/{me}/scopes", json={"scopes": ["watchword:admin"]})
        root = await either.login(ROOT)
        await asked(either, root, "DELETE", "/roles/root")
        await asked(either, await either.login(ROOT), "DELETE", "/roles/reader")

    async def test_another_may_do_it(self, either: House, root: Login) -> None:
        me = (await either.me(root)).json()["user_id"]
        other = await administrator(either, "other@example.com")
        await asked(either, other, "POST", f"/users/{me}/disable")
        assert (await ask(either, root, "GET", "/users")).status_code == 401


class TestSessions:
    async def test_they_are_listed_and_ended(self, either: House, root: Login) -> None:
        ada = await either.register()
        agent = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
        first, second = await either.login(headers=agent), await either.login()
        told = heard(either)
        listed = await asked(either, root, "GET", f"/users/{ada}/sessions")
        assert {one["id"] for one in listed} == {first.session_id, second.session_id}
        assert "Firefox on Linux" in {one["device"] for one in listed}
        assert not any(one["current"] for one in listed)
        await asked(either, root, "DELETE", f"/users/{ada}/sessions/{first.session_id}")
        assert [(await either.me(one)).status_code for one in (first, second)] == [401, 200]
        await asked(either, root, "DELETE", f"/users/{ada}/sessions")
        assert (await either.me(second)).status_code == 401
        me = (await either.me(root)).json()["user_id"]
        await (await either.kit()).handlers.drain()
        assert SessionClosed(ada, first.session_id, by=me) in told
        assert SessionsEnded(ada, "logged out everywhere", by=me) in told
        mine = await asked(either, root, "GET", f"/users/{me}/sessions")
        assert [one["current"] for one in mine] == [True]

    async def test_a_session_of_somebody_else_is_not_ended_by_this_user_s_name(
        self, either: House, root: Login
    ) -> None:
        ada, _ = await either.register(), await either.register(BOB)
        bob = await either.login(BOB)
        answer = await ask(either, root, "DELETE", f"/users/{ada}/sessions/{bob.session_id}")
        assert answer.status_code == 404
        assert (await either.me(bob)).status_code == 200


class TestKeys:
    async def test_they_are_listed_without_anything_secret_and_rotated(self, either: House, root: Login) -> None:
        (key,) = await asked(either, root, "GET", "/keys")
        assert key.keys() == {
            "kid", "alg", "generation", "state", "created_at", "signs_from", "verifies_until", "retired_at",
        }  # fmt: skip
        assert (key["alg"], key["state"], key["generation"]) == ("ES256", "signing", 1)
        told = heard(either)
        made = await asked(either, root, "POST", "/keys/rotate")
        assert (made["made"], made["key"]["state"], made["key"]["generation"]) == (True, "published", 2)
        again = await asked(either, root, "POST", "/keys/rotate")
        assert (again["made"], again["key"]["kid"]) == (False, made["key"]["kid"])
        assert [one["state"] for one in await asked(either, root, "GET", "/keys")] == ["signing", "published"]
        await (await either.kit()).handlers.drain()
        (event,) = [one for one in told if isinstance(one, KeyPublished)]
        assert event.by == (await either.me(root)).json()["user_id"]

    async def test_a_worker_that_can_make_no_key_says_so(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """The database was sealed anew, and this worker was forgotten: that is no fault of the request."""
        root = await administrator(house)
        kit = await house.kit()

        async def stranger() -> None:
            return None

        monkeypatch.setattr(kit.keyring, "own_master", stranger)
        assert (await ask(house, root, "POST", "/keys/rotate")).status_code == 503


class TestMailsThatWait:
    async def test_they_are_listed_without_what_they_say_tried_again_and_thrown_away(
        self, tmp_path: Path, database_url: str
    ) -> None:
        settings: dict[str, Any] = {"mail_url": "smtp://127.0.0.1:1", "mail_from": SENDER}  # nobody answers there
        async with open_house(tmp_path, database_url=database_url, **settings) as house:
            kit = await house.kit()
            root = await made(house)
            await house.client.post("/forgot-password", json={"email": ROOT})
            await house.client.post("/forgot-password", json={"email": "nobody@example.com"})
            await kit.post.drain()
            answer = await ask(house, root, "GET", "/outbox")
            (mail,) = answer.json()["mails"]
            assert mail.keys() == {
                "id", "kind", "recipient", "queued_at", "due_at", "until", "attempts", "because",
            }  # fmt: skip
            assert (mail["kind"], mail["recipient"], mail["attempts"]) == ("reset-password", ROOT, 1)
            assert mail["because"]
            assert "wwl_" not in answer.text
            assert mail["due_at"] > mail["queued_at"]
            told = heard(house)
            await asked(house, root, "POST", f"/outbox/{mail['id']}/retry")
            await kit.post.drain()
            page = await asked(house, root, "GET", "/outbox", params={"limit": 2})
            assert [one["attempts"] for one in page["mails"]] == [2]
            await asked(house, root, "DELETE", f"/outbox/{mail['id']}")
            assert (await ask(house, root, "DELETE", f"/outbox/{mail['id']}")).status_code == 404
            assert (await asked(house, root, "GET", "/outbox"))["mails"] == []
            await kit.handlers.drain()
            me = (await house.me(root)).json()["user_id"]
            assert MailRetried(None, mail["id"], by=me) in told
            assert MailDiscarded(None, mail["id"], "reset-password", by=me) in told

    async def test_a_mail_whose_time_is_over_is_not_tried_again(self, tmp_path: Path, sqlite_url: str) -> None:
        settings: dict[str, Any] = {"mail_url": "smtp://127.0.0.1:1", "mail_from": SENDER}
        async with open_house(tmp_path, database_url=sqlite_url, **settings) as house:
            await made(house)
            await house.client.post("/forgot-password", json={"email": ROOT})
            await (await house.kit()).post.drain()
            house.clock.tick(24 * 3600)
            root = await house.login(ROOT)
            (mail,) = (await asked(house, root, "GET", "/outbox"))["mails"]
            assert (await ask(house, root, "POST", f"/outbox/{mail['id']}/retry")).status_code == 404

    @pytest.mark.parametrize("after", ["\x00", "a" * 255])
    async def test_an_odd_page_is_refused(self, house: House, after: str) -> None:
        root = await administrator(house)
        assert (await ask(house, root, "GET", "/outbox", params={"after": after})).status_code == 422


async def test_it_stands_below_the_prefix(tmp_path: Path, sqlite_url: str) -> None:
    async with open_house(tmp_path, prefix="/auth", database_url=sqlite_url) as house:
        root = await administrator(house)
        assert len((await asked(house, root, "GET", "/users"))["users"]) == 1
        assert (await house.client.get("/administration/users", headers=root.headers)).status_code == 404


class TestWhatNoDatabaseTakes:
    """PostgreSQL has no NUL and no lone surrogate in a text. Such a name ended in a fault, which told as 503 that the database
    was away."""

    @pytest.mark.parametrize("odd", ["\x00", "a\x00", "\ud800"])
    async def test_is_refused_on_every_route(self, tmp_path: Path, database_url: str, odd: str) -> None:
        async with open_house(tmp_path, database_url=database_url, features=[ApiKeys()]) as house:
            root = await administrator(house)
            await asked(house, root, "PUT", "/roles/writer", json={"scopes": []})
            written = house.app.openapi()["paths"]
            looked_at = 0
            for path, operations in written.items():
                if not path.startswith(("/administration", "/audit", "/api-keys", "/service-accounts")):
                    continue
                for method, operation in operations.items():
                    for place, name in [(one["in"], one["name"]) for one in operation.get("parameters", [])]:
                        answer = await self.asks(house, root, method, path, {(place, name): odd})
                        assert answer.status_code < 500, (method, path, name, answer.text)
                        looked_at += 1
                    if "requestBody" in operation:
                        (schema,) = references(operation["requestBody"])
                        properties = house.app.openapi()["components"]["schemas"][schema]["properties"]
                        for body in [{name: kind(odd)} for kind in (str, _list) for name in properties]:
                            whole = {"email": BOB, "name": "a", "scopes": [], **body}
                            left = {name: value for name, value in whole.items() if name in properties}
                            answer = await self.asks(house, root, method, path, {}, left)
                            assert answer.status_code < 500, (method, path, body, answer.text)
                            looked_at += 1
            assert looked_at > 60

    async def asks(
        self, house: House, who: Login, method: str, path: str, odd: dict[tuple[str, str], str], body: Any = None
    ) -> httpx2.Response:
        """With something harmless for whatever is not odd."""
        quoted = {name: quote(text.encode(errors="surrogatepass")) for (_, name), text in odd.items()}
        there = {"user_id": NOBODY, "name": "writer", "role": "writer"}
        filled = re.sub(r"{(\w+)}", lambda found: quoted.get(found[1]) or there.get(found[1], NOBODY), path)
        query = [f"{name}={quoted[name]}" for place, name in odd if place == "query"]
        url = filled + "?" * bool(query) + "&".join(query)
        if body is None:
            return await house.client.request(method, url, headers=who.headers)
        return await house.client.request(method, url, content=json.dumps(body), headers=who.headers | JSON)


def references(part: Any) -> set[str]:
    """The names of the schemas that a part of a document points to."""
    if isinstance(part, dict):
        found = {part["$ref"].rpartition("/")[2]} if "$ref" in part else set()
        return found.union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


def _list(text: str) -> list[str]:
    return [text]
