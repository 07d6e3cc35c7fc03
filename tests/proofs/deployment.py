"""A real house on a real database, driven step by step from outside of its event loop."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from sqlalchemy import text
from tests.house import House, open_house
from tests.proofs.grounds import Ground
from tests.proofs.world import Access

from watchword.core.errors import InvalidToken, NotFound
from watchword.flows import authenticate
from watchword.flows.kit import Kit
from watchword.testing import FrozenClock

MASTER = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
LIVING = text(
    "SELECT id, generation, scopes FROM watchword_sessions "
    "WHERE closed_at IS NULL AND idle_expires_at > :now AND expires_at > :now"
)

R = TypeVar("R")


class Deployment:
    """One application, its client and its operator. `now` is in whole seconds."""

    def __init__(self, ground: Ground, folder: Path, clock: FrozenClock) -> None:
        self._ground = ground
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self._clock = clock
        opening = open_house(
            folder, clock=clock, database_url=ground.url, master_keys=MASTER, attempts_per_network=10_000
        )
        self._house: House = self._runner.run(self._stack.enter_async_context(opening))

    @property
    def now(self) -> int:
        return int(self._clock.timestamp())

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()
        self._ground.close()

    def tick(self, seconds: int) -> None:
        self._clock.tick(seconds)

    def ask(self, method: str, path: str, access: Access | None = None, **more: Any) -> httpx2.Response:
        """One request. Whatever it is, the server does not break."""
        headers = {} if access is None else {"Authorization": f"Bearer {access.text}"}
        answer: httpx2.Response = self._runner.run(self._house.client.request(method, path, headers=headers, **more))
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def operate(self, act: Callable[[Kit], Coroutine[Any, Any, R]]) -> R:
        """What an operator does, by commands."""

        async def with_kit() -> R:
            return await act(await self._house.kit())

        return self._runner.run(with_kit())

    def user_id(self, email: str) -> str:
        async def find(kit: Kit) -> str:
            found = await kit.users.find(email)
            if found is None:
                raise NotFound(email)
            return found.user.id

        return self.operate(find)

    def look(self, tokens: list[Access]) -> tuple[dict[str, tuple[int, str]], list[bool]]:
        """Generation and scopes of the sessions that the database itself holds for alive; and for each access token whether
        it opens a guarded route: the decision behind every door."""

        async def look(kit: Kit) -> tuple[dict[str, tuple[int, str]], list[bool]]:
            return await self._living(), [await _good(kit, token) for token in tokens]

        return self.operate(look)

    async def _living(self) -> dict[str, tuple[int, str]]:
        assert self._house.auth._home is not None
        db = self._house.auth._home.db
        now = self._clock.now()
        bound = now.strftime("%Y-%m-%d %H:%M:%S.%f") if db.is_sqlite else now
        async with db.read() as connection:
            rows = await connection.execute(LIVING, {"now": bound})
            return {row.id: (row.generation, row.scopes) for row in rows}

    def keys(self) -> frozenset[str]:
        """The names of the keys that are published."""
        published = self.ask("GET", "/.well-known/jwks.json").json()["keys"]
        return frozenset(jwk["kid"] for jwk in published)

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Stop, do something with the database that nobody uses now, and start."""

        async def again() -> None:
            await self._house.auth.stop()
            meanwhile()
            await self._house.auth.start()

        self._runner.run(again())

    def backup(self) -> None:
        self.restart(self._ground.backup)

    def rewind(self) -> None:
        self.restart(self._ground.restore)


async def _good(kit: Kit, token: Access) -> bool:
    try:
        await authenticate.bearer(kit, token.text)
    except InvalidToken:
        return False
    return True


def read_access(token: str) -> Access:
    """What an access token says of itself."""
    header, payload, _ = token.split(".")
    said = _decoded(payload)
    key = _decoded(header)["kid"]
    return Access(token, said["sub"], said["sid"], said["gen"], said["iat"], said["exp"], key)


def _decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
