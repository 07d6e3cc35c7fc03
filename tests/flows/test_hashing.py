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

from watchword.core import foreign_hashes, passwords
from watchword.core.clock import system_entropy
from watchword.core.errors import InvalidGrant, Overloaded, UnusableHash
from watchword.core.policy import Policy
from watchword.flows import accounts
from watchword.flows.hashing import NICENESS, HashingPool
from watchword.flows.hashing_memory import HashingMemory

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


class Held:
    """Holds whoever compares until `release`, and counts how many did at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._free = False
        self._now = 0
        self.most = 0
        self.came: list[Any] = []

    def __call__(self, *arguments: Any) -> passwords.Match:
        with self._changed:
            self.came.append(arguments)
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._free, PATIENCE)
            self._now -= 1
        return passwords.Match(outdated=False)

    async def until(self, number: int) -> None:
        """Wait until so many compare at once."""
        assert await asyncio.to_thread(self._wait, number)

    def release(self) -> None:
        with self._changed:
            self._free = True
            self._changed.notify_all()

    def _wait(self, number: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._now == number, PATIENCE)


class TestMemory:
    """An imported hash decides how much memory a login takes: up to 1 GiB. The attacker has an account with such a hash, or
    knows of one, and logs in there with many requests at once."""

    @pytest.fixture
    def wide(self) -> Iterator[HashingPool]:
        pool = HashingPool(Policy(argon2=CHEAP, hashing_threads=4, hashing_queue=16), system_entropy)
        yield pool
        pool.close()

    @pytest.fixture
    def held(self, monkeypatch: pytest.MonkeyPatch) -> Held:
        held = Held()
        monkeypatch.setattr(passwords, "verify", held)
        return held

    async def test_hashes_of_ours_are_computed_beside_each_other(self, wide: HashingPool, held: Held) -> None:
        ours = await wide.hash(PASSWORD)
        running = [asyncio.create_task(wide.verify(ours, PASSWORD)) for _ in range(4)]
        await held.until(4)
        held.release()
        await asyncio.gather(*running)

    async def test_what_takes_more_than_all_of_ours_together_is_computed_alone(
        self, wide: HashingPool, held: Held
    ) -> None:
        """Four threads with the largest hash that is accepted would take 4 GiB, and the worker would be killed."""
        large = foreign_hashes.likeness("$argon2id$v=19$m=65536,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43)
        scrypt = foreign_hashes.likeness(f"scrypt:32768:8:1$saltsalt${'0' * 128}")
        ours = await wide.hash(PASSWORD)
        running = [asyncio.create_task(wide.verify(stored, PASSWORD)) for stored in (large, scrypt, large, ours)]
        await held.until(1)
        held.release()
        await asyncio.gather(*running)
        assert len(held.came) == 4
        assert held.most == 1

    async def test_who_takes_next_to_none_waits_for_nobody(self, wide: HashingPool, held: Held) -> None:
        """bcrypt and PBKDF2 take a few KiB."""
        large = foreign_hashes.likeness("$argon2id$v=19$m=65536,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43)
        small = foreign_hashes.likeness(f"pbkdf2:sha256:1000$saltsalt${'0' * 64}"), f"$2b$04${'.' * 53}"
        running = [asyncio.create_task(wide.verify(stored, PASSWORD)) for stored in (large, *small)]
        await held.until(3)
        held.release()
        await asyncio.gather(*running)

    async def test_a_hash_that_cannot_be_read_takes_none(self, wide: HashingPool) -> None:
        with pytest.raises(UnusableHash):
            await wide.verify("nonsense", PASSWORD)

    def test_whoever_waits_for_much_is_not_passed_by_who_waits_for_little(self) -> None:
        memory = HashingMemory(10)
        order: list[str] = []

        def take(name: str, kib: int) -> None:
            with memory.taking(kib):
                order.append(name)

        with memory.taking(4):
            threads = []
            for place, (name, kib) in enumerate((("much", 8), ("little", 1))):
                threads.append(threading.Thread(target=take, args=(name, kib)))
                threads[-1].start()
                while len(memory._line) <= place:  # a place in the line is what is waited for, and it has no event
                    threading.Event().wait(0)
            assert order == []
        for thread in threads:
            thread.join(PATIENCE)
        assert order == ["much", "little"]

    def test_an_error_gives_it_back(self) -> None:
        memory = HashingMemory(10)
        for _ in range(3):
            with pytest.raises(InvalidGrant), memory.taking(10):
                raise InvalidGrant("wrong password")


class TestWhoHungUp:
    async def test_is_not_hashed_for_and_leaves_the_place(self, pool: HashingPool, gate: Gate) -> None:
        """The attacker sends logins and hangs up at once: for each, a thread would hash for 25 ms."""
        stored = await pool.hash(PASSWORD)
        hung_up = asyncio.Event()
        first = asyncio.create_task(pool.verify(stored, PASSWORD))
        await asyncio.to_thread(gate.busy.wait, PATIENCE)
        waiting = [asyncio.create_task(pool.compare(stored, PASSWORD, gone=hung_up.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        hung_up.set()
        for one in waiting:
            with pytest.raises(Overloaded, match="hung up"):
                await one
        gate.open()
        await first
        await pool.verify(stored, PASSWORD)
        assert len(gate.came) == 2

    async def test_what_has_begun_comes_to_its_end(self, pool: HashingPool, gate: Gate) -> None:
        stored = await pool.hash(PASSWORD)
        hung_up = asyncio.Event()
        begun = asyncio.create_task(pool.compare(stored, PASSWORD, gone=hung_up.wait))
        await asyncio.to_thread(gate.busy.wait, PATIENCE)
        hung_up.set()
        await asyncio.sleep(0)
        gate.open()
        assert not (await begun).outdated

    async def test_whoever_is_stopped_meanwhile_is_stopped(self, pool: HashingPool, gate: Gate) -> None:
        stored = await pool.hash(PASSWORD)
        first = asyncio.create_task(pool.verify(stored, PASSWORD))
        await asyncio.to_thread(gate.busy.wait, PATIENCE)
        waiting = asyncio.create_task(pool.compare(stored, PASSWORD, gone=asyncio.Event().wait))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open()
        await first
        assert len(gate.came) == 1

    async def test_a_look_that_fails_changes_nothing(self, pool: HashingPool) -> None:
        async def broken() -> None:
            raise OSError("the connection is in no state to be asked")

        stored = await pool.hash(PASSWORD)
        assert not (await pool.compare(stored, PASSWORD, gone=broken)).outdated
