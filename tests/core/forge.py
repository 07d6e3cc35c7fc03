"""An attacker's workbench: real keys, and tokens made of any header and payload, properly signed."""

import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from watchword.core import jose, keys, strict_json
from watchword.core.jose import KeySet, SigningKey
from watchword.core.models import Session
from watchword.core.policy import Policy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
T = NOW.timestamp()
SECRET = bytes(range(64))
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
REFRESH_KEY = bytes(32)
SESSION_ID = "a" * 26
POLICY = Policy()


def material(alg: str, nth: int = 0) -> Any:
    """The private key (or secret) for one algorithm; `nth` tells several of one kind apart. RSA keys are shared."""
    return _material(alg, nth)


@functools.cache
def _material(alg: str, nth: int) -> Any:
    if alg.startswith("HS"):
        return SECRET if nth == 0 else bytes([nth]) * 64
    if alg.startswith(("RS", "PS")):
        return _rsa(nth)
    if alg == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    if alg.startswith("Ed"):
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[alg])


@functools.cache
def _rsa(nth: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def signer(alg: str, kid: str = "k", nth: int = 0) -> SigningKey:
    return SigningKey(kid, alg, material(alg, nth))


def jwk(alg: str, kid: str | None = "k", /, *, private: bool = False, nth: int = 0, **members: Any) -> dict[str, Any]:
    """The JWK of our key for `alg`; a member that is given as None is left out."""
    key = material(alg, nth)
    if alg.startswith("HS"):
        made: dict[str, Any] = {"kty": "oct", "k": jose.b64encode(key)}
    else:
        made = dict(jose.ALGORITHMS[alg].to_jwk(key if private else key.public_key(), as_dict=True))
        made.pop("key_ops", None)
    made |= {"kid": kid, "alg": alg} | members
    return {name: value for name, value in made.items() if value is not None}


def jwks(*members: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(members)}


def key_set(*members: dict[str, Any]) -> KeySet:
    return KeySet.from_jwks(jwks(*members))


def segment(part: object) -> str:
    """Base64url of bytes, or of anything else as JSON (of a kind that no strict writer would make)."""
    return jose.b64encode(part if isinstance(part, bytes) else json.dumps(part).encode())


def signed(header: object, payload: object, key: SigningKey) -> str:
    """A compact JWS over these very parts. The signature is genuine, whatever the header says."""
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{jose.b64encode(jose.ALGORITHMS[key.alg].sign(text.encode(), key.material))}"


def record(generation: int, alg: str = "ES256", signs_from: datetime = NOW, **fields: Any) -> keys.KeyRecord:
    made = {"sealed": b"", "created_at": signs_from, "retired_at": None, **fields}
    return keys.KeyRecord(generation, f"kid-{generation}", alg, made.pop("sealed"), signs_from=signs_from, **made)


def ring(*records: keys.KeyRecord) -> keys.KeyRing:
    """A worker's keys: one record's key differs from another's."""
    listed = records or (record(1),)
    private = {each.kid: signer(each.alg, each.kid, each.generation) for each in listed}
    return keys.ring(listed, private, (REFRESH_KEY,))


def session(**fields: Any) -> Session:
    made: dict[str, Any] = {
        "id": SESSION_ID,
        "user_id": "u" * 26,
        "generation": 3,
        "scopes": frozenset({"read", "write"}),
        "follows_user": True,
        "methods": frozenset({"pwd"}),
        "auth_time": NOW,
        "client_id": "first-party",
        "created_at": NOW,
        "used_at": NOW,
        "idle_expires_at": NOW + timedelta(days=14),
        "expires_at": NOW + timedelta(days=90),
        "access_expires_at": NOW,
        "user_agent": None,
        "ip": None,
    }
    return Session(**(made | fields))


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good access token of our own; a claim that is given as `...` is left out."""
    made: dict[str, Any] = {
        "iss": POLICY.issuer,
        "sub": "u" * 26,
        "aud": POLICY.audience,
        "client_id": "first-party",
        "iat": int(T),
        "exp": int(T) + 600,
        "jti": "j" * 22,
        "scope": "read write",
        "sid": SESSION_ID,
        "gen": 3,
        "auth_time": int(T),
        "amr": ["pwd"],
    }
    made |= changes
    return {name: value for name, value in made.items() if value is not ...}


def header(**changes: Any) -> dict[str, Any]:
    """The header of a good access token of our own; a name that is given as `...` is left out."""
    made: dict[str, Any] = {"alg": "ES256", "kid": "kid-1", "typ": "at+jwt"} | changes
    return {name: value for name, value in made.items() if value is not ...}


def access_token(head: object = None, payload: object = None, key: SigningKey | None = None) -> str:
    """An access token signed with the key of `ring()`, good unless a part of it is given."""
    return signed(
        header() if head is None else head,
        strict_json.dumps(claims()) if payload is None else payload,
        key or signer("ES256", "kid-1", 1),
    )
