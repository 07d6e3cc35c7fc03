"""What every flow is handed: the stores behind their ports, time, chance, and the rules. Built by `auth.py`."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from watchword.core import opaque
from watchword.core.cache import AccessCache
from watchword.core.clock import Clock, Entropy
from watchword.core.models import Account, Revoked, Session
from watchword.core.policy import Policy
from watchword.core.tally import Tally
from watchword.flows.handlers import Handlers

if TYPE_CHECKING:
    from watchword.core.events import Event
    from watchword.flows.hashing import HashingPool
    from watchword.flows.keyring import Keyring
    from watchword.ports import Keys, Revocations, Scratch, Sessions, Users

logger: logging.Logger = logging.getLogger("watchword.audit")

ClaimsHook = Callable[[Session], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Gives the host's own claims for the access tokens of a session."""


@dataclass(frozen=True, slots=True)
class Kit:
    """One worker's tools. `hosts_users` says that the accounts are the host's, who may change them without a word."""

    policy: Policy
    clock: Clock
    entropy: Entropy
    users: "Users[Account]"
    sessions: "Sessions"
    keys: "Keys"
    revocations: "Revocations"
    scratch: "Scratch"
    keyring: "Keyring"
    hashing: "HashingPool"
    cache: AccessCache = field(default_factory=AccessCache)
    tally: Tally = field(default_factory=Tally)
    handlers: Handlers = field(default_factory=Handlers)
    claims: ClaimsHook | None = None
    hosts_users: bool = False

    def new_id(self) -> str:
        """An id that was never given before: 128 random bits."""
        return opaque.identifier(self.entropy(16))

    def announce(self, event: "Event", revoked: Iterable[Revoked] = ()) -> None:
        """A fact after the commit: this worker heeds the revocations at once, the audit log gets a line, handlers hear."""
        self.revocations.apply(revoked)
        logger.info("%r", event)
        self.handlers.tell(event)
