"""Tokens, keys and the JSON in them. What is forged is refused, whatever it is; what is genuine was made here."""

import contextlib
import functools
import json
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from tests.core import forge
from tests.proofs.fuzz.parser import Parser

from watchword import JWTManager
from watchword.core import jose, keys, opaque, strict_json, tokens
from watchword.core.errors import InvalidGrant, InvalidToken, MalformedToken
from watchword.core.jose import KeySet, SigningKey
from watchword.core.keys import KeyRing
from watchword.testing import FrozenClock

ALGORITHMS = ("HS256", "ES256", "Ed25519")
"""Of the ring's keys; the first one, which is quick, signs what the fuzzer makes up."""

MATERIAL: dict[str, Any] = {
    "HS256": bytes(range(32)),
    "ES256": ec.derive_private_key(2**200 + 1, ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
}
"""Keys that are the same in every process, so that what was found once is found again."""

REFRESH_KEYS = (bytes(32), bytes([1]) * 32)
SECRET = "nine kettles beneath the orchard, and a lantern"


@functools.cache
def signers() -> dict[str, SigningKey]:
    """One key of each kind."""
    return {alg: SigningKey(f"kid-{nth}", alg, MATERIAL[alg]) for nth, alg in enumerate(ALGORITHMS, 1)}


@functools.cache
def ring() -> KeyRing:
    """A ring in the middle of changes of algorithm: keys of three kinds verify."""
    records = [forge.record(nth, alg) for nth, alg in enumerate(ALGORITHMS, 1)]
    return keys.ring(records, {key.kid: key for key in signers().values()}, REFRESH_KEYS)


@functools.cache
def genuine() -> tuple[str, ...]:
    """The access tokens that were made here, one of each kind."""
    return tuple(forge.signed(*_parts(alg), signers()[alg]) for alg in ALGORITHMS)


@functools.cache
def known() -> frozenset[str]:
    """The texts that may be taken. A signature of ES256 is another one each time, so what it signs is known in its place."""
    return frozenset(text.rpartition(".")[0] if _is_es256(text) else text for text in genuine())


def _is_es256(text: str) -> bool:
    return text.startswith(genuine()[1].partition(".")[0] + ".")


def _parts(alg: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"alg": alg, "kid": signers()[alg].kid, "typ": "at+jwt"}, forge.claims()


def _access_token(data: bytes) -> None:
    text = data.decode("latin-1")
    tokens.verify(text, ring(), forge.POLICY, forge.T)
    assert (text.rpartition(".")[0] if _is_es256(text) else text) in known(), "a token that nobody made was taken"


def _signed_claims(data: bytes) -> None:
    """The bytes are a header and a payload, and the signature is genuine: a key holder who has gone mad."""
    header, _, payload = data.partition(b"\n")
    alg = ALGORITHMS[0]
    signed = f"{jose.b64encode(header)}.{jose.b64encode(payload)}"
    signature = jose.ALGORITHMS[alg].sign(signed.encode(), MATERIAL[alg])
    access = tokens.verify(f"{signed}.{jose.b64encode(signature)}", ring(), forge.POLICY, forge.T)
    claims = json.loads(payload)
    assert forge.T < access.expires_at <= claims["iat"] + 3600, "a token lives that should not"
    assert access.principal.user_id == claims["sub"]
    assert hash(access.principal) is not None


def _signed_good() -> list[bytes]:
    header, claims = _parts(ALGORITHMS[0])
    more: list[dict[str, Any]] = [
        {},
        {"aud": [forge.POLICY.audience]},
        {"nbf": 1},
        {"amr": ["pwd", "otp"]},
        {"x": [{}]},
    ]
    return [strict_json.dumps(header) + b"\n" + strict_json.dumps(claims | one) for one in more]


@functools.cache
def genuine_refresh() -> tuple[str, ...]:
    """Refresh tokens that were made here, by the key in use and by the one before."""
    return tuple(
        opaque.mint("a" * 26, generation, bytes(32), keys)
        for keys in (REFRESH_KEYS, REFRESH_KEYS[1:])
        for generation in (0, 1, 2**53 - 2)
    )


def _refresh_token(data: bytes) -> None:
    """A text as it comes; with a leading `!`, one that got a genuine mac, so that what stands behind the mac is tried too."""
    text = data.decode("utf-8", "replace")
    if text.startswith("!"):
        body = text[1:]
        text = f"{body}.{jose.b64encode(opaque._mac(REFRESH_KEYS[0], body.encode('utf-8', 'replace').decode()))}"
        presented = tokens.read_refresh(text, ring())
        again = opaque.mint(presented.session_id, presented.generation, presented.r, REFRESH_KEYS)
        assert again == text, "one token has two texts"
    else:
        tokens.read_refresh(text, ring())
        assert text in genuine_refresh(), "a refresh token that nobody made was taken"


def _refresh_good() -> list[bytes]:
    return [token.encode() for token in genuine_refresh()] + [
        b"!" + token.rpartition(".")[0].encode() for token in genuine_refresh()[:3]
    ]


KINDS = ("HS256", "HS512", "RS256", "PS512", "ES256", "ES384", "ES512", "Ed25519", "Ed448")


def _jwks(data: bytes) -> None:
    """Read with the standard library, which lets through more than the strict reader does."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidToken from None
    found = KeySet.from_jwks(given)
    assert len(found) <= len(given["keys"])
    for member in given["keys"]:
        if isinstance(member.get("kid"), str) and member["kid"] in found:
            key = found.pick({"kid": member["kid"], "alg": member.get("alg") or _first_name(found, member["kid"])})
            assert key.alg in jose.FAMILIES[member["kty"]], "a key does what its type does not"
    with contextlib.suppress(InvalidToken):
        jose.verify("e30.e30.e30", found)


def _first_name(found: KeySet, kid: str) -> str:
    return min(found._by_kid[kid].names)


def _jwks_good() -> list[bytes]:
    single = [forge.jwks(forge.jwk(alg, f"k{alg}", private=not alg.startswith("HS"))) for alg in KINDS]
    asymmetric = [forge.jwk(alg, f"k{alg}") for alg in KINDS if not alg.startswith("HS")]
    return [strict_json.dumps(one) for one in [*single, forge.jwks(*asymmetric), forge.jwks()]]


def _strict_json(data: bytes) -> None:
    value = strict_json.loads(data, "object")
    assert value == json.loads(data), "two parsers read it in two ways"
    assert strict_json.loads(strict_json.dumps(value), "object") == value, "it does not come back as it was"


JSON_GOOD = [
    b"{}", b'{"a":1,"b":[true,false,null,-0.5e10],"c":{"d":"\\u00e9\\ud83d\\ude00"}}', b' {"a" : [[[[[[0]]]]]]} ',
    b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}", b'{"":""}',
]  # fmt: skip


@functools.cache
def manager() -> JWTManager:
    """The tutorial's class."""
    return JWTManager(SECRET, clock=FrozenClock())


@functools.cache
def tutorial_tokens() -> tuple[str, ...]:
    """What the tutorial's class made."""
    made: list[dict[str, Any]] = [{}, {"sub": "1"}, {"sub": "1", "roles": ["a", {"b": None}]}]
    return tuple(manager().create_token(one, timedelta(minutes=5)) for one in made)


def _tutorial_token(data: bytes) -> None:
    """A text as it comes; with a leading `!`, a header and a payload that get a genuine signature."""
    if not data.startswith(b"!"):
        text = data.decode("latin-1")
        manager().decode_token(text)
        assert text in tutorial_tokens(), "a token that nobody made was taken"
        return
    header, _, payload = data[1:].partition(b"\n")
    signed = f"{jose.b64encode(header)}.{jose.b64encode(payload)}"
    signature = jose.ALGORITHMS["HS256"].sign(signed.encode(), SECRET.encode())
    claims = manager().decode_token(f"{signed}.{jose.b64encode(signature)}")
    assert claims == json.loads(payload)
    assert claims["exp"] > manager()._clock.timestamp()


def _tutorial_good() -> list[bytes]:
    made = [token.encode() for token in tutorial_tokens()]
    parts = [token.split(b".") for token in made]
    return made + [
        b"!" + jose.b64decode(header.decode()) + b"\n" + jose.b64decode(payload.decode())
        for header, payload, _ in parts
    ]


PARSERS = {
    "access token": Parser(
        _access_token, (InvalidToken,), lambda: [one.encode() for one in genuine()], "액세스 토큰", 9000
    ),
    "signed claims": Parser(_signed_claims, (InvalidToken,), _signed_good, "서명된 클레임"),
    "refresh token": Parser(_refresh_token, (InvalidGrant,), _refresh_good, "리프레시 토큰", 512),
    "key set": Parser(_jwks, (InvalidToken,), _jwks_good, "JWK 세트"),
    "strict JSON": Parser(_strict_json, (MalformedToken,), lambda: JSON_GOOD, "엄격한 JSON", 2048),
    "tutorial's token": Parser(_tutorial_token, (InvalidToken,), _tutorial_good, "튜토리얼 토큰", 9000),
}
