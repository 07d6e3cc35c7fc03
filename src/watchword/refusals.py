"""Why a start is refused: named checks on the settings, which `Settings` and `watchword doctor` share.

Each yields a `Refusal`, so that a start is refused with the first of them and the doctor reports all.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from watchword.core import secrets, service_keys
from watchword.core.errors import WeakSecret

if TYPE_CHECKING:
    from watchword.settings import Settings

PREFIX = "WATCHWORD_"
ISSUER = re.compile(
    r"https?://[A-Za-z0-9.\-]+(:\d+)?(/[A-Za-z0-9._~/-]*)?|https?://\[[0-9A-Fa-f:.]+\](:\d+)?(/[A-Za-z0-9._~/-]*)?"
)
"""An issuer stands in every token and is compared letter by letter: no query, no white space, nobody's name."""

AUDIENCE = re.compile(r"[\x21-\x7e]{1,512}")
"""It is compared letter by letter too; nobody sees a space at its end."""

POSTGRES = re.compile(r"postgres(ql)?(\+\w+)?://")
REDIS = re.compile(r"rediss?://[^/]|unix://")
"""What redis-py reads. https://www.iana.org/assignments/uri-schemes/prov/redis"""

WIDEST = {4: 8, 6: 16}
"""The shortest prefix of a network of proxies; a wider one is a wildcard by another name."""

MASTER_KEY_CURE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
NAME_PROXIES = "Name your proxies' addresses: 10.0.1.0/24, say."
NAME_ORIGINS = "Name your pages' origins: https://app.example.com."


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason: the id that the doctor calls it by, the setting, what is weak, what to type. Holds no secret."""

    id: str
    setting: str
    weakness: str
    cure: str

    def __str__(self) -> str:
        return f"{self.weakness} {self.cure}".rstrip()


def weaknesses(settings: "Settings") -> Iterator[Refusal]:
    """Every reason why a start with these settings is refused, the gravest first."""
    for check in CHECKS:
        yield from check(settings)


def _issuer(settings: "Settings") -> Iterator[Refusal]:
    unsafely = f"set {PREFIX}UNSAFE_HTTP_ISSUER=1"
    yield from weak_issuer(settings.issuer, f"{PREFIX}ISSUER", "tokens", settings.unsafe_http_issuer, unsafely)


def weak_issuer(issuer: str, name: str, what: str, unsafe: bool, unsafely: str) -> Iterator[Refusal]:
    """What an issuer may not be, whoever names it. `what` would cross the network; `unsafely` says how to allow that."""
    parts = web_address(issuer)
    if parts is None or ISSUER.fullmatch(issuer) is None:
        yield Refusal("issuer-invalid", name, f"{name} is not a web address.", "Write https://auth.example.com.")
    elif parts.scheme == "http" and not is_loopback(parts.hostname or "") and not unsafe:
        yield Refusal(
            "issuer-http",
            name,
            f"{name} is http, so {what} would cross the network in the clear.",
            f"Use https (or {unsafely} on a private network that nobody else can read).",
        )


def _master_keys(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}MASTER_KEYS"
    for key in settings.master_keys:
        try:
            secrets.strong(key.get_secret_value(), name)
        except WeakSecret as error:
            yield Refusal("master-key-weak", name, str(error).removesuffix(secrets.CURE).rstrip(), secrets.CURE)
    if not settings.loopback and not settings.master_keys:
        yield Refusal(
            "master-key-missing",
            name,
            f"{name} is not set. Off localhost you keep this secret yourself.",
            f"Make one with:\n  {MASTER_KEY_CURE}\nand give it to every worker as {name}.",
        )


def _service_keys(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}SERVICE_KEYS"
    masters = {key.get_secret_value() for key in settings.master_keys}
    for key in settings.service_keys:
        try:
            service_keys.strong(key.get_secret_value(), name)
        except WeakSecret as error:
            yield Refusal("service-key-weak", name, str(error).removesuffix(secrets.CURE).rstrip(), secrets.CURE)
        if key.get_secret_value() in masters:
            weakness = f"{name} holds a master key, so every service could open the signing keys."
            yield Refusal("service-key-master", name, weakness, f"Give services a key of their own. {secrets.CURE}")
    if settings.service_keys and settings.signing_alg == "HS256":
        yield Refusal(
            "service-keys-symmetric",
            name,
            f"{name} is given, but with {PREFIX}SIGNING_ALG=HS256 no other service can verify anything.",
            f"Set {PREFIX}SIGNING_ALG=ES256, or leave {name} out.",
        )


def homeless(settings: "Settings") -> Iterator[Refusal]:
    """Nothing says where users are kept. An application's own engine says it too, so a start asks for this by itself."""
    name = f"{PREFIX}DATABASE_URL"
    if not settings.loopback and settings.database_url is None:
        yield Refusal(
            "database-missing",
            name,
            f"{name} is not set.",
            "Say where users are kept: sqlite:////var/lib/app/watchword.db or postgresql://user:password@host/name, "
            "or give the application's own engine: Auth(engine=engine).",
        )


def of_application(*, debug: bool, loopback: bool, unmailed: Sequence[str] = ()) -> Iterator[Refusal]:
    """Why a start inside an application is refused, whatever the settings are. `unmailed` are features that mail where no mail
    goes out."""
    if debug and not loopback:
        yield Refusal(
            "application-debug",
            "FastAPI(debug=True)",
            "FastAPI(debug=True) answers every fault with a stack trace and the source around it.",
            "Take debug=True out; on a loopback issuer it may stay.",
        )
    if unmailed:
        name = f"{PREFIX}MAIL_URL"
        yield Refusal(
            "mail-missing",
            name,
            f"{name} is not set, so no mail goes out, and {', '.join(unmailed)} would sign nobody in.",
            f"Set it to smtps://user:password@host and {PREFIX}MAIL_FROM to the sender, or leave the feature out.",
        )


def _audience(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}AUDIENCE"
    if settings.audience is not None and AUDIENCE.fullmatch(settings.audience) is None:
        weakness = f"{name} is empty, or holds white space, so no service would be meant by it."
        yield Refusal(
            "audience-invalid", name, weakness, "Write your API's name, https://api.example.com, or unset it."
        )


def _lifetimes(settings: "Settings") -> Iterator[Refusal]:
    if settings.refresh_idle > settings.refresh_absolute:
        name = f"{PREFIX}REFRESH_IDLE"
        yield Refusal(
            "refresh-idle-beyond-absolute",
            name,
            f"{name} is longer than {PREFIX}REFRESH_ABSOLUTE.",
            "Make it at most as long.",
        )


def _proxies(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}TRUSTED_PROXIES"
    for text in settings.trusted_proxies:
        if "*" in text:
            weakness = f"{name} is a wildcard, so it trusts everybody."
            yield Refusal("trusted-proxies-wildcard", name, weakness, NAME_PROXIES)
            continue
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            weakness = f"{name}: {text!r} is neither an address nor a network."
            yield Refusal("trusted-proxies-invalid", name, weakness, NAME_PROXIES)
            continue
        if network.prefixlen < WIDEST[network.version]:
            weakness = f"{name}: {text} is every address, so it trusts everybody."
            yield Refusal("trusted-proxies-wildcard", name, weakness, NAME_PROXIES)


def _origins(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}ALLOWED_ORIGINS"
    for origin in settings.allowed_origins:
        if "*" in origin:
            weakness = f"{name} is a wildcard, so it trusts everybody."
            yield Refusal("allowed-origins-wildcard", name, weakness, NAME_ORIGINS)
            continue
        parts = web_address(origin)
        if parts is None or parts.path or parts.query:
            weakness = f"{name}: {origin!r} is not an origin."
            yield Refusal("allowed-origins-invalid", name, weakness, "Write https://app.example.com.")


def _feed(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}FEED_DATABASE_URL"
    direct, url = settings.feed_database_url, settings.database_url
    if direct is None:
        return
    if not _is_postgres(direct.get_secret_value()):
        weakness = f"{name} is no address of a PostgreSQL."
        yield Refusal("feed-url-invalid", name, weakness, "Write postgresql://user:password@host/name.")
    elif url is not None and not _is_postgres(url.get_secret_value()):
        yield Refusal("feed-url-unused", name, f"{name} is for PostgreSQL.", "With SQLite leave it out.")


def _redis(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}REDIS_URL"
    if settings.redis_url is not None and not REDIS.match(settings.redis_url.get_secret_value()):
        weakness = f"{name} is no address of a Valkey."
        yield Refusal("redis-url-invalid", name, weakness, "Write redis://host:6379/0, or rediss:// for TLS.")


def _mail(settings: "Settings") -> Iterator[Refusal]:
    name = f"{PREFIX}MAIL_URL"
    url = settings.mail_url
    if url is not None and mail_address(url.get_secret_value()) is None:
        yield Refusal(
            "mail-url-invalid",
            name,
            f"{name} is no address of a mail server.",
            "Write smtps://user:password@host, or smtp://host for one that offers STARTTLS. In a name or password write "
            "%40 for @ and %2F for /.",
        )
    name, cure = f"{PREFIX}MAIL_FROM", "Write My App <no-reply@example.com>."
    if settings.mail_from and mail_sender(settings.mail_from) is None:
        yield Refusal("mail-from-invalid", name, f"{name} is no sender.", cure)
    elif url is not None and not settings.mail_from:
        yield Refusal("mail-from-missing", name, f"{name} is not set.", cure)


def mail_address(url: str) -> SplitResult | None:
    """The parts of a mail server's address, or None when it is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("smtp", "smtps") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        return None
    return parts if good and parts.path in ("", "/") and not parts.query and not parts.fragment else None


def mail_sender(text: str) -> Address | None:
    """The display name and the address of `Name <address>`, or None when it is none."""
    name, address = parseaddr(text)
    try:
        made = Address(display_name=name, addr_spec=address)
    except (ValueError, IndexError, MessageError):
        return None
    return made if made.username and made.domain and text.isprintable() else None


def _is_postgres(url: str) -> bool:
    return POSTGRES.match(url) is not None


CHECKS: tuple[Callable[["Settings"], Iterator[Refusal]], ...] = (
    _issuer, _audience, _master_keys, _service_keys, _lifetimes, _proxies, _origins, _feed, _redis, _mail,
)  # fmt: skip


def web_address(text: str) -> SplitResult | None:
    """Its parts, or None when it is not an address of the web."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and str(parts.port)
    except ValueError:  # brackets that do not close, or a port that is none
        return None
    return parts if good else None


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
