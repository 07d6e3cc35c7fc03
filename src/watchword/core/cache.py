"""The bounded memory of verified access tokens, known by their exact text."""

from watchword.core.tokens import Access

MAX_ENTRIES = 50_000
MAX_BYTES = 64 * 1024 * 1024
OVERHEAD = 4
"""An entry's parsed claims take a few times the bytes of its token's text."""

SCHEME = b"Bearer "
"""What stands before a token in an Authorization header. RFC 6750 2.1."""

END = 43
"""Characters at the end of a token by which it is found, before the whole is compared: 256 bits of its signature, which no two
verified tokens share by chance. A hash of the whole would take longer than the rest of a look."""


class AccessCache:
    """Only verified tokens enter. When full, the oldest entry leaves."""

    __slots__ = ("_bytes", "entries", "max_bytes", "max_entries")

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self.max_entries: int = max_entries
        self.max_bytes: int = max_bytes
        self.entries: dict[bytes, tuple[bytes, Access]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, token: str) -> Access | None:
        """The access that this very text stood for; whether it still holds is checked by the caller."""
        return self.presented(_credentials(token))

    def presented(self, credentials: bytes) -> Access | None:
        """The same for the value of an Authorization header, as it came. None for another spelling of the scheme."""
        entry = self.entries.get(credentials[-END:])
        return entry[1] if entry is not None and entry[0] == credentials else None

    def put(self, token: str, access: Access) -> None:
        """Remember a verified token."""
        credentials = _credentials(token)
        end = credentials[-END:]
        self._forget(end)
        self.entries[end] = (credentials, access)
        self._bytes += _cost(credentials)
        while len(self.entries) > self.max_entries or self._bytes > self.max_bytes:
            self._forget(next(iter(self.entries)))

    def drop(self, token: str) -> None:
        """Forget a token that is refused now."""
        credentials = _credentials(token)
        if self.presented(credentials) is not None:
            self._forget(credentials[-END:])

    def _forget(self, end: bytes) -> None:
        entry = self.entries.pop(end, None)
        if entry is not None:
            self._bytes -= _cost(entry[0])


def _credentials(token: str) -> bytes:
    return SCHEME + token.encode("utf-8", "surrogatepass")


def _cost(credentials: bytes) -> int:
    return (len(credentials) - len(SCHEME)) * OVERHEAD
