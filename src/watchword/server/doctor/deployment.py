"""What is weak where things are kept: files, the database and its server, signing keys, housekeeping.

The database is only read, and nothing is made: a doctor may come before the first start.
"""

import asyncio
import importlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from watchword.core import keys as lives
from watchword.core import sealing, secrets
from watchword.core.clock import Clock
from watchword.core.errors import ConfigError, Unavailable
from watchword.core.keys import KeyRecord
from watchword.core.passwords import OWASP, Argon2Parameters
from watchword.home import Places, places
from watchword.refusals import is_loopback, mail_address
from watchword.server.doctor import files
from watchword.server.doctor.findings import Finding, found
from watchword.settings import Settings
from watchword.stores.sql import examination
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import SCHEMA_VERSION

OVERDUE = timedelta(days=1)
MANY_DEAD = 100
MAX_OFFSET = 5.0
DATABASE_SECONDS = 15


async def examine(settings: Settings, clock: Clock) -> tuple[list[Finding], bool]:
    """The findings, and whether the house could open here: schema, master key and keys are as they should be."""
    there = places(settings)
    findings: list[Finding] = [*await _valkey(settings), *await _mail(settings)]
    masters = _masters(settings, there, findings)
    try:
        db = Database(there.database_url)
    except ConfigError as error:
        return [*findings, *files.examine(there, None), found("database-invalid", str(error))], False
    try:
        findings += files.examine(there, db.path)
        async with asyncio.timeout(DATABASE_SECONDS):
            ready = await _database(db, settings, masters, clock, findings)
    except TimeoutError:
        findings.append(found("database-unreachable", f"{db.public_url} did not answer in {DATABASE_SECONDS} seconds."))
        ready = False
    except OSError as error:
        findings.append(found("database-unreachable", f"A file can't be read: {error.strerror}."))
        ready = False
    finally:
        await db.close()
    return findings, ready and bool(masters)


async def _valkey(settings: Settings) -> list[Finding]:
    """A wrong address was refused already, with the rest of the settings."""
    if settings.redis_url is None:
        return []
    url = urlsplit(settings.redis_url.get_secret_value())
    findings = []
    if url.scheme == "redis" and not is_loopback(url.hostname or ""):
        findings.append(found("redis-unencrypted"))
    try:
        why = await importlib.import_module("watchword.stores.redis").answers(url.geturl())
    except ModuleNotFoundError as error:
        why = f"{error.name} is missing: pip install 'redis[hiredis]'"
    if why is not None:
        findings.append(
            found("redis-unreachable", f"The Valkey does not answer: attempts are counted in the database ({why}).")
        )
    return findings


async def _mail(settings: Settings) -> list[Finding]:
    """Whether the mail server lets us in. Nothing is sent."""
    url = settings.mail_url.get_secret_value() if settings.mail_url else None
    parts = None if url is None else mail_address(url)
    if url is None or parts is None:
        return []
    post = importlib.import_module("watchword.stores.mail")
    why = await post.answers(post.server(url, is_here=is_loopback(parts.hostname or "")))
    return [] if why is None else [found("mail-unreachable", f"The mail server takes no mails ({why}): they wait.")]


def _masters(settings: Settings, there: Places, findings: list[Finding]) -> tuple[bytes, ...]:
    """The master keys that could be used; a key file that is not made yet gives none."""
    try:
        if there.key_file is None:
            return settings.masters()
        return (secrets.strong(there.key_file.read_text().strip(), str(there.key_file)),)
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        findings.append(found("key-file-invalid", f"{there.key_file} can't be read: {type(error).__name__}."))
    except ConfigError as error:
        if there.key_file is not None:  # given ones were refused already, with the rest of the settings
            findings.append(found("key-file-invalid", str(error).removesuffix(secrets.CURE).strip()))
    return ()


async def _database(
    db: Database, settings: Settings, masters: Sequence[bytes], clock: Clock, findings: list[Finding]
) -> bool:
    """Look into the database as far as it lets itself be looked into; whether the house could open on it."""
    if db.path is not None and db.path.is_file() and not examination.is_sqlite(db.path):
        findings.append(found("database-invalid", f"{db.path} is not a SQLite file."))
        return False
    try:
        version = await examination.version(db)
        if not db.is_sqlite:
            findings += _postgres(db, await examination.postgres(db, clock))
        if version is not None and version > SCHEMA_VERSION and await examination.compatible(db):
            text = f"The database is at schema {version}, this code at {SCHEMA_VERSION}; it may be used."
            findings.append(found("schema-ahead", text))
        elif version != SCHEMA_VERSION:
            findings.append(_schema(version, db.path, settings))
            return False
        held = await examination.contents(db, clock.now(), _hash_prefix())
    except Unavailable as error:
        findings.append(found("database-unreachable", f"{db.public_url} does not answer: {error.because}."))
        return False
    foreign = list(_foreign(held, masters))
    findings += foreign
    findings += _keys(held.keys, masters, settings, clock.now())
    findings += _housekeeping(held, settings)
    return not foreign


def _schema(version: str | None, path: Path | None, settings: Settings) -> Finding:
    if version is None:
        return found("database-not-made") if settings.loopback and path is not None else found("database-empty")
    if version > SCHEMA_VERSION:
        return found("schema-new", f"The database is at schema {version}, this code at {SCHEMA_VERSION}.")
    if settings.loopback:
        return found("schema-old", "The database is older than this code; the next start migrates it.", note=True)
    return found("schema-old", f"The database is at schema {version}, this code at {SCHEMA_VERSION}.")


def _foreign(held: examination.Contents, masters: Sequence[bytes]) -> Iterator[Finding]:
    if masters and held.check_value is not None:
        if held.check_value not in {sealing.check_value(master) for master in masters}:
            yield found("master-key-foreign")
    elif not masters and held.check_value is not None:
        yield found("master-key-foreign", "The database was made with a master key that is not here.")


def _keys(
    records: Sequence[KeyRecord], masters: Sequence[bytes], settings: Settings, now: datetime
) -> Iterator[Finding]:
    able = [record for record in records if record.retired_at is None]
    if records and not able:
        yield found("keys-none-able")
    needed = [record for record in able if lives.verifies_until(record, records) > now.timestamp()]
    openers = [_opener(record, masters) for record in needed] if masters else []
    if None in openers:
        yield found("keys-unopened", f"No master key opens {openers.count(None)} of {len(openers)} signing keys.")
    if any(openers):
        yield found("keys-sealed-by-old-master")
    if able:
        newest = max(able, key=lambda record: record.generation)
        late = now - (newest.signs_from + timedelta(seconds=settings.key_rotation) - lives.PUBLISH_AHEAD)
        if late > OVERDUE:  # on localhost the server may just not have run for a while
            yield found("keys-overdue", f"The next signing key is {late.days} days overdue.", note=settings.loopback)


def _opener(record: KeyRecord, masters: Sequence[bytes]) -> int | None:
    """Which master key opens the record: 0 is the one that seals today."""
    for number, master in enumerate(masters):
        try:
            sealing.unseal(record.sealed, record.place, [master])
        except ConfigError:
            continue
        return number
    return None


def _housekeeping(held: examination.Contents, settings: Settings) -> Iterator[Finding]:
    if held.dead_sessions >= MANY_DEAD:
        counted = (
            f"{held.dead_sessions:,} sessions ended more than two days ago and were not pruned: upkeep does not run."
        )
        yield found("sessions-unpruned", counted, note=settings.loopback)
    if held.outdated_hashes:
        counted = f"{held.outdated_hashes:,} passwords are kept with other parameters than today's"
        yield found("hashes-outdated", f"{counted}; each is renewed when its owner signs in.")


def _postgres(db: Database, server: examination.Postgres) -> Iterator[Finding]:
    if not server.encrypted and not _is_here(db):
        yield found("postgres-unencrypted")
    if server.superuser:
        yield found("postgres-superuser")
    off = [name for name, value in server.settings.items() if value == "off"]
    if off:
        yield found(
            "postgres-not-durable", f"{' and '.join(off)} off: a power cut may lose commits, and with them logouts."
        )
    if abs(server.offset) > MAX_OFFSET:
        direction = "ahead" if server.offset > 0 else "behind"
        yield found(
            "clock-offset", f"The database's clock is {abs(server.offset):.0f} seconds {direction} of this machine's."
        )


def _is_here(db: Database) -> bool:
    """Whether the database is on this machine: a socket, or a loopback address."""
    host = db.url.host or str(db.url.query.get("host", ""))
    return not host or host.startswith(("/", "@")) or is_loopback(host)


def _hash_prefix(cost: Argon2Parameters = OWASP) -> str:
    """How a password hash of today's parameters begins. The PHC string format."""
    return f"$argon2id$v=19$m={cost.memory_cost},t={cost.time_cost},p={cost.parallelism}$"
