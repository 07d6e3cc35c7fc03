"""A small pool of low-priority threads for password hashing, with a bounded queue.

Hashing takes tens of milliseconds of CPU and 19 MiB. On the event loop it would stop everything; in an unbounded pool a
storm of logins would take all memory. Here it waits its turn, and what does not fit is refused with 503.
"""

import asyncio
import contextlib
import hmac
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from watchword.core import emails, foreign_hashes, passwords
from watchword.core.clock import Entropy
from watchword.core.errors import InvalidGrant, Overloaded, UnusableHash
from watchword.core.policy import Policy

NICENESS = 10

P = ParamSpec("P")
R = TypeVar("R")


class HashingPool:
    """Hash and verify off the event loop. Raises Overloaded when the queue is full."""

    def __init__(self, policy: Policy, entropy: Entropy) -> None:
        self._parameters = policy.argon2
        self._room = policy.hashing_threads + policy.hashing_queue
        self._waiting = 0
        self._threads = ThreadPoolExecutor(policy.hashing_threads, "watchword-hashing", _lower_priority)
        self._decoy_password = entropy(16).hex()
        self._decoy: str | None = None
        self._likenesses: list[str] = []

    async def hash(self, password: str) -> str:
        """The PHC string of an accepted password."""
        return await self._run(passwords.hash_password, password, self._parameters)

    async def check(self, password: str, minimum: int, context: Iterable[str]) -> None:
        """Accept a new password or raise WeakPassword. The estimate takes long for some texts, so it waits its turn too."""
        await self._run(passwords.check, password, minimum, tuple(context))

    async def verify(self, stored: str | None, password: str, name: str = "") -> passwords.Match:
        """Compare. Without a stored hash it costs what it costs for some account, and is refused. Raises InvalidGrant.

        `name` chooses for which: always the same for one name, so that trying again tells nothing.
        """
        return await self._run(self._verify, stored, password, name)

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

    def _verify(self, stored: str | None, password: str, name: str) -> passwords.Match:
        decoy = self._decoy_for(name)
        try:
            return passwords.verify(decoy if stored is None else stored, password, self._parameters)
        except UnusableHash:  # it cost nothing, and that would tell that there is such a user
            with contextlib.suppress(InvalidGrant):
                passwords.verify(decoy, password, self._parameters)
            raise

    def _decoy_for(self, name: str) -> str:
        if self._decoy is None:  # made by the first who comes, known or not, so that it tells nothing
            self._decoy = passwords.hash_password(self._decoy_password, self._parameters)
        if not self._likenesses:
            return self._decoy
        drawn = hmac.digest(
            self._decoy_password.encode(), emails.one_spelling(name).encode("utf-8", "surrogatepass"), "sha256"
        )
        return self._likenesses[int.from_bytes(drawn[:4]) * len(self._likenesses) >> 32]

    async def _run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._waiting >= self._room:
            raise Overloaded("the hashing queue is full")
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._threads.submit(work, *args, **kwargs))
        finally:
            self._waiting -= 1


def _lower_priority() -> None:
    """On Linux a thread has a priority of its own; elsewhere it keeps the process's."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
