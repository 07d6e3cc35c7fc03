"""`/login`, `/refresh`, `/logout` and `/sessions`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import ua_parser
from fastapi import Depends, FastAPI, HTTPException
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, open_house

from watchword.core import opaque
from watchword.flows import accounts
from watchword.web.device import name

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BLANK = "Android 9;  )"
"""A pattern finds a device in it, whose name is blank."""

PAGE = "https://watchword.readthedocs.io/en/latest/errors/invalid-grant"
REFUSED = {"error": "invalid_grant", "error_description": "The credentials are not valid.", "error_uri": PAGE}


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def assert_oauth(answer: httpx2.Response, error: str, status: int = 400) -> None:
    """RFC 6749 5.2: these two names, JSON, and no copy in any cache."""
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "error_description", "error_uri"}
    assert answer.json()["error"] == error
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


async def user_id_of(house: House, email: str = ADA) -> str:
    found = await (await house.kit()).users.find(email)
    assert found is not None
    return found.user.id


async def list_sessions(house: House, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    answer = await house.client.get("/sessions", headers=headers)
    assert answer.status_code == 200, answer.text
    sessions: list[dict[str, Any]] = answer.json()
    return sessions


class TestLogin:
    async def test_a_refusal_of_the_host_s_own_stays_as_it_is(self, tmp_path: Path) -> None:
        """A host may stand in front of every route with a dependency of its own: too many requests, say."""

        async def crowded() -> None:
            raise HTTPException(429, "slow down")

        async with open_house(tmp_path, app=FastAPI(dependencies=[Depends(crowded)])) as house:
            answer = await house.try_login()
            assert (answer.status_code, answer.json()) == (429, {"detail": "slow down"})

    async def test_the_answer_is_that_of_the_rfc_and_nothing_more(self, either: House) -> None:
        await either.register()
        answer = await either.try_login()
        assert answer.status_code == 200
        body = answer.json()
        assert body.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
        assert (body["token_type"], body["expires_in"], body["scope"]) == ("bearer", 600, "")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"

    @pytest.mark.parametrize("name", [ADA, "ADA@Example.com", " ada@example.com", "lovelace", "LoveLace", "ｌovelace"])
    async def test_an_address_and_a_username_both_name_the_user(self, house: House, name: str) -> None:
        await house.register(username="Lovelace")
        assert (await house.try_login(name)).status_code == 200

    @pytest.mark.parametrize(
        ("asked", "granted"),
        [
            ("", "items:read items:write"),
            ("items:read", "items:read"),
            ("items:read admin", "items:read"),
            ("admin", ""),
            ("items:write  items:read items:read", "items:read items:write"),
        ],
    )
    async def test_a_login_gets_what_it_asks_for_and_may_have(self, house: House, asked: str, granted: str) -> None:
        """`scope=admin` at the login is how clients of other houses have made themselves administrators."""
        await house.register()
        await house.grant(ADA, "items:read", "items:write")
        body = (await house.try_login(scope=asked)).json()
        assert (body["scope"], claims(body["access_token"])["scope"]) == (granted, granted)

    async def test_nobody_can_tell_why_a_login_was_refused(self, either: House) -> None:
        """Each difference between these answers would tell whether an account exists, or is disabled."""
        await either.register()
        await either.register(BOB, username="bob")
        await accounts.disable(await either.kit(), await user_id_of(either, BOB))
        answers = [
            await either.try_login(ADA, "wrong"),
            await either.try_login(ADA, ""),
            await either.try_login(ADA, PASSWORD + "x" * 2000),
            await either.try_login(ADA, "x" * 100_000),
            await either.try_login("nobody@example.com"),
            await either.try_login("nobody"),
            await either.try_login("x" * 100_000),
            await either.try_login(""),
            await either.try_login("not an address @ all"),
            await either.try_login(BOB),
            await either.try_login("bob"),
            await either.try_login(BOB, "wrong"),
        ]
        answers = [answer for answer in answers if answer.json()["error"] != "invalid_request"]
        assert len(answers) == 10  # an empty field is a missing one
        assert answers[0].json() == REFUSED
        assert_oauth(answers[0], "invalid_grant")
        assert {(answer.status_code, answer.content, tuple(answer.headers.items())) for answer in answers} == {
            (400, answers[0].content, tuple(answers[0].headers.items()))
        }

    @pytest.mark.parametrize(
        "form",
        [
            "",
            "username=ada%40example.com",
            "password=x",
            "username=&password=",
            "username=a&username=b&password=c",
            "username=a&password=b&password=c",
            "username=a&password=b&scope=x&scope=y",
            "username=a&password=b&grant_type=refresh_token",
            "username=a&password=b&scope=%22quoted%22",
            "username=a&password=b&scope=caf%C3%A9",
            "username=a&password=b&scope=" + "+".join(f"s{number}" for number in range(65)),
            "username=a&password=b&scope=" + "s" * 65,
        ],
    )
    async def test_a_missing_repeated_or_odd_field_is_an_invalid_request(self, house: House, form: str) -> None:
        await house.register()
        assert_oauth(await house.client.post("/login", content=form, headers=FORM), "invalid_request")

    async def test_json_is_an_invalid_request_and_not_echoed(self, house: House) -> None:
        await house.register()
        answer = await house.client.post("/login", json={"username": ADA, "password": PASSWORD})
        assert_oauth(answer, "invalid_request")
        assert PASSWORD not in answer.text

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"garbage"),
            ("multipart/form-data; boundary=x", b"garbage"),
            ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="username"'),
            ("multipart/form-data; boundary=\xff", b"--x--"),
            ("application/x-www-form-urlencoded", b"\xff\xfe\x00=%"),
            ("application/x-www-form-urlencoded; charset=nonsense", b"username=a&password=b"),
            ("application/x-www-form-urlencoded", b"username=%00&password=%00"),
            ("application/x-www-form-urlencoded", b"username=%ed%a0%80&password=%ed%a0%80"),
            ("application/x-www-form-urlencoded", b"username=a%00@example.com&password=x"),
            ("application/x-www-form-urlencoded", b"&".join(b"f%d=1" % number for number in range(1500))),
            ("nonsense", b"username=a&password=b"),
            ("", b"username=a&password=b"),
        ],
    )
    async def test_bytes_that_are_no_form_are_refused_and_never_a_fault(
        self, either: House, content_type: str, body: bytes
    ) -> None:
        headers = {b"Content-Type": content_type.encode("latin-1")}
        for path in ("/login", "/refresh"):
            answer = await either.client.post(path, content=body, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"] in ("invalid_request", "invalid_grant")

    async def test_a_file_is_no_password(self, house: House) -> None:
        await house.register()
        answer = await house.client.post("/login", data={"username": ADA}, files={"password": PASSWORD.encode()})
        assert_oauth(answer, "invalid_request")

    async def test_a_multipart_form_is_refused_before_it_is_parsed(self, house: House) -> None:
        """Each part of a multipart form may name its codec; one request in punycode would stop the worker for seconds."""
        await house.register()
        fields = {"username": (None, ADA.encode()), "password": (None, PASSWORD.encode())}
        answer = await house.client.post("/login", files=fields)
        assert_oauth(answer, "invalid_request")
        assert "application/x-www-form-urlencoded" in answer.json()["error_description"]
        assert (await house.client.post("/logout", files=fields)).status_code == 400

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_a_body_over_the_bound_is_not_parsed(self, house: House, chunked: bool) -> None:
        """The attacker sends megabytes of brackets: parsing them would hold the event loop and fill the memory."""

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"[" * 1000

        content = chunks() if chunked else b"[" * 100_000
        answer = await house.client.post("/register", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["code"] == "request_too_large"

    async def test_credentials_in_the_query_are_not_read(self, house: House) -> None:
        """What stands in a query stands in logs and in histories."""
        await house.register()
        answer = await house.client.post("/login", params={"username": ADA, "password": PASSWORD})
        assert_oauth(answer, "invalid_request")

    async def test_the_same_password_in_another_normal_form_is_the_same_password(self, house: House) -> None:
        composed, decomposed = "Zürich hört sieben Orgeln", "Zu\u0308rich ho\u0308rt sieben Orgeln"
        await house.register(password=composed)
        assert (await house.try_login(password=decomposed)).status_code == 200

    async def test_the_access_token_never_outlives_the_session(self, tmp_path: Path) -> None:
        async with open_house(tmp_path, refresh_absolute=120, refresh_idle=120, access_ttl=600) as house:
            await house.register()
            body = (await house.try_login()).json()
            assert body["expires_in"] == 120
            token = claims(body["access_token"])
            assert token["exp"] - token["iat"] == 120

    async def test_after_its_time_the_access_token_is_refused(self, house: House) -> None:
        await house.register()
        login = await house.login()
        house.clock.tick(599)
        assert (await house.me(login)).status_code == 200
        house.clock.tick(1)
        answer = await house.me(login)
        assert answer.status_code == 401
        assert 'error="invalid_token", error_description="The token has expired."' in answer.headers["www-authenticate"]


class TestRefresh:
    """Each row of the table in docs/en/design.md, section 5, through the front door."""

    async def test_the_present_token_is_turned(self, either: House) -> None:
        await either.register()
        first = await either.login()
        answer = await either.try_refresh(first.refresh)
        assert answer.status_code == 200
        assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["refresh_token"] != first.refresh
        before, after = claims(first.access), claims(answer.json()["access_token"])
        assert (before["sid"], before["sub"], before["auth_time"]) == (after["sid"], after["sub"], after["auth_time"])
        assert (before["gen"], after["gen"]) == (0, 1)
        assert before["jti"] != after["jti"]

    async def test_within_the_grace_the_one_before_gets_the_same_successor(self, either: House) -> None:
        await either.register()
        first = await either.login()
        second = await either.refresh(first.refresh)
        either.clock.tick(29)
        again = await either.refresh(first.refresh)
        assert again.refresh == second.refresh
        assert (await either.me(again)).status_code == 200
        assert (await either.me(second)).status_code == 200

    async def test_a_retry_within_the_grace_does_not_prolong_the_grace(self, either: House) -> None:
        """A thief who holds the old token could otherwise keep it alive for ever, a retry every few seconds."""
        await either.register()
        first = await either.login()
        await either.refresh(first.refresh)
        either.clock.tick(20)
        await either.refresh(first.refresh)
        either.clock.tick(20)
        assert_oauth(await either.try_refresh(first.refresh), "invalid_grant")

    async def test_after_the_grace_the_one_before_ends_the_session(self, either: House) -> None:
        """A copied token: its owner has turned it, and now the thief comes (or the other way round)."""
        await either.register()
        first, elsewhere = await either.login(), await either.login()
        second = await either.refresh(first.refresh)
        either.clock.tick(30)
        answer = await either.try_refresh(first.refresh)
        assert_oauth(answer, "invalid_grant")
        assert answer.json() == REFUSED  # the thief does not learn that he was found
        assert_oauth(await either.try_refresh(second.refresh), "invalid_grant")
        assert (await either.me(second)).status_code == 401
        assert (await either.me(first)).status_code == 401
        assert (await either.me(elsewhere)).status_code == 200

    async def test_an_older_one_ends_the_session_even_within_the_grace(self, either: House) -> None:
        await either.register()
        first = await either.login()
        second = await either.refresh(first.refresh)
        third = await either.refresh(second.refresh)
        assert_oauth(await either.try_refresh(first.refresh), "invalid_grant")
        assert_oauth(await either.try_refresh(third.refresh), "invalid_grant")
        assert (await either.me(third)).status_code == 401

    async def test_without_a_grace_the_second_use_ends_the_session(self, tmp_path: Path) -> None:
        async with open_house(tmp_path, refresh_grace=0) as house:
            await house.register()
            first = await house.login()
            second = await house.refresh(first.refresh)
            assert_oauth(await house.try_refresh(first.refresh), "invalid_grant")
            assert_oauth(await house.try_refresh(second.refresh), "invalid_grant")

    async def test_a_newer_one_than_the_database_knows_moves_the_session_on(self, either: House) -> None:
        """Not an attack: a power cut or a restored backup took the last turns from the database, not from the client."""
        await either.register()
        first = await either.login()
        kit = await either.kit()
        known = opaque.parse(first.refresh, kit.keyring.ring.refresh_keys)
        ahead = opaque.mint(known.session_id, 7, known.r, kit.keyring.ring.refresh_keys)
        answer = await either.try_refresh(ahead)
        assert answer.status_code == 200
        assert claims(answer.json()["access_token"])["gen"] == 8
        assert opaque.parse(answer.json()["refresh_token"], kit.keyring.ring.refresh_keys).generation == 8
        assert_oauth(await either.try_refresh(first.refresh), "invalid_grant")

    async def test_garbage_never_reaches_the_database(self, either: House) -> None:
        """A flood of forged tokens must cost no connection; and knowing a session id must not be enough to end it."""
        await either.register()
        login = await either.login()
        head, _, mac = login.refresh.rpartition(".")
        session, generation, r = head.split(".")
        forged = [
            "x",
            "wwr_",
            login.access,
            login.refresh + "A",
            " " + login.refresh,
            login.refresh + "\n",
            f"{head}.{'A' * 43}",
            f"{session}.{int(generation) + 1}.{r}.{mac}",
            f"{session}.0{generation}.{r}.{mac}",
            f"{session}.-1.{r}.{mac}",
            f"{session}.{generation}.{'A' * 43}.{mac}",
            f"wwr_{'a' * 26}.{generation}.{r}.{mac}",
            login.refresh.upper(),
            login.refresh.replace("wwr_", "wwr_\x00"),
            "wwr_" + "٣" * 26,
            "x" * 4000,
        ]
        with either.statements() as seen:
            for token in forged:
                assert_oauth(await either.try_refresh(token), "invalid_grant")
                assert_oauth(await either.try_refresh(token, scope="admin"), "invalid_grant")
        assert seen == []
        assert (await either.try_refresh(login.refresh)).status_code == 200

    async def test_a_refresh_token_of_another_house_is_garbage_here(self, tmp_path: Path, house: House) -> None:
        await house.register()
        async with open_house(tmp_path / "other") as other:
            await other.register()
            foreign = await other.login()
        assert_oauth(await house.try_refresh(foreign.refresh), "invalid_grant")

    async def test_a_refresh_is_one_statement(self, either: House) -> None:
        """On SQLite one of two: a crowd is turned by one, and read by another."""
        await either.register()
        login = await either.refresh((await either.login()).refresh)
        with either.statements() as seen:
            await either.refresh(login.refresh)
        assert len(seen) == (2 if "json_each" in seen[0] else 1)
        assert "UPDATE watchword_sessions" in seen[-1]

    async def test_many_at_once_get_one_successor(self, either: House) -> None:
        await either.register()
        first = await either.login()
        successors = await asyncio.gather(*(either.refresh(first.refresh) for _ in range(8)))
        assert len({login.refresh for login in successors}) == 1
        assert {claims(login.access)["gen"] for login in successors} == {1}
        assert (await either.try_refresh(successors[0].refresh)).status_code == 200

    async def test_a_refresh_narrows_the_access_token_and_not_the_session(self, either: House) -> None:
        await either.register()
        await either.grant(ADA, "a", "b", "c")
        first = await either.login()
        answer = await either.try_refresh(first.refresh, scope="b a")
        assert (answer.json()["scope"], claims(answer.json()["access_token"])["scope"]) == ("a b", "a b")
        whole = await either.try_refresh(answer.json()["refresh_token"])
        assert whole.json()["scope"] == "a b c"  # RFC 6749 6: the refresh token's scope is the one first granted

    async def test_a_wider_scope_is_refused_and_nothing_was_turned(self, either: House) -> None:
        """A client that was given little asks for what the user may do elsewhere."""
        await either.register()
        await either.grant(ADA, "a", "admin")
        first = await either.login(scope="a")
        for wider in ("a admin", "admin", "unheard-of"):
            assert_oauth(await either.try_refresh(first.refresh, scope=wider), "invalid_scope")
        either.clock.tick(3600)
        answer = await either.try_refresh(first.refresh)
        assert answer.json()["scope"] == "a"
        assert claims(answer.json()["access_token"])["gen"] == 1

    @pytest.mark.parametrize("grant_type", ["password", "authorization_code", "REFRESH_TOKEN", "refresh_token "])
    async def test_another_grant_type_is_not_supported(self, house: House, grant_type: str) -> None:
        await house.register()
        login = await house.login()
        answer = await house.client.post("/refresh", data={"grant_type": grant_type, "refresh_token": login.refresh})
        assert_oauth(answer, "unsupported_grant_type")
        assert claims((await house.refresh(login.refresh)).access)["gen"] == 1

    @pytest.mark.parametrize(
        "form",
        [
            "",
            "grant_type=refresh_token",
            "refresh_token=x",
            "grant_type=refresh_token&refresh_token=",
            "grant_type=refresh_token&refresh_token=x&refresh_token=y",
            "grant_type=refresh_token&grant_type=refresh_token&refresh_token=x",
            "grant_type=refresh_token&refresh_token=x&scope=%00",
        ],
    )
    async def test_a_missing_repeated_or_odd_field_is_an_invalid_request(self, house: House, form: str) -> None:
        assert_oauth(await house.client.post("/refresh", content=form, headers=FORM), "invalid_request")

    async def test_a_session_that_was_not_used_for_long_is_over(self, either: House) -> None:
        await either.register()
        login = await either.login()
        either.clock.tick(14 * 86400 - 1)
        login = await either.refresh(login.refresh)
        either.clock.tick(14 * 86400)
        assert_oauth(await either.try_refresh(login.refresh), "invalid_grant")

    async def test_at_its_absolute_end_a_session_is_over_however_it_was_used(self, either: House) -> None:
        await either.register()
        login = await either.login()
        for _ in range(9):
            either.clock.tick(10 * 86400 - 1)
            login = await either.refresh(login.refresh)
        either.clock.tick(8)
        answer = await either.try_refresh(login.refresh)
        assert answer.json()["expires_in"] == 1
        either.clock.tick(1)
        assert_oauth(await either.try_refresh(answer.json()["refresh_token"]), "invalid_grant")

    async def test_a_disabled_user_refreshes_nothing(self, either: House) -> None:
        await either.register()
        login = await either.login()
        await accounts.disable(await either.kit(), await user_id_of(either))
        assert_oauth(await either.try_refresh(login.refresh), "invalid_grant")
        await accounts.enable(await either.kit(), await user_id_of(either))
        assert_oauth(await either.try_refresh(login.refresh), "invalid_grant")
        assert (await either.try_login()).status_code == 200

    async def test_after_a_change_of_scopes_the_old_token_is_dead_and_the_refresh_brings_the_new_ones(
        self, either: House
    ) -> None:
        await either.register()
        await either.grant(ADA, "a", "b")
        login = await either.login()
        await either.grant(ADA, "b", "c")
        assert (await either.me(login)).status_code == 401
        answer = await either.try_refresh(login.refresh)
        assert answer.json()["scope"] == "b c"

    async def test_a_session_that_asked_for_few_scopes_gets_no_more_when_the_user_is_granted_more(
        self, either: House
    ) -> None:
        await either.register()
        await either.grant(ADA, "a")
        login = await either.login(scope="a")
        await either.grant(ADA, "a", "admin")
        assert (await either.try_refresh(login.refresh)).json()["scope"] == "a"


class TestLogout:
    async def logout(self, house: House, access: str | None = None, refresh: str | None = None) -> httpx2.Response:
        headers = {} if access is None else {"Authorization": f"Bearer {access}"}
        form = None if refresh is None else {"refresh_token": refresh}
        return await house.client.post("/logout", data=form, headers=headers)

    async def test_every_token_of_the_session_is_dead_at_once(self, either: House) -> None:
        await either.register()
        first, elsewhere = await either.login(), await either.login()
        second = await either.refresh(first.refresh)
        assert (await either.me(first)).status_code == 200  # it is known, and must be forgotten
        answer = await self.logout(either, second.access)
        assert (answer.status_code, answer.content) == (204, b"")
        for dead in (first, second):
            assert (await either.me(dead)).status_code == 401
        for dead in (first, second):
            assert_oauth(await either.try_refresh(dead.refresh), "invalid_grant")
        assert (await either.me(elsewhere)).status_code == 200

    async def test_twice_is_no_error(self, either: House) -> None:
        await either.register()
        login = await either.login()
        assert (await self.logout(either, login.access)).status_code == 204
        assert (await self.logout(either, login.access)).status_code == 204
        assert (await self.logout(either, refresh=login.refresh)).status_code == 204

    async def test_with_an_expired_access_token_the_refresh_token_decides(self, either: House) -> None:
        await either.register()
        login = await either.login()
        either.clock.tick(601)
        assert (await self.logout(either, login.access, login.refresh)).status_code == 204
        assert_oauth(await either.try_refresh(login.refresh), "invalid_grant")

    async def test_the_refresh_token_alone_is_enough(self, either: House) -> None:
        await either.register()
        login = await either.login()
        assert (await self.logout(either, refresh=login.refresh)).status_code == 204
        assert (await either.me(login)).status_code == 401

    async def test_an_expired_access_token_alone_ends_nothing(self, either: House) -> None:
        """An old token from a log must not be able to sign anybody out."""
        await either.register()
        login = await either.login()
        assert (await either.me(login)).status_code == 200
        either.clock.tick(601)
        answer = await self.logout(either, login.access)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert (await either.try_refresh(login.refresh)).status_code == 200

    async def test_nothing_at_all_gets_a_challenge_without_an_error_code(self, house: House) -> None:
        answer = await self.logout(house)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="watchword"'
        assert answer.json()["code"] == "not_authenticated"

    @pytest.mark.parametrize("garbage", ["x", "wwr_x", "a.b.c", "x" * 3000, "\x00", "é"])
    async def test_garbage_ends_nothing_and_touches_no_database(self, either: House, garbage: str) -> None:
        await either.register()
        login = await either.login()
        with either.statements() as seen:
            answer = await self.logout(either, refresh=garbage)
        assert answer.status_code == 401
        assert answer.json()["code"] == "invalid_token"
        assert seen == []
        assert (await either.me(login)).status_code == 200

    async def test_a_good_access_token_counts_beside_a_refresh_token_that_is_none(self, house: House) -> None:
        await house.register()
        login = await house.login()
        assert (await self.logout(house, login.access, "garbage")).status_code == 204
        assert (await house.me(login)).status_code == 401

    async def test_an_unreadable_form_is_a_problem(self, house: House) -> None:
        answer = await house.client.post(
            "/logout", content=b"garbage", headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid_request"

    async def test_a_deleted_user_can_still_log_out(self, either: House) -> None:
        await either.register()
        login = await either.login()
        await accounts.delete(await either.kit(), await user_id_of(either))
        assert (await self.logout(either, login.access, login.refresh)).status_code == 204


class TestTheListOfSessions:
    async def test_it_shows_device_address_and_times_the_last_used_first(self, either: House) -> None:
        await either.register()
        old = await either.login(headers={"User-Agent": FIREFOX})
        either.clock.tick(60)
        new = await either.login(headers={"User-Agent": "curl/8.5.0"})
        assert await list_sessions(either, new.headers) == [
            {
                "id": claims(new.access)["sid"],
                "device": "curl",
                "ip": "203.0.113.7",
                "created_at": "2026-01-01T00:01:00Z",
                "last_used_at": "2026-01-01T00:01:00Z",
                "expires_at": "2026-01-15T00:01:00Z",
                "current": True,
            },
            {
                "id": claims(old.access)["sid"],
                "device": "Firefox on Linux",
                "ip": "203.0.113.7",
                "created_at": "2026-01-01T00:00:00Z",
                "last_used_at": "2026-01-01T00:00:00Z",
                "expires_at": "2026-01-15T00:00:00Z",
                "current": False,
            },
        ]

    async def test_a_refresh_is_a_use(self, either: House) -> None:
        await either.register()
        old, new = await either.login(), await either.login()
        either.clock.tick(300)
        old = await either.refresh(old.refresh)
        listed = await list_sessions(either, new.headers)
        assert [session["id"] for session in listed] == [claims(old.access)["sid"], claims(new.access)["sid"]]
        assert listed[0]["last_used_at"] == "2026-01-01T00:05:00Z"
        assert listed[0]["created_at"] == "2026-01-01T00:00:00Z"

    async def test_nobody_sees_the_sessions_of_others(self, house: House) -> None:
        await house.register()
        await house.register(BOB)
        ada, bob = await house.login(), await house.login(BOB)
        assert [one["id"] for one in await list_sessions(house, ada.headers)] == [claims(ada.access)["sid"]]
        assert [one["id"] for one in await list_sessions(house, bob.headers)] == [claims(bob.access)["sid"]]

    async def test_dead_sessions_are_not_listed(self, house: House) -> None:
        await house.register()
        gone, here = await house.login(), await house.login()
        await house.client.post("/logout", headers=gone.headers)
        assert len(await list_sessions(house, here.headers)) == 1

    @pytest.mark.parametrize(
        "agent",
        [
            "",
            "\x7f",
            "x" * 10_000,
            "<script>alert(1)</script>",
            "Mozilla/5.0 (\x9b31m) é",
            "🦊".encode().decode("latin-1"),
        ],
    )
    async def test_an_odd_user_agent_is_kept_without_control_characters(self, either: House, agent: str) -> None:
        """What stands in the list of sessions is shown in a browser, and printed at a terminal."""
        await either.register()
        form = {"username": ADA, "password": PASSWORD}
        headers = [(b"user-agent", agent.encode("latin-1"))]
        answer = await either.client.post("/login", data=form, headers=headers)
        assert answer.status_code == 200
        (session,) = await list_sessions(either, {"Authorization": f"Bearer {answer.json()['access_token']}"})
        assert session["device"].isprintable()
        assert len(session["device"]) <= 600

    async def test_an_address_that_the_client_writes_itself_is_not_believed(self, house: House) -> None:
        """Whoever hides behind X-Forwarded-For would put somebody else's address into the list."""
        await house.register()
        login = await house.login(headers={"X-Forwarded-For": "198.51.100.1", "Forwarded": "for=198.51.100.1"})
        assert (await list_sessions(house, login.headers))[0]["ip"] == "203.0.113.7"

    @pytest.mark.parametrize(
        ("forwarded", "ip"),
        [
            ("198.51.100.1", "198.51.100.1"),
            ("6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("198.51.100.1, 203.0.113.9", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("nonsense", "203.0.113.7"),
            ("198.51.100.1, nonsense", "203.0.113.7"),
            ("", "203.0.113.7"),
        ],
    )
    async def test_a_trusted_proxy_is_believed_hop_by_hop(self, tmp_path: Path, forwarded: str, ip: str) -> None:
        """The left end of X-Forwarded-For is written by the client; only what trusted proxies appended counts."""
        async with open_house(tmp_path, trusted_proxies="203.0.113.0/24") as house:
            await house.register()
            login = await house.login(headers={"X-Forwarded-For": forwarded})
            assert (await list_sessions(house, login.headers))[0]["ip"] == ip


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("my-tool/1.2 (by me)", "my-tool 1.2"),
        ("my-tool", "my-tool"),
        ("/", "Unknown device"),
        ("", "Unknown device"),
        (None, "Unknown device"),
        (BLANK, "Android on Android"),
    ],
)
def test_a_device_has_a_name_for_people(agent: str | None, device: str) -> None:
    assert name(agent) == device


def test_a_device_that_no_pattern_can_name_is_called_by_its_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """DL-05: a pattern that matches and finds a blank raises, and the whole list would fail for one session in it."""

    def blank(agent: str) -> None:
        raise ValueError("Unable to find OS family")

    monkeypatch.setattr(ua_parser, "parse_os", blank)
    assert name.__wrapped__("my-tool/1.2 (by me)") == "my-tool 1.2"


class TestEndingSessions:
    async def end(self, house: House, session_id: str, headers: Mapping[str, str]) -> httpx2.Response:
        return await house.client.delete(f"/sessions/{session_id}", headers=headers)

    async def test_one_device_is_signed_out_and_the_others_stay(self, either: House) -> None:
        await either.register()
        lost, here = await either.login(), await either.login()
        answer = await self.end(either, claims(lost.access)["sid"], here.headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await either.me(lost)).status_code == 401
        assert_oauth(await either.try_refresh(lost.refresh), "invalid_grant")
        assert (await either.me(here)).status_code == 200

    async def test_ending_the_session_in_use_is_a_logout(self, either: House) -> None:
        await either.register()
        login = await either.login()
        assert (await self.end(either, claims(login.access)["sid"], login.headers)).status_code == 204
        assert (await either.me(login)).status_code == 401

    async def test_a_foreign_session_and_one_that_never_was_get_one_answer(self, either: House) -> None:
        """Whoever guesses ids must neither end the sessions of others, nor learn which exist."""
        await either.register()
        await either.register(BOB)
        ada, bob = await either.login(), await either.login(BOB)
        foreign = await self.end(either, claims(ada.access)["sid"], bob.headers)
        unknown = [
            await self.end(either, session_id, bob.headers)
            for session_id in (
                "a" * 26,
                "%00",
                "%ff",
                "%F0%9F%A6%8A",
                "'; DROP TABLE watchword_sessions --",
                "x" * 2000,
            )
        ]
        assert foreign.status_code == 404
        assert foreign.json()["code"] == "not_found"
        assert {(answer.status_code, answer.content) for answer in unknown} == {(404, foreign.content)}
        assert (await either.me(ada)).status_code == 200

    async def test_a_session_that_has_ended_is_not_found(self, house: House) -> None:
        await house.register()
        gone, here = await house.login(), await house.login()
        session_id = claims(gone.access)["sid"]
        assert (await self.end(house, session_id, here.headers)).status_code == 204
        assert (await self.end(house, session_id, here.headers)).status_code == 404

    async def test_everywhere_means_here_too_and_nobody_else(self, either: House) -> None:
        await either.register()
        await either.register(BOB)
        logins = [await either.login() for _ in range(3)]
        bob = await either.login(BOB)
        answer = await either.client.delete("/sessions", headers=logins[0].headers)
        assert (answer.status_code, answer.content) == (204, b"")
        for login in logins:
            assert (await either.me(login)).status_code == 401
            assert_oauth(await either.try_refresh(login.refresh), "invalid_grant")
        assert (await either.me(bob)).status_code == 200
        assert (await either.try_login()).status_code == 200

    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("DELETE", "/" + "a" * 26)])
    async def test_without_a_token_nothing_is_shown_or_ended(self, house: House, method: str, path: str) -> None:
        answer = await house.client.request(method, f"/sessions{path}")
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_new_password_does_not_bring_an_ended_session_back(self, house: House) -> None:
        await house.register()
        gone, here = await house.login(), await house.login()
        await house.client.post("/logout", headers=gone.headers)
        body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        await house.client.post("/change-password", json=body, headers=here.headers)
        assert (await house.me(gone)).status_code == 401
