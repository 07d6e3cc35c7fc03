"""The values that the floors hand to one another. All are immutable."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, NoReturn, Protocol

from typing_extensions import TypeVar

_Refusal = Callable[..., NoReturn]

ATOMS = str, int, float
"""What nearly all values are, and what needs no look inside."""


class FrozenDict(dict[str, Any]):
    """A dict that can't be changed, and neither can what it holds: lists become tuples, dicts FrozenDicts.

    It is a dict, so that every serialiser takes it.
    """

    __slots__ = ()

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        given = items if isinstance(items, dict) else dict(items)
        super().__init__({name: value if isinstance(value, ATOMS) else freeze(value) for name, value in given.items()})

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a FrozenDict can't be changed")

    __setitem__: _Refusal = _refuse
    __delitem__: _Refusal = _refuse
    __ior__: _Refusal = _refuse
    clear: _Refusal = _refuse
    pop: _Refusal = _refuse
    popitem: _Refusal = _refuse
    setdefault: _Refusal = _refuse
    update: _Refusal = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> "FrozenDict":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenDict":
        return self

    def __reduce__(self) -> tuple[type["FrozenDict"], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


def freeze(value: Any) -> Any:
    """`value` with every list and dict in it made immutable."""
    if isinstance(value, Mapping):
        return value if isinstance(value, FrozenDict) else FrozenDict(value)
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


SERVICE_ACCOUNT: Final = "service_account"
"""What the claim `owner` says of a principal for which nobody has signed in, and whose `user_id` is no user's: some user of a
host that chooses ids may have the same."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes this request, as the access token says it. Deeply immutable.

    `methods` are the `amr` values (RFC 8176); `auth_time` is in seconds since the epoch (OpenID Connect Core 2), and 0 where
    nobody has signed in, as with an API key; `claims` is the token's whole payload.
    """

    user_id: str
    session_id: str
    scopes: frozenset[str]
    methods: frozenset[str]
    auth_time: int
    claims: Mapping[str, Any] = field(repr=False, hash=False)


class Account(Protocol):
    """What the house reads of an account, whichever class it is: `User`, or that of a host with users of its own.

    `id` has at most 64 characters and is never given again. `epoch` rises with every act that ends all sessions.
    """

    @property
    def id(self) -> str: ...

    @property
    def email(self) -> str: ...

    @property
    def username(self) -> str | None: ...

    @property
    def scopes(self) -> frozenset[str]: ...

    @property
    def created_at(self) -> datetime: ...

    @property
    def disabled(self) -> bool: ...

    @property
    def epoch(self) -> int: ...


@dataclass(frozen=True, slots=True)
class User:
    """An account. `epoch` rises with every act that ends all its sessions (disable, password change).

    `email_verified_at` is when a link that was mailed to the present address came back, `language` what the owner chose for
    mails, `profile` what the application lets its owner keep. `deletes_at` says that the owner wants it deleted then.
    """

    id: str
    email: str
    username: str | None
    scopes: frozenset[str]
    created_at: datetime
    disabled_at: datetime | None
    epoch: int
    email_verified_at: datetime | None = None
    language: str | None = None
    profile: Mapping[str, Any] = field(default_factory=FrozenDict)
    deletes_at: datetime | None = None

    @property
    def disabled(self) -> bool:
        return self.disabled_at is not None


U = TypeVar("U", bound=Account, default=User)
U_co = TypeVar("U_co", bound=Account, default=User, covariant=True)


@dataclass(frozen=True, slots=True)
class Credentials(Generic[U_co]):
    """A user with the stored password hash (a PHC string), for the flow that proves a password."""

    user: U_co
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """Somebody has shown who they are. Every way in ends in one, and only `flows/session` turns it into tokens.

    `user` is as it was read for the proof: its `epoch` must still hold when the session opens.
    """

    user: Account
    methods: frozenset[str]
    auth_time: datetime


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from: the user agent's text and the address, each `None` when unknown; and the languages that it
    would like to be answered in (Accept-Language, RFC 9110 12.5.4)."""

    user_agent: str | None = None
    ip: str | None = None
    languages: str = ""

    @property
    def network(self) -> str:
        """Whose attempts are counted together: an IPv4 address, or the /64 that one customer is given of IPv6. RFC 6177 2."""
        if self.ip is None or ":" not in self.ip:
            return self.ip or ""
        return str(ipaddress.ip_network((self.ip, 64), strict=False))


NOWHERE: Client = Client()
"""For whoever calls a flow without a request: a script, a test."""


@dataclass(frozen=True, slots=True)
class Session:
    """A login on one device, with its refresh token family. Times are aware, in UTC.

    `generation` counts the refreshes. `scopes` is what the session may have now; `follows_user` says that it was opened
    without asking for scopes, so it gets whatever its user is granted.
    """

    id: str
    user_id: str
    generation: int
    scopes: frozenset[str]
    follows_user: bool
    methods: frozenset[str]
    auth_time: datetime
    client_id: str
    created_at: datetime
    used_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    access_expires_at: datetime
    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """Access tokens of `session_id` with `gen` ≤ `generation` are dead. Kept until `expires_at` (epoch seconds).

    `user_id` is whose session was ended, for whoever ended it; the feed does not tell.
    """

    session_id: str
    generation: int
    expires_at: float
    user_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login or a refresh hands out. `expires_in` is the access token's lifetime in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scopes: frozenset[str]
