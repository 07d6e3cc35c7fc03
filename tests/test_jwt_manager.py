"""`JWTManager` keeps what the tutorial's class promised: four errors that differ, and a signature that means something."""

import base64
import hmac
import json
import math
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jwt.types import Options

from watchword import JWTManager
from watchword.core.errors import AuthError, ConfigError, ExpiredToken, InvalidToken, WeakSecret
from watchword.jwt_manager import RESERVED, TokenExpired, TokenMalformed, TokenRefused, TokenSignatureInvalid
from watchword.testing import FrozenClock

SECRET = "qZ3vT8mLw0RkYb5XnEoHc7JdUf2PsGa9"
OTHER = "Nw4yKp7RtB1xVg9CzLs2MhQe6DfJu8Ao"
HALF_AN_HOUR = timedelta(minutes=30)
CLOCK = FrozenClock()
NOW = int(CLOCK.timestamp())
manager = JWTManager(SECRET, clock=CLOCK)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_token(
    payload: bytes | dict[str, Any], header: bytes | dict[str, Any] | None = None, secret: str = SECRET
) -> str:
    """A token with a genuine signature over whatever is given."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(b64(part) for part in parts)
    return signed + "." + b64(hmac.digest(secret.encode(), signed.encode(), "sha256"))


def good(**more: Any) -> dict[str, Any]:
    return {"user_id": "ada", "iat": NOW, "exp": NOW + 60, **more}


# The promise


def test_what_was_put_in_comes_out_with_its_times() -> None:
    data = {"user_id": 42, "roles": ["reader", "작가"], "nested": {"deep": [1, 2.5, None, True]}}
    given_data = dict(data)
    token = manager.create_token(data, HALF_AN_HOUR)
    assert manager.decode_token(token) == {**data, "iat": NOW, "exp": NOW + 1800}
    assert data == given_data


def test_the_secret_may_be_bytes_and_means_the_same() -> None:
    token = JWTManager(SECRET.encode(), clock=CLOCK).create_token({"user_id": "ada"}, HALF_AN_HOUR)
    assert manager.decode_token(token)["user_id"] == "ada"


def test_it_keeps_time_by_the_machine_s_clock_unless_given_one() -> None:
    mine = JWTManager(SECRET)
    before = datetime.now(UTC).timestamp()
    claims = mine.decode_token(mine.create_token({}, HALF_AN_HOUR))
    assert before - 1 <= claims["iat"] <= datetime.now(UTC).timestamp()


# Four errors that differ, each also the PyJWT error that the tutorial catches

EXPIRED = manager.create_token({"user_id": "ada"}, timedelta(0))
FOREIGN = JWTManager(OTHER, clock=CLOCK).create_token({"user_id": "ada"}, HALF_AN_HOUR)
ERRORS = [
    (EXPIRED, TokenExpired, jwt.ExpiredSignatureError),
    (FOREIGN, TokenSignatureInvalid, jwt.InvalidSignatureError),
    ("not a token", TokenMalformed, jwt.DecodeError),
    (raw_token({"user_id": "ada"}), TokenRefused, jwt.InvalidTokenError),
]


@pytest.mark.parametrize(("token", "ours", "theirs"), ERRORS, ids=[ours.__name__ for _, ours, _ in ERRORS])
def test_each_error_is_its_own_and_also_pyjwt_s(token: str, ours: type[Exception], theirs: type[Exception]) -> None:
    with pytest.raises(InvalidToken) as caught:
        manager.decode_token(token)
    assert type(caught.value) is ours
    assert isinstance(caught.value, theirs)
    assert isinstance(caught.value, AuthError)
    assert caught.value.because


@pytest.mark.parametrize(("token", "name"), [(token, theirs.__name__) for token, _, theirs in ERRORS[:3]])
def test_the_tutorial_s_own_except_clauses_tell_them_apart(token: str, name: str) -> None:
    reached = "no refusal"
    try:
        manager.decode_token(token)
    except jwt.ExpiredSignatureError:
        reached = "ExpiredSignatureError"
    except jwt.InvalidSignatureError:
        reached = "InvalidSignatureError"
    except jwt.DecodeError:
        reached = "DecodeError"
    assert reached == name


def test_no_error_is_another_of_the_four() -> None:
    four = [ours for _, ours, _ in ERRORS]
    assert not any(issubclass(one, other) for one in four for other in four if one is not other)


def test_an_expired_token_has_the_parent_that_the_rest_of_watchword_uses() -> None:
    with pytest.raises(ExpiredToken):
        manager.decode_token(EXPIRED)


def test_no_error_shows_the_token_or_the_secret() -> None:
    for token, _, _ in ERRORS:
        with pytest.raises(InvalidToken) as caught:
            manager.decode_token(token)
        for shown in (str(caught.value), repr(caught.value), caught.value.detail, caught.value.because):
            assert token not in shown
            assert SECRET not in shown


# Time


@pytest.mark.parametrize(("seconds", "lives"), [(59, True), (59.999, True), (60, False), (61, False)])
def test_a_token_is_dead_from_the_second_that_exp_names(seconds: float, lives: bool) -> None:
    clock = FrozenClock()
    mine = JWTManager(SECRET, clock=clock)
    token = mine.create_token({"user_id": "ada"}, timedelta(seconds=60))
    clock.tick(seconds)
    if lives:
        assert mine.decode_token(token)["user_id"] == "ada"
    else:
        with pytest.raises(TokenExpired):
            mine.decode_token(token)


@pytest.mark.parametrize(
    "delta", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=-1), timedelta(days=-365)]
)
def test_a_lifetime_of_nothing_is_over_at_once(delta: timedelta) -> None:
    with pytest.raises(TokenExpired):
        manager.decode_token(manager.create_token({}, delta))


def test_a_lifetime_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        manager.create_token({}, timedelta.min)
    assert manager.decode_token(manager.create_token({}, timedelta.max))


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_waits_until_the_clocks_could_agree(name: str) -> None:
    assert manager.decode_token(raw_token(good(**{name: NOW + 60})))
    with pytest.raises(TokenRefused):
        manager.decode_token(raw_token(good(**{name: NOW + 61})))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["4102444800", None, True, [], {}, -1, 2**53, 1e300])
def test_a_time_that_is_no_number_in_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(TokenRefused):
        manager.decode_token(raw_token(good(**{name: value})))


def test_a_token_without_an_end_is_refused_and_one_without_iat_is_not() -> None:
    with pytest.raises(TokenRefused):
        manager.decode_token(raw_token({"user_id": "ada", "iat": NOW}))
    assert manager.decode_token(raw_token({"user_id": "ada", "exp": NOW + 0.5}))


# What a caller may put in


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_claims_are_not_the_caller_s(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: reserved"):
        manager.create_token({"user_id": "ada", name: "mine"}, HALF_AN_HOUR)


def test_the_reserved_claims_are_those_of_rfc_7519_but_the_subject() -> None:
    assert {*RESERVED, "sub"} == {"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}


@pytest.mark.parametrize("subject", [42, None, ["ada"], True])
def test_a_subject_is_a_text(subject: object) -> None:
    with pytest.raises(ValueError, match="sub is a text"):
        manager.create_token({"sub": subject}, HALF_AN_HOUR)
    assert manager.decode_token(manager.create_token({"sub": "42"}, HALF_AN_HOUR))["sub"] == "42"


SELF: dict[str, Any] = {}
SELF["self"] = SELF
DEEP: Any = []
for _ in range(50):
    DEEP = [DEEP]
BOTTOMLESS: Any = []
for _ in range(100_000):
    BOTTOMLESS = [BOTTOMLESS]
ODD: dict[str, dict[Any, Any]] = {
    "a set": {"a": {1, 2}},
    "bytes": {"a": b"raw"},
    "a date": {"a": datetime(2026, 1, 1, tzinfo=UTC)},
    "an object": {"a": object()},
    "not a number": {"a": math.nan},
    "infinity": {"a": math.inf},
    "half a character": {"a": "\ud800"},
    "half a character as a name": {"\udfff": 1},
    "a circle": SELF,
    "too deep": {"a": DEEP},
    "bottomless": {"a": BOTTOMLESS},
    "a number of 5,000 digits": {"a": 10**5000},
    "a tuple": {"a": (1, 2)},
    "a number as a name": {1: "a"},
    "two names that become one": {"a": {1: 2, "1": 3}},
    "over 8 KB": {"a": "x" * 8192},
}


@pytest.mark.parametrize("kind", ODD)
def test_what_would_not_come_back_as_it_is_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|changed|8 KB"):
        manager.create_token(ODD[kind], HALF_AN_HOUR)


def test_every_token_that_was_made_can_be_read() -> None:
    """The limit on the way in is the limit on the way out."""
    longest = 0
    for length in range(5900, 6200):
        try:
            token = manager.create_token({"a": "x" * length}, HALF_AN_HOUR)
        except ValueError:
            break
        assert manager.decode_token(token)["a"] == "x" * length
        longest = len(token)
    assert 8180 < longest <= 8192


# What a token may not be


NOT_TOKENS = [
    "", ".", "..", "...", "a.b", "a.b.c.d", "eyJhbGciOiJub25lIn0..", " ", "\n", "토큰.토큰.토큰", "a" * 10_000, "\ud800.a.b",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_TOKENS)
def test_what_is_no_jwt_is_malformed(text: str) -> None:
    with pytest.raises(TokenMalformed):
        manager.decode_token(text)


@pytest.mark.parametrize("value", [None, 42, b"a.b.c", ["a"], {}, EXPIRED.encode()])
def test_what_is_no_text_is_malformed(value: Any) -> None:
    with pytest.raises(TokenMalformed):
        manager.decode_token(value)


PAYLOADS = {
    "a claim twice": b'{"user_id":"ada","user_id":"root","exp":%d}' % (NOW + 60),
    "exp twice": b'{"user_id":"ada","exp":1,"exp":%d}' % (NOW + 60),
    "NaN": b'{"user_id":NaN,"exp":%d}' % (NOW + 60),
    "infinity by exponent": b'{"user_id":1e999,"exp":%d}' % (NOW + 60),
    "a lone surrogate": b'{"user_id":"\\ud800","exp":%d}' % (NOW + 60),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(good()).encode(),
    "UTF-16": json.dumps(good()).encode("utf-16"),
    "Latin-1": '{"user_id":"ü"}'.encode("latin-1"),
    "an array": b"[]",
    "a text": b'"ada"',
    "null": b"null",
    "deep": b'{"exp":%d,"a":%s%s}' % (NOW + 60, b"[" * 20, b"]" * 20),
    "no JSON": b"user_id=ada",
}


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_that_two_parsers_could_read_in_two_ways_is_malformed(kind: str) -> None:
    with pytest.raises(TokenMalformed):
        manager.decode_token(raw_token(PAYLOADS[kind]))


HEADERS: list[dict[str, Any]] = [
    {"alg": "HS256"},
    {"alg": "HS256", "typ": None},
    {"alg": "HS256", "typ": "at+jwt"},
    {"alg": "HS256", "typ": "reset+jwt"},
    {"alg": "HS256", "typ": ["JWT"]},
    {"alg": "none", "typ": "JWT"},
    {"alg": "None", "typ": "JWT"},
    {"alg": "HS384", "typ": "JWT"},
    {"alg": "HS512", "typ": "JWT"},
    {"alg": "ES256", "typ": "JWT"},
    {"alg": "hs256", "typ": "JWT"},
    {"alg": ["HS256"], "typ": "JWT"},
    {"typ": "JWT"},
    {"alg": "HS256", "typ": "JWT", "kid": "another"},
    {"alg": "HS256", "typ": "JWT", "kid": None},
    {"alg": "HS256", "typ": "JWT", "cty": "JWT"},
    {"alg": "HS256", "typ": "JWT", "crit": ["exp"]},
    {"alg": "HS256", "typ": "JWT", "b64": True},
    {"alg": "HS256", "typ": "JWT", "jku": "https://evil.example"},
    {"alg": "HS256", "typ": "JWT", "jwk": {}},
    {"alg": "HS256", "typ": "JWT", "x5u": "https://evil.example"},
    {"alg": "HS256", "typ": "JWT", "zip": "DEF"},
]


@pytest.mark.parametrize("header", HEADERS, ids=json.dumps)
def test_a_header_that_is_not_ours_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        manager.decode_token(raw_token(good(), header))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "Jwt"])
def test_the_type_is_read_without_regard_to_case(typ: str) -> None:
    """RFC 7519 5.1: a media type's name."""
    assert manager.decode_token(raw_token(good(), {"alg": "HS256", "typ": typ}))


def test_a_header_with_two_algorithms_is_malformed() -> None:
    with pytest.raises(TokenMalformed):
        manager.decode_token(raw_token(good(), b'{"alg":"none","alg":"HS256","typ":"JWT"}'))


@pytest.mark.parametrize("audience", ["https://another.example", ["a", "b"], [], None])
def test_a_token_for_an_audience_is_for_somebody_else(audience: object) -> None:
    """RFC 7519 4.1.3; PyJWT says the same."""
    with pytest.raises(TokenRefused):
        manager.decode_token(raw_token(good(aud=audience)))


@pytest.mark.parametrize("name", ["sub", "iss", "jti"])
@pytest.mark.parametrize("value", [42, None, True, ["ada"], {}])
def test_a_name_is_a_text(name: str, value: object) -> None:
    with pytest.raises(TokenRefused):
        manager.decode_token(raw_token(good(**{name: value})))


def test_one_token_has_one_spelling() -> None:
    token = manager.create_token({"user_id": "ada"}, HALF_AN_HOUR)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [token[:-1] + last for last in alphabet if last != token[-1]]
    others += [token + "=", token + "\n", " " + token, token.replace(".", ". "), token + ".", "." + token]
    for other in others:
        with pytest.raises(InvalidToken):
            manager.decode_token(other)


# The secret


@pytest.mark.parametrize(
    "secret",
    ["your-secret-key", "secret", "", "short but 31 bytes, truly it is", "a-string-secret-at-least-256-bits-long", "a" * 64,
     "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", b"\0" * 32, SECRET[:31]],
)  # fmt: skip
def test_a_short_known_or_guessable_secret_is_refused(secret: str | bytes) -> None:
    with pytest.raises(WeakSecret) as caught:
        JWTManager(secret)
    assert isinstance(caught.value, ConfigError)
    assert isinstance(caught.value, ValueError)
    assert "JWTManager's secret" in str(caught.value)
    assert "token_urlsafe(32)" in str(caught.value)


@pytest.mark.parametrize("secret", [None, 42, bytearray(40), [SECRET]])
def test_a_secret_that_was_never_set_is_refused_and_not_a_traceback(secret: Any) -> None:
    """`JWTManager(os.getenv("SECRET_KEY"))` where nobody set it."""
    with pytest.raises(WeakSecret, match="not set"):
        JWTManager(secret)


def test_a_public_key_is_no_secret() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(WeakSecret, match="public key"):
        JWTManager(pem)


def test_no_text_of_it_shows_the_secret() -> None:
    for shown in (repr(manager), str(manager), f"{manager!r}", repr(vars(manager))):
        assert SECRET not in shown


# Interop: what PyJWT makes is read here, and what is made here PyJWT reads


def test_pyjwt_reads_what_is_made_here() -> None:
    now_manager = JWTManager(SECRET)
    token = now_manager.create_token({"user_id": "ada", "sub": "ada"}, HALF_AN_HOUR)
    assert jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "iat"]})["user_id"] == "ada"
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_what_the_tutorial_s_class_made_is_read_here() -> None:
    token = jwt.encode({"user_id": "ada", "exp": datetime.now(UTC) + HALF_AN_HOUR}, SECRET, algorithm="HS256")
    assert JWTManager(SECRET).decode_token(token)["user_id"] == "ada"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DATA = st.dictionaries(st.text().filter(lambda name: name not in {*RESERVED, "sub"}), JSON, max_size=6)
TIMES = st.integers(-10, 10_000) | st.floats() | st.text() | st.none()
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "user_id": JSON,
        "exp": TIMES.map(lambda value: NOW + value if isinstance(value, int) else value),
        "iat": TIMES,
        "nbf": TIMES,
        "sub": JSON,
        "aud": JSON,
        "iss": JSON,
        "jti": JSON,
    },
)
HEADER = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256", "HS256", "HS512", "none", None])},
    optional={
        "typ": st.sampled_from(["JWT", "JWT", "jwt", "at+jwt", None, 1]),
        "kid": st.text(max_size=3) | st.none(),
        "crit": st.lists(st.text(max_size=3), max_size=2),
        "b64": st.booleans(),
        "x": JSON,
    },
)


@settings(deadline=None)
@given(DATA, st.timedeltas(timedelta(seconds=1), timedelta(days=36500)))
def test_what_goes_in_comes_out(data: dict[str, Any], lifetime: timedelta) -> None:
    try:
        token = manager.create_token(data, lifetime)
    except ValueError:
        assume(False)
    expected = {**data, "iat": NOW, "exp": NOW + int(lifetime.total_seconds())}
    assert manager.decode_token(token) == expected
    read = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    assert read == expected


@settings(deadline=None, max_examples=300)
@given(CLAIMS, HEADER)
@example(good(), {"alg": "HS256", "typ": "JWT"})
@example(good(aud="x"), {"alg": "HS256", "typ": "JWT"})
@example(good(jti=1), {"alg": "HS256", "typ": "JWT"})
def test_whatever_is_accepted_here_pyjwt_accepts_too(claims: dict[str, Any], header: dict[str, Any]) -> None:
    """Stricter than the tutorial, never laxer. (PyJWT's clock can't be given, so times are compared elsewhere.)"""
    token = raw_token(claims, header)
    try:
        accepted = manager.decode_token(token)
    except InvalidToken:
        return
    timeless: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    assert jwt.decode(token, SECRET, algorithms=["HS256"], options=timeless) == accepted


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,44}", fullmatch=True))
def test_any_text_is_one_of_the_four_errors(text: str) -> None:
    with pytest.raises((TokenExpired, TokenSignatureInvalid, TokenMalformed, TokenRefused)):
        manager.decode_token(text)


@settings(deadline=None)
@given(st.data())
def test_one_changed_character_is_refused(data: st.DataObject) -> None:
    token = manager.create_token({"user_id": "ada"}, HALF_AN_HOUR)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[at]))
    with pytest.raises(InvalidToken):
        manager.decode_token(token[:at] + other + token[at + 1 :])


def test_two_secrets_never_read_each_other_s_tokens() -> None:
    one, other = (JWTManager(secrets.token_urlsafe(32), clock=CLOCK) for _ in range(2))
    with pytest.raises(TokenSignatureInvalid):
        one.decode_token(other.create_token({"user_id": "ada"}, HALF_AN_HOUR))
