"""Our own signing keys: what is published of them, how they follow one another, and what a thief of the database has.

Each docstring begins with the row of the security requirements that it shows. Several workers (KY-07, KY-10) are in
`tests/races`.
"""

import base64
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.attacks.forger import Forger, assert_refused, forger
from tests.house import House, open_house

from watchword.core import jose
from watchword.core.errors import ConfigError
from watchword.core.jose import SigningKey
from watchword.core.policy import LEEWAY, MAX_ACCESS_TTL
from watchword.flows import signing_keys, upkeep


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
async def test_nothing_private_is_ever_published(tmp_path: Path, sqlite_url: str, alg: str) -> None:
    """KY-06: the attacker reads the published set at every moment of every rotation, in the hope that one serialises
    too much. It holds public members alone; a symmetric key is not in it at all."""
    rounds = 5 if alg == "RS256" else 60
    async with open_house(tmp_path, database_url=sqlite_url, signing_alg=alg) as house:
        kit, seen = await house.kit(), set()
        for _ in range(rounds):
            house.clock.tick(3600)
            now = house.clock.now()
            await kit.keyring.publish(await kit.keyring.records(), now, now)
            answer = await house.client.get("/.well-known/jwks.json")
            for jwk in answer.json()["keys"]:
                assert jwk.keys() <= {"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"}
                assert (jwk["alg"], jwk["use"], jwk["key_ops"]) == (alg, "sig", ["verify"])
                seen.add(jwk["kid"])
            for key in kit.keyring.ring.private.values():
                assert not [text for text in spelled(secret_of(key)) if text in answer.content]
            await kit.keyring.prune(now)
        assert len(seen) == (0 if alg == "HS256" else rounds + 1)


async def test_a_key_that_was_copied_dies_with_its_time(either: House) -> None:
    """KY-07: the attacker copied the signing key. It is rotated as it is every month, and he goes on signing with the
    old one. That serves him until the last token that it may rightly have signed has expired, and not a second longer.
    Nobody else is ever refused: neither with the last token of the old key nor with the first of the new one."""
    thief = await forger(either)
    kit, login = await either.kit(), thief.login
    while len(kit.keyring.ring.records) == 1:
        either.clock.tick(timedelta(days=1))
        login = await either.refresh(login.refresh)
        await upkeep.run(kit)
    successor = kit.keyring.ring.records[-1].signs_from
    while either.clock.now() < successor + timedelta(minutes=10):
        before, login = login, await either.refresh(login.refresh)
        either.clock.tick(60)
        assert [(await either.me(one)).status_code for one in (before, login)] == [200, 200]
    assert kit.keyring.ring.signer(either.clock.now()).kid != thief.key.kid
    either.clock.tick(successor + MAX_ACCESS_TTL + LEEWAY - either.clock.now() - timedelta(seconds=1))
    login = await either.refresh(login.refresh)
    now = int(either.clock.timestamp())
    lasting = Forger(either, login, thief.key).token(iat=now, exp=now + 600)
    assert (await thief.present(lasting)).status_code == 200
    either.clock.tick(1)
    assert_refused(await thief.present(lasting))
    await upkeep.run(kit)
    assert_refused(await thief.present(lasting))
    assert (await either.me(login)).status_code == 200


async def test_a_key_that_is_known_to_be_stolen_dies_at_once(either: House) -> None:
    """KY-07: the operator has learned of the theft and retires the key. From then on it verifies nothing, neither what
    the thief makes now nor what he had made before and was remembered; and it is not published any more. Whoever is
    signed in refreshes, and is signed in."""
    thief = await forger(either)
    made = thief.token(sub="somebody else")
    assert (await thief.present(thief.token())).status_code == 200
    await signing_keys.retire(await either.kit(), 1)
    for token in (made, thief.token(), thief.login.access):
        assert_refused(await thief.present(token))
    published = (await either.client.get("/.well-known/jwks.json")).json()["keys"]
    assert thief.key.kid not in {jwk["kid"] for jwk in published}
    assert len(published) == 1
    assert (await either.me(await either.refresh(thief.login.refresh))).status_code == 200


def secret_of(key: SigningKey) -> bytes:
    """The number, or the seed, that makes the key private."""
    match key.alg:
        case "HS256":
            return bytes(key.material)
        case "ES256":
            number: int = key.material.private_numbers().private_value
            return number.to_bytes(32)
        case "RS256":
            prime: int = key.material.private_numbers().p
            return prime.to_bytes((prime.bit_length() + 7) // 8)
        case _:
            seed: bytes = key.material.private_bytes_raw()
            return seed


def spelled(secret: bytes) -> list[bytes]:
    """The ways in which bytes get into a file, a log or an answer."""
    return [
        secret,
        secret.hex().encode(),
        jose.b64encode(secret).encode(),
        base64.b64encode(secret),
        str(int.from_bytes(secret)).encode(),
        repr(secret)[2:-1].encode(),
        json.dumps(secret.decode("latin-1")).encode(),
    ]


async def contents(house: House) -> bytes:
    """All that the database holds, as its values and, for a SQLite file, as its bytes."""
    assert house.auth._home is not None
    database, found = house.auth._home.db, []
    async with database.read() as connection:
        for table in ("users", "sessions", "feed", "keys", "facts"):
            for row in await connection.exec_driver_sql(f"SELECT * FROM watchword_{table}"):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    files = database.path.parent.glob(database.path.name + "*") if database.path else ()
    return b"\n".join([*found, *(file.read_bytes() for file in files)])


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
async def test_a_stolen_database_signs_nothing(
    tmp_path: Path, database_url: str, alg: str, caplog: pytest.LogCaptureFixture
) -> None:
    """KY-09: the attacker has the database, with its journal, and all that was ever logged. The signing keys are sealed
    in it, and the master key is elsewhere: in a file that nobody else may read, also where the process's umask forbids
    nothing."""
    caplog.set_level(1)
    umask = os.umask(0)
    try:
        async with open_house(tmp_path, database_url=database_url, signing_alg=alg) as house:
            await house.register()
            await house.refresh((await house.login()).refresh)
            kit = await house.kit()
            shown = repr((kit, house.auth, house.auth.settings, kit.keyring.ring, kit.keyring.ring.private))
            held, seen = await contents(house), (caplog.text + shown).encode()
            master = (tmp_path / "home" / "master.key").read_text().strip().encode()
            secrets = [secret_of(key) for key in kit.keyring.ring.private.values()]
            secrets += [key.private_bytes() for key in kit.keyring.ring.private.values()]
            secrets += [master, jose.b64decode(master.decode()), *kit.keyring.ring.refresh_keys]
            assert kit.keyring.ring.records[0].sealed in held
            for secret in secrets:
                for text in spelled(secret):
                    assert text not in held
                    assert text not in seen
    finally:
        os.umask(umask)
    folder = tmp_path / "home"
    assert oct((folder / "master.key").stat().st_mode & 0o777) == "0o600"
    assert oct(folder.stat().st_mode & 0o777) == "0o700"


async def test_a_fault_does_not_tell_a_key(tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """KY-09: the attacker breaks what he can reach, and reads what is said of it. He writes into the database, gives
    the server another master key, or copies one sealed key over another."""
    caplog.set_level(1)
    master = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
    async with open_house(tmp_path, database_url=sqlite_url, master_keys=master) as house:
        kit = await house.kit()
        now = house.clock.now()
        await kit.keyring.publish(await kit.keyring.records(), now, now)
        secrets = [secret_of(key) for key in kit.keyring.ring.private.values()] + [master.encode()]
        assert house.auth._home is not None
        async with house.auth._home.db.write() as connection:
            await connection.exec_driver_sql(
                "UPDATE watchword_keys SET sealed = (SELECT sealed FROM watchword_keys WHERE generation = 1)"
            )
    said = caplog.text
    for key in (master, master[::-1], "xq7-brief"):
        with pytest.raises(ConfigError) as caught:
            async with open_house(tmp_path, database_url=sqlite_url, master_keys=key):
                pytest.fail("it started")
        said += f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
        assert key not in said
    assert "none of the keys opens watchword_keys.sealed.2" in said
    assert not [text for secret in secrets for text in spelled(secret) if text in said.encode()]
