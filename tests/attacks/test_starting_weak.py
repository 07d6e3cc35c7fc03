"""Starts that would be weak: each is refused, and both the refusal and `watchword doctor` name the setting and the cure.

Each docstring begins with the row of the security requirements that it shows.
"""

import asyncio
import json
import shutil
import sqlite3
import tomllib
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from packaging.requirements import Requirement
from packaging.version import Version
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool
from tests.house import ADA, PASSWORD, House, make_auth, open_house
from tests.server import commands, conftest

from watchword import Auth, ConfigError, Settings
from watchword.core import known_secrets, tokens
from watchword.stores.sql.tables import SCHEMA_VERSION

run = conftest.run

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
OTHER_KEY = "Zq3nT8wB1yC6vM9xD4sF7gH2jK5lP0rA"
TUTORIAL = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@dataclass(frozen=True)
class Weak:
    """A setting as it should not be, and words of the cure that both tell."""

    row: str
    setting: str
    value: str | None
    cure: str

    @property
    def name(self) -> str:
        return f"WATCHWORD_{self.setting}"


DAY = 86400
TABLE = [
    # no secret, a bad one, no algorithm
    Weak("CF-01", "MASTER_KEYS", None, "token_urlsafe(32)"),
    Weak("CF-01", "MASTER_KEYS", "short", "token_urlsafe(32)"),
    Weak("CF-01", "MASTER_KEYS", "a" * 64, "token_urlsafe(32)"),
    Weak("CF-01", "MASTER_KEYS", TUTORIAL, "token_urlsafe(32)"),
    Weak("CF-01", "MASTER_KEYS", f"{KEY},secret", "token_urlsafe(32)"),
    Weak("CF-01", "SERVICE_KEYS", "secret", "token_urlsafe(32)"),
    Weak("CF-01", "SIGNING_ALG", "none", "ES256"),
    Weak("CF-01", "SIGNING_ALG", "HS256,RS256", "ES256"),
    Weak("CF-01", "SIGNING_ALG", "HS1", "ES256"),
    # what belongs on a developer's desk
    Weak("CF-02", "ISSUER", "http://auth.example.com", "https"),
    Weak("CF-02", "DATABASE_URL", None, "postgresql://user:password@host/name"),
    Weak("CF-02", "PASSWORD_MIN_LENGTH", "8", "15"),
    # everybody is trusted, or nobody is meant
    Weak("CF-03", "ALLOWED_ORIGINS", "*", "https://app.example.com"),
    Weak("CF-03", "ALLOWED_ORIGINS", "https://*.example.com", "https://app.example.com"),
    Weak("CF-03", "ALLOWED_ORIGINS", "null", "https://app.example.com"),
    Weak("CF-03", "TRUSTED_PROXIES", "*", "10.0.1.0/24"),
    Weak("CF-03", "TRUSTED_PROXIES", "0.0.0.0/0", "10.0.1.0/24"),
    Weak("CF-03", "TRUSTED_PROXIES", "10.0.0.1,::/0", "10.0.1.0/24"),
    Weak("CF-03", "TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1", "10.0.1.0/24"),
    Weak("CF-03", "ISSUER", " ", "https://auth.example.com"),
    Weak("CF-03", "ISSUER", "https://", "https://auth.example.com"),
    Weak("CF-03", "AUDIENCE", " ", "https://api.example.com"),
    Weak("CF-03", "AUDIENCE", "https://api.example.com ", "https://api.example.com"),
    # each worker by itself
    Weak("CF-04", "DATABASE_URL", "sqlite://", "sqlite:///"),
    Weak("CF-04", "DATABASE_URL", "sqlite:///:memory:", "sqlite:///"),
    Weak("CF-04", "DATABASE_URL", "sqlite:///file:x?mode=memory&uri=true", "sqlite:///"),
    # nobody keeps a rule that is misspelt
    Weak("CF-05", "ISUER", "https://auth.example.com", "WATCHWORD_ISSUER"),
    Weak("CF-05", "MASTER_KEY", KEY, "WATCHWORD_MASTER_KEYS"),
    Weak("CF-05", "ACCES_TTL", "60", "WATCHWORD_ACCESS_TTL"),
    Weak("CF-05", "REFRESH_GRACE_SECONDS", "60", "WATCHWORD_REFRESH_GRACE"),
    # beyond the bounds
    Weak("CF-06", "ACCESS_TTL", "3601", "3600"),
    Weak("CF-06", "ACCESS_TTL", "9", "10"),
    Weak("CF-06", "REFRESH_IDLE", str(90 * DAY + 1), str(90 * DAY)),
    Weak("CF-06", "REFRESH_ABSOLUTE", str(90 * DAY + 1), str(90 * DAY)),
    Weak("CF-06", "REFRESH_GRACE", "61", "60"),
    Weak("CF-06", "REFRESH_GRACE", "-1", "0"),
    Weak("CF-06", "REVOCATION_STALENESS", "31", "30"),
    Weak("CF-06", "REVOCATION_STALENESS", "nan", "30"),
    Weak("CF-06", "ATTEMPTS_PER_ACCOUNT", "101", "100"),
    Weak("CF-06", "ATTEMPTS_PER_NETWORK", "10001", "10000"),
    Weak("CF-06", "KEY_ROTATION", str(400 * DAY), str(366 * DAY)),
]


@dataclass(frozen=True)
class Place:
    """A public deployment in a folder, as it should be until something is set."""

    folder: Path
    environment: pytest.MonkeyPatch
    run: commands.Run

    @property
    def database(self) -> Path:
        return self.folder / "watchword.db"

    def set(self, setting: str, value: str | None) -> None:
        if value is None:
            self.environment.delenv(f"WATCHWORD_{setting}")
        else:
            self.environment.setenv(f"WATCHWORD_{setting}", value)

    def assert_refused(self, name: str, cure: str) -> None:
        """By each command that starts, and by the doctor, in words that name the setting and the cure."""
        for command in (("serve", "--port", "1"), ("users", "list"), ("upkeep",)):
            said = self.run(*command)
            assert (said.code, said.out) == (1, ""), command
            assert name in said.err, (command, said.err)
            assert cure in said.err, (command, said.err)
            assert "Traceback" not in said.err
            assert not [secret for secret in (KEY, OTHER_KEY, TUTORIAL) if secret in said.err]
        diagnosed = self.run("doctor", "--no-try", "--json")
        assert diagnosed.code == 1
        found = [one for one in json.loads(diagnosed.out)["findings"] if one["severity"] == "weak" and one["docs"]]
        named = [one for one in found if one["setting"] == name]
        assert [one for one in named if cure in f"{one['weakness']} {one['cure']}"], diagnosed.out
        assert not [secret for secret in (KEY, OTHER_KEY, TUTORIAL) if secret in diagnosed.out]


@pytest.fixture(scope="module")
def started(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its first signing key, sealed by KEY."""
    path = tmp_path_factory.mktemp("started") / "watchword.db"
    shutil.copyfile(sqlite_template, path)
    settings = Settings(issuer="https://auth.example.com", master_keys=KEY, database_url=f"sqlite:///{path}")

    async def start() -> None:
        auth = Auth(settings)
        await auth.start()
        await auth.stop()

    asyncio.run(start())
    return path


@pytest.fixture
def place(started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: commands.Run) -> Place:
    made = Place(tmp_path, monkeypatch, run)
    shutil.copyfile(started, made.database)
    made.database.chmod(0o600)
    made.set("ISSUER", "https://auth.example.com")
    made.set("MASTER_KEYS", KEY)
    made.set("DATABASE_URL", f"sqlite:///{made.database}")
    return made


def test_what_these_attacks_begin_with_is_not_weak(place: Place) -> None:
    """CF-01: the counterpart: the deployment into which each weakness is planted starts, and the doctor finds nothing."""
    assert place.run("users", "list").code == 0
    assert [
        one for one in json.loads(place.run("doctor", "--no-try", "--json").out)["findings"] if one["setting"]
    ] == []


def walk(row: str) -> pytest.MarkDecorator:
    """The weaknesses of one row."""
    listed = [weak for weak in TABLE if weak.row == row]
    return pytest.mark.parametrize("weak", listed, ids=lambda weak: f"{weak.row} {weak.setting}={str(weak.value)[:20]}")


def assert_refused(place: Place, weak: Weak) -> None:
    place.set(weak.setting, weak.value)
    place.assert_refused(weak.name, weak.cure)


@walk("CF-01")
def test_a_secret_that_is_none_and_an_algorithm_that_is_none(place: Place, weak: Weak) -> None:
    """CF-01: the attacker looks for deployments that were started in a hurry: without a secret, with a short or a printed one,
    or where a token needs no signature. None starts, and its operator is told what to type, by refusal and doctor alike."""
    assert_refused(place, weak)


@walk("CF-02")
def test_what_belongs_on_a_developer_s_desk(place: Place, weak: Weak) -> None:
    """CF-02: what is convenient on the desk goes into production: http, a database and a key that are made where nobody looks
    for them, short passwords. There are no cookies and no mail yet, so there is nothing to refuse about those."""
    assert_refused(place, weak)


@walk("CF-03")
def test_a_setting_that_trusts_everybody_or_means_nobody(place: Place, weak: Weak) -> None:
    """CF-03: with a wildcard the attacker's page may read answers, and he says himself from where he comes; without an issuer
    or an audience any token is meant."""
    assert_refused(place, weak)


@walk("CF-04")
def test_a_database_that_each_worker_has_by_itself(place: Place, weak: Weak) -> None:
    """CF-04: what is kept in the memory of one worker is unknown to the others: a logout, a limit, a key."""
    assert_refused(place, weak)


@walk("CF-05")
def test_a_setting_that_is_misspelt(place: Place, weak: Weak) -> None:
    """CF-05: a rule that is misspelt is one that nobody keeps. The nearest name is told, and never the value."""
    assert_refused(place, weak)


@walk("CF-06")
def test_a_lifetime_beyond_its_bounds(place: Place, weak: Weak) -> None:
    """CF-06: a token for a year and a grace of an hour are what a thief wants. An access token lives for an hour at most, a
    session for ninety days, and the grace of a refresh is a minute."""
    assert_refused(place, weak)


def test_every_row_of_the_table_is_there() -> None:
    """A setting that is walked by no row above could be weak unseen; those that are left have no weak value."""
    walked = {weak.setting for weak in TABLE}
    free = {
        "DATA_DIR",
        "DRAIN_SECONDS",
        "FEED_DATABASE_URL",
        "REDIS_URL",
        "MAIL_URL",
        "MAIL_FROM",
        "AUDIT_DAYS",
        "REGISTRATION",
        "CONTEXT_WORDS",
        "HASHING_THREADS",
        "HASHING_QUEUE",
        "APP",
        "UNSAFE_HTTP_ISSUER",
    }
    assert {name.upper() for name in Settings.model_fields} <= walked | free
    assert {weak.row for weak in TABLE} == {f"CF-0{number}" for number in range(1, 7)}


@pytest.mark.parametrize("version", ["0000", "9999"])
def test_a_database_of_another_version_is_refused_and_stays_as_it_is(place: Place, version: str) -> None:
    """CF-08: an old worker is started on a migrated database and writes rows that the new ones do not understand; a new one
    migrates behind the operator's back. Off localhost neither happens. (On localhost the start migrates, by design.)"""
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE watchword_schema SET version_num = ?", (version,))
        connection.execute("UPDATE watchword_facts SET value = ? WHERE name = 'compatible_from'", (version,))
    cure = "watchword migrate" if version < SCHEMA_VERSION else "Install the version of watchword"
    place.assert_refused("WATCHWORD_DATABASE_URL", cure)
    with closing(sqlite3.connect(place.database)) as connection:
        assert connection.execute("SELECT version_num FROM watchword_schema").fetchone() == (version,)


def test_an_empty_database_is_not_filled_silently(place: Place) -> None:
    """CF-08: a path with a typing error would become a new house, without anybody's account."""
    place.set("DATABASE_URL", f"sqlite:///{place.folder / 'typo.db'}")
    place.assert_refused("WATCHWORD_DATABASE_URL", "watchword migrate")
    assert not (place.folder / "typo.db").exists() or (place.folder / "typo.db").stat().st_size == 0


def test_a_foreign_master_key_is_refused(place: Place) -> None:
    """CF-07: a worker with another master key would make signing keys of its own, and half of the tokens would be refused."""
    place.set("MASTER_KEYS", OTHER_KEY)
    place.assert_refused("WATCHWORD_MASTER_KEYS", "Give the key that it was made with")


def test_a_spoilt_signing_key_is_refused(place: Place) -> None:
    """CF-07: a key that does not open is not passed over in silence: with the next one half of the tokens would be refused."""
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE watchword_keys SET sealed = x'0102'")
    place.assert_refused("WATCHWORD_MASTER_KEYS", "sealed it")


DEBUGGED = "import fastapi, watchword\nauth = watchword.Auth()\nauth.install(fastapi.FastAPI(debug=True))\n"


def test_an_application_that_shows_its_source_is_refused_off_localhost(place: Place) -> None:
    """CF-02: with debug=True every fault is answered with a stack trace, and the attacker only has to cause one."""
    (place.folder / "debugged_at_start.py").write_text(DEBUGGED)
    place.set("APP", "debugged_at_start:auth")
    said = place.run("users", "list")
    assert said.code == 1
    diagnosed = json.loads(place.run("doctor", "--no-try", "--json").out)
    (found,) = [one for one in diagnosed["findings"] if one["id"] == "application-debug"]
    for told in (said.err, f"{found['setting']} {found['cure']}"):
        assert "FastAPI(debug=True)" in told
        assert "Take debug=True out" in told


async def test_on_localhost_it_starts(tmp_path: Path, sqlite_url: str) -> None:
    """CF-02: the counterpart: on the desk stack traces are what a developer wants."""
    async with open_house(tmp_path, app=FastAPI(debug=True), database_url=sqlite_url) as house:
        assert (await house.client.get("/.well-known/jwks.json")).status_code == 200


def test_off_localhost_there_are_no_developers_pages(place: Place, logging_as_before: None) -> None:
    """CF-02: `/docs` shows every route and its parameters. The stand-alone server has them on localhost alone."""
    from watchword.server.app import create_app

    paths = {getattr(route, "path", "") for route in create_app().routes}
    assert not {path for path in paths if "docs" in path or "openapi" in path}


def test_a_secret_that_everybody_knows_is_refused() -> None:
    """CF-01: printed in tutorials, answers and example files, whose readers put them into production. Peers start with
    "secret"."""
    known = known_secrets.known()
    assert len(known) > 200
    for secret in known:
        for spelt in (secret, secret.upper()):
            with pytest.raises(ConfigError, match="WATCHWORD_MASTER_KEYS"):
                Settings(issuer="https://auth.example.com", master_keys=[spelt], database_url="sqlite:///x.db")


@pytest.mark.parametrize("workers", ["1", "4"])
def test_several_workers_share_what_they_must(place: Place, workers: str) -> None:
    """CF-04: four workers, each with a memory of its own: a logout at one is unknown to three. There is no store in memory to
    choose, and a database in memory is refused, however many workers there are."""
    place.set("DATABASE_URL", None)
    said = place.run("serve", "--workers", workers, "--database", "sqlite:///:memory:")
    assert said.code == 1
    assert "WATCHWORD_DATABASE_URL" in said.err
    assert "a database in memory is lost with its worker" in said.err


@pytest.mark.parametrize("pooled", [{}, {"poolclass": StaticPool}])
def test_an_engine_of_the_application_in_memory_is_refused(tmp_path: Path, pooled: dict[str, Any]) -> None:
    """CF-04: the same by the back door: an engine that the application brings."""
    engine = create_async_engine("sqlite+aiosqlite://", **pooled)
    with pytest.raises(ConfigError, match="in memory"):
        Auth(Settings(data_dir=tmp_path), engine=engine)._house()


class TestWhatFailsLetsNobodyIn:
    @pytest.fixture
    async def house(self, tmp_path: Path, sqlite_url: str) -> AsyncIterator[House]:
        async with open_house(tmp_path, database_url=sqlite_url) as opened:
            opened.client._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
            yield opened

    async def test_a_hook_that_fails_gives_no_token(self, tmp_path: Path, sqlite_url: str) -> None:
        """CF-07: the hook that adds what a user may do fails, and a token without it would say "may do all" to a service that
        looks for restrictions."""

        def broken(session: object) -> dict[str, Any]:
            raise LookupError("the directory is away")

        auth = make_auth(tmp_path, database_url=sqlite_url)
        auth._claims = broken
        app = FastAPI()
        auth.install(app)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.post("/register", json={"email": ADA, "password": PASSWORD})
            answer = await client.post("/login", data={"username": ADA, "password": PASSWORD})
        await auth.stop()
        assert answer.status_code >= 500
        assert "token" not in answer.text

    @pytest.mark.parametrize("fault", [RuntimeError, ImportError, KeyError, TypeError, RecursionError])
    async def test_a_guard_that_fails_lets_nobody_through(
        self, house: House, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
    ) -> None:
        """CF-07: something in the verification raises what nobody expected. Where such a fault is caught and passed over, the
        attacker provokes it."""
        entered: list[str] = []

        @house.app.get("/items", dependencies=[Depends(house.auth.principal)])
        async def items() -> str:
            entered.append("items")
            return "items"

        await house.register()
        login = await house.login()
        assert (await house.client.get("/items", headers=login.headers)).status_code == 200
        (await house.kit()).cache.drop(login.access)

        def broken(*_: object) -> None:
            raise fault("nobody expected this")

        monkeypatch.setattr(tokens, "verify", broken)
        answer = await house.client.get("/items", headers=login.headers)
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert entered == ["items"]

    @pytest.mark.parametrize("verb", ["find", "get"])
    async def test_accounts_of_the_application_that_fail_sign_nobody_in(
        self, house: House, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        """CF-07: the application's own table of users raises at the login, or when the user is read again behind it."""
        await house.register()
        users = type((await house.kit()).users)

        async def broken(*_: object) -> None:
            raise ConnectionError("the directory is away")

        monkeypatch.setattr(users, verb, broken)
        answer = await house.try_login()
        assert answer.status_code >= 500
        assert "token" not in answer.text


FLOORS = {
    "pyjwt": "2.15",
    "cryptography": "50",
    "fastapi": "0.140",
    "starlette": "1.3",
    "pydantic": "2.12",
    "argon2-cffi": "25.1",
    "python-multipart": "0.0.32",
    "sqlalchemy": "2.1",
}
"""Below these are known holes: PyJWT's advisories of 2026, and what the others mended since. joserfc is not used."""


def floors() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(one for listed in extras for one in listed)]]


def test_every_dependency_has_a_floor_and_what_is_installed_stands_on_it() -> None:
    """CF-09: an installer keeps an old version that is there already: with a hole that everybody can read about."""
    for requirement in floors():
        installed = metadata.version(requirement.name)
        assert [one.operator for one in requirement.specifier] == [">="], requirement
        assert requirement.specifier.contains(installed, prereleases=True), (requirement, installed)


def test_the_floors_are_those_that_the_requirements_name() -> None:
    """CF-09: a floor that is lowered lets the hole back in."""
    named = {one.name: next(iter(one.specifier)).version for one in floors()}
    assert {name for name, least in FLOORS.items() if Version(named[name]) < Version(least)} == set()


def test_what_the_package_says_of_itself_has_the_same_floors() -> None:
    """CF-09: the floors are promised to whoever installs the package, not only written beside it."""
    told = {(one.name, str(one.specifier)) for one in map(Requirement, metadata.requires("watchword") or [])}
    assert {(one.name, str(one.specifier)) for one in floors()} <= told
