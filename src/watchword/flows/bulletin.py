"""Telling other services what was revoked: at once when something is, and anew every few seconds when nothing is."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from watchword.core import revocation_list, service_keys
from watchword.core.errors import AuthError, InvalidToken, MissingToken, Overloaded, Unavailable
from watchword.core.models import Client, Revoked
from watchword.flows import throttle
from watchword.flows.kit import Kit

logger: logging.Logger = logging.getLogger("watchword.services")

WAIT_SECONDS = 5.0
"""The longest wait for news: a third of a list's life, so that one lost answer makes nobody stale."""

LOOK_SECONDS = 0.2
GAP_SECONDS = 0.05
"""Between two looks at what is revoked, however many wait and whatever happens; on some databases each is a query."""

RECENT_SECONDS = 1.0
"""How long ago the look may have begun that is told to whoever comes, without another one."""

OLD_SECONDS = 5.0
"""How long ago it may have begun that a list is signed of what was seen; and how long the next one is waited for."""

MAX_WAITING = 1024
"""Who may wait at a worker at once."""


@dataclass(frozen=True, slots=True)
class Bulletin:
    """A signed list, and the name of its content."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen. `changes` had been told of when it began, at `began_at` of the loop's time."""

    name: str
    revoked: Sequence[Revoked]
    changes: int
    began_at: float


def admit(kit: Kit, presented: str | None, client: Client) -> None:
    """Raise MissingToken or InvalidToken (TooManyAttempts after too many) unless this is a service key."""
    if presented is None:
        raise MissingToken("no service key")
    if not service_keys.known(presented, kit.policy.service_keys):
        throttle.count_forged(kit, client)
        raise InvalidToken("not a service key", detail="The service key is not valid.")


class Board:
    """Where the services of one event loop wait. One task looks for all of them, while there are any.

    Nobody who waits holds a connection to the database.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._waiting = 0
        self._count = itertools.count(1)
        self._changes = 0
        self._last: _Look | AuthError | None = None
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._signed: tuple[tuple[str, int], Bulletin] | None = None

    async def next(self, seen: str | None, leaving: Callable[[], bool]) -> Bulletin:
        """The list as soon as its content is not what was `seen`; at the latest when the wait is over, or `leaving`.

        Raises Overloaded where too many wait, and Unavailable when nobody can say what is revoked, or not in time.
        """
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many services wait for revocations")
        self._waiting += 1
        ends_at, changes = self._loop.time() + WAIT_SECONDS, self._changes
        try:
            look = self._recent(changes) or await self._look()
            while look.changes < changes or (look.name == seen and self._loop.time() < ends_at and not leaving()):
                look = await self._look()
        finally:
            self._waiting -= 1
        return self._sign(look)

    def _recent(self, changes: int) -> _Look | None:
        """The last look, where nothing was told of since, and the next one is not long in coming."""
        last = self._last
        if not isinstance(last, _Look) or last.changes != changes or self._age(last) > RECENT_SECONDS:
            return None
        return last

    def _age(self, look: _Look) -> float:
        return self._loop.time() - look.began_at

    async def _look(self) -> _Look:
        """What is seen at the next look, which is waited for no longer than a look may be old."""
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._watch())
        try:
            await asyncio.wait_for(asyncio.shield(self._next), OLD_SECONDS)
        except TimeoutError as error:
            raise Unavailable("nobody has said for seconds what is revoked") from error
        if isinstance(self._last, _Look):
            return self._last
        raise self._last or Unavailable("nobody looks for revocations any more")

    async def _watch(self) -> None:
        stop = self._kit.revocations.watch(self._on_change)
        try:
            while self._waiting:
                self._woken.clear()
                self._last = await self._read()
                self._tell()
                await asyncio.sleep(GAP_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS - GAP_SECONDS)
        finally:
            stop()
            self._last = None
            self._tell()

    def _tell(self) -> None:
        """Whoever waits goes on; whoever comes waits for the next look."""
        told, self._next = self._next, self._loop.create_future()
        told.set_result(None)

    async def _read(self) -> _Look | AuthError:
        kit, changes, began_at = self._kit, self._changes, self._loop.time()
        try:
            await kit.keyring.follow(heard=kit.revocations.fresh())
            now = kit.clock.now()
            revoked = await kit.revocations.live(now)
            return _Look(revocation_list.name(kit.keyring.ring, revoked, now), revoked, changes, began_at)
        except AuthError as error:
            return error
        except Exception as error:
            logger.exception("what is revoked can't be told to the services")
            return Unavailable(type(error).__name__)

    def _sign(self, look: _Look) -> Bulletin:
        """Of those who are told the same in the same second, all get one signature.

        Raises Unavailable for what was seen long ago: a signature says that it is so now.
        """
        if self._age(look) > OLD_SECONDS:
            raise Unavailable("what is revoked was seen too long ago")
        now = self._kit.clock.now()
        signed = look.name, int(now.timestamp())
        if self._signed is None or self._signed[0] != signed:
            text = revocation_list.sign(self._kit.keyring.ring, self._kit.policy.issuer, look.revoked, now)
            self._signed = signed, Bulletin(look.name, text)
        return self._signed[1]

    def _on_change(self, _: object) -> None:
        """From any thread. Counted here and now: whoever comes next is told of it, also before this loop has turned."""
        self._changes = next(self._count)
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._woken.set)


class Boards:
    """The board of each event loop."""

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Board] = WeakKeyDictionary()

    def here(self, kit: Kit) -> Board:
        """This loop's."""
        loop = asyncio.get_running_loop()
        board = self._by_loop.get(loop)
        if board is None or board._kit is not kit:
            board = self._by_loop[loop] = Board(kit)
        return board
