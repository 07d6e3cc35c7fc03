"""Mailed links under attack: guessed, replayed, crossed, raced, rerouted, and asked for by the hundred.

Each docstring begins with the row of the security requirements that it shows.
"""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy import select
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, open_house
from tests.letterbox import SENDER, last_mail, mailbox, mails, posted

from watchword.core.errors import AuthError
from watchword.core.links import Link, mint
from watchword.flows import accounts, post
from watchword.flows.post import Post
from watchword.stores.sql.tables import metadata, users

NEW = "ada@new.example"
THIRD = "eleven geese across the frozen lake"

CONFIRMING = {
    "reset-password": "/reset-password",
    "verify-email": "/verify-email/confirm",
    "approve-email": "/change-email/confirm",
    "confirm-email": "/change-email/confirm",
    "undo": "/disown",
}


async def ask(house: House, path: str, **body: str) -> httpx2.Response:
    return await house.client.post(path, json=body)


async def bring(house: House, path: str, token: str) -> httpx2.Response:
    body = {"token": token}
    if path == "/reset-password":
        body["new_password"] = OTHER_PASSWORD
    return await house.client.post(path, json=body)


async def links_of_every_purpose(house: House, email: str = ADA) -> dict[str, str]:
    """A live link of each purpose for one account."""
    found: dict[str, str] = {}
    login = await house.login(email)
    await ask(house, "/forgot-password", email=email)
    found["reset-password"] = (await last_mail(house)).token
    await house.client.post("/verify-email", headers=login.headers)
    found["verify-email"] = (await last_mail(house)).token
    username = {"username": email.partition("@")[0] + "-two"}
    await house.client.post("/change-username", json=username, headers=login.headers)
    found["undo"] = (await last_mail(house)).undo
    await house.client.post("/change-email", json={"email": "other-" + email}, headers=login.headers)
    approving = (await last_mail(house)).token
    await bring(house, "/change-email/confirm", approving)
    found["confirm-email"] = (await last_mail(house)).token
    await house.client.post("/change-email", json={"email": "third-" + email}, headers=login.headers)
    found["approve-email"] = (await last_mail(house)).token
    return found


# RS-01


async def test_a_stolen_database_holds_no_link(tmp_path: Path, sqlite_url: str) -> None:
    """RS-01: the attacker reads the database while links are alive and a mail waits for its server: neither a link nor the new
    password's account is in it."""
    async with posted(tmp_path, sqlite_url) as (box, house):
        await accounts.add(await house.kit(), BOB, PASSWORD, None, frozenset())
        await house.client.post("/register", json={"email": ADA, "password": OTHER_PASSWORD})
        await ask(house, "/forgot-password", email=BOB)
        sent = await box.have(2)
        await box.stop()
        await ask(house, "/forgot-password", email=BOB)
        kit = await house.kit()
        await kit.post.drain()
        assert len(await kit.outbox.page("", 10)) == 1
        assert house.auth._home is not None
        async with house.auth._home.db.read() as connection:
            tables = [(await connection.execute(select(table))).all() for table in metadata.sorted_tables]
        dump = repr(tables)
    for mail in sent:
        for part in (mail.token, *mail.token.removeprefix("wwl_").split("."), "wwl_", "/links/"):
            assert part not in dump
    assert "seven lanterns" not in dump
    assert "argon2id" in dump
    assert ADA not in dump


async def test_a_link_has_128_random_bits_and_dies_after_an_hour(house: House) -> None:
    """RS-01: the attacker guesses, or finds an old mail."""
    await house.register()
    tokens = []
    seen = set()
    for _ in range(3):
        await ask(house, "/forgot-password", email=ADA)
        tokens.append((await last_mail(house)).token)
        body = tokens[-1].removeprefix("wwl_").partition(".")[0]
        said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        assert len(base64.urlsafe_b64decode(said[2])) * 8 >= 128
        seen.add(said[2])
    assert len(seen) == 3
    token = tokens[-1]
    house.clock.tick(timedelta(minutes=59, seconds=59))
    assert (await house.client.post("/reset-password", json={"token": token, "new_password": "x"})).status_code == 422
    house.clock.tick(1)
    assert (await bring(house, "/reset-password", token)).json()["code"] == "invalid_link"


@pytest.mark.parametrize("purpose", ["reset-password", "verify-email", "confirm-email", "approve-email", "undo"])
async def test_a_link_works_once(either: House, purpose: str) -> None:
    """RS-01: the attacker finds a mail that was used."""
    await either.register()
    token = (await links_of_every_purpose(either))[purpose]
    first = await bring(either, CONFIRMING[purpose], token)
    assert first.status_code in (200, 204), first.text
    again = await bring(either, CONFIRMING[purpose], token)
    assert (again.status_code, again.json()["code"]) == (400, "invalid_link")


# RS-02: tests/races/test_links.py

# RS-03


@pytest.mark.parametrize(
    "header",
    [
        {"Host": "evil.example"},
        {"Host": "localhost", "X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil"},
        {"Forwarded": "host=evil.example;proto=https"},
        {"X-Original-URL": "https://evil.example/", "X-Rewrite-URL": "https://evil.example/"},
        {"Origin": "https://evil.example", "Referer": "https://evil.example/"},
    ],
)
async def test_a_link_leads_to_the_configured_issuer_alone(
    tmp_path: Path, sqlite_url: str, header: dict[str, str]
) -> None:
    """RS-03: the attacker asks for the victim's link and names another host, so that the victim brings the secret there."""
    settings: dict[str, Any] = {
        "issuer": "https://auth.example.com",
        "master_keys": ["p7Wq3xZt9mKc5vRb1nYs8dHf4gJl2aQe"],
    }
    async with mailbox() as box:
        settings |= {"mail_url": box.url, "mail_from": SENDER}
        async with open_house(tmp_path, prefix="/auth", database_url=sqlite_url, **settings) as house:
            await accounts.add(await house.kit(), ADA, PASSWORD, None, frozenset())
            await house.client.post("/auth/forgot-password?host=evil.example", json={"email": ADA}, headers=header)
            (mail,) = await box.have(1)
    assert {urlsplit(link)[:3] for link in mail.links} == {("https", "auth.example.com", "/auth/links/reset-password")}
    assert "evil" not in mail.text + mail.html


# RS-04


async def test_no_step_can_be_left_out(either: House) -> None:
    """RS-04: the attacker goes straight to the last step: without a link, with none of ours, with another account's."""
    await either.register()
    await either.register(BOB)
    await ask(either, "/forgot-password", email=BOB)
    bobs = (await last_mail(either)).token
    forged = mint(Link("reset-password", "someone", "n" * 24, 2**31), b"k" * 32)
    body, _, mac = bobs.partition(".")
    for token in ("", "wwl_", forged, f"{body}.{'A' * 43}", f"{body[:-2]}.{mac}", bobs + "A", bobs.upper(), "x" * 3000):
        answer = await bring(either, "/reset-password", token)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_link"), token
    assert (await either.client.post("/reset-password", json={"new_password": OTHER_PASSWORD})).status_code == 422
    assert (await bring(either, "/reset-password", bobs)).status_code == 204
    await either.login(ADA)


async def test_a_new_address_can_not_agree_in_place_of_the_old_one(house: House) -> None:
    """RS-04: the attacker holds a session and a mailbox of his own, but not the owner's mailbox. No step that he can
    take leads to the link for his own."""
    await house.register()
    login = await house.login()
    await house.client.post("/change-email", json={"email": NEW}, headers=login.headers)
    assert await mails(house, NEW) == []
    house.clock.tick(timedelta(hours=1))
    assert await mails(house, NEW) == []


# RS-05


async def test_a_reset_signs_nobody_in_ends_all_sessions_and_tells_the_owner(either: House) -> None:
    """RS-05: the attacker has read the mailbox. The answer holds no token and no cookie, whoever was signed in is out, and the
    owner is told. (That a second factor is still asked for is shown where there is one.)"""
    await either.register()
    logins = [await either.login() for _ in range(3)]
    await ask(either, "/forgot-password", email=ADA)
    answer = await bring(either, "/reset-password", (await last_mail(either)).token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    for login in logins:
        assert (await either.me(login)).status_code == 401
        assert (await either.try_refresh(login.refresh)).status_code == 400
    assert (await last_mail(either, ADA)).subject == "Your password at Watchword was changed"


# RS-06


@pytest.mark.parametrize("purpose", list(CONFIRMING))
async def test_a_link_is_good_for_its_own_purpose_alone(house: House, purpose: str) -> None:
    """RS-06: the attacker gets at a link of small worth (to verify an address) and brings it where it would be worth more."""
    await house.register()
    links = await links_of_every_purpose(house)
    paths = {path for path in CONFIRMING.values() if path != CONFIRMING[purpose]}
    for path in paths:
        answer = await bring(house, path, links[purpose])
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_link"), path


async def test_a_new_link_kills_the_one_before(either: House) -> None:
    """RS-06: the attacker reads an old mail; the owner has asked again since."""
    await either.register()
    tokens = []
    for _ in range(2):
        await ask(either, "/forgot-password", email=ADA)
        tokens.append((await last_mail(either)).token)
    assert (await bring(either, "/reset-password", tokens[0])).status_code == 400
    assert (await bring(either, "/reset-password", tokens[1])).status_code == 204


@pytest.mark.parametrize("act", ["password", "address", "disabled", "deleted", "disowned"])
async def test_what_changes_the_account_kills_its_links(either: House, act: str) -> None:
    """RS-06: the attacker has asked for a link before the owner changed the password, or the address that it was sent to."""
    user_id = await either.register()
    links = await links_of_every_purpose(either)
    await ask(either, "/forgot-password", email=ADA)
    token = (await last_mail(either, ADA)).token
    kit = await either.kit()
    if act == "password":
        await accounts.set_password(kit, user_id, THIRD)
    elif act == "address":
        assert (await bring(either, "/change-email/confirm", links["confirm-email"])).json() == {"changed": True}
    elif act == "disabled":
        await accounts.disable(kit, user_id)
    elif act == "deleted":
        await accounts.delete(kit, user_id)
    else:
        assert (await bring(either, "/disown", links["undo"])).status_code == 204
    answer = await bring(either, "/reset-password", token)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_link")


# RS-07


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.com\r\nBcc: victim@example.com",
        "ada@example.com\nSubject: free money",
        "ada@example.com,victim@example.com",
        "ada@example.com;victim@example.com",
        "ada＠example.com@evil.example",
        "ada@evil.example＠example.com",
        '"ada\r\nBcc: victim"@example.com',
        "ada(victim@example.com)@example.com",
        "<victim@example.com>",
        "ada@example.com" + " " * 300,
        "a" * 65 + "@example.com",
        "ada@" + "a." * 130 + "com",
        "ada@example.com\x00",
        "=?utf-8?q?ada=0aBcc:x@y.z?=@example.com",
    ],
)
async def test_an_address_writes_no_header_and_reaches_nobody_else(tmp_path: Path, sqlite_url: str, email: str) -> None:
    """RS-07: the attacker registers, and asks for mails, with an address that would add a header or a recipient."""
    async with posted(tmp_path, sqlite_url) as (box, house):
        answers = [
            await house.client.post("/register", json={"email": email, "password": PASSWORD}),
            await ask(house, "/forgot-password", email=email),
        ]
        await (await house.kit()).post.drain()
        assert {answer.status_code for answer in answers} <= {202, 422}
        for mail in box.received:
            assert "bcc" not in {name.lower() for name in mail.message.keys()}  # noqa: SIM118 - of a message
            assert "victim" not in mail.to
            assert mail.to.count("@") == 1
            assert len(mail.message.get_all("subject", [])) == 1


async def test_a_full_width_address_is_the_account_s_own(house: House) -> None:
    """RS-07, LG-03: the attacker asks for the victim's link with a twin of the address, which a mail server may deliver to a
    mailbox of his own. It goes to the address as it is stored."""
    await house.register()
    await ask(house, "/forgot-password", email="ＡＤＡ＠example.com")
    (mail,) = await mails(house)
    assert mail.to == ADA


# RS-08


async def test_whoever_registers_a_stranger_s_address_has_no_account_of_it(tmp_path: Path, sqlite_url: str) -> None:
    """RS-08: the attacker registers the victim's address with a password of his own, and waits for the victim to come. Until
    the victim's mailbox answers there is nothing: no account, no session, no claim on the address or the username."""
    async with posted(tmp_path, sqlite_url) as (box, house):
        await house.client.post("/register", json={"email": ADA, "password": OTHER_PASSWORD, "username": "ada"})
        assert (await house.try_login(password=OTHER_PASSWORD)).status_code == 400
        assert await (await house.kit()).users.page("", 10) == []
        await house.client.post("/register", json={"email": ADA, "password": PASSWORD, "username": "ada"})
        _, victims = await box.have(2)
        await bring(house, "/verify-email/confirm", victims.token)
        await house.login(password=PASSWORD)
        assert (await house.try_login(password=OTHER_PASSWORD)).status_code == 400


# EN


async def test_a_taken_address_registers_like_a_free_one(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EN-01: the attacker wants to know who has an account. Status, body, headers and the statements in the database are the
    same; one mail goes either way, and only the mailbox learns which."""
    async with posted(tmp_path, database_url) as (box, house):
        await accounts.add(await house.kit(), BOB, PASSWORD, None, frozenset())
        monkeypatch.setattr(Post, "go", lambda *_: None)  # what is delivered beside it is nobody's answer
        seen = []
        for email in (ADA, BOB):
            with house.statements() as statements:
                answer = await house.client.post("/register", json={"email": email, "password": PASSWORD})
            seen.append((answer.status_code, answer.content, answer.headers, statements))
        assert seen[0] == seen[1]
        assert await post.deliver(await house.kit()) == 2
        free, taken = sorted(box.received, key=lambda mail: mail.to)
    assert (free.to, taken.to) == (ADA, BOB)
    assert taken.subject == "You have an account at Lantern already"
    assert free.links
    assert not taken.links


async def test_asking_for_a_link_does_not_tell_who_has_an_account(
    either: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EN-03: the attacker asks for links and looks at the answers, and at what the database has to do: for an account, for
    none, for one that is disabled, and for one whose mails are used up."""
    await either.register()
    user_id = await either.register(BOB)
    await accounts.disable(await either.kit(), user_id)
    monkeypatch.setattr(Post, "go", lambda *_: None)  # what is delivered beside it is nobody's answer
    seen = []
    for email in (ADA, BOB, "nobody@example.com"):
        with either.statements() as statements:
            answer = await ask(either, "/forgot-password", email=email)
        seen.append((answer.status_code, answer.content, answer.headers, statements))
    assert seen[0] == seen[1] == seen[2]
    assert await post.deliver(await either.kit()) == 1
    assert [mail.to for mail in await mails(either)] == [ADA]


# RL-09


async def test_a_hundred_links_are_five_mails_an_hour(either: House) -> None:
    """RL-09: the attacker floods the victim's mailbox. The answers are all the same, and an hour later mails go again."""
    await either.register()
    answers = [await ask(either, "/forgot-password", email=ADA) for _ in range(100)]
    assert {(one.status_code, one.content) for one in answers} == {(202, answers[0].content)}
    assert len(await mails(either)) == post.ASKED_PER_HOUR
    either.clock.tick(timedelta(hours=1))
    await ask(either, "/forgot-password", email=ADA)
    assert len(await mails(either)) == post.ASKED_PER_HOUR + 1


async def test_a_flood_of_links_hides_no_notice(house: House) -> None:
    """RL-09: the attacker uses up the victim's mails before he changes the password, so that nobody is told."""
    await house.register()
    for _ in range(20):
        await ask(house, "/forgot-password", email=ADA)
    login = await house.login()
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    await house.client.post("/change-password", json=body, headers=login.headers)
    assert (await last_mail(house)).subject == "Your password at Watchword was changed"


async def test_one_network_asks_for_so_many_mails_and_no_more(tmp_path: Path, sqlite_url: str) -> None:
    """RL-09: the attacker has a list of addresses, and sends everybody a mail in our name."""
    async with open_house(tmp_path, database_url=sqlite_url, attempts_per_network=10) as house:
        statuses = [
            (await ask(house, "/forgot-password", email=f"user{number}@example.com")).status_code
            for number in range(12)
        ]
    assert statuses == [202] * 10 + [429] * 2


@pytest.mark.parametrize("away", ["gone", "slow", "450", "550"])
async def test_a_mail_server_in_trouble_changes_no_answer_and_no_log(
    tmp_path: Path, sqlite_url: str, away: str, caplog: pytest.LogCaptureFixture
) -> None:
    """RL-09: the attacker learns from an error, or from a log, what an outage brings out: a link, or who has an account."""
    async with posted(tmp_path, sqlite_url) as (box, house):
        await accounts.add(await house.kit(), ADA, PASSWORD, None, frozenset())
        healthy = await ask(house, "/forgot-password", email=ADA)
        (sent,) = await box.have(1)
        await (await house.kit()).post.drain()
        if away == "gone":
            await box.stop()
        elif away == "slow":
            box.takes.clear()
        else:
            box.accepted = lambda recipient: f"{away} refused {recipient}"
        for email in (ADA, BOB):
            answer = await ask(house, "/forgot-password", email=email)
            assert (answer.status_code, answer.content) == (healthy.status_code, healthy.content)
        box.takes.set()
        await (await house.kit()).post.drain()
    for secret in (ADA, BOB, "wwl_", sent.token[:20]):
        assert secret not in caplog.text


# Mail scanners: CK-04, whose cookies are not there yet


async def test_a_mail_scanner_uses_nothing_up(either: House) -> None:
    """RS-04: a scanner opens every link of a mail, again and again, also with what browsers do not send. The database is as it
    was, and then the owner's button works."""
    await either.register()
    links = await links_of_every_purpose(either)
    before = await dump(either)
    for purpose, token in links.items():
        page = "change-email" if purpose.endswith("email") and purpose != "verify-email" else purpose
        for _ in range(10):
            for url in (f"/links/{page}", f"/links/{page}?token={token}"):
                answer = await either.client.get(url)
                assert answer.status_code == 200
                assert token not in answer.text
            assert (await either.client.head(f"/links/{page}")).status_code in (200, 405)
            assert (await either.client.get(CONFIRMING[purpose])).status_code in (404, 405)
    assert await dump(either) == before
    assert (await bring(either, "/reset-password", links["reset-password"])).status_code == 204


async def dump(house: House) -> str:
    await house.written()
    assert house.auth._home is not None
    async with house.auth._home.db.read() as connection:
        return repr([(await connection.execute(select(table))).all() for table in metadata.sorted_tables])


# LG-05


async def test_extra_fields_in_a_recovery_change_nothing(either: House) -> None:
    """LG-05: the attacker adds to each body what only an operator may set."""
    user_id = await either.register()
    extra = {
        "scopes": ["admin"],
        "id": "another",
        "user_id": "another",
        "epoch": 99,
        "disabled_at": None,
        "email_verified_at": "2026-01-01T00:00:00Z",
        "deletes_at": None,
        "password_hash": "x",
    }
    login = await either.login()
    await either.client.patch("/me", json={"language": "ko", **extra}, headers=login.headers)
    await either.client.post("/change-username", json={"username": "lovelace", **extra}, headers=login.headers)
    await either.client.post("/forgot-password", json={"email": ADA, **extra})
    token = (await last_mail(either)).token
    body = {"token": token, "new_password": OTHER_PASSWORD, "email": BOB, **extra}
    assert (await either.client.post("/reset-password", json=body)).status_code == 204
    found = await (await either.kit()).users.get(user_id)
    assert found is not None
    assert (found.user.email, found.user.username, found.user.scopes) == (ADA, "lovelace", frozenset())


# LG-07


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/change-email", {"email": NEW}),
        ("/change-username", {"username": "lovelace"}),
        ("/delete-account", {}),
    ],
)
async def test_what_can_not_be_taken_back_wants_a_fresh_authentication(
    either: House, path: str, body: dict[str, str]
) -> None:
    """LG-07: the attacker finds a device that was left signed in, and takes the account over from there. Refreshing makes no
    authentication fresh; only the password does."""
    await either.register()
    login = await either.login()
    either.clock.tick(301)
    login = await either.refresh(login.refresh)
    answer = await either.client.post(path, json=body, headers=login.headers)
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="300"' in challenge
    wrong = await either.client.post("/reauthenticate", json={"password": "wrong"}, headers=login.headers)
    assert wrong.status_code == 403
    fresh = await either.client.post("/reauthenticate", json={"password": PASSWORD}, headers=login.headers)
    assert fresh.status_code == 200
    bearer = {"Authorization": f"Bearer {fresh.json()['access_token']}"}
    answer = await either.client.post(path, json=body, headers=bearer)
    assert answer.status_code in (202, 204), answer.text


async def test_a_change_of_password_wants_the_present_one_however_fresh_the_session(house: House) -> None:
    """LG-07: the present password in the request is the fresh authentication here, so no step-up comes before it."""
    await house.register()
    login = await house.login()
    house.clock.tick(400)
    body = {"current_password": "wrong", "new_password": OTHER_PASSWORD}
    assert (await house.client.post("/change-password", json=body, headers=login.headers)).status_code == 403


# PW-04


@pytest.mark.parametrize("weak", ["1234567890123456", "adaadaadaadaada", "watchwordwatchword", "qwertyuiopasdfgh"])
async def test_no_path_takes_a_password_that_everybody_tries_first(tmp_path: Path, sqlite_url: str, weak: str) -> None:
    """PW-04: the attacker tries what is common, the address and the product's name. No path sets such a password: register,
    register with a mail, change, reset, and the operator's commands."""
    async with posted(tmp_path, sqlite_url) as (box, house):
        kit = await house.kit()
        user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
        login = await house.login()
        await ask(house, "/forgot-password", email=ADA)
        (mail,) = await box.have(1)
        change = {"current_password": PASSWORD, "new_password": weak}
        answers = [
            await house.client.post("/register", json={"email": "ada@other.example", "password": weak}),
            await house.client.post("/change-password", json=change, headers=login.headers),
            await house.client.post("/reset-password", json={"token": mail.token, "new_password": weak}),
        ]
        assert [answer.json()["code"] for answer in answers] == ["weak_password"] * 3
        page = await house.client.post("/links/reset-password", data={"token": mail.token, "new_password": weak})
        assert page.status_code == 422
        for act in (
            accounts.set_password(kit, user.id, weak),
            accounts.add(kit, "ada@third.example", weak, None, frozenset()),
        ):
            with pytest.raises(AuthError, match=r"guess|shorter"):
                await act


def test_the_attacked_paths_are_all_there_are() -> None:
    """LG-05: whoever adds a column to accounts looks here."""
    assert {column.name for column in users.columns} == {
        "id", "email", "username", "password_hash", "scopes", "epoch", "created_at", "disabled_at", "email_verified_at",
        "language", "profile", "deletes_at", "username_skeleton",
    }  # fmt: skip
