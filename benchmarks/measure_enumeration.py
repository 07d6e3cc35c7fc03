"""Time logins, registrations and forgotten passwords of known and unknown people in pairs, over HTTP, as an attacker would."""

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import bcrypt
import httpx2
from tests import live
from tests.letterbox import SENDER, mailbox

from watchword import Auth, Settings
from watchword.core import passwords
from watchword.ports import NewUser

RESULTS = Path(__file__).parent / "results"
BOUND_MS = 2.0
SMALLEST_P = 0.01
"""Below it, the two samples are unlikely to be of one distribution."""

PASSWORD = "seven lanterns over the harbour"
LIMITS = {"WATCHWORD_ATTEMPTS_PER_NETWORK": "10000"}
BCRYPT_COST = 11

Ask = Callable[[str], Awaitable[int]]


async def seed(folder: Path, people: int, *, imported: bool) -> None:
    """Accounts; of every two, one with a bcrypt hash that takes longer than ours, where some are `imported`."""
    auth = await Auth(Settings(data_dir=folder / ".watchword")).start()
    kit = await auth.open()
    ours = passwords.hash_password(PASSWORD)
    theirs = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()
    for number in range(people):
        stored = theirs if imported and number % 2 else ours
        new = NewUser(kit.new_id(), f"known{number}@example.com", None, stored, frozenset(), kit.clock.now())
        await kit.users.add(new)
    await auth.stop()


async def timed(ask: Ask, address: str, expected: int) -> float:
    """Milliseconds until the answer."""
    since = time.perf_counter()
    status = await ask(address)
    taken = (time.perf_counter() - since) * 1000
    assert status == expected, status
    return taken


async def pairs(name: str, ask: Ask, count: int, expected: int) -> tuple[list[float], list[float]]:
    """Each known person beside one that nobody knows, in either order."""
    known: list[float] = []
    unknown: list[float] = []
    for number in range(count):
        turns = [(known, f"known{number}@example.com"), (unknown, f"other{number}@example.com")]
        random.shuffle(turns)
        for times, address in turns:
            times.append(await timed(ask, address, expected))
        print(f"\r{name}: {number + 1}/{count} pairs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return known, unknown


def mann_whitney(one: list[float], other: list[float]) -> float:
    """The two-sided p of Mann and Whitney's test (1947), by its normal approximation."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks = sum(rank for rank, (_, mine) in enumerate(ranked, 1) if mine)
    m, n = len(one), len(other)
    z = (ranks - m * (m + n + 1) / 2) / math.sqrt(m * n * (m + n + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


async def with_mail(count: int) -> dict[str, tuple[list[float], list[float]]]:
    """The same where mails go out, over a real SMTP server."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await seed(folder, count, imported=False)
        async with mailbox() as box:
            mail = {"WATCHWORD_MAIL_URL": box.url, "WATCHWORD_MAIL_FROM": SENDER}
            with live.serving(folder, **LIMITS, **mail) as url:
                async with httpx2.AsyncClient(base_url=url, timeout=60) as client:

                    async def forgot(address: str) -> int:
                        return (await client.post("/forgot-password", json={"email": address})).status_code

                    async def register(address: str) -> int:
                        body = {"email": address, "password": PASSWORD}
                        return (await client.post("/register", json=body)).status_code

                    await asyncio.sleep(2)
                    await forgot("first@example.com")
                    found["forgot password"] = await pairs("forgot password", forgot, count, 202)
                    found["register, with mail"] = await pairs("register, with mail", register, count, 202)
    return found


async def measure(count: int, *, imported: bool) -> dict[str, tuple[list[float], list[float]]]:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await seed(folder, count, imported=imported)
        with live.serving(folder, **LIMITS) as url:
            async with httpx2.AsyncClient(base_url=url, timeout=60) as client:

                async def login(address: str) -> int:
                    form = {"username": address, "password": "not the password of today"}
                    return (await client.post("/login", data=form)).status_code

                async def register(address: str) -> int:
                    return (await client.post("/register", json={"email": address, "password": PASSWORD})).status_code

                await asyncio.sleep(2)  # the first upkeep is over, and the first hash made
                await login("first@example.com")
                if imported:
                    found["login, half imported"] = await pairs("login, half imported", login, count, 400)
                else:
                    found["login"] = await pairs("login", login, count, 400)
                    found["register"] = await pairs("register", register, count, 202)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500)
    count = parser.parse_args().pairs
    found = {
        **asyncio.run(measure(count, imported=False)),
        **asyncio.run(measure(count, imported=True)),
        **asyncio.run(with_mail(count)),
    }
    print(f"{count} pairs, medians in ms (bound {BOUND_MS:g} where all hashes are ours; p above {SMALLEST_P:g})")
    print(f"{'':22} {'known':>8} {'unknown':>8} {'differ':>8} {'p':>8}")
    for name, (known, unknown) in found.items():
        one, other = statistics.median(known), statistics.median(unknown)
        p = mann_whitney(known, unknown)
        kept = p > SMALLEST_P and ("imported" in name or abs(one - other) <= BOUND_MS)
        print(f"{name:22} {one:8.2f} {other:8.2f} {abs(one - other):8.2f} {p:8.3f}  {'kept' if kept else 'MISSED'}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "enumeration.json").write_text(json.dumps({name: list(times) for name, times in found.items()}))


if __name__ == "__main__":
    main()
