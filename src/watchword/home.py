"""Where a deployment keeps its things: the database, the master key, and (on a loopback issuer) their folder."""

import contextlib
import importlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

from pydantic import SecretStr

from watchword.core import jose, secrets
from watchword.core.clock import Clock, Entropy, system_entropy
from watchword.core.errors import ConfigError
from watchword.core.models import Account
from watchword.core.policy import Policy
from watchword.features.base import Feature
from watchword.flows.handlers import Handlers
from watchword.flows.hashing import HashingPool
from watchword.flows.keyring import Keyring
from watchword.flows.kit import ClaimsHook, Kit
from watchword.flows.post import Post
from watchword.flows.recording import Recorder
from watchword.ports import Accounts, Mailer, Scratch, Users
from watchword.refusals import is_loopback, mail_address, mail_sender
from watchword.settings import Settings
from watchword.stores.sql import migrate
from watchword.stores.sql.accounts import SqlAccounts
from watchword.stores.sql.audit import SqlAudit
from watchword.stores.sql.engine import FEED_NAME, Database, parse
from watchword.stores.sql.keys import SqlKeys
from watchword.stores.sql.outbox import SqlOutbox
from watchword.stores.sql.revocations import SqlRevocations
from watchword.stores.sql.roles import SqlRoles
from watchword.stores.sql.scratch import SqlScratch
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.users import SqlUsers

KEY_FILE = "master.key"
DATABASE_FILE = "watchword.db"
MAIL_FOLDER = "mail"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the settings say that things are, whether or not they are there yet.

    `key_file` is None where the settings give master keys; `folder` is None where nothing is kept in it.
    """

    folder: Path | None
    key_file: Path | None
    database_url: str = field(repr=False)


def places(settings: Settings) -> Places:
    """The places of these settings. Looks at nothing and makes nothing."""
    folder = settings.data_dir.absolute()
    url = settings.database_url
    return Places(
        folder=folder if url is None or not settings.master_keys else None,
        key_file=None if settings.master_keys else folder / KEY_FILE,
        database_url=url.get_secret_value() if url else f"sqlite:///{folder / DATABASE_FILE}",
    )


def located(settings: Settings, engine: object | None) -> Settings:
    """The settings with the database that a host's engine leads to. Raises ConfigError for what is no engine for us."""
    if engine is None:
        return settings
    url = Database.of_host(engine).url.render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": SecretStr(url)})


@dataclass(frozen=True, slots=True)
class Guests:
    """What an application brings into the house: an AsyncEngine, accounts of its own, a hook for claims, event handlers, a
    folder with texts of its own, features."""

    engine: object | None = None
    users: Users[Account] | None = None
    claims: ClaimsHook | None = None
    handlers: Handlers = field(default_factory=Handlers)
    texts: Path | None = None
    features: Sequence[Feature] = ()


@runtime_checkable
class Closing(Protocol):
    """A store with connections of its own."""

    async def close(self) -> None: ...


class Migrated(NamedTuple):
    """A database (its URL without secrets), and the versions of its schema; `before` is None for an empty one."""

    database: str
    before: str | None
    after: str


class Home:
    """The database and the master keys that the settings or the application name; on a loopback issuer the rest is made.

    Raises ConfigError when the settings and the application name two databases, and off localhost when neither names one.
    """

    def __init__(self, settings: Settings, guests: Guests | None = None) -> None:
        self._loopback = settings.loopback
        self._redis_url: str | None = settings.redis_url.get_secret_value() if settings.redis_url else None
        direct = settings.feed_database_url
        self._feed_url: str | None = direct.get_secret_value() if direct else None
        self._guests = guests or Guests()
        self._settings = settings
        there = places(settings)
        self.key_file: Path | None = there.key_file
        self.masters: tuple[bytes, ...] = settings.masters()
        self.db: Database = self._database(settings, there)
        if self._feed_url and self.db.is_sqlite:
            raise ConfigError(f"{FEED_NAME} is for PostgreSQL. With SQLite leave it out.")
        if there.key_file is not None:
            _make_folder(there.key_file.parent)
            self.masters = (secrets.strong(_once(there.key_file), str(there.key_file)),)

    def _database(self, settings: Settings, there: Places) -> Database:
        if self._guests.engine is None:
            if there.folder is not None:
                _make_folder(there.folder)
            return Database(there.database_url)
        db = Database.of_host(self._guests.engine)
        if settings.database_url is not None and not db.leads_to(there.database_url):
            raise ConfigError(
                f"WATCHWORD_DATABASE_URL ({parse(there.database_url).set(query={}).render_as_string()}) and Auth(engine=…) "
                f"({db.public_url}) name two databases. Leave the setting out, or let it name the engine's."
            )
        return db

    async def open(
        self,
        policy: Policy,
        clock: Clock,
        entropy: Entropy,
        *,
        here: bool,
        every_key: bool = True,
        foreign: bool = False,
    ) -> Kit:
        """The kit, ready: schema checked, keys loaded, feed followed. Raises ConfigError with the cure.

        The database settles on the running event loop (`here`), or on one of its own. A signing key that does not open is
        refused, or (without `every_key`) left out. A database of another master key is refused, unless `foreign`.
        """
        guests = self._guests
        self.db.settle(here=here)
        try:
            await migrate.check(self.db, may_migrate=self._loopback)
            keys = SqlKeys(self.db)
            keyring = Keyring(keys, self.masters, policy, clock, entropy)
            audit = SqlAudit(self.db)
            kit = Kit(
                policy=policy,
                clock=clock,
                entropy=entropy,
                users=guests.users or SqlUsers(self.db),
                sessions=SqlSessions(self.db),
                keys=keys,
                revocations=SqlRevocations(self.db, clock, policy, self._feed_url),
                scratch=self._scratch(clock),
                roles=SqlRoles(self.db),
                outbox=SqlOutbox(self.db),
                post=Post(),
                accounts=self._accounts(),
                mailer=self._mailer(),
                keyring=keyring,
                hashing=HashingPool(policy, entropy),
                audit=audit,
                recorder=Recorder(audit, keyring, clock, entropy, self.db.loop),
                handlers=guests.handlers,
                claims=guests.claims,
                hosts_users=guests.users is not None,
            )
            keyring.announce = kit.announce
            for feature in guests.features:
                kit.add(feature.name, feature.open(kit, self.db))
            await keyring.start(strict=every_key, foreign=foreign)
            kit.revocations.watch(keyring.on_change)
            kit.revocations.watch(kit.recorder.on_change)
            await kit.revocations.start()
        except BaseException:
            await self.db.close()
            raise
        return kit

    def _scratch(self, clock: Clock) -> Scratch:
        """The database, or a Valkey with the database behind it."""
        scratch = SqlScratch(self.db)
        if self._redis_url is None:
            return scratch
        try:
            module = importlib.import_module("watchword.stores.redis")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"WATCHWORD_REDIS_URL is set, and {error.name} is missing: pip install 'redis[hiredis]'"
            ) from None
        return cast("Scratch", module.RedisScratch(self._redis_url, scratch, clock, self.db.call))

    def _accounts(self) -> Accounts | None:
        """Ours, or the host's where its table does as much."""
        users = self._guests.users
        if users is None:
            return SqlAccounts(self.db)
        return users if isinstance(users, Accounts) else None

    def _mailer(self) -> Mailer | None:
        """Over SMTP where the settings name a server; else on a loopback issuer into a folder, and elsewhere nowhere."""
        settings = self._settings
        url = settings.mail_url.get_secret_value() if settings.mail_url else None
        if url is None and not self._loopback:
            return None
        post = importlib.import_module("watchword.stores.mail")
        domain = urlsplit(settings.issuer).hostname or ""
        writer = post.Writer(words(settings, self._guests.texts), _sender(settings), domain)
        if url is None:
            return cast("Mailer", post.FolderMailer(settings.data_dir.absolute() / MAIL_FOLDER, writer))
        parts = mail_address(url)
        is_here = parts is not None and is_loopback(parts.hostname or "")
        return cast("Mailer", post.SmtpMailer(post.server(url, is_here=is_here), writer, domain))

    async def migrate(self) -> Migrated:
        """Bring the database to the schema of this version. Safe to run again, and by several machines at once."""
        self.db.settle(here=True)
        try:
            before = await migrate.version(self.db)
            return Migrated(self.db.public_url, before, await migrate.upgrade(self.db))
        finally:
            await self.db.close()

    async def close(self, kit: Kit) -> None:
        """Let handlers finish and mails arrive, stop following, have the audit log written; threads and connections go."""
        await kit.handlers.drain()
        await kit.post.stop()
        for annex in kit.annexes.values():
            await annex.close()
        await kit.revocations.stop()
        await kit.recorder.drain()
        kit.hashing.close()
        if isinstance(kit.scratch, Closing):
            await kit.scratch.close()
        await self.db.close()


def words(settings: Settings, folder: Path | None) -> Any:
    """What mails and their pages say: the host's texts before ours."""
    sender = mail_sender(_sender(settings))
    name = sender and (sender.display_name or sender.domain)
    return importlib.import_module("watchword.texts").Texts(folder, name or "Watchword")


def _sender(settings: Settings) -> str:
    return settings.mail_from or f"Watchword <no-reply@{urlsplit(settings.issuer).hostname}>"


def _make_folder(folder: Path) -> None:
    """A private folder that git leaves alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), open(folder / ".gitignore", "x") as ignore:
            ignore.write("*\n")
    except OSError as error:
        raise ConfigError(
            f"{folder} can't be made ({error.strerror}). Set WATCHWORD_DATA_DIR to a folder that can be written."
        ) from None


def _once(path: Path) -> str:
    """The secret in the file, made with mode 0600 if it is not there. Of any number of makers all read one secret."""
    if not path.exists():
        try:
            handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
        except OSError as error:
            raise ConfigError(
                f"{path} can't be made ({error.strerror}). Set WATCHWORD_DATA_DIR to a folder that can be written, "
                "or give the key in WATCHWORD_MASTER_KEYS."
            ) from None
        try:
            with os.fdopen(handle, "w") as file:
                file.write(jose.b64encode(system_entropy(32)) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            os.unlink(draft)
    return path.read_text().strip()
