"""`/register`, `/me` and `/change-password`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, open_house

JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


async def sign_up(house: House, **body: Any) -> httpx2.Response:
    return await house.client.post("/register", json=body)


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"].endswith(code.replace("_", "-"))
    return body


class TestRegister:
    async def test_a_new_account_can_sign_in(self, either: House) -> None:
        answer = await sign_up(either, email=ADA, password=PASSWORD)
        assert answer.status_code == 202
        assert answer.json().keys() == {"detail"}
        assert (await either.try_login()).status_code == 200

    async def test_a_taken_address_gets_the_same_answer_and_changes_nothing(self, either: House) -> None:
        """Whoever wants to know who has an account here tries to register with their address."""
        first = await sign_up(either, email=ADA, password=PASSWORD)
        again = await sign_up(either, email=ADA, password=OTHER_PASSWORD)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers == first.headers
        assert (await either.try_login(password=OTHER_PASSWORD)).status_code == 400
        assert (await either.try_login()).status_code == 200

    @pytest.mark.parametrize("twin", ["ADA@EXAMPLE.COM", " ada@example.com ", "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ"])
    async def test_a_twin_of_an_address_is_the_same_address(self, house: House, twin: str) -> None:
        """Case and width twins would give two accounts to one mailbox, and the second could be taken for the first."""
        await house.register()
        assert (await sign_up(house, email=twin, password=OTHER_PASSWORD)).status_code == 202
        assert (await house.try_login(twin, OTHER_PASSWORD)).status_code == 400
        assert (await house.try_login(twin)).status_code == 200

    async def test_a_taken_username_is_told_before_the_address_is_looked_at(self, either: House) -> None:
        """A taken username together with a probed address must answer the same whether that address has an account."""
        await either.register(ADA, username="ada")
        with_new_address = await sign_up(either, email=BOB, password=PASSWORD, username="ADA")
        with_taken_address = await sign_up(either, email=ADA, password=PASSWORD, username="ada")
        assert_problem(with_new_address, 409, "username_taken")
        assert with_new_address.content == with_taken_address.content

    async def test_a_free_username_with_a_taken_address_is_not_reserved(self, house: House) -> None:
        await house.register(ADA)
        assert (await sign_up(house, email=ADA, password=PASSWORD, username="lovelace")).status_code == 202
        assert (await sign_up(house, email=BOB, password=PASSWORD, username="lovelace")).status_code == 202
        assert (await house.try_login("lovelace")).status_code == 200

    async def test_of_many_at_once_one_gets_the_address_and_all_the_same_answer(self, either: House) -> None:
        passwords = [f"{PASSWORD} {number}" for number in range(8)]
        answers = await asyncio.gather(*(sign_up(either, email=ADA, password=one) for one in passwords))
        assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
        signed_in = [(await either.try_login(password=one)).status_code for one in passwords]
        assert sorted(signed_in) == [200] + [400] * 7

    async def test_of_many_at_once_one_gets_the_username(self, either: House) -> None:
        answers = await asyncio.gather(
            *(sign_up(either, email=f"u{n}@example.com", password=PASSWORD, username="ada") for n in range(6))
        )
        assert sorted(answer.status_code for answer in answers) == [202] + [409] * 5

    @pytest.mark.parametrize(
        "password",
        ["short", "aaaaaaaaaaaaaaaaaaaa", "passwordpassword", "ada@example.com1", "x" * 1025, "watchwordwatchword"],
    )
    async def test_a_weak_password_is_refused_with_help_and_without_an_echo(self, house: House, password: str) -> None:
        body = assert_problem(await sign_up(house, email=ADA, password=password), 422, "weak_password")
        assert "password" in body["detail"].lower()
        assert password not in json.dumps(body)
        assert (await house.try_login(password=password)).status_code == 400

    async def test_a_weak_password_is_told_alike_for_a_taken_address(self, house: House) -> None:
        """If the password were checked only for free addresses, a weak one would be a cheap probe."""
        free = await sign_up(house, email=ADA, password="short")
        await house.register(ADA)
        taken = await sign_up(house, email=ADA, password="short")
        assert (free.status_code, free.content) == (taken.status_code, taken.content)

    @pytest.mark.parametrize(
        "email",
        [
            "",
            "ada",
            "ada@",
            "@example.com",
            "a@b@c.com",
            "ada@exa mple.com",
            "a\x00b@example.com",
            "x" * 250 + "@e.com",
        ],
    )
    async def test_what_is_no_address_is_named_and_not_echoed(self, house: House, email: str) -> None:
        body = assert_problem(await sign_up(house, email=email, password=PASSWORD), 422, "invalid_input")
        assert body["fields"].keys() == {"email"}
        if email:
            assert json.dumps(email)[1:-1] not in json.dumps(body)

    @pytest.mark.parametrize("username", ["a", "", "has space", "-a", "a" * 33, "a\u202eb", "me@example.com", "n\x00l"])
    async def test_what_is_no_username_is_named(self, house: House, username: str) -> None:
        answer = await sign_up(house, email=ADA, password=PASSWORD, username=username)
        assert assert_problem(answer, 422, "invalid_input")["fields"].keys() == {"username"}

    async def test_missing_and_odd_fields_are_named_and_not_echoed(self, house: House) -> None:
        canary = "canary-4711"
        answer = await sign_up(house, email={"nested": canary}, username=[canary])
        body = assert_problem(answer, 422, "invalid_input")
        assert body["fields"].keys() == {"email", "password", "username"}
        assert body["fields"]["password"] == "This field is required."
        assert canary not in answer.text

    async def test_unknown_fields_change_nothing(self, house: House) -> None:
        answer = await sign_up(house, email=ADA, password=PASSWORD, newsletter=True)
        assert answer.status_code == 202

    async def test_nobody_makes_himself_an_administrator(self, house: House) -> None:
        """Mass assignment: fields of the stored row come in with the registration."""
        await sign_up(
            house,
            email=ADA,
            password=PASSWORD,
            id="chosen",
            scopes=["admin"],
            scope="admin",
            epoch=-1,
            is_admin=True,
            disabled_at=None,
            password_hash="$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$x",
        )
        found = await (await house.kit()).users.find(ADA)
        assert found is not None
        assert (found.user.scopes, found.user.epoch) == (frozenset(), 0)
        assert found.user.id != "chosen"
        assert (await house.try_login(scope="admin")).json()["scope"] == ""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"text"',
            b"\xff\xfe{",
            b"[" * 60_000,
            b'{"email": ' + b"1" * 5000 + b"}",
            b'{"email": NaN, "password": Infinity}',
            b'{"email": "\\ud800@example.com", "password": "\\udfff seven lanterns over"}',
            b'{"email": "canary@example.com", "password": "\\u0000"}',
            b"email=ada@example.com&password=x",
        ],
    )
    async def test_an_unreadable_body_is_a_problem_and_never_a_fault(self, house: House, body: bytes) -> None:
        answer = await house.client.post("/register", content=body, headers=JSON)
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == PROBLEM
        assert "canary" not in answer.text

    async def test_a_body_that_is_not_json_is_told_so(self, house: House) -> None:
        answer = await house.client.post("/register", data={"email": ADA, "password": PASSWORD})
        assert "JSON" in assert_problem(answer, 422, "invalid_input")["detail"]

    async def test_where_registration_is_closed_nobody_learns_who_is_there(self, tmp_path: Path) -> None:
        async with open_house(tmp_path, registration="closed") as house:
            answer = await sign_up(house, email=ADA, password=PASSWORD)
            assert_problem(answer, 403, "registration_closed")
            assert (await sign_up(house, email=ADA, password="short")).content == answer.content

    async def test_registration_is_closed_off_localhost_unless_opened(self, tmp_path: Path, sqlite_url: str) -> None:
        public: dict[str, Any] = {
            "issuer": "https://auth.example.com",
            "master_keys": "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS",
            "database_url": sqlite_url,
            "base_url": "https://auth.example.com",
        }
        async with open_house(tmp_path, **public) as house:
            assert_problem(await sign_up(house, email=ADA, password=PASSWORD), 403, "registration_closed")
        async with open_house(tmp_path, registration="open", **public) as house:
            assert (await sign_up(house, email=ADA, password=PASSWORD)).status_code == 202


class TestMe:
    async def test_it_tells_who_is_signed_in(self, either: House) -> None:
        user_id = await either.register(username="Ada")
        await either.grant(ADA, "items:read", "items:write")
        login = await either.login(scope="items:read")
        body = (await either.me(login)).json()
        assert body == {
            "user_id": user_id,
            "email": ADA,
            "username": "ada",
            "scopes": ["items:read"],
            "session_id": body["session_id"],
            "created_at": "2026-01-01T00:00:00Z",
            "email_verified": False,
            "language": None,
            "profile": {},
        }

    async def test_without_a_token_it_asks_for_one(self, house: House) -> None:
        answer = await house.client.get("/me")
        assert_problem(answer, 401, "not_authenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="watchword"'

    async def test_a_refresh_token_is_no_access_token(self, house: House) -> None:
        await house.register()
        login = await house.login()
        answer = await house.client.get("/me", headers={"Authorization": f"Bearer {login.refresh}"})
        assert_problem(answer, 401, "invalid_token")


class TestChangePassword:
    async def change(self, house: House, login: Any, current: str, new: str) -> httpx2.Response:
        body = {"current_password": current, "new_password": new}
        return await house.client.post("/change-password", json=body, headers=login.headers)

    async def test_this_session_lives_on_and_the_others_end(self, either: House) -> None:
        await either.register()
        here, there = await either.login(), await either.login()
        answer = await self.change(either, here, PASSWORD, OTHER_PASSWORD)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await either.me(here)).status_code == 200
        assert (await either.try_refresh(here.refresh)).status_code == 200
        assert (await either.me(there)).status_code == 401
        assert (await either.try_refresh(there.refresh)).json()["error"] == "invalid_grant"
        assert (await either.try_login()).status_code == 400
        assert (await either.try_login(password=OTHER_PASSWORD)).status_code == 200

    async def test_a_wrong_present_password_changes_nothing(self, either: House) -> None:
        """Whoever finds an unlocked browser has a session, and not the password."""
        await either.register()
        here, there = await either.login(), await either.login()
        for wrong in ("wrong", "", "x" * 4096, PASSWORD.upper()):
            assert_problem(await self.change(either, here, wrong, OTHER_PASSWORD), 403, "wrong_password")
        assert (await either.me(there)).status_code == 200
        assert (await either.try_login()).status_code == 200

    async def test_the_wrong_password_comes_before_the_weak_one(self, house: House) -> None:
        await house.register()
        assert_problem(await self.change(house, await house.login(), "wrong", "short"), 403, "wrong_password")

    @pytest.mark.parametrize("weak", ["", "short", "ada@example.com!", "x" * 1025])
    async def test_a_weak_new_password_is_refused(self, house: House, weak: str) -> None:
        await house.register()
        here, there = await house.login(), await house.login()
        assert_problem(await self.change(house, here, PASSWORD, weak), 422, "weak_password")
        assert (await house.me(there)).status_code == 200
        assert (await house.try_login()).status_code == 200

    async def test_missing_fields_are_named_without_an_echo(self, house: House) -> None:
        await house.register()
        login = await house.login()
        answer = await house.client.post("/change-password", json={"current_password": PASSWORD}, headers=login.headers)
        assert assert_problem(answer, 422, "invalid_input")["fields"].keys() == {"new_password"}
        assert PASSWORD not in answer.text

    async def test_nobody_changes_a_password_without_a_session(self, house: House) -> None:
        body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        assert_problem(await house.client.post("/change-password", json=body), 401, "not_authenticated")

    async def test_of_many_changes_at_once_one_wins(self, either: House) -> None:
        """Two changes that both read the old hash must not overwrite each other: the loser thinks that he is safe."""
        await either.register()
        login = await either.login()
        news = [f"{OTHER_PASSWORD} {number}" for number in range(4)]
        answers = await asyncio.gather(*(self.change(either, login, PASSWORD, new) for new in news))
        winners = [new for new, answer in zip(news, answers, strict=True) if answer.status_code == 204]
        assert sorted(answer.status_code for answer in answers) == [204, 403, 403, 403]
        assert (await either.try_login(password=winners[0])).status_code == 200
