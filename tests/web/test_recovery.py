"""Mails and their links: an address that is verified, a password that is recovered, an address that changes."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, Login, open_house
from tests.letterbox import last_mail, mails, posted

from watchword.core.events import (
    AccountDisowned,
    EmailChanged,
    EmailVerified,
    Event,
    PasswordReset,
    PasswordResetRequested,
    Registered,
)
from watchword.flows import accounts

NEW = "ada@new.example"


def heard(house: House) -> list[Event]:
    """What happens from now on."""
    events: list[Event] = []

    async def note(event: Event) -> None:
        events.append(event)

    house.auth.on(Event, note)
    return events


async def told(house: House, events: list[Event]) -> list[type[Event]]:
    await (await house.kit()).handlers.drain()
    return [type(event) for event in events]


async def forget(house: House, email: str = ADA, **headers: str) -> httpx2.Response:
    return await house.client.post("/forgot-password", json={"email": email}, headers=headers)


async def reset(house: House, token: str, new: str = OTHER_PASSWORD) -> httpx2.Response:
    return await house.client.post("/reset-password", json={"token": token, "new_password": new})


async def post(house: House, path: str, login: Login | None = None, **body: str) -> httpx2.Response:
    return await house.client.post(path, json=body, headers=login.headers if login else {})


# A forgotten password


async def test_a_forgotten_password_is_replaced_by_way_of_the_mail(either: House) -> None:
    user_id = await either.register()
    events = heard(either)
    before = await either.login()
    assert (await forget(either)).status_code == 202
    mail = await last_mail(either)
    assert (mail.to, mail.subject) == (ADA, "Choose a new password for Watchword")
    assert mail.link.startswith("http://localhost:8000/links/reset-password#")
    answer = await reset(either, mail.token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await either.try_login()).status_code == 400
    await either.login(password=OTHER_PASSWORD)
    assert (await either.me(before)).status_code == 401
    assert (await either.try_refresh(before.refresh)).status_code == 400
    notice = await last_mail(either)
    assert notice.subject == "Your password at Watchword was changed"
    assert PasswordReset(user_id) in events
    assert PasswordResetRequested(user_id) in events


async def test_a_weak_password_leaves_the_link_as_it_was(house: House) -> None:
    await house.register()
    await forget(house)
    token = (await last_mail(house)).token
    for weak in ("short", "watchwordwatchword", "x" * 2000):
        answer = await reset(house, token, weak)
        assert answer.status_code == 422, answer.text
    assert (await reset(house, token)).status_code == 204


async def test_what_is_no_address_is_told_so_and_what_is_no_link_too(house: House) -> None:
    assert (await forget(house, "nonsense")).json()["fields"] == {"email": "This is not an email address."}
    answer = await reset(house, "nonsense")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_link")


async def test_a_reset_verifies_the_address(house: House) -> None:
    await house.register()
    assert (await house.me(await house.login())).json()["email_verified"] is False
    await forget(house)
    await reset(house, (await last_mail(house)).token)
    assert (await house.me(await house.login(password=OTHER_PASSWORD))).json()["email_verified"] is True


# An address that is verified


async def test_whoever_is_signed_in_verifies_the_address_by_a_mail(either: House) -> None:
    await either.register()
    login = await either.login()
    events = heard(either)
    assert (await post(either, "/verify-email", login)).status_code == 202
    mail = await last_mail(either)
    assert mail.link.startswith("http://localhost:8000/links/verify-email#")
    assert (await post(either, "/verify-email/confirm", token=mail.token)).status_code == 204
    assert (await either.me(login)).json()["email_verified"] is True
    assert EmailVerified in await told(either, events)
    await post(either, "/verify-email", login)
    assert len(await mails(either)) == 1  # there is nothing left to verify


async def test_where_mail_is_configured_an_account_counts_once_its_link_came_back(
    tmp_path: Path, database_url: str
) -> None:
    async with posted(tmp_path, database_url) as (box, house):
        events = heard(house)
        body = {"email": ADA, "password": PASSWORD, "username": "ada"}
        answer = await house.client.post("/register", json=body)
        assert answer.status_code == 202
        assert "a mail with a link is on its way" in answer.json()["detail"]
        (mail,) = await box.have(1)
        assert (await house.try_login()).status_code == 400
        assert (await post(house, "/verify-email/confirm", token=mail.token)).status_code == 204
        login = await house.login("ada")
        assert (await house.me(login)).json()["email_verified"] is True
        assert {Registered, EmailVerified} <= set(await told(house, events))


async def test_a_username_that_went_meanwhile_is_told_when_the_link_comes_back(tmp_path: Path, sqlite_url: str) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        for email in (ADA, BOB):
            await house.client.post("/register", json={"email": email, "password": PASSWORD, "username": "first"})
        first, second = await box.have(2)
        assert (await post(house, "/verify-email/confirm", token=second.token)).status_code == 204
        answer = await post(house, "/verify-email/confirm", token=first.token)
        assert (answer.status_code, answer.json()["code"]) == (409, "username_taken")


async def test_two_registrations_of_one_address_are_one_account(tmp_path: Path, sqlite_url: str) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        for password in (PASSWORD, OTHER_PASSWORD):
            await house.client.post("/register", json={"email": ADA, "password": password})
        first, second = await box.have(2)
        assert (await post(house, "/verify-email/confirm", token=second.token)).status_code == 204
        assert (await post(house, "/verify-email/confirm", token=first.token)).status_code == 400
        assert (await house.try_login()).status_code == 400
        await house.login(password=OTHER_PASSWORD)


# Another address


async def test_an_address_changes_when_both_have_agreed(either: House) -> None:
    await either.register()
    login = await either.login()
    events = heard(either)
    assert (await post(either, "/change-email", login, email=NEW)).status_code == 202
    (asked,) = await mails(either)
    assert (asked.to, asked.subject) == (ADA, "Is your address to change at Watchword?")
    assert NEW in asked.text
    answer = await post(either, "/change-email/confirm", token=asked.token)
    assert answer.json() == {"changed": False}
    assert (await either.me(login)).json()["email"] == ADA
    confirming = await last_mail(either)
    assert confirming.to == NEW
    assert (await post(either, "/change-email/confirm", token=confirming.token)).json() == {"changed": True}
    me = (await either.me(login)).json()
    assert (me["email"], me["email_verified"]) == (NEW, True)
    assert (await either.try_login(ADA)).status_code == 400
    await either.login(NEW)
    notices = [one.to for one in await mails(either) if "was changed" in one.subject]
    assert sorted(notices) == sorted([ADA, NEW])
    assert EmailChanged in await told(either, events)


async def test_a_taken_address_is_not_told_to_whoever_wants_it(house: House) -> None:
    await house.register()
    await house.register(BOB)
    login = await house.login()
    answers = [await post(house, "/change-email", login, email=email) for email in (BOB, NEW)]
    assert answers[0].content == answers[1].content
    await post(house, "/change-email", login, email=BOB)
    asked = (await mails(house, ADA))[-1]
    assert (await post(house, "/change-email/confirm", token=asked.token)).json() == {"changed": False}
    told_bob = await last_mail(house, BOB)
    assert told_bob.subject == "This address has an account at Watchword already"
    assert told_bob.links == []


async def test_the_address_that_one_has_is_told_so(house: House) -> None:
    await house.register()
    answer = await post(house, "/change-email", await house.login(), email="ADA@example.com")
    assert answer.json()["fields"] == {"email": "This is your address already."}


async def test_an_address_that_went_meanwhile_stays_with_its_new_owner(house: House) -> None:
    await house.register()
    login = await house.login()
    await post(house, "/change-email", login, email=NEW)
    await post(house, "/change-email/confirm", token=(await last_mail(house)).token)
    confirming = await last_mail(house, NEW)
    await house.register(NEW)
    assert (await post(house, "/change-email/confirm", token=confirming.token)).status_code == 400
    assert (await house.me(login)).json()["email"] == ADA


# This was not me


async def test_a_notice_lets_the_owner_throw_everybody_out(either: House) -> None:
    user_id = await either.register()
    thief = await either.login()
    events = heard(either)
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    await either.client.post("/change-password", json=body, headers=thief.headers)
    notice = await last_mail(either)
    assert (await post(either, "/disown", token=notice.undo)).status_code == 204
    assert (await either.me(thief)).status_code == 401
    assert (await either.try_login(password=OTHER_PASSWORD)).status_code == 400
    assert AccountDisowned(user_id) in events or AccountDisowned in await told(either, events)
    link = await last_mail(either)
    assert (await reset(either, link.token, "eleven geese across the frozen lake")).status_code == 204
    await either.login(password="eleven geese across the frozen lake")


async def test_this_was_not_me_works_once_and_for_a_week(house: House) -> None:
    user_id = await house.register()
    await accounts.set_password(await house.kit(), user_id, OTHER_PASSWORD)
    await accounts.set_password(await house.kit(), user_id, PASSWORD)
    first, second = await mails(house)
    assert (await post(house, "/disown", token=first.undo)).status_code == 204
    assert (await post(house, "/disown", token=first.undo)).status_code == 400
    house.clock.tick(timedelta(days=7))
    assert (await post(house, "/disown", token=second.undo)).status_code == 400


# Languages


@pytest.mark.parametrize(
    ("accepted", "subject"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "Watchword 비밀번호를 새로 정해 주세요"),
        ("en", "Choose a new password for Watchword"),
        ("fr, ko;q=0.1", "Watchword 비밀번호를 새로 정해 주세요"),
        ("fr", "Choose a new password for Watchword"),
        ("ko;q=0", "Choose a new password for Watchword"),
        ("*", "Choose a new password for Watchword"),
        (";;;,,,q=", "Choose a new password for Watchword"),
    ],
)
async def test_a_mail_is_in_the_language_of_whoever_asked(house: House, accepted: str, subject: str) -> None:
    await house.register()
    await forget(house, **{"Accept-Language": accepted})
    assert (await last_mail(house)).subject == subject


async def test_the_account_s_own_language_goes_before_the_request_s(house: House) -> None:
    await house.register()
    login = await house.login()
    changed = await house.client.patch("/me", json={"language": "ko"}, headers=login.headers)
    assert changed.json()["language"] == "ko"
    await forget(house, **{"Accept-Language": "en"})
    assert (await last_mail(house)).subject == "Watchword 비밀번호를 새로 정해 주세요"


# Where there is no mail


async def test_without_a_mail_server_off_localhost_there_are_no_such_routes(tmp_path: Path, sqlite_url: str) -> None:
    settings: dict[str, Any] = {
        "issuer": "https://auth.example.com",
        "master_keys": ["p7Wq3xZt9mKc5vRb1nYs8dHf4gJl2aQe"],
    }
    async with open_house(tmp_path, app=FastAPI(), database_url=sqlite_url, **settings) as house:
        for path in ("/forgot-password", "/reset-password", "/verify-email", "/change-email", "/disown"):
            assert (await house.client.post(path, json={})).status_code == 404
        assert (await house.client.get("/links/undo")).status_code == 404
        kit = await house.kit()
        user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
        await accounts.set_password(kit, user.id, OTHER_PASSWORD)
        assert await kit.outbox.page("", 10) == []
