"""The set of revocations that a worker keeps in memory."""

import hashlib
import threading
from collections.abc import Iterable, Sequence

from watchword.core import opaque
from watchword.core.models import Revoked


class RevokedSet:
    """For each session the highest revoked generation, and when the last token concerned has expired.

    Writers take turns; a reader needs no lock, because every step leaves the dict whole.
    """

    __slots__ = ("_noted", "_sessions", "_writing")

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._sessions: dict[str, tuple[int, float]] = {}
        self._noted: list[Revoked] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def covers(self, session_id: str, generation: int) -> bool:
        """Whether access tokens of this generation are dead."""
        revoked = self._sessions.get(session_id)
        return revoked is not None and generation <= revoked[0]

    def add(self, revoked: Revoked) -> bool:
        """Take a revocation in; whether it says anything new. Order does not matter, nor does repetition."""
        with self._writing:
            if self._noted is not None:
                self._noted.append(revoked)
            return _merge(self._sessions, revoked)

    def note(self) -> None:
        """What is added from now on stays through the next `replace`: the list that it is given is read meanwhile, and may not
        have it yet."""
        with self._writing:
            self._noted = []

    def replace(self, revocations: Iterable[Revoked]) -> list[Revoked]:
        """Become exactly `revocations`, with what was added since `note`; those that are new."""
        sessions: dict[str, tuple[int, float]] = {}
        for revoked in revocations:
            _merge(sessions, revoked)
        with self._writing:
            for revoked in self._noted or ():
                _merge(sessions, revoked)
            known, self._sessions, self._noted = self._sessions, sessions, None
        return [
            Revoked(session_id, generation, expires_at)
            for session_id, (generation, expires_at) in sessions.copy().items()
            if known.get(session_id, (-1, 0.0))[0] < generation
        ]

    def live(self, timestamp: float) -> Sequence[Revoked]:
        """What a living token could still meet, in an order that depends on nothing but the content."""
        return [
            Revoked(session_id, generation, expires_at)
            for session_id, (generation, expires_at) in sorted(self._sessions.copy().items())
            if expires_at > timestamp
        ]

    def forget(self, timestamp: float) -> None:
        """Drop what no living token can meet any more."""
        with self._writing:
            self._sessions = {sid: entry for sid, entry in self._sessions.items() if entry[1] > timestamp}


OWNER = "owner-"
"""No session's id begins so."""


def of_owner(owner_id: str) -> str:
    """The name under which the feed tells, as of a session, that an owner's rights have changed: what is remembered of them is
    to be asked anew. An id of the host's may have any characters; this is one that every feed carries."""
    return OWNER + opaque.identifier(hashlib.sha256(owner_id.encode("utf-8", "surrogatepass")).digest()[:16])


def _merge(sessions: dict[str, tuple[int, float]], revoked: Revoked) -> bool:
    """Take one in; whether it says anything new."""
    known = sessions.get(revoked.session_id, (-1, 0.0))
    sessions[revoked.session_id] = (max(known[0], revoked.generation), max(known[1], revoked.expires_at))
    return revoked.generation > known[0]
