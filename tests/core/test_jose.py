"""Signatures: what is signed comes back, and nothing else does."""

import json
import math
import secrets
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.core import forge

from watchword.core import jose
from watchword.core.errors import BadSignature, InvalidToken, MalformedToken, UnknownKey
from watchword.core.jose import KeySet, SigningKey, VerifyingKey

PAYLOAD = b'{"sub":"ada"}'
EVERY_ALG = tuple(jose.ALGORITHMS)
ASYMMETRIC = tuple(alg for alg in EVERY_ALG if not alg.startswith("HS"))


def good_token(alg: str = "ES256") -> str:
    return forge.signed({"alg": alg, "kid": "k"}, PAYLOAD, forge.signer(alg))


def keys_for(alg: str = "ES256") -> KeySet:
    return forge.key_set(forge.jwk(alg))


def refused(token: Any, keys: KeySet, error: type[InvalidToken] = InvalidToken) -> InvalidToken:
    with pytest.raises(InvalidToken) as caught:
        jose.verify(token, keys)
    assert isinstance(caught.value, error), repr(caught.value)
    return caught.value


# Signing and verifying


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_what_a_new_key_signs_its_verifying_half_accepts(alg: str) -> None:
    key = jose.generate(alg, "k1", bytes(32))
    token = jose.sign(key, "at+jwt", PAYLOAD)
    verified = jose.verify(token, KeySet([key.verifying()]))
    assert verified.header == {"alg": alg, "kid": "k1", "typ": "at+jwt"}
    assert verified.payload == PAYLOAD
    assert verified.kid == "k1"


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_a_token_signed_without_a_name_has_no_kid(alg: str) -> None:
    key = jose.generate(alg, "k1", bytes(32))
    verified = jose.verify(jose.sign(key, "JWT", PAYLOAD, named=False), KeySet([key.verifying()]))
    assert verified.header == {"alg": alg, "typ": "JWT"}


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_a_key_comes_back_from_its_private_bytes(alg: str) -> None:
    key = jose.generate(alg, "k1", secrets.token_bytes(32))
    again = jose.load(alg, "k1", key.private_bytes())
    assert jose.verify(jose.sign(again, "at+jwt", PAYLOAD), KeySet([key.verifying()])).payload == PAYLOAD


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_the_published_half_of_a_new_key_verifies_elsewhere(alg: str) -> None:
    key = jose.generate(alg, "k1", bytes(32))
    published = key.public_jwk()
    if alg == "HS256":
        assert published is None
        return
    assert published is not None
    token = jose.sign(key, "at+jwt", PAYLOAD)
    assert jose.verify(token, KeySet.from_jwks({"keys": [published]})).payload == PAYLOAD
    with_pyjwt = jwt.PyJWK.from_dict({**published, "alg": "EdDSA"} if alg == "Ed25519" else published)
    assert with_pyjwt.Algorithm.verify(
        token.rpartition(".")[0].encode(), with_pyjwt.key, jose.b64decode(token.rpartition(".")[2])
    )


def test_no_other_algorithm_signs() -> None:
    for alg in ("none", "HS512", "es256", ""):
        with pytest.raises(ValueError, match="no signing algorithm"):
            jose.generate(alg, "k", bytes(32))


@pytest.mark.parametrize("alg", EVERY_ALG)
def test_a_signature_of_another_library_is_accepted_for_every_algorithm(alg: str) -> None:
    if alg in ("Ed25519", "Ed448"):  # PyJWT knows these two by their older name alone; RFC 9864
        token = forge.signed({"alg": alg, "kid": "k"}, b'{"sub":"ada"}', forge.signer(alg))
    else:
        token = jwt.encode({"sub": "ada"}, forge.material(alg), algorithm=alg, headers={"kid": "k"})
    assert json.loads(jose.verify(token, keys_for(alg)).payload) == {"sub": "ada"}


@pytest.mark.parametrize("alg", EVERY_ALG)
def test_what_is_verified_is_the_payload_as_it_was_signed_byte_by_byte(alg: str) -> None:
    raw = b' {"sub" : "ada"}\n'
    assert jose.verify(forge.signed({"alg": alg, "kid": "k"}, raw, forge.signer(alg)), keys_for(alg)).payload == raw


def test_a_payload_that_is_not_json_is_a_signature_like_any_other() -> None:
    token = forge.signed({"alg": "ES256", "kid": "k"}, b"\xff\x00", forge.signer("ES256"))
    assert jose.verify(token, keys_for()).payload == b"\xff\x00"


def test_header_names_that_nobody_knows_are_ignored_on_foreign_tokens() -> None:
    head = {"alg": "ES256", "kid": "k", "x5t": "abc", "x5c": ["MIIB"], "nonce": "n", "cty": "json", "typ": "JWT"}
    assert jose.verify(forge.signed(head, PAYLOAD, forge.signer("ES256")), keys_for()).header == head


@pytest.mark.parametrize("alg", EVERY_ALG)
def test_a_good_signature_of_another_key_is_a_bad_signature(alg: str) -> None:
    refused(forge.signed({"alg": alg, "kid": "k"}, PAYLOAD, forge.signer(alg, nth=1)), keys_for(alg), BadSignature)


@pytest.mark.parametrize("fault", [ValueError, TypeError, jwt.InvalidKeyError])
def test_a_signature_over_which_the_library_stumbles_is_a_bad_signature(
    fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What PyJWT makes of odd signatures changes with its versions; a fault of its own must not become a 500 here."""

    class Stumbling:
        def verify(self, *_: object) -> bool:
            raise fault

    token, keys = good_token("RS256"), keys_for("RS256")
    monkeypatch.setitem(jose.ALGORITHMS, "RS256", cast("Any", Stumbling()))
    refused(token, keys, BadSignature)
    monkeypatch.setattr(jose, "encode_dss_signature", Stumbling().verify)
    refused(good_token(), keys_for(), BadSignature)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_an_elliptic_signature_of_another_length_is_a_bad_signature(alg: str) -> None:
    head, payload, signature = good_token(alg).split(".")
    raw = jose.b64decode(signature)
    for other in (raw[:-1], raw[:-2], raw + b"\0", b"\0" + raw, raw + raw, raw[: len(raw) // 2]):
        refused(f"{head}.{payload}.{jose.b64encode(other)}", keys_for(alg), BadSignature)


def test_a_header_that_was_refused_is_refused_again_and_one_that_was_read_is_not_to_be_changed() -> None:
    """What was read is remembered for the next token with the same header."""
    for _ in range(2):
        refused(forge.signed({"alg": "ES256", "kid": "k", "crit": ["exp"]}, PAYLOAD, forge.signer("ES256")), keys_for())
    header: Any = jose.verify(good_token(), keys_for()).header
    with pytest.raises(TypeError):
        header["alg"] = "none"
    assert jose.verify(good_token(), keys_for()).header == header


# One key, one algorithm


@pytest.mark.parametrize("named", EVERY_ALG)
@pytest.mark.parametrize("alg", EVERY_ALG)
def test_the_header_names_no_algorithm_but_the_keys(alg: str, named: str) -> None:
    token = forge.signed({"alg": named, "kid": "k"}, PAYLOAD, forge.signer(alg))
    if alg == named:
        assert jose.verify(token, keys_for(alg)).payload == PAYLOAD
    else:
        assert "alg" in refused(token, keys_for(alg)).because


@pytest.mark.parametrize("alg", ["Ed25519", "Ed448"])
def test_an_edwards_key_without_alg_answers_to_both_of_its_names(alg: str) -> None:
    keys = forge.key_set(forge.jwk(alg, alg=None))
    for name in (alg, "EdDSA"):
        assert jose.verify(forge.signed({"alg": name, "kid": "k"}, PAYLOAD, forge.signer(alg)), keys)
    other = "Ed448" if alg == "Ed25519" else "Ed25519"
    refused(forge.signed({"alg": other, "kid": "k"}, PAYLOAD, forge.signer(alg)), keys)


@pytest.mark.parametrize(("alg", "means"), [("ES256", "ES256"), ("ES384", "ES384"), ("ES512", "ES512")])
def test_a_curve_means_its_algorithm_when_the_key_has_none(alg: str, means: str) -> None:
    keys = forge.key_set(forge.jwk(alg, alg=None))
    assert keys.pick({"alg": means, "kid": "k"}).names == {means}


def test_an_rsa_key_without_alg_means_rs256_and_nothing_else() -> None:
    keys = forge.key_set(forge.jwk("RS256", alg=None))
    for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
        token = forge.signed({"alg": alg, "kid": "k"}, PAYLOAD, forge.signer(alg))
        if alg == "RS256":
            assert jose.verify(token, keys).payload == PAYLOAD
        else:
            refused(token, keys)


def test_a_symmetric_key_without_alg_is_refused() -> None:
    with pytest.raises(InvalidToken, match="must say its alg"):
        forge.key_set(forge.jwk("HS256", alg=None))


# Which key


def test_a_kid_names_its_key_among_many() -> None:
    keys = forge.key_set(*(forge.jwk("ES256", f"k{nth}", nth=nth) for nth in range(5)))
    assert len(keys) == 5
    for nth in range(5):
        head = {"alg": "ES256", "kid": f"k{nth}"}
        assert jose.verify(forge.signed(head, PAYLOAD, forge.signer("ES256", nth=nth)), keys).kid == f"k{nth}"
        refused(forge.signed(head, PAYLOAD, forge.signer("ES256", nth=nth + 1)), keys, BadSignature)


def test_a_key_set_says_which_kids_it_holds() -> None:
    keys = forge.key_set(forge.jwk("ES256", "one"), forge.jwk("RS256", "two"))
    assert "one" in keys
    assert "two" in keys
    assert "three" not in keys
    assert None not in keys


def test_one_key_is_found_without_a_kid_named_or_not() -> None:
    token = forge.signed({"alg": "ES256"}, PAYLOAD, forge.signer("ES256"))
    for key in (forge.jwk("ES256"), forge.jwk("ES256", None)):
        keys = forge.key_set(key)
        assert len(keys) == 1
        assert jose.verify(token, keys).payload == PAYLOAD


def test_a_kid_must_be_the_keys_even_when_there_is_one_key_only() -> None:
    token = forge.signed({"alg": "ES256", "kid": "other"}, PAYLOAD, forge.signer("ES256"))
    for key in (forge.jwk("ES256"), forge.jwk("ES256", None)):
        refused(token, forge.key_set(key), UnknownKey)


def test_an_empty_set_verifies_nothing() -> None:
    keys = KeySet.from_jwks({"keys": []})
    assert len(keys) == 0
    refused(good_token(), keys, UnknownKey)
    refused(forge.signed({"alg": "ES256"}, PAYLOAD, forge.signer("ES256")), keys, UnknownKey)


# Keys that are refused when they are loaded: KY-01, KY-03, KY-04, KY-05


def bad_key(key: dict[str, Any], because: str) -> None:
    with pytest.raises(InvalidToken, match=because):
        forge.key_set(key)


@pytest.mark.parametrize(("alg", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_symmetric_key_is_as_long_as_its_hash(alg: str, size: int) -> None:
    assert len(forge.key_set(forge.jwk(alg, k=jose.b64encode(bytes(size))))) == 1
    for short in (0, 1, size - 1):
        bad_key(forge.jwk(alg, k=jose.b64encode(bytes(short))), "shorter than its hash")


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_secret_under_32_bytes_makes_no_key(size: int) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        jose.hmac_key(bytes(size))


def test_an_rsa_key_has_2048_bits() -> None:
    modulus = forge.material("RS256").public_key().public_numbers().n
    for n in (modulus >> 1 | 1, modulus >> 1024 | 1, 15, 1, 0):
        bad_key(rsa_jwk(n), "2,048 bits")
    bad_key(rsa_jwk(1 << 20000 | 1), "2,048 bits")


@pytest.mark.parametrize("e", [0, 1, 2, 4, 65536, 1 << 256 | 1])
def test_an_rsa_exponent_is_odd_and_at_least_3(e: int) -> None:
    bad_key(rsa_jwk(forge.material("RS256").public_key().public_numbers().n, e), "exponent")


def test_an_even_rsa_modulus_is_refused() -> None:
    bad_key(rsa_jwk((1 << 2047) + 2), "broken generator")


def rsa_jwk(n: int, e: int = 65537) -> dict[str, Any]:
    return {"kty": "RSA", "kid": "k", "n": unsigned(n), "e": unsigned(e)}


def unsigned(number: int) -> str:
    return jose.b64encode(number.to_bytes((number.bit_length() + 7) // 8 or 1))


ROCA_M = math.prod([p for p in range(2, 702) if all(p % q for q in range(2, p))][:126])
"""M of the keys of 1,984 to 3,936 bits: the product of the first 126 primes. Nemec et al., CCS 2017, table 1."""


def roca_prime(a: int) -> int:
    """A prime of 1,024 bits as the broken generator made them: p = k·M + (65537^a mod M)."""
    k = (3 << 1022) // ROCA_M + a
    while not _probably_prime(k * ROCA_M + pow(65537, a, ROCA_M)):
        k += 1
    return k * ROCA_M + pow(65537, a, ROCA_M)


def _probably_prime(n: int) -> bool:
    return all(pow(base, n - 1, n) == 1 for base in (2, 3, 5, 7))


def test_a_modulus_of_the_roca_generator_is_refused() -> None:
    n = roca_prime(12345) * roca_prime(67890)
    assert n.bit_length() == 2048
    assert jose.has_roca_fingerprint(n)
    bad_key(rsa_jwk(n), "CVE-2017-15361")


def test_a_single_roca_prime_is_recognised_and_ordinary_moduli_are_not() -> None:
    assert jose.has_roca_fingerprint(roca_prime(4711))
    for nth in (0, 1):
        assert not jose.has_roca_fingerprint(forge.material("RS256", nth).public_key().public_numbers().n)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_a_point_off_its_curve_is_refused(alg: str) -> None:
    good = forge.jwk(alg)
    size = len(jose.b64decode(good["x"]))
    wrong = bytearray(jose.b64decode(good["y"]))
    wrong[-1] ^= 1
    bad_key({**good, "y": jose.b64encode(bytes(wrong))}, "not a valid key")
    bad_key({**good, "x": jose.b64encode(bytes(size)), "y": jose.b64encode(bytes(size))}, "not a valid key")
    bad_key({**good, "x": good["y"], "y": good["x"]}, "not a valid key")


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_a_coordinate_has_the_length_of_its_field(alg: str) -> None:
    good = forge.jwk(alg)
    for name in ("x", "y"):
        raw = jose.b64decode(good[name])
        for odd in (b"\0" + raw, raw[1:], b"", raw + b"\0"):
            bad_key({**good, name: jose.b64encode(odd)}, "full length")


def test_a_point_of_one_curve_is_no_key_of_another() -> None:
    for alg, curve in (("ES256", "P-384"), ("ES384", "P-256"), ("ES512", "P-256")):
        bad_key(forge.jwk(alg, crv=curve, alg=None), "full length")


@pytest.mark.parametrize(
    ("alg", "claimed"),
    [
        ("ES256", "ES384"),
        ("ES384", "ES256"),
        ("ES512", "ES256"),
        ("Ed25519", "Ed448"),
        ("Ed448", "Ed25519"),
        ("ES256", "EdDSA"),
        ("Ed25519", "ES256"),
        ("RS256", "HS256"),
        ("HS256", "RS256"),
        ("RS256", "ES256"),
        ("ES256", "HS256"),
        ("Ed25519", "HS256"),
    ],
)
def test_a_key_that_claims_an_algorithm_of_another_curve_or_type_is_refused(alg: str, claimed: str) -> None:
    bad_key(forge.jwk(alg, alg=claimed), "alg is not")


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "Ed25519", "Ed448"])
def test_a_private_half_of_another_key_is_refused(alg: str) -> None:
    good = forge.jwk(alg, private=True)
    assert len(forge.key_set(good)) == 1
    bad_key({**good, "d": forge.jwk(alg, private=True, nth=1)["d"]}, "belongs to another key")


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_a_private_number_outside_its_group_is_refused(alg: str) -> None:
    good = forge.jwk(alg, private=True)
    size = len(jose.b64decode(good["x"]))
    for d in (bytes(size), b"\xff" * size, b"\xff" * 4 * size, b""):
        with pytest.raises(InvalidToken):
            forge.key_set({**good, "d": jose.b64encode(d)})


@pytest.mark.parametrize("alg", ["Ed25519", "Ed448"])
def test_an_edwards_key_of_the_wrong_length_is_refused(alg: str) -> None:
    raw = jose.b64decode(forge.jwk(alg)["x"])
    for odd in (b"", raw[1:], raw + b"\0"):
        bad_key(forge.jwk(alg, x=jose.b64encode(odd)), "not a valid key")
    bad_key(forge.jwk(alg, d=jose.b64encode(b"\1")), "not a valid key")


@pytest.mark.parametrize("alg", EVERY_ALG)
def test_a_private_jwk_loads_as_its_public_half(alg: str) -> None:
    keys = forge.key_set(forge.jwk(alg, private=True))
    assert jose.verify(good_token(alg), keys).payload == PAYLOAD
    assert not hasattr(keys.pick({"alg": alg, "kid": "k"}).material, "private_numbers")
    assert not hasattr(keys.pick({"alg": alg, "kid": "k"}).material, "private_bytes")


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": "SIG"},
        {"use": ""},
        {"key_ops": []},
        {"key_ops": ["sign"]},
        {"key_ops": ["encrypt", "wrapKey"]},
        {"use": "enc", "key_ops": ["verify"]},
        {"use": "sig", "key_ops": ["sign"]},
        {"alg": "ES256K"},
        {"alg": "none"},
        {"alg": "RSA-OAEP"},
        {"alg": "A256GCM"},
        {"alg": ""},
    ],
)
@pytest.mark.parametrize("alg", ["ES256", "RS256", "HS256", "Ed25519"])
def test_a_key_for_another_purpose_is_left_out(alg: str, members: dict[str, Any]) -> None:
    assert len(forge.key_set(forge.jwk(alg, **members))) == 0


@pytest.mark.parametrize("members", [{"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}])
def test_a_key_for_verifying_is_taken(members: dict[str, Any]) -> None:
    assert len(forge.key_set(forge.jwk("ES256", **members))) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"use": 1},
        {"use": ["sig"]},
        {"key_ops": "verify"},
        {"key_ops": {"verify": 1}},
        {"key_ops": ["verify", 1]},
        {"key_ops": ["verify", "verify"]},
        {"key_ops": [["verify"]]},
        {"alg": 256},
        {"alg": ["ES256"]},
        {"crv": 256},
        {"x": 1},
        {"x": ["AA"]},
        {"kty": ["EC"]},
        {"kid": 7},
        {"kid": ["k"]},
        {"kid": {}},
        {"x": "not base64url!"},
        {"x": "AB"},
        {"y": "\ud800"},
    ],
)
def test_a_member_of_the_wrong_kind_spoils_the_set(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        forge.key_set({**forge.jwk("ES256"), **members})


@pytest.mark.parametrize("name", ["kty", "x", "y", "crv"])
def test_a_member_that_is_missing_spoils_the_set(name: str) -> None:
    with pytest.raises(InvalidToken):
        forge.key_set({member: value for member, value in forge.jwk("ES256").items() if member != name})


@pytest.mark.parametrize("name", ["alg", "use", "key_ops", "kid"])
def test_a_member_that_is_null_is_not_taken_for_absent(name: str) -> None:
    with pytest.raises(InvalidToken):
        forge.key_set({**forge.jwk("ES256"), name: None})


def test_a_set_that_repeats_a_kid_is_refused() -> None:
    twice = (forge.jwk("ES256", "same"), forge.jwk("ES256", "same", nth=1))
    with pytest.raises(InvalidToken, match="repeats a kid"):
        forge.key_set(*twice)
    with pytest.raises(InvalidToken, match="repeats a kid"):
        forge.key_set(forge.jwk("ES256", "same"), {"kty": "XYZ", "kid": "same"})
    with pytest.raises(InvalidToken, match="one kid twice"):
        KeySet([forge.signer("ES256", "same").verifying(), forge.signer("RS256", "same").verifying()])


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_a_set_that_mixes_symmetric_and_asymmetric_keys_is_refused(alg: str) -> None:
    with pytest.raises(InvalidToken, match="mixes"):
        forge.key_set(forge.jwk(alg, "one"), forge.jwk("HS256", "two"))


@pytest.mark.parametrize(
    "stranger",
    [
        {"kty": "XYZ"},
        {"kty": ""},
        {"kty": "ec"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
    ],
)
def test_one_key_of_an_unknown_type_or_curve_is_skipped(stranger: dict[str, Any]) -> None:
    keys = forge.key_set({**stranger, "kid": "stranger"}, forge.jwk("ES256"))
    assert len(keys) == 1
    assert jose.verify(good_token(), keys).payload == PAYLOAD


@pytest.mark.parametrize(
    "given", [None, 1, "keys", [], {}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": [1]}, {"keys": [None, {}]}]
)
def test_what_is_no_key_set_is_refused(given: Any) -> None:
    with pytest.raises(InvalidToken):
        KeySet.from_jwks(given)


# What a key says of itself: KY-09


@pytest.mark.parametrize("alg", EVERY_ALG)
def test_the_text_of_a_key_shows_nothing_of_it(alg: str) -> None:
    key = forge.signer(alg)
    secret = forge.jwk(alg, private=True)
    for text in (repr(key), str(key), repr(key.verifying()), repr(KeySet([key.verifying()])), f"{key}"):
        assert "material" not in text
        assert "object at 0x" not in text or "KeySet" in text
        assert not any(value in text for name, value in secret.items() if name in forge.PRIVATE_MEMBERS | {"x", "n"})
    if alg.startswith("HS"):
        assert repr(key.material) not in repr(key)


@pytest.mark.parametrize("alg", [alg for alg in EVERY_ALG if alg != "EdDSA"])
def test_no_private_member_is_ever_published(alg: str) -> None:
    published = forge.signer(alg).public_jwk()
    if alg.startswith("HS"):
        assert published is None
    else:
        assert published is not None
        assert not forge.PRIVATE_MEMBERS & published.keys()
        assert (published["kid"], published["alg"], published["use"]) == ("k", alg, "sig")
        assert published["key_ops"] == ["verify"]


@pytest.mark.parametrize("alg", EVERY_ALG)
def test_a_refused_key_is_not_told_in_the_error(alg: str) -> None:
    secret = forge.jwk(alg, private=True, use=7)
    with pytest.raises(InvalidToken) as caught:
        forge.key_set(secret)
    told = f"{caught.value!r} {caught.value} {caught.value.because} {caught.value.detail}"
    assert not any(value in told for name, value in secret.items() if name in forge.PRIVATE_MEMBERS)


# Base64url: RFC 7515 2


@given(st.binary(max_size=100))
def test_base64url_comes_back(raw: bytes) -> None:
    assert jose.b64decode(jose.b64encode(raw)) == raw


@given(st.text(max_size=20))
def test_base64url_has_one_text_for_its_bytes(text: str) -> None:
    try:
        raw = jose.b64decode(text)
    except MalformedToken:
        return
    assert jose.b64encode(raw) == text


@pytest.mark.parametrize(
    "text", ["A", "AB", "AAB", "AA==", "AAA=", "AA=", "+AAA", "/AAA", "AA\n", " AAA", "AA AA", "A\0AA", "ÄAAA", "AAAAA"]
)
def test_padding_other_alphabets_and_spare_bits_are_refused(text: str) -> None:
    with pytest.raises(MalformedToken):
        jose.b64decode(text)


# Properties

ES256 = good_token()
ES256_KEYS = keys_for()
HS256 = good_token("HS256")
HS256_KEYS = keys_for("HS256")
GOOD = [(ES256, ES256_KEYS), (HS256, HS256_KEYS)]
anything = st.one_of(st.text(), st.binary(), st.none(), st.integers(), st.floats(), st.lists(st.text()), st.booleans())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(("token", "keys"), GOOD)
def test_every_flipped_bit_of_a_token_is_refused(token: str, keys: KeySet) -> None:
    for position in range(len(token)):
        for bit in range(7):
            changed = token[:position] + chr(ord(token[position]) ^ (1 << bit)) + token[position + 1 :]
            refused(changed, keys)


@pytest.mark.parametrize("alg", EVERY_ALG)
def test_a_flipped_bit_of_a_signature_is_refused(alg: str) -> None:
    text, _, encoded = good_token(alg).rpartition(".")
    raw, keys = jose.b64decode(encoded), keys_for(alg)
    for bit in range(0, len(raw) * 8, 1 if len(raw) <= 64 else 5):  # of a long one every fifth
        changed = (int.from_bytes(raw) ^ (1 << bit)).to_bytes(len(raw))
        refused(f"{text}.{jose.b64encode(changed)}", keys, BadSignature)


@pytest.mark.parametrize(("token", "keys"), GOOD)
def test_every_truncated_token_is_refused(token: str, keys: KeySet) -> None:
    for length in range(len(token)):
        refused(token[:length], keys)
        refused(token[length + 1 :], keys)


@given(st.data())
def test_any_edit_of_a_token_is_refused(data: st.DataObject) -> None:
    token, keys = data.draw(st.sampled_from(GOOD))
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    alphabet = st.sampled_from("ABCXYZabcxyz0189-_.=+/ \n\0é") | st.characters()
    edited = token[:start] + data.draw(st.text(alphabet, max_size=30)) + token[end:]
    if edited != token:
        refused(edited, keys)


@given(st.permutations(ES256.split(".") + HS256.split(".")), st.integers(1, 6))
def test_parts_put_together_in_any_other_way_are_refused(parts: list[str], count: int) -> None:
    token = ".".join(parts[:count])
    for good, keys in GOOD:
        if token != good:
            refused(token, keys)


@given(anything)
def test_anything_else_is_an_invalid_token_and_no_other_error(value: object) -> None:
    refused(value, ES256_KEYS)
    refused(value, HS256_KEYS)


@given(json_values | st.binary(max_size=64))
def test_any_header_is_an_invalid_token_and_no_other_error(head: object) -> None:
    token = forge.signed(head, PAYLOAD, forge.signer("HS256"))
    refused(token, ES256_KEYS)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "alg": json_values | st.sampled_from(EVERY_ALG),
            "kid": json_values | st.just("k"),
            "typ": json_values,
            "cty": json_values,
            "crit": json_values,
            "x": json_values,
        },
    )
)
def test_a_header_of_odd_values_is_good_or_an_invalid_token(head: dict[str, Any]) -> None:
    token = forge.signed(head, PAYLOAD, forge.signer("HS256"))
    try:
        verified = jose.verify(token, HS256_KEYS)
    except InvalidToken:
        return
    assert head["alg"] == "HS256"
    assert head.get("kid", "k") == "k"
    assert "crit" not in head
    assert verified.payload == PAYLOAD


@pytest.mark.parametrize("alg", [[], {}, ["ES256"], {"ES256": 1}, None, 0, True, 1.5, "", "es256", "ES256 ", "none"])
def test_an_alg_that_is_not_the_keys_text_is_an_invalid_token_and_no_type_error(alg: object) -> None:
    """A list can't be looked up in a set: `{"alg": []}` was a TypeError, so a 500 for anybody who asked for one."""
    refused(forge.signed({"alg": alg, "kid": "k"}, PAYLOAD, forge.signer("ES256")), ES256_KEYS)


@given(json_values)
def test_any_json_as_a_key_set_is_taken_or_refused_with_no_other_error(value: Any) -> None:
    for given_set in (value, {"keys": value}, {"keys": [value]}):
        try:
            assert isinstance(KeySet.from_jwks(given_set), KeySet)
        except InvalidToken:
            continue


JWK_VALUES = st.one_of(
    json_values,
    st.binary(max_size=70).map(jose.b64encode),
    st.sampled_from([*EVERY_ALG, "sig", "enc", "P-256", "P-384", "P-521", "Ed25519", "Ed448", "X25519", "AQAB", "AQ"]),
    st.lists(st.sampled_from(["verify", "sign"])),
)


@given(st.data())
def test_a_key_with_any_member_changed_is_taken_or_refused_with_no_other_error(data: st.DataObject) -> None:
    key = forge.jwk(data.draw(st.sampled_from(EVERY_ALG)), private=data.draw(st.booleans()))
    names = st.sampled_from([*key, "use", "key_ops", "d", "x", "y", "n", "e", "k", "crv"])
    changed = {**key, **data.draw(st.dictionaries(names, JWK_VALUES, min_size=1, max_size=3))}
    try:
        keys = forge.key_set(changed)
    except InvalidToken:
        return
    assert len(keys) <= 1


def test_keys_are_values_that_cannot_be_changed() -> None:
    key = VerifyingKey("k", "ES256", frozenset({"ES256"}), ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(AttributeError):
        key.alg = "none"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        SigningKey("k", "HS256", bytes(32)).kid = "x"  # type: ignore[misc]
    assert not key.symmetric
    assert SigningKey("k", "HS256", bytes(32)).verifying().symmetric
