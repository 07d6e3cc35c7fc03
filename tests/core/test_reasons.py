"""Every refusal tells the operator why, in one text of ours: an attack is recognised in the log by these words.

None of them holds anything that was sent. And where a bound is named, the last value inside it is still taken.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from tests.core import forge

from watchword.core import jose, opaque, scopes, sealing, tokens
from watchword.core.errors import AuthError, ConfigError, InvalidRequest, Unavailable
from watchword.core.jose import KeySet, VerifyingKey

CHECK_VALUE = "d74c825d5d65de9b31bb72e3c7624fcbd7f3bfbd9d1c81945f42331929151a3c"
REFRESH_KEYS = (forge.REFRESH_KEY,)
SHORT_SIGNATURES = forge.ring(forge.record(1, "HS256"))
"""With the others no access token has exactly 8 KB: base64 makes steps."""

EVIL = "evil-evil-evil"


def of_key(alg: str = "ES256", /, **members: Any) -> Callable[[], object]:
    """Load a set with one key of which some members are others."""
    return lambda: forge.key_set(forge.jwk(alg, **members))


def of_header(**names: Any) -> Callable[[], object]:
    """Verify a foreign token whose header has these names."""
    header = {"alg": "ES256", "kid": "k"} | names
    return lambda: jose.verify(forge.signed(header, {}, forge.signer("ES256")), forge.key_set(forge.jwk("ES256")))


def of_claims(**changes: Any) -> Callable[[], object]:
    """Verify an access token of our own whose claims are others."""
    return lambda: verify(forge.access_token(payload=forge.claims(**changes)))


def verify(token: str) -> tokens.Access:
    return tokens.verify(token, forge.ring(), forge.POLICY, forge.T)


def with_signature(signature: str) -> Callable[[], object]:
    return lambda: verify(f"{forge.access_token().rpartition('.')[0]}.{signature}")


def of_private_half(alg: str) -> Callable[[], object]:
    """A key whose private half is another key's."""
    other = {"ES256": forge.jwk("ES256", private=True, nth=1), "Ed25519": forge.jwk("Ed25519", private=True, nth=1)}[
        alg
    ]
    return of_key(alg, d=other["d"])


JWKS: list[tuple[str, Callable[[], object]]] = [
    ("the key set names one kid twice", lambda: KeySet([_key("a"), _key("a")])),
    ("the JWK set is malformed", lambda: KeySet.from_jwks({"keys": EVIL})),
    ("the JWK set is malformed", lambda: KeySet.from_jwks({"keys": [EVIL]})),
    (
        "the JWK set mixes symmetric and asymmetric keys",
        lambda: forge.key_set(forge.jwk("HS256", "a"), forge.jwk("ES256", "b")),
    ),
    (
        "the JWK set repeats a kid, or has one that is not a string",
        lambda: forge.key_set(forge.jwk("ES256", EVIL), forge.jwk("ES256", EVIL)),
    ),
    ("the JWK's alg is not of its kty", of_key(alg="RS256")),
    ("a JWK is not a valid key", of_key(x=jose.b64encode(bytes(32)), y=jose.b64encode(bytes(32)))),
    ("the JWK's key_ops are malformed", of_key(key_ops=EVIL)),
    ("the JWK's key_ops are malformed", of_key(key_ops=[EVIL, 1])),
    ("the JWK repeats a key operation", of_key(key_ops=["verify", "verify"])),
    ("a symmetric JWK must say its alg", of_key("HS256", alg=None)),
    ("a symmetric key is shorter than its hash (RFC 7518 3.2)", of_key("HS256", k=jose.b64encode(bytes(31)))),
    ("an RSA key has 2,048 bits at least (RFC 7518 3.3)", of_key("RS256", n=jose.b64encode(b"\xff" * 255))),
    ("an RSA key has 2,048 bits at least (RFC 7518 3.3)", of_key("RS256", n=jose.b64encode(b"\xff" * 2049))),
    ("an RSA exponent is odd and at least 3", of_key("RS256", e=jose.b64encode(b"\x01"))),
    ("an RSA exponent is odd and at least 3", of_key("RS256", e=jose.b64encode(b"\x04"))),
    ("an RSA exponent is odd and at least 3", of_key("RS256", e=jose.b64encode(b"\x01" * 33))),
    (
        "an RSA modulus of a broken generator (CVE-2017-15361)",
        of_key("RS256", n=jose.b64encode(b"\xff" * 255 + b"\xfe")),
    ),
    ("the JWK's alg is not its curve's (RFC 7518 3.4)", of_key(alg="ES384")),
    ("a coordinate has the full length of its field (RFC 7518 6.2.1.2)", of_key(x=jose.b64encode(bytes(33)))),
    ("the private half belongs to another key", of_private_half("ES256")),
    ("the private half belongs to another key", of_private_half("Ed25519")),
    ("the JWK's alg is not its curve's (RFC 9864 2.2)", of_key("Ed25519", alg="Ed448")),
    ("the JWK's kty is not a string", of_key(kty=7)),
    ("not base64url", of_key(x="\xe9")),
    ("not canonical base64url", of_key(x=forge.jwk("ES256")["x"] + "=")),
]
TOKENS: list[tuple[str, Callable[[], object]]] = [
    ("not a compact JWS of at most 8 KB", lambda: verify(EVIL)),
    ("the header is over 2 KB", of_header(more="x" * 2048)),
    ("the header is not strict JSON", lambda: verify(forge.access_token(head=b"{"))),
    ("the header is not a JSON object", lambda: verify(forge.access_token(head=[]))),
    ("the header has jku", of_header(jku=EVIL)),
    ("a token in a token is not offered", of_header(cty="JWT")),
    ("the kid is not a string", of_header(kid=[EVIL])),
    ("no key has this kid", of_header(kid=EVIL)),
    ("the header's alg is not the key's", of_header(alg="none")),
    ("the signature does not match", with_signature(jose.b64encode(bytes(64)))),
    ("the signature can't be read", lambda: _without_material()),
    ("the header is not that of an access token", lambda: verify(forge.access_token(head=forge.header(x5t=EVIL)))),
    ("the token is not of the type at+jwt", lambda: verify(forge.access_token(head=forge.header(typ=EVIL)))),
    (
        "the key's time is over",
        lambda: tokens.verify(
            forge.access_token(), dataclasses.replace(forge.ring(), deadlines={}), forge.POLICY, forge.T
        ),
    ),
    ("the payload is not strict JSON", lambda: verify(forge.access_token(payload=b"{"))),
    ("the payload is not a JSON object", lambda: verify(forge.access_token(payload=[EVIL]))),
    ("the token has no sid", of_claims(sid=...)),
    ("a time in the token is not a number in range", of_claims(auth_time=EVIL)),
    ("the token has expired", of_claims(iat=int(forge.T) - 600, exp=int(forge.T))),
    ("the token was issued in the future", of_claims(iat=int(forge.T) + 61)),
    ("the token is not valid yet", of_claims(nbf=int(forge.T) + 61)),
    ("the token lives longer than an access token may", of_claims(exp=int(forge.T) + 3601)),
    ("the token is of another issuer", of_claims(iss=EVIL)),
    ("the token is for another audience", of_claims(aud=EVIL)),
    ("the token's sub is not a text", of_claims(sub="")),
    ("the token's client_id is not a text", of_claims(client_id=[EVIL])),
    ("the token's jti is not a text", of_claims(jti=None)),
    ("the token's sid is not a text", of_claims(sid=7)),
    ("the token's scope is not a text", of_claims(scope=[EVIL])),
    ("the token's amr is not a list of texts", of_claims(amr=EVIL)),
    ("the token's gen is not a number in range", of_claims(gen=EVIL)),
]
REFRESHING: list[tuple[str, Callable[[], object]]] = [
    ("not a refresh token of ours", lambda: opaque.parse(EVIL, REFRESH_KEYS)),
    ("the refresh token's mac does not verify", lambda: opaque.parse(refresh(0), (bytes([9]) * 32,))),
    ("the refresh token's generation is out of range", lambda: opaque.parse(refresh(2**53 - 1), REFRESH_KEYS)),
]
SCOPES = [*(f"s{n}" for n in range(63)), "x" * 64]
"""As many as go together, and one that is as long as may be."""

SECRETS: list[tuple[str, Callable[[], object]]] = [
    ("an HS256 secret has at least 32 bytes", lambda: jose.hmac_key(EVIL.encode())),
    ("a public key can't be an HMAC secret", lambda: jose.hmac_key(_public_key())),
]


def _key(kid: str) -> VerifyingKey:
    return VerifyingKey(kid, "HS256", frozenset({"HS256"}), forge.SECRET)


def _without_material() -> object:
    """A key that its algorithm can't work with: what the library raises is no business of the caller's."""
    keys = KeySet([VerifyingKey("k", "HS256", frozenset({"HS256"}), None)])
    return jose.verify(forge.signed({"alg": "HS256", "kid": "k"}, {}, forge.signer("HS256")), keys)


def _public_key() -> bytes:
    public = forge.material("ES256").public_key()
    pem: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def refresh(generation: int) -> str:
    return opaque.mint(forge.SESSION_ID, generation, bytes(32), REFRESH_KEYS)


@pytest.mark.parametrize(("because", "act"), [*JWKS, *TOKENS, *REFRESHING])
def test_the_log_says_why_and_nothing_that_was_sent(because: str, act: Callable[[], object]) -> None:
    with pytest.raises(AuthError) as refused:
        act()
    assert (refused.value.because, str(refused.value)) == (because, because)
    assert refused.value.detail == type(refused.value).default
    assert EVIL not in because


@pytest.mark.parametrize(("words", "act"), SECRETS)
def test_a_secret_that_is_refused_is_told_why(words: str, act: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        act()


def test_who_has_lost_a_master_key_is_told_which_setting_wants_it() -> None:
    sealed = sealing.seal(b"secret", "watchword_keys.sealed.1", [bytes(32)], bytes(12))
    with pytest.raises(ConfigError) as refused:
        sealing.unseal(sealed, "watchword_keys.sealed.1", [bytes([1]) * 32])
    assert str(refused.value) == (
        "WATCHWORD_MASTER_KEYS: none of the keys opens watchword_keys.sealed.1. Put back the key that sealed it: "
        "it may stand behind the new one."
    )


def test_a_database_recognises_its_master_key_after_every_upgrade() -> None:
    """A check value that one version writes and the next one makes differently would refuse every start."""
    assert sealing.check_value(bytes(range(32))) == CHECK_VALUE


class TestTheLastValueInsideABoundIsTaken:
    """An attacker finds nothing at the edge, and neither does an honest client."""

    def test_a_header_of_2_kb(self) -> None:
        header = {"alg": "ES256", "kid": "k", "more": ""}
        header["more"] = "x" * (1536 - len(forge.segment(header)) * 3 // 4)
        assert len(forge.segment(header)) == jose.MAX_HEADER
        token = forge.signed(header, {}, forge.signer("ES256"))
        assert jose.verify(token, forge.key_set(forge.jwk("ES256"))).header == header

    def test_an_access_token_of_8_kb_is_made_and_read(self) -> None:
        made = [self._issue(extra) for extra in range(5500, 6000)]
        longest = max((token for token in made if token is not None), key=len)
        assert len(longest) == jose.MAX_TOKEN
        access = tokens.verify(longest, SHORT_SIGNATURES, forge.POLICY, forge.T)
        assert access.principal.session_id == forge.SESSION_ID

    def test_one_that_would_be_longer_is_not_made(self) -> None:
        with pytest.raises(Unavailable) as refused:
            tokens.issue(*self._what(6100))
        assert refused.value.because == (
            f"the access token of the user {'u' * 26} would be too long, so nobody could read it: "
            "4 characters of scopes (at most 3072 are given), and the hook's claims"
        )

    def _issue(self, extra: int) -> str | None:
        try:
            return tokens.issue(*self._what(extra))
        except Unavailable:
            return None

    def _what(self, extra: int) -> tuple[Any, ...]:
        more = {"x": "x" * extra}
        return SHORT_SIGNATURES, forge.POLICY, forge.session(), frozenset({"read"}), bytes(16), forge.NOW, more

    @pytest.mark.parametrize("time", [0, tokens.MAX_INT])
    def test_the_first_and_the_last_second(self, time: int) -> None:
        assert verify(forge.access_token(payload=forge.claims(auth_time=time))).principal.auth_time == time

    @pytest.mark.parametrize("exponent", [b"\x03", b"\x81" + bytes(30) + b"\x01"])
    def test_the_smallest_and_the_largest_rsa_exponent(self, exponent: bytes) -> None:
        assert "k" in forge.key_set(forge.jwk("RS256", e=jose.b64encode(exponent)))

    def test_the_largest_rsa_modulus(self) -> None:
        modulus = (1 << (jose.MAX_RSA_BITS - 1)) | 1
        assert "k" in forge.key_set(forge.jwk("RS256", n=jose.b64encode(modulus.to_bytes(2048))))

    @pytest.mark.parametrize(
        ("text", "ours"), [("a" * 26, True), ("a" * 25 + "1", False), ("a" * 27, False), ("", False)]
    )
    def test_what_an_identifier_is(self, text: str, ours: bool) -> None:
        """Anything else need not reach the database."""
        assert opaque.is_identifier(text) is ours


@pytest.mark.parametrize("text", [" ".join([*SCOPES, EVIL]), "x" * 65, f'{EVIL}"'])
def test_a_scope_that_is_refused_is_told_why_in_two_texts(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        scopes.parse(text)
    assert refused.value.detail == "The scope is malformed."
    assert refused.value.because == (
        'a scope is 1 to 64 visible ASCII characters without " and \\, and at most 64 go together'
    )


def test_as_many_scopes_as_go_together_are_taken() -> None:
    assert scopes.parse(" ".join(SCOPES)) == frozenset(SCOPES)


def test_the_key_of_a_single_secret_has_the_name_that_tokens_of_before_carry() -> None:
    assert jose.hmac_key(forge.SECRET).kid == "secret"
