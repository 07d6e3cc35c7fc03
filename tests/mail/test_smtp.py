"""Mails over SMTP: to a real server, which is away, slow, full of refusals, or behind TLS."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.house import ADA, BOB, PATIENCE, House, open_house
from tests.letterbox import SENDER, Mailbox, certificate, listening, mailbox, only, posted
from tests.mail.test_texts import FACTS

from watchword.core.errors import ConfigError, Unavailable
from watchword.core.mail import LEASE, Mail
from watchword.flows import post
from watchword.stores.mail import SmtpMailer, Writer, answers, server
from watchword.testing import FrozenClock
from watchword.texts import Texts


async def forget(house: House, email: str = ADA) -> None:
    answer = await house.client.post("/forgot-password", json={"email": email})
    assert answer.status_code == 202


async def delivered(house: House) -> int:
    """Deliver what is due, when the background has nothing to do."""
    kit = await house.kit()
    await kit.post.drain()
    return await post.deliver(kit)


async def test_a_mail_has_two_forms_and_the_headers_of_a_machine(tmp_path: Path, sqlite_url: str) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        await made(house)
        await forget(house)
        (mail,) = await box.have(1)
    assert mail.to == ADA
    assert str(mail.message["From"]) == SENDER
    assert mail.subject == "Choose a new password for Lantern"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.id.endswith("@localhost>")
    assert mail.link in mail.html.replace("&#43;", "+")
    assert [part.get_content_type() for part in mail.message.iter_parts()] == ["text/plain", "text/html"]


async def test_a_mail_that_the_server_could_not_take_comes_later_under_the_same_name(
    tmp_path: Path, database_url: str
) -> None:
    async with posted(tmp_path, database_url) as (box, house):
        await made(house)
        await box.stop()
        await forget(house)
        assert await delivered(house) == 0
        (waiting,) = await (await house.kit()).outbox.page("", 10)
        assert "the mail server failed" in (waiting.because or "")
        await box.start()
        assert await delivered(house) == 0  # its time has not come
        house.clock.tick(timedelta(seconds=2))
        assert await delivered(house) == 1
        assert [mail.id for mail in box.received] == [f"<{waiting.id}@localhost>"]
        assert await (await house.kit()).outbox.page("", 10) == []


async def test_attempts_come_more_and_more_seldom(tmp_path: Path, sqlite_url: str) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        await made(house)
        await box.stop()
        await forget(house)
        waits = []
        for _ in range(6):
            await delivered(house)
            (waiting,) = await (await house.kit()).outbox.page("", 10)
            waits.append((waiting.due_at - house.clock.now()).total_seconds())
            house.clock.tick(timedelta(seconds=waits[-1]))
        assert waits == [2, 4, 8, 16, 32, 64]


async def test_a_recipient_who_is_refused_for_good_is_tried_once(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        await made(house)
        box.accepted = lambda recipient: f"550 no such user {recipient}"
        await forget(house)
        await delivered(house)
        (waiting,) = await (await house.kit()).outbox.page("", 10)
        assert waiting.because == "the mail server refused it: 550"
        house.clock.tick(timedelta(minutes=30))
        box.accepted = lambda _: None
        assert await delivered(house) == 0
        assert box.received == []
    assert ADA not in caplog.text


async def test_a_recipient_who_is_put_off_is_tried_again(tmp_path: Path, sqlite_url: str) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        await made(house)
        box.accepted = lambda _: "450 try later"
        await forget(house)
        await delivered(house)
        box.accepted = lambda _: None
        house.clock.tick(timedelta(seconds=2))
        assert await delivered(house) == 1


async def test_a_kill_between_delivery_and_mark_gives_the_mail_twice_under_one_name(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        await made(house)
        kit = await house.kit()
        monkeypatch.setattr(type(kit.outbox), "delivered", _killed)
        await forget(house)
        await kit.post.drain()
        monkeypatch.undo()
        assert await delivered(house) == 0  # somebody may still be at it
        house.clock.tick(LEASE)
        assert await delivered(house) == 1
        assert len(box.received) == 2
        assert len({mail.id for mail in box.received}) == 1


class TestAStopWhileAMailIsOnItsWay:
    """A server may take a mail long after it has it as a whole. Whoever goes before its answer leaves the mail to be sent
    again."""

    async def test_its_answer_is_waited_for(
        self, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And no other mail is taken meanwhile: it stays for the next."""
        monkeypatch.setattr(post, "DRAIN_SECONDS", 0)
        monkeypatch.setattr(post, "AT_ONCE", 1)
        settings: dict[str, Any] = {"database_url": sqlite_url, "mail_from": SENDER}
        async with mailbox() as box:
            async with open_house(tmp_path, mail_url=box.url, **settings) as house:
                for email in (ADA, BOB):
                    await made(house, email)
                box.takes.clear()
                await forget(house)
                await forget(house, BOB)
                await box.asked.wait()
                kit = await house.kit()
                stopped = asyncio.create_task(house.auth.stop())
                async with asyncio.timeout(PATIENCE):
                    while not kit.post.ending:  # noqa: ASYNC110 - there is no event for it
                        await asyncio.sleep(0)
                box.takes.set()
                await stopped
            assert [mail.to for mail in box.received] == [ADA]
            async with open_house(tmp_path, mail_url=box.url, **settings) as again:
                (waiting,) = await (await again.kit()).outbox.page("", 10)
                assert (waiting.recipient, waiting.attempts) == (BOB, 0)

    async def test_what_a_command_has_queued_goes_before_it_ends(self, tmp_path: Path, sqlite_url: str) -> None:
        async with mailbox() as box:
            async with open_house(tmp_path, database_url=sqlite_url, mail_url=box.url, mail_from=SENDER) as house:
                await made(house)
                await forget(house)
                await house.auth.stop()
            assert [mail.to for mail in box.received] == [ADA]

    async def test_one_that_does_not_arrive_holds_up_nobody_for_ever(
        self, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(post, "DRAIN_SECONDS", 0)
        monkeypatch.setattr(post, "STOP_SECONDS", 0)
        async with posted(tmp_path, sqlite_url) as (box, house):
            await made(house)
            box.takes.clear()
            await forget(house)
            await box.asked.wait()
            await (await house.kit()).post.stop()
            assert "may be sent twice" in caplog.text
            box.takes.set()
            monkeypatch.undo()


async def _killed(*_: object) -> None:
    raise KeyError("a kill")


async def test_a_mail_whose_link_is_dead_is_not_sent_any_more(tmp_path: Path, sqlite_url: str) -> None:
    async with posted(tmp_path, sqlite_url) as (box, house):
        await made(house)
        await box.stop()
        await forget(house)
        await delivered(house)
        await box.start()
        house.clock.tick(timedelta(hours=1))
        assert await delivered(house) == 0
        assert await (await house.kit()).outbox.prune(house.clock.now(), 10) == 1


async def test_a_name_and_a_password_go_over_tls_alone(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacker sits between the house and its mail server, and would read the password, or every reset link."""
    public, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    async with mailbox(tls, authenticator=only("lantern", "p@ss/word"), auth_require_tls=False) as box:
        url = f"smtps://lantern:p%40ss%2Fword@localhost:{box.port}"
        async with open_house(tmp_path, database_url=sqlite_url, mail_url=url, mail_from=SENDER) as house:
            await made(house)
            await forget(house)
            assert len(await box.have(1)) == 1


async def test_a_server_with_a_stranger_s_certificate_gets_nothing(tmp_path: Path, sqlite_url: str) -> None:
    """The attacker answers in the mail server's place, with a certificate that nobody vouches for."""
    _, tls = certificate(tmp_path)
    async with mailbox(tls) as box:
        url = f"smtps://localhost:{box.port}"
        async with open_house(tmp_path, database_url=sqlite_url, mail_url=url, mail_from=SENDER) as house:
            await made(house)
            await forget(house)
            assert await delivered(house) == 0
            (waiting,) = await (await house.kit()).outbox.page("", 10)
            assert waiting.because is not None
        assert box.received == []


class TestAServerElsewhereThatSpeaksPlainlyFirst:
    """The attacker sits between the house and its mail server, and takes the offer of TLS out of the server's answer; or
    answers in its place."""

    def mailer(self, box: Mailbox, host: str = "127.0.0.1") -> SmtpMailer:
        where = server(f"smtp://lantern:secret@{host}:{box.port}", is_here=False)
        return SmtpMailer(where, Writer(Texts(), SENDER, "lantern.example"), "lantern.example")

    async def test_one_that_does_not_offer_tls_gets_no_mail_and_no_password(self) -> None:
        """RFC 3207 6, RFC 8314 4.1."""
        heard: list[object] = []
        async with mailbox(authenticator=listening(heard), auth_require_tls=False) as box:
            with pytest.raises(Unavailable, match="the mail server failed"):
                await self.mailer(box).deliver(a_mail())
            assert await answers(server(box.url, is_here=False)) is not None
            assert (box.received, heard) == ([], [])

    async def test_one_with_a_stranger_s_certificate_gets_none_either(self, tmp_path: Path) -> None:
        _, tls = certificate(tmp_path)
        async with mailbox(tls_context=tls, authenticator=only("lantern", "secret")) as box:
            with pytest.raises(Unavailable, match="the mail server failed"):
                await self.mailer(box, "localhost").deliver(a_mail())
            assert box.received == []

    async def test_one_that_offers_it_gets_the_mail_over_tls(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        public, tls = certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        async with mailbox(tls_context=tls, require_starttls=True, authenticator=only("lantern", "secret")) as box:
            await self.mailer(box, "localhost").deliver(a_mail())
            assert [mail.to for mail in box.received] == [ADA]

    @pytest.mark.parametrize(
        ("host", "start_tls"),
        [("mail.example.com", True), ("10.0.0.7", True), ("localhost", False), ("127.0.0.1", False)],
    )
    async def test_only_this_machine_is_spoken_to_in_the_clear(
        self, tmp_path: Path, sqlite_url: str, host: str, start_tls: bool
    ) -> None:
        settings: dict[str, Any] = {"mail_url": f"smtp://{host}", "mail_from": SENDER}
        async with open_house(tmp_path, database_url=sqlite_url, **settings) as house:
            mailer = (await house.kit()).mailer
            assert isinstance(mailer, SmtpMailer)
            assert mailer._server.start_tls is start_tls


def a_mail() -> Mail:
    return Mail("a" * 26, "password-changed", ADA, "en", FACTS, FrozenClock().now())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://mail.example.com", "is no address of a mail server"),
        ("smtp://", "is no address of a mail server"),
        ("smtp://mail.example.com/path", "is no address of a mail server"),
        ("smtp://mail.example.com:99999", "is no address of a mail server"),
        ("smtps://user:pa#ss@mail.example.com", "is no address of a mail server"),
    ],
)
async def test_an_odd_address_of_a_mail_server_is_refused_with_the_cure(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        async with open_house(tmp_path, mail_url=url, mail_from=SENDER):
            pass


@pytest.mark.parametrize("sender", ["Lantern", "Lantern <no-reply>", "a@b.example\nBcc: victim@example.com", ""])
async def test_an_odd_sender_is_refused_with_the_cure(tmp_path: Path, sender: str) -> None:
    with pytest.raises(ConfigError, match="WATCHWORD_MAIL_FROM is"):
        async with open_house(tmp_path, mail_url="smtp://localhost", mail_from=sender):
            pass


async def test_a_mail_server_without_a_sender_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WATCHWORD_MAIL_FROM is not set"):
        async with open_house(tmp_path, mail_url="smtp://localhost"):
            pass


async def made(house: House, email: str = ADA) -> str:
    """An account, made by an operator."""
    from watchword.flows import accounts

    return (await accounts.add(await house.kit(), email, "seven lanterns over the harbour", None, frozenset())).id


async def test_a_deleted_account_s_mails_are_not_delivered(tmp_path: Path, sqlite_url: str) -> None:
    from watchword.flows import accounts

    async with posted(tmp_path, sqlite_url) as (box, house):
        user_id, _ = await made(house), await made(house, BOB)
        await box.stop()
        await forget(house)
        await forget(house, BOB)
        await delivered(house)
        await accounts.delete(await house.kit(), user_id)
        assert [one.recipient for one in await (await house.kit()).outbox.page("", 10)] == [BOB]
    assert isinstance(box, Mailbox)
