"""The sockets between the floors. Each verb is one transaction; its race is part of its contract.

Stores *answer* (`Turn.REUSED`), flows raise after the commit. Every verb may raise `errors.Unavailable` when the store
can't be reached; then nothing was changed, or (a connection that breaks during COMMIT) the caller may safely try again.
`watchword.testing.contracts` holds the suites that every adapter passes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol, TypedDict, runtime_checkable

from watchword.core.audit import Batch, Checkpoint, Extent, Row, Tail
from watchword.core.keys import KeyRecord
from watchword.core.mail import Mail, Queued
from watchword.core.models import Credentials, Revoked, Session, U_co
from watchword.core.opaque import Presented
from watchword.core.published import Metadata, PublishedKeys
from watchword.core.roles import Holding, Role


class Added(Enum):
    """What became of a new user."""

    ADDED = "added"
    EMAIL_TAKEN = "email_taken"
    USERNAME_TAKEN = "username_taken"


class Ending(Enum):
    """Which sessions end with a change of password."""

    NONE = "none"
    """A rehash: the password is the same, and so is the epoch."""

    OTHERS = "others"
    ALL = "all"


class Turn(Enum):
    """How a presented refresh token stands to its session. DESIGN: Tokens."""

    TURNED = "turned"
    """It was the current generation; its successor is now."""

    REPEATED = "repeated"
    """It was the one before, within the grace: the same successor again."""

    REUSED = "reused"
    """It was older, or its grace was over: the session is closed."""

    REWOUND = "rewound"
    """It was newer than the database knew: commits were lost, and the session was moved forward."""

    UNKNOWN = "unknown"
    """There is no live session for it."""


@dataclass(frozen=True, slots=True)
class Turned:
    """The answer of `Sessions.turn`: `session` is as it now stands, and None for UNKNOWN and REUSED."""

    answer: Turn
    session: Session | None = None
    revoked: tuple[Revoked, ...] = ()


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be made. `email` and `username` are as somebody typed them; the store canonicalises.

    `id` is the account's, unless a host's table makes ids of its own.
    """

    id: str
    email: str
    username: str | None
    password_hash: str | None = field(repr=False)
    scopes: frozenset[str]
    created_at: datetime
    disabled_at: datetime | None = None
    email_verified_at: datetime | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class KeysChanged:
    """A signing key was published or retired, or all were sealed anew: load the keys anew."""


Change = Revoked | KeysChanged


class Users(Protocol[U_co]):
    """Accounts, in our table or in the host's. Addresses and usernames are canonical (core/emails) and unique.

    The verbs that take something away end sessions in the transaction that changes the account, after the change
    (`watchword.sql.end_sessions` and `change_session_scopes`, where the accounts are in the same database), and answer with
    what they revoked. Where accounts are in another database, the account is changed first, and then
    `Auth.sign_out_everywhere` ends the sessions.
    """

    async def add(self, user: NewUser) -> Added:
        """Make an account. Of any number of callers with one address (or username) exactly one gets ADDED.

        When both are taken the answer is USERNAME_TAKEN. Raises InvalidInput for what is no address or username.
        """

    async def find(self, identifier: str) -> Credentials[U_co] | None:
        """The account with this address or username, in any case or width; None for what can't be either."""

    async def get(self, user_id: str) -> Credentials[U_co] | None:
        """The account with this id, as it is committed now; None for a text that can't be one."""

    async def page(self, after: str, limit: int) -> Sequence[Credentials[U_co]]:
        """At most `limit` accounts in the order of their addresses, behind the address `after`."""

    async def set_password(
        self,
        user_id: str,
        new_hash: str,
        now: datetime,
        *,
        ending: Ending,
        keep: str | None = None,
        replacing: str | None = None,
    ) -> tuple[Revoked, ...] | None:
        """Store a password hash; unless `ending` is NONE, raise the epoch and end the sessions (OTHERS spares `keep`).

        None, and no change, when there is no such user or `replacing` is not the stored hash any more: of any number of
        callers that replace one hash exactly one succeeds.
        """

    async def set_scopes(
        self, user_id: str, scopes: frozenset[str], now: datetime, *, replacing: frozenset[str] | None = None
    ) -> tuple[Revoked, ...] | None:
        """Replace what the user may do. Live sessions follow, and their present access tokens are revoked.

        None, and no change, when there is no such user or they may not do exactly `replacing` any more: of any number of
        callers that replace one set exactly one succeeds. How a set is written does not matter.

        A refresh that runs at the same time either gets the new scopes or a token that is revoked here.
        """

    async def set_disabled(self, user_id: str, disabled: bool, now: datetime) -> tuple[Revoked, ...] | None:
        """Disable (raising the epoch and ending all sessions) or enable. None when there is no such user."""

    async def remove(self, user_id: str, now: datetime) -> tuple[Revoked, ...] | None:
        """Delete the account and its sessions. Its id is never given again. None when there is no such user.

        Raises StillReferenced, and changes nothing, while other tables hold on to the account.
        """


class Sessions(Protocol):
    """Logins, each with its refresh token family."""

    async def open(self, session: Session, r: bytes) -> tuple[Revoked, ...]:
        """Insert the session. `r` is its 256 random bits; only their SHA-256 is kept.

        Of the user's other live sessions those used longest ago are ended where there would be more than MAX_SESSIONS, also
        when any number of callers open one at once; the answer is what that revoked.

        An act that ends the user's sessions at the same time either sees this one and ends it, or has committed when this
        verb answers. So whoever reads the user after it, and before any token is handed out, misses no such act.
        """

    async def turn(
        self, presented: Presented, now: datetime, *, grace: timedelta, idle: timedelta, access_ttl: timedelta
    ) -> Turned:
        """Answer a genuine refresh token. One statement decides, so of any number of callers with the current
        generation exactly one gets TURNED; within `grace` the others get REPEATED and the same successor."""

    async def get(self, session_id: str, now: datetime) -> Session | None:
        """The session, if it is alive."""

    async def prove_anew(
        self, session_id: str, methods: frozenset[str], now: datetime, *, access_ttl: timedelta
    ) -> Session | None:
        """Let the authentication of a live session be of `now`, by these methods beside its own; the session as it then is."""

    async def of_user(self, user_id: str, now: datetime) -> list[Session]:
        """The live sessions of a user, the last used first."""

    async def close(self, session_id: str, user_id: str | None, now: datetime) -> tuple[Revoked, ...]:
        """End one session (if it is `user_id`'s, where given) and revoke its access tokens: whose it was, or empty when it
        was not alive."""

    async def close_all(self, user_id: str, now: datetime) -> tuple[Revoked, ...]:
        """End every session of a user and revoke their access tokens."""

    async def prune(self, now: datetime, limit: int) -> int:
        """Remove at most `limit` dead sessions; how many there were."""


class Keys(Protocol):
    """Signing keys, sealed, and the check value of the one master key that seals them all."""

    async def load(self) -> list[KeyRecord]:
        """All records, oldest first."""

    async def add(self, record: KeyRecord, check: str) -> bool:
        """Publish a key that was sealed with the master key of this check value.

        Of any number of callers with one generation exactly one gets True. False, and no change, also when `check` is not
        the stored check value: then the keys were sealed anew meanwhile, and this one would be left behind.
        """

    async def retire(self, generation: int, now: datetime) -> bool:
        """Stop a key at once, on every worker that follows the feed."""

    async def remove(self, generations: Iterable[int]) -> None:
        """Forget keys that verify nothing any more."""

    async def recognise(self, check: str) -> str:
        """Keep `check` if the database has no check value yet; the one that it has. Of any number of callers all get one."""

    async def reseal(self, seen: Sequence[KeyRecord], sealed: Mapping[int, bytes], check: str, now: datetime) -> bool:
        """Replace the sealed bytes of these generations, and the check value, in one step.

        False, and no change, when the stored keys are not exactly those that were `seen` any more (one was added, removed
        or sealed anew): read again. Of any number of callers with different bytes exactly one gets True. A key that is
        added at the same time is either seen here or refused there, so none is left sealed with another master key.
        """

    async def abandon(self, record: KeyRecord, check: str, now: datetime, *, replacing: str) -> int | None:
        """Forget every key, publish this one in their place, known by its `check`, and end every session; how many.

        All in one step, so there is no moment without a signing key. No access token needs to be revoked: nothing that
        signed one verifies any more. None, and no change, when the stored check value is not `replacing` any more, or the
        record's generation was given already: of any number of callers exactly one succeeds.
        """


@dataclass(frozen=True, slots=True)
class Limit:
    """So many hits at once; over `period` as many come back, one by one, at equal intervals (GCRA).

    `key` tells nothing to whoever reads it. While `unless` is remembered, nothing is counted against the limit.
    """

    key: str
    hits: int
    period: timedelta
    unless: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """The answer of `Scratch.hit`: None to wait, and it was counted against the limits in `counted`, the others being spared;
    `last` when the next one would have to wait."""

    wait: timedelta | None = None
    last: bool = False
    counted: tuple[Limit, ...] = ()


class Scratch(Protocol):
    """What is needed for a while: how often somebody tried, and what may be used once."""

    async def hit(self, limits: Sequence[Limit], now: datetime) -> Hit:
        """Count one attempt against all of these limits, or against none: the answer then says how long to wait.

        Of any number of callers at once exactly as many are counted as the narrowest limit has room for. A refused attempt
        changes nothing, so nobody can make another wait longer by going on. Limits of several callers come in one order.
        """

    async def take_back(
        self, limits: Sequence[Limit], *, remember: str | None = None, until: datetime | None = None
    ) -> None:
        """Uncount one attempt that `hit` counted against these limits, no more and no fewer, and remember a key `until` then,
        where one is given."""

    async def keep(self, purpose: str, key: str, value: str, until: datetime) -> None:
        """Keep a value that may be used once, for this purpose, before `until`. It replaces what the key had before."""

    async def peek(self, purpose: str, key: str, now: datetime) -> str | None:
        """The value that is kept, and it stays; None where there is none."""

    async def consume(self, purpose: str, key: str, now: datetime, *, value: str | None = None) -> str | None:
        """The value that was kept, and it is gone. Of any number of callers exactly one gets it; all others None, and so does
        whoever comes too late or for another purpose, or names another `value`: then it stays where it is."""

    async def prune(self, now: datetime, limit: int) -> int:
        """Remove at most `limit` rows of each kind that mean nothing any more; how many there were."""


@dataclass(frozen=True, slots=True)
class Once:
    """What `Scratch.keep` is given, to be kept in the transaction of another verb."""

    purpose: str
    key: str
    value: str = field(repr=False)
    until: datetime


class Particulars(TypedDict, total=False):
    """What can be changed of an account, and what it is expected to be: each under the name of its field."""

    email: str
    email_verified_at: datetime | None
    username: str | None
    password_hash: str | None
    language: str | None
    profile: Mapping[str, Any]
    deletes_at: datetime | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Altered:
    """The answer of `Accounts.alter`. Not `done`: nothing was changed, since the address or username is `taken`, or the
    account is gone or not as it was expected to be, or what was to be used up is not there any more."""

    done: bool
    taken: bool = False
    revoked: tuple[Revoked, ...] = ()


NOTHING: Particulars = Particulars()


@runtime_checkable
class Accounts(Protocol):
    """What their owners change of accounts: more than `Users` asks of a host's table, which need not have it."""

    async def alter(
        self,
        user_id: str,
        changes: Particulars,
        now: datetime,
        *,
        expecting: Particulars = NOTHING,
        ending: Ending = Ending.NONE,
        keep: str | None = None,
        mails: Sequence[Queued] = (),
        using: Once | None = None,
        once: Sequence[Once] = (),
    ) -> Altered:
        """Change these particulars if the account is as expected, end sessions as `Users.set_password` does, queue `mails`,
        use up what was kept as `using`, and keep `once`: all in one transaction, or nothing of it. Of any number of callers
        that expect what each of them changes, or use the same, exactly one is done. Another address raises the epoch.
        Address and username are canonical."""

    async def resembles(self, username: str) -> bool:
        """Whether a reader could take this username for that of an account (core/lookalikes). `Users.add` and `alter` answer
        that it is taken then, whoever comes in between."""

    async def due(self, now: datetime, after: str, limit: int) -> Sequence[str]:
        """At most `limit` ids of accounts whose `deletes_at` has come, in their order, behind the id `after`."""

    async def remove_due(self, user_id: str, now: datetime) -> tuple[Revoked, ...] | None:
        """`Users.remove`, if its `deletes_at` has come and is still there. Whoever signs in at the same time either keeps the
        account or finds none."""


class Roles(Protocol):
    """Roles, and what was given to whoever has one, beside the accounts: these keep what comes of it (`Users.set_scopes`),
    so that nothing else has to ask here. A change of a role leaves its members unsettled, until each was brought to it.
    """

    async def put(self, name: str, scopes: frozenset[str], description: str | None) -> Role | None:
        """Make or change a role; the role as it then is. Without a description it keeps the one it has.

        None, and no change, while somebody has it still from before it was removed: nobody gets a new role by an old name.
        """

    async def remove(self, name: str) -> bool:
        """Let a role give nothing any more. Of any number of callers exactly one gets True."""

    async def listed(self, name: str | None = None) -> Sequence[Role]:
        """The roles that there are (with a name that one alone), in the order of their names."""

    async def members(self, name: str | None, after: str, limit: int, *, unsettled: bool = False) -> Sequence[str]:
        """At most `limit` users who have the role (any, for None), in the order of their ids, behind the id `after`.

        With `unsettled` those alone who have to be brought to what they hold: to this role, or (for None) to anything.
        """

    async def of(self, user_ids: Collection[str]) -> Mapping[str, Holding]:
        """What these users hold, each as of one moment; whoever never had a role is left out."""

    async def hold(
        self,
        user_id: str,
        direct: frozenset[str],
        names: frozenset[str],
        now: datetime,
        *,
        replacing: int | None,
        settled: bool = False,
    ) -> bool:
        """Let the user hold exactly these scopes and roles, unsettled from now on unless said otherwise.

        False, and no change, when one of the roles is not there, or the generation of what the user holds is not `replacing`
        (None: there is nothing) any more: of any number of callers that replace one generation exactly one succeeds.
        """

    async def settle(self, holding: Holding) -> bool:
        """Note that the account was brought to what the user holds. Roles that are removed are lost with that.

        False, and no change, when the user holds something else by now, or one of the roles was changed: read again.
        """

    async def forget(self, user_id: str) -> None:
        """The account is gone: nothing is held by it."""


class Outbox(Protocol):
    """Mails until they are delivered: at least once, under one Message-ID."""

    async def add(self, mails: Sequence[Queued], once: Sequence[Once] = ()) -> None:
        """Queue mails, and keep what their links may be used for once: all in one transaction, or nothing."""

    async def take(self, now: datetime, limit: int) -> Sequence[Queued]:
        """At most `limit` mails that are due, the oldest first. They are nobody else's for `mail.LEASE`; of any
        number of callers exactly one gets each."""

    async def delivered(self, mail_id: str) -> None:
        """Forget a mail that was delivered."""

    async def postpone(self, mail_id: str, due_at: datetime, because: str) -> None:
        """Try again then. `because` is for the operator, and holds nothing of the mail."""

    async def page(self, after: str, limit: int) -> Sequence[Queued]:
        """At most `limit` waiting mails in the order of their ids, behind the id `after`."""

    async def retry(self, mail_id: str, now: datetime) -> bool:
        """Let a mail be due now, whatever was in its way; whether it is there and its time is not over."""

    async def discard(self, mail_id: str) -> Queued | None:
        """Throw a mail away that was not delivered. Of any number of callers exactly one gets it."""

    async def prune(self, now: datetime, limit: int) -> int:
        """Remove at most `limit` mails whose time is over; how many there were."""


class Mailer(Protocol):
    """Whoever carries mails away."""

    @property
    def languages(self) -> Sequence[str]:
        """The languages that there are texts in; the first is for everybody else."""

    async def deliver(self, mail: Mail) -> None:
        """Write and deliver a mail; one without a recipient is written and thrown away.

        Raises `errors.Undeliverable` for one that no attempt will deliver, and `errors.Unavailable` where the next may. Ends
        within `mail.DELIVERY`.
        """


class Audit(Protocol):
    """The audit log: rows that are only ever added, chained in batches, and removed from the front when their time is over."""

    async def append(self, rows: Sequence[Row]) -> None:
        """Add these rows, in this order, each with a number of its own. They are not sealed yet."""

    async def seal(
        self, chain: Callable[[Tail, Sequence[Row]], Batch], limit: int, known: int | None = None
    ) -> Batch | None:
        """Give at most `limit` rows that are not sealed, those with the smallest numbers, their places, as `chain` says; and
        keep the checkpoint that it makes in place of the one that it replaces. `Tail.known` is the hash of the row at the
        position `known`, None where there is none.

        None, and no change, while another caller is at it: of any number at once exactly one seals, and the next sees what it
        has done. So each row is sealed once, and no position is given twice or left out.
        """

    async def rows(self, after: int, limit: int) -> Sequence[Row]:
        """At most `limit` sealed rows in the order of their positions, behind the position `after`."""

    async def checkpoints(self, after: int, until: int) -> Sequence[Checkpoint]:
        """The checkpoints at positions behind `after`, up to and including `until`, in their order."""

    async def extent(self) -> Extent:
        """How much there is."""

    async def page(
        self, *, before: int | None, limit: int, user_id: str | None = None, kind: str | None = None
    ) -> Sequence[Row]:
        """At most `limit` rows, sealed or not, of this user and of this kind where they are given: the newest first, of those
        with a smaller number than `before`."""

    async def forget(self, whose: str | datetime, limit: int = 1000) -> int:
        """Erase the personal fields of a user's rows, and their salts; of how many. The chain stays as it is.

        With a time, of at most `limit` rows of all users whose `UserDeleted` was written since then. Where nothing is left to
        erase, nothing is written then.
        """

    async def prune(self, until: int, limit: int) -> int:
        """Remove at most `limit` rows at positions up to and including `until`, the first ones first, and checkpoints before
        it; how many rows there were."""


class Revocations(Protocol):
    """Which access tokens are dead before their time: a small set in memory, kept by a feed."""

    async def start(self) -> None:
        """Load the whole live set, then follow the feed."""

    async def stop(self) -> None:
        """Stop following."""

    def fresh(self) -> bool:
        """Whether the feed was heard within the staleness bound. Without it the set in memory proves nothing."""

    def covers(self, session_id: str, generation: int) -> bool:
        """Whether the set in memory revokes this generation of the session. No I/O."""

    async def ask(self, session_id: str, generation: int) -> bool:
        """The same question to the database, for while the feed is silent."""

    async def live(self, now: datetime) -> Sequence[Revoked]:
        """Everything that is revoked and that a living token could still meet: for each session its highest generation,
        ordered by session. From memory while that proves something (`fresh`), else from the database."""

    def apply(self, revoked: Iterable[Revoked]) -> None:
        """Take what this worker just committed, without waiting for the feed."""

    def watch(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` with each change, from any thread; call the result to stop."""

    async def prune(self, now: datetime, limit: int) -> int:
        """Forget at most `limit` revocations whose tokens have all expired; how many there were."""


class Issuer(Protocol):
    """Another server, which signs the tokens that are only verified here. What it says is read strictly, or not at all.

    Every verb raises `errors.Unavailable` for whatever is not an answer of this issuer, and ends within a bounded time.
    """

    async def start(self) -> None:
        """Be ready to ask, on the running event loop."""

    async def stop(self) -> None:
        """Give connections back."""

    async def metadata(self) -> Metadata:
        """Where its things are. RFC 8414."""

    async def keys(self, uri: str) -> tuple[PublishedKeys, float]:
        """The keys that it publishes, and how many seconds they may be kept."""

    async def revocations(self, uri: str, seen: str | None) -> tuple[str, str]:
        """Its signed list, unread, and the name of the content; once that is not what was `seen`, or after some seconds."""
