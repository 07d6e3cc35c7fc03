"""The server whose `/refresh` is measured: `python -m benchmarks.refreshing PORT`. Told to, it keeps nothing.

Then it does everything else: it reads the form, checks the mac, signs an access token and mints the successor.
"""

import dataclasses
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from fastapi import FastAPI

from watchword import Auth
from watchword.core.models import Session
from watchword.core.opaque import Presented
from watchword.core.passwords import Argon2Parameters
from watchword.ports import Turn, Turned
from watchword.server.app import tune_process

CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)


class Nowhere:
    """`ports.Sessions.turn` as it would be if nothing had to be remembered."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions
        self._day = datetime.now(UTC)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    async def turn(self, presented: Presented, now: datetime, **_: timedelta) -> Turned:
        session = Session(
            id=presented.session_id,
            user_id="nobody",
            generation=presented.generation + 1,
            scopes=frozenset(),
            follows_user=True,
            methods=frozenset({"pwd"}),
            auth_time=self._day,
            client_id="first-party",
            created_at=self._day,
            used_at=now,
            idle_expires_at=now + timedelta(days=14),
            expires_at=now + timedelta(days=14),
            access_expires_at=now + timedelta(minutes=10),
            user_agent="",
            ip="",
        )
        return Turned(Turn.TURNED, session=session)


def main(port: str) -> None:
    app = FastAPI()
    auth = Auth(argon2=CHEAP).install(app, health=True)

    @app.post("/benchmark/without-storage")
    async def without_storage() -> None:
        kit = await auth.open()
        auth._kit = dataclasses.replace(kit, sessions=Nowhere(kit.sessions))

    tune_process()  # as `watchword serve` does
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1])
