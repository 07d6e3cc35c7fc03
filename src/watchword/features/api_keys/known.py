"""What a worker remembers of API keys. Bounded: what was asked for first is forgotten first."""

import threading
from dataclasses import dataclass
from typing import Final

from watchword.core import revoked
from watchword.core.tokens import Access
from watchword.features.api_keys.rules import ApiKey

MAX = 10_000
"""Keys that are known, and as many that are known to be none."""

NEVER: Final = float("-inf")


@dataclass(slots=True)
class Known:
    """A key that was good when the database was asked. Both times are of the monotonic clock: when that was (NEVER: before its
    owner's rights changed, so it has to be asked for anew), and when its use was noted last."""

    key: ApiKey
    access: Access
    asked_at: float
    noted_at: float = NEVER


@dataclass(frozen=True, slots=True)
class Dead:
    """A key that will never be good (again): why, whether it was made up, and when that was asked."""

    because: str
    forged: bool
    asked_at: float


class Memory:
    """Known keys by their digests. Writers take turns; a reader needs no lock, because every step leaves the dicts whole."""

    def __init__(self) -> None:
        self.changes: int = 0
        """Counts what was heard of owners' rights. What was asked for before the last of it is not remembered."""
        self._writing = threading.Lock()
        self._known: dict[bytes, Known] = {}
        self._dead: dict[bytes, Dead] = {}
        self._owned: dict[str, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, digest: bytes) -> Known | None:
        """What is remembered of a key; whether it still holds is checked by the caller."""
        return self._known.get(digest)

    def dead(self, digest: bytes) -> Dead | None:
        """What is remembered of a key that is none."""
        return self._dead.get(digest)

    def put(self, digest: bytes, known: Known, since: int) -> None:
        """Remember a key, unless rights have changed `since` it was asked for: the answer may be from before."""
        with self._writing:
            if self.changes == since:
                self._forget(digest)
                self._known[digest] = known
                self._owned.setdefault(revoked.of_owner(known.key.owner_id), set()).add(digest)
                while len(self._known) > MAX:
                    self._forget(next(iter(self._known)))

    def bury(self, digest: bytes, dead: Dead) -> None:
        """Remember that this key is none."""
        with self._writing:
            self._forget(digest)
            self._dead.pop(digest, None)
            self._dead[digest] = dead
            while len(self._dead) > MAX:
                del self._dead[next(iter(self._dead))]

    def hear(self, name: str) -> None:
        """What the feed says, from any thread: nothing that is remembered of the keys of an owner whose rights have changed
        holds any more. That they are keys is not forgotten: whoever makes keys up keeps no real one from being asked for."""
        if not name.startswith(revoked.OWNER):
            return
        with self._writing:
            self.changes += 1
            for digest in self._owned.get(name, ()):
                self._known[digest].asked_at = NEVER

    def _forget(self, digest: bytes) -> None:
        known = self._known.pop(digest, None)
        if known is not None:
            name = revoked.of_owner(known.key.owner_id)
            self._owned[name].discard(digest)
            if not self._owned[name]:
                del self._owned[name]
