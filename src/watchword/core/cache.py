"""The bounded memory of verified access tokens, keyed by their exact text."""

from watchword.core.tokens import Access

MAX_ENTRIES = 50_000
MAX_BYTES = 64 * 1024 * 1024
OVERHEAD = 4
"""An entry's parsed claims take a few times the bytes of its token's text."""


class AccessCache:
    """Only verified tokens enter. When full, the oldest entry leaves."""

    __slots__ = ("_bytes", "_entries", "max_bytes", "max_entries")

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self.max_entries: int = max_entries
        self.max_bytes: int = max_bytes
        self._entries: dict[str, Access] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: str) -> Access | None:
        """The access that this very text stood for; whether it still holds is checked by the caller."""
        return self._entries.get(token)

    def put(self, token: str, access: Access) -> None:
        """Remember a verified token."""
        self.drop(token)
        self._entries[token] = access
        self._bytes += len(token) * OVERHEAD
        while len(self._entries) > self.max_entries or self._bytes > self.max_bytes:
            self.drop(next(iter(self._entries)))

    def drop(self, token: str) -> None:
        """Forget a token that is refused now."""
        if self._entries.pop(token, None) is not None:
            self._bytes -= len(token) * OVERHEAD
