"""Where mails arrive: a real SMTP server on the test's event loop, and the folder of a developer's machine."""

import asyncio
import contextlib
import email
import ipaddress
import re
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.house import House, open_house

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of itself where it is imported, and where it is told to want no TLS
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

SENDER = "Lantern <no-reply@lantern.example>"
LINK = re.compile(r"https?://\S+/links/[a-z-]+#wwl_[\w.-]+")


@dataclass(frozen=True)
class Received:
    """A mail that arrived."""

    message: EmailMessage

    @property
    def to(self) -> str:
        return str(self.message["To"])

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    @property
    def id(self) -> str:
        return str(self.message["Message-ID"])

    @property
    def links(self) -> list[str]:
        return LINK.findall(self.text)

    @property
    def link(self) -> str:
        """The first link, which is what the mail is for."""
        return self.links[0]

    @property
    def token(self) -> str:
        """What stands behind the `#` of that link."""
        return self.link.partition("#")[2]

    @property
    def undo(self) -> str:
        """The token of "this was not me"."""
        (found,) = [link for link in self.links if "/links/undo#" in link]
        return found.partition("#")[2]

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert part is not None
        return str(part.get_content())


def parsed(raw: bytes) -> Received:
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return Received(message)


async def mails(house: House, to: str | None = None) -> list[Received]:
    """What lies in the folder of this house, the oldest first, when everything that was queued is delivered."""
    await (await house.kit()).post.drain()
    files = sorted((house.auth.settings.data_dir / "mail").glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
    found = [parsed(file.read_bytes()) for file in files]
    return [one for one in found if to is None or one.to == to]


async def token_for(house: House, page: str, to: str | None = None) -> str:
    """The token of the last mail whose link leads to this page: mails that were queued together come in any order."""
    found = [link for mail in await mails(house, to) for link in mail.links if f"/links/{page}#" in link]
    return found[-1].partition("#")[2]


@contextlib.asynccontextmanager
async def posted(folder: Path, database_url: str, **settings: Any) -> AsyncIterator[tuple["Mailbox", House]]:
    """A house whose mails go to an SMTP server, and that server."""
    async with (
        mailbox() as box,
        open_house(folder, database_url=database_url, mail_url=box.url, mail_from=SENDER, **settings) as house,
    ):
        yield box, house


async def last_mail(house: House, to: str | None = None) -> Received:
    return (await mails(house, to))[-1]


Answer = Callable[[str], str | None]
"""What the server says to a recipient instead of taking the mail."""


class Mailbox:
    """A real SMTP server, which keeps what it is given."""

    def __init__(self, **options: Any) -> None:
        self.received: list[Received] = []
        self.accepted: Answer = lambda _recipient: None
        self.takes = asyncio.Event()
        self.takes.set()
        self.asked = asyncio.Event()
        """Whether a mail has come as a whole, and waits for the answer."""
        self.port = 0
        self._options = {"enable_SMTPUTF8": True, "hostname": "mail.test", **options}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()
        self._news = asyncio.Event()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; after a stop at the same port again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away: nobody listens at the port any more."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None

    async def have(self, count: int, patience: float = 60) -> Sequence[Received]:
        """All mails, once so many have come."""
        async with asyncio.timeout(patience):
            while len(self.received) < count:
                self._news.clear()
                await self._news.wait()
        return self.received

    def _protocol(self) -> SMTP:
        box = self

        class Protocol(SMTP):
            def connection_made(self, transport: Any) -> None:
                box._connections.add(transport)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                box._connections.discard(self.transport)
                super().connection_lost(error)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Protocol(self, loop=asyncio.get_running_loop(), **self._options)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, options: Sequence[str]
    ) -> str:
        refused = self.accepted(address)
        if refused is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return refused or "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.asked.set()
        await self.takes.wait()
        self.received.append(parsed(envelope.content))
        self._news.set()
        return "250 taken"


@contextlib.asynccontextmanager
async def mailbox(tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Mailbox]:
    """A running server."""
    box = Mailbox(**options)
    await box.start(tls)
    try:
        yield box
    finally:
        await box.stop()


def only(username: str, password: str) -> Callable[..., AuthResult]:
    """Lets in whoever knows these."""

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, said: Any) -> AuthResult:
        right = isinstance(said, LoginPassword) and (said.login, said.password) == (
            username.encode(),
            password.encode(),
        )
        return AuthResult(success=right)

    return check


def listening(heard: list[object]) -> Callable[..., AuthResult]:
    """Lets everybody in, and keeps what they say."""

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, said: Any) -> AuthResult:
        heard.append(said)
        return AuthResult(success=True)

    return check


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, ssl.SSLContext]:
    """A certificate for a name, which is its own authority: its file, and what a server needs of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
