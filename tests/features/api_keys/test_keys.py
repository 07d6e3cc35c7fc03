"""API keys at every door: what they give, when somebody is asked, and when it is over."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, WebSocket
from sqlalchemy import text
from tests.house import ADA, BOB, PATIENCE, House, Opening, open_house
from tests.keyed import a_job, an_account, annex, heard, keyed_house, made, rotated, settled, signed_in, used

from watchword import User
from watchword.core.errors import Unavailable
from watchword.features.api_keys import ApiKeys, rules
from watchword.features.api_keys.rules import MOST
from watchword.flows import accounts


@pytest.fixture
def opening() -> Opening:
    return keyed_house


class TestMaking:
    async def test_a_key_is_shown_once_and_listed_without_what_opens(self, either: House) -> None:
        login = await signed_in(either, "read")
        one = await made(either, login, "read", name="  deploy  ", expires_in=3600, limit_per_minute=5)
        assert one.shown == {
            "id": one.id,
            "name": "deploy",
            "shown": one.key[:12],
            "scopes": ["read"],
            "limit_per_minute": 5,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T01:00:00Z",
            "last_used_at": None,
            "rotated_to": None,
        }
        listed = await either.client.get("/api-keys", headers=login.headers)
        assert listed.json() == [one.shown]
        assert one.key not in listed.text

    async def test_without_scopes_it_only_says_who_comes(self, house: House) -> None:
        one = await made(house, await signed_in(house, "read"))
        assert (await used(house, one)).json()["scopes"] == []
        assert (await used(house, one, "/read")).status_code == 403

    async def test_there_is_room_for_so_many(self, house: House) -> None:
        login = await signed_in(house)
        one = await made(house, login)
        for _ in range(MOST - 1):
            await made(house, login)
        answer = await house.client.post("/api-keys", json={"name": "more"}, headers=login.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert "50 live keys" in answer.json()["detail"]
        assert (await house.client.delete(f"/api-keys/{one.id}", headers=login.headers)).status_code == 204
        await made(house, login)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "name"),
            ({"name": "\u0007"}, "name"),
            ({"name": "k", "expires_in": 59}, "expires_in"),
            ({"name": "k", "limit_per_minute": 0}, "limit_per_minute"),
            ({"name": "k", "scopes": ["admin"]}, "scopes"),
        ],
    )
    async def test_what_can_t_be_is_refused_by_its_field(
        self, house: House, body: dict[str, object], field: str
    ) -> None:
        login = await signed_in(house)
        answer = await house.client.post("/api-keys", json=body, headers=login.headers)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])


class TestDoors:
    async def test_the_principal_says_that_a_key_came(self, house: House) -> None:
        login = await signed_in(house, "read", "write")
        one = await made(house, login, "read")
        user_id = (await house.me(login)).json()["user_id"]
        assert (await used(house, one)).json() == {
            "sub": user_id,
            "sid": one.id,
            "scope": "read",
            "amr": ["api_key"],
            "owner": "user",
            "scopes": ["read"],
            "methods": ["api_key"],
            "at": 0,
        }

    async def test_each_guard_takes_it(self, house: House) -> None:
        one = await made(house, await signed_in(house, "read"), "read")
        assert (await used(house, one, "/read")).json() == "read"
        assert (await used(house, one, "/row")).json() == ADA
        assert (await used(house, one, "/perhaps")).json() == (await used(house, one)).json()["sub"]
        assert (await house.client.get("/perhaps")).json() is None
        bad = await house.client.get("/perhaps", headers={"Authorization": "Bearer wwk_nothing"})
        assert bad.status_code == 401

    async def test_a_protected_application_takes_it(self, tmp_path: Path, sqlite_url: str) -> None:
        async with keyed_house(tmp_path, sqlite_url) as house:
            house.auth._protect(house.app, docs=False)
            house.app.get("/plain")(lambda: "plain")
            one = await made(house, await signed_in(house))
            assert (await used(house, one, "/plain")).json() == "plain"
            assert (await used(house, one)).status_code == 200
            assert (await house.client.get("/plain")).status_code == 401
            assert (await house.client.post("/api-keys", json={"name": "k"})).status_code == 401

    async def test_a_websocket_takes_it_in_the_header_and_as_a_subprotocol(self, house: House) -> None:
        one = await made(house, await signed_in(house))
        async with house.socket("/echo", one.login) as socket:
            await socket.accepted()
        async with house.socket("/echo", subprotocols=("bearer", one.key)) as socket:
            assert (await socket.accepted())["subprotocol"] == "bearer"

    async def test_below_a_prefix_too(self, tmp_path: Path, sqlite_url: str) -> None:
        async with keyed_house(tmp_path, sqlite_url, prefix="/auth") as house:
            one = await made(house, await signed_in(house))
            assert (await used(house, one)).status_code == 200

    async def test_without_the_feature_it_is_no_token(self, tmp_path: Path, sqlite_url: str) -> None:
        async with open_house(tmp_path, database_url=sqlite_url) as house:
            key = rules.mint(bytes(rules.ENTROPY)).text
            answer = await house.client.get("/me", headers={"Authorization": f"Bearer {key}"})
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
            assert (await house.client.get("/api-keys")).status_code == 404


class TestAsking:
    async def test_the_second_use_makes_no_query(self, either: House) -> None:
        one = await made(either, await signed_in(either, "read"), "read")
        with either.statements() as first:
            assert (await used(either, one)).status_code == 200
        assert any("watchword_api_keys" in statement for statement in first)
        await settled(either)
        with either.statements() as second:
            for path in ("/who", "/read", "/perhaps"):
                assert (await used(either, one, path)).status_code == 200
            async with either.socket("/echo", one.login) as socket:
                await socket.accepted()
        assert second == []

    async def test_a_service_account_s_key_is_asked_for_by_one_statement(self, either: House) -> None:
        admin = await signed_in(either, "watchword:admin")
        one = await a_job(either, admin, await an_account(either, admin))
        with either.statements() as first:
            assert (await used(either, one)).json()["owner"] == "service_account"
        assert len([statement for statement in first if statement.startswith("SELECT")]) == 1

    async def test_after_ten_minutes_the_database_is_asked_anew(self, house: House) -> None:
        """A host may disable an account in its own table without a word to us."""
        one = await made(house, await signed_in(house))
        await used(house, one)
        assert house.auth._home is not None
        async with house.auth._home.db.write() as connection:
            await connection.execute(text("UPDATE watchword_users SET disabled_at = '2026-01-01 00:00:00'"))
        house.clock.tick(599)
        await heard(house)
        assert (await used(house, one)).status_code == 200
        house.clock.tick(1)
        await heard(house)
        assert (await used(house, one)).status_code == 401

    async def test_while_the_feed_is_silent_each_use_asks(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        one = await made(house, await signed_in(house))
        await used(house, one)
        kit = await house.kit()
        monkeypatch.setattr(kit.revocations, "fresh", lambda: False)
        for _ in range(2):
            with house.statements() as seen:
                assert (await used(house, one)).status_code == 200
            assert any("watchword_api_keys" in statement for statement in seen)

    async def test_where_nobody_can_say_the_answer_is_503(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        one = await made(house, await signed_in(house))
        keys = (await annex(house))._keys

        async def away(_: bytes) -> None:
            raise Unavailable("the database failed")

        monkeypatch.setattr(keys, "find", away)
        assert (await used(house, one)).status_code == 503

    async def test_a_key_that_ended_is_remembered_too(self, either: House) -> None:
        """A job that nobody stopped must not ask the database ten times a second for ever."""
        login = await signed_in(either)
        one = await made(either, login)
        await used(either, one)
        await either.client.delete(f"/api-keys/{one.id}", headers=login.headers)
        assert (await used(either, one)).status_code == 401
        await settled(either)
        with either.statements() as seen:
            assert (await used(either, one)).status_code == 401
        assert seen == []


class TestTheEnd:
    async def test_it_is_over_from_the_second_that_was_named(self, either: House) -> None:
        one = await made(either, await signed_in(either), expires_in=60)
        either.clock.tick(59)
        assert (await used(either, one)).status_code == 200
        either.clock.tick(1)
        for _ in range(2):
            assert (await used(either, one)).status_code == 401

    async def test_revoked_is_over_at_once(self, either: House) -> None:
        login = await signed_in(either)
        one, other = await made(either, login), await made(either, login)
        await used(either, one)
        assert (await either.client.delete(f"/api-keys/{one.id}", headers=login.headers)).status_code == 204
        assert (await used(either, one)).status_code == 401
        assert (await used(either, other)).status_code == 200
        assert (await either.client.delete(f"/api-keys/{one.id}", headers=login.headers)).status_code == 404

    async def test_a_disabled_owner_s_key_rests_and_a_deleted_one_s_is_gone(self, either: House) -> None:
        one = await made(either, await signed_in(either))
        kit, user_id = await either.kit(), (await used(either, one)).json()["sub"]
        await accounts.disable(kit, user_id)
        assert (await used(either, one)).status_code == 401
        await accounts.enable(kit, user_id)
        assert (await used(either, one)).status_code == 200
        await accounts.delete(kit, user_id)
        assert (await used(either, one)).status_code == 401

    async def test_a_scope_that_is_taken_away_is_gone_at_once_and_comes_back(self, either: House) -> None:
        one = await made(either, await signed_in(either, "read", "write"), "read")
        kit, user_id = await either.kit(), (await used(either, one)).json()["sub"]
        await accounts.revoke(kit, user_id, ["read"])
        assert (await used(either, one, "/read")).status_code == 403
        await accounts.grant(kit, user_id, ["read", "more"])
        assert (await used(either, one)).json()["scopes"] == ["read"]

    async def test_an_owner_who_is_about_to_be_deleted_has_no_keys(self, either: House) -> None:
        one = await made(either, await signed_in(either))
        assert either.auth._home is not None
        for planned, status in (("'2026-01-08 00:00:00'", 401), ("NULL", 200)):
            async with either.auth._home.db.write() as connection:
                statement = f"UPDATE watchword_users SET deletes_at = {planned}"
                await connection.execute(text(statement))
            assert (await used(either, one)).status_code == status

    async def test_signing_out_everywhere_and_a_new_password_leave_keys(self, either: House) -> None:
        login = await signed_in(either)
        one = await made(either, login)
        user_id = (await used(either, one)).json()["sub"]
        assert (await either.client.delete("/sessions", headers=login.headers)).status_code == 204
        await accounts.set_password(await either.kit(), user_id, "nine kettles beneath the orchard")
        assert (await used(either, one)).status_code == 200

    async def test_what_can_t_be_an_id_is_nothing_here(self, house: House) -> None:
        login = await signed_in(house)
        for name in ("deploy", "a" * 27, "wwk_kp7T7cNg"):
            for method, path in (("DELETE", f"/api-keys/{name}"), ("POST", f"/api-keys/{name}/rotate")):
                assert (await house.client.request(method, path, headers=login.headers)).status_code == 404

    async def test_a_service_account_that_was_disabled_by_hand_has_no_keys(self, house: House) -> None:
        """With a statement of the operator's own, that knows nothing of keys."""
        admin = await signed_in(house, "watchword:admin")
        one = await a_job(house, admin, await an_account(house, admin))
        assert house.auth._home is not None
        async with house.auth._home.db.write() as connection:
            statement = "UPDATE watchword_service_accounts SET disabled_at = '2026-01-01 00:00:00'"
            await connection.execute(text(statement))
        assert (await used(house, one)).status_code == 401


class TestRotation:
    async def test_both_are_good_for_the_overlap(self, either: House) -> None:
        login = await signed_in(either, "read")
        old = await made(either, login, "read", expires_in=86400 * 30, limit_per_minute=1000)
        await used(either, old)
        new = await rotated(either, login, old)
        assert new.shown["expires_at"] == "2026-01-31T00:00:00Z"
        same = ("name", "scopes", "limit_per_minute")
        assert {name: new.shown[name] for name in same} == {name: old.shown[name] for name in same}
        listed = (await either.client.get("/api-keys", headers=login.headers)).json()
        assert {one["id"]: (one["rotated_to"], one["expires_at"]) for one in listed} == {
            old.id: (new.id, "2026-01-02T00:00:00Z"),
            new.id: (None, "2026-01-31T00:00:00Z"),
        }
        for one in (old, new):
            assert (await used(either, one, "/read")).status_code == 200
        either.clock.tick(86400)
        assert (await used(either, old, "/read")).status_code == 401
        assert (await used(either, new, "/read")).status_code == 200

    async def test_without_an_overlap_the_old_one_is_over_at_once(self, either: House) -> None:
        login = await signed_in(either)
        old = await made(either, login)
        await used(either, old)
        new = await rotated(either, login, old, overlap=0)
        assert (await used(either, old)).status_code == 401
        assert (await used(either, new)).status_code == 200
        assert new.shown["expires_at"] is None

    async def test_a_key_has_one_successor(self, either: House) -> None:
        login = await signed_in(either)
        old = await made(either, login)
        path = f"/api-keys/{old.id}/rotate"
        answers = await asyncio.gather(*(either.client.post(path, headers=login.headers) for _ in range(8)))
        assert sorted(one.status_code for one in answers) == [201] + [422] * 7
        assert "successor already" in (await either.client.post(path, headers=login.headers)).json()["detail"]

    async def test_the_one_before_the_last_ends(self, either: House) -> None:
        login = await signed_in(either)
        first = await made(either, login)
        await used(either, first)
        second = await rotated(either, login, first)
        third = await rotated(either, login, second)
        assert [(await used(either, one)).status_code for one in (first, second, third)] == [401, 200, 200]


class TestLimits:
    async def test_what_is_over_the_limit_waits(self, house: House) -> None:
        login = await signed_in(house)
        one, other = await made(house, login, limit_per_minute=3), await made(house, login)
        assert [(await used(house, one)).status_code for _ in range(3)] == [200] * 3
        answer = await used(house, one)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "20")
        assert answer.json()["detail"] == "This API key is used more often than it may be."
        assert (await used(house, other)).status_code == 200
        house.clock.tick(20)
        assert [(await used(house, one)).status_code for _ in range(2)] == [200, 429]

    @pytest.mark.parametrize("protected", [False, True])
    async def test_a_request_counts_once_however_many_guards_it_passes(self, house: House, protected: bool) -> None:
        """Guards that ask for different scopes are different dependencies to FastAPI; each looks at its own scopes."""
        require = house.auth.requires
        router = APIRouter(dependencies=[Depends(require("read"))])

        @router.get("/twice", dependencies=[Depends(require("write"))])
        async def twice(_: Annotated[User, Depends(house.auth.user)]) -> str:
            return "in"

        house.app.include_router(router)
        if protected:
            house.auth._protect(house.app, docs=False)
        login = await signed_in(house, "read", "write")
        one = await made(house, login, "read", "write", limit_per_minute=3)
        assert [(await used(house, one, "/twice")).status_code for _ in range(4)] == [200, 200, 200, 429]
        for narrow in ("read", "write"):
            other = await made(house, login, narrow)
            assert (await used(house, other, "/twice")).status_code == 403

    async def test_a_socket_counts_once_and_is_watched_once(self, house: House) -> None:
        guards = [Depends(house.auth.requires(scope)) for scope in ("read", "write")]

        @house.app.websocket("/guarded", dependencies=guards)
        async def guarded(socket: WebSocket) -> None:
            await socket.accept()
            await socket.receive()

        login = await signed_in(house, "read", "write")
        one = await made(house, login, "read", "write", limit_per_minute=2)
        for _ in range(2):
            async with house.socket("/guarded", one.login) as socket:
                await socket.accepted()
        assert (await used(house, one)).status_code == 429


class TestNoting:
    async def test_the_last_use_is_noted_once_in_a_minute(self, either: House) -> None:
        login = await signed_in(either)
        one = await made(either, login)
        for after, noted in ((0, "00:00:00"), (59, "00:00:00"), (1, "00:01:00")):
            either.clock.tick(after)
            await used(either, one)
            await settled(either)
            (listed,) = (await either.client.get("/api-keys", headers=login.headers)).json()
            assert listed["last_used_at"] == f"2026-01-01T{noted}Z"

    async def test_uses_that_come_while_one_is_noted_are_noted_together(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        login = await signed_in(house)
        many = [await made(house, login) for _ in range(3)]
        keys, seen = (await annex(house))._keys, list[list[str]]()
        begun, room = asyncio.Event(), asyncio.Event()
        note = keys.note

        async def slow(used: dict[str, object]) -> None:
            seen.append(sorted(used))
            begun.set()
            await room.wait()
            await note(used)  # type: ignore[arg-type]

        monkeypatch.setattr(keys, "note", slow)
        for one in many:
            assert (await used(house, one)).status_code == 200
            await asyncio.wait_for(begun.wait(), PATIENCE)
        room.set()
        await settled(house)
        assert seen == [[many[0].id], sorted(one.id for one in many[1:])]

    @pytest.mark.parametrize("error", [Unavailable("the database failed"), RuntimeError("a mistake")])
    async def test_a_use_that_can_t_be_noted_refuses_nobody(
        self, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
    ) -> None:
        caplog.set_level(logging.WARNING)
        one = await made(house, await signed_in(house))

        async def away(_: object) -> None:
            raise error

        monkeypatch.setattr((await annex(house))._keys, "note", away)
        assert (await used(house, one)).status_code == 200
        await settled(house)
        assert "when 1 API keys were used could not be noted" in caplog.text
        assert one.key not in caplog.text


class TestSockets:
    async def test_a_revoked_key_cuts_its_socket(self, either: House) -> None:
        login = await signed_in(either)
        one = await made(either, login)
        async with either.socket("/echo", one.login) as socket:
            await socket.accepted()
            await socket.next()
            await either.client.delete(f"/api-keys/{one.id}", headers=login.headers)
            assert (await socket.next())["code"] == 4401

    async def test_an_owner_whose_rights_change_loses_theirs(self, either: House) -> None:
        one = await made(either, await signed_in(either, "read"), "read")
        user_id = (await used(either, one)).json()["sub"]
        async with either.socket("/echo", one.login) as socket:
            await socket.accepted()
            await socket.next()
            await accounts.revoke(await either.kit(), user_id, ["read"])
            assert (await socket.next())["code"] == 4401

    async def test_a_key_that_ends_cuts_its_socket(self, either: House) -> None:
        one = await made(either, await signed_in(either), expires_in=60)
        async with either.socket("/echo", one.login) as socket:
            await socket.accepted()
            await socket.next()
            either.clock.tick(60)
            assert (await socket.next())["code"] == 4401

    async def test_it_stays_open_through_changes_that_take_nothing_away(self, either: House) -> None:
        login = await signed_in(either, "read")
        one = await made(either, login, "read")
        user_id = (await used(either, one)).json()["sub"]
        async with either.socket("/echo", one.login) as socket:
            await socket.accepted()
            await socket.next()
            await either.client.post(f"/api-keys/{one.id}/rotate", headers=login.headers)
            await accounts.grant(await either.kit(), user_id, ["more"])
            either.clock.tick(700)  # the key was asked for more than ten minutes ago
            await socket.say("still there")
            assert (await socket.next())["text"] == "still there"

    async def test_after_ten_minutes_it_is_looked_at_once_and_then_left_alone(self, house: House) -> None:
        """Else a socket that is older is looked at ten times a second for ever."""
        one = await made(house, await signed_in(house))
        async with house.socket("/echo", one.login) as socket:
            await socket.accepted()
            await socket.next()
            lines = house.auth.principal._switchboard._by_loop[asyncio.get_running_loop()]
            house.clock.tick(700)
            assert lines._due(asking=False)
            await heard(house)
            async with asyncio.timeout(PATIENCE):
                while lines._due(asking=False):  # noqa: ASYNC110 - a task of the house's looks
                    await asyncio.sleep(0.01)
            await socket.say("still there")
            assert (await socket.next())["text"] == "still there"


class TestServiceAccounts:
    async def test_an_administrator_makes_one_with_keys_and_disables_it(self, either: House) -> None:
        admin = await signed_in(either, "watchword:admin", "read")
        client = either.client
        body = {"name": "nightly", "scopes": ["read"]}
        account = (await client.post("/service-accounts", json=body, headers=admin.headers)).json()
        assert account == {
            "id": account["id"],
            "name": "nightly",
            "scopes": ["read"],
            "created_at": "2026-01-01T00:00:00Z",
        }
        assert (await client.get("/service-accounts", headers=admin.headers)).json() == [account]
        keys = f"/service-accounts/{account['id']}/api-keys"
        one = await a_job(either, admin, f"/service-accounts/{account['id']}", "read")
        assert (await used(either, one, "/read")).status_code == 200
        assert (await used(either, one)).json()["sub"] == account["id"]
        assert (await used(either, one, "/row")).status_code == 401, "it is nobody, and has no row"
        new = await rotated(either, admin, one, keys, overlap=60)
        listed = await client.get(keys, headers=admin.headers)
        assert {key["id"] for key in listed.json()} == {one.id, new.id}
        assert (await client.delete(f"{keys}/{one.id}", headers=admin.headers)).status_code == 204
        assert [(await used(either, key)).status_code for key in (one, new)] == [401, 200]
        there = f"/service-accounts/{account['id']}"
        assert (await client.delete(there, headers=admin.headers)).status_code == 204
        assert (await used(either, new)).status_code == 401
        for method, path in (("DELETE", there), ("GET", keys), ("POST", keys)):
            answer = await client.request(method, path, json={"name": "k"}, headers=admin.headers)
            assert answer.status_code == 404
        assert (await client.get("/service-accounts", headers=admin.headers)).json() == []

    async def test_one_that_is_disabled_while_its_key_is_made_gets_none(
        self, either: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admin = await signed_in(either, "watchword:admin")
        path, keys = await an_account(either, admin), await annex(either)
        add = keys._keys.add

        async def meanwhile(*arguments: object) -> object:
            assert (await either.client.delete(path, headers=admin.headers)).status_code == 204
            return await add(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(keys._keys, "add", meanwhile)
        answer = await either.client.post(f"{path}/api-keys", json={"name": "k"}, headers=admin.headers)
        assert answer.status_code == 404

    async def test_of_two_who_disable_one_at_once_one_succeeds(self, either: House) -> None:
        admin = await signed_in(either, "watchword:admin")
        path = await an_account(either, admin)
        answers = await asyncio.gather(*(either.client.delete(path, headers=admin.headers) for _ in range(4)))
        assert sorted(one.status_code for one in answers) == [204, 404, 404, 404]


async def test_a_key_of_bob_s_is_bob_s(house: House) -> None:
    await signed_in(house)
    bob = await signed_in(house, email=BOB)
    one = await made(house, bob)
    assert (await used(house, one, "/row")).json() == BOB


def test_the_feature_holds_nothing_of_a_house() -> None:
    assert ApiKeys().name == "api_keys"


async def test_the_export_says_what_keys_there_are_and_opens_nothing(house: House) -> None:
    await house.register()
    login = await house.login()
    made = await house.client.post("/api-keys", json={"name": "backup"}, headers=login.headers)
    secret = made.json()["key"]
    answer = await house.client.get("/export", headers=login.headers)
    (one,) = answer.json()["api_keys"]
    assert (one["name"], one["id"]) == ("backup", made.json()["id"])
    assert secret not in answer.text
    assert secret[20:40] not in answer.text
