"""Signatures: compact JWS (RFC 7515) and JWK sets (RFC 7517), stricter than the library beneath.

Everything is parsed here, once; PyJWT's algorithm objects are then given bytes and a typed key. The key decides which
algorithm is used, the header never does (RFC 8725 3.1). This is the only module that knows PyJWT.
"""

import binascii
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import jwt.exceptions as pyjwt
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    HMACAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
)

from watchword.core import strict_json
from watchword.core.errors import BadSignature, ExpiredToken, InvalidToken, MalformedToken, UnknownKey

MAX_TOKEN = 8192
MAX_HEADER = 2048
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16384

COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
STANDARD, URL_SAFE = bytes.maketrans(b"-_", b"+/"), bytes.maketrans(b"+/", b"-_")
"""From the alphabet of RFC 4648 5 to that of section 4, and back."""

DANGEROUS = ("crit", "b64", "jku", "jwk", "x5u", "zip")
"""Header names that change what is verified, or with what: never followed, always refused. RFC 8725 3.10."""

ALGORITHMS: dict[str, Algorithm] = {
    "HS256": HMACAlgorithm(HMACAlgorithm.SHA256),
    "HS384": HMACAlgorithm(HMACAlgorithm.SHA384),
    "HS512": HMACAlgorithm(HMACAlgorithm.SHA512),
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
    "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "PS384": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384),
    "PS512": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1),
    "ES384": ECAlgorithm(ECAlgorithm.SHA384, ec.SECP384R1),
    "ES512": ECAlgorithm(ECAlgorithm.SHA512, ec.SECP521R1),
    "EdDSA": OKPAlgorithm(),
    "Ed25519": OKPAlgorithm(),
    "Ed448": OKPAlgorithm(),
}
ECDSA: dict[str, tuple[int, ec.ECDSA]] = {
    "ES256": (32, ec.ECDSA(hashes.SHA256())),
    "ES384": (48, ec.ECDSA(hashes.SHA384())),
    "ES512": (66, ec.ECDSA(hashes.SHA512())),
}
"""The bytes of each half of a signature, and how it is verified. RFC 7518 3.4."""

HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
CURVES: dict[str, tuple[str, ec.EllipticCurve, int]] = {
    "P-256": ("ES256", ec.SECP256R1(), 32),
    "P-384": ("ES384", ec.SECP384R1(), 48),
    "P-521": ("ES512", ec.SECP521R1(), 66),
}
EDWARDS: dict[str, tuple[Any, Any]] = {
    "Ed25519": (ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey),
    "Ed448": (ed448.Ed448PublicKey, ed448.Ed448PrivateKey),
}
FAMILIES: dict[str, frozenset[str]] = {
    "oct": frozenset({"HS256", "HS384", "HS512"}),
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    "EC": frozenset({"ES256", "ES384", "ES512"}),
    "OKP": frozenset({"EdDSA", "Ed25519", "Ed448"}),
}
SIGNING_ALGORITHMS = ("ES256", "Ed25519", "RS256", "HS256")


class TokenExpired(ExpiredToken, pyjwt.ExpiredSignatureError):
    """The tutorial's token is past its `exp`; also PyJWT's ExpiredSignatureError."""


class TokenSignatureInvalid(BadSignature, pyjwt.InvalidSignatureError):
    """The tutorial's token was signed with another secret, or changed; also PyJWT's InvalidSignatureError."""


class TokenMalformed(MalformedToken, pyjwt.DecodeError):
    """The tutorial's token is not a JWT at all; also PyJWT's DecodeError."""


class TokenRefused(InvalidToken, pyjwt.InvalidTokenError):
    """The tutorial's token is refused for any other reason; also PyJWT's InvalidTokenError."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a good signature stands for: the header as parsed, the payload's bytes as signed."""

    header: Mapping[str, Any]
    payload: bytes
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key that verifies one algorithm. `names` are the header values that may name it (EdDSA has two, RFC 9864)."""

    kid: str | None
    alg: str
    names: frozenset[str]
    material: Any = field(repr=False)

    @property
    def symmetric(self) -> bool:
        return self.alg in HMAC_BYTES


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its one algorithm; its text shows neither."""

    kid: str
    alg: str
    material: Any = field(repr=False)

    def verifying(self) -> VerifyingKey:
        """The half that verifies (the same secret for HS256)."""
        public = self.material if self.alg in HMAC_BYTES else self.material.public_key()
        return VerifyingKey(self.kid, self.alg, frozenset({self.alg}), public)

    def public_jwk(self) -> dict[str, Any] | None:
        """What may be published (RFC 7517), or None: a symmetric key has no public half."""
        if self.alg in HMAC_BYTES:
            return None
        members = ALGORITHMS[self.alg].to_jwk(self.material.public_key(), as_dict=True)
        return {**members, "kid": self.kid, "alg": self.alg, "use": "sig", "key_ops": ["verify"]}

    def private_bytes(self) -> bytes:
        """The key as it is sealed into the database: PKCS #8, or the secret itself. Never log it."""
        if self.alg in HMAC_BYTES:
            return bytes(self.material)
        der: bytes = self.material.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return der


class KeySet:
    """Keys by `kid`. A token without `kid` is only looked at when there is exactly one key (RFC 7515 4.1.4)."""

    __slots__ = ("_by_kid", "_only")

    def __init__(self, keys: Iterable[VerifyingKey]) -> None:
        listed = list(keys)
        self._by_kid = {key.kid: key for key in listed if key.kid is not None}
        self._only = listed[0] if len(listed) == 1 else None
        if len(self._by_kid) != sum(key.kid is not None for key in listed):
            raise InvalidToken("the key set names one kid twice")

    @classmethod
    def from_jwks(cls, jwks: dict[str, Any]) -> "KeySet":
        """The usable keys of a JWK set (RFC 7517 5).

        A key of an unknown type, curve or algorithm, or for another use, is left out. Raises InvalidToken for a set
        that is malformed, repeats a kid, mixes symmetric with asymmetric keys, or holds a weak or inconsistent key.
        """
        given: object = jwks
        members = given.get("keys") if isinstance(given, Mapping) else None
        if not isinstance(members, list) or not all(isinstance(member, Mapping) for member in members):
            raise InvalidToken("the JWK set is malformed")
        kinds = {_text(member, "kty") for member in members}
        if "oct" in kinds and kinds & {"RSA", "EC", "OKP"}:
            raise InvalidToken("the JWK set mixes symmetric and asymmetric keys")
        kids = [member["kid"] for member in members if "kid" in member]
        if not all(isinstance(kid, str) for kid in kids) or len(set(kids)) != len(kids):
            raise InvalidToken("the JWK set repeats a kid, or has one that is not a string")
        return cls(key for member in members if (key := _from_jwk(member)) is not None)

    def __len__(self) -> int:
        return len(self._by_kid) or (1 if self._only else 0)

    def __contains__(self, kid: object) -> bool:
        return kid in self._by_kid

    def pick(self, header: Mapping[str, Any]) -> VerifyingKey:
        """The key that this header's `kid` names. Raises InvalidToken, before any cryptography, when there is none."""
        kid = header.get("kid")
        if "kid" in header and not isinstance(kid, str):
            raise InvalidToken("the kid is not a string")
        key = self._only if kid is None else self._by_kid.get(kid)
        if key is None:
            raise UnknownKey("no key has this kid")
        alg = header.get("alg")
        if not isinstance(alg, str) or alg not in key.names:
            raise InvalidToken("the header's alg is not the key's")
        return key


def verify(token: str, keys: KeySet, limit: int = MAX_TOKEN) -> Verified:
    """The header and payload of a compact JWS whose signature is good. Raises InvalidToken and nothing else.

    One of more than `limit` characters is not looked at.
    """
    given: object = token
    if not isinstance(given, str) or len(given) > limit or not COMPACT.fullmatch(given):
        raise MalformedToken(
            "not a compact JWS of at most 8 KB" if limit == MAX_TOKEN else "not a compact JWS, or too long"
        )
    encoded_header, encoded_payload, encoded_signature = token.split(".")
    if len(encoded_header) > MAX_HEADER:
        raise MalformedToken("the header is over 2 KB")
    header = _read_header(encoded_header)
    key = keys.pick(header)
    signature = b64decode(encoded_signature)
    payload = b64decode(encoded_payload)
    signed = token[: len(encoded_header) + 1 + len(encoded_payload)].encode()
    try:
        good = _matches(key, signed, signature)
    except (ValueError, TypeError, pyjwt.PyJWTError) as error:
        raise BadSignature("the signature can't be read") from error
    if not good:
        raise BadSignature("the signature does not match")
    return Verified(header, payload, key.kid)


def _matches(key: VerifyingKey, signed: bytes, signature: bytes) -> bool:
    """Whether this is the key's signature. Raises ValueError, TypeError or PyJWTError for one that can't be read.

    For ECDSA this is what PyJWT does (RFC 7518 3.4), with what does not change made once.
    """
    if key.alg not in ECDSA:
        return bool(ALGORITHMS[key.alg].verify(signed, key.material, signature))
    size, algorithm = ECDSA[key.alg]
    if len(signature) != 2 * size:
        return False
    der = encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
    try:
        key.material.verify(der, signed, algorithm)
    except InvalidSignature:
        return False
    return True


def sign(key: SigningKey, typ: str, payload: bytes, *, named: bool = True) -> str:
    """A compact JWS over `payload`, with the header `alg`, `kid` (unless not `named`), `typ`."""
    header = {"alg": key.alg, "kid": key.kid, "typ": typ} if named else {"alg": key.alg, "typ": typ}
    signed = b64encode(strict_json.dumps(header)) + "." + b64encode(payload)
    return signed + "." + b64encode(ALGORITHMS[key.alg].sign(signed.encode(), key.material))


def generate(alg: str, kid: str, secret: bytes) -> SigningKey:
    """A new key for one of SIGNING_ALGORITHMS. `secret` is 32 random bytes, of which only HS256 makes use."""
    match alg:
        case "ES256":
            return SigningKey(kid, alg, ec.generate_private_key(ec.SECP256R1()))
        case "Ed25519":
            return SigningKey(kid, alg, ed25519.Ed25519PrivateKey.generate())
        case "RS256":
            return SigningKey(kid, alg, rsa.generate_private_key(65537, MIN_RSA_BITS))
        case "HS256":
            return hmac_key(secret, kid)
    raise ValueError(f"no signing algorithm: {alg}")


def hmac_key(secret: bytes, kid: str = "secret") -> SigningKey:
    """An HS256 key of `secret`. Raises ValueError under 32 bytes (RFC 7518 3.2) and for the text of a public key."""
    if len(secret) < HMAC_BYTES["HS256"]:
        raise ValueError("an HS256 secret has at least 32 bytes")
    try:
        return SigningKey(kid, "HS256", ALGORITHMS["HS256"].prepare_key(secret))
    except pyjwt.InvalidKeyError:
        raise ValueError("a public key can't be an HMAC secret") from None


def load(alg: str, kid: str, raw: bytes) -> SigningKey:
    """The key that `SigningKey.private_bytes` wrote."""
    if alg in HMAC_BYTES:
        return SigningKey(kid, alg, raw)
    return SigningKey(kid, alg, serialization.load_der_private_key(raw, None))


def b64encode(raw: bytes) -> str:
    """Base64url without padding. RFC 7515 2."""
    return _encoded(raw).decode()


def b64decode(text: str) -> bytes:
    """The bytes of canonical base64url. Raises MalformedToken for padding, other alphabets and set spare bits."""
    try:
        given = text.encode("ascii")
        raw = binascii.a2b_base64(given.translate(STANDARD) + b"=" * (-len(given) % 4), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedToken("not base64url") from error
    if _encoded(raw) != given:
        raise MalformedToken("not canonical base64url")
    return raw


def _encoded(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).translate(URL_SAFE, b"=")


@functools.lru_cache(maxsize=64)
def _read_header(encoded: str) -> Mapping[str, Any]:
    """The header in this text. All tokens of a key have the same, so the last that were read are remembered.

    Raises InvalidToken, which is not remembered.
    """
    header = strict_json.loads(b64decode(encoded), "header")
    _refuse_dangerous(header)
    return MappingProxyType(header)


def _refuse_dangerous(header: Mapping[str, Any]) -> None:
    for name in DANGEROUS:
        if name in header:
            raise InvalidToken(f"the header has {name}")
    cty = header.get("cty")
    if cty is not None and (not isinstance(cty, str) or cty.lower().removeprefix("application/") == "jwt"):
        raise InvalidToken("a token in a token is not offered")


def _from_jwk(jwk: Mapping[str, Any]) -> VerifyingKey | None:
    """One key of a set, or None when it is not for us. Raises InvalidToken when it is bad."""
    family = FAMILIES.get(_text(jwk, "kty"))
    alg = _text(jwk, "alg") if "alg" in jwk else None
    if family is None or not _for_verifying(jwk) or (alg is not None and alg not in ALGORITHMS):
        return None
    if alg is not None and alg not in family:
        raise InvalidToken("the JWK's alg is not of its kty")
    try:
        match jwk["kty"]:
            case "oct":
                return _from_oct(jwk, alg)
            case "RSA":
                return _from_rsa(jwk, alg or "RS256")
            case "EC":
                return _from_ec(jwk, alg)
            case _:
                return _from_okp(jwk, alg)
    except (ValueError, TypeError, UnsupportedAlgorithm, pyjwt.InvalidKeyError) as error:
        raise InvalidToken("a JWK is not a valid key") from error


def _for_verifying(jwk: Mapping[str, Any]) -> bool:
    """RFC 7517 4.2 and 4.3: `use` and `key_ops`, where present, must allow it."""
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or not all(isinstance(operation, str) for operation in operations):
        raise InvalidToken("the JWK's key_ops are malformed")
    if len(set(operations)) != len(operations):
        raise InvalidToken("the JWK repeats a key operation")
    return ("use" not in jwk or _text(jwk, "use") == "sig") and "verify" in operations


def _from_oct(jwk: Mapping[str, Any], alg: str | None) -> VerifyingKey:
    if alg is None:
        _bad("a symmetric JWK must say its alg")
    secret = _bytes(jwk, "k")
    if len(secret) < HMAC_BYTES[alg]:
        _bad("a symmetric key is shorter than its hash (RFC 7518 3.2)")
    return VerifyingKey(jwk.get("kid"), alg, frozenset({alg}), ALGORITHMS[alg].prepare_key(secret))


def _from_rsa(jwk: Mapping[str, Any], alg: str) -> VerifyingKey:
    n, e = _integer(jwk, "n"), _integer(jwk, "e")
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        _bad("an RSA key has 2,048 bits at least (RFC 7518 3.3)")
    if e < 3 or e % 2 == 0 or e.bit_length() > 256:
        _bad("an RSA exponent is odd and at least 3")
    if n % 2 == 0 or has_roca_fingerprint(n):
        _bad("an RSA modulus of a broken generator (CVE-2017-15361)")
    return VerifyingKey(jwk.get("kid"), alg, frozenset({alg}), rsa.RSAPublicNumbers(e, n).public_key())


def _from_ec(jwk: Mapping[str, Any], alg: str | None) -> VerifyingKey | None:
    if _text(jwk, "crv") not in CURVES:
        return None
    curve_alg, curve, size = CURVES[jwk["crv"]]
    if alg not in (None, curve_alg):
        _bad("the JWK's alg is not its curve's (RFC 7518 3.4)")
    x, y = _bytes(jwk, "x"), _bytes(jwk, "y")
    if len(x) != size or len(y) != size:
        _bad("a coordinate has the full length of its field (RFC 7518 6.2.1.2)")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve)
    public = numbers.public_key()
    if "d" in jwk and ec.derive_private_key(_integer(jwk, "d"), curve).public_key().public_numbers() != numbers:
        _bad("the private half belongs to another key")
    return VerifyingKey(jwk.get("kid"), curve_alg, frozenset({curve_alg}), public)


def _from_okp(jwk: Mapping[str, Any], alg: str | None) -> VerifyingKey | None:
    crv = _text(jwk, "crv")
    if crv not in EDWARDS:
        return None
    if alg not in (None, "EdDSA", crv):
        _bad("the JWK's alg is not its curve's (RFC 9864 2.2)")
    public_class, private_class = EDWARDS[crv]
    raw = _bytes(jwk, "x")
    public = public_class.from_public_bytes(raw)
    if "d" in jwk and private_class.from_private_bytes(_bytes(jwk, "d")).public_key().public_bytes_raw() != raw:
        _bad("the private half belongs to another key")
    return VerifyingKey(jwk.get("kid"), crv, frozenset({alg} if alg else {"EdDSA", crv}), public)


def has_roca_fingerprint(n: int) -> bool:
    """Whether `n` is a product of primes of the form k·M + (65537^a mod M), as one chip maker's library made them.

    Such a modulus is a power of 65537 modulo every small prime. Nemec et al., CCS 2017, section 3.
    """
    return all(n % prime in powers for prime, powers in _roca_powers())


@functools.cache
def _roca_powers() -> list[tuple[int, frozenset[int]]]:
    primes = [p for p in range(3, 168, 2) if all(p % q for q in range(3, p, 2))]
    return [(p, frozenset(pow(65537, exponent, p) for exponent in range(p - 1))) for p in primes]


def _text(jwk: Mapping[str, Any], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise InvalidToken(f"the JWK's {name} is not a string")
    return value


def _bytes(jwk: Mapping[str, Any], name: str) -> bytes:
    return b64decode(_text(jwk, name))


def _integer(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_bytes(jwk, name))


def _bad(because: str) -> NoReturn:
    raise InvalidToken(because)
