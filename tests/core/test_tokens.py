"""Access tokens: what is issued is good, and each thing that makes it good is missed when it is not there."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core import forge

from watchword.core import jose, keys, scopes, strict_json, tokens
from watchword.core.errors import ExpiredToken, InvalidGrant, InvalidToken, MalformedToken
from watchword.core.models import FrozenDict
from watchword.core.policy import LEEWAY, MAX_ACCESS_TTL, Policy
from watchword.core.tokens import Access

RING = forge.ring()
NOW, T = forge.NOW, forge.T
GRANTED = frozenset({"write", "read"})
JTI = bytes(range(16))
NOT_A_TEXT: list[Any] = [None, 0, 1, 1.5, True, False, [], ["x"], {}, {"x": "y"}]
NOT_A_NUMBER: list[Any] = [None, True, False, "", "123", "now", [], [1], {}, -1, -0.5, 2**53, 2**70, 1e300, -(2**70)]


def issue(policy: Policy = forge.POLICY, **session: Any) -> str:
    return tokens.issue(RING, policy, forge.session(**session), GRANTED, JTI, NOW)


def read(token: str, timestamp: float = T, policy: Policy = forge.POLICY, ring: keys.KeyRing = RING) -> Access:
    return tokens.verify(token, ring, policy, timestamp)


def with_claims(**changes: Any) -> str:
    """A token of our own key whose claims are changed; `...` leaves one out."""
    return forge.access_token(payload=strict_json.dumps(forge.claims(**changes)))


def refused(token: str, timestamp: float = T, **how: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        read(token, timestamp, **how)
    return caught.value.because


# Issuing


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_as_many_scopes_as_may_be_given_fit_beside_the_largest_claims(alg: str) -> None:
    """Two roles that were given could make every login of whoever has both fail."""
    granted = frozenset(f"{number:02}".ljust(63, "x") for number in range(47)) | {"x" * 62, "x"}
    assert len(scopes.text(granted)) == scopes.MAX_TEXT
    assert scopes.accept(granted) == granted
    claims = tokens.accept_claims({"x": "y" * (tokens.MAX_EXTRA - len('{"x":""}'))})
    policy = Policy(issuer=f"https://{'a' * 60}.example.com/{'b' * 40}", audience=f"https://{'c' * 60}.example.com/")
    session = forge.session(user_id="u" * 64, methods=frozenset({"magic_link", "mfa", "otp", "pwd"}))
    ring = forge.ring(forge.record(1, alg))
    token = tokens.issue(ring, policy, session, granted, JTI, NOW, claims)
    assert read(token, policy=policy, ring=ring).principal.scopes == granted


def test_an_issued_token_is_read_as_what_was_put_in() -> None:
    access = read(issue())
    assert access.kid == "kid-1"
    assert access.generation == 3
    assert access.expires_at == int(T) + 600
    principal = access.principal
    assert (principal.user_id, principal.session_id) == ("u" * 26, forge.SESSION_ID)
    assert principal.scopes == GRANTED
    assert principal.methods == {"pwd"}
    assert principal.auth_time == int(T)
    assert isinstance(principal.claims, FrozenDict)


def test_an_issued_token_has_the_header_and_the_claims_of_rfc_9068_and_no_more() -> None:
    header, payload, _ = issue().split(".")
    assert json.loads(jose.b64decode(header)) == {"alg": "ES256", "kid": "kid-1", "typ": "at+jwt"}
    claims = json.loads(jose.b64decode(payload))
    assert tuple(claims) == tokens.REQUIRED
    assert claims == {
        "iss": forge.POLICY.issuer,
        "sub": "u" * 26,
        "aud": forge.POLICY.audience,
        "client_id": "first-party",
        "iat": int(T),
        "exp": int(T) + 600,
        "jti": "AAECAwQFBgcICQoLDA0ODw",
        "scope": "read write",
        "sid": forge.SESSION_ID,
        "gen": 3,
        "auth_time": int(T),
        "amr": ["pwd"],
    }


def test_the_claims_of_a_principal_are_the_whole_payload_and_cannot_be_changed() -> None:
    claims = read(with_claims(extra={"list": [1, {"deep": True}]})).principal.claims
    assert claims["extra"] == {"list": (1, {"deep": True})}
    with pytest.raises(TypeError):
        claims["extra"]["list"][1]["deep"] = False
    with pytest.raises(TypeError):
        claims["sub"] = "mallory"  # type: ignore[index]


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_every_signing_algorithm_signs_access_tokens(alg: str) -> None:
    ring = forge.ring(forge.record(1, alg))
    token = tokens.issue(ring, forge.POLICY, forge.session(), GRANTED, JTI, NOW)
    assert read(token, ring=ring).principal.user_id == "u" * 26
    assert len(token) < 1024


def test_times_are_whole_seconds_and_the_token_lives_no_longer_than_said() -> None:
    now = NOW + timedelta(milliseconds=999)
    token = tokens.issue(RING, forge.POLICY, forge.session(), GRANTED, JTI, now)
    claims = json.loads(jose.b64decode(token.split(".")[1]))
    assert (claims["iat"], claims["exp"]) == (int(T), int(T) + 600)


@pytest.mark.parametrize(
    ("ttl", "left", "seconds"),
    [
        (timedelta(minutes=10), timedelta(days=1), 600),
        (timedelta(minutes=10), timedelta(minutes=10), 600),
        (timedelta(minutes=10), timedelta(seconds=599.9), 599),
        (timedelta(minutes=10), timedelta(seconds=3), 3),
        (timedelta(hours=1), timedelta(days=1), 3600),
        (timedelta(minutes=10), timedelta(seconds=0.5), 1),
        (timedelta(minutes=10), timedelta(0), 1),
        (timedelta(minutes=10), timedelta(seconds=-5), 1),
    ],
)
def test_an_access_token_never_outlives_its_session_by_more_than_the_second_it_is_made_in(
    ttl: timedelta, left: timedelta, seconds: int
) -> None:
    policy = Policy(access_ttl=ttl)
    session = forge.session(expires_at=NOW + left)
    assert tokens.lifetime(policy, session, NOW) == seconds
    token = tokens.issue(RING, policy, session, GRANTED, JTI, NOW)
    assert read(token).expires_at == int(T) + seconds
    refused(token, int(T) + seconds)


def test_a_pair_is_an_access_token_and_the_refresh_token_of_the_sessions_generation() -> None:
    pair = tokens.pair(RING, forge.POLICY, forge.session(), GRANTED, bytes(32), JTI, NOW)
    assert pair.access_token.rpartition(".")[0] == issue().rpartition(".")[0]
    assert (pair.expires_in, pair.scopes) == (600, GRANTED)
    presented = tokens.read_refresh(pair.refresh_token, RING)
    assert (presented.session_id, presented.generation, presented.r) == (forge.SESSION_ID, 3, bytes(32))
    assert pair.access_token not in repr(pair)
    assert pair.refresh_token not in repr(pair)


def test_an_access_token_is_no_refresh_token() -> None:
    with pytest.raises(InvalidGrant):
        tokens.read_refresh(issue(), RING)


def test_the_newest_key_whose_time_has_come_signs() -> None:
    ring = forge.ring(forge.record(1), forge.record(2, signs_from=NOW), forge.record(3, signs_from=NOW + timedelta(1)))
    token = tokens.issue(ring, forge.POLICY, forge.session(), GRANTED, JTI, NOW)
    assert read(token, ring=ring).kid == "kid-2"


# Absences: one test for each


@pytest.mark.parametrize("name", tokens.REQUIRED)
def test_a_token_without_one_of_its_claims_is_refused(name: str) -> None:
    assert refused(with_claims(**{name: ...})) == f"the token has no {name}"


def test_required_is_all_that_issue_writes() -> None:
    assert set(tokens.REQUIRED) == set(json.loads(jose.b64decode(issue().split(".")[1])))


@pytest.mark.parametrize("name", sorted(tokens.HEADER))
def test_a_token_without_one_of_its_header_names_is_refused(name: str) -> None:
    refused(forge.access_token(forge.header(**{name: ...})))


def test_a_token_with_a_header_name_of_its_own_is_refused() -> None:
    for name in ("x5t", "nonce", "iss", "ALG", ""):
        assert refused(forge.access_token(forge.header(**{name: "x"}))) == "the header is not that of an access token"


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"null", b"1", b'"iss"'])
def test_a_token_without_any_claims_is_refused(payload: bytes) -> None:
    refused(forge.access_token(payload=payload))


# Types and ranges: TC-01 to TC-06


@pytest.mark.parametrize("value", NOT_A_TEXT)
@pytest.mark.parametrize("name", ["iss", "sub", "client_id", "jti", "sid", "scope"])
def test_a_claim_that_is_a_text_is_nothing_else(name: str, value: Any) -> None:
    refused(with_claims(**{name: value}))


@pytest.mark.parametrize("name", ["iss", "sub", "client_id", "jti", "sid"])
def test_a_claim_that_names_something_is_not_empty(name: str) -> None:
    refused(with_claims(**{name: ""}))


def test_a_token_may_carry_no_scope_and_no_method() -> None:
    access = read(with_claims(scope="", amr=[]))
    assert access.principal.scopes == frozenset()
    assert access.principal.methods == frozenset()


@pytest.mark.parametrize("value", NOT_A_NUMBER)
@pytest.mark.parametrize("name", ["exp", "iat", "auth_time", "nbf", "gen"])
def test_a_claim_that_is_a_number_is_finite_and_in_range(name: str, value: Any) -> None:
    refused(with_claims(**{name: value}))


@pytest.mark.parametrize("name", ["exp", "iat", "auth_time", "nbf", "gen"])
@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_spoils_the_payload(name: str, text: str) -> None:
    payload = strict_json.dumps(forge.claims(**{name: ...}))[:-1] + f',"{name}":{text}}}'.encode()
    with pytest.raises(MalformedToken):
        read(forge.access_token(payload=payload))


@pytest.mark.parametrize("value", [1.0, 3.5, 0.0, "3"])
def test_a_generation_is_a_whole_number(value: Any) -> None:
    assert refused(with_claims(gen=value)) == "the token's gen is not a number in range"


@pytest.mark.parametrize("value", [0, 1, tokens.MAX_INT])
def test_a_generation_in_range_is_read(value: int) -> None:
    assert read(with_claims(gen=value)).generation == value


def test_times_with_a_fraction_are_numeric_dates() -> None:
    access = read(with_claims(exp=T + 60.5, iat=T - 0.5, auth_time=T - 1.75))
    assert access.expires_at == T + 60.5
    assert access.principal.auth_time == int(T - 1.75)
    refused(with_claims(exp=T + 60.5), T + 60.5)
    assert read(with_claims(exp=T + 60.5), T + 60.25)


@pytest.mark.parametrize("amr", [None, "pwd", 1, True, {}, {"pwd": 1}, [1], ["pwd", None], [["pwd"]], ["pwd", 1]])
def test_the_methods_are_a_list_of_texts(amr: Any) -> None:
    assert refused(with_claims(amr=amr)) == "the token's amr is not a list of texts"


# Issuer and audience: TC-04, TC-06

ISSUER = "https://id.example.com"
STRICT = Policy(issuer=ISSUER, audience="https://api.example.com")


@pytest.mark.parametrize(
    "iss",
    [
        "https://id.example.com/",
        "https://id.example.co",
        "https://id.example.com.evil.example",
        "https://evil.id.example.com",
        "https://ID.example.com",
        "HTTPS://id.example.com",
        "http://id.example.com",
        "https://id.example.com:443",
        "https://id.example.com\n",
        " https://id.example.com",
        "https://id.example.com#",
        "https://id.example.com?",
        "id.example.com",
        "https://id.exаmple.com",
        [ISSUER],
        {ISSUER: 1},
    ],
)
def test_the_issuer_is_compared_whole(iss: Any) -> None:
    good = forge.claims(iss=ISSUER, aud=STRICT.audience)
    assert read(forge.access_token(payload=strict_json.dumps(good)), policy=STRICT)
    token = forge.access_token(payload=strict_json.dumps(good | {"iss": iss}))
    assert refused(token, policy=STRICT) == "the token is of another issuer"


@pytest.mark.parametrize(
    "aud",
    [
        "https://other.example.com",
        "https://api.example.com/",
        "https://api.example.co",
        "https://api.example.com.evil.example",
        "HTTPS://api.example.com",
        "api.example.com",
        "*",
        "",
        [],
        ["https://other.example.com"],
        ["https://api.example.com/"],
        ["https://api.example.com", 1],
        ["https://api.example.com", None],
        [["https://api.example.com"]],
        {"https://api.example.com": True},
        None,
        True,
        0,
    ],
)
def test_the_audience_is_this_api_exactly(aud: Any) -> None:
    token = forge.access_token(payload=strict_json.dumps(forge.claims(iss=ISSUER, aud=aud)))
    assert refused(token, policy=STRICT) == "the token is for another audience"


@pytest.mark.parametrize(
    "aud", ["https://api.example.com", ["https://api.example.com"], ["x", "https://api.example.com"]]
)
def test_the_audience_may_be_one_of_a_list(aud: Any) -> None:
    assert read(forge.access_token(payload=strict_json.dumps(forge.claims(iss=ISSUER, aud=aud))), policy=STRICT)


# Times: TC-01, TC-03


def test_a_token_expires_at_exp_and_not_a_moment_later() -> None:
    token = with_claims(exp=int(T) + 10)
    for timestamp in (T, int(T) + 9, int(T) + 9.999):
        assert read(token, timestamp)
    for timestamp in (int(T) + 10, int(T) + 10.001, int(T) + 70, int(T) + 1e9):
        with pytest.raises(ExpiredToken):
            read(token, timestamp)


def test_an_expired_token_says_so_to_its_bearer() -> None:
    with pytest.raises(ExpiredToken) as caught:
        read(issue(), T + 600)
    assert caught.value.detail == "The token has expired."


def test_a_token_of_the_future_is_accepted_within_the_leeway_and_no_further() -> None:
    leeway = int(LEEWAY.total_seconds())
    assert leeway <= 60
    for name in ("iat", "nbf"):
        ahead = {"exp": int(T) + 600, name: int(T) + leeway}
        assert read(with_claims(**ahead))
        refused(with_claims(**{**ahead, name: int(T) + leeway + 1}))
        refused(with_claims(**{**ahead, name: int(T) + leeway + 0.001}))
        refused(with_claims(**ahead), T - 0.001)


def test_a_token_that_is_not_valid_yet_becomes_valid() -> None:
    token = with_claims(nbf=int(T) + 100)
    assert refused(token) == "the token is not valid yet"
    assert read(token, T + 40)


@pytest.mark.parametrize(
    ("iat", "exp", "good"),
    [
        (0, 3600, True),
        (0, 3601, False),
        (0, 3600.5, False),
        (-3599, 1, True),
        (-3600, 1, False),
        (-365 * 86400, 365 * 86400, False),
        (1, 1, False),
        (10, 10, False),
        (10, 5, False),
        (50, 51, True),
    ],
)
def test_a_token_lives_an_hour_at_most_and_not_backwards(iat: float, exp: float, good: bool) -> None:
    assert timedelta(hours=1) == MAX_ACCESS_TTL
    token = with_claims(iat=int(T) + iat, exp=int(T) + exp)
    if good:
        assert read(token)
    else:
        assert refused(token) == "the token lives longer than an access token may"


# The life of the key


def test_a_token_of_a_key_whose_time_is_over_is_refused() -> None:
    ring = forge.ring(forge.record(1, signs_from=NOW - timedelta(days=30)), forge.record(2, signs_from=NOW))
    deadline = (NOW + MAX_ACCESS_TTL + LEEWAY).timestamp()
    token = forge.access_token(payload=strict_json.dumps(forge.claims(iat=deadline - 100, exp=deadline + 100)))
    assert read(token, deadline - 1, ring=ring).kid == "kid-1"
    assert refused(token, deadline, ring=ring) == "the key's time is over"


def test_a_token_of_a_retired_key_is_refused_at_once() -> None:
    ring = forge.ring(forge.record(1, retired_at=NOW), forge.record(2))
    assert refused(forge.access_token(), ring=ring) == "the key's time is over"


def test_a_key_that_was_never_alive_is_refused_though_its_signature_is_good() -> None:
    ring = forge.ring()
    unknown = keys.KeyRing(ring.records, ring.private, ring.keys, ring.refresh_keys, deadlines={})
    assert refused(forge.access_token(), ring=unknown) == "the key's time is over"


# Properties

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*tokens.REQUIRED, "nbf", "other"]), json_values, max_size=3))
def test_any_claims_are_good_or_an_invalid_token(changes: dict[str, Any]) -> None:
    token = forge.signed(forge.header(), forge.claims(**changes), forge.signer("ES256", "kid-1", 1))
    try:
        access = read(token)
    except InvalidToken:
        return
    for name, value in changes.items():
        if name in ("iss", "aud"):
            assert value in (forge.POLICY.issuer, [forge.POLICY.audience])
        if name in ("sub", "client_id", "jti", "sid"):
            assert isinstance(value, str)
            assert value
    assert hash(access.principal) is not None


@given(json_values | st.binary(max_size=40))
def test_any_payload_is_an_invalid_token(payload: object) -> None:
    token = forge.signed(forge.header(), payload, forge.signer("ES256", "kid-1", 1))
    refused(token)


@given(st.lists(st.from_regex(r"[!#-\[\]-~]{1,20}", fullmatch=True), max_size=8), st.integers(0, 2**53 - 1))
def test_what_is_issued_is_read_whatever_the_scopes_and_the_generation(scopes: list[str], generation: int) -> None:
    session = forge.session(generation=generation)
    token = tokens.issue(RING, forge.POLICY, session, frozenset(scopes), JTI, NOW)
    access = read(token)
    assert access.principal.scopes == frozenset(scopes)
    assert access.generation == generation
