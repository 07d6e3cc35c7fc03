"""Forged access tokens: each test plays one attack on a token, and the token is refused before anything is believed.

The rows TF-01 to TF-15 and TC-05 of the security requirements, at the floor where signatures and claims are read. Each
docstring begins with its row.
"""

import base64
import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from tests.core import forge

from watchword.core import jose, strict_json, tokens
from watchword.core.errors import BadSignature, InvalidToken, MalformedToken, UnknownKey
from watchword.core.jose import KeySet, SigningKey, VerifyingKey
from watchword.core.keys import KeyRing
from watchword.core.policy import Policy

RING = forge.ring()
KEY = forge.signer("ES256", "kid-1", 1)
GOOD = forge.access_token()
CLAIMS = strict_json.dumps(forge.claims())
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def refused(token: Any, error: type[InvalidToken] = InvalidToken, ring: KeyRing = RING) -> str:
    """Why the token is refused."""
    with pytest.raises(InvalidToken) as caught:
        tokens.verify(token, ring, forge.POLICY, forge.T)
    assert isinstance(caught.value, error), repr(caught.value)
    assert (caught.value.status, caught.value.code) == (401, "invalid_token")
    return caught.value.because


@pytest.fixture
def no_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, whoever asks for a signature to be verified fails the test."""

    class Untouchable:
        def verify(self, *_: object) -> bool:
            raise AssertionError("a signature was looked at")

    for alg in jose.ALGORITHMS:
        monkeypatch.setitem(jose.ALGORITHMS, alg, Untouchable())
    monkeypatch.setattr(jose, "ECDSA", {})  # so that those of elliptic curves go the way of all


SEEN: list[str] = []
WATCHING = threading.local()


def _hear(event: str, args: tuple[object, ...]) -> None:
    if getattr(WATCHING, "on", False) and event.startswith(
        (
            "open",
            "socket.",
            "subprocess.",
            "os.",
            "sqlite3.",
            "urllib.",
            "http.",
            "import",
            "exec",
            "compile",
            "shutil.",
        )
    ):
        SEEN.append(f"{event} {args!r}")


sys.addaudithook(_hear)


@contextlib.contextmanager
def nothing_is_touched() -> Iterator[None]:
    """Fail when a file, a socket, a program or a module is opened inside."""
    SEEN.clear()
    WATCHING.on = True
    try:
        yield
    finally:
        WATCHING.on = False
    assert SEEN == []


def test_the_good_token_from_which_the_forgeries_are_made_is_good() -> None:
    access = tokens.verify(GOOD, RING, forge.POLICY, forge.T)
    assert access.principal.user_id == "u" * 26
    assert access.kid == "kid-1"


def test_the_watch_notices_a_file_that_is_opened() -> None:
    with pytest.raises(AssertionError), nothing_is_touched(), open("/dev/null"):
        pass


@pytest.mark.usefixtures("no_cryptography")
def test_the_watch_notices_a_signature_that_is_looked_at() -> None:
    with pytest.raises(AssertionError):
        tokens.verify(GOOD, RING, forge.POLICY, forge.T)


# TF-01


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "noNE", "none ", " none", "", None, [], {}, 0, True, ...]
)
@pytest.mark.parametrize(
    "signature", ["", GOOD.rpartition(".")[2], "AA", "bm9uZQ"], ids=["empty", "another's", "short", "text"]
)
@pytest.mark.usefixtures("no_cryptography")
def test_a_token_that_says_it_is_not_signed(alg: object, signature: str) -> None:
    """TF-01: the attacker takes a token, writes alg none (in any letter case, or nothing) into its header, and drops
    the signature or keeps the old one. A library that lets the header choose has nothing left to check."""
    token = f"{forge.segment(forge.header(alg=alg))}.{jose.b64encode(CLAIMS)}.{signature}"
    refused(token)
    with pytest.raises(InvalidToken):
        jose.verify(token, KeySet([forge.signer("HS256", "kid-1").verifying()]))


# TF-02


def encodings_of_a_public_key(alg: str) -> dict[str, bytes]:
    """Every form in which an attacker may find our public key, and in which somebody might have stored it."""
    public = forge.material(alg, 1).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    key = forge.jwk(alg, "kid-1", nth=1)
    forms = {
        "pem": pem,
        "pem, stripped": pem.strip(),
        "pem, bom": b"\xef\xbb\xbf" + pem,
        "pem, white space": b" \n" + pem + b" \n",
        "pem, crlf": pem.replace(b"\n", b"\r\n"),
        "pem, one line": pem.replace(b"\n", b""),
        "pem, body": b"".join(pem.splitlines()[1:-1]),
        "der": der,
        "der, hex": der.hex().encode(),
        "der, base64": base64.b64encode(der),
        "der, base64url": jose.b64encode(der).encode(),
        "ssh": ssh,
        "ssh, comment": ssh + b" ada@example.com",
        "jwk": json.dumps(key).encode(),
        "jwk, tight": strict_json.dumps(key),
        "jwks": json.dumps({"keys": [key]}).encode(),
        "x": jose.b64decode(key.get("x") or key["n"]),
        "x, base64url": (key.get("x") or key["n"]).encode(),
    }
    if alg == "RS256":
        forms["pkcs1"] = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    return forms


@pytest.mark.parametrize("typed", ["ES256", "RS256", "Ed25519", "PS256"])
@pytest.mark.parametrize("hmac", ["HS256", "HS384", "HS512"])
def test_a_public_key_as_an_hmac_secret(typed: str, hmac: str) -> None:
    """TF-02: the attacker fetches the public key from the JWK set and signs with it as if it were an HMAC secret. A
    verifier that hands the header's algorithm and "the key" to a library then computes the same HMAC. Ours has a key
    that is typed: it verifies its one algorithm, whatever the header says."""
    ring = forge.ring(forge.record(1, typed))
    for form, secret in encodings_of_a_public_key(typed).items():
        token = forge.signed(forge.header(alg=hmac), CLAIMS, SigningKey("kid-1", hmac, secret))
        assert refused(token, ring=ring) == "the header's alg is not the key's", form
        as_claimed = forge.signed(forge.header(alg=typed), CLAIMS, SigningKey("kid-1", hmac, secret))
        refused(as_claimed, BadSignature, ring)


@pytest.mark.parametrize("typed", ["ES256", "RS256", "Ed25519"])
@pytest.mark.parametrize("form", ["pem", "pem, crlf", "pem, white space", "pem, bom", "ssh", "ssh, comment", "pkcs1"])
def test_a_public_key_that_the_operator_pastes_as_the_secret(typed: str, form: str) -> None:
    """TF-02: the operator himself makes the confusion: a public key as text, where a secret belongs. Everybody would
    know it."""
    forms = encodings_of_a_public_key(typed)
    if form in forms and len(forms[form]) >= 32:
        with pytest.raises(ValueError, match="public key"):
            jose.hmac_key(forms[form])


# TF-03


@pytest.mark.parametrize("typed", ["ES256", "RS256", "PS256", "Ed25519", "HS256"])
@pytest.mark.parametrize(
    "named",
    ["HS256", "HS512", "RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "ES256K", "EdDSA", "Ed448", "es256"],
)
@pytest.mark.usefixtures("no_cryptography")
def test_a_header_that_chooses_another_algorithm(typed: str, named: str) -> None:
    """TF-03: the attacker names an algorithm that suits him: a weaker hash, another padding, another curve. One key has
    one algorithm, so the name is refused before any cryptography."""
    if named == typed:
        return
    head = forge.segment(forge.header(alg=named))
    token = f"{head}.{jose.b64encode(CLAIMS)}.{jose.b64encode(bytes(64))}"
    assert refused(token, ring=forge.ring(forge.record(1, typed))) == "the header's alg is not the key's"


# TF-04


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
@pytest.mark.parametrize("kid", ["kid-1", "mine", ...])
def test_a_token_that_brings_its_own_key(name: str, kid: object) -> None:
    """TF-04: the attacker signs with his own key, and puts it (or an address from which to fetch it) into the header.
    Nothing is fetched, nothing in a header is a key."""
    mine = forge.signer("ES256", "mine", 99)
    url = "https://127.0.0.1:1/jwks.json"
    value = {"jwk": forge.jwk("ES256", "mine", nth=99), "x5c": ["MIIB"]}.get(name, url)
    head = forge.header(kid=kid, **{name: value})
    token = forge.signed(head, CLAIMS, mine)
    refused(token)
    with nothing_is_touched():
        refused(token)
        with pytest.raises(InvalidToken):
            jose.verify(token, RING.keys)


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "epk", "apu", "p2c", "ver", "KID"])
def test_an_own_token_with_one_more_header_name(name: str) -> None:
    """TF-04: even with our own signature, a header that we would not have written is refused: it holds alg, kid and
    typ."""
    refused(forge.access_token(forge.header(**{name: "x"})))


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_an_own_token_with_one_header_name_less(name: str) -> None:
    """TF-04: each of the three names is a check; a check is not skipped because what it checks is absent."""
    refused(forge.access_token(forge.header(**{name: ...})))


# TF-05, TF-06


@pytest.mark.parametrize(
    "crit", [["x"], [], ["alg"], ["exp", "exp"], "exp", [1], ["b64"], None, {}, 0, False, ["kid", "typ"], [[]]]
)
def test_a_critical_extension_that_is_not_understood(crit: object) -> None:
    """TF-05: a token says "whoever does not know this extension must refuse me". We know none, so every crit is
    refused, also an empty or malformed one, and also where foreign tokens are read."""
    assert refused(forge.access_token(forge.header(crit=crit))) == "the header has crit"
    assert refused(forge.access_token(forge.header(crit=crit, x=1, exp=1, b64=True))) == "the header has crit"


@pytest.mark.parametrize("b64", [False, True, None, "false", 0])
def test_a_payload_that_is_not_encoded(b64: object) -> None:
    """TF-06: with b64=false the signature covers the payload as it stands, and one library reads other bytes than
    another."""
    assert refused(forge.access_token(forge.header(b64=b64))) == "the header has b64"
    head = forge.segment(forge.header(b64=b64))
    payload = CLAIMS.decode()
    raw = jose.ALGORITHMS["ES256"].sign(f"{head}.{payload}".encode(), KEY.material)
    refused(f"{head}.{payload}.{jose.b64encode(raw)}", MalformedToken)
    refused(f"{head}..{jose.b64encode(raw)}", MalformedToken)


@pytest.mark.parametrize("cty", ["JWT", "jwt", "Jwt", "application/jwt", "APPLICATION/JWT", 1, [], {}, True])
def test_a_token_inside_a_token(cty: object) -> None:
    """TF-06: a nested token: the outer signature is ours to check, the inner one is forgotten. Refused before the
    inside is decoded, here and where foreign tokens are read."""
    token = forge.access_token(forge.header(cty=cty), GOOD.encode())
    assert refused(token) == "a token in a token is not offered"


@pytest.mark.parametrize("zip_", ["DEF", "", None, 1])
def test_a_compressed_payload(zip_: object) -> None:
    """TF-15: a few bytes that inflate to gigabytes: nothing is inflated."""
    assert refused(forge.access_token(forge.header(zip=zip_))) == "the header has zip"


# TF-07


SIGNED, _, SIGNATURE = GOOD.rpartition(".")
RAW = jose.b64decode(SIGNATURE)


def test_a_signature_with_any_bit_flipped() -> None:
    """TF-07: the attacker hopes that some bits are not looked at."""
    for bit in range(len(RAW) * 8):
        changed = (int.from_bytes(RAW) ^ (1 << bit)).to_bytes(len(RAW))
        refused(f"{SIGNED}.{jose.b64encode(changed)}", BadSignature)


@pytest.mark.parametrize("size", range(1, 65))
def test_a_signature_that_is_cut_or_grows(size: int) -> None:
    """TF-07: the attacker cuts the signature, or adds bytes in front of it or behind it (Wycheproof 379, 385): a
    verifier that compares only what is there, or that reads numbers of any length, believes him."""
    for raw in (RAW[size:], RAW[:-size], bytes(size) + RAW, RAW + bytes(size), RAW + RAW[:size]):
        refused(f"{SIGNED}.{jose.b64encode(raw)}")


def p1363(r: int, s: int) -> str:
    return jose.b64encode(r.to_bytes(32) + s.to_bytes(32))


@pytest.mark.parametrize("r", [0, 1, P256_ORDER - 1, P256_ORDER, None])
@pytest.mark.parametrize("s", [0, 1, P256_ORDER - 1, P256_ORDER, None])
def test_an_elliptic_signature_of_edge_numbers(r: int | None, s: int | None) -> None:
    """TF-07: the psychic signature (CVE-2022-21449): r = s = 0 satisfies a verifier that forgets the range of the
    two."""
    if r is not None or s is not None:
        right = int.from_bytes(RAW[:32]), int.from_bytes(RAW[32:])
        refused(f"{SIGNED}.{p1363(right[0] if r is None else r, right[1] if s is None else s)}", BadSignature)


def test_an_elliptic_signature_in_der() -> None:
    """TF-07: the same two numbers in ASN.1: a second text for one token, which RFC 7518 3.4 does not allow."""
    der = utils.encode_dss_signature(int.from_bytes(RAW[:32]), int.from_bytes(RAW[32:]))
    refused(f"{SIGNED}.{jose.b64encode(der)}", BadSignature)


def test_the_twin_of_an_elliptic_signature_is_the_same_access_and_dies_with_it() -> None:
    """TF-07: ECDSA is malleable: for every (r, s) there is (r, n - s), and anybody can compute it. It forges nothing,
    but it is a second text for one token: so nothing may be revoked by a token's text, and nothing is."""
    r, s = int.from_bytes(RAW[:32]), int.from_bytes(RAW[32:])
    twin = f"{SIGNED}.{p1363(r, P256_ORDER - s)}"
    assert twin != GOOD
    assert tokens.verify(twin, RING, forge.POLICY, forge.T) == tokens.verify(GOOD, RING, forge.POLICY, forge.T)


def test_the_twin_of_an_edwards_signature() -> None:
    """TF-07: S + L instead of S: RFC 8032 5.1.7 has S below the order of the group, so that there is one text."""
    ring = forge.ring(forge.record(1, "Ed25519"))
    token = forge.access_token(forge.header(alg="Ed25519"), key=forge.signer("Ed25519", "kid-1", 1))
    tokens.verify(token, ring, forge.POLICY, forge.T)
    signed, _, signature = token.rpartition(".")
    raw = jose.b64decode(signature)
    s = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    refused(f"{signed}.{jose.b64encode(raw[:32] + s.to_bytes(32, 'little'))}", BadSignature, ring)


def test_an_rsa_signature_as_a_larger_number() -> None:
    """TF-07: s + n is the same residue as s, and so are more zeros in front: another text, and no signature."""
    ring = forge.ring(forge.record(1, "RS256"))
    token = forge.access_token(forge.header(alg="RS256"), key=forge.signer("RS256", "kid-1", 1))
    tokens.verify(token, ring, forge.POLICY, forge.T)
    signed, _, signature = token.rpartition(".")
    raw = jose.b64decode(signature)
    n = forge.material("RS256", 1).public_key().public_numbers().n
    for forged in (
        b"\0" + raw,
        (int.from_bytes(raw) + n).to_bytes(257),
        bytes(256),
        b"\0" * 255 + b"\1",
        n.to_bytes(256),
    ):
        refused(f"{signed}.{jose.b64encode(forged)}", BadSignature, ring)


def test_the_signature_of_another_token() -> None:
    """TF-07: the attacker has two genuine tokens, and puts parts of the one into the other."""
    other = forge.access_token(payload=strict_json.dumps(forge.claims(sub="mallory")))
    mine, yours = other.split("."), GOOD.split(".")
    refused(f"{yours[0]}.{yours[1]}.{mine[2]}", BadSignature)
    refused(f"{yours[0]}.{mine[1]}.{yours[2]}", BadSignature)
    refused(f"{yours[0]}.{yours[2]}.{yours[1]}", BadSignature)
    refused(f"{yours[1]}.{yours[0]}.{yours[2]}")


def test_the_payload_of_another_encoding_under_the_same_signature() -> None:
    """TF-07: claims that mean the same and are written otherwise are other bytes."""
    header, payload, signature = GOOD.split(".")
    loose = json.dumps(json.loads(jose.b64decode(payload))).encode()
    refused(f"{header}.{jose.b64encode(loose)}.{signature}", BadSignature)


def test_a_signature_over_the_digest_or_over_the_payload_alone() -> None:
    """TF-07: signatures by our own key over something near the token: over its digest, and over its payload only."""
    private: ec.EllipticCurvePrivateKey = KEY.material
    digest = hashes.Hash(hashes.SHA256())
    digest.update(SIGNED.encode())
    for text in (digest.finalize(), SIGNED.split(".")[1].encode(), SIGNED.encode() + b".", b""):
        r, s = utils.decode_dss_signature(private.sign(text, ec.ECDSA(hashes.SHA256())))
        refused(f"{SIGNED}.{p1363(r, s)}", BadSignature)


# TF-08


def odd_texts() -> Iterator[Any]:
    header, payload, signature = GOOD.split(".")
    yield from ("", ".", "..", "...", header, f"{header}.{payload}", f"{header}.{payload}.", f".{payload}.{signature}")
    yield from (
        f"{GOOD}.",
        f".{GOOD}",
        f"{GOOD}.{signature}",
        f"{GOOD}.{signature}.{signature}",
        f"{header}..{signature}",
    )
    for odd in (
        "=",
        "==",
        "+",
        "/",
        "?",
        "#",
        "\0",
        " ",
        "\n",
        "\r\n",
        "\t",
        "%2e",
        "\ufeff",
        "\u200b",
        "é",
        "\ud800",
        ",",
    ):
        yield from (odd + GOOD, GOOD + odd)
        yield from (f"{header}{odd}.{payload}.{signature}", f"{header}.{payload}{odd}.{signature}")
        yield from (f"{header}.{payload}.{odd}{signature}", f"{header[:5]}{odd}{header[5:]}.{payload}.{signature}")
    yield from (f"Bearer {GOOD}", f'"{GOOD}"', GOOD.upper(), GOOD.replace(".", "\uff0e"), GOOD.replace(".", "\u3002"))
    yield from (
        GOOD.translate({ord(c): ord(c) + 0xFEE0 for c in "abcXYZ123"}),
        GOOD.replace("-", "+").replace("_", "/") + "=",
    )
    flat = {"protected": header, "payload": payload, "signature": signature}
    yield json.dumps(flat)
    yield json.dumps({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})
    yield from (
        flat,
        GOOD.encode(),
        bytearray(GOOD.encode()),
        [GOOD],
        (header, payload, signature),
        None,
        0,
        1.5,
        True,
        object(),
    )


@pytest.mark.usefixtures("no_cryptography")
def test_a_text_that_is_nearly_a_token() -> None:
    """TF-08: one token has one text. A parser that skips spaces, padding or foreign letters makes many, and a filter in
    front of it (a revocation list, a log, a cache) knows one of them only."""
    for text in odd_texts():
        refused(text, MalformedToken)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_with_its_spare_bits_set(part: int) -> None:
    """TF-08: the last letter of base64 may hold bits that no byte takes: four or sixteen texts for one signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    payload = strict_json.dumps(forge.claims(sub="u" * (26 - part)))
    parts = forge.access_token(forge.header(typ="application/at+jwt"), payload).split(".")
    if len(parts[part]) % 4 == 0:
        parts[0] = forge.segment(json.dumps(forge.header()).encode() + b" ")
        payload = strict_json.dumps(forge.claims(sub="u" * 25))
        parts = forge.signed(json.dumps(forge.header()).encode() + b" ", payload, KEY).split(".")
    assert len(parts[part]) % 4 != 0
    last = alphabet.index(parts[part][-1])
    spare = [
        last | bits for bits in range(1, 16) if last & bits == 0 and bits < (4 if len(parts[part]) % 4 == 3 else 16)
    ]
    assert spare
    for changed in spare:
        odd = [*parts]
        odd[part] = odd[part][:-1] + alphabet[changed]
        text = ".".join(odd[:2])
        if part < 2:  # signed as it stands, so that the encoding alone can refuse it
            odd[2] = jose.b64encode(jose.ALGORITHMS["ES256"].sign(text.encode(), KEY.material))
        assert refused(".".join(odd), MalformedToken) == "not canonical base64url"


def test_a_token_over_8_kilobytes() -> None:
    """TF-08: the size is checked before anything is decoded, at exactly 8,192 letters; the header has 2,048 of them at
    most."""
    sizes = range(5000, 6200)
    made = (forge.access_token(payload=strict_json.dumps(forge.claims(x="x" * size))) for size in sizes)
    size, token = next((size, token) for size, token in zip(sizes, made, strict=False) if len(token) > jose.MAX_TOKEN)
    assert len(token) <= jose.MAX_TOKEN + 2
    assert refused(token, MalformedToken) == "not a compact JWS of at most 8 KB"
    smaller = forge.access_token(payload=strict_json.dumps(forge.claims(x="x" * (size - 2))))
    assert tokens.verify(smaller, RING, forge.POLICY, forge.T)
    assert "header" in refused(forge.access_token(forge.header(x="x" * 2000)), MalformedToken)


# TF-09


def spoiled_json() -> dict[str, bytes]:
    good = CLAIMS
    return {
        "dup sub": good[:-1] + b',"sub":"mallory"}',
        "dup sub, first": b'{"sub":"mallory",' + good[1:],
        "dup sub, escaped": good[:-1] + b',"\\u0073ub":"mallory"}',
        "dup inside": good[:-1] + b',"x":{"a":1,"a":2}}',
        "dup deep inside": good[:-1] + b',"x":[[{"a":1,"a":1}]]}',
        "nan": good[:-1] + b',"x":NaN}',
        "infinity": good[:-1] + b',"x":Infinity}',
        "-infinity": good[:-1] + b',"x":[-Infinity]}',
        "1e999": good[:-1] + b',"x":1e999}',
        "-1e999": good[:-1] + b',"x":-1e999}',
        "utf-16": good.decode().encode("utf-16"),
        "utf-16-le": good.decode().encode("utf-16-le"),
        "utf-16-be": good.decode().encode("utf-16-be"),
        "utf-32": good.decode().encode("utf-32"),
        "bom": b"\xef\xbb\xbf" + good,
        "latin-1": good[:-1] + b',"x":"\xe9"}',
        "overlong": good[:-1] + b',"x":"\xc0\xaf"}',
        "encoded surrogate": good[:-1] + b',"x":"\xed\xa0\x80"}',
        "lone surrogate": good[:-1] + b',"x":"\\ud800"}',
        "lone surrogate as a name": good[:-1] + b',"\\udc00":1}',
        "lone surrogate inside": good[:-1] + b',"x":[{"y":"\\ud800"}]}',
        "control character": good[:-1] + b',"x":"\n"}',
        "nul": good + b"\0",
        "trailing": good + b"{}",
        "comment": good[:-1] + b"/**/}",
        "trailing comma": good[:-1] + b",}",
        "single quotes": good.replace(b'"', b"'"),
        "leading zero": good[:-1] + b',"x":01}',
        "hexadecimal": good[:-1] + b',"x":0x1}',
        "list": b"[" + good + b"]",
        "string": json.dumps(good.decode()).encode(),
        "number": b"1",
        "null": b"null",
        "true": b"true",
        "space": b" ",
        "cut": good[:-1],
    }


@pytest.mark.parametrize("name", spoiled_json())
def test_a_payload_that_two_parsers_read_in_two_ways(name: str) -> None:
    """TF-09: the signature is good, and the JSON is loose: the gateway reads the first `sub`, the application the
    last."""
    refused(forge.access_token(payload=spoiled_json()[name]), MalformedToken)


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"ES256","kid":"kid-1","typ":"at+jwt"}',
        b'{"alg":"ES256","kid":"kid-1","typ":"at+jwt","alg":"ES256"}',
        b'{"alg":"ES256","kid":"kid-1","typ":"at+jwt","\\u0061lg":"ES256"}',
        b'{"alg":"ES256","kid":"kid-1","kid":"kid-2","typ":"at+jwt"}',
        b'\xef\xbb\xbf{"alg":"ES256","kid":"kid-1","typ":"at+jwt"}',
        b'{"alg":"ES256","kid":"kid-1","typ":"at+jwt"}{}',
        b'{"alg":"ES256","kid":"kid-1","typ":"at+jwt","x":NaN}',
        b'{"alg":"ES256","kid":"kid-\xff1","typ":"at+jwt"}',
        b'{"alg":"ES256","kid":"\\ud800","typ":"at+jwt"}',
        '{"alg":"ES256","kid":"kid-1","typ":"at+jwt"}'.encode("utf-16"),
        b'[{"alg":"ES256","kid":"kid-1","typ":"at+jwt"}]',
        b'"alg"',
        b"null",
        b"",
        b"\0",
    ],
)
def test_a_header_that_two_parsers_read_in_two_ways(header: bytes) -> None:
    """TF-09: the same with the header, where the two readings are two algorithms or two keys."""
    refused(forge.access_token(header), MalformedToken)


# TF-10


def deep(opening: bytes, closing: bytes, depth: int) -> bytes:
    return b'{"x":' + opening * depth + b"1" + closing * depth + b"}"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]")])
@pytest.mark.parametrize("depth", [9, 100, 500, 900, 1100, 2900, 100_000])
def test_json_that_is_deep(opening: bytes, closing: bytes, depth: int) -> None:
    """TF-10: thousands of brackets: a parser that recurses dies of it, and the request ends as a 500 or the process
    does."""
    refused(forge.access_token(payload=deep(opening, closing, depth)), MalformedToken)
    refused(forge.access_token(deep(opening, closing, depth)), MalformedToken)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_that_is_deep_and_never_closed(opening: bytes) -> None:
    """TF-10: the parser has to come back from the depth to say that the end is missing."""
    refused(forge.access_token(payload=b'{"x":' + opening * 1000), MalformedToken)


@pytest.mark.parametrize("digits", [400, 4301, 5500, 1_000_000])
def test_a_number_of_very_many_digits(digits: int) -> None:
    """TF-10: reading a number of a million digits takes quadratic time, and a conversion to float overflows."""
    for name in ("exp", "iat", "gen", "auth_time"):
        payload = strict_json.dumps(forge.claims(**{name: ...}))[:-1] + f',"{name}":1{"0" * digits}}}'.encode()
        refused(forge.access_token(payload=payload))
    refused(forge.access_token(b'{"alg":1' + b"0" * digits + b"}"))


def test_a_key_that_is_deep() -> None:
    """TF-10: a key set as deep as memory allows: nothing walks into it."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    for key in ({"kty": "EC", "x": value}, {"kty": value}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": value}):
        with pytest.raises(InvalidToken):
            KeySet.from_jwks({"keys": [key]})
    assert len(KeySet.from_jwks({"keys": [{**forge.jwk("ES256"), "ext": value}]})) == 1


# TF-11


@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "http://127.0.0.1:1/key",
        "|sleep 10",
        "$(sleep 10)",
        "`id`",
        "x' UNION SELECT 'secret",
        "kid-1' OR '1'='1",
        "kid-1\0",
        "kid-1 ",
        " kid-1",
        "KID-1",
        "kid-１",
        "kid-1\n",
        "",
        "k" * 1300,
        "{{7*7}}",
        "__class__",
        "%s%n",
        "None",
    ],
)
@pytest.mark.usefixtures("no_cryptography")
def test_a_kid_that_is_a_path_a_query_or_a_command(kid: str) -> None:
    """TF-11: the kid is written by the attacker. Where it is put into a path, a query, a URL or a shell, he chooses the
    key: an empty file, a row of his own. Here it is a word that is looked up in a dict."""
    token = f"{forge.segment(forge.header(kid=kid))}.{jose.b64encode(CLAIMS)}.{SIGNATURE}"
    refused(token, UnknownKey)
    with nothing_is_touched():
        refused(token, UnknownKey)


@pytest.mark.parametrize("kid", [None, 0, 1, True, 1.5, [], ["kid-1"], {}, {"kid": "kid-1"}])
def test_a_kid_that_is_no_text(kid: object) -> None:
    """TF-11: a kid of another type: a lookup that fails with a TypeError is a 500, and one that is skipped takes any
    key."""
    assert refused(forge.access_token(forge.header(kid=kid))) == "the kid is not a string"


def test_a_kid_of_ten_kilobytes() -> None:
    """TF-11: its size is looked at before it is."""
    refused(forge.access_token(forge.header(kid="k" * 10_000)), MalformedToken)


# TF-12


@pytest.mark.usefixtures("no_cryptography")
def test_a_token_without_kid_before_a_hundred_keys() -> None:
    """TF-12: a token that names no key, or one that does not exist, makes a careless verifier try them all: a hundred
    signatures for one request. It tries none, not even when one of them would fit."""
    keys = KeySet(forge.signer("ES256", f"kid-{nth}", 1).verifying() for nth in range(100))
    for kid in (..., "kid-100"):
        token = f"{forge.segment(forge.header(kid=kid))}.{jose.b64encode(CLAIMS)}.{SIGNATURE}"
        with pytest.raises(UnknownKey):
            jose.verify(token, keys)


def test_a_token_without_kid_before_keys_that_have_none() -> None:
    """TF-12: several keys without a name can't be told apart, so none is taken."""
    keys = KeySet(VerifyingKey(None, "ES256", frozenset({"ES256"}), KEY.verifying().material) for _ in range(2))
    with pytest.raises(UnknownKey):
        jose.verify(forge.access_token(forge.header(kid=...)), keys)


# TF-13, TF-14


@pytest.mark.parametrize(
    "typ",
    [
        ..., "JWT", "jwt", "", "dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "id+jwt", "at+jwt ",
        " at+jwt", "xat+jwt", "at+jwtx", "at+JWT;x=1", "application/application/at+jwt", "application/jwt", "at", "at-jwt",
        "text/at+jwt", "/at+jwt", None, 1, True, [], ["at+jwt"], {"typ": "at+jwt"},
    ],
)  # fmt: skip
def test_a_token_of_another_kind_with_a_good_signature(typ: object) -> None:
    """TF-13: the same key signs other kinds of tokens, here or tomorrow: an id token, a logout token, a proof. Their
    claims may look like an access token's; their type does not."""
    refused(forge.access_token(forge.header(typ=typ)))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"])
def test_the_type_of_an_access_token_in_the_spellings_of_rfc_9068(typ: str) -> None:
    """TF-13: RFC 7515 4.1.9: media types know no letter case, and the prefix application/ may be left out."""
    assert tokens.verify(forge.access_token(forge.header(typ=typ)), RING, forge.POLICY, forge.T)


def test_a_refresh_token_as_an_access_token() -> None:
    """TF-14: what is good at one door is no text of the other's."""
    pair = tokens.pair(RING, forge.POLICY, forge.session(), frozenset({"read"}), bytes(32), bytes(16), forge.NOW)
    refused(pair.refresh_token, MalformedToken)


# TF-15


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "dir", "enc": "A256GCM"},
        {"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "kid-1"},
        {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31, "p2s": "AAAA"},
        {"alg": "dir", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "ES256", "kid": "kid-1", "typ": "at+jwt"},
    ],
)
@pytest.mark.usefixtures("no_cryptography")
def test_an_encrypted_token(header: dict[str, Any]) -> None:
    """TF-15: a JWE whose header asks for two thousand million rounds of PBKDF2, or for an inflation: CVE-2024-33664 and
    its kind. It has five parts, so it is not read at all."""
    refused(".".join([forge.segment(header), "AAAA", "AAAA", "A" * 400, "AAAA"]), MalformedToken)
    refused(".".join([forge.segment(header), "AAAA", "AAAA", jose.b64encode(CLAIMS), SIGNATURE]), MalformedToken)
    if header["alg"] != "ES256":
        refused(".".join([forge.segment(header), "AAAA", "AAAA"]))


# TC-05


def test_a_key_of_another_issuer_with_our_kid() -> None:
    """TC-05: another issuer has a key with the same name, and signs our issuer's name with it; or it signs its own name
    with its own key, which is genuine there."""
    theirs = forge.signer("ES256", "kid-1", 77)
    refused(forge.access_token(key=theirs), BadSignature)
    foreign = strict_json.dumps(forge.claims(iss="https://other.example"))
    refused(forge.access_token(payload=foreign, key=theirs), BadSignature)
    assert refused(forge.access_token(payload=foreign)) == "the token is of another issuer"
    their_policy = Policy(issuer="https://other.example", audience=forge.POLICY.audience)
    with pytest.raises(InvalidToken):
        tokens.verify(GOOD, RING, their_policy, forge.T)


def test_a_token_of_pyjwt_with_the_right_key_and_claims_is_refused_for_its_header() -> None:
    """TF-13: who has got hold of nothing but a signing oracle for ordinary JWTs has no access token: the type
    differs."""
    token = jwt.encode(forge.claims(), KEY.material, algorithm="ES256", headers={"kid": "kid-1"})
    assert refused(token) == "the token is not of the type at+jwt"
