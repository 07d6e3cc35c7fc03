"""Every hole of the tutorial, attacked twice: its application lets the attack through, `examples/tutorial` refuses it.

One test per numbered heading of examples/tutorial/README.md, in its order; the last test keeps the two lists one.
"""

import asyncio
import base64
import hmac
import importlib.util
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from fastapi.testclient import TestClient
from tests.attacks import tutorial_recreated

import watchword
from watchword import Auth, ConfigError, JWTManager, Settings
from watchword.core import jose
from watchword.core.errors import WeakSecret
from watchword.core.jose import SigningKey
from watchword.core.passwords import Argon2Parameters
from watchword.flows import accounts, upkeep
from watchword.flows.kit import Kit
from watchword.testing import FrozenClock

pytestmark = pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")

EXAMPLE = Path(__file__).parents[2] / "examples" / "tutorial"
PASSWORD = "seven lanterns over the harbour"
OTHER_PASSWORD = "nine kettles beneath the orchard"
ITEMS = ["Foo", "Bar", "Baz"]

R = TypeVar("R")
Pairs = list[tuple[str, Any]]


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def text(pairs: Pairs) -> bytes:
    """A JSON object that may hold a name twice."""
    return ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}").encode()


def parts(token: str) -> list[Pairs]:
    """Header and payload."""
    pieces = [piece + "=" * (-len(piece) % 4) for piece in token.split(".")[:2]]
    return [list(json.loads(base64.urlsafe_b64decode(piece)).items()) for piece in pieces]


def changed(pairs: Pairs, **values: Any) -> Pairs:
    return [*((name, value) for name, value in pairs if name not in values), *values.items()]


class Visited:
    """An application with a client at its door, and whoever holds its signing key."""

    client: TestClient
    who: str
    """The claim that names the user."""

    def items(self, token: str, **headers: str) -> Any:
        return self.client.get("/items/", headers={"Authorization": f"Bearer {token}", **headers})

    def signature(self, signed: bytes) -> bytes:
        raise NotImplementedError

    def token(self) -> str:
        """What a login answers."""
        raise NotImplementedError

    def forge(self, payload: Callable[[Pairs], Pairs] = list, header: Callable[[Pairs], Pairs] = list) -> str:
        """A token like that of a login, changed, with a genuine signature."""
        old_header, old_payload = parts(self.token())
        signed = b64(text(header(old_header))) + "." + b64(text(payload(old_payload)))
        return signed + "." + b64(self.signature(signed.encode()))


class Theirs(Visited):
    """The tutorial's."""

    who = "user_id"

    def __init__(self) -> None:
        self.client = TestClient(tutorial_recreated.app, raise_server_exceptions=False)

    def token(self) -> str:
        return str(self.client.post("/login").json()["access_token"])

    def signature(self, signed: bytes) -> bytes:
        return hmac.digest(tutorial_recreated.SECRET_KEY.encode(), signed, "sha256")


@dataclass
class Login:
    """What a client keeps."""

    access_token: str
    refresh_token: str


class Ours(Visited):
    """The example's, on a clock that stands still."""

    who = "sub"

    def __init__(self, client: TestClient, auth: Auth, clock: FrozenClock) -> None:
        self.client, self.auth, self.clock = client, auth, clock
        self.register("ada@example.com")

    def register(self, email: str) -> None:
        assert self.client.post("/register", json={"email": email, "password": PASSWORD}).status_code == 202

    def try_login(self, email: str = "ada@example.com", password: str = PASSWORD) -> Any:
        return self.client.post("/login", data={"username": email, "password": password})

    def login(self, email: str = "ada@example.com") -> Login:
        answer = self.try_login(email).json()
        return Login(answer["access_token"], answer["refresh_token"])

    def refresh(self, refresh_token: str) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.client.post("/refresh", data=form)

    def token(self) -> str:
        return self.login().access_token

    def signature(self, signed: bytes) -> bytes:
        key: SigningKey = self.kit.keyring.ring.signer(self.clock.now())
        return jose.ALGORITHMS[key.alg].sign(signed, key.material)

    @property
    def kit(self) -> Kit:
        return self.act(lambda kit: asyncio.sleep(0, kit))

    def act(self, what: Callable[[Kit], Awaitable[R]]) -> R:
        """Do as an operator does."""

        async def acting() -> R:
            return await what(await self.auth.open())

        assert self.client.portal is not None
        return self.client.portal.call(acting)

    def user_id(self, login: Login) -> str:
        return str(self.items(login.access_token).json()["user_id"])


@pytest.fixture
def theirs() -> Theirs:
    return Theirs()


def example(monkeypatch: pytest.MonkeyPatch, settings: Settings, clock: FrozenClock) -> Any:
    """examples/tutorial/main.py itself, with cheap passwords and the clock; its module."""
    made = Auth(settings, clock=clock, argon2=Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1))
    monkeypatch.setattr(watchword, "Auth", lambda: made)
    spec = importlib.util.spec_from_file_location("tutorial_example", EXAMPLE / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ours]:
    clock = FrozenClock()
    main = example(monkeypatch, Settings(data_dir=tmp_path, key_rotation=3600), clock)
    with TestClient(main.app) as client:
        yield Ours(client, main.auth, clock)


# Before the attacks: both applications do what they are for, and a forged token is refused for its change alone


def test_both_answer_the_same_to_a_token_of_their_own(theirs: Theirs, ours: Ours) -> None:
    for visited in (theirs, ours):
        for token in (visited.token(), visited.forge()):
            answer = visited.items(token)
            assert answer.status_code == 200
            assert answer.json().keys() == {"user_id", "items"}
            assert answer.json()["items"] == ITEMS


def test_what_the_tutorial_gets_right_is_kept(theirs: Theirs, ours: Ours) -> None:
    def no_signature(visited: Visited) -> str:
        return ".".join(visited.forge(header=lambda pairs: changed(pairs, alg="none")).split(".")[:2]) + "."

    for visited in (theirs, ours):
        payload = dict(parts(visited.token())[1])
        refused = {
            "alg none": no_signature(visited),
            "another secret": jwt.encode(payload, "another-secret"),
            "another algorithm": jwt.encode(payload, tutorial_recreated.SECRET_KEY, algorithm="HS512"),
            "expired": visited.forge(lambda pairs: changed(pairs, exp=1)),
            "an unknown critical header": visited.forge(header=lambda pairs: [*pairs, ("crit", ["x"])]),
            "another audience": visited.forge(lambda pairs: changed(pairs, aud="https://another.example")),
        }
        for attack, token in refused.items():
            assert visited.items(token).status_code == 401, attack
        assert visited.client.get("/items/").status_code == 401
        assert visited.client.get(f"/items/?access_token={visited.token()}").status_code == 401


# The holes


def test_01_anybody_logs_in(theirs: Theirs, ours: Ours) -> None:
    wrong = {"username": "ada@example.com", "password": "not the password"}
    for form in (None, wrong):
        answer = theirs.client.post("/login", data=form)
        assert answer.status_code == 200
        assert theirs.items(answer.json()["access_token"]).status_code == 200
    nothing = ours.client.post("/login")
    assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_request")
    refused = ours.client.post("/login", data=wrong)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    unknown = ours.try_login("nobody@example.com")
    assert unknown.content == refused.content


def test_02_everybody_is_the_same_user(theirs: Theirs, ours: Ours) -> None:
    assert {theirs.items(theirs.token()).json()["user_id"] for _ in range(2)} == {"my_user_id"}
    ours.register("bob@example.com")
    assert ours.user_id(ours.login("ada@example.com")) != ours.user_id(ours.login("bob@example.com"))


def test_03_the_signing_secret_is_printed_in_the_article(theirs: Theirs, ours: Ours, tmp_path: Path) -> None:
    printed = "your-secret-key"
    forged = jwt.encode({"user_id": "admin", "exp": int(time.time()) + 600}, printed)
    assert theirs.items(forged).json()["user_id"] == "admin"
    header, payload = (dict(pairs) for pairs in parts(ours.token()))
    for headers in (header, {"typ": "at+jwt"}):
        assert ours.items(jwt.encode(payload, printed, headers={**headers, "alg": "HS256"})).status_code == 401
    with pytest.raises(WeakSecret, match="publicly known"):
        JWTManager(printed)
    with pytest.raises(ConfigError, match="publicly known"):
        Settings(data_dir=tmp_path, master_keys=(printed,))


def test_04_whoever_can_check_a_token_can_make_one(theirs: Theirs, ours: Ours) -> None:
    needed_to_check = tutorial_recreated.SECRET_KEY
    made = jwt.encode({"user_id": "admin", "exp": int(time.time()) + 600}, needed_to_check)
    assert theirs.items(made).json()["user_id"] == "admin"
    (published,) = ours.client.get("/.well-known/jwks.json").json()["keys"]
    public = jwt.PyJWK(published).key
    pem, der, spki = (
        serialization.Encoding.PEM,
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    )
    material = [public.public_bytes(pem, spki), public.public_bytes(der, spki), json.dumps(published).encode()]
    material += [value.encode() for value in published.values() if isinstance(value, str)]
    header, payload = parts(ours.token())
    for secret in material:
        signed = b64(text(changed(header, alg="HS256"))) + "." + b64(text(payload))
        forged = signed + "." + b64(hmac.digest(secret, signed.encode(), "sha256"))
        assert ours.items(forged).status_code == 401
    assert jwt.decode(ours.token(), public, ["ES256"], options={"verify_aud": False, "verify_exp": False})


def test_05_a_token_lives_on_after_the_logout(theirs: Theirs, ours: Ours) -> None:
    token = theirs.token()
    assert theirs.client.post("/logout", headers={"Authorization": f"Bearer {token}"}).status_code == 404
    assert theirs.items(token).status_code == 200
    login = ours.login()
    bearer = {"Authorization": f"Bearer {login.access_token}"}
    assert ours.items(login.access_token).status_code == 200
    assert ours.client.post("/logout", headers=bearer).status_code == 204
    assert ours.items(login.access_token).status_code == 401
    assert ours.refresh(login.refresh_token).status_code == 400


def test_06_a_disabled_or_deleted_user_s_token_lives_on(theirs: Theirs, ours: Ours) -> None:
    left = tutorial_recreated.JWTManager.create_token({"user_id": "whoever left"}, timedelta(minutes=30))
    assert theirs.items(left).json()["user_id"] == "whoever left"
    for act in (accounts.disable, accounts.delete):
        ours.register(f"{act.__name__}@example.com")
        login = ours.login(f"{act.__name__}@example.com")
        user_id = ours.user_id(login)
        ours.act(lambda kit, act=act, user_id=user_id: act(kit, user_id))  # type: ignore[misc]
        assert ours.items(login.access_token).status_code == 401
        assert ours.refresh(login.refresh_token).status_code == 400
        assert ours.try_login(f"{act.__name__}@example.com").status_code == 400


def test_07_a_change_of_password_changes_nothing(theirs: Theirs, ours: Ours) -> None:
    stolen = theirs.token()
    assert theirs.client.post("/change-password", headers={"Authorization": f"Bearer {stolen}"}).status_code == 404
    assert theirs.items(stolen).status_code == 200
    thief, owner = ours.login(), ours.login()
    answer = ours.client.post(
        "/change-password",
        json={"current_password": PASSWORD, "new_password": OTHER_PASSWORD},
        headers={"Authorization": f"Bearer {owner.access_token}"},
    )
    assert answer.status_code == 204
    assert ours.items(thief.access_token).status_code == 401
    assert ours.refresh(thief.refresh_token).status_code == 400
    assert ours.items(owner.access_token).status_code == 200
    assert ours.try_login().status_code == 400


def test_08_after_thirty_minutes_everybody_is_out(theirs: Theirs, ours: Ours) -> None:
    assert theirs.client.post("/login").json().keys() == {"access_token", "token_type"}
    half_an_hour_ago = tutorial_recreated.JWTManager.create_token({"user_id": "my_user_id"}, timedelta(minutes=-1))
    assert theirs.items(half_an_hour_ago).status_code == 401
    assert theirs.client.post("/refresh").status_code == 404
    login = ours.login()
    ours.clock.tick(timedelta(minutes=31))
    assert ours.items(login.access_token).status_code == 401
    turned = ours.refresh(login.refresh_token).json()
    assert ours.items(turned["access_token"]).status_code == 200
    assert turned["expires_in"] == 600
    ours.clock.tick(31)
    assert ours.refresh(login.refresh_token).status_code == 400  # a copy, after the grace: the session ends
    assert ours.items(turned["access_token"]).status_code == 401


def test_09_a_token_without_an_end_is_accepted_for_ever(theirs: Theirs, ours: Ours) -> None:
    def endless(pairs: Pairs) -> Pairs:
        return [(name, value) for name, value in pairs if name != "exp"]

    assert theirs.items(theirs.forge(endless)).status_code == 200
    assert ours.items(ours.forge(endless)).status_code == 401


def test_10_a_token_may_live_a_hundred_years(theirs: Theirs, ours: Ours) -> None:
    def long_lived(pairs: Pairs) -> Pairs:
        return changed(pairs, exp=int(dict(pairs)["exp"]) + 100 * 365 * 86400)

    assert theirs.items(theirs.forge(long_lived)).status_code == 200
    assert ours.items(ours.forge(long_lived)).status_code == 401


def test_11_a_time_may_be_a_text(theirs: Theirs, ours: Ours) -> None:
    def written_out(pairs: Pairs) -> Pairs:
        return changed(pairs, exp=str(dict(pairs)["exp"]))

    assert theirs.items(theirs.forge(written_out)).status_code == 200
    assert ours.items(ours.forge(written_out)).status_code == 401


@pytest.mark.parametrize("claim", ["who", "exp"])
def test_12_a_claim_may_stand_twice(theirs: Theirs, ours: Ours, claim: str) -> None:
    for visited, status in ((theirs, 200), (ours, 401)):
        name = visited.who if claim == "who" else "exp"
        first = "somebody else" if claim == "who" else 1
        token = visited.forge(lambda pairs, name=name, first=first: [(name, first), *pairs])  # type: ignore[misc]
        assert visited.items(token).status_code == status


@pytest.mark.parametrize("typ", ["JWT+reset", "reset+jwt", "JWT", None, 42, ["at+jwt"]])
def test_13_a_token_of_any_type_is_accepted(theirs: Theirs, ours: Ours, typ: object) -> None:
    assert theirs.items(theirs.forge(header=lambda pairs: changed(pairs, typ=typ))).status_code == 200
    assert ours.items(ours.forge(header=lambda pairs: changed(pairs, typ=typ))).status_code == 401


def test_14_a_token_made_for_another_purpose_is_accepted(theirs: Theirs, ours: Ours) -> None:
    mail_link = {"iss": "https://newsletter.example", "purpose": "unsubscribe"}
    assert theirs.items(theirs.forge(lambda pairs: changed(pairs, **mail_link))).status_code == 200
    assert ours.items(ours.forge(lambda pairs: changed(pairs, **mail_link))).status_code == 401
    in_the_own_name = ours.forge(lambda pairs: [(n, v) for n, v in pairs if n not in ("sid", "gen", "client_id")])
    assert ours.items(in_the_own_name).status_code == 401


@pytest.mark.parametrize("value", [None, True, 0, [], {"admin": True}, ""])
def test_15_the_user_may_be_anything_at_all(theirs: Theirs, ours: Ours, value: object) -> None:
    assert theirs.items(theirs.forge(lambda pairs: changed(pairs, user_id=value))).json()["user_id"] == value
    assert ours.items(ours.forge(lambda pairs: changed(pairs, sub=value))).status_code == 401
    half_a_character = "\ud800"
    assert theirs.items(theirs.forge(lambda pairs: changed(pairs, user_id=half_a_character))).status_code == 500
    assert ours.items(ours.forge(lambda pairs: changed(pairs, sub=half_a_character))).status_code == 401


@pytest.mark.parametrize(
    "more",
    [
        ("jku", "https://evil.example/keys"),
        ("jwk", {}),
        ("x5u", "https://evil.example"),
        ("zip", "DEF"),
        ("note", "of no meaning"),
    ],
)
def test_16_the_header_may_say_anything(theirs: Theirs, ours: Ours, more: tuple[str, Any]) -> None:
    for visited, status in ((theirs, 200), (ours, 401)):
        assert visited.items(visited.forge(header=lambda pairs: [*pairs, more])).status_code == status
        two_algorithms = visited.forge(header=lambda pairs: [("alg", "none"), *pairs])
        assert visited.items(two_algorithms).status_code == status


def test_17_one_token_has_two_spellings(theirs: Theirs, ours: Ours) -> None:
    token = theirs.token()
    assert theirs.items(token + "=").json() == theirs.items(token).json()
    for other in ("=", "==", ".", "A"):
        assert ours.items(ours.token() + other).status_code == 401


def test_18_a_token_of_any_size_is_read(theirs: Theirs, ours: Ours) -> None:
    def heavy(pairs: Pairs) -> Pairs:
        return [*pairs, ("x", "x" * 500_000)]

    def nested(pairs: Pairs) -> Pairs:
        deep: list[Any] = []
        for _ in range(200):
            deep = [deep]
        return [*pairs, ("x", deep)]

    for shape in (heavy, nested):
        assert theirs.items(theirs.forge(shape)).status_code == 200
        assert ours.items(ours.forge(shape)).status_code == 401


def test_19_of_two_tokens_in_one_request_the_first_is_taken(theirs: Theirs, ours: Ours) -> None:
    for visited, status in ((theirs, 200), (ours, 400)):
        two = [("Authorization", f"Bearer {visited.token()}"), ("Authorization", "Bearer another")]
        assert visited.client.get("/items/", headers=two).status_code == status


def test_20_the_cause_is_swallowed(
    theirs: Theirs, ours: Ours, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def outage(*_: object) -> None:
        raise OSError("the database is away")

    bad = {"expired": lambda pairs: changed(pairs, exp=1), "endless": lambda pairs: changed(pairs, exp=None)}
    caplog.set_level(logging.INFO)
    their_answers = {theirs.items(theirs.forge(change)).content for change in bad.values()}
    assert their_answers == {b'{"detail":"Invalid Token"}'}
    assert not [record for record in caplog.records if "nvalid" in record.getMessage()]
    expired, endless = (ours.items(ours.forge(change)) for change in bad.values())
    assert expired.json()["detail"] == "The token has expired."
    assert endless.json()["detail"] == "The token is not valid."
    logged = [record.getMessage() for record in caplog.records if record.name == "watchword.refusals"]
    assert logged == [
        "refused 401 invalid_token: the token has expired",
        "refused 401 invalid_token: a time in the token is not a number in range",
    ]

    their_token, our_token = theirs.token(), ours.token()
    kit = ours.kit
    with monkeypatch.context() as broken:
        broken.setattr(tutorial_recreated.JWTManager, "decode_token", outage)
        broken.setattr(kit.revocations, "fresh", lambda: False)
        broken.setattr(ours.auth._home.db, "read", outage)  # type: ignore[union-attr]
        assert theirs.items(their_token).content == b'{"detail":"Invalid Token"}'
        away = ours.items(our_token)
        assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
    assert ours.items(our_token).status_code == 200


def test_21_the_challenge_is_missing(theirs: Theirs, ours: Ours) -> None:
    """RFC 9110 15.5.2: a 401 must carry one. RFC 6750 3.1: it names the error."""
    theirs_bad, ours_bad = (visited.items("nonsense") for visited in (theirs, ours))
    assert (theirs_bad.status_code, ours_bad.status_code) == (401, 401)
    assert "WWW-Authenticate" not in theirs_bad.headers
    assert ours_bad.headers["WWW-Authenticate"].startswith('Bearer realm="watchword", error="invalid_token"')
    assert ours_bad.headers["Content-Type"] == "application/problem+json"


def test_22_a_login_may_be_kept_by_caches(theirs: Theirs, ours: Ours) -> None:
    """RFC 6749 5.1."""
    assert "Cache-Control" not in theirs.client.post("/login").headers
    assert ours.try_login().headers["Cache-Control"] == "no-store"


def test_23_what_was_made_for_the_desk_goes_into_production(theirs: Theirs, ours: Ours, tmp_path: Path) -> None:
    assert theirs.items(theirs.token(), Host="shop.example.com").status_code == 200
    answer = ours.items(ours.token(), Host="shop.example.com")
    assert (answer.status_code, answer.json()["code"]) == (421, "misdirected_request")
    assert "WATCHWORD_ISSUER" in answer.json()["detail"]
    for issuer, cure in (
        ("http://shop.example.com", "Use https"),
        ("https://shop.example.com", "MASTER_KEYS is not set"),
    ):
        with pytest.raises(ConfigError, match=cure):
            Settings(data_dir=tmp_path, issuer=issuer)


def test_24_a_new_key_throws_everybody_out(theirs: Theirs, ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    token = theirs.token()
    monkeypatch.setattr(tutorial_recreated, "SECRET_KEY", "another-secret-key")
    assert theirs.items(token).status_code == 401
    ours.clock.tick(3600 - 600)
    login = ours.login()
    ours.act(upkeep.run)
    ours.clock.tick(599)
    before = ours.login()
    ours.clock.tick(1)
    after = ours.login()
    old, new = (dict(parts(one.access_token)[0])["kid"] for one in (before, after))
    assert old != new
    for one in (before, after):
        assert ours.items(one.access_token).status_code == 200
    assert ours.refresh(login.refresh_token).status_code == 200


# Keeping the class


def test_the_class_alone_closes_the_holes_that_the_readme_names() -> None:
    class Alone(Theirs):
        def token(self) -> str:
            return manager.create_token({"user_id": "ada"}, timedelta(minutes=30))

        def signature(self, signed: bytes) -> bytes:
            return hmac.digest(secret.encode(), signed, "sha256")

    secret = "qZ3vT8mLw0RkYb5XnEoHc7JdUf2PsGa9"
    manager, alone = JWTManager(secret), Alone()
    assert manager.decode_token(alone.forge())
    attacks = {
        3: jwt.encode(dict(parts(alone.token())[1]), "your-secret-key"),
        9: alone.forge(lambda pairs: [(name, value) for name, value in pairs if name != "exp"]),
        10: alone.forge(lambda pairs: changed(pairs, exp=dict(pairs)["exp"] + 100 * 365 * 86400)),
        11: alone.forge(lambda pairs: changed(pairs, exp=str(dict(pairs)["exp"]))),
        12: alone.forge(lambda pairs: [("user_id", "somebody else"), *pairs]),
        13: alone.forge(header=lambda pairs: changed(pairs, typ="reset+jwt")),
        14: alone.forge(lambda pairs: [*pairs, ("iss", "https://newsletter.example")]),
        15: alone.forge(lambda pairs: changed(pairs, user_id=None)),
        16: alone.forge(header=lambda pairs: [*pairs, ("jku", "https://evil.example/keys")]),
        17: alone.token() + "=",
        18: alone.forge(lambda pairs: [*pairs, ("x", "x" * 8192)]),
    }

    def refused(token: str) -> bool:
        try:
            manager.decode_token(token)
        except jwt.PyJWTError:
            return True
        return False

    sentence = re.search(r"It closes holes ([\d, and]+)\.", (EXAMPLE / "README.md").read_text())
    assert sentence is not None
    assert [int(number) for number in re.findall(r"\d+", sentence[1])] == [
        number for number, token in attacks.items() if refused(token)
    ]


# One list


def test_the_readme_and_these_tests_are_one_list() -> None:
    headings = re.findall(r"^### (\d+)\. (.+)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    slugs = [f"test_{int(number):02}_{re.sub(r'[^a-z0-9]+', '_', title.lower())}" for number, title in headings]
    tests = [name for name in globals() if re.match(r"test_\d\d_", name)]
    assert slugs == tests
    assert [int(number) for number, _ in headings] == list(range(1, len(headings) + 1))
