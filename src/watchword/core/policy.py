"""What the lower floors know of the settings: frozen, checked, and without a way back to the environment."""

from dataclasses import dataclass, field
from datetime import timedelta

from watchword.core import passwords

MAX_ACCESS_TTL = timedelta(hours=1)
LEEWAY = timedelta(seconds=60)
"""How far the clocks of two workers may differ."""

MAX_SESSIONS = 100
"""How many live sessions a user may have. The login that would make one more ends the one that was used longest ago."""

CLOCK_JUMP = MAX_ACCESS_TTL
"""How far a clock may be ahead for a while: what it takes for dead is remembered that much longer, and lives not again.

At least as long as any access token lives: a restored database does not know until when those live that it has forgotten."""

REMEMBERED = timedelta(minutes=10)
"""How long a worker goes by what the database said of a token that is no JWT, where the feed tells of no change."""

JWKS_MAX_AGE = timedelta(seconds=300)
"""How long others may keep the published keys; a key is published twice as long before it signs."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of this deployment. The defaults are those of `Settings`."""

    issuer: str = "http://localhost:8000"
    audience: str = "http://localhost:8000"
    client_id: str = "first-party"
    loopback: bool = True
    signing_alg: str = "ES256"
    access_ttl: timedelta = timedelta(minutes=10)
    refresh_idle: timedelta = timedelta(days=14)
    refresh_absolute: timedelta = timedelta(days=90)
    refresh_grace: timedelta = timedelta(seconds=30)
    key_rotation: timedelta = timedelta(days=30)
    revocation_staleness: timedelta = timedelta(seconds=2)
    drain: timedelta = timedelta(0)
    registration: str = "open"
    password_min_length: int = 15
    context_words: tuple[str, ...] = ("watchword",)
    argon2: passwords.Argon2Parameters = passwords.OWASP
    attempts_per_account: int = 10
    attempts_per_network: int = 300
    hashing_threads: int = 1
    hashing_queue: int = 64
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    mails: bool = True
    """Whether mails go anywhere: over SMTP, or on a loopback issuer into a folder."""

    confirms: bool = False
    """Whether a registration counts only after the link in its mail came back: where a mail server was configured."""

    deletion_grace: timedelta = timedelta(0)
    """How long an account can still be kept after its owner asked for its deletion."""

    links: str = ""
    """Where mailed links begin: the issuer, and the prefix that the routes are below."""

    audit_kept: timedelta | None = timedelta(days=365)
    """How long events stay in the audit log; None for ever."""

    service_keys: tuple[bytes, ...] = field(default=(), repr=False)
    """The digests that service keys are known by; without any, no other service is told of revocations."""

    @property
    def transport_secured(self) -> bool:
        """Whether browsers may be told to use https alone. Never on localhost: its other ports are other people's work."""
        return self.issuer.startswith("https:") and not self.loopback
