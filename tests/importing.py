"""A file of accounts with bad lines of every kind in it, and a real import that is killed in the middle."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import bcrypt
from sqlalchemy import func, select
from tests import fleet
from tests.house import CHEAP
from tests.live import DEADLINE

from watchword.core.passwords import hash_password
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import users

PASSWORD = "seven lanterns over the harbour"
ONE_BAD_IN = 100


def pbkdf2(password: str = PASSWORD, iterations: int = 1000, name: str = "sha256", salt: str = "saltsaltsalt") -> str:
    """As Django writes it."""
    made = hashlib.pbkdf2_hmac(name, password.encode(), salt.encode(), iterations)
    return f"pbkdf2_{name}${iterations}${salt}${b64encode(made).decode()}"


def scrypt(password: str = PASSWORD, n: int = 1024, r: int = 8, p: int = 1, salt: str = "saltsaltsalt") -> str:
    """As Django writes it."""
    made = hashlib.scrypt(password.encode(), salt=salt.encode(), n=n, r=r, p=p, dklen=64)
    return f"scrypt${n}${salt}${r}${p}${b64encode(made).decode()}"


HASHES = (
    bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    pbkdf2(),
    scrypt(),
    hash_password(PASSWORD, CHEAP),
    None,
)
TAG = "A" * 43
BAD: tuple[Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | bytes], ...] = (
    lambda good, _: b"nonsense",
    lambda good, _: json.dumps(good).encode()[:-1],
    lambda good, _: json.dumps(good).encode() + b"\xff",
    lambda good, _: b"[" + json.dumps(good).encode() + b"]",
    lambda good, _: b"{}",
    lambda good, _: b'{"email":"a@example.com","email":"b@example.com"}',
    lambda good, _: b'{"email":"\\ud800@example.com"}',
    lambda good, _: {**good, "x": "x" * 70_000},
    lambda good, _: {**good, "email": None},
    lambda good, _: {**good, "email": "nobody"},
    lambda good, _: {**good, "password": PASSWORD},
    lambda good, _: {**good, "shoe_size": 42},
    lambda good, _: {**good, "username": "a b"},
    lambda good, _: {**good, "scopes": ['quo"ted']},
    lambda good, _: {**good, "disabled": "no"},
    lambda good, _: {**good, "created_at": "2024-05-01T12:00:00"},
    lambda good, _: {**good, "created_at": 1_700_000_000_000},
    lambda good, _: {**good, "id": "with a space"},
    lambda good, _: {**good, "password_hash": "$2b$31$" + "a" * 53},
    lambda good, _: {**good, "password_hash": pbkdf2().replace("$1000$", "$2000000000$")},
    lambda good, _: {**good, "password_hash": scrypt().replace("$1024$", "$1073741824$")},
    lambda good, _: {**good, "password_hash": f"$argon2id$v=19$m=4194304,t=1,p=1${TAG[:22]}${TAG}"},
    lambda good, _: {**good, "password_hash": HASHES[0][:-1] if HASHES[0] else ""},
    lambda good, _: {**good, "password_hash": pbkdf2(salt="")},
    lambda good, _: {**good, "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"},
    lambda good, _: {**good, "password_hash": ""},
    lambda good, before: {**good, "email": before["email"].upper()},
    lambda good, before: {**good, "username": before["username"]},
    lambda good, before: {**good, "id": before["id"]},
)
"""What makes a bad line of a good one, and of the first of the file."""


@dataclass(frozen=True)
class Plan:
    """A file of accounts: the good ones by address, the numbers of the bad lines."""

    path: Path
    good: dict[str, dict[str, Any]]
    bad: list[int]


def account(number: int) -> dict[str, Any]:
    return {
        "email": f"user{number}@example.com",
        "username": f"user{number}",
        "password_hash": HASHES[number % len(HASHES)],
        "scopes": ["items:read", f"group:{number % 7}"],
        "disabled": number % 11 == 0,
        "created_at": f"2024-05-01T{number % 24:02}:00:00+09:00",
        "id": f"00000000-0000-4000-8000-{number:012}",
    }


def write(path: Path, lines: int, one_bad_in: int = ONE_BAD_IN) -> Plan:
    """The file, with a bad line at the end of every `one_bad_in`."""
    plan = Plan(path, {}, [])
    with path.open("wb") as file:
        for number in range(1, lines + 1):
            line: dict[str, Any] | bytes = account(number)
            if number % one_bad_in == 0:
                line = BAD[len(plan.bad) % len(BAD)](account(number), account(1))
                plan.bad.append(number)
            else:
                plan.good[account(number)["email"]] = account(number)
            file.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    return plan


def start(source: str, url: str, folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    """`watchword users import`, a process of its own; what it says is in `folder`/import.log."""
    with (folder / "import.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "watchword", "users", "import", source, *options],
            cwd=folder,
            env=fleet.settings(url, folder),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def kill(process: "subprocess.Popen[bytes]", url: str, at_least: int) -> int:
    """Kill it as soon as the database has so many accounts; how many there were. It must still be at work."""
    there = asyncio.run(_until(url, at_least, process))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    return there


async def _until(url: str, at_least: int, process: "subprocess.Popen[bytes]") -> int:
    db = Database(url)
    give_up = time.monotonic() + DEADLINE
    try:
        while time.monotonic() < give_up and process.poll() is None:
            async with db.read() as connection:
                there = (await connection.execute(select(func.count()).select_from(users))).scalar_one()
            if there >= at_least:
                return int(there)
    finally:
        await db.close()
    raise AssertionError(f"the import did not come so far; it ended with {process.returncode}")


def compare(plan: Plan, url: str) -> None:
    """Exactly the good ones are there, each once and as its line says it."""
    there = asyncio.run(everybody(url))
    assert len(there) == len(plan.good)
    for row in there:
        said = plan.good[row.email]
        assert (row.id, row.username, row.password_hash) == (said["id"], said["username"], said["password_hash"])
        assert set(row.scopes.split()) == set(said["scopes"])
        assert (row.disabled_at is not None) == said["disabled"]
        assert row.created_at.timestamp() == _seconds(said["created_at"])
        assert row.epoch == 0


def _seconds(text: str) -> float:

    return datetime.fromisoformat(text).timestamp()


async def everybody(url: str) -> list[Any]:
    """Every row of the table of users."""
    db = Database(url)
    try:
        async with db.read() as connection:
            return list(await connection.execute(select(users)))
    finally:
        await db.close()
