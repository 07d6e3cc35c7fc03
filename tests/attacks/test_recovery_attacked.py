"""The life of an account, attacked with fresh eyes: mails that are kept from their owners, and what "this was not me" leaves.

Each docstring begins with the row of the security requirements that it shows.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from tests.house import ADA, BOB, CHEAP, OTHER_PASSWORD, PASSWORD, House, open_house
from tests.keyed import a_job, an_account, made, used
from tests.letterbox import last_mail, mails, posted
from tests.servers import Valkey

from watchword import Auth, Settings
from watchword.core.errors import Unavailable
from watchword.features.api_keys import ApiKeys
from watchword.features.api_keys.flow import annex_of
from watchword.features.api_keys.rules import Owner
from watchword.flows import accounts, post, signing_keys
from watchword.flows.post import Post
from watchword.stores.sql.accounts import SqlAccounts
from watchword.stores.sql.engine import Database
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock
from watchword.texts import Texts

NEW = "mallory@evil.example"
MASTER, OTHER_MASTER = "p7Wq3xZt9mKc5vRb1nYs8dHf4gJl2aQe", "Zk4Tq9wLx2Vn7rBd5sYf8gHj3mPc6aEu"


async def move(house: House, email: str = NEW, *, present: str = ADA) -> None:
    """What somebody does who has the owner's session and, for a moment, the owner's mailbox."""
    login = await house.login(present)
    await house.client.post("/change-email", json={"email": email}, headers=login.headers)
    for _ in range(2):
        token = (await last_mail(house)).token
        assert (await house.client.post("/change-email/confirm", json={"token": token})).status_code == 200


async def reset_by(house: House) -> set[str]:
    """Who got a link to a new password."""
    return {mail.to for mail in await mails(house) if mail.subject.startswith("Choose a new password")}


async def disown(house: House, token: str) -> int:
    return (await house.client.post("/disown", json={"token": token})).status_code


# Mails that do not come


async def test_changes_that_fail_make_no_other_change_a_silent_one(either: House) -> None:
    """RL-09: the attacker knows the password, and does not want the owner to be told that he changes it. He asks for a
    username that somebody has, again and again: nothing is changed and no mail goes, but each would count as a notice."""
    await either.register()
    await either.register(BOB, username="bob")
    login = await either.login()
    for _ in range(post.NOTICES_PER_HOUR + 5):
        answer = await either.client.post("/change-username", json={"username": "bob"}, headers=login.headers)
        assert answer.status_code == 409
    assert await mails(either) == []
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await either.client.post("/change-password", json=body, headers=login.headers)).status_code == 204
    assert [mail.subject for mail in await mails(either)] == ["Your password at Watchword was changed"]


async def test_changes_that_do_not_matter_hide_none_that_does(either: House) -> None:
    """RL-09: the attacker has the owner's session. He changes the username until nothing more is told of that within the hour,
    and then moves the account: that is told, and each link that came to the owner gives the account back."""
    user_id = await either.register()
    login = await either.login()
    for number in range(post.NOTICES_PER_HOUR + 5):
        body = {"username": f"mallory{number}"}
        assert (await either.client.post("/change-username", json=body, headers=login.headers)).status_code == 204
    earlier = (await last_mail(either)).undo
    await move(either)
    assert (await last_mail(either, ADA)).subject == "Your address at Watchword was changed"
    assert await disown(either, earlier) == 204
    assert await reset_by(either) == {ADA}
    found = await (await either.kit()).users.get(user_id)
    assert found is not None
    assert found.user.email == ADA


async def test_a_stranger_s_registrations_keep_no_owner_from_a_new_password(tmp_path: Path, database_url: str) -> None:
    """RL-09: the attacker registers the owner's address every few minutes. The mails that this brings are of no use to the
    owner, and must not use up the one that leads to a new password."""
    async with posted(tmp_path, database_url) as (box, house):
        await accounts.add(await house.kit(), ADA, PASSWORD, None, frozenset())
        for _ in range(post.ASKED_PER_HOUR + 3):
            await house.client.post("/register", json={"email": ADA, "password": OTHER_PASSWORD})
        await house.client.post("/forgot-password", json={"email": ADA})
        sent = await box.have(post.ASKED_PER_HOUR + 1)
        await (await house.kit()).post.drain()
    assert len([mail for mail in sent if not mail.links]) == post.ASKED_PER_HOUR
    assert len([mail for mail in sent if mail.links]) == 1


@pytest.mark.parametrize("local", ["=?bad?q?a?=", "=?utf-8?q?ada?=", "=?utf-8?b?a?=", "é", "a=?x?="])
async def test_an_address_that_no_header_takes_stops_no_other_mail(
    tmp_path: Path, sqlite_url: str, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RL-09: the attacker registers addresses that no message can be written to, so that whoever delivers stumbles over each,
    and everybody else's mails wait behind them."""
    async with posted(tmp_path, sqlite_url) as (box, house):
        await accounts.add(await house.kit(), ADA, PASSWORD, None, frozenset())
        monkeypatch.setattr(Post, "go", lambda *_: None)
        for number in range(post.AT_ONCE):
            email = f"{local}@{number}.example.com"
            await house.client.post("/register", json={"email": email, "password": PASSWORD})
        await house.client.post("/forgot-password", json={"email": ADA})
        await post.deliver(await house.kit())
        assert ADA in [mail.to for mail in box.received]


async def test_a_text_that_can_not_be_written_stops_no_other_mail_and_tells_no_link(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """LS-01: an application's own text for one mail is broken. The other mails go, that one waits until it was mended, and
    what the log says of it holds nothing of the mail."""
    await house.register()
    await house.register(BOB)
    kit = await house.kit()
    monkeypatch.setattr(Post, "go", lambda *_: None)
    letter = Texts.letter

    def broken(texts: Texts, kind: str, language: str, facts: Mapping[str, str]) -> Any:
        if kind == "reset-password":
            int(facts["link"])
        return letter(texts, kind, language, facts)

    with monkeypatch.context() as patched:
        patched.setattr(Texts, "letter", broken)
        for _ in range(post.ASKED_PER_HOUR):
            await house.client.post("/forgot-password", json={"email": ADA})
            await house.client.post("/forgot-password", json={"email": BOB})
        login = await house.login()
        await house.client.post("/verify-email", headers=login.headers)
        await post.deliver(kit)
    assert [mail.subject for mail in await mails(house)] == ["Confirm your address for Watchword"]
    assert "ValueError" in caplog.text
    assert "wwl_" not in caplog.text
    assert ADA not in caplog.text
    house.clock.tick(301)
    assert await post.deliver(kit) == 2 * post.ASKED_PER_HOUR


# What "this was not me" leaves


async def test_an_owner_whose_address_was_changed_gets_the_account_back(either: House) -> None:
    """RS-06: the attacker was in the owner's mailbox for a minute, and moved the account to an address of his own. The notice
    at the old address says that its link leads to a new password; that must not be mailed to the attacker."""
    user_id = await either.register()
    await move(either)
    token = (await last_mail(either, ADA)).undo
    attackers = (await last_mail(either, NEW)).undo
    assert await disown(either, token) == 204
    kit = await either.kit()
    found = await kit.users.get(user_id)
    assert found is not None
    assert found.user.email == ADA
    assert (await last_mail(either, NEW)).subject == "Your address at Watchword was changed"
    assert await reset_by(either) == {ADA}
    reset = (await last_mail(either, ADA)).token
    body = {"token": reset, "new_password": OTHER_PASSWORD}
    assert (await either.client.post("/reset-password", json=body)).status_code == 204
    await either.login(password=OTHER_PASSWORD)
    assert await disown(either, attackers) == 204  # the other link only takes away
    found = await kit.users.get(user_id)
    assert found is not None
    assert found.user.email == ADA
    assert await reset_by(either) == {ADA}


@pytest.mark.parametrize("first", ["owner", "attacker"])
async def test_an_attacker_s_own_links_take_nothing_back_from_the_owner(either: House, first: str) -> None:
    """RS-06: the attacker moved the account twice, and so has a "this was not me" of his own at the first of his addresses. He
    uses it when the owner has the account again, or before."""
    user_id = await either.register()
    kit = await either.kit()
    await move(either)
    await move(either, "mallory@worse.example", present=NEW)
    owners = (await last_mail(either, ADA)).undo
    attackers = [mail.undo for mail in await mails(either, NEW) if "was changed" in mail.subject]
    assert len(attackers) == 2
    order = [owners, *attackers] if first == "owner" else [*attackers, owners]
    for token in order:
        assert await disown(either, token) == 204
    found = await kit.users.get(user_id)
    assert found is not None
    assert found.user.email == ADA
    assert ADA in await reset_by(either)


async def test_an_owner_who_was_robbed_can_be_robbed_again_and_get_the_account_back(either: House) -> None:
    """RS-06: what the first robber's links may do no more, the owner's next one may: it came behind the return."""
    user_id = await either.register()
    kit = await either.kit()
    await move(either)
    first = [(await last_mail(either, ADA)).undo, (await last_mail(either, NEW)).undo]
    assert await disown(either, first[0]) == 204
    reset = {"token": (await last_mail(either, ADA)).token, "new_password": PASSWORD}
    assert (await either.client.post("/reset-password", json=reset)).status_code == 204
    await move(either, BOB)
    await move(either, "eve@evil.example", present=BOB)
    assert await disown(either, (await last_mail(either, BOB)).undo) == 204
    assert await disown(either, first[1]) == 204
    found = await kit.users.get(user_id)
    assert found is not None
    assert found.user.email == BOB


async def test_who_has_the_old_address_by_now_keeps_it(either: House) -> None:
    """LG-03: the owner's old address has another account by now. Everybody is signed out all the same, and no two accounts
    have one address."""
    user_id = await either.register()
    await move(either)
    token = (await last_mail(either, ADA)).undo
    other = await either.register()
    assert other != user_id
    assert await disown(either, token) == 204
    kit = await either.kit()
    found, others = await kit.users.get(user_id), await kit.users.get(other)
    assert found is not None
    assert others is not None
    assert (found.user.email, found.password_hash, others.user.email) == (NEW, None, ADA)


async def test_no_api_key_survives_an_owner_who_says_that_it_was_somebody_else(
    tmp_path: Path, database_url: str
) -> None:
    """RV-04: the attacker made himself an API key while he was signed in. The owner signs everybody out."""
    async with open_house(tmp_path, database_url=database_url, features=[ApiKeys()]) as house:
        await house.register()
        login = await house.login()
        key = await made(house, login)
        assert (await used(house, key, "/me")).status_code == 200
        await house.client.post("/change-username", json={"username": "mallory"}, headers=login.headers)
        undo = (await last_mail(house)).undo
        assert await disown(house, undo) == 204
        assert (await used(house, key, "/me")).status_code == 401
        reset = {"token": (await last_mail(house)).token, "new_password": PASSWORD}
        assert (await house.client.post("/reset-password", json=reset)).status_code == 204
        later = await made(house, await house.login())
        assert await disown(house, undo) == 400
        assert (await used(house, later, "/me")).status_code == 200, "a link that was used ends nothing more"


async def test_a_worker_that_has_not_heard_of_it_makes_no_more_keys(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RV-04: the attacker goes on making and rotating keys at a worker to which the news of the sessions' end has not come
    yet. What such a key opens would stay open."""
    shared: dict[str, Any] = {"database_url": database_url, "features": [ApiKeys()]}
    async with open_house(tmp_path, **shared) as here, open_house(tmp_path, **shared, clock=here.clock) as there:
        user_id = await here.register()
        await here.grant(ADA, "watchword:admin")
        login = await there.login()
        account = await an_account(there, login)
        own, job, jobs = await made(there, login), await a_job(there, login, account), f"{account}/api-keys"
        await here.client.post("/change-username", json={"username": "mallory"}, headers=login.headers)
        revocations = (await there.kit()).revocations
        monkeypatch.setattr(revocations, "covers", lambda *_: False)
        monkeypatch.setattr(revocations, "fresh", lambda: True)
        assert await disown(here, (await last_mail(here)).undo) == 204
        assert (await there.client.get("/me", headers=login.headers)).status_code == 200, "it has heard of it"
        for path in ("/api-keys", jobs, f"{jobs}/{job.id}/rotate"):
            answer = await there.client.post(path, json={"name": "k"}, headers=login.headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), path
        assert (await there.client.post(f"/api-keys/{own.id}/rotate", headers=login.headers)).status_code == 404
        keys = annex_of(await here.kit())
        assert await keys.of_owner(Owner.USER, user_id) == []
        assert len(await keys.of_owner(Owner.SERVICE_ACCOUNT, account.rpartition("/")[2])) == 1


@contextlib.asynccontextmanager
async def on_host(folder: Path, url: str, **settings: Any) -> AsyncIterator[House]:
    """An application whose accounts are in a table of its own, with no more than the eight verbs."""
    db = Database(url)
    db.settle(here=True)
    clock, app = FrozenClock(), FastAPI()
    configured = Settings(data_dir=folder / "home", database_url=url, **settings)
    auth = Auth(configured, users=SqlUsers(db), clock=clock, argon2=CHEAP)
    auth.install(app)
    await auth.start()
    transport = httpx2.ASGITransport(app=app)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield House(app, auth, clock, client)
    finally:
        await auth.stop()
        await db.close()


async def test_a_host_s_password_works_no_longer_either(tmp_path: Path, sqlite_url: str) -> None:
    """RS-06: the attacker has changed the password, and signs in again right after the owner has signed everybody out."""
    async with on_host(tmp_path, sqlite_url) as house:
        await house.register()
        login = await house.login()
        body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        await house.client.post("/change-password", json=body, headers=login.headers)
        assert await disown(house, (await last_mail(house)).undo) == 204
        assert (await house.try_login(password=OTHER_PASSWORD)).status_code == 400
        reset = {"token": (await last_mail(house)).token, "new_password": PASSWORD}
        assert (await house.client.post("/reset-password", json=reset)).status_code == 204
        await house.login()


async def test_an_outage_uses_no_undo_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """RS-06: the database is away for a moment just when the owner presses the button. The link, which nobody can ask for
    again, works afterwards."""
    await house.register()
    login = await house.login()
    await house.client.post("/change-username", json={"username": "mallory"}, headers=login.headers)
    token = (await last_mail(house)).undo

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(SqlAccounts, "alter", away)
        assert await disown(house, token) == 503
    assert await disown(house, token) == 204
    assert await disown(house, token) == 400


@pytest.mark.parametrize("kind", ["reset-password", "register", "verify-email", "change-email"])
async def test_an_outage_uses_no_link_up(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """RS-03: the database is away for a moment just when a link comes back. It works afterwards, and once."""

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the database is away")

    async with posted(tmp_path, database_url) as (box, house):
        kit = await house.kit()
        bodies = {"register": {"email": BOB, "password": PASSWORD}, "reset-password": {"email": ADA}}
        path = {"register": "/register", "reset-password": "/forgot-password"}.get(kind, f"/{kind}")
        await accounts.add(kit, ADA, PASSWORD, None, frozenset())
        headers = (await house.login()).headers
        await house.client.post(path, json=bodies.get(kind, {"email": NEW}), headers=headers)
        (mail,) = await box.have(1)
        if kind == "change-email":
            await house.client.post("/change-email/confirm", json={"token": mail.token})
            mail = (await box.have(2))[-1]
        back = {"reset-password": "/reset-password", "change-email": "/change-email/confirm"}
        body = {"token": mail.token, **({"new_password": OTHER_PASSWORD} if kind == "reset-password" else {})}

        async def bring() -> int:
            return (await house.client.post(back.get(kind, "/verify-email/confirm"), json=body)).status_code

        with monkeypatch.context() as patched:
            patched.setattr(SqlAccounts, "alter", away)
            patched.setattr(SqlUsers, "add", away)
            assert await bring() == 503
        assert await bring() in (200, 204)
        assert await bring() == 400


async def test_a_link_that_was_used_costs_no_hash(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """RL-05: the attacker sends one used link a thousand times, and each time the server would work out a hash for him."""
    await house.register()
    await house.client.post("/forgot-password", json={"email": ADA})
    body = {"token": (await last_mail(house)).token, "new_password": OTHER_PASSWORD}
    assert (await house.client.post("/reset-password", json=body)).status_code == 204
    kit = await house.kit()

    async def never(*_: object) -> str:
        raise AssertionError("hashed")

    monkeypatch.setattr(type(kit.hashing), "hash", never)
    assert (await house.client.post("/reset-password", json=body)).status_code == 400


async def test_new_master_keys_give_no_second_use_and_take_no_first(tmp_path: Path) -> None:
    """RS-06: what was used is found under a key that changes when everything is sealed anew; the attacker waits for that. The
    owner's unused links work on."""
    async with open_house(tmp_path, master_keys=[MASTER]) as house:
        await house.register()
        login = await house.login()
        await house.client.post("/change-username", json={"username": "mallory"}, headers=login.headers)
        undo = (await last_mail(house)).undo
        assert await disown(house, undo) == 204
        reset = (await last_mail(house)).token
    async with open_house(tmp_path, master_keys=[OTHER_MASTER, MASTER]) as house:
        await signing_keys.reseal(await house.kit())
        assert await disown(house, undo) == 400
        body = {"token": reset, "new_password": OTHER_PASSWORD}
        assert (await house.client.post("/reset-password", json=body)).status_code == 204


async def used_and_forgotten(house: House, valkey: Valkey) -> list[int]:
    await house.register()
    login = await house.login()
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    await house.client.post("/change-password", json=body, headers=login.headers)
    undo = (await last_mail(house)).undo
    answers = [await disown(house, undo)]
    valkey.stop()
    return [*answers, await disown(house, undo)]


async def test_valkey_s_end_gives_no_second_use(tmp_path: Path, valkey: Valkey, sqlite_url: str) -> None:
    """RS-06: Valkey counts, and may forget. What was used is in the database."""
    async with open_house(tmp_path, database_url=sqlite_url, redis_url=valkey.url) as house:
        assert await used_and_forgotten(house, valkey) == [204, 400]


async def test_valkey_s_end_gives_no_second_use_on_a_host_either(
    tmp_path: Path, valkey: Valkey, sqlite_url: str
) -> None:
    """RS-06: a host's table has no transaction with ours, so there the limit decides between two at once, and the database
    keeps what was used."""
    async with on_host(tmp_path, sqlite_url, redis_url=valkey.url) as house:
        assert await used_and_forgotten(house, valkey) == [204, 400]


# What an answer tells


async def test_agreeing_to_another_address_does_not_tell_whether_it_is_taken(
    either: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EN-03: the attacker, with an account of his own, asks for the victim's address and agrees to it from his own mailbox.
    What the database has to do then is the same for an address that nobody has."""
    await either.register()
    await either.register(BOB)
    seen = []
    for email in (BOB, "nobody@example.com"):
        login = await either.login()
        await either.client.post("/change-email", json={"email": email}, headers=login.headers)
        token = (await last_mail(either, ADA)).token
        with monkeypatch.context() as patched:
            patched.setattr(Post, "go", lambda *_: None)  # what is delivered beside it is nobody's answer
            with either.statements() as statements:
                answer = await either.client.post("/change-email/confirm", json={"token": token})
            seen.append((answer.status_code, answer.content, list(statements)))
        await post.deliver(await either.kit())
    assert seen[0] == seen[1]


# Odd JSON


class Anything(BaseModel):
    """An application that lets owners keep what they like."""

    model_config = ConfigDict(extra="allow")
    name: str = ""


@contextlib.asynccontextmanager
async def profiled(folder: Path, url: str) -> AsyncIterator[tuple[House, dict[str, str]]]:
    """An application that keeps anything, and the headers of somebody who is signed in there."""
    clock, app = FrozenClock(), FastAPI()
    auth = Auth(Settings(data_dir=folder / "home", database_url=url), clock=clock, argon2=CHEAP, profile=Anything)
    auth.install(app)
    await auth.start()
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        house = House(app, auth, clock, client)
        try:
            await house.register()
            login = await house.login()
            yield house, login.headers | {"Content-Type": "application/json"}
        finally:
            await auth.stop()


@pytest.mark.parametrize("depth", [15, 16, 240, 300, 600])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
async def test_a_deep_profile_is_kept_or_refused_and_never_an_error(
    tmp_path: Path, sqlite_url: str, depth: int, brackets: str
) -> None:
    """LG-06: the attacker sends what can be kept, and not be read again: neither by himself, nor by whoever lists accounts,
    which upkeep does."""
    start = "[" if brackets == "[]" else '{"a":'
    nested = start * depth + "1" + brackets[1] * depth
    async with profiled(tmp_path, sqlite_url) as (house, headers):
        changed = await house.client.patch("/me", content=f'{{"profile": {{"any": {nested}}}}}', headers=headers)
        assert changed.status_code in (200, 400, 422)
        assert (changed.status_code == 200) == (depth == 15)
        for path in ("/me", "/export"):
            assert (await house.client.get(path, headers=headers)).status_code == 200
        assert len(await (await house.kit()).users.page("", 10)) == 1


@pytest.mark.parametrize("value", ['{"name": "\\ud800"}', '{"any": "\\udfff"}', '{"any": {"\\ud800": [1]}}'])
async def test_half_a_letter_in_a_profile_is_refused(tmp_path: Path, database_url: str, value: str) -> None:
    """LG-06: the attacker sends half a surrogate pair, which JSON has and UTF-8 has not. It is his fault, and no outage."""
    async with profiled(tmp_path, database_url) as (house, headers):
        changed = await house.client.patch("/me", content=f'{{"profile": {value}}}', headers=headers)
        assert changed.status_code == 422
        for path in ("/me", "/export"):
            assert (await house.client.get(path, headers=headers)).status_code == 200
