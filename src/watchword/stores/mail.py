"""`ports.Mailer`: over SMTP with TLS, and for a developer into a folder."""

import asyncio
import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from watchword.core.errors import Unavailable, Undeliverable
from watchword.core.mail import DELIVERY, Mail

logger: logging.Logger = logging.getLogger("watchword.mail")

ANSWER_SECONDS = 10.0
"""For an operator who asks whether the server is there."""

PORTS = {"smtp": 587, "smtps": 465}
NOBODY = "nobody@localhost"
"""Who a mail is written to that only takes somebody's time."""

FOR_GOOD = range(500, 600)
"""Answers that no other attempt changes. RFC 5321 4.2.1."""

READABLE: "policy.EmailPolicy[Any]" = policy.default.clone(cte_type="8bit", max_line_length=None)
"""For a file that somebody opens: no line is folded, and no letter is encoded, in a link least of all."""


class Letter(Protocol):
    """A mail in words."""

    @property
    def subject(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def html(self) -> str: ...


class Texts(Protocol):
    """Whoever finds the words; `watchword.texts.Texts` does."""

    @property
    def languages(self) -> Sequence[str]: ...

    def letter(self, kind: str, language: str, facts: "dict[str, str]", /) -> Letter: ...


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server. `smtps` speaks TLS from the first byte (RFC 8314 3.3); `smtp` has to offer STARTTLS (RFC
    3207), unless it is on this machine."""

    host: str
    port: int
    implicit_tls: bool
    start_tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def server(url: str, *, is_here: bool) -> Server:
    """The server that a URL names. `is_here` says that its host is this machine, so that nobody listens on the way."""
    parts = urlsplit(url)
    return Server(
        host=parts.hostname or "",
        port=parts.port or PORTS[parts.scheme],
        implicit_tls=parts.scheme == "smtps",
        start_tls=parts.scheme == "smtp" and not is_here,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


async def answers(there: Server) -> str | None:
    """Why this server takes no mail from here; None when it does. Nothing is sent."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), _connection(there, "localhost"):
            return None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        return _named(error)


class Writer:
    """Makes a message of a mail. RFC 5322."""

    def __init__(self, texts: Texts, sender: str, domain: str) -> None:
        self._texts = texts
        self._sender = sender
        self._domain = domain

    @property
    def languages(self) -> Sequence[str]:
        """See `ports.Mailer.languages`."""
        return self._texts.languages

    def message(self, mail: Mail, rules: "policy.EmailPolicy[Any]") -> EmailMessage:
        """The message, with the same Message-ID at each attempt. Raises Undeliverable where no header takes the recipient."""
        letter = self._texts.letter(mail.kind, mail.language, dict(mail.facts))
        made = EmailMessage(rules)
        try:
            made["To"] = Address(addr_spec=mail.recipient or NOBODY)
        except (ValueError, IndexError, MessageError) as error:
            raise Undeliverable("the recipient can't stand in a header") from error
        made["From"] = self._sender
        made["Subject"] = letter.subject
        made["Date"] = format_datetime(mail.queued_at)
        made["Message-ID"] = f"<{mail.id}@{self._domain}>"
        made["Auto-Submitted"] = "auto-generated"  # RFC 3834 5: nobody's out-of-office answers it
        encoding = "8bit" if rules is READABLE else None
        made.set_content(letter.text, cte=encoding)
        made.add_alternative(letter.html, subtype="html", cte=encoding)
        return made


class SmtpMailer:
    """Over SMTP, one connection for each mail."""

    def __init__(self, server: Server, writer: Writer, domain: str) -> None:
        self._server = server
        self._writer = writer
        self._domain = domain

    @property
    def languages(self) -> Sequence[str]:
        """See `ports.Mailer.languages`."""
        return self._writer.languages

    async def deliver(self, mail: Mail) -> None:
        """See `ports.Mailer.deliver`. A server that refuses our name, our password or everybody is away, until somebody mends
        it; one that refuses this recipient or this text for good has said so."""
        message = self._writer.message(mail, policy.SMTP)
        if not mail.recipient:
            return
        try:
            async with asyncio.timeout(DELIVERY.total_seconds()):
                async with _connection(self._server, self._domain) as connection:
                    await connection.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused(error.recipients[0]) from None
        except aiosmtplib.SMTPDataError as error:
            raise _refused(error) from None
        except aiosmtplib.SMTPNotSupported:
            raise Undeliverable("the server takes no such address") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise Unavailable(f"the mail server failed: {_named(error)}") from None


class FolderMailer:
    """Into a folder, on a developer's machine. The log names the file, and nothing of what stands in it."""

    def __init__(self, folder: Path, writer: Writer) -> None:
        self._folder = folder
        self._writer = writer

    @property
    def languages(self) -> Sequence[str]:
        """See `ports.Mailer.languages`."""
        return self._writer.languages

    async def deliver(self, mail: Mail) -> None:
        """See `ports.Mailer.deliver`."""
        message = self._writer.message(mail, READABLE)
        if not mail.recipient:
            return
        path = self._folder / f"{mail.queued_at:%Y%m%d-%H%M%S}-{mail.kind}-{mail.id[:6]}.eml"
        try:
            await asyncio.to_thread(self._write, path, message.as_bytes())
        except OSError as error:
            raise Unavailable(f"{path} can't be written: {error.strerror}") from None
        logger.warning("a mail was written to %s", path)

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "wb", opener=functools.partial(os.open, mode=0o600)) as file:
            file.write(content)


def _connection(there: Server, domain: str) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=there.host,
        port=there.port,
        username=there.username,
        password=there.password,
        use_tls=there.implicit_tls,
        start_tls=there.start_tls,
        local_hostname=domain,  # else it is looked up, which may take long
        timeout=DELIVERY.total_seconds() / 3,
    )


def _refused(error: "aiosmtplib.SMTPResponseException") -> Exception:
    """The answer's code alone: servers repeat the address, or what stood in the mail."""
    if error.code in FOR_GOOD:
        return Undeliverable(f"the mail server refused it: {error.code}")
    return Unavailable(f"the mail server put it off: {error.code}")


def _named(error: BaseException) -> str:
    code = f" {error.code}" if isinstance(error, aiosmtplib.SMTPResponseException) else ""
    return f"{type(error).__name__}{code}"
