"""Signing in by mail: a link, and a code."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy import select
from tests.house import ADA, BOB, OTHER_PASSWORD, House, kept, make_auth, open_house
from tests.letterbox import LINK, last_mail, mails

from watchword.core.errors import ConfigError
from watchword.core.links import place
from watchword.features.magic_link import MagicLink
from watchword.features.one_time_code import OneTimeCode, flow
from watchword.features.one_time_code.flow import GUESSES
from watchword.flows import accounts, post
from watchword.flows.post import Post
from watchword.stores.sql.tables import metadata

FEATURES = (MagicLink(page="/welcome"), OneTimeCode())


async def ask(house: House, path: str, email: str = ADA) -> httpx2.Response:
    return await house.client.post(path, json={"email": email})


async def bring(house: House, path: str, **body: str) -> httpx2.Response:
    return await house.client.post(path, json=body)


async def link_token(house: House, email: str = ADA) -> str:
    await ask(house, "/magic-link", email)
    text = (await last_mail(house)).text
    return text.partition("/welcome#")[2].split()[0]


async def code_of(house: House, email: str = ADA) -> str:
    await ask(house, "/one-time-code", email)
    (code,) = [line.strip() for line in (await last_mail(house)).text.splitlines() if line.startswith("    ")]
    return code


@pytest.fixture
async def mailed(tmp_path: Path, database_url: str) -> AsyncIterator[House]:
    """An application with both features, on SQLite and on PostgreSQL."""
    async with open_house(tmp_path, database_url=database_url, features=FEATURES) as house:
        yield house


# Both


@pytest.mark.parametrize("feature", FEATURES)
async def test_neither_is_offered_where_no_mail_goes_out(
    tmp_path: Path, sqlite_url: str, feature: MagicLink | OneTimeCode
) -> None:
    """It was: both answered 202, as for an address that nobody has, and mails for nobody to carry filled the outbox."""
    settings: dict[str, Any] = {"issuer": "https://auth.example.com", "master_keys": "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"}
    auth = make_auth(tmp_path, database_url=sqlite_url, features=[feature], **settings)
    with pytest.raises(ConfigError, match=r"WATCHWORD_MAIL_URL is not set.*" + type(feature).__name__):
        await auth.start()
    assert not auth.started
    there: dict[str, Any] = {"mail_url": "smtps://u:p@mail.example.com", "mail_from": "no-reply@example.com"}
    mailing = make_auth(tmp_path, database_url=sqlite_url, features=[feature], **settings, **there)
    assert list(mailing.weaknesses()) == []


async def test_a_link_signs_in_once(mailed: House) -> None:
    await mailed.register()
    token = await link_token(mailed)
    mail = await last_mail(mailed)
    assert mail.subject == "Sign in to Watchword"
    assert "http://localhost:8000/welcome#wwl_" in mail.text
    login = kept(await bring(mailed, "/magic-link/confirm", token=token))
    said = (await mailed.me(login)).json()
    assert (said["email"], said["email_verified"]) == (ADA, True)
    again = await bring(mailed, "/magic-link/confirm", token=token)
    assert (again.status_code, again.json()["code"]) == (400, "invalid_link")
    kept(await bring(mailed, "/magic-link/confirm", token=await link_token(mailed)))


async def test_a_code_signs_in_once(mailed: House) -> None:
    await mailed.register()
    await mailed.grant(ADA, "items:read", "items:write")
    code = await code_of(mailed)
    assert len(code) == 6
    assert code.isdigit()
    answer = await bring(
        mailed, "/one-time-code/confirm", email="Ada@Example.com", code=f" {code} ", scope="items:read"
    )
    assert answer.json()["scope"] == "items:read"
    assert (await mailed.me(kept(answer))).json()["email_verified"] is True
    again = await bring(mailed, "/one-time-code/confirm", email=ADA, code=code)
    assert (again.status_code, again.json()["code"]) == (400, "invalid_link")


async def test_a_mailbox_is_one_factor_and_no_password(mailed: House) -> None:
    """RS-05: a link in a mail is not taken for the second factor that a route asks for."""
    await mailed.register()
    login = kept(await bring(mailed, "/magic-link/confirm", token=await link_token(mailed)))
    kit = await mailed.kit()
    session = await kit.sessions.get(login.session_id, mailed.clock.now())
    assert session is not None
    assert session.methods == {"email"}


@pytest.mark.parametrize("path", ["/magic-link", "/one-time-code"])
async def test_nobody_learns_who_has_an_account(mailed: House, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """EN-03: the attacker asks for links and codes, and looks at the answers and at what the database has to do."""
    await mailed.register()
    await accounts.disable(await mailed.kit(), await mailed.register(BOB))
    monkeypatch.setattr(Post, "go", lambda *_: None)
    seen = []
    for email in (ADA, BOB, "nobody@example.com"):
        with mailed.statements() as statements:
            answer = await ask(mailed, path, email)
        seen.append((answer.status_code, answer.content, answer.headers, list(statements)))
    assert seen[0] == seen[1] == seen[2]
    assert await post.deliver(await mailed.kit()) == 1
    assert [mail.to for mail in await mails(mailed)] == [ADA]


@pytest.mark.parametrize("act", ["password", "disabled", "asked again", "too late"])
async def test_what_changes_kills_links_and_codes(mailed: House, act: str) -> None:
    """RS-06: the attacker reads a mail of before."""
    user_id = await mailed.register()
    token, code = await link_token(mailed), await code_of(mailed)
    kit = await mailed.kit()
    if act == "password":
        await accounts.set_password(kit, user_id, OTHER_PASSWORD)
    elif act == "disabled":
        await accounts.disable(kit, user_id)
    elif act == "asked again":
        await link_token(mailed)
        while await code_of(mailed) == code:
            pass
    else:
        mailed.clock.tick(timedelta(hours=1))
    assert (await bring(mailed, "/magic-link/confirm", token=token)).status_code == 400
    assert (await bring(mailed, "/one-time-code/confirm", email=ADA, code=code)).status_code == 400


async def test_a_link_to_sign_in_resets_no_password_and_the_other_way_round(mailed: House) -> None:
    """RS-06: the attacker brings a link where it would be worth more."""
    await mailed.register()
    token = await link_token(mailed)
    body = {"token": token, "new_password": OTHER_PASSWORD}
    assert (await mailed.client.post("/reset-password", json=body)).status_code == 400
    await ask(mailed, "/forgot-password")
    reset = (await last_mail(mailed)).token
    assert (await bring(mailed, "/magic-link/confirm", token=reset)).status_code == 400


# Codes


async def test_of_500_guesses_at_once_five_are_evaluated(mailed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """RL-02: the attacker sends all codes at once, so that no counter comes between. A slow machine may answer some with a
    503: they wait for its five connections, and are not evaluated."""
    await mailed.register()
    code = await code_of(mailed)
    kit = await mailed.kit()
    evaluated = 0
    consume = kit.scratch.consume

    async def counted(*arguments: object, **more: object) -> object:
        nonlocal evaluated
        evaluated += 1
        return await consume(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(kit.scratch), "consume", lambda _, *arguments, **more: counted(*arguments, **more))
    wrong = [f"{number:06}" for number in range(500) if f"{number:06}" != code]
    answers = await asyncio.gather(*(bring(mailed, "/one-time-code/confirm", email=ADA, code=one) for one in wrong))
    assert evaluated == GUESSES
    assert {answer.status_code for answer in answers} - {503} == {400, 429}
    assert (await bring(mailed, "/one-time-code/confirm", email=ADA, code=code)).status_code == 429


async def test_while_a_code_lives_five_guesses_are_evaluated_whatever_is_named(
    mailed: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RL-02: the attacker guesses by the address and by the username, in all spellings, and waits for the limit to give."""
    user_id = await mailed.register(username="ada")
    await code_of(mailed)
    kit = await mailed.kit()
    evaluated = 0
    consume = kit.scratch.consume

    async def counted(*arguments: object, **more: object) -> object:
        nonlocal evaluated
        evaluated += arguments[1] == place(user_id)
        return await consume(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(kit.scratch), "consume", lambda _, *arguments, **more: counted(*arguments, **more))
    for _ in range(20):
        for name in (ADA, "ADA@EXAMPLE.COM", "ada", "ADA"):
            await bring(mailed, "/one-time-code/confirm", email=name, code="00000x")
        mailed.clock.tick(29)
    assert evaluated == GUESSES


async def test_an_unknown_address_meets_the_same_limit(mailed: House) -> None:
    """EN-05: if only accounts had a limit, the limit would tell."""
    await mailed.register()
    seen = {}
    for email in (ADA, "nobody@example.com"):
        await ask(mailed, "/one-time-code", email)
        answers = [await bring(mailed, "/one-time-code/confirm", email=email, code="00000x") for _ in range(7)]
        seen[email] = [(answer.status_code, answer.content) for answer in answers]
    assert seen[ADA] == seen["nobody@example.com"]
    assert [status for status, _ in seen[ADA]] == [400] * 5 + [429] * 2


async def test_no_code_is_in_the_database(mailed: House, tmp_path: Path) -> None:
    """RS-01: a digest of six digits is as good as the digits: whoever reads the database tries out all of the million. What is
    kept is made with a key that is not there."""
    await mailed.register()
    code = await code_of(mailed)
    kit = await mailed.kit()
    found = await kit.users.find(ADA)
    assert found is not None
    assert mailed.auth._home is not None
    async with mailed.auth._home.db.read() as connection:
        dump = repr([(await connection.execute(select(table))).all() for table in metadata.sorted_tables])
    for form in (code, hashlib.sha256(code.encode()).hexdigest(), hashlib.md5(code.encode()).hexdigest()):
        assert f"'{form}'" not in dump
    kept_of_it = flow._value(kit, found.user, code)
    assert f"'{kept_of_it}'" in dump
    async with open_house(tmp_path / "another") as other:
        assert flow._value(await other.kit(), found.user, code) != kept_of_it


async def test_a_right_code_is_not_counted(mailed: House) -> None:
    await mailed.register()
    for _ in range(post.ASKED_PER_HOUR):
        code = await code_of(mailed)
        kept(await bring(mailed, "/one-time-code/confirm", email=ADA, code=code))


# Links


@pytest.mark.parametrize(
    "page", ["welcome", "//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "/a#b"]
)
def test_a_link_leads_to_a_page_of_the_application_alone(page: str) -> None:
    """RS-03, LG-08: a link with a way in must not lead elsewhere."""
    with pytest.raises(ConfigError, match="takes a path"):
        MagicLink(page=page)


async def test_a_link_stays_with_the_issuer_below_a_prefix(tmp_path: Path, sqlite_url: str) -> None:
    async with open_house(tmp_path, prefix="/auth", database_url=sqlite_url, features=FEATURES) as house:
        await house.register()
        await house.client.post("/auth/magic-link", json={"email": ADA}, headers={"X-Forwarded-Host": "evil.example"})
        text = (await last_mail(house)).text
        (link,) = [word for word in text.split() if "#wwl_" in word]
        assert urlsplit(link)[:3] == ("http", "localhost:8000", "/welcome")
        assert LINK.findall(text) == []
