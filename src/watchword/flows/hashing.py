"""A small pool of low-priority threads for password hashing, with a bounded queue.

Hashing takes tens of milliseconds of CPU and 19 MiB. On the event loop it would stop everything; in an unbounded pool a
storm of logins would take all memory. Here it waits its turn, and what does not fit is refused with 503.

All threads together take the memory of as many hashes of ours. An imported hash may cost fifty times as much: then it is
computed alone.
"""

import asyncio
import contextlib
import hmac
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from watchword.core import emails, foreign_hashes, passwords
from watchword.core.clock import Entropy
from watchword.core.errors import InvalidGrant, Overloaded, UnusableHash
from watchword.core.policy import Policy
from watchword.flows.hashing_memory import HashingMemory

NICENESS = 10

R = TypeVar("R")
Gone = Callable[[], Awaitable[object]]
"""Ends when whoever waits has hung up."""


class HashingPool:
    """Hash and verify off the event loop. Raises Overloaded when the queue is full."""

    def __init__(self, policy: Policy, entropy: Entropy) -> None:
        self._parameters = policy.argon2
        self._room = policy.hashing_threads + policy.hashing_queue
        self._waiting = 0
        self._memory = HashingMemory(policy.hashing_threads * policy.argon2.memory_cost)
        self._threads = ThreadPoolExecutor(policy.hashing_threads, "watchword-hashing", _lower_priority)
        self._decoy_password = entropy(16).hex()
        self._decoy: str | None = None
        self._likenesses: list[str] = []

    async def hash(self, password: str) -> str:
        """The PHC string of an accepted password."""
        with self.place():
            return await self._run(partial(self._hash, password))

    async def check(self, password: str, minimum: int, context: Iterable[str]) -> None:
        """Accept a new password or raise WeakPassword. The estimate takes long for some texts, so it waits its turn too."""
        with self.place():
            await self._run(partial(passwords.check, password, minimum, tuple(context)))

    async def verify(self, stored: str | None, password: str) -> passwords.Match:
        """Compare, in a place of its own. Raises InvalidGrant."""
        with self.place():
            return await self.compare(stored, password)

    async def compare(
        self, stored: str | None, password: str, name: str = "", gone: Gone | None = None
    ) -> passwords.Match:
        """Compare, for one who has a `place`. Without a stored hash it costs what it costs for some account, and is refused.
        Raises InvalidGrant.

        `name` chooses for which: always the same for one name, so that trying again tells nothing. Who is `gone` before it
        begins is not compared at all (Overloaded).
        """
        return await self._run(partial(self._verify, stored, password, name), gone)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue until the end of the block. Raises Overloaded when there is none."""
        if self._waiting >= self._room:
            raise Overloaded("the hashing queue is full")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def resemble(self, stored: Iterable[str]) -> None:
        """Take a sample of the stored hashes: for names that nobody has, comparing will cost as with these, in their
        proportions. Hashes that other systems made may cost ten times what ours do."""
        likenesses = []
        for one in stored:
            with contextlib.suppress(UnusableHash):
                likenesses.append(foreign_hashes.likeness(one))
        self._likenesses = sorted(likenesses)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash(self, password: str) -> str:
        with self._memory.taking(self._parameters.memory_cost):
            return passwords.hash_password(password, self._parameters)

    def _verify(self, stored: str | None, password: str, name: str) -> passwords.Match:
        decoy = self._decoy_for(name)
        try:
            return self._fits(decoy if stored is None else stored, password)
        except UnusableHash:  # it cost nothing, and that would tell that there is such a user
            with contextlib.suppress(InvalidGrant):
                self._fits(decoy, password)
            raise

    def _fits(self, stored: str, password: str) -> passwords.Match:
        with self._memory.taking(passwords.kib(stored)):
            return passwords.verify(stored, password, self._parameters)

    def _decoy_for(self, name: str) -> str:
        if self._decoy is None:  # made by the first who comes, known or not, so that it tells nothing
            self._decoy = self._hash(self._decoy_password)
        if not self._likenesses:
            return self._decoy
        drawn = hmac.digest(
            self._decoy_password.encode(), emails.one_spelling(name).encode("utf-8", "surrogatepass"), "sha256"
        )
        return self._likenesses[int.from_bytes(drawn[:4]) * len(self._likenesses) >> 32]

    async def _run(self, work: Callable[[], R], gone: Gone | None = None) -> R:
        job = self._threads.submit(work)
        return await (asyncio.wrap_future(job) if gone is None else _unless(gone, job))


async def _unless(gone: Gone, job: "Future[R]") -> R:
    """What the job gives. One that has not begun is dropped when they are gone; a begun one comes to its end."""
    watch = asyncio.ensure_future(gone())
    watch.add_done_callback(lambda ended: ended.cancelled() or ended.exception() or job.cancel())
    try:
        return await asyncio.wrap_future(job)
    except asyncio.CancelledError:
        if watch.done() and job.cancelled():
            raise Overloaded("whoever waited for hashing has hung up") from None
        raise
    finally:
        watch.cancel()


def _lower_priority() -> None:
    """On Linux a thread has a priority of its own; elsewhere it keeps the process's."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
