"""A plain model of the promises: what a deployment should hold, and what it should therefore answer.

It knows no database, no HTTP and no token format: accounts, sessions, generations, and the clock. Seconds are whole.
"""

from dataclasses import dataclass, field
from enum import Enum

GRACE = 30
ACCESS_TTL = 600
IDLE = 14 * 86_400
ABSOLUTE = 90 * 86_400
SKEW = 60
"""How far in the future a token may have been issued, since the clocks of two workers differ."""

EVERY = 2**53
"""A generation that no session reaches."""


@dataclass(frozen=True)
class Access:
    """An access token that a client holds."""

    text: str = field(repr=False)
    user_id: str
    session_id: str
    generation: int
    issued_at: int
    expires_at: int
    key: str


@dataclass
class Account:
    id: str
    password: str
    scopes: frozenset[str] = frozenset()
    disabled: bool = False


@dataclass
class Session:
    id: str
    user_id: str
    scopes: frozenset[str]
    follows: bool
    created_at: int
    generation: int = 0
    turned_at: int = field(init=False)
    idle_at: int = field(init=False)
    ends_at: int = field(init=False)
    closed: bool = False

    def __post_init__(self) -> None:
        self.turned_at = self.created_at
        self.idle_at = self.created_at + IDLE
        self.ends_at = self.created_at + ABSOLUTE

    def alive(self, now: int) -> bool:
        return not self.closed and now < self.idle_at and now < self.ends_at


class Answer(Enum):
    """What becomes of a refresh token that is presented. Each but the last two gives tokens of the present generation."""

    TURNED = "turned"
    REPEATED = "repeated"
    REWOUND = "rewound"
    REUSED = "reused"
    DEAD = "dead"

    @property
    def good(self) -> bool:
        return self not in (Answer.REUSED, Answer.DEAD)


@dataclass
class World:
    """What the database should hold. A copy of it is what a backup holds."""

    accounts: dict[str, Account] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)
    """For each session the highest generation whose access tokens are dead."""

    keys: frozenset[str] = frozenset()

    def account(self, user_id: str) -> Account | None:
        return next((account for account in self.accounts.values() if account.id == user_id), None)

    def accepts(self, access: Access, now: int) -> bool | None:
        """Whether a guarded route lets this token in. None: it may or may not, as it comes from a time after `now`."""
        revoked = access.generation <= self.revoked.get(access.session_id, -1)
        if revoked or now >= access.expires_at or access.key not in self.keys:
            return False
        return True if access.issued_at <= now + SKEW else None

    def living(self, now: int) -> dict[str, Session]:
        return {id_: session for id_, session in self.sessions.items() if session.alive(now)}

    def turn(self, session_id: str, generation: int, now: int) -> Answer:
        """Present the refresh token of this generation. DESIGN: Tokens."""
        session = self.sessions.get(session_id)
        if session is None or not session.alive(now):
            return Answer.DEAD
        if generation == session.generation - 1 and now - session.turned_at < GRACE:
            answer = Answer.REPEATED
        elif generation < session.generation:
            self.close(session_id)
            return Answer.REUSED
        else:
            answer = Answer.TURNED if generation == session.generation else Answer.REWOUND
            session.generation, session.turned_at = generation + 1, now
        session.idle_at = min(now + IDLE, session.ends_at)
        return answer

    def close(self, session_id: str) -> bool:
        """End a session with every access token made from it; whether it was open."""
        session = self.sessions.get(session_id)
        if session is None or session.closed:
            return False
        session.closed = True
        self.revoked[session_id] = EVERY
        return True

    def close_all(self, user_id: str, keep: str | None = None) -> None:
        for session in self.sessions.values():
            if session.user_id == user_id and session.id != keep:
                self.close(session.id)

    def set_scopes(self, account: Account, scopes: frozenset[str], now: int) -> None:
        """Live sessions follow; those that change lose their present access tokens, and not themselves."""
        account.scopes = scopes
        for session in self.living(now).values():
            new = scopes if session.follows else session.scopes & scopes
            if session.user_id == account.id and new != session.scopes:
                session.scopes = new
                self.revoked[session.id] = max(session.generation, self.revoked.get(session.id, -1))

    def remove(self, email: str) -> None:
        account = self.accounts.pop(email)
        self.close_all(account.id)
        self.sessions = {id_: one for id_, one in self.sessions.items() if one.user_id != account.id}
