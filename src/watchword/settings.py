"""The settings: the only reader of the environment. Lower floors get a frozen `Policy`.

A start that would be weak is refused here, with the setting's name and what to type.
"""

import difflib
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from watchword import processors
from watchword.core import secrets, service_keys
from watchword.core.errors import ConfigError
from watchword.core.passwords import OWASP, Argon2Parameters
from watchword.core.policy import Policy
from watchword.processors import MAX_THREADS
from watchword.refusals import PREFIX, Refusal, homeless, is_loopback, weaknesses, web_address

DRAIN_SECONDS = 5
"""Off localhost a balancer stands in front, and asks every second or so."""

Listed = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Every setting is read from `WATCHWORD_<NAME>`; a list is comma-separated. Raises ConfigError for what is not known,
    out of bounds, or too weak for the issuer."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
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
    feed_database_url: Annotated[
        SecretStr | None,
        Field(description="PostgreSQL's own address, for the feed; whoever puts a pooler before the database."),
    ] = None
    redis_url: Annotated[
        SecretStr | None,
        Field(
            description="A Valkey (or Redis) that counts attempts; whoever wants fewer writes in the database at a login."
        ),
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
    mail_url: Annotated[
        SecretStr | None,
        Field(
            description="The mail server, smtps://user:password@host; everybody off localhost who has users of his own."
        ),
    ] = None
    mail_from: Annotated[
        str | None,
        Field(description="Who mails come from, My App <no-reply@example.com>; whoever sets the mail server."),
    ] = None
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
    drain_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            le=300,
            description="Seconds that a stop waits until the balancer has seen it; 5, or 0 on localhost, unless said.",
        ),
    ] = None
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
    attempts_per_account: Annotated[
        int,
        Field(
            ge=3,
            le=100,
            description="Wrong passwords in 15 minutes for one name from one network; fewer for administrators.",
        ),
    ] = 10
    attempts_per_network: Annotated[
        int,
        Field(
            ge=10,
            le=10_000,
            description="Wrong passwords in 15 minutes from one network; more where thousands share an address.",
        ),
    ] = 300
    hashing_threads: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_THREADS,
            description="Threads per worker that hash; as many as the processors and a container's quota allow, unless said.",
        ),
    ] = None
    hashing_queue: Annotated[
        int, Field(ge=1, le=10_000, description="Logins that may wait for hashing before the next gets 503.")
    ] = 64
    audit_days: Annotated[
        int,
        Field(ge=0, le=36_500, description="Days an event stays in the audit log, 0 for ever; as your rules ask."),
    ] = 365
    trusted_proxies: Annotated[
        Listed, Field(description="Addresses or networks of the proxies whose X-Forwarded-For is believed.")
    ] = ()
    allowed_origins: Annotated[
        Listed,
        Field(description="Origins whose pages may call the stand-alone server from a browser (CORS)."),
    ] = ()
    service_keys: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        Field(description="Secrets of other services that are told of revocations; for each service its own."),
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
            raise ConfigError("\n".join(str(refusal) for refusal in _explain(error))) from None
        for refusal in (*_unknown_names(os.environ), *weaknesses(self)):
            raise ConfigError(str(refusal))

    @field_validator(
        "master_keys", "service_keys", "context_words", "trusted_proxies", "allowed_origins", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def loopback(self) -> bool:
        """Whether the issuer is this machine alone, so that everything needed is made for the developer."""
        parts = web_address(self.issuer)
        return parts is not None and is_loopback(parts.hostname or "")

    @property
    def hashing_pool(self) -> int:
        """How many threads of this worker hash."""
        if self.hashing_threads is not None:
            return self.hashing_threads
        return processors.hashing_threads(_workers())

    def policy(self, argon2: Argon2Parameters = OWASP) -> Policy:
        """The rules for the lower floors."""
        return Policy(
            issuer=self.issuer,
            audience=self.issuer if self.audience is None else self.audience,
            loopback=self.loopback,
            signing_alg=self.signing_alg,
            access_ttl=timedelta(seconds=self.access_ttl),
            refresh_idle=timedelta(seconds=self.refresh_idle),
            refresh_absolute=timedelta(seconds=self.refresh_absolute),
            refresh_grace=timedelta(seconds=self.refresh_grace),
            key_rotation=timedelta(seconds=self.key_rotation),
            revocation_staleness=timedelta(seconds=self.revocation_staleness),
            drain=timedelta(seconds=self._drain_seconds()),
            registration=self.registration or ("open" if self.loopback else "closed"),
            password_min_length=self.password_min_length,
            context_words=(urlsplit(self.issuer).hostname or "", "watchword", *self.context_words),
            argon2=argon2,
            attempts_per_account=self.attempts_per_account,
            attempts_per_network=self.attempts_per_network,
            hashing_threads=self.hashing_pool,
            hashing_queue=self.hashing_queue,
            audit_kept=timedelta(days=self.audit_days) if self.audit_days else None,
            trusted_proxies=self.trusted_proxies,
            allowed_origins=self.allowed_origins,
            mails=self.mail_url is not None or self.loopback,
            confirms=self.mail_url is not None,
            links=self.issuer.rstrip("/"),
            service_keys=tuple(
                service_keys.strong(key.get_secret_value(), f"{PREFIX}SERVICE_KEYS") for key in self.service_keys
            ),
        )

    def _drain_seconds(self) -> int:
        if self.drain_seconds is not None:
            return self.drain_seconds
        return 0 if self.loopback else DRAIN_SECONDS

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
        for refusal in homeless(self):
            raise ConfigError(str(refusal))


class _Unrefused(Settings):
    """Settings as they are, for whoever looks at weak ones; never for a start."""

    def __init__(self, **values: Any) -> None:
        BaseSettings.__init__(self, **values)


def examine() -> tuple[Settings, tuple[Refusal, ...]]:
    """The settings of the environment, however weak, and every reason why a start with them is refused.

    A setting that can't be read stands at its default, so that the others are still looked at.
    """
    refusals = list(_unknown_names(os.environ))
    try:
        found: Settings = _Unrefused()
    except ValidationError as error:
        refusals += _explain(error)
        faulty = {str(fault["loc"][0]) for fault in error.errors()}
        found = _Unrefused(**{name: Settings.model_fields[name].default for name in faulty})
    return found, (*refusals, *weaknesses(found), *homeless(found))


def hand_on(name: str, value: str, *, default: bool = False) -> None:
    """Put a setting that the command line named where every worker process finds it; a `default` gives way."""
    if not default or not os.environ.get(name):
        os.environ[name] = value


def named_app() -> str | None:
    """Where the commands find the application's own Auth; read alone, for that Auth brings its own settings."""
    return os.environ.get(f"{PREFIX}APP") or None


def _workers() -> int:
    """How many workers there are on this machine, as far as the environment says: uvicorn and gunicorn read the same name."""
    said = os.environ.get("WEB_CONCURRENCY", "")
    return max(1, int(said)) if said.isdecimal() and said.isascii() else 1


def _unknown_names(names: Iterable[str]) -> Iterator[Refusal]:
    """A misspelt setting would be a rule that nobody keeps."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            yield _unknown(name, known)


def _unknown(name: str, known: Iterable[str]) -> Refusal:
    bare = [one.removeprefix(PREFIX) for one in known]
    nearest = difflib.get_close_matches(name.upper().removeprefix(PREFIX), bare, 1, cutoff=0.5)
    cure = f"Did you mean {PREFIX}{nearest[0]}?" if nearest else ""
    return Refusal("setting-unknown", name, f"{name} is not a setting.", cure)


def _explain(error: ValidationError) -> Iterator[Refusal]:
    """Each fault with its setting's name; the value is never repeated, it may be a secret."""
    for fault in error.errors():
        field = str(fault["loc"][0]) if fault["loc"] else ""
        name = PREFIX + field.upper()
        if fault["type"] == "extra_forbidden":
            yield _unknown(name, [PREFIX + known.upper() for known in Settings.model_fields])
            continue
        described = Settings.model_fields[field].description if field in Settings.model_fields else ""
        yield Refusal("setting-invalid", name, f"{name}: {fault['msg']}.", described or "")
