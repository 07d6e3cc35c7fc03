"""`watchword doctor` finds every planted weakness, and nothing on the deployment that is recommended."""

import asyncio
import contextlib
import gzip
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from tests import live
from tests.house import PATIENCE
from tests.server import broken

from watchword import Auth, Settings
from watchword.server import cli, doctor
from watchword.server.doctor import files, findings, visitor
from watchword.server.doctor.attacks import ALL
from watchword.server.doctor.attacks.answers import TELLS
from watchword.stores.sql.engine import Database
from watchword.testing import FrozenClock

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
OTHER_KEY = "Zq3nT8wB1yC6vM9xD4sF7gH2jK5lP0rA"
ISSUER = "https://auth.example.com"


@dataclass(frozen=True)
class Said:
    """What the doctor said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def found(self) -> set[str]:
        return {finding["id"] for finding in self.report["findings"]}

    def results(self, result: str) -> set[str]:
        return {one["id"] for one in self.report["attacks"] if one["result"] == result}


@dataclass(frozen=True)
class Place:
    """A deployment in a folder, and the operator's hands on it."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    @property
    def database(self) -> Path:
        return self.folder / "watchword.db"

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self.monkeypatch.setenv(f"WATCHWORD_{name.upper()}", value)

    def unset(self, *names: str) -> None:
        for name in names:
            self.monkeypatch.delenv(f"WATCHWORD_{name.upper()}", raising=False)

    def sql(self, *statements: str, values: tuple[Any, ...] = ()) -> None:
        with contextlib.closing(sqlite3.connect(self.database)) as connection, connection:
            for statement in statements:
                connection.execute(statement, values)

    def localhost(self) -> Path:
        """A developer's deployment, started once; its folder."""
        self.unset("issuer", "master_keys", "database_url")
        start_once()
        return self.folder / ".watchword"

    def diagnose(self, *arguments: str) -> Said:
        self.monkeypatch.setattr(sys, "argv", ["watchword", "doctor", "--json", *arguments])
        code: Any = 0
        try:
            cli.run()
        except SystemExit as leaving:
            code = leaving.code or 0
        out, err = self.capsys.readouterr()
        return Said(1, out, code) if isinstance(code, str) else Said(code, out, err)


def start_once() -> None:
    """What a first start makes."""

    async def start() -> None:
        auth = Auth()
        await auth.start()
        await auth.stop()

    asyncio.run(start())


@pytest.fixture(scope="session")
def started(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its first signing key, sealed by KEY."""
    path = tmp_path_factory.mktemp("started") / "watchword.db"
    shutil.copyfile(sqlite_template, path)
    url = f"sqlite:///{path}"

    async def start() -> None:
        auth = Auth(Settings(issuer=ISSUER, master_keys=KEY, database_url=url))
        await auth.start()
        await auth.stop()

    asyncio.run(start())
    return path


@pytest.fixture
def place(started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    """The recommended deployment, on SQLite."""
    for name in {*os.environ, "WATCHWORD_ISSUER"}:
        if name.startswith("WATCHWORD_"):
            monkeypatch.setenv(name, "")  # so that it is put back whatever the command does
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copyfile(started, tmp_path / "watchword.db")
    (tmp_path / "watchword.db").chmod(0o600)
    made = Place(tmp_path, monkeypatch, capsys)
    made.set(issuer=ISSUER, master_keys=KEY, database_url=f"sqlite:///{tmp_path / 'watchword.db'}")
    return made


@pytest.fixture
def open_folder(place: Place) -> Iterator[Path]:
    """A folder that everybody can go through, with the deployment's database in it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copyfile(place.database, folder / "watchword.db")
    (folder / "watchword.db").chmod(0o600)
    place.set(database_url=f"sqlite:///{folder / 'watchword.db'}")
    yield folder
    shutil.rmtree(folder)


def settings(**values: str) -> Callable[[Place], None]:
    return lambda place: place.set(**values)


def localhost(**values: str) -> Callable[[Place], None]:
    def plant(place: Place) -> None:
        place.unset("issuer", "master_keys", "database_url")
        place.set(**values)

    return plant


def sql(*statements: str, values: tuple[Any, ...] = ()) -> Callable[[Place], None]:
    return lambda place: place.sql(*statements, values=values)


def ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d %H:%M:%S.%f}"


def dead_sessions(place: Place) -> None:
    user = "INSERT INTO watchword_users (id, email, scopes, epoch, created_at) VALUES ('u', 'u@example.com', '', 0, ?)"
    place.sql(user, values=(ago(9),))
    with contextlib.closing(sqlite3.connect(place.database)) as connection, connection:
        columns = (
            "id, user_id, r_hash, generation, answer, turned_at, scopes, follows_user, methods, auth_time, client_id, "
            "created_at, used_at, idle_expires_at, expires_at, access_expires_at"
        )
        at = ago(5)
        rows = [(f"s{n}", "u", bytes(32), 0, 0, at, "", 1, "pwd", at, "c", at, at, at, at, at) for n in range(120)]
        connection.executemany(f"INSERT INTO watchword_sessions ({columns}) VALUES ({', '.join('?' * 16)})", rows)


def in_git(place: Place) -> None:
    folder = place.localhost()
    (folder / ".gitignore").unlink()
    subprocess.run(["git", "init", "-q", str(place.folder)], check=True)


def debugging(place: Place) -> None:
    source = "import fastapi, watchword\nauth = watchword.Auth()\nauth.install(fastapi.FastAPI(debug=True))\n"
    (place.folder / "debugged.py").write_text(source)
    place.set(app="debugged:auth")


def mailing_nowhere(place: Place) -> None:
    features = "[watchword.features.one_time_code.OneTimeCode()]"
    source = f"import watchword, watchword.features.one_time_code\nauth = watchword.Auth(features={features})\n"
    (place.folder / "mailing_nowhere.py").write_text(source)
    place.set(app="mailing_nowhere:auth")


def open_key_file(place: Place) -> None:
    (place.localhost() / "master.key").chmod(0o644)


def spoilt_key_file(place: Place) -> None:
    key = place.localhost() / "master.key"
    key.write_text("secret")


def on_network(place: Place) -> None:
    mounts = place.folder / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nnas:/home {place.folder} nfs4 rw 0 0\nproc /proc proc rw 0 0\n")
    place.monkeypatch.setattr(files, "MOUNTS", mounts)


def not_a_database(place: Place) -> None:
    place.database.write_text("these are notes, and no database")


AHEAD = "UPDATE watchword_schema SET version_num = '9999'"
OLD_HASH = (
    "INSERT INTO watchword_users (id, email, password_hash, scopes, epoch, created_at) "
    "VALUES ('u', 'u@example.com', '$2b$12$abc', '', 0, ?)"
)

PLANTED: dict[str, tuple[Callable[[Place], None], str]] = {
    # what is refused at a start
    "a misspelt setting": (settings(isuer="x"), "setting-unknown"),
    "a lifetime out of bounds": (settings(access_ttl="86400"), "setting-invalid"),
    "an issuer that is none": (settings(issuer="auth.example.com"), "issuer-invalid"),
    "an issuer with an open bracket": (settings(issuer="https://[::1"), "issuer-invalid"),
    "an http issuer": (settings(issuer="http://auth.example.com"), "issuer-http"),
    "a blank audience": (settings(audience=" "), "audience-invalid"),
    "a short master key": (settings(master_keys="short"), "master-key-weak"),
    "no master key": (lambda place: place.unset("master_keys"), "master-key-missing"),
    "a short service key": (settings(service_keys="short"), "service-key-weak"),
    "the master key for a service": (settings(service_keys=KEY), "service-key-master"),
    "services that can verify nothing": (
        settings(service_keys=OTHER_KEY, signing_alg="HS256"),
        "service-keys-symmetric",
    ),
    "no database named": (lambda place: place.unset("database_url"), "database-missing"),
    "idle beyond absolute": (settings(refresh_idle="7200", refresh_absolute="3600"), "refresh-idle-beyond-absolute"),
    "every proxy trusted": (settings(trusted_proxies="*"), "trusted-proxies-wildcard"),
    "a proxy by name": (settings(trusted_proxies="proxy.internal"), "trusted-proxies-invalid"),
    "every origin allowed": (settings(allowed_origins="*"), "allowed-origins-wildcard"),
    "an origin with a path": (settings(allowed_origins="https://app.example.com/x"), "allowed-origins-invalid"),
    "a feed of MySQL": (settings(feed_database_url="mysql://u:hunter2@db/name"), "feed-url-invalid"),
    "a feed for SQLite": (settings(feed_database_url="postgresql://u:hunter2@db/name"), "feed-url-unused"),
    "a Valkey on the web": (settings(redis_url="https://:hunter2@valkey.internal"), "redis-url-invalid"),
    "a mail server on the web": (
        settings(mail_url="https://:hunter2@mail.internal", mail_from="a@b.example"),
        "mail-url-invalid",
    ),
    "mails from nobody": (settings(mail_url="smtps://u:hunter2@127.0.0.1:1"), "mail-from-missing"),
    "mails from nowhere": (
        settings(mail_url="smtps://u:hunter2@127.0.0.1:1", mail_from="Lantern"),
        "mail-from-invalid",
    ),
    "an application that shows its source": (debugging, "application-debug"),
    "codes by mail, and no mail": (mailing_nowhere, "mail-missing"),
    # what starts, and is weak
    "plain http by consent": (settings(issuer="http://auth.internal", unsafe_http_issuer="1"), "issuer-unsafe-http"),
    "localhost behind a proxy": (localhost(trusted_proxies="10.0.0.7"), "issuer-loopback-in-public"),
    "a symmetric algorithm": (settings(signing_alg="HS256"), "signing-symmetric"),
    "open registration": (settings(registration="open"), "registration-open"),
    "an access token of an hour": (settings(access_ttl="3600"), "access-ttl-long"),
    "three months of idleness": (settings(refresh_idle=str(90 * 86400)), "refresh-idle-long"),
    "a wide network of proxies": (settings(trusted_proxies="10.0.0.0/8"), "trusted-proxies-wide"),
    "a wide IPv6 network of proxies": (settings(trusted_proxies="fd00::/32"), "trusted-proxies-wide"),
    "a public network of proxies": (settings(trusted_proxies="8.8.8.0/24"), "trusted-proxies-public"),
    "an http origin": (settings(allowed_origins="http://app.example.com"), "allowed-origins-http"),
    "a developer's origin": (settings(allowed_origins="http://localhost:3000"), "allowed-origins-loopback"),
    "one master key twice": (settings(master_keys=f"{KEY},{KEY}"), "master-key-repeated"),
    "two master keys": (settings(master_keys=f"{KEY},{OTHER_KEY}"), "master-keys-several"),
    "a rotation once a year": (settings(key_rotation=str(365 * 86400)), "key-rotation-rare"),
    "an endless queue": (settings(hashing_queue="10000", hashing_threads="1"), "hashing-queue-long"),
    "a patient feed": (settings(revocation_staleness="30"), "revocation-staleness-long"),
    "a Valkey in the clear": (settings(redis_url="redis://:hunter2@valkey.invalid"), "redis-unencrypted"),
    "a Valkey that is away": (settings(redis_url="redis://:hunter2@127.0.0.1:1"), "redis-unreachable"),
    "a mail server that is away": (
        settings(mail_url="smtps://u:hunter2@127.0.0.1:1", mail_from="a@b.example"),
        "mail-unreachable",
    ),
    # where things are kept
    "root": (lambda place: place.monkeypatch.setattr(os, "geteuid", lambda: 0), "running-as-root"),
    "a key that others can read": (open_key_file, "key-file-open"),
    "a folder that others can read": (lambda place: place.localhost().chmod(0o755), "data-folder-open"),
    "a spoilt key file": (spoilt_key_file, "key-file-invalid"),
    "a key on its way into git": (in_git, "key-file-in-git"),
    "a database on its way into git": (in_git, "database-in-git"),
    "a network disk": (on_network, "database-on-network"),
    "a rollback journal": (sql("PRAGMA journal_mode=DELETE"), "database-not-wal"),
    "another kind of database": (settings(database_url="mysql://db/name"), "database-invalid"),
    "a file of notes": (not_a_database, "database-invalid"),
    "a database that is away": (settings(database_url="postgresql://u:hunter2@127.0.0.1:1/x"), "database-unreachable"),
    "no database made yet": (localhost(), "database-not-made"),
    "no tables": (settings(database_url="sqlite:///empty.db"), "database-empty"),
    "an old schema": (sql("UPDATE watchword_schema SET version_num = '0000'"), "schema-old"),
    "a new schema": (
        sql(AHEAD, "UPDATE watchword_facts SET value = '9999' WHERE name = 'compatible_from'"),
        "schema-new",
    ),
    "a new schema that serves this code too": (sql(AHEAD), "schema-ahead"),
    "another master key": (settings(master_keys=OTHER_KEY), "master-key-foreign"),
    "all keys retired": (sql("UPDATE watchword_keys SET retired_at = signs_from"), "keys-none-able"),
    "a key that is spoilt": (sql("UPDATE watchword_keys SET sealed = x'0102'"), "keys-unopened"),
    "a key sealed by the old one": (settings(master_keys=f"{OTHER_KEY},{KEY}"), "keys-sealed-by-old-master"),
    "a rotation that never came": (sql("UPDATE watchword_keys SET signs_from = ?", values=(ago(60),)), "keys-overdue"),
    "sessions that nobody prunes": (dead_sessions, "sessions-unpruned"),
    "an imported hash": (sql(OLD_HASH, values=(ago(1),)), "hashes-outdated"),
}


def test_the_recommended_deployment_has_nothing_to_mend(place: Place) -> None:
    said = place.diagnose("--no-try")
    assert said.report == {"weak": False, "findings": [], "attacks": []}
    assert said.code == 0


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_weakness_is_found(place: Place, name: str) -> None:
    plant, expected = PLANTED[name]
    plant(place)
    said = place.diagnose("--no-try")
    assert expected in said.found
    weak = [finding for finding in said.report["findings"] if finding["severity"] == "weak"]
    assert said.code == (1 if weak else 0)
    assert said.err == ""
    for finding in said.report["findings"]:
        assert finding["weakness"]
        assert finding["cure"]
        assert finding["docs"]
    for secret in (KEY, OTHER_KEY, "hunter2"):
        assert secret not in said.out


def test_every_check_of_the_table_is_planted_here() -> None:
    """A check that nothing finds is a promise that nobody keeps."""
    elsewhere = {"database-file-open", "database-folder-writable", "clock-offset"}  # below
    elsewhere |= {check.id for check in findings.SERVER} | {one.id for one in findings.ALL if one.id[:9] == "postgres-"}
    assert {found for _, found in PLANTED.values()} | elsewhere == set(findings.BY_ID)


def test_every_id_is_given_once_and_says_what_to_do() -> None:
    listed = doctor.catalogue()
    assert len({one["id"] for one in listed}) == len(listed)
    assert all(one["cure"] and one["weakness"].endswith((".", ":")) for one in listed)


def test_all_weaknesses_are_told_at_once(place: Place) -> None:
    """An operator who has to start ten times to hear ten things gives up at the third."""
    place.set(issuer="http://auth.example.com", master_keys="short", access_ttl="1", trusted_proxies="*", isuer="x")
    assert {
        "issuer-http", "master-key-weak", "setting-invalid", "trusted-proxies-wildcard", "setting-unknown",
    } <= place.diagnose("--no-try").found  # fmt: skip


def test_a_database_that_everybody_can_read_is_found(place: Place, open_folder: Path) -> None:
    (open_folder / "watchword.db").chmod(0o644)
    assert place.diagnose("--no-try").found == {"database-file-open"}


def test_a_database_that_everybody_can_replace_is_found(place: Place, open_folder: Path) -> None:
    open_folder.chmod(0o777)
    assert place.diagnose("--no-try").found == {"database-folder-writable"}


def test_a_public_url_before_a_loopback_issuer_is_found(place: Place) -> None:
    place.localhost()
    assert "issuer-loopback-in-public" in place.diagnose("--no-try", "--url", "https://auth.example.com").found


def test_before_the_first_start_nothing_is_made_and_nothing_is_weak(place: Place) -> None:
    place.database.unlink()
    place.unset("issuer", "master_keys", "database_url")
    place.set(issuer=f"http://localhost:{live.free_port()}")
    said = place.diagnose()
    assert (said.code, said.err) == (0, "")
    assert said.found == {"database-not-made", "server-not-running"}
    assert list(place.folder.iterdir()) == []


def test_migrate_makes_a_file_that_its_owner_alone_can_read(place: Place) -> None:
    place.database.unlink()
    place.monkeypatch.setattr(sys, "argv", ["watchword", "migrate"])
    with pytest.raises(SystemExit) as leaving:
        cli.run()
    assert not leaving.value.code
    assert place.database.stat().st_mode & 0o777 == 0o600


class TestPostgres:
    def test_a_superuser_on_a_server_without_fsync_is_found(self, place: Place, postgres_url: str) -> None:
        """The tests' own PostgreSQL is as one should not be: quick, and for nobody."""
        place.set(database_url=postgres_url)
        assert place.diagnose("--no-try").found == {"postgres-superuser", "postgres-not-durable", "database-empty"}

    def test_an_ordinary_role_is_not(self, place: Place, postgres_url: str) -> None:
        role = f"w{os.getpid()}"
        asyncio.run(
            _execute(postgres_url, f"CREATE ROLE {role} LOGIN", "ALTER DATABASE {} SET synchronous_commit = off")
        )
        place.set(database_url=postgres_url.replace("postgres@", f"{role}@"))
        said = place.diagnose("--no-try")
        asyncio.run(_execute(postgres_url, f"DROP ROLE {role}"))
        assert said.found == {"postgres-not-durable", "database-empty"}
        assert "synchronous_commit" in said.out

    def test_a_connection_in_the_clear_to_another_machine_is_found(self, place: Place, postgres_url: str) -> None:
        """2130706433 is 127.0.0.1, written so that it does not look like this machine."""
        place.set(database_url=postgres_url.replace("127.0.0.1", "2130706433"))
        assert "postgres-unencrypted" in place.diagnose("--no-try").found

    def test_clocks_that_differ_are_found(self, place: Place, postgres_url: str) -> None:
        place.set(database_url=postgres_url)
        slow = FrozenClock(datetime.now(UTC) - timedelta(seconds=60))
        report = asyncio.run(doctor.examine(trying=False, clock=slow))
        told = {finding.id: finding.weakness for finding in report.findings}
        assert "60 seconds ahead" in told["clock-offset"]


async def _execute(url: str, *statements: str) -> None:
    db = Database(url)
    async with db.engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement.format(db.url.database)))
        await connection.commit()
    await db.close()


class TestTryingTheServer:
    def test_the_recommended_server_refuses_every_attack(self, place: Place) -> None:
        place.database.unlink()
        place.monkeypatch.setattr(sys, "argv", ["watchword", "migrate"])
        with pytest.raises(SystemExit):
            cli.run()
        place.capsys.readouterr()
        given = {name: value for name, value in os.environ.items() if name.startswith("WATCHWORD_")}
        with live.serving(place.folder, **given) as url:
            said = place.diagnose("--url", url.replace("localhost", "127.0.0.1"))
        assert said.report["findings"] == []
        assert said.code == 0
        assert said.results("accepted") == set()
        assert said.results("not tried") == {"register-enumeration"}  # registration is closed there
        assert_nobody_was_left(place.database)

    def test_a_developer_s_server_refuses_every_attack(self, place: Place) -> None:
        place.unset("issuer", "master_keys", "database_url")
        with live.serving(place.folder) as url:
            said = place.diagnose("--url", url)
        assert said.found == set()
        assert said.results("not tried") == {"headers-transport", "docs-open", "register-closed"}
        assert said.results("accepted") == set()
        assert_nobody_was_left(place.folder / ".watchword" / "watchword.db")

    def test_on_a_server_that_does_everything_wrong_every_attack_succeeds(self, place: Place) -> None:
        with broken.serving(broken.everything_wrong(ISSUER)) as url:
            said = place.diagnose("--url", url)
        accepted, tried = said.results("accepted"), {attack.id for attack in ALL} - {"register-enumeration"}
        assert accepted == tried
        assert accepted == said.found
        assert said.code == 1
        for secret in ("eyJ", "wwr_", KEY):
            assert secret not in said.out
        assert_nobody_was_left(place.database)

    def test_of_a_server_with_holes_it_finds_these_and_no_other(self, place: Place) -> None:
        place.set(registration="open")
        app, auth = FastAPI(docs_url=None, redoc_url=None, openapi_url=None), Auth()
        auth.install(app)
        with broken.serving(broken.Holes(app, auth)) as url:
            said = place.diagnose("--url", url)
        assert said.results("accepted") == broken.HOLES
        assert said.found == broken.HOLES | {"registration-open"}

    def test_open_registration_that_tells_what_is_taken_is_found(self, place: Place) -> None:
        place.set(registration="open")
        with broken.serving(broken.everything_wrong(ISSUER)) as url:
            report = asyncio.run(doctor.examine(url, only={"register-enumeration"}))
        assert [one.result for one in report.attempts] == ["accepted"]
        assert_nobody_was_left(place.database)

    def test_without_a_way_into_the_database_the_rest_is_tried(self, place: Place) -> None:
        server = broken.everything_wrong(ISSUER, Auth())
        place.set(master_keys=OTHER_KEY)
        with broken.serving(server) as url:
            said = place.diagnose("--url", url)
        assert "token-alg-none" in said.results("not tried")
        assert {"headers-browser", "request-odd", "host-header", "jwks-private"} <= said.results("accepted")

    def test_a_server_of_another_deployment_is_told(self, place: Place, started: Path) -> None:
        """Its accounts are not the doctor's, so what it refuses would prove nothing."""
        elsewhere = place.folder / "elsewhere.db"
        shutil.copyfile(started, elsewhere)
        app = FastAPI()
        auth = Auth(Settings(database_url=f"sqlite:///{elsewhere}"))
        auth.install(app)
        with broken.serving(app) as url:
            said = place.diagnose("--url", url)
        assert "server-of-another-deployment" in said.found
        assert "logout-ends" in said.results("not tried")

    def test_below_a_prefix_it_finds_its_way(self, place: Place) -> None:
        app, auth = FastAPI(docs_url=None, redoc_url=None, openapi_url=None), Auth()
        auth.install(app, prefix="/auth")
        with broken.serving(app) as url:
            said = place.diagnose("--url", url)
        assert said.found == set()
        assert "token-alg-none" in said.results("refused")


def assert_nobody_was_left(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM watchword_users").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM watchword_sessions").fetchone() == (0,)


class TestWhatIsNoServer:
    def test_nothing_at_the_url(self, place: Place) -> None:
        said = place.diagnose("--url", f"http://127.0.0.1:{live.free_port()}")
        assert (said.code, said.found) == (1, {"server-unreachable"})

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            b'HTTP/1.1 200 OK\r\n\r\n{"issuer": 7, "token_endpoint": []}',
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
            b"\xff\xfe\x00",
            b"",
        ],
    )
    def test_something_else_at_the_url(self, place: Place, answer: bytes) -> None:
        with answering(answer) as (url, _):
            said = place.diagnose("--url", url)
        assert said.code == 1
        assert said.err == ""
        assert said.found in ({"server-not-watchword"}, {"server-unreachable"})
        assert said.report["attacks"] == []

    def test_a_server_that_never_answers(self, place: Place) -> None:
        place.monkeypatch.setattr(visitor, "SECONDS", 0.2)
        with answering(None) as (url, _):
            assert place.diagnose("--url", url).found == {"server-unreachable"}

    @pytest.mark.parametrize("url", ["auth.example.com", "ftp://auth.example.com", "http://[::1", "http://"])
    def test_an_url_that_is_none(self, place: Place, url: str) -> None:
        said = place.diagnose("--url", url)
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("watchword: --url is not a web address")

    def test_told_to_stop_it_removes_its_accounts(self, place: Place) -> None:
        """The server answers its metadata and then nothing, so the accounts are made when the signal comes."""
        metadata = json.dumps({"issuer": ISSUER, "token_endpoint": f"{ISSUER}/refresh"}).encode()
        first = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(metadata), metadata)
        with answering(first, None) as (url, asked):
            command = [sys.executable, "-m", "watchword", "doctor", "--url", url]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert asked[1].wait(60)
            with contextlib.closing(sqlite3.connect(place.database)) as connection:
                assert connection.execute("SELECT count(*) FROM watchword_users").fetchone() == (2,)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        assert "Traceback" not in out + err
        assert "accounts are removed" in err
        assert process.returncode == 1
        assert_nobody_was_left(place.database)


@contextlib.contextmanager
def answering(*answers: bytes | None) -> Iterator[tuple[str, list[threading.Event]]]:
    """A listener that gives one answer to each connection and hangs up; for None it says nothing until the end."""
    asked = [threading.Event() for _ in answers]
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as held:

        def serve() -> None:
            for number, answer in enumerate(answers):
                try:
                    connection, _ = listener.accept()
                    connection.settimeout(PATIENCE)
                    connection.recv(65536)
                except OSError:
                    return
                asked[number].set()
                if answer is None:
                    held.enter_context(connection)
                    continue
                with contextlib.suppress(OSError):
                    connection.sendall(answer)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked


class TestWhatIsPrinted:
    def test_for_people_each_finding_has_its_cure(self, place: Place) -> None:
        place.set(access_ttl="3600")
        place.monkeypatch.setattr(sys, "argv", ["watchword", "doctor", "--no-try"])
        with pytest.raises(SystemExit) as leaving:
            cli.run()
        out = place.capsys.readouterr().out
        assert leaving.value.code == 1
        assert "weak  access-ttl-long  WATCHWORD_ACCESS_TTL" in out
        assert "cure: Set WATCHWORD_ACCESS_TTL to 900 or less" in out
        assert out.endswith("1 thing is weak.\n")
        assert "\x1b" not in out  # a pipe is no terminal

    def test_when_there_is_nothing_it_says_so(self, place: Place) -> None:
        from rich.console import Console

        from watchword.server.doctor.show import show

        written = io.StringIO()
        show(asyncio.run(doctor.examine(trying=False)), Console(file=written))
        assert written.getvalue() == "Nothing is weak.\n"

    def test_with_an_attack_that_was_accepted_it_does_not_say_that_nothing_is_weak(self) -> None:
        """On localhost an accepted attack is a note; the sum must not read as if there were none."""
        from rich.console import Console

        from watchword.server.doctor.attack import Attempt
        from watchword.server.doctor.show import show

        written = io.StringIO()
        show(doctor.Report((), (Attempt(next(iter(ALL)), "accepted"),)), Console(file=written))
        assert written.getvalue().endswith("No setting is weak. Attacks: 1 accepted.\n")


class TestAHostileServer:
    """An operator may be sent to any address: what answers there must not harm whoever asks."""

    async def test_an_answer_that_would_unpack_to_more_than_memory_holds_is_not_unpacked(self) -> None:
        heard: list[bytes] = []
        packed = gzip.compress(bytes(64 * 1024 * 1024))

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
            writer.write(head.encode() + packed)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, visitor.Visitor(f"http://127.0.0.1:{port}", "localhost") as visiting:
            body = (await visiting.send("GET", "/")).body
        assert packed.startswith(body)
        assert b"accept-encoding: identity" in heard[0].lower()

    def test_an_answer_that_begins_like_a_stack_trace_again_and_again_is_read_quickly(self) -> None:
        """The time grew with the square of the length: some ten seconds for each of 150 answers of 256 KB."""
        for beginning in ('File "', "Internal Server Error"):
            assert TELLS.search(beginning * (visitor.MAX_ANSWER // len(beginning))) is None
        assert TELLS.search('  File "/srv/app/main.py", line 7, in read')
