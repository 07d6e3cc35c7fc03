"""docs/en/journeys.md, against the journeys as they really run."""

import re
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI

import watchword
from watchword import Auth, Settings, ports
from watchword.core import passwords
from watchword.core.passwords import Argon2Parameters
from watchword.testing import FrozenClock

SOURCE = Path(watchword.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "en" / "journeys.md"
PASSWORD = "correct horse battery staple"
CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)
VERBS = {
    name
    for port in (ports.Users, ports.Sessions, ports.Keys, ports.Revocations, ports.Scratch)
    for name in vars(port)
    if not name.startswith("_")
}
MEMORY = {"fresh", "covers", "apply", "watch"}
"""Verbs of `Revocations` that ask this worker's memory, not the store."""


class Recorder:
    """A profile function that notes each room at its first visit; `trips` are the verbs that went to the store."""

    def __init__(self, furniture: set[str]) -> None:
        self.furniture = furniture
        self.rooms: list[str] = []
        self.trips: list[str] = []

    def is_stop(self, place: str) -> bool:
        return place.startswith(("web/", "flows/")) and place not in self.furniture

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        room = place(frame)
        if room is None:
            return
        if room.split("/")[0] not in ("web", "flows", "core") or room in self.furniture or room in self.rooms:
            return
        caller = frame.f_back
        while caller is not None and place(caller) is None:
            caller = caller.f_back
        came_from = place(caller) if caller else None
        if room.startswith("core/") and came_from is not None and not self.is_stop(came_from):
            return
        self.rooms.append(room)


def place(frame: FrameType) -> str | None:
    """`web/guard` for a frame in src/watchword/web/guard.py."""
    path = Path(frame.f_code.co_filename)
    return str(path.relative_to(SOURCE).with_suffix("")) if path.is_relative_to(SOURCE) else None


class CountedStore:
    """A store whose verbs are counted as trips."""

    def __init__(self, store: Any, trips: list[str]) -> None:
        self._store = store
        self._trips = trips

    def __getattr__(self, name: str) -> Any:
        if name in VERBS - MEMORY:
            self._trips.append(name)
        return getattr(self._store, name)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[FastAPI, Auth]]:
    auth = Auth(Settings(data_dir=tmp_path), clock=FrozenClock(), argon2=CHEAP)
    app = FastAPI()
    auth.install(app)

    @app.get("/items/", dependencies=[Depends(auth.principal)])
    async def items() -> list[str]:
        return ["Foo"]

    yield app, auth
    await auth.stop()


def documented() -> dict[str, tuple[list[str], int]]:
    rows = re.findall(r"^\| ([a-z ]+) \| ((?:web|flows|core)/[^|]+) \| ≤? ?(\d+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: (rooms.strip().split(" → "), int(trips)) for name, rooms, trips in rows}


def furniture() -> set[str]:
    section = PAGE.read_text().split("| furniture |")[1]
    return set(re.findall(r"(?:web|flows|core)/\w+", section.split("\n\n")[0]))


async def record(auth: Auth, act: Callable[[], Awaitable[None]]) -> Recorder:
    """Run one journey with every call watched, in this thread and in the threads that it starts."""
    recorder = Recorder(furniture())
    kit = await auth.open()
    originals = {name: getattr(kit, name) for name in ("users", "sessions", "revocations", "scratch")}
    for name, store in originals.items():
        object.__setattr__(kit, name, CountedStore(store, recorder.trips))
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    try:
        await act()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        for name, store in originals.items():
            object.__setattr__(kit, name, store)
    return recorder


async def made(auth: Auth, email: str) -> None:
    """A user, made without the hashing pool: its thread must start while it is watched."""
    kit = await auth.open()
    stored = passwords.hash_password(PASSWORD, CHEAP)
    await kit.users.add(ports.NewUser("ada", email, None, stored, frozenset(), kit.clock.now()))


def test_the_page_documents_the_four_journeys_with_at_most_five_rooms_each() -> None:
    pages = documented()
    assert set(pages) == {"log in", "authenticated request", "refresh", "log out"}
    assert all(len(rooms) <= 5 for rooms, _ in pages.values())


async def test_the_real_journeys_are_those_of_the_page(house: tuple[FastAPI, Auth]) -> None:
    app, auth = house
    pages = documented()
    tokens: dict[str, str] = {}
    await auth.start()
    async with (
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client,
    ):
        await made(auth, "ada@example.com")

        async def log_in() -> None:
            answer = await client.post("/login", data={"username": "ada@example.com", "password": PASSWORD})
            assert answer.status_code == 200
            tokens.update(answer.json())

        async def look() -> None:
            assert (await client.get("/items/", headers=bearer())).status_code == 200

        async def refresh() -> None:
            form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
            answer = await client.post("/refresh", data=form)
            assert answer.status_code == 200
            tokens.update(answer.json())

        async def log_out() -> None:
            assert (await client.post("/logout", headers=bearer())).status_code == 204

        def bearer() -> dict[str, str]:
            return {"Authorization": f"Bearer {tokens['access_token']}"}

        journeys = {"log in": log_in, "authenticated request": look, "refresh": refresh, "log out": log_out}
        for name, act in journeys.items():
            rooms, trips = pages[name]
            seen = await record(auth, act)
            assert seen.rooms == rooms, name
            assert len(seen.trips) <= trips, (name, seen.trips)
