"""What every flow is handed: the stores behind their ports, time, chance, and the rules. Built by `auth.py`.

`Checking` is the part of it that tells a good token from a bad one, which a service that only verifies has too."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from watchword.core import opaque
from watchword.core.cache import AccessCache
from watchword.core.clock import Clock, Entropy
from watchword.core.errors import ConfigError
from watchword.core.keys import VerifyingRing
from watchword.core.models import NOWHERE, Account, Client, Revoked, Session
from watchword.core.policy import Policy
from watchword.core.tally import Tally
from watchword.flows.annex import Annex, Way
from watchword.flows.handlers import Handlers

if TYPE_CHECKING:
    from watchword.core.events import Event
    from watchword.flows.hashing import HashingPool
    from watchword.flows.keyring import Keyring
    from watchword.flows.post import Post
    from watchword.flows.recording import Recorder
    from watchword.ports import (
        Accounts,
        Audit,
        Change,
        Keys,
        Mailer,
        Outbox,
        Revocations,
        Roles,
        Scratch,
        Sessions,
        Users,
    )

logger: logging.Logger = logging.getLogger("watchword.audit")

ClaimsHook = Callable[[Session], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Gives the host's own claims for the access tokens of a session."""


class KnownKeys(Protocol):
    """The keys that verify here, and how to hear of others."""

    @property
    def ring(self) -> VerifyingRing: ...

    @property
    def stale(self) -> bool:
        """Whether news were heard that are not loaded yet."""

    async def follow(self, *, heard: bool) -> None:
        """Heed what the feed said of the keys; where it is silent (not `heard`), look for oneself now and then."""

    async def look_again(self) -> bool:
        """Load the keys anew; False, without a look, within the cool-down."""

    async def reload(self) -> None:
        """Load the keys anew."""

    def alive(self, kid: str, timestamp: float) -> bool:
        """Whether this key still verifies at `timestamp` (seconds since the epoch)."""


class KnownRevocations(Protocol):
    """Which access tokens are dead before their time; a part of `ports.Revocations`, word for word."""

    def fresh(self) -> bool: ...

    def covers(self, session_id: str, generation: int) -> bool: ...

    async def ask(self, session_id: str, generation: int) -> bool: ...

    def watch(self, listener: "Callable[[Change], None]") -> Callable[[], None]: ...


class Checking(Protocol):
    """What the decision about a token needs. A `Kit` has it, and so has a service that only verifies."""

    @property
    def policy(self) -> Policy: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def keyring(self) -> KnownKeys: ...

    @property
    def revocations(self) -> KnownRevocations: ...

    @property
    def cache(self) -> AccessCache: ...

    @property
    def ways(self) -> Mapping[str, Way]:
        """Who knows the bearer tokens that are no JWT, by their first characters."""


@dataclass(frozen=True, slots=True)
class VerifyingKit:
    """The tools of a service that only verifies: no accounts, no database, nothing that signs."""

    policy: Policy
    clock: Clock
    keyring: KnownKeys
    revocations: KnownRevocations
    cache: AccessCache = field(default_factory=AccessCache)
    ways: Mapping[str, Way] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kit:
    """One worker's tools. `hosts_users` says that the accounts are the host's, who may change them without a word.

    `accounts` is None where a host's table does not have it, `mailer` where no mail goes anywhere.
    """

    policy: Policy
    clock: Clock
    entropy: Entropy
    users: "Users[Account]"
    sessions: "Sessions"
    keys: "Keys"
    revocations: "Revocations"
    scratch: "Scratch"
    roles: "Roles"
    outbox: "Outbox"
    post: "Post"
    keyring: "Keyring"
    hashing: "HashingPool"
    audit: "Audit"
    recorder: "Recorder"
    cache: AccessCache = field(default_factory=AccessCache)
    tally: Tally = field(default_factory=Tally)
    handlers: Handlers = field(default_factory=Handlers)
    claims: ClaimsHook | None = None
    hosts_users: bool = False
    accounts: "Accounts | None" = None
    mailer: "Mailer | None" = None
    annexes: dict[str, Annex] = field(default_factory=dict)
    ways: dict[str, Way] = field(default_factory=dict)

    def add(self, name: str, annex: Annex) -> None:
        """A feature's part of the house. Raises ConfigError for a name, or the beginning of a token, that another has."""
        taken = [name] if name in self.annexes else [prefix for prefix in annex.ways if prefix in self.ways]
        if taken:
            raise ConfigError(f"Auth(features=[…]): two features have {taken[0]!r}. Leave one of them out.")
        self.annexes[name] = annex
        self.ways.update(annex.ways)

    def new_id(self) -> str:
        """An id that was never given before: 128 random bits."""
        return opaque.identifier(self.entropy(16))

    def announce(self, event: "Event", revoked: Iterable[Revoked] = (), client: Client = NOWHERE) -> None:
        """A fact after the commit: this worker heeds the revocations at once, the log gets a line, the audit log a row (which
        says where the request came from), handlers hear."""
        self.revocations.apply(revoked)
        for annex in self.annexes.values():
            annex.hear(event)
        logger.info("%r", event)
        self.recorder.note(event, client)
        self.handlers.tell(event)
