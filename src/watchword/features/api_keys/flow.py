"""API keys: made, shown once, checked, rotated, revoked. The decisions; each is told after its commit."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from watchword.core import opaque, revoked, scopes
from watchword.core.errors import (
    AuthError,
    InsufficientScope,
    InvalidInput,
    InvalidToken,
    NotFound,
    TooManyAttempts,
)
from watchword.core.events import (
    ApiKeyCreated,
    ApiKeyRevoked,
    ApiKeyRotated,
    DeletionPlanned,
    Event,
    ScopesChanged,
    ServiceAccountCreated,
    ServiceAccountDisabled,
    UserDeleted,
    UserDisabled,
)
from watchword.core.models import NOWHERE, Client, FrozenDict, Principal, Revoked
from watchword.core.policy import REMEMBERED
from watchword.core.tally import Tally
from watchword.core.tokens import Access
from watchword.features.api_keys import rules
from watchword.features.api_keys.known import NEVER, Dead, Known, Memory
from watchword.features.api_keys.rules import ApiKey, Owner, ServiceAccount, Wanted
from watchword.features.api_keys.store import MINUTE, Found, Made, SqlApiKeys, SqlServiceAccounts
from watchword.features.api_keys.uses import Uses
from watchword.flows import authenticate, throttle
from watchword.flows.annex import Annex, Prune, Way
from watchword.flows.kit import Kit
from watchword.ports import Limit

if TYPE_CHECKING:
    from watchword.ports import Change

NAME = "api_keys"
GENERATION = 0
"""A key has one; the feed revokes it as it does that of a session."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A new key, and its text: the only time that it is seen."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts on keys: a user who is signed in, in this session, and may do what `may` says; or (all None) an operator at the
    command line."""

    user_id: str | None = None
    may: frozenset[str] | None = None
    session_id: str | None = None

    def require(self, needed: frozenset[str]) -> None:
        """Raise InsufficientScope where a key would do more than whoever gets it may: nobody gives what they have not."""
        if self.may is not None and not scopes.covers(self.may, needed):
            raise InsufficientScope("a key for more than the actor may do", needed=needed)


OPERATOR: Actor = Actor()


class ApiKeysAnnex(Annex):
    """The keys of one house, and what this worker remembers of them."""

    def __init__(self, kit: Kit, keys: SqlApiKeys, accounts: SqlServiceAccounts) -> None:
        self.memory: Memory = Memory()
        self.uses: Uses = Uses(keys)
        self._kit = kit
        self._keys = keys
        self._accounts = accounts
        self._tally = Tally()
        self._stop_watching = kit.revocations.watch(self._on_change)

    @property
    def ways(self) -> Mapping[str, Way]:
        return {rules.PREFIX: self.access}

    @property
    def prunes(self) -> Sequence[Prune]:
        return (self._keys.prune,)

    def hear(self, event: Event) -> None:
        """Whatever takes something away from an owner holds on this worker at once."""
        if (
            isinstance(event, UserDisabled | UserDeleted | DeletionPlanned | ScopesChanged)
            and event.user_id is not None
        ):
            self.memory.hear(revoked.of_owner(event.user_id))

    async def close(self) -> None:
        self._stop_watching()
        await self.uses.close()

    def _on_change(self, change: "Change") -> None:
        if isinstance(change, Revoked):
            self.memory.hear(change.session_id)

    # Who makes this request?

    async def access(self, text: str, origin: Callable[[], Client]) -> Access:
        """The access that this key gives now: from memory, where the key is known and the feed is heard.

        Raises InvalidToken, TooManyAttempts above the key's limit (or for what is made up, and then nobody is asked), and
        Unavailable where nobody can say.
        """
        digest = rules.digest(text)
        known = self._remembered(digest) or await self._ask(digest, origin)
        self._count(known.key)
        self._note(known)
        return known.access

    async def _again(self, digest: bytes) -> Access:
        """See `tokens.Access.again`: for what stays open on a key."""
        known = self._remembered(digest) or await self._ask(digest, lambda: NOWHERE)
        return known.access

    def _remembered(self, digest: bytes) -> Known | None:
        """The key, if all is still so as when the database was asked. Whether the feed is fresh is asked first, as in
        `authenticate.still_good`."""
        revocations, clock = self._kit.revocations, self._kit.clock
        fresh = revocations.fresh()
        known = self.memory.get(digest)
        if known is None or not fresh or revocations.covers(known.key.id, GENERATION):
            return None
        if clock.monotonic() - known.asked_at >= REMEMBERED.total_seconds():
            return None
        ends_at = known.key.expires_at
        return known if ends_at is None or clock.timestamp() < ends_at.timestamp() else None

    async def _ask(self, digest: bytes, origin: Callable[[], Client]) -> Known:
        """The key as the database has it. One that is none is remembered too: it never will be one (again)."""
        kit, asked_at = self._kit, self._kit.clock.monotonic()
        dead = self.memory.dead(digest)
        if dead is None or asked_at - dead.asked_at >= REMEMBERED.total_seconds():
            if self.memory.get(digest) is None:
                throttle.refuse_forgers(kit, origin())
            since, now = self.memory.changes, kit.clock.now()
            found = _judged(await self._keys.find(digest), now, asked_at)
            if isinstance(found, Found):
                known = await self._known(digest, found, now, asked_at)
                self.memory.put(digest, known, since)
                return known
            self.memory.bury(digest, found)
            dead = found
        if dead.forged:
            throttle.count_forged(kit, origin())
        raise InvalidToken(dead.because)

    async def _known(self, digest: bytes, found: Found, now: datetime, asked_at: float) -> Known:
        """Raises InvalidToken where its owner is gone or disabled. That may change, so it is not remembered."""
        key = found.key
        may = await self._may(found)
        looked_at = (now + REMEMBERED).timestamp()
        access = Access(
            principal=_principal(key, scopes.narrowed(key.scopes, may)),
            kid="",
            generation=GENERATION,
            expires_at=looked_at if key.expires_at is None else min(looked_at, key.expires_at.timestamp()),
            again=functools.partial(self._again, digest),
            also=frozenset({revoked.of_owner(key.owner_id)}),
        )
        since = NEVER if key.last_used_at is None else asked_at - (now - key.last_used_at).total_seconds()
        return Known(key, access, asked_at, noted_at=since)

    async def _may(self, found: Found) -> frozenset[str]:
        """What the key's owner may do now. Raises InvalidToken when there is none."""
        if found.key.owner is Owner.SERVICE_ACCOUNT:
            account = found.account
            if account is None or account.disabled_at is not None:
                raise InvalidToken("the service account is disabled")
            return account.scopes
        owner = await self._kit.users.get(found.key.owner_id)
        if owner is None or owner.user.disabled:
            raise InvalidToken("the API key's owner is gone or disabled")
        if getattr(owner.user, "deletes_at", None) is not None:
            raise InvalidToken("the API key's owner is about to be deleted")
        return owner.user.scopes

    def _count(self, key: ApiKey) -> None:
        if key.limit is None:
            return
        wait = self._tally.count(key.id, key.limit, MINUTE, self._kit.clock.timestamp())
        if wait is not None:
            raise TooManyAttempts(
                "the API key's limit", wait=wait, detail="This API key is used more often than it may be."
            )

    def _note(self, known: Known) -> None:
        at = self._kit.clock.monotonic()
        if at - known.noted_at >= MINUTE.total_seconds():
            known.noted_at = at
            self.uses.add(known.key.id, self._kit.clock.now())

    # Acts

    async def create_own(self, who: Principal, wanted: Wanted) -> Shown:
        """A key of one's own. Raises InvalidInput, also for scopes that the user or the present token has not;
        TooManyAttempts; and InvalidToken where the session has ended, though nobody here has heard of it."""
        user = await authenticate.user(self._kit, who)
        return await self._create(Owner.USER, user.id, wanted, scopes.narrowed(user.scopes, who.scopes), actor(who))

    async def create(self, owner: Owner, owner_id: str, wanted: Wanted, actor: Actor) -> Shown:
        """A key of a service account's, or (an operator's act) of a user's. Raises NotFound and InvalidInput,
        InsufficientScope where it would do more than the actor may, and InvalidToken where the actor's session has ended."""
        may = await self._may_now(owner, owner_id, actor)
        actor.require(wanted.scopes)
        return await self._create(owner, owner_id, wanted, may, actor)

    async def rotate(self, owner: Owner, owner_id: str, key_id: str, overlap: timedelta, actor: Actor) -> Shown:
        """A successor that may do what the key may do now and lives as long; the key itself ends after the overlap. A scope
        that its owner has lost is not handed on: whoever rotates it can't give that. Of any number of callers exactly one
        succeeds.

        Raises NotFound, InvalidInput (also for one that was rotated already), InsufficientScope, and InvalidToken where the
        actor's session has ended.
        """
        kit = self._kit
        now = kit.clock.now()
        rules.accept_overlap(overlap)
        before = await self._of(owner, owner_id, key_id, now)
        may = await self._may_now(owner, owner_id, actor)
        granted = scopes.narrowed(before.scopes, may)
        actor.require(granted)
        await self._count_made(owner, owner_id, actor)
        minted = rules.mint(kit.entropy(rules.ENTROPY))
        lives = None if before.expires_at is None else before.expires_at - before.created_at
        successor = replace(
            before,
            id=kit.new_id(),
            shown=minted.shown,
            scopes=granted,
            created_at=now,
            expires_at=None if lives is None else now + lives,
            last_used_at=None,
        )
        rotated = await self._keys.rotate(successor, minted.digest, key_id, now + overlap, actor.session_id)
        if isinstance(rotated, Made):
            raise _refusal(rotated)
        self.memory.hear(revoked.of_owner(owner_id))
        kit.announce(ApiKeyRotated(owner_id, key_id, successor.id, actor.user_id), rotated.revoked)
        for one in rotated.revoked:
            kit.announce(ApiKeyRevoked(owner_id, one.session_id, actor.user_id))
        return Shown(successor, minted.text)

    async def revoke(self, owner: Owner, owner_id: str, key_id: str, actor: Actor) -> None:
        """End a key of this owner on every worker. Raises NotFound when it is not alive, or is not theirs."""
        ended: Sequence[Revoked] = ()
        if opaque.is_identifier(key_id):
            ended = await self._keys.revoke(key_id, owner, owner_id, self._kit.clock.now())
        if not ended:
            raise NotFound("no such live API key of this owner")
        self._kit.announce(ApiKeyRevoked(owner_id, key_id, actor.user_id), ended)

    async def of_owner(self, owner: Owner, owner_id: str) -> list[ApiKey]:
        """The live keys of an owner, the newest first."""
        return await self._keys.of_owner(owner, owner_id, self._kit.clock.now())

    async def held(self, user_id: str) -> Mapping[str, Any]:
        """See `Annex.held`: how each live key begins, and what it is for."""
        names = ("id", "name", "shown", "created_at", "expires_at", "last_used_at")
        keys = await self.of_owner(Owner.USER, user_id)
        return {"api_keys": [{name: getattr(key, name) for name in names} for key in keys]}

    async def disowned(self, user_id: str) -> None:
        """See `Annex.disowned`: whoever was signed in may have made keys. Their sessions have ended before, so they make no
        more."""
        for one in await self._keys.revoke_all(Owner.USER, user_id, self._kit.clock.now()):
            self._kit.announce(ApiKeyRevoked(user_id, one.session_id, user_id), (one,))

    async def find(self, key_id: str) -> ApiKey:
        """A live key, whoever has it. Raises NotFound."""
        found = await self._live(key_id, self._kit.clock.now())
        if found is None:
            raise NotFound("no such live API key", detail="There is no live API key with this id.")
        return found

    # Service accounts

    async def add_account(self, name: str, granted: frozenset[str], actor: Actor) -> ServiceAccount:
        """A new service account. Raises InvalidInput, and InsufficientScope for more than the actor may do."""
        actor.require(granted)
        kit = self._kit
        account = ServiceAccount(kit.new_id(), rules.accept_name(name), granted, kit.clock.now())
        await self._accounts.add(account)
        kit.announce(ServiceAccountCreated(None, account.id, actor.user_id))
        return account

    async def accounts(self) -> list[ServiceAccount]:
        """The service accounts that are not disabled, by their names."""
        return await self._accounts.all()

    async def account(self, account_id: str) -> ServiceAccount:
        """A service account that is not disabled. Raises NotFound."""
        found = await self._accounts.get(account_id) if opaque.is_identifier(account_id) else None
        if found is None or found.disabled_at is not None:
            raise NotFound("no such service account", detail="There is no service account with this id.")
        return found

    async def disable_account(self, account_id: str, actor: Actor) -> None:
        """Disable a service account for good, and end its keys on every worker. Raises NotFound."""
        await self.account(account_id)
        ended = await self._accounts.disable(account_id, self._kit.clock.now())
        if ended is None:
            raise NotFound("the service account was disabled at the same time")
        self._kit.announce(ServiceAccountDisabled(None, account_id, actor.user_id), ended)
        for one in ended:
            self._kit.announce(ApiKeyRevoked(account_id, one.session_id, actor.user_id))

    async def _create(self, owner: Owner, owner_id: str, wanted: Wanted, may: frozenset[str], by: Actor) -> Shown:
        kit = self._kit
        wanted, now = rules.accept(wanted, may), kit.clock.now()
        await self._count_made(owner, owner_id, by)
        minted = rules.mint(kit.entropy(rules.ENTROPY))
        key = ApiKey(
            id=kit.new_id(),
            owner_id=owner_id,
            owner=owner,
            name=wanted.name,
            shown=minted.shown,
            scopes=wanted.scopes,
            limit=wanted.limit,
            created_at=now,
            expires_at=None if wanted.lives is None else now + wanted.lives,
        )
        made = await self._keys.add(key, minted.digest, by.session_id)
        if made is not Made.MADE:
            raise _refusal(made)
        kit.announce(ApiKeyCreated(owner_id, key.id, by.user_id))
        return Shown(key, minted.text)

    async def _count_made(self, owner: Owner, owner_id: str, by: Actor) -> None:
        """Raise TooManyAttempts where somebody makes keys in a loop. An operator may."""
        if by.user_id is not None:
            kit = self._kit
            limit = Limit(kit.keyring.pseudonym("api keys", owner.value, owner_id), rules.A_DAY, throttle.DAY)
            hit = await kit.scratch.hit([limit], kit.clock.now())
            if hit.wait is not None:
                raise TooManyAttempts(
                    "too many API keys in a day", wait=hit.wait, detail="Too many API keys were made. Try again later."
                )

    async def _may_now(self, owner: Owner, owner_id: str, actor: Actor) -> frozenset[str]:
        """What this owner may do. Raises NotFound; users make keys of their own alone."""
        if owner is Owner.SERVICE_ACCOUNT:
            return (await self.account(owner_id)).scopes
        user = await self._kit.users.get(owner_id) if actor.user_id in (None, owner_id) else None
        if user is None or user.user.disabled:
            raise NotFound(
                "no such owner, or one that is disabled", detail="There is no such owner, or it is disabled."
            )
        return user.user.scopes

    async def _of(self, owner: Owner, owner_id: str, key_id: str, now: datetime) -> ApiKey:
        """A live key of this owner that has no successor. Raises NotFound, and InvalidInput where it has one."""
        found = await self._live(key_id, now)
        if found is None or (found.owner, found.owner_id) != (owner, owner_id):
            raise NotFound("no such live API key of this owner")
        if found.rotated_to is not None:
            raise _rotated_already()
        return found

    async def _live(self, key_id: str, now: datetime) -> ApiKey | None:
        key = await self._keys.get(key_id) if opaque.is_identifier(key_id) else None
        return None if key is None or isinstance(_judged(Found(key, None), now, 0.0), Dead) else key


def annex_of(kit: Kit) -> ApiKeysAnnex:
    """The keys of this house. Raises LookupError where the feature is not in it."""
    annex = kit.annexes.get(NAME)
    if not isinstance(annex, ApiKeysAnnex):
        raise LookupError(NAME)
    return annex


def actor(who: Principal) -> Actor:
    """Whoever makes this request."""
    return Actor(who.user_id, who.scopes, who.session_id)


def _judged(found: Found | None, now: datetime, asked_at: float) -> Found | Dead:
    """A key that has its time, or why it will never be good (again)."""
    if found is None:
        return Dead("no such API key", True, asked_at)
    if found.key.revoked_at is not None:
        return Dead("the API key was revoked", False, asked_at)
    if found.key.expires_at is not None and found.key.expires_at <= now:
        return Dead("the API key has expired", False, asked_at)
    return found


def _refusal(made: Made) -> AuthError:
    """What the store's answer means to whoever asked for a key."""
    if made is Made.TOO_MANY:
        detail = (
            f"There are {rules.MOST} live keys already, or {rules.MOST_WITH_OVERLAPS} with those whose overlap lasts. "
            "Revoke one that is not needed first."
        )
        return InvalidInput("too many live API keys", detail=detail)
    if made is Made.NO_OWNER:
        return NotFound("the service account was disabled at the same time")
    if made is Made.SIGNED_OUT:
        return InvalidToken("the session has ended")
    return _rotated_already()


def _rotated_already() -> InvalidInput:
    return InvalidInput("rotated already", detail="This key has a successor already, or has ended at this very moment.")


def _principal(key: ApiKey, granted: frozenset[str]) -> Principal:
    """Nobody has signed in for it, so it has no `auth_time`: what asks for a fresh sign-in refuses it."""
    return Principal(
        user_id=key.owner_id,
        session_id=key.id,
        scopes=granted,
        methods=frozenset({rules.METHOD}),
        auth_time=0,
        claims=FrozenDict(
            {
                "sub": key.owner_id,
                "sid": key.id,
                "scope": scopes.text(granted),
                "amr": [rules.METHOD],
                "owner": key.owner.value,
            }
        ),
    )
