"""Keys with which an attacker could sign: secrets that he can try out or read, numbers that he can compute, keys for something
else, and sets that mean two things.

Each docstring begins with the row of the security requirements that it shows.
"""

import base64
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests import fleet
from tests.core import forge
from tests.core.test_jose import roca_prime, unsigned

from watchword import JWTManager, Settings
from watchword.core import jose
from watchword.core.errors import ConfigError, InvalidToken, UnknownKey, WeakSecret
from watchword.core.jose import KeySet, SigningKey
from watchword.core.known_secrets import known

Jwk = dict[str, Any]


def loaded(*members: Jwk) -> KeySet:
    """As whoever checks foreign tokens loads a JWK set."""
    return KeySet.from_jwks({"keys": list(members)})


def refused(*members: Jwk) -> str:
    with pytest.raises(InvalidToken) as caught:
        loaded(*members)
    return caught.value.because


def by(alg: str, key: Any, kid: str = "k", **header: Any) -> str:
    """A token that whoever has this key signs."""
    return forge.signed({"alg": alg, "kid": kid, **header}, forge.claims(), SigningKey(kid, alg, key))


# Short and known secrets


@pytest.mark.parametrize("alg", jose.HMAC_BYTES)
def test_a_secret_that_can_be_tried_out(alg: str) -> None:
    """KY-01: the attacker has one token and tries secrets on his own machine, a thousand million in a second; an empty
    one he needs not even try. A secret shorter than the hash makes no key (RFC 7518 3.2), one of its length does."""
    size = jose.HMAC_BYTES[alg]
    for length in (0, 1, 8, 16, size - 1):
        secret = forge.SECRET[:length]
        because = refused({"kty": "oct", "kid": "k", "alg": alg, "k": jose.b64encode(secret)})
        assert because.startswith("a symmetric key is shorter than its hash")
    secret = forge.SECRET[:size]
    keys = loaded({"kty": "oct", "kid": "k", "alg": alg, "k": jose.b64encode(secret)})
    assert jose.verify(by(alg, secret), keys)


@pytest.mark.parametrize("size", [0, 1, 16, 31])
def test_a_short_secret_of_one_s_own(size: int, tmp_path: Path) -> None:
    """KY-01: the same secret where it is ours: random, and too short. Nothing starts with it."""
    short = base64.urlsafe_b64encode(hashlib.sha512(b"a random one").digest()).decode()[:size]
    for make in (lambda: JWTManager(short), lambda: Settings(data_dir=tmp_path, master_keys=(short,))):
        with pytest.raises(ConfigError, match="shorter than 32 bytes"):
            make()
    with pytest.raises(ValueError, match="at least 32 bytes"):
        jose.hmac_key(short.encode())


WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in hexadecimal": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("spelling", WRITTEN)
def test_a_secret_from_a_tutorial(spelling: str, tmp_path: Path) -> None:
    """KY-02: the attacker tries the secrets of tutorials, samples and defaults first; fastapi-users starts with
    "SECRET", authx with "secret". None of them starts anything here, however it is written."""
    for secret in ("SECRET", "secret", *known()):
        with pytest.raises(WeakSecret, match="publicly known"):
            JWTManager(WRITTEN[spelling](secret))
        with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS is publicly known") as caught:
            Settings(data_dir=tmp_path, master_keys=(WRITTEN[spelling](secret),))
        assert len(secret) < 8 or secret not in str(caught.value)


@pytest.mark.parametrize("secret", ["", "SECRET", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"])
def test_the_server_does_not_start_with_it(secret: str, tmp_path: Path) -> None:
    """KY-02: a deployment copied the line from the documentation. The process ends with a failure, and names the
    setting."""
    environment = fleet.settings(f"sqlite:///{tmp_path}/db", tmp_path) | {
        "WATCHWORD_ISSUER": "https://auth.example.com",
        "WATCHWORD_MASTER_KEYS": secret,
    }
    done = subprocess.run(
        [sys.executable, "-m", "watchword", "serve", "--port", "0"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "WATCHWORD_MASTER_KEYS is " in done.stderr
    assert not secret or secret not in done.stderr + done.stdout
    assert not (tmp_path / "db").exists()


# Weak keys of others


def rsa_jwk(n: int, e: int = 65537, **members: Any) -> Jwk:
    return {"kty": "RSA", "kid": "k", "n": unsigned(n), "e": unsigned(e), **members}


def emsa(message: bytes, size: int) -> bytes:
    """RFC 8017 9.2: what an RSA signature is, to the power of 1."""
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
    return b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest


def test_an_rsa_key_with_which_anybody_signs() -> None:
    """KY-03: with the exponent 1 the signature is the padded message itself: no key is needed to write one. A small or
    an even exponent is no better."""
    n = forge.material("RS256").private_numbers().public_numbers.n
    message = f"{forge.segment({'alg': 'RS256', 'kid': 'k'})}.{forge.segment(forge.claims())}"
    signature = emsa(message.encode(), 256)
    assert pow(int.from_bytes(signature), 1, n) == int.from_bytes(signature), "and so it verifies"
    for e in (0, 1, 2, 4, 65536):
        assert refused(rsa_jwk(n, e)) == "an RSA exponent is odd and at least 3"
    with pytest.raises(InvalidToken):
        jose.verify(f"{message}.{jose.b64encode(signature)}", loaded(rsa_jwk(n)))


@pytest.mark.parametrize("bits", [1024, 2040, 2047])
def test_an_rsa_key_that_can_be_factored(bits: int) -> None:
    """KY-03: 1,024 bits are within reach of whoever can pay for it, and he signs as well as the owner. PyJWT, joserfc,
    python-jose, authlib and jwcrypto take it."""
    key = rsa.generate_private_key(65537, bits) if bits % 2 == 0 else None
    n = key.public_key().public_numbers().n if key else forge.material("RS256").public_key().public_numbers().n >> 1 | 1
    assert n.bit_length() == bits
    assert refused(rsa_jwk(n)) == "an RSA key has 2,048 bits at least (RFC 7518 3.3)"


def test_an_rsa_key_of_the_broken_generator() -> None:
    """KY-03: CVE-2017-15361. 2,048 bits, and the primes have a form by which they are found; all five libraries take
    it."""
    p, q = roca_prime(12345), roca_prime(67890)
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(65537, p * q)
    )
    assert by("RS256", numbers.private_key()), "it signs like any other"
    assert refused(rsa_jwk(p * q)) == "an RSA modulus of a broken generator (CVE-2017-15361)"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "Ed25519", "Ed448"])
def test_a_key_that_does_not_fit_together(alg: str) -> None:
    """KY-03: a point off its curve gives a private key away bit by bit; a key that claims the algorithm of another
    curve makes two verifiers disagree; a private half that is another key's signs what the public half is believed to
    have signed."""
    good, other = forge.jwk(alg, private=True), forge.jwk(alg, private=True, nth=1)
    assert loaded(good)
    bad = [
        good | {"d": other["d"]},
        good | {"alg": "RS256"},
        good | {"alg": "HS256"},
        good | {"alg": "ES256K"[:5] + "0"},
    ]
    if alg.startswith("ES"):
        bad += [good | {"x": good["y"], "y": good["x"]}, good | {"y": other["y"]}]
        bad += [good | {"x": jose.b64encode(bytes(len(jose.b64decode(good["x"])))), "d": None}]
        bad += [good | {"alg": claimed} for claimed in ("ES256", "ES384", "ES512") if claimed != alg]
        bad += [good | {"crv": crv} for crv in ("P-256", "P-384", "P-521") if crv != good["crv"]]
    else:
        bad += [good | {"x": good["x"][:-4]}, good | {"x": good["x"] + "AAAA"}]
        bad += [good | {"alg": "Ed448" if alg == "Ed25519" else "Ed25519"}]
    for jwk in bad:
        members = {name: value for name, value in jwk.items() if value is not None}
        try:
            assert len(loaded(members)) == 0, members
        except InvalidToken:
            continue
        assert members["alg"] not in jose.ALGORITHMS, "left out only where nobody knows the algorithm"


# What a key is for


@pytest.mark.parametrize(
    "purpose",
    [
        {"use": "enc"},
        {"use": "sig", "key_ops": ["encrypt"]},
        {"key_ops": ["wrapKey", "unwrapKey"]},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"use": ""},
        {"use": "SIG"},
        {"alg": "RSA-OAEP-256"},
        {"alg": "A256GCM"},
    ],
    ids=str,
)
def test_a_key_for_something_else_signs_nothing(purpose: dict[str, Any]) -> None:
    """KY-04: the set also publishes the key of the service that decrypts. Whoever runs that service has its private
    half, and signs tokens with it; PyJWT ignores what a key is for."""
    good = forge.jwk("ES256", "ours")
    keys = loaded(good, forge.jwk("RS256", "theirs", **{"alg": None} | purpose))
    assert jose.verify(by("ES256", forge.material("ES256"), "ours"), keys)
    for alg in ("RS256", "PS256"):
        with pytest.raises(UnknownKey):
            jose.verify(by(alg, forge.material("RS256"), "theirs"), keys)


def test_a_key_is_used_with_its_own_algorithm_alone() -> None:
    """KY-04: the set says that this key is for PS256, and the attacker has got an RS256 signature of it out of some
    older device."""
    keys = loaded(forge.jwk("PS256"))
    assert jose.verify(by("PS256", forge.material("PS256")), keys)
    for alg in ("RS256", "PS384", "RS512"):
        with pytest.raises(InvalidToken, match="alg is not the key's"):
            jose.verify(by(alg, forge.material("PS256")), keys)


# Sets


def test_a_set_in_which_one_name_stands_for_two_keys() -> None:
    """KY-05: the attacker adds a key to the set under a name that is there already; which of the two counts is the
    parser's choice, so a cache in front and the verifier behind choose differently."""
    ours, theirs = forge.jwk("ES256", "k"), forge.jwk("ES256", "k", nth=1)
    for members in ((ours, theirs), (theirs, ours), (ours, ours), (ours, theirs | {"use": "enc"})):
        assert refused(*members) == "the JWK set repeats a kid, or has one that is not a string"


def test_a_set_that_publishes_a_secret() -> None:
    """KY-05: a symmetric key beside public ones: the set is public, so everybody signs with it. The whole set is
    refused, for whoever publishes that has published more."""
    secret = forge.jwk("HS256", "s")
    for alg in ("ES256", "RS256", "Ed25519"):
        for members in ((secret, forge.jwk(alg)), (forge.jwk(alg), secret), (forge.jwk(alg), secret | {"use": "enc"})):
            assert refused(*members) == "the JWK set mixes symmetric and asymmetric keys"


@pytest.mark.parametrize(
    "stranger", [{"kty": "XYZ"}, {"kty": "EC", "crv": "P-0"}, {"kty": "OKP", "crv": "X25519", "x": "AA"}]
)
def test_one_key_of_a_kind_that_nobody_knows_puts_nobody_out(stranger: Jwk) -> None:
    """KY-05: RFC 7517 5. A new kind of key is added to a set, by its owner or by whoever wishes the services to stop:
    the others go on to verify, and nothing is signed by the stranger."""
    keys = loaded({"kid": "new", **stranger}, forge.jwk("ES256"))
    assert jose.verify(by("ES256", forge.material("ES256")), keys)
    with pytest.raises(UnknownKey):
        jose.verify(by("ES256", forge.material("ES256"), "new"), keys)
