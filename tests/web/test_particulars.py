"""What owners do with their accounts: another username, a profile, an export, and the end. And showing once more who
one is."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field
from tests.house import ADA, BOB, CHEAP, OTHER_PASSWORD, PASSWORD, House, Login, open_house
from tests.letterbox import last_mail, mails

from watchword import Auth, Principal, Settings
from watchword.core.events import DeletionCancelled, DeletionPlanned, UserDeleted
from watchword.flows import accounts, upkeep
from watchword.testing import FrozenClock

GRACE = timedelta(days=14)


async def post(house: House, path: str, login: Login, **body: Any) -> httpx2.Response:
    return await house.client.post(path, json=body, headers=login.headers)


async def patch(house: House, login: Login, **body: Any) -> httpx2.Response:
    return await house.client.patch("/me", json=body, headers=login.headers)


# Usernames


async def test_a_username_is_changed_and_the_owner_is_told(either: House) -> None:
    await either.register(username="ada")
    login = await either.login("ada")
    assert (await post(either, "/change-username", login, username="Lovelace")).status_code == 204
    assert (await either.me(login)).json()["username"] == "lovelace"
    assert (await either.try_login("ada")).status_code == 400
    await either.login("LOVELACE")
    mail = await last_mail(either, ADA)
    assert mail.subject == "Your username at Watchword was changed"
    assert "lovelace" in mail.text
    assert mail.undo


async def test_a_taken_username_stays_with_whoever_has_it(either: House) -> None:
    await either.register(username="ada")
    await either.register(BOB, username="bob")
    login = await either.login(BOB)
    answer = await post(either, "/change-username", login, username="ＡＤＡ")
    assert (answer.status_code, answer.json()["code"]) == (409, "username_taken")
    assert (await post(either, "/change-username", login, username="!")).status_code == 422
    assert (await either.me(login)).json()["username"] == "bob"
    assert await mails(either) == []


# A profile


class Profile(BaseModel):
    """What this application lets owners keep."""

    model_config = ConfigDict(extra="ignore")

    display_name: Annotated[str, Field(max_length=40)] = ""
    newsletter: bool = False
    colours: list[str] = []


async def test_owners_keep_what_the_application_allows(tmp_path: Path, database_url: str) -> None:
    app = FastAPI()
    settings = Settings(data_dir=tmp_path / "home", database_url=database_url)
    auth = Auth(settings, clock=FrozenClock(), argon2=CHEAP, profile=Profile)
    auth.install(app)
    await auth.start()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        house = House(app, auth, FrozenClock(), client)
        await house.register()
        login = await house.login()
        first = await patch(house, login, profile={"display_name": "Ada", "colours": ["red"], "admin": True})
        assert first.json()["profile"] == {"display_name": "Ada", "colours": ["red"]}
        second = await patch(house, login, profile={"newsletter": True}, language="ko-KR")
        assert second.json()["profile"] == {"display_name": "Ada", "colours": ["red"], "newsletter": True}
        assert second.json()["language"] == "ko-kr"
        assert (await house.me(login)).json() == second.json()
        refused = await patch(house, login, profile={"display_name": "x" * 41})
        assert (refused.status_code, list(refused.json()["fields"])) == (422, ["display_name"])
        assert "x" * 41 not in refused.text
        assert (await house.me(login)).json() == second.json()
    await auth.stop()


async def test_without_a_model_nothing_is_kept(house: House) -> None:
    await house.register()
    login = await house.login()
    assert (await patch(house, login, profile={"anything": 1})).json()["profile"] == {}
    assert (await patch(house, login)).status_code == 200


@pytest.mark.parametrize("language", ["korean!", "", "x" * 40, "k", "ko\nBcc: x"])
async def test_what_is_no_language_is_refused(house: House, language: str) -> None:
    await house.register()
    answer = await patch(house, await house.login(), language=language)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["language"])


# An export


async def test_the_export_holds_what_is_held_and_nothing_that_opens_a_door(either: House) -> None:
    user_id = await either.register(username="ada")
    login = await either.login(headers={"User-Agent": "Lantern/1.0"})
    answer = await either.client.get("/export", headers=login.headers)
    said = answer.json()
    assert said["account"]["id"] == user_id
    assert {"email", "username", "created_at", "language", "profile", "email_verified_at"} <= set(said["account"])
    await either.written()
    said = (await either.client.get("/export", headers=login.headers)).json()
    assert [(one["kind"], one.get("ip")) for one in said["events"]] == [
        ("LoggedIn", "203.0.113.7"),
        ("Registered", "203.0.113.7"),
    ]
    (session,) = said["sessions"]
    assert (session["user_agent"], session["ip"]) == ("Lantern/1.0", "203.0.113.7")
    for secret in ("argon2", "r_hash", "password", login.refresh, login.access):
        assert secret not in answer.text


# The end


async def test_an_account_is_deleted_after_its_grace(either: House) -> None:
    user_id = await either.register()
    login = await either.login()
    answer = await post(either, "/delete-account", login)
    assert answer.status_code == 202
    assert answer.json() == {"deletes_at": "2026-01-15T00:00:00Z"}
    assert (await either.me(login)).status_code == 401
    mail = await last_mail(either)
    assert mail.subject == "Your account at Watchword will be deleted"
    assert "2026-01-15 00:00 UTC" in mail.text
    kit = await either.kit()
    either.clock.tick(GRACE - timedelta(seconds=1))
    assert (await upkeep.run(kit)).accounts == 0
    either.clock.tick(1)
    assert (await upkeep.run(kit)).accounts == 1
    assert await kit.users.get(user_id) is None
    assert (await either.try_login()).status_code == 400
    assert (await last_mail(either)).subject == "Your account at Watchword was deleted"


async def test_whoever_signs_in_within_the_grace_keeps_the_account(either: House) -> None:
    user_id = await either.register()
    events: list[object] = []
    for kind in (DeletionPlanned, DeletionCancelled, UserDeleted):
        either.auth.on(kind, events.append)
    await post(either, "/delete-account", await either.login())
    either.clock.tick(timedelta(days=13))
    login = await either.login()
    either.clock.tick(timedelta(days=2))
    kit = await either.kit()
    assert (await upkeep.run(kit)).accounts == 0
    assert (await either.me(await either.refresh(login.refresh))).status_code == 200
    await kit.handlers.drain()
    assert events == [DeletionPlanned(user_id, either.clock.now() - timedelta(days=1)), DeletionCancelled(user_id)]


async def test_a_sign_in_that_comes_too_late_finds_no_account(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deletion comes between the proof and the session."""
    user_id = await either.register()
    await post(either, "/delete-account", await either.login())
    either.clock.tick(GRACE)
    kit = await either.kit()
    opened = kit.sessions.open

    async def deleted_meanwhile(*arguments: Any) -> Any:
        answer = await opened(*arguments)
        assert kit.accounts is not None
        await kit.accounts.remove_due(user_id, either.clock.now())
        return answer

    monkeypatch.setattr(type(kit.sessions), "open", lambda _, *arguments: deleted_meanwhile(*arguments))
    assert (await either.try_login()).status_code == 400


async def test_this_was_not_me_keeps_an_account_that_a_thief_wants_deleted(house: House) -> None:
    user_id = await house.register()
    await post(house, "/delete-account", await house.login())
    mail = await last_mail(house)
    assert (await house.client.post("/disown", json={"token": mail.undo})).status_code == 204
    house.clock.tick(GRACE)
    kit = await house.kit()
    assert (await upkeep.run(kit)).accounts == 0
    found = await kit.users.get(user_id)
    assert found is not None
    assert found.password_hash is None


async def test_without_a_grace_the_account_is_gone_at_once(tmp_path: Path, sqlite_url: str) -> None:
    app = FastAPI()
    settings = Settings(data_dir=tmp_path / "home", database_url=sqlite_url)
    auth = Auth(settings, clock=FrozenClock(), argon2=CHEAP, deletion_grace=timedelta(0))
    auth.install(app)
    await auth.start()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        house = House(app, auth, FrozenClock(), client)
        user_id = await house.register()
        answer = await post(house, "/delete-account", await house.login())
        assert (answer.status_code, answer.json()) == (202, {"deletes_at": None})
        assert await (await house.kit()).users.get(user_id) is None
        mail = await last_mail(house)
        assert (mail.subject, mail.links) == ("Your account at Watchword was deleted", [])
    await auth.stop()


# Showing once more who one is


async def test_the_password_makes_an_old_session_fresh(either: House) -> None:
    await either.register()
    await either.grant(ADA, "items:read")
    login = await either.login()
    either.clock.tick(600 - 1)
    answer = await post(either, "/reauthenticate", login, password=PASSWORD)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert (said["expires_in"], said["scope"]) == (600, "items:read")
    assert "refresh_token" not in said
    either.clock.tick(2)
    fresh = Login(said["access_token"], login.refresh)
    assert (await post(either, "/change-username", fresh, username="lovelace")).status_code == 204
    refreshed = await either.refresh(login.refresh)
    assert (await post(either, "/change-username", refreshed, username="countess")).status_code == 204


async def test_a_wrong_password_makes_nothing_fresh_and_is_counted(house: House) -> None:
    await house.register()
    login = await house.login()
    statuses = [(await post(house, "/reauthenticate", login, password=f"wrong {n}")).status_code for n in range(12)]
    assert statuses == [403] * 10 + [429] * 2


async def test_a_session_that_ended_meanwhile_is_not_revived(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    user_id = await either.register()
    login = await either.login()
    kit = await either.kit()

    async def ended_meanwhile(*_: Any, **__: Any) -> None:
        await kit.sessions.close_all(user_id, either.clock.now())

    monkeypatch.setattr("watchword.flows.password._confirm", ended_meanwhile)
    assert (await post(either, "/reauthenticate", login, password=PASSWORD)).status_code == 401


async def test_a_route_may_ask_for_a_fresh_authentication(tmp_path: Path, sqlite_url: str) -> None:
    app = FastAPI()
    async with open_house(tmp_path, app=app, database_url=sqlite_url) as house:

        @app.post("/transfer")
        async def transfer(who: Annotated[Principal, Depends(house.auth.requires(max_age=60))]) -> str:
            return who.user_id

        await house.register()
        login = await house.login()
        assert (await post(house, "/transfer", login)).status_code == 200
        house.clock.tick(61)
        refused = await post(house, "/transfer", login)
        assert 'max_age="60"' in refused.headers["www-authenticate"]
        said = (await post(house, "/reauthenticate", login, password=PASSWORD)).json()
        assert (await post(house, "/transfer", Login(said["access_token"], ""))).status_code == 200


# Accounts of a host's own


async def test_an_operator_s_new_password_is_told_to_the_owner(house: House) -> None:
    user_id = await house.register()
    await accounts.set_password(await house.kit(), user_id, OTHER_PASSWORD)
    assert (await last_mail(house)).subject == "Your password at Watchword was changed"
