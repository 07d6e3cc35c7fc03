"""Several flows at once, of which one verb runs at a time: each order of their verbs is one that a test can choose."""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Awaitable, Callable
from typing import Any

from watchword.flows.kit import Kit

STORES = ("users", "roles", "sessions")

Act = Callable[[Kit], Awaitable[Any]]


class Killed(BaseException):
    """The process ended here."""


class Watched:
    """A store, in front of whose verbs something is awaited."""

    def __init__(self, store: Any, before: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._before = before

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        async def called(*arguments: Any, **more: Any) -> Any:
            await self._before()
            return await verb(*arguments, **more)

        return called


def watched(kit: Kit, before: Callable[[], Awaitable[None]]) -> Kit:
    """The same tools, with something before each verb of a store."""
    stores: dict[str, Any] = {name: Watched(getattr(kit, name), before) for name in STORES}
    return dataclasses.replace(kit, **stores)


async def killed_after(kit: Kit, verbs: int, act: Act) -> bool:
    """Run an act that dies after so many verbs; whether it did, or came to its end before."""
    left = verbs

    async def before() -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    with contextlib.suppress(Killed):
        await act(watched(kit, before))
        return False
    return True


async def interleaved(kit: Kit, seed: int, *acts: Act) -> None:
    """Run acts beside each other, one verb after another, in an order that the seed chooses."""
    chance = random.Random(seed)
    news: asyncio.Queue[asyncio.Event | None] = asyncio.Queue()

    async def before() -> None:
        mine = asyncio.Event()
        news.put_nowait(mine)
        await mine.wait()

    async def run(act: Act) -> None:
        try:
            await act(watched(kit, before))
        finally:
            news.put_nowait(None)

    tasks = [asyncio.create_task(run(act)) for act in acts]
    waiting: list[asyncio.Event] = []
    running = len(tasks)
    while running or waiting:
        if running == 0:
            waiting.pop(chance.randrange(len(waiting))).set()
            running = 1
        heard = await news.get()
        running -= 1
        if heard is not None:
            waiting.append(heard)
    await asyncio.gather(*tasks)
