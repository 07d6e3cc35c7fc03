"""The settings: the only reader of the environment. Lower floors get a frozen `Policy`.

A start that would be weak is refused here, with the setting's name and what to type.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from watchword.core import secrets
from watchword.core.errors import ConfigError
from watchword.core.passwords import OWASP, Argon2Parameters
from watchword.core.policy import Policy

PREFIX = "WATCHWORD_"
ISSUER = re.compile(
    r"https?://[A-Za-z0-9.\-]+(:\d+)?(/[A-Za-z0-9._~/-]*)?|https?://\[[0-9A-Fa-f:.]+\](:\d+)?(/[A-Za-z0-9._~/-]*)?"
)
"""An issuer stands in every token and is compared letter by letter: no query, no white space, nobody's name."""

WIDEST = {4: 8, 6: 16}
"""The shortest prefix of a network of proxies; a wider one is a wildcard by another name."""

MASTER_KEY_CURE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

Listed = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Every setting is read from `WATCHWORD_<NAME>`; a list is comma-separated. Raises ConfigError for what is not known,
    out of bounds, or too weak for the issuer."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    issuer: Annotated[
        str, Field(description="The public address of this server; whoever leaves one machine sets it.")
    ] = "http://localhost:8000"
    audience: Annotated[
        str | None,
        Field(description="Who the access tokens are for; for an API with another name than the issuer."),
    ] = None
    database_url: Annotated[
        SecretStr | None,
        Field(description="SQLite file or PostgreSQL; whoever wants to choose where users are kept."),
    ] = None
    master_keys: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        Field(description="Secrets that seal the signing keys, newest first; everybody off localhost sets one."),
    ] = ()
    data_dir: Annotated[
        Path,
        Field(description="Where a loopback issuer keeps its database and key; for a read-only working directory."),
    ] = Path(".watchword")
    signing_alg: Annotated[
        Literal["ES256", "Ed25519", "RS256", "HS256"],
        Field(description="How access tokens are signed; for services that verify only RS256, say."),
    ] = "ES256"
    access_ttl: Annotated[
        int,
        Field(
            ge=10,
            le=3600,
            description="Seconds an access token lives; rarely changed, revocation does not wait for it.",
        ),
    ] = 600
    refresh_idle: Annotated[
        int,
        Field(ge=60, le=90 * 86400, description="Seconds a session survives unused; shorter for sensitive data."),
    ] = 14 * 86400
    refresh_absolute: Annotated[
        int,
        Field(ge=60, le=90 * 86400, description="Seconds until one has to sign in again whatever happens."),
    ] = 90 * 86400
    refresh_grace: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="Seconds in which a repeated refresh gets the same answer; longer for bad networks.",
        ),
    ] = 30
    key_rotation: Annotated[
        int,
        Field(
            ge=3600,
            le=366 * 86400,
            description="Seconds until the next signing key takes over; for audits that ask.",
        ),
    ] = 30 * 86400
    revocation_staleness: Annotated[
        float,
        Field(ge=0.5, le=30, description="Seconds of a silent feed after which each request asks the database."),
    ] = 2.0
    registration: Annotated[
        Literal["open", "closed"] | None,
        Field(description="Who may make an account; open on localhost, closed elsewhere unless said."),
    ] = None
    password_min_length: Annotated[
        int,
        Field(
            ge=15,
            le=128,
            description="Characters a new password needs, 15 at least (a few words make a good one); more for administrators.",
        ),
    ] = 15
    context_words: Annotated[
        Listed,
        Field(description="Words that make a password guessable here: the product's and the company's names."),
    ] = ()
    hashing_threads: Annotated[
        int,
        Field(ge=1, le=64, description="Threads that hash passwords; more on a machine with many processors."),
    ] = 1
    hashing_queue: Annotated[
        int, Field(ge=1, le=10_000, description="Logins that may wait for hashing before the next gets 503.")
    ] = 64
    trusted_proxies: Annotated[
        Listed, Field(description="Addresses or networks of the proxies whose X-Forwarded-For is believed.")
    ] = ()
    allowed_origins: Annotated[
        Listed,
        Field(description="Origins whose pages may call the stand-alone server from a browser (CORS)."),
    ] = ()
    app: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
            description="Where commands find the application's Auth, main:auth; for users or an engine of its own.",
        ),
    ] = None
    unsafe_http_issuer: Annotated[
        bool,
        Field(description="Allow an http issuer off localhost; for a private network that nobody else can read."),
    ] = False

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(error))) from None
        _refuse_unknown(os.environ)
        self._refuse_weak()

    @field_validator("master_keys", "context_words", "trusted_proxies", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def loopback(self) -> bool:
        """Whether the issuer is this machine alone, so that everything needed is made for the developer."""
        return _is_loopback(urlsplit(self.issuer).hostname or "")

    def policy(self, argon2: Argon2Parameters = OWASP) -> Policy:
        """The rules for the lower floors."""
        return Policy(
            issuer=self.issuer,
            audience=self.audience or self.issuer,
            loopback=self.loopback,
            signing_alg=self.signing_alg,
            access_ttl=timedelta(seconds=self.access_ttl),
            refresh_idle=timedelta(seconds=self.refresh_idle),
            refresh_absolute=timedelta(seconds=self.refresh_absolute),
            refresh_grace=timedelta(seconds=self.refresh_grace),
            key_rotation=timedelta(seconds=self.key_rotation),
            revocation_staleness=timedelta(seconds=self.revocation_staleness),
            registration=self.registration or ("open" if self.loopback else "closed"),
            password_min_length=self.password_min_length,
            context_words=(urlsplit(self.issuer).hostname or "", "watchword", *self.context_words),
            argon2=argon2,
            hashing_threads=self.hashing_threads,
            hashing_queue=self.hashing_queue,
            trusted_proxies=self.trusted_proxies,
            allowed_origins=self.allowed_origins,
        )

    def elsewhere(self, folder: Path, database_url: str, master_key: str) -> "Settings":
        """The same rules with their things in another place, for a rehearsal. Master keys that were given stay."""
        keys = self.master_keys or (SecretStr(master_key),)
        return self.model_copy(
            update={"data_dir": folder, "database_url": SecretStr(database_url), "master_keys": keys}
        )

    def masters(self) -> tuple[bytes, ...]:
        """The master keys' bytes, the sealing one first; empty when none was given."""
        return tuple(secrets.strong(key.get_secret_value(), f"{PREFIX}MASTER_KEYS") for key in self.master_keys)

    def refuse_homeless(self) -> None:
        """Raise ConfigError when nothing says where users are kept; on a loopback issuer a place is made."""
        if not self.loopback and self.database_url is None:
            raise ConfigError(
                f"{PREFIX}DATABASE_URL is not set. Say where users are kept: sqlite:////var/lib/app/watchword.db or "
                "postgresql://user:password@host/name, or give the application's own engine: Auth(engine=engine)."
            )

    def _refuse_weak(self) -> None:
        self._refuse_issuer()
        self.masters()
        if not self.loopback and not self.master_keys:
            raise ConfigError(
                f"{PREFIX}MASTER_KEYS is not set. Off localhost you keep this secret yourself. Make one with:\n"
                f"  {MASTER_KEY_CURE}\nand give it to every worker as {PREFIX}MASTER_KEYS."
            )
        if self.refresh_idle > self.refresh_absolute:
            raise ConfigError(f"{PREFIX}REFRESH_IDLE is longer than {PREFIX}REFRESH_ABSOLUTE. Make it at most as long.")
        _refuse_wildcard("TRUSTED_PROXIES", self.trusted_proxies, "Name your proxies' addresses: 10.0.0.0/8, say.")
        _refuse_wildcard("ALLOWED_ORIGINS", self.allowed_origins, "Name your pages' origins: https://app.example.com.")
        for network in self.trusted_proxies:
            _check_network(network)
        for origin in self.allowed_origins:
            parts = _web_address(origin)
            if parts is None or parts.path or parts.query:
                raise ConfigError(
                    f"{PREFIX}ALLOWED_ORIGINS: {origin!r} is not an origin. Write https://app.example.com."
                )

    def _refuse_issuer(self) -> None:
        parts = _web_address(self.issuer)
        if parts is None or ISSUER.fullmatch(self.issuer) is None:
            raise ConfigError(f"{PREFIX}ISSUER is not a web address. Write https://auth.example.com.")
        if parts.scheme == "http" and not self.loopback and not self.unsafe_http_issuer:
            raise ConfigError(
                f"{PREFIX}ISSUER is http, so tokens would cross the network in the clear. Use https "
                f"(or set {PREFIX}UNSAFE_HTTP_ISSUER=1 on a private network that nobody else can read)."
            )


def hand_on(name: str, value: str, *, default: bool = False) -> None:
    """Put a setting that the command line named where every worker process finds it; a `default` gives way."""
    if not default or not os.environ.get(name):
        os.environ[name] = value


def named_app() -> str | None:
    """Where the commands find the application's own Auth; read alone, for that Auth brings its own settings."""
    return os.environ.get(f"{PREFIX}APP") or None


def _refuse_unknown(names: Iterable[str]) -> None:
    """A misspelt setting would be a rule that nobody keeps."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise ConfigError(_unknown(name, known))


def _unknown(name: str, known: Iterable[str]) -> str:
    bare = [one.removeprefix(PREFIX) for one in known]
    nearest = difflib.get_close_matches(name.upper().removeprefix(PREFIX), bare, 1, cutoff=0.5)
    return f"{name} is not a setting." + (f" Did you mean {PREFIX}{nearest[0]}?" if nearest else "")


def _explain(error: ValidationError) -> Iterable[str]:
    """Each fault with its setting's name; the value is never repeated, it may be a secret."""
    for fault in error.errors():
        field = str(fault["loc"][0]) if fault["loc"] else ""
        name = PREFIX + field.upper()
        if fault["type"] == "extra_forbidden":
            yield _unknown(name, [PREFIX + known.upper() for known in Settings.model_fields])
            continue
        text = fault["msg"]
        described = Settings.model_fields[field].description if field in Settings.model_fields else ""
        yield f"{name}: {text}. {described}"


def _refuse_wildcard(name: str, values: tuple[str, ...], cure: str) -> None:
    if any("*" in value for value in values):
        raise ConfigError(f"{PREFIX}{name} is a wildcard, so it trusts everybody. {cure}")


def _check_network(text: str) -> None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(f"{PREFIX}TRUSTED_PROXIES: {text!r} is neither an address nor a network.") from None
    if network.prefixlen < WIDEST[network.version]:
        raise ConfigError(
            f"{PREFIX}TRUSTED_PROXIES: {text} is every address, so it trusts everybody. "
            "Name your proxies' addresses: 10.0.0.0/8, say."
        )


def _web_address(text: str) -> SplitResult | None:
    """Its parts, or None when it is not an address of the web."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and str(parts.port)
    except ValueError:  # brackets that do not close, or a port that is none
        return None
    return parts if good else None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
