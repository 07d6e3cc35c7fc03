"""Argon2id (RFC 9106), scrypt (RFC 7914) and the hashes that other systems keep: taken over, shown at the door, made new."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import bcrypt
import pytest
from tests import vectors
from tests.house import ADA, BOB, CHEAP, PASSWORD, House
from tests.importing import pbkdf2, scrypt

from watchword import Auth, Settings
from watchword.core import passwords
from watchword.core.passwords import OWASP, Argon2Parameters
from watchword.flows import importing
from watchword.ports import Ending

OURS = re.compile(r"\$argon2id\$v=19\$m=8,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}")


async def stored(house: House, email: str = ADA) -> str:
    found = await (await house.kit()).users.find(email)
    assert found is not None
    assert found.password_hash is not None
    return found.password_hash


async def take_over(house: House, email: str, password_hash: str) -> bool:
    """Import an account; whether the hash was accepted."""
    kit, count = await house.kit(), importing.Count()
    assert isinstance(kit.users, importing.Imports)
    line = json.dumps({"email": email, "password_hash": password_hash}).encode()
    await importing.run(kit, kit.users, [(1, line)], count, lambda _: None)
    return count.added == 1


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()


def argon2id_vectors() -> Iterator[tuple[str, str, bool]]:
    """RFC 9106 5.3 and the reference implementation's: a hash, its password, and whether it may be taken over.

    A vector with a secret or with associated data can't be written as a PHC string, and of one with a tag of under 16 bytes
    too many passwords would fit."""
    for vector in vectors.load("otp-and-kdf")["argon2id"]:
        if "secret" in vector or "ad" in vector:
            continue
        salt, tag = (b64(bytes.fromhex(vector[name])) for name in ("salt", "output"))
        phc = f"$argon2id$v=19$m={vector['memcost']},t={vector['iter']},p={vector['lanes']}${salt}${tag}"
        yield phc, bytes.fromhex(vector["pass"]).decode(), int(vector["length"]) >= 16


def scrypt_vectors() -> Iterator[tuple[str, str, bool]]:
    """RFC 7914 12, as Werkzeug writes a hash. The first has no salt and no cost, the last takes 1 GiB."""
    for block in "\n".join(vectors.load("otp-and-kdf")["scrypt_raw_lines"]).split("\n\n\n"):
        said: Mapping[str, str] = dict(re.findall(r"^(\w+) = ?(.*)$", block, re.MULTILINE))
        cost = f"scrypt:{said['N']}:{said['r']}:{said['p']}"
        yield f"{cost}${said['SALT']}${said['DERIVED_KEY']}", said["PASSWORD"], int(said["N"]) in (1024, 16384)


async def test_the_vectors_of_the_rfcs_sign_in_or_are_not_taken_over(house: House) -> None:
    """PW-06: a library that computes another function than its name says lets nobody in, or everybody. Each vector is
    the hash of an imported account, its password signs in through the door, and nothing near it does; a vector that
    protects nobody, or that would take all memory, is no account."""
    tried: list[bool] = []
    for number, (phc, password, good) in enumerate([*argon2id_vectors(), *scrypt_vectors()]):
        email = f"user{number}@example.com"
        assert await take_over(house, email, phc) is good, phc
        tried.append(good)
        if not good:
            assert (await house.try_login(email, password)).status_code == 400
            continue
        for wrong in (password + "x", password.upper() + "!", "x"):
            assert (await house.try_login(email, wrong)).status_code == 400
        assert await stored(house, email) == phc
        if password:  # a form can't carry an empty one to its field
            await house.login(email, password)
            assert OURS.fullmatch(await stored(house, email))
            await house.login(email, password)
    assert (tried.count(True), tried.count(False)) == (5, 4)


async def test_what_we_keep_is_argon2id_at_the_cost_that_owasp_names(tmp_path: Path, sqlite_url: str) -> None:
    """PW-06: the attacker has the table of users, and a machine that hashes. Each guess costs him 19 MiB and two
    passes, for each user anew: two users with one password have nothing in common in it."""
    auth = Auth(Settings(data_dir=tmp_path / "home", database_url=sqlite_url))
    kept: list[str] = []
    try:
        kit = await auth.open()
        kept += [await kit.hashing.hash(PASSWORD) for _ in range(2)]
    finally:
        await auth.stop()
    for phc in kept:
        found = re.fullmatch(
            r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})", phc
        )
        assert found is not None, "128 bits of salt, 256 of hash"
        assert [int(cost) >= least for cost, least in zip(found.groups()[:3], (19456, 2, 1), strict=True)] == [True] * 3
    assert not set(kept[0].split("$")[4:]) & set(kept[1].split("$")[4:])
    assert Argon2Parameters(memory_cost=19456, time_cost=2, parallelism=1) == OWASP


async def test_equal_passwords_of_two_users_do_not_look_alike(either: House) -> None:
    """PW-06: in a stolen table the attacker looks for hashes that stand twice: those are the common passwords."""
    for email in (ADA, BOB):
        await either.register(email)
    ada, bob = await stored(either, ADA), await stored(either, BOB)
    assert OURS.fullmatch(ada)
    assert not set(ada.split("$")[4:]) & set(bob.split("$")[4:])


KINDS = {
    "bcrypt": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "PBKDF2": pbkdf2(),
    "scrypt": scrypt(),
    "Argon2id, dearer": passwords.hash_password(PASSWORD, Argon2Parameters(64, 2, 1)),
    "Argon2id, cheaper in passes": passwords.hash_password(PASSWORD, Argon2Parameters(16, 1, 1)),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_old_hash_is_made_new_by_the_login_that_shows_the_password(either: House, kind: str) -> None:
    """PW-06: ten years ago a thousand rounds were enough. The attacker who steals the table today finds old hashes only
    of those who have not been here since: the first login with the right password makes a new one, a wrong one changes
    nothing."""
    old = KINDS[kind]
    assert await take_over(either, ADA, old)
    assert (await either.try_login(password=PASSWORD + "x")).status_code == 400
    assert await stored(either) == old
    await either.login()
    assert OURS.fullmatch(await stored(either))
    await either.login()
    assert (await either.try_login(password=PASSWORD + "x")).status_code == 400


async def test_a_cheaper_cost_of_before_is_raised(either: House) -> None:
    """PW-06: the operator raised the cost. Hashes of our own with the old one are raised by the next login too."""
    await either.register()
    kit = await either.kit()
    found = await kit.users.find(ADA)
    assert found is not None
    cheap = passwords.hash_password(PASSWORD, Argon2Parameters(memory_cost=16, time_cost=1, parallelism=2))
    await kit.users.set_password(found.user.id, cheap, either.clock.now(), ending=Ending.NONE)
    await either.login()
    assert OURS.fullmatch(await stored(either))
    assert CHEAP.hasher.check_needs_rehash(cheap)
