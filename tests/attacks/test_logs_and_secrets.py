"""Lines of the log that somebody else would like to write, events that nobody tells, and secrets where they do not belong.

Each docstring begins with the row of the security requirements that it shows. LS-01 is in `test_canaries.py`.
"""

import asyncio
import copy
import logging
import pickle
import re
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests import keyed, vectors
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, make_auth, open_house
from tests.letterbox import token_for

from watchword import Principal, Settings, events
from watchword.core import jose
from watchword.core.events import Event
from watchword.features.api_keys import rules
from watchword.flows import accounts, administration, post, roles, signing_keys
from watchword.flows.kit import Kit
from watchword.server.app import create_app

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
OTHER_KEY = "Zq3nT8wB1yC6vM9xD4sF7gH2jK5lP0rA"
ROOT = Path(__file__).resolve().parents[2]
FORGED = "timestamp=2026-01-01T00:00:00Z level=info logger=watchword.audit event=\"LoggedIn(user_id='admin')\""
LINE = re.compile(r"timestamp=\S+ level=\w+ logger=[\w.]+ event=.+")
BREAKS = [
    "\n",
    "\r\n",
    "\r",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\x1b[2J\x1b[1;1H",
    "\x08",
    "\x00",
    "\x9b2J",
]


def assert_whole(out: str) -> None:
    """Each line is one that the server wrote, and no letter of it speaks to a terminal."""
    for line in out.splitlines():
        assert LINE.fullmatch(line), line[:300]
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line), line[:300]
        assert not line.startswith(FORGED[:40])


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("which", ["breaks", "naughty strings"])
def test_no_request_writes_a_line_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str) -> None:
    """LS-02: the attacker signs in as somebody else, in the log: a line break in a name, a user agent, a path or a token, and
    behind it a line of his own; or letters by which the operator's terminal wipes the line above. Every field and header that
    reaches the log, with every break there is and all of the naughty strings."""
    broken = [f"ada{one}{FORGED}" for one in BREAKS]
    sent: list[str] = broken if which == "breaks" else vectors.load("naughty-strings")["strings"]
    with TestClient(create_app(Settings(data_dir=tmp_path)), raise_server_exceptions=False) as client:
        client.post("/register", json={"email": ADA, "password": PASSWORD})
        for text in sent:
            printable = "".join(letter for letter in text if " " <= letter <= "~")
            headers = {"User-Agent": printable, "X-Forwarded-For": printable}
            quoted = "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))[:3000]
            form = f"username={quoted}&password=x&scope={quoted}".encode()
            client.post(
                "/login", content=form, headers={**headers, "Content-Type": "application/x-www-form-urlencoded"}
            )
            client.get(f"/sessions/{quoted}", headers={"Authorization": f"Bearer {printable}"})
    out = capsys.readouterr().err
    assert len(out.splitlines()) > len(sent)
    assert_whole(out)


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("broken", BREAKS)
def test_no_value_that_is_logged_writes_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    """LS-02: whatever a text is that comes to a logger, ours or another's, in the message, an argument or a stack trace, it
    stays on its line."""
    create_app(Settings(data_dir=tmp_path))
    text = f"x{broken}{FORGED}"
    logging.getLogger("watchword.audit").info("refused %s", text)
    logging.getLogger("somebody.else").warning(text)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("watchword.upkeep").exception("failed: %s", text)
    out = capsys.readouterr().err
    assert len(out.splitlines()) == 3
    assert_whole(out)


TOLD: dict[type[Event], str] = {
    events.Registered: "an account is made",
    events.LoggedIn: "somebody signs in",
    events.LoginFailed: "somebody guesses",
    events.AttemptsExhausted: "somebody guesses too often",
    events.SessionClosed: "somebody signs out",
    events.SessionsEnded: "somebody signs out everywhere",
    events.RefreshTokenReused: "a copied token comes back",
    events.StateRewound: "the database has lost commits",
    events.PasswordChanged: "a password is changed",
    events.PasswordResetRequested: "a link to a new password is asked for",
    events.PasswordReset: "a password is replaced by way of a link",
    events.EmailVerified: "an address is shown to be its owner's",
    events.EmailChangeRequested: "another address is wanted",
    events.EmailChanged: "an account has another address",
    events.UsernameChanged: "an account has another name",
    events.ProfileChanged: "an owner keeps something",
    events.DeletionPlanned: "an owner wants to go",
    events.DeletionCancelled: "an owner stays",
    events.AccountDisowned: "an owner says that it was somebody else",
    events.Reauthenticated: "somebody shows once more who they are",
    events.ScopesChanged: "somebody may do more, or less",
    events.RoleChanged: "a role is made or changed",
    events.RoleGiven: "a role is given",
    events.RoleTaken: "a role is taken away",
    events.RoleRemoved: "a role is removed",
    events.MailRetried: "a mail is tried again",
    events.MailDiscarded: "a mail is thrown away",
    events.UserDisabled: "an account is locked",
    events.UserEnabled: "an account is unlocked",
    events.UserDeleted: "an account is removed",
    events.KeyPublished: "a signing key is made",
    events.KeyRetired: "a signing key is stopped",
    events.KeysResealed: "the master key is changed",
    events.KeysAbandoned: "the master key is lost",
    events.ApiKeyCreated: "an API key is made",
    events.ApiKeyRotated: "an API key gets its successor",
    events.ApiKeyRevoked: "an API key is ended",
    events.ServiceAccountCreated: "a service account is made",
    events.ServiceAccountDisabled: "a service account is disabled",
}


async def thrown_away(kit: Kit, by: str) -> None:
    """A mail waits; an administrator has it tried again, and then does not want it to go."""
    now = kit.clock.now()
    waiting = post.write(kit, "password-changed", ADA, "en", now, {}, timedelta(days=1))
    await kit.outbox.add([waiting])
    who = Principal(by, "", frozenset(), frozenset(), 0, {})
    await administration.retry_mail(kit, who, waiting.id)
    await administration.discard_mail(kit, who, waiting.id)


def test_every_event_has_its_flow_here() -> None:
    """LS-03: an event that nothing provokes below is one that may be told no more, and nobody would notice."""
    named = {getattr(events, name) for name in events.__all__} - {Event}
    assert named == set(TOLD)


OF_API_KEYS = {kind for kind in TOLD if kind.__name__.startswith(("ApiKey", "ServiceAccount"))}


async def test_every_act_leaves_its_line(either: House, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """LS-03: the attacker counts on an act that leaves no trace: a guess, a copied token, a scope for a minute, a key
    that was stopped. Each is done once, and each is in the audit log and heard by handlers, with whom it concerns."""
    caplog.set_level(logging.INFO)
    heard: list[Event] = []
    either.auth.on(Event, heard.append)
    kit = await either.kit()
    user_id, other_id = await either.register(), await either.register(BOB)
    await either.try_login(password="wrong")
    await either.try_login("nobody@example.com")
    limit = either.auth.policy.attempts_per_account
    for _ in range(limit):
        await either.try_login(BOB, "wrong")
    login = await either.login()
    second = await either.refresh(login.refresh)
    either.clock.tick(60)
    await either.try_refresh(login.refresh)
    login = await either.login()
    second = await either.refresh(login.refresh)
    assert either.auth._home is not None
    async with either.auth._home.db.write() as connection:
        await connection.exec_driver_sql("UPDATE watchword_sessions SET generation = 0")
    await either.refresh(second.refresh)
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await either.client.post("/change-password", json=body, headers=second.headers)).status_code == 204
    assert (await either.client.post("/logout", headers=second.headers)).status_code == 204
    login = await either.login(password=OTHER_PASSWORD)
    assert (await either.client.delete("/sessions", headers=login.headers)).status_code == 204
    await live_on(either)
    await accounts.grant(kit, user_id, ["admin"])
    await roles.put(kit, "writer", frozenset({"items:*"}))
    await roles.give(kit, user_id, "writer")
    await roles.take(kit, user_id, "writer")
    await roles.remove(kit, "writer")
    await thrown_away(kit, user_id)
    await accounts.disable(kit, user_id)
    await accounts.enable(kit, user_id)
    await accounts.delete(kit, user_id)
    await signing_keys.publish(kit, at_once=True)
    await signing_keys.retire(kit, 1)
    await kit.handlers.drain()
    log = "\n".join(
        record.getMessage() for record in caplog.records if record.name in ("watchword.audit", "watchword.keys")
    )
    operators = {events.KeysResealed, events.KeysAbandoned}  # with other master keys, below
    for kind in set(TOLD) - operators - OF_API_KEYS:
        assert [event for event in heard if type(event) is kind], TOLD[kind]
        assert f"{kind.__name__}(" in log, TOLD[kind]
    ours = [event for event in heard if type(event) in (events.LoggedIn, events.PasswordChanged, events.ScopesChanged)]
    assert {event.user_id for event in ours} == {user_id}
    failed = [event.user_id for event in heard if isinstance(event, events.LoginFailed)]
    assert failed == [user_id, None, *[other_id] * limit]


async def live_on(house: House) -> None:
    """All that mails and owners do to an account, which has OTHER_PASSWORD before and after it."""
    login = await house.login(password=OTHER_PASSWORD)
    client, headers = house.client, login.headers
    await client.post("/reauthenticate", json={"password": OTHER_PASSWORD}, headers=headers)
    await client.patch("/me", json={"language": "ko"}, headers=headers)
    await client.post("/change-username", json={"username": "lovelace"}, headers=headers)
    await client.post("/verify-email", headers=headers)
    await client.post("/verify-email/confirm", json={"token": await token_for(house, "verify-email")})
    await client.post("/change-email", json={"email": "new@example.com"}, headers=headers)
    for _ in range(2):
        await client.post("/change-email/confirm", json={"token": await token_for(house, "change-email")})
    await client.post("/delete-account", headers=headers)
    await house.login("lovelace", OTHER_PASSWORD)
    await client.post("/disown", json={"token": await token_for(house, "undo", "new@example.com")})
    await client.post("/forgot-password", json={"email": "new@example.com"})
    new = {"token": await token_for(house, "reset-password"), "new_password": OTHER_PASSWORD}
    assert (await client.post("/reset-password", json=new)).status_code == 204


async def test_what_is_done_with_api_keys_leaves_its_line(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """LS-03: a thief who is signed in makes a key, so as to come back later; an administrator makes an account that is
    nobody's. Each act is in the log, with whose key it is and who did it."""
    caplog.set_level(logging.INFO)
    async with keyed.keyed_house(tmp_path, database_url) as house:
        heard: list[Event] = []
        house.auth.on(Event, heard.append)
        login = await keyed.signed_in(house, "watchword:admin")
        me = (await house.me(login)).json()["user_id"]
        one = await keyed.made(house, login)
        new = keyed.program(await house.client.post(f"/api-keys/{one.id}/rotate", headers=login.headers))
        await house.client.delete(f"/api-keys/{new.id}", headers=login.headers)
        made = await house.client.post("/service-accounts", json={"name": "ci"}, headers=login.headers)
        account = made.json()["id"]
        body = {"name": "k"}
        path = f"/service-accounts/{account}"
        theirs = keyed.program(await house.client.post(f"{path}/api-keys", json=body, headers=login.headers))
        await house.client.delete(path, headers=login.headers)
        await (await house.kit()).handlers.drain()
    assert [event for event in heard if type(event) in OF_API_KEYS] == [
        events.ApiKeyCreated(me, one.id, me),
        events.ApiKeyRotated(me, one.id, new.id, me),
        events.ApiKeyRevoked(me, new.id, me),
        events.ServiceAccountCreated(None, account, me),
        events.ApiKeyCreated(account, theirs.id, me),
        events.ServiceAccountDisabled(None, account, me),
        events.ApiKeyRevoked(account, theirs.id, me),
    ]
    for event in heard:
        assert repr(event) in caplog.text


async def test_what_is_done_to_master_keys_leaves_its_line(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """LS-03: whoever has stolen a master key changes it, or gives it up, so that the owner is shut out."""
    caplog.set_level(logging.INFO)
    for keys, act in ((KEY, None), (f"{OTHER_KEY},{KEY}", signing_keys.reseal)):
        async with open_house(tmp_path, master_keys=keys, database_url=database_url) as house:
            if act is not None:
                await act(await house.kit())
    assert "KeysResealed(" in caplog.text
    auth = make_auth(tmp_path, master_keys=KEY, database_url=database_url)
    async with auth.unlocked(foreign=True) as kit:
        lost = await signing_keys.lost(kit)
        assert lost is not None
        await signing_keys.abandon(kit, lost)
    assert "KeysAbandoned(" in caplog.text


def shown(value: object) -> str:
    """As a careless line of code would show it."""
    texts = [repr(value), str(value), f"{value}", repr([value]), repr({"value": value}), repr(copy.copy(value))]
    try:
        raise ValueError(value)
    except ValueError as error:
        texts += traceback.format_exception(error)
    return "\n".join(texts)


SHOWS: dict[str, Callable[[Any], Any]] = {
    "auth": lambda auth: auth,
    "settings": lambda auth: auth.settings,
    "settings as a dict": lambda auth: auth.settings.model_dump(),
    "settings as JSON": lambda auth: auth.settings.model_dump_json(),
    "its master keys": lambda auth: auth.settings.master_keys,
    "its database": lambda auth: auth.settings.database_url,
    "policy": lambda auth: auth.policy,
    "home": lambda auth: auth._home,
    "database": lambda auth: auth._home.db.public_url,
    "engine": lambda auth: auth._home.db.engine,
    "kit": lambda auth: auth._kit,
    "keyring": lambda auth: auth._kit.keyring,
    "ring": lambda auth: auth._kit.keyring.ring,
    "records": lambda auth: auth._kit.keyring.ring.records,
    "private keys": lambda auth: list(auth._kit.keyring.ring.private.values()),
    "public keys": lambda auth: auth._kit.keyring.ring.keys,
    "description": lambda auth: auth.describe(),
}


@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "RS256", "HS256"])
async def test_what_holds_a_secret_masks_it(tmp_path: Path, alg: str) -> None:
    """LS-04: a developer prints the settings, an error reporter shows the values around a fault, a debug page lists the state:
    each object that holds a secret, however it is shown, shows none of it."""
    auth = make_auth(tmp_path, master_keys=f"{KEY},{OTHER_KEY}", signing_alg=alg)
    await auth.start()
    assert auth._kit is not None
    ring = auth._kit.keyring.ring
    private = [key.private_bytes() for key in ring.private.values()]
    raw = [*private, *ring.refresh_keys, KEY.encode(), OTHER_KEY.encode()]
    written = [text for secret in raw for text in (secret.hex(), repr(secret)[2:-1], jose.b64encode(secret))]
    for name, part in SHOWS.items():
        text = shown(part(auth))
        assert not [secret for secret in written if secret in text], name
    await auth.stop()


def test_a_database_s_password_is_masked_too(tmp_path: Path) -> None:
    """LS-04: it stands in the middle of an address that everybody shows."""
    url = f"postgresql://watchword:{KEY}@localhost/watchword?password={OTHER_KEY}"
    auth = make_auth(tmp_path, database_url=url, master_keys=KEY)
    home = auth._house()
    for value in (
        auth,
        auth.settings,
        auth.settings.model_dump(),
        home,
        home.db.public_url,
        home.db,
        auth.whereabouts(),
    ):
        assert KEY not in shown(value)
        assert OTHER_KEY not in shown(value)


async def test_a_debug_page_shows_no_secret(tmp_path: Path, sqlite_url: str) -> None:
    """LS-04: on the developer's desk faults are answered with a page: of the code, and of no value in it."""
    app = FastAPI(debug=True)
    async with open_house(tmp_path, app=app, database_url=sqlite_url, master_keys=KEY) as house:

        @app.get("/broken")
        async def broken() -> None:
            settings = house.auth.settings
            raise RuntimeError(f"with {settings!r} and {house.auth!r} and {await house.kit()!r}")

        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/broken", headers={"accept": "text/html"})
    assert (answer.status_code, "RuntimeError" in answer.text) == (500, True)
    assert KEY not in answer.text


def test_keys_do_not_travel_by_accident() -> None:
    """LS-04: a key that is pickled lands in a cache, a queue or a core dump of another process."""
    key = jose.generate("ES256", "kid", bytes(32))
    with pytest.raises(TypeError):
        pickle.dumps(key)


LIVE = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/=\s]{100,}",
    "a token": r"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{40,}",
    "a refresh token of ours": r"wwr_[a-z2-7]{26}\.\d+\.[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}",
    "an API key of ours": r"\bwwk_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}\b",
    "an access key of a cloud": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b",
    "a token of a forge": r"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bglpat-[A-Za-z0-9_-]{20}\b|\bpypi-[A-Za-z0-9_-]{50,}",
    "a token of a chat": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a key of a payment service": r"\b[sr]k_live_[A-Za-z0-9]{20,}",
    "a private JWK": r'"d"\s*:\s*"[A-Za-z0-9_-]{40,}"',
}
OF_EXAMPLES = ("a private key", "a token", "a refresh token of ours", "an API key of ours", "a private JWK")
MEANT = {
    "tests": "vectors and forgeries: keys and tokens that open nothing",
    "docs": "examples: what an answer looks like",
    "examples": "applications that are tested",
}


def followed() -> list[Path]:
    """What git follows: it is what is published."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_the_repository_holds_no_secret_that_looks_alive() -> None:
    """LS-05: whoever reads the repository or takes the wheel apart looks for keys first. The package, its scripts and what
    configures it hold none at all; tests and pages may hold tokens that open nothing, and no key of anybody's cloud."""
    files = followed()
    assert len(files) > 200
    for path in files:
        content = path.read_bytes().decode("utf-8", "replace")
        part = path.relative_to(ROOT).parts[0]
        for name, pattern in LIVE.items():
            if part in MEANT and name in OF_EXAMPLES:
                continue
            assert not re.search(pattern, content), (path, name)
    kept = {".pem", ".key", ".p12", ".env", ".db", ".sqlite"}
    assert not [path for path in files if path.suffix in kept or path.name == "master.key"]


def test_the_wheel_is_made_of_the_package_alone() -> None:
    """LS-05: what is built is what was searched: no file beside it, and none that only lies on the maintainer's disk."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert built["wheel"]["packages"] == ["src/watchword", "src/pytest_watchword.py"]
    assert "tests" not in built["wheel"]["packages"]
    known = {path for path in followed() if path.is_relative_to(ROOT / "src")}
    lying = {path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert lying <= known


def test_the_search_finds_what_it_is_for() -> None:
    """LS-05: the counterpart: a token, a key and a refresh token that were made just now are found by the patterns."""
    made = asyncio.run(_tokens())
    assert [re.search(LIVE[name], text) is not None for name, text in made.items()] == [True] * len(made)
    assert sys.version_info >= (3, 11)


async def _tokens() -> dict[str, str]:
    import tempfile

    from cryptography.hazmat.primitives import serialization as form

    with tempfile.TemporaryDirectory() as folder:
        async with open_house(Path(folder)) as house:
            await house.register()
            login = await house.login()
            (key,) = (await house.kit()).keyring.ring.private.values()
    kinds = form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    shown = rules.mint(bytes(rules.ENTROPY)).text
    pem: bytes = key.material.private_bytes(*kinds)
    return {
        "a token": login.access,
        "a refresh token of ours": login.refresh,
        "an API key of ours": shown,
        "a private key": pem.decode(),
    }
