"""What every flow is handed: the stores behind their ports, time, chance, and the rules. Built by `auth.py`."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watchword.core import opaque
from watchword.core.cache import AccessCache
from watchword.core.clock import Clock, Entropy
from watchword.core.models import Revoked
from watchword.core.policy import Policy

if TYPE_CHECKING:
    from watchword.core.events import Event
    from watchword.flows.hashing import HashingPool
    from watchword.flows.keyring import Keyring
    from watchword.ports import Keys, Revocations, Sessions, Users

logger = logging.getLogger("watchword.audit")


@dataclass(frozen=True, slots=True)
class Kit:
    """One worker's tools."""

    policy: Policy
    clock: Clock
    entropy: Entropy
    users: "Users"
    sessions: "Sessions"
    keys: "Keys"
    revocations: "Revocations"
    keyring: "Keyring"
    hashing: "HashingPool"
    cache: AccessCache = field(default_factory=AccessCache)

    def new_id(self) -> str:
        """An id that was never given before: 128 random bits."""
        return opaque.identifier(self.entropy(16))

    def announce(self, event: "Event", revoked: Iterable[Revoked] = ()) -> None:
        """A fact after the commit: this worker heeds the revocations at once, and the audit log gets a line."""
        self.revocations.apply(revoked)
        logger.info("%r", event)
