"""Other people's vectors: what they hold is accepted, or refused for a reason that is named here."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from tests.core import forge
from tests.vectors import load

from watchword.core import jose, strict_json, tokens
from watchword.core.errors import BadSignature, InvalidToken, MalformedToken, UnknownKey
from watchword.core.jose import KeySet

COOKBOOK = load("rfc7520-cookbook")["files"]
JOSERFC = load("joserfc-fixtures")
PYJWT = load("pyjwt-keys")["keys"]
JSON_CASES = load("json-parsing")["cases"]
NAUGHTY = load("naughty-strings")["strings"]


def refused(token: Any, keys: KeySet, because: str | None = None) -> None:
    with pytest.raises(InvalidToken, match=because):
        jose.verify(token, keys)


def leaves(value: Any) -> Iterator[str]:
    """Every text in a vector, at any depth."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value


def keys_of(file: dict[str, Any], **members: Any) -> KeySet:
    return forge.key_set({**file["input"]["key"], **members})


# RFC 7520, RFC 8037, RFC 7797


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("jws/4_1.rsa_v15_signature.json", {}),  # no alg: an RSA key means RS256
        ("jws/4_2.rsa-pss_signature.json", {"alg": "PS384"}),
        ("jws/4_3.ecdsa_signature.json", {}),  # no alg: P-521 means ES512
        ("jws/4_4.hmac-sha2_integrity_protection.json", {}),
        ("curve25519/jws.json", {}),  # no alg: the curve, by the name EdDSA too
    ],
)
def test_the_cookbooks_compact_signatures_are_accepted(name: str, members: dict[str, Any]) -> None:
    file = COOKBOOK[name]
    verified = jose.verify(file["output"]["compact"], keys_of(file, **members))
    assert verified.payload.decode() == file["input"]["payload"]
    assert verified.header == file["signing"]["protected"]


def test_the_cookbooks_pss_signature_is_refused_by_its_key_without_alg() -> None:
    """An RSA key without `alg` means RS256 and nothing else: one key, one algorithm."""
    file = COOKBOOK["jws/4_2.rsa-pss_signature.json"]
    refused(file["output"]["compact"], keys_of(file), "alg is not the key's")


def test_the_cookbooks_detached_signature_is_refused_for_its_payload_is_not_in_it() -> None:
    file = COOKBOOK["jws/4_5.signature_with_detached_content.json"]
    header, payload, signature = file["output"]["compact"].split(".")
    assert payload == ""
    refused(file["output"]["compact"], keys_of(file), "not a compact JWS")
    whole = f"{header}.{jose.b64encode(file['input']['payload'].encode())}.{signature}"
    assert jose.verify(whole, keys_of(file)).payload.decode() == file["input"]["payload"]


@pytest.mark.parametrize("name", [name for name in COOKBOOK if name.startswith(("jws/", "rfc7797/", "curve25519/jws"))])
@pytest.mark.parametrize("form", ["json", "json_flat"])
def test_the_cookbooks_json_serialisations_are_refused(name: str, form: str) -> None:
    file = COOKBOOK[name]
    if form not in file["output"]:
        assert (name, form) == ("jws/4_8.multiple_signatures.json", "json_flat")
        return
    key = file["input"]["key"]
    keys = [forge.key_set({**each, "kid": "k"}) for each in (key if isinstance(key, list) else [key])]
    for each in keys:
        refused(file["output"][form], each, "not a compact JWS")
        refused(json.dumps(file["output"][form]), each, "not a compact JWS")


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("rfc7797/4.2.hmac-sha2_b64_false.json", "not a compact JWS"),  # its payload is "$.02" as it stands: four parts
        ("rfc7797/hmac-sha2_b64_false.json", "not a compact JWS"),  # spaces and "!" in the payload
    ],
)
def test_an_unencoded_payload_is_refused_by_its_shape(name: str, because: str) -> None:
    file = COOKBOOK[name]
    signing = file["signing"]
    refused(f"{signing['sig-input']}.{signing['sig']}", keys_of(file), because)
    if "compact" in file["output"]:
        refused(file["output"]["compact"], keys_of(file), because)


@pytest.mark.parametrize("name", ["rfc7797/4.2.hmac-sha2_b64_false.json", "rfc7797/hmac-sha2_b64_false.json"])
@pytest.mark.parametrize("crit", [{}, {"crit": ["b64"]}])
def test_b64_false_is_refused_by_its_name_where_the_shape_allows_it(name: str, crit: dict[str, Any]) -> None:
    key = COOKBOOK[name]["input"]["key"]
    signer = jose.hmac_key(jose.b64decode(key["k"]), "k")
    head = {"alg": "HS256", "b64": False, **crit}
    refused(forge.signed(head, b"{}", signer), forge.key_set(key), "the header has (b64|crit)")


def test_the_cookbooks_nested_token_is_refused_outside_and_its_inside_is_a_token_by_itself() -> None:
    file = COOKBOOK["6.nesting_signatures_and_encryption.json"]
    inside = file["sign"]["output"]["compact"]
    keys = forge.key_set({**file["sign"]["input"]["key"], "alg": file["sign"]["input"]["alg"]})
    assert jose.verify(inside, keys).payload.decode() == file["sign"]["input"]["payload"]
    refused(file["encrypt"]["output"]["compact"], keys, "not a compact JWS")


@pytest.mark.parametrize(
    "name", [name for name in COOKBOOK if name.startswith(("jwe/", "curve25519/ecdh", "6.nesting"))]
)
def test_nothing_that_is_encrypted_is_read(name: str) -> None:
    """A JWE has five parts: the shape refuses it, before any key is unwrapped or anything inflated."""
    output = COOKBOOK[name].get("output") or COOKBOOK[name]["encrypt"]["output"]
    keys = forge.key_set(forge.jwk("ES256"))
    for form in output.values():
        refused(form, keys, "not a compact JWS")
        refused(json.dumps(form), keys, "not a compact JWS")


@pytest.mark.parametrize("name", [name for name in COOKBOOK if name.startswith("jwk/")])
def test_the_cookbooks_keys_load_when_they_are_for_signatures(name: str) -> None:
    key = COOKBOOK[name]
    assert len(forge.key_set(key)) == (0 if key["use"] == "enc" else 1)


# joserfc


def public_jwk(name: str) -> dict[str, Any]:
    """A key of joserfc's as a JWK, whatever its file is."""
    file = JOSERFC["keys"][name]
    if isinstance(file, dict):
        return dict(file)
    return jwk_of(public_key(file))


def public_key(text: str) -> Any:
    raw = text.encode()
    if "CERTIFICATE" in text:
        return x509.load_pem_x509_certificate(raw).public_key()
    if "OPENSSH PRIVATE" in text:
        return serialization.load_ssh_private_key(raw, None).public_key()
    if text.startswith(("ssh-", "ecdsa-")):
        return serialization.load_ssh_public_key(raw)
    if "PRIVATE" in text:
        return serialization.load_pem_private_key(raw, None).public_key()
    return serialization.load_pem_public_key(raw)


def jwk_of(key: Any) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPublicKey):
        return dict(jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True))
    if isinstance(key, ec.EllipticCurvePublicKey):
        return dict(jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True))
    assert isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    return dict(jwt.algorithms.OKPAlgorithm.to_jwk(key, as_dict=True))


def joserfc_cases(*files: str) -> list[Any]:
    return [
        pytest.param(case, JOSERFC["fixtures"][file]["payload"], id=f"{file}-{case['name']}")
        for file in files
        for case in JOSERFC["fixtures"][file]["tests"]
    ]


@pytest.mark.parametrize(
    ("case", "payload"), joserfc_cases("jws_examples.json", "jws_rfc7520.json", "jwt_use_jws.json")
)
def test_joserfcs_tokens_are_accepted_unless_their_secret_is_too_short(case: dict[str, Any], payload: Any) -> None:
    alg = (case.get("protected") or case["header"])["alg"]
    token = case.get("compact") or case.get("token")
    if "secret" in case:
        with pytest.raises(InvalidToken, match="shorter than its hash"):  # "rfc", "secret"
            forge.key_set({"kty": "oct", "alg": alg, "k": jose.b64encode(case["secret"].encode())})
        return
    key = {**public_jwk(case["public_key"]), "alg": alg}
    key.pop("key_ops", None)
    keys = forge.key_set(key)
    if alg == "ES256K":
        assert len(keys) == 0  # secp256k1 is not offered: such a key is left out
        return
    if token is None:
        assert len(keys) == 1  # a key with a signature that is new each time: nothing to compare
        return
    verified = jose.verify(token, keys)
    assert verified.payload == (payload.encode() if isinstance(payload, str) else strict_json.dumps(payload))
    other = token[:-6] + ("A" if token[-6] != "A" else "B") + token[-5:]
    refused(other, keys, "signature")


@pytest.mark.parametrize(
    ("case", "payload"), joserfc_cases("jws_examples.json", "jws_rfc7520.json", "jws_rfc7797.json")
)
@pytest.mark.parametrize("form", ["general_json", "flattened_json"])
def test_joserfcs_json_serialisations_are_refused(case: dict[str, Any], payload: Any, form: str) -> None:
    for token in (case.get(form), json.dumps(case.get(form))):
        refused(token, forge.key_set(forge.jwk("HS256")), "not a compact JWS")


@pytest.mark.parametrize(("case", "payload"), joserfc_cases("jws_rfc7797.json"))
def test_joserfcs_tokens_with_an_unencoded_payload_are_refused_and_the_encoded_one_is_accepted(
    case: dict[str, Any], payload: str
) -> None:
    keys = forge.key_set(COOKBOOK["rfc7797/4.2.hmac-sha2_b64_false.json"]["input"]["key"])
    if "b64" not in case["protected"]:
        assert jose.verify(case["compact"], keys).payload.decode() == payload
    elif ".." in case["compact"]:
        refused(case["compact"], keys, "not a compact JWS")
    else:
        refused(case["compact"], keys, "the header has crit")


@pytest.mark.parametrize(("case", "payload"), joserfc_cases("jwe_compact_ecdh_1pu.json", "jwe_rfc7520.json"))
def test_joserfcs_encrypted_tokens_are_refused(case: dict[str, Any], payload: Any) -> None:
    keys = forge.key_set(forge.jwk("ES256"))
    for form in ("value", "compact", "general_json", "flattened_json"):
        if form in case:
            refused(case[form], keys, "not a compact JWS")
            refused(json.dumps(case[form]), keys, "not a compact JWS")


JOSERFC_LEFT_OUT = {
    "RFC7520-EC-108.json": "use enc",
    "RFC7520-EC-120.json": "use enc",
    "RFC7520-RSA-73.json": "use enc",
    "RFC7520-RSA-84.json": "use enc, RSA-OAEP",
    "RFC7520-oct-130.json": "use enc, A128GCM",
    "RFC7520-oct-enc.json": "use enc, A256GCM",
    "ec-secp256k1-private.pem": "curve not offered",
    "ec-secp256k1-public.pem": "curve not offered",
    "okp-x25519-alice.json": "for key agreement",
    "okp-x25519-bob.json": "for key agreement",
    "okp-x25519-charlie.json": "for key agreement",
}


@pytest.mark.parametrize("name", JOSERFC["keys"])
def test_joserfcs_keys_load_or_are_left_out_for_a_reason(name: str) -> None:
    assert len(forge.key_set(public_jwk(name))) == (0 if name in JOSERFC_LEFT_OUT else 1)


# PyJWT

PYJWT_LEFT_OUT = {
    "jwk_ec_key_secp256k1.json": "curve not offered",
    "jwk_ec_pub_secp256k1.json": "curve not offered",
    "jwk_keyset_only_unknown_alg.json": "RSA-OAEP",
}


PYJWT_REFUSED = {
    "jwk_empty.json": "malformed",
    "testkey_pkcs1.pub.pem": "2,048 bits",
}
PYJWT_UNREADABLE = {"testkey_ec_secp192r1.priv": "a curve of 192 bits, which becomes no JWK"}


@pytest.mark.parametrize("name", [name for name in PYJWT if name not in PYJWT_UNREADABLE])
def test_pyjwts_keys_load_or_are_left_out_or_refused_for_a_reason(name: str) -> None:
    file = PYJWT[name]
    key = jwk_of(public_key(file)) if isinstance(file, str) and file else file
    given = key if name == "jwk_empty.json" or "keys" in key else {"keys": [key]}
    if name in PYJWT_REFUSED:
        with pytest.raises(InvalidToken, match=PYJWT_REFUSED[name]):
            KeySet.from_jwks(given)
    else:
        assert len(KeySet.from_jwks(given)) == (0 if name in PYJWT_LEFT_OUT else 1)


@pytest.mark.parametrize("name", PYJWT_UNREADABLE)
def test_pyjwts_key_on_a_small_curve_becomes_no_jwk(name: str) -> None:
    with pytest.raises((UnsupportedAlgorithm, jwt.InvalidKeyError)):
        jwk_of(public_key(PYJWT[name]))


# JSONTestSuite, as the header and as the payload of tokens that are properly signed

TWICE = {
    "y_object_duplicated_key.json": "a name stands twice",
    "y_object_duplicated_key_and_value.json": "a name stands twice",
}
READ_EITHER_WAY = {
    "i_number_double_huge_neg_exp.json": "it is 0",
    "i_number_real_underflow.json": "it is 0",
    "i_number_too_big_neg_int.json": "a whole number, of whatever size",
    "i_number_too_big_pos_int.json": "a whole number, of whatever size",
    "i_number_very_big_negative_int.json": "a whole number, of whatever size",
}
"""Of what the standard leaves open, this is accepted as a value; a claim that matters has a range of its own."""


def json_case(case: dict[str, Any]) -> Any:
    return pytest.param(case, base64.b64decode(case["b64"]), id=case["name"])


@pytest.mark.parametrize(("case", "raw"), [json_case(case) for case in JSON_CASES])
def test_a_json_file_is_a_header_or_payload_only_when_it_is_a_strict_object(case: dict[str, Any], raw: bytes) -> None:
    ring, signer = forge.ring(), forge.signer("ES256", "kid-1", 1)
    strict = case["name"].startswith("y_") and raw.strip().startswith(b"{") and case["name"] not in TWICE
    try:
        assert strict_json.loads(raw, "file") == json.loads(raw)
        assert strict
    except MalformedToken:
        assert not strict
    for token in (forge.signed(raw, b"{}", signer), forge.signed(forge.header(), raw, signer)):
        with pytest.raises(InvalidToken) as caught:
            tokens.verify(token, ring, forge.POLICY, forge.T)
        assert isinstance(caught.value, MalformedToken) == (not strict), caught.value.because
        assert not isinstance(caught.value, BadSignature)


@pytest.mark.parametrize(("case", "raw"), [json_case(case) for case in JSON_CASES])
def test_a_json_file_as_one_more_claim_is_accepted_when_everybody_reads_it_alike(
    case: dict[str, Any], raw: bytes
) -> None:
    payload = strict_json.dumps(forge.claims())[:-1] + b',"extra":' + raw + b"}"
    token = forge.access_token(payload=payload)
    good = case["name"] not in TWICE if case["name"].startswith("y_") else case["name"] in READ_EITHER_WAY
    if good:
        access = tokens.verify(token, forge.ring(), forge.POLICY, forge.T)
        assert json.loads(json.dumps(access.principal.claims["extra"])) == json.loads(raw)
    else:
        with pytest.raises(MalformedToken):
            tokens.verify(token, forge.ring(), forge.POLICY, forge.T)


# Naughty strings


@pytest.mark.parametrize("nth", range(0, len(NAUGHTY), 103))
def test_a_naughty_string_is_never_a_token(nth: int) -> None:
    keys = forge.key_set(forge.jwk("ES256"))
    for text in NAUGHTY[nth : nth + 103]:
        for token in (text, f"{text}.{text}.{text}", jose.b64encode(text.encode()), f"Bearer {text}"):
            refused(token, keys)


@pytest.mark.parametrize("nth", range(0, len(NAUGHTY), 103))
def test_a_naughty_kid_is_looked_up_and_not_found(nth: int) -> None:
    signer = forge.signer("ES256", "kid-1", 1)
    for text in NAUGHTY[nth : nth + 103]:
        token = forge.signed(forge.header(kid=text), strict_json.dumps(forge.claims()), signer)
        with pytest.raises(InvalidToken) as caught:
            tokens.verify(token, forge.ring(), forge.POLICY, forge.T)
        assert isinstance(caught.value, UnknownKey) or caught.value.because == "the header is over 2 KB"


@pytest.mark.parametrize("nth", range(0, len(NAUGHTY), 103))
def test_a_naughty_string_in_every_claim_is_an_invalid_token_or_a_good_one(nth: int) -> None:
    for text in NAUGHTY[nth : nth + 103]:
        for name in tokens.REQUIRED:
            token = forge.access_token(payload=strict_json.dumps(forge.claims(**{name: text})))
            try:
                access = tokens.verify(token, forge.ring(), forge.POLICY, forge.T)
            except InvalidToken:
                assert name not in ("client_id", "jti", "sid", "sub", "scope") or not text
            else:
                assert access.principal.claims[name] == text
