"""The audit log as arithmetic: what an event becomes, and how rows are chained and signed.

Each row's hash covers the hash before it, so a row can't be changed, removed or moved without all hashes behind it. The newest
checkpoint is signed over the last hash, so that they can't all be made anew either. Personal fields stand beside the chain: in
it is their salted hash alone, which tells nothing of them once the salt is gone.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from watchword.core import jose, sealing, strict_json
from watchword.core.clock import Entropy
from watchword.core.errors import InvalidToken
from watchword.core.events import Event
from watchword.core.jose import KeySet, SigningKey
from watchword.core.keys import KeyRing
from watchword.core.models import Client
from watchword.core.policy import LEEWAY

TYP = "audit-checkpoint+jwt"
HEADER = frozenset({"alg", "kid", "typ"})
CLAIMS = frozenset({"position", "hash", "begins", "because", "made_at"})

IN_THE_OPEN = frozenset(
    {
        "session_id", "generation", "because", "kid", "alg", "signs_from", "keys", "sessions", "deletes_at", "key_id",
        "successor_id", "account_id", "by", "role", "mail_id", "kind",
    }
)  # fmt: skip
"""The fields of events that stand in the chain in plain text. Every other one is taken for personal, a new one too: what was
chained can't be taken back."""

MAX_ID, MAX_USER_AGENT = 64, 256
SALT = 32
"""Bytes. Without it nobody can try out which address was hashed."""

LATE = timedelta(days=1)
"""How far the time of a row may be off the time at which it is sealed: workers' clocks differ, and a row may wait."""

KEPT_EVERY = timedelta(minutes=10)
"""The last checkpoint of each such spell is kept, so that a forgery is found to that much; the others give way to the next."""

BEGUN, RETENTION, BROKEN = BECAUSE = ("begun", "retention", "broken")
"""Why a chain begins where it does: with its first row; behind rows whose time was over; or behind what did not agree with the
checkpoint before it, so that nobody can have it signed anew."""

_compact = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class Link(NamedTuple):
    """A place in the chain: a position, and the hash of the row that stands there."""

    position: int
    hash: bytes


BEGINNING: Link = Link(0, bytes(32))
"""In front of the first row."""


class Row(NamedTuple):
    """An event as it is kept. `facts` and `personal` are JSON objects; what is personal may have been erased with its salt.

    `number` is given as it is inserted; `position` (1 and up, without a gap) and `hash` as it is sealed.
    """

    at: datetime
    kind: str
    user_id: str | None
    facts: str
    personal: str | None = None
    salt: bytes | None = None
    personal_hash: bytes | None = None
    number: int = 0
    position: int = 0
    hash: bytes = b""

    @property
    def erased(self) -> bool:
        """Whether its personal fields are gone."""
        return self.personal is None and self.personal_hash is not None


class Checkpoint(NamedTuple):
    """A signature over the chain up to a position; `signed` is the compact JWS, which says it all."""

    position: int
    hash: bytes
    made_at: datetime
    kid: str
    signed: str


class Claims(NamedTuple):
    """What a checkpoint proves: the chain from behind `begins` to `head` was as it is; and why it begins there."""

    head: Link
    begins: Link
    because: str
    made_at: datetime


class Tail(NamedTuple):
    """Where the chain ends: its last row, and its newest checkpoint; and the hash at a position that was asked for."""

    last: Link | None = None
    newest: Checkpoint | None = None
    known: bytes | None = None


class Batch(NamedTuple):
    """Rows with their places in the chain, the checkpoint over them, and the position of the one that it replaces."""

    rows: Sequence[Row] = ()
    checkpoint: Checkpoint | None = None
    replaces: int | None = None
    broken: bool = False
    """Whether what was there did not agree with the newest checkpoint, or with what the sealer knew of it."""

    head: Link | None = None
    """Where the chain ends then, where a checkpoint says so."""


class Extent(NamedTuple):
    """How much there is: the positions of the first and the last row (0 for none), and how many rows are not sealed yet."""

    first: int
    last: int
    unsealed: int
    newest: Checkpoint | None


def row(event: Event, client: Client, at: datetime, entropy: Entropy) -> Row:
    """What is kept of an event, and of where the request came from."""
    facts: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    kind: Any = type(event)
    for name in _names(kind):
        if name != "user_id":
            (facts if name in IN_THE_OPEN else personal)[name] = _plain(getattr(event, name))
    if client.ip is not None:
        personal["ip"] = client.ip
    if client.user_agent is not None:
        personal["user_agent"] = client.user_agent[:MAX_USER_AGENT]
    user_id = None if event.user_id is None else _writable(event.user_id)
    bare = Row(at.astimezone(UTC), _writable(kind.__name__), user_id, _compact(facts))
    if not personal:
        return bare
    salt, text = entropy(SALT), _compact(personal)
    return bare._replace(personal=text, salt=salt, personal_hash=blinded(salt, text))


def blinded(salt: bytes, personal: str) -> bytes:
    """What the chain keeps of personal fields: SHA-256 of the salt, and their JSON behind it."""
    return hashlib.sha256(salt + personal.encode()).digest()


def canonical(one: Row) -> bytes:
    """The bytes of a row that are chained: a JSON array, in ASCII and without spaces."""
    blind = one.personal_hash
    at = one.at.isoformat(timespec="microseconds")
    hashed = None if blind is None else blind.hex()
    return _compact([one.number, at, one.kind, one.user_id, one.facts, hashed]).encode()


def chained(before: bytes, one: Row) -> bytes:
    """The hash of a row that follows the one with the hash `before`: SHA-256 of both."""
    return hashlib.sha256(before + canonical(one)).digest()


def seal(
    tail: Tail, rows: Sequence[Row], ring: KeyRing, now: datetime, *, old: Link | None = None, seen: Link | None = None
) -> Batch:
    """The next rows of the chain, with a checkpoint over all of it. Raises Unavailable where no key can sign.

    A checkpoint is made where there are rows, where the chain is to begin later (behind `old`), and where the newest one was
    signed with another key than signs now. Where what is stored does not agree with the newest checkpoint, the chain goes on
    and is proved from there on: nobody gets a changed past signed. Just so where it does not reach to `seen`, an end that the
    sealer remembers, or is another chain there (`tail.known`): older checkpoints are good ones too, and fit a log whose end
    was cut off.
    """
    found = None if seen is not None and _rewound(tail, seen) else _continued(tail, keys(ring, now))
    last, begins, because = found or _anew(tail, seen)
    broken = because == BROKEN and found is None
    if old is not None and found is not None and begins.position < old.position <= last.position:
        begins, because = old, RETENTION
    if broken:
        rows = _of_now_first(rows, now)
    placed = []
    for one in rows:
        last = Link(last.position + 1, chained(last.hash, one))
        placed.append(one._replace(position=last.position, hash=last.hash))
    key, newest = ring.signer(now), tail.newest
    if not placed and (newest is None or broken or (found == (last, begins, because) and newest.kid == key.kid)):
        return Batch(broken=broken, head=None if newest is None or broken else last)
    made = sign(key, Claims(last, begins, because, now))
    gives_way = newest is not None and not broken and (not placed or _spell(newest.made_at) == _spell(now))
    return Batch(placed, made, newest.position if newest is not None and gives_way else None, broken, last)


def sign(key: SigningKey, claims: Claims) -> Checkpoint:
    """The checkpoint that says so, signed with a key of access tokens (under a symmetric one, with a key derived from it)."""
    said = {
        "position": claims.head.position,
        "hash": claims.head.hash.hex(),
        "begins": [claims.begins.position, claims.begins.hash.hex()],
        "because": claims.because,
        "made_at": claims.made_at.isoformat(),
    }
    return Checkpoint(*claims.head, claims.made_at, key.kid, jose.sign(_own(key), TYP, strict_json.dumps(said)))


def read(checkpoint: Checkpoint, known: KeySet) -> Claims:
    """What a checkpoint says. Raises UnknownKey, and InvalidToken where it is not what one of these keys has signed."""
    verified = jose.verify(checkpoint.signed, known)
    if verified.header.keys() != HEADER or verified.header["typ"] != TYP or verified.kid != checkpoint.kid:
        raise InvalidToken("it is no checkpoint, or names another key")
    said = strict_json.loads(verified.payload, "checkpoint")
    try:
        assert_is = said.keys() == CLAIMS and said["because"] in BECAUSE
        head = Link(int(said["position"]), bytes.fromhex(said["hash"]))
        begins = Link(int(said["begins"][0]), bytes.fromhex(said["begins"][1]))
        made_at = datetime.fromisoformat(said["made_at"])
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InvalidToken("its claims are not those of a checkpoint") from error
    if not assert_is or head != (checkpoint.position, checkpoint.hash) or made_at != checkpoint.made_at:
        raise InvalidToken("what stands beside it is not what was signed")
    return Claims(head, begins, said["because"], made_at)


def keys(ring: KeyRing, now: datetime) -> KeySet:
    """The keys whose checkpoints are believed: all that this deployment has, less those that were retired.

    Somebody may have stolen such a key. For a moment it still tells where to go on from.
    """
    believed = [one for one in ring.records if one.retired_at is None or now < one.retired_at + LEEWAY]
    return KeySet(_own(ring.private[one.kid]).verifying() for one in believed)


def _continued(tail: Tail, known: KeySet) -> tuple[Link, Link, str] | None:
    """Where a chain goes on that is as its newest checkpoint says: its head, where it begins, and why."""
    if tail.newest is None:
        return (BEGINNING, BEGINNING, BEGUN) if tail.last is None else None
    try:
        claims = read(tail.newest, known)
    except InvalidToken:
        return None
    whole = claims.begins if tail.last is None else tail.last  # all may have been old
    return (claims.head, claims.begins, claims.because) if whole == claims.head else None


def _rewound(tail: Tail, seen: Link) -> bool:
    """Whether this is not the chain any more whose end was `seen`."""
    if tail.newest is None or tail.newest.position < seen.position:
        return True
    there = tail.newest.hash if tail.newest.position == seen.position else tail.known
    return there is not None and there != seen.hash


def _anew(tail: Tail, seen: Link | None) -> tuple[Link, Link, str]:
    """Where a chain goes on that is not as it should be: no position is given twice."""
    last = tail.last or BEGINNING
    signed = 0 if tail.newest is None else tail.newest.position
    there = Link(max(last.position, signed, 0 if seen is None else seen.position), last.hash)
    return there, there, BROKEN


def _of_now_first(rows: Sequence[Row], now: datetime) -> Sequence[Row]:
    """Rows that may begin a chain anew; none where no row of about now is among them.

    What stands before is kept until the first of them is old. So that must be no row to which somebody gave an old time.
    """
    of_now = [one for one in rows if abs(one.at - now) <= LATE]
    return [*of_now, *(one for one in rows if abs(one.at - now) > LATE)] if of_now else []


def _own(key: SigningKey) -> SigningKey:
    """A mac of ours must be no mac of an access token, whatever its text says."""
    if not key.verifying().symmetric:
        return key
    return SigningKey(key.kid, key.alg, sealing.derive(key.private_bytes(), "audit"))


@lru_cache
def _names(kind: type[Event]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _writable(text: str) -> str:
    """A text as any database takes it: lone surrogates are no UTF-8, and PostgreSQL has no NUL. JSON escapes both itself."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:MAX_ID]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Iterable):
        return sorted(str(one) for one in value)
    return str(value)


def _spell(at: datetime) -> int:
    return int(at.timestamp() // KEPT_EVERY.total_seconds())
