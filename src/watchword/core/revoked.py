"""The set of revocations that a worker keeps in memory."""

import threading
from collections.abc import Iterable, Sequence

from watchword.core.models import Revoked


class RevokedSet:
    """For each session the highest revoked generation, and when the last token concerned has expired.

    Writers take turns; a reader needs no lock, because every step leaves the dict whole.
    """

    __slots__ = ("_sessions", "_writing")

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._sessions: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def covers(self, session_id: str, generation: int) -> bool:
        """Whether access tokens of this generation are dead."""
        revoked = self._sessions.get(session_id)
        return revoked is not None and generation <= revoked[0]

    def add(self, revoked: Revoked) -> bool:
        """Take a revocation in; whether it says anything new. Order does not matter, nor does repetition."""
        with self._writing:
            known = self._sessions.get(revoked.session_id, (-1, 0.0))
            merged = (max(known[0], revoked.generation), max(known[1], revoked.expires_at))
            self._sessions[revoked.session_id] = merged
        return merged[0] > known[0]

    def replace(self, revocations: Iterable[Revoked]) -> list[Revoked]:
        """Become exactly `revocations`; those that are new."""
        fresh = RevokedSet()
        for revoked in revocations:
            fresh.add(revoked)
        new = [
            Revoked(session_id, generation, expires_at)
            for session_id, (generation, expires_at) in fresh._sessions.items()
            if not self.covers(session_id, generation)
        ]
        with self._writing:
            self._sessions = fresh._sessions
        return new

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
