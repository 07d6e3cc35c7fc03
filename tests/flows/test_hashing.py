"""The pool in which passwords are hashed: off the event loop, at low priority, behind a bounded queue.

A storm of logins at the door is an attack: PW-07, in `tests/attacks/test_passwords.py`.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gate import Gate
from tests.house import ADA, BOB, CHEAP, PASSWORD, PATIENCE, House, open_house

from watchword.core import passwords
from watchword.core.clock import system_entropy
from watchword.core.errors import InvalidGrant, Overloaded
from watchword.core.policy import Policy
from watchword.flows import accounts
from watchword.flows.hashing import NICENESS, HashingPool

ROOM = 4
"""One thread, and a queue of three."""


@pytest.fixture
def pool() -> Iterator[HashingPool]:
    pool = HashingPool(Policy(argon2=CHEAP, hashing_threads=1, hashing_queue=ROOM - 1), system_entropy)
    yield pool
    pool.close()


class TestThePool:
    async def test_what_it_hashes_it_verifies(self, pool: HashingPool) -> None:
        stored = await pool.hash(PASSWORD)
        assert stored.startswith("$argon2id$v=19$m=8,t=1,p=1$")
        assert not (await pool.verify(stored, PASSWORD)).outdated
        with pytest.raises(InvalidGrant):
            await pool.verify(stored, PASSWORD + "x")

    async def test_it_works_off_the_event_loop_at_low_priority(
        self, pool: HashingPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On the event loop a storm of logins would stop every other request."""
        where: list[tuple[str, int]] = []

        def note(*_: Any) -> str:
            nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if sys.platform == "linux" else NICENESS
            where.append((threading.current_thread().name, nice))
            return "hash"

        monkeypatch.setattr(passwords, "hash_password", note)
        await pool.hash(PASSWORD)
        ((name, nice),) = where
        assert name.startswith("watchword-hashing")
        assert nice >= NICENESS
        if sys.platform == "linux":
            assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < NICENESS

    async def test_the_estimate_of_a_new_password_works_there_too(
        self, pool: HashingPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There are texts whose estimate takes a second: typed into /register, they would stop every other request."""
        where: list[str] = []
        monkeypatch.setattr(passwords, "check", lambda *_: where.append(threading.current_thread().name))
        await pool.check(PASSWORD, 15, ())
        (name,) = where
        assert name.startswith("watchword-hashing")

    async def test_what_does_not_fit_is_refused_and_the_rest_is_served(self, pool: HashingPool, gate: Gate) -> None:
        stored = await pool.hash(PASSWORD)
        waiting = [asyncio.create_task(pool.verify(stored, PASSWORD)) for _ in range(ROOM)]
        await asyncio.to_thread(gate.busy.wait, PATIENCE)
        for _ in range(3):
            with pytest.raises(Overloaded) as refused:
                await pool.verify(stored, PASSWORD)
            assert refused.value.retry_after == 1
        gate.open()
        assert len(await asyncio.gather(*waiting)) == ROOM
        await pool.verify(stored, PASSWORD)

    async def test_who_goes_away_leaves_his_place(self, pool: HashingPool, gate: Gate) -> None:
        stored = await pool.hash(PASSWORD)
        waiting = [asyncio.create_task(pool.verify(stored, PASSWORD)) for _ in range(ROOM)]
        await asyncio.to_thread(gate.busy.wait, PATIENCE)
        waiting[-1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[-1]
        another = asyncio.create_task(pool.verify(stored, PASSWORD))
        await asyncio.sleep(0)
        gate.open()
        await asyncio.gather(*waiting[:-1], another)
        assert len(gate.came) == ROOM

    async def test_a_refusal_leaves_its_place_too(self, pool: HashingPool) -> None:
        stored = await pool.hash(PASSWORD)
        for _ in range(3 * ROOM):
            with pytest.raises(InvalidGrant):
                await pool.verify(stored, "wrong")
        await pool.verify(stored, PASSWORD)

    async def test_no_stored_hash_costs_as_much_as_one(
        self, pool: HashingPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A login for an unknown user that returns at once tells who has an account, without a look at the answer."""
        compared: list[str] = []
        verify = passwords.verify

        def note(stored: str, *rest: Any) -> passwords.Match:
            compared.append(stored)
            return verify(stored, *rest)

        monkeypatch.setattr(passwords, "verify", note)
        real = await pool.hash(PASSWORD)
        for stored in (real, None, None):
            with pytest.raises(InvalidGrant):
                await pool.verify(stored, "wrong")
        assert len(compared) == 3
        assert compared[1] == compared[2] != compared[0]
        assert compared[1].rsplit("$", 2)[0] == compared[0].rsplit("$", 2)[0]

    async def test_nobody_knows_the_password_of_the_decoy(self, pool: HashingPool) -> None:
        for password in ("", PASSWORD, "decoy", "None"):
            with pytest.raises(InvalidGrant):
                await pool.verify(None, password)


class TestThroughTheDoor:
    @pytest.fixture
    async def house(self, tmp_path: Path) -> AsyncIterator[House]:
        async with open_house(tmp_path, hashing_threads=1, hashing_queue=ROOM - 1) as house:
            await house.register()
            yield house

    async def test_every_refused_login_costs_one_comparison(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Unknown, wrong, disabled: who counts the time must not find a difference either."""
        await house.register(BOB)
        kit = await house.kit()
        await accounts.disable(kit, (await accounts.find(kit, BOB)).id)
        compared: list[str] = []
        verify = passwords.verify

        def note(stored: str, *rest: Any) -> passwords.Match:
            compared.append(stored)
            return verify(stored, *rest)

        monkeypatch.setattr(passwords, "verify", note)
        for name in (ADA, BOB, "nobody@example.com", "nobody", "no address @ all", "\x00", "x" * 5000):
            compared.clear()
            assert (await house.try_login(name, "wrong")).status_code == 400
            assert len(compared) == 1, name
        for name in (ADA, "nobody@example.com"):
            compared.clear()
            assert (await house.try_login(name, "x" * 1025)).status_code == 400
            assert compared == []

    async def test_a_taken_address_costs_a_registration_as_much_as_a_free_one(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str] = []
        hash_password = passwords.hash_password

        def note(password: str, *rest: Any) -> str:
            hashed.append(password)
            return hash_password(password, *rest)

        monkeypatch.setattr(passwords, "hash_password", note)
        for email in (ADA, BOB):
            await house.client.post("/register", json={"email": email, "password": PASSWORD})
        assert hashed == [PASSWORD, PASSWORD]
