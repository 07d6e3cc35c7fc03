"""What the doctor can find in a configuration and a deployment: one table, from which the documentation is made."""

from dataclasses import dataclass
from typing import Literal

from watchword.core.secrets import CURE as MASTER_KEY_CURE
from watchword.refusals import PREFIX, Refusal

DOCS = "operating/#doctor"
"""The page, below the documentation's root, that says more of every finding."""

Severity = Literal["weak", "note"]
"""`weak` makes the command exit with 1; a `note` is worth knowing."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that may be weak. `id` is stable; `weakness` and `cure` are sentences; `setting` is concerned, if one is."""

    id: str
    severity: Severity
    weakness: str
    cure: str
    setting: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that found something, with what it found."""

    id: str
    severity: Severity
    weakness: str
    cure: str
    setting: str | None = None
    docs: str = DOCS


MAIL_FROM_CURE = "Write My App <no-reply@example.com>."


def _weak(id_: str, weakness: str, cure: str, setting: str | None = None) -> Check:
    return Check(id_, "weak", weakness, cure, setting and PREFIX + setting)


def _note(id_: str, weakness: str, cure: str, setting: str | None = None) -> Check:
    return Check(id_, "note", weakness, cure, setting and PREFIX + setting)


REFUSED = (
    _weak("setting-unknown", "A variable is named like a setting and is none.", "Use the name that is meant."),
    _weak("setting-invalid", "A setting's value can't be read or is out of its bounds.", "Put it within its bounds."),
    _weak("issuer-invalid", "The issuer is not a web address.", "Write https://auth.example.com.", "ISSUER"),
    _weak("issuer-http", "The issuer is http, so tokens cross the network in the clear.", "Use https.", "ISSUER"),
    _weak(
        "audience-invalid",
        "The audience is empty, or holds white space.",
        "Write your API's name, https://api.example.com, or unset it.",
        "AUDIENCE",
    ),
    _weak(
        "feed-url-invalid",
        "The address for the feed is none of a PostgreSQL.",
        "Write postgresql://user:password@host/name.",
        "FEED_DATABASE_URL",
    ),
    _weak(
        "feed-url-unused",
        "An address for the feed is given, and the database is SQLite.",
        "Leave it out.",
        "FEED_DATABASE_URL",
    ),
    _weak(
        "redis-url-invalid",
        "The Valkey's address is none.",
        "Write redis://host:6379/0, or rediss:// for TLS.",
        "REDIS_URL",
    ),
    _weak(
        "mail-url-invalid",
        "The mail server's address is none.",
        "Write smtps://user:password@host, or smtp://host for one that offers STARTTLS.",
        "MAIL_URL",
    ),
    _weak("mail-from-missing", "Nobody is named as the sender of mails.", MAIL_FROM_CURE, "MAIL_FROM"),
    _weak("mail-from-invalid", "The sender of mails is none.", MAIL_FROM_CURE, "MAIL_FROM"),
    _weak("master-key-weak", "A master key is short, publicly known or guessable.", MASTER_KEY_CURE, "MASTER_KEYS"),
    _weak("master-key-missing", "Off localhost no master key is given.", MASTER_KEY_CURE, "MASTER_KEYS"),
    _weak(
        "service-key-weak",
        "A service key is short, publicly known, guessable, or holds what can't stand in a header.",
        MASTER_KEY_CURE,
        "SERVICE_KEYS",
    ),
    _weak(
        "service-key-master",
        "A master key is given to services too, so each of them could open the signing keys.",
        f"Give services a key of their own. {MASTER_KEY_CURE}",
        "SERVICE_KEYS",
    ),
    _weak(
        "service-keys-symmetric",
        "Services are told of revocations, but tokens are signed with HS256, so they can verify nothing.",
        f"Set {PREFIX}SIGNING_ALG=ES256, or leave {PREFIX}SERVICE_KEYS out.",
        "SERVICE_KEYS",
    ),
    _weak(
        "database-missing",
        "Off localhost no database is named.",
        "Say where users are kept: sqlite:////var/lib/app/watchword.db or postgresql://user:password@host/name.",
        "DATABASE_URL",
    ),
    _weak(
        "refresh-idle-beyond-absolute",
        "A session may be unused for longer than it may live.",
        f"Make it at most as long as {PREFIX}REFRESH_ABSOLUTE.",
        "REFRESH_IDLE",
    ),
    _weak(
        "trusted-proxies-wildcard",
        "Everybody is a trusted proxy, so everybody chooses the address that is logged.",
        "Name your proxies' addresses: 10.0.1.0/24, say.",
        "TRUSTED_PROXIES",
    ),
    _weak(
        "trusted-proxies-invalid",
        "A trusted proxy is neither an address nor a network.",
        "Name your proxies' addresses: 10.0.1.0/24, say.",
        "TRUSTED_PROXIES",
    ),
    _weak(
        "allowed-origins-wildcard",
        "Pages of every origin may call the server.",
        "Name your pages' origins: https://app.example.com.",
        "ALLOWED_ORIGINS",
    ),
    _weak(
        "allowed-origins-invalid",
        "An allowed origin is not an origin.",
        "Write https://app.example.com.",
        "ALLOWED_ORIGINS",
    ),
    _weak(
        "application-debug",
        "The application shows a stack trace, with the source around it, for every fault.",
        "Take debug=True out of FastAPI(…); on a loopback issuer it may stay.",
    ),
    _weak(
        "mail-missing",
        "The application signs in by mail (MagicLink, OneTimeCode), and no mail goes out.",
        f"Set it to smtps://user:password@host and {PREFIX}MAIL_FROM to the sender, or leave the feature out.",
        "MAIL_URL",
    ),
)
"""Reasons why a start is refused; `watchword.refusals` finds them."""

CONFIGURATION = (
    _weak(
        "issuer-unsafe-http",
        "The issuer is http off localhost: whoever can read the network can read passwords and tokens.",
        f"Put a proxy with TLS in front, write WATCHWORD_ISSUER=https://… and take {PREFIX}UNSAFE_HTTP_ISSUER away.",
        "UNSAFE_HTTP_ISSUER",
    ),
    _weak(
        "issuer-loopback-in-public",
        "The issuer is this machine alone, but the server seems to be reached from elsewhere: its key lies in a file, "
        "and anybody may register.",
        "Set WATCHWORD_ISSUER to the public https address, and give WATCHWORD_MASTER_KEYS and WATCHWORD_DATABASE_URL.",
        "ISSUER",
    ),
    _weak(
        "signing-symmetric",
        "Access tokens are signed with HS256: whoever is to verify them needs the key, and could make them too.",
        "Unset WATCHWORD_SIGNING_ALG, or set it to ES256: the next key is published at the next start.",
        "SIGNING_ALG",
    ),
    _note(
        "registration-open",
        "Anybody may register, and there is no mail to confirm an address: signing in then tells whether it was free.",
        "Set WATCHWORD_REGISTRATION=closed and make accounts with `watchword users add`, or accept it.",
        "REGISTRATION",
    ),
    _weak(
        "access-ttl-long",
        "Access tokens live for more than 15 minutes: services that verify them by themselves honour a revoked one as long.",
        "Set WATCHWORD_ACCESS_TTL to 900 or less, or unset it.",
        "ACCESS_TTL",
    ),
    _weak(
        "refresh-idle-long",
        "A session may lie unused for more than 30 days: a forgotten device stays signed in as long.",
        "Set WATCHWORD_REFRESH_IDLE to 2592000 or less, or unset it.",
        "REFRESH_IDLE",
    ),
    _weak(
        "trusted-proxies-wide",
        "A network of trusted proxies is wider than /16 (IPv6: /48): each machine in it chooses the address that is logged.",
        "Name the proxies themselves: 10.0.1.0/24, say.",
        "TRUSTED_PROXIES",
    ),
    _weak(
        "trusted-proxies-public",
        "A network of trusted proxies is part of the public internet: whoever rents a machine there is believed.",
        "Name the proxies' private addresses, or each public one by itself.",
        "TRUSTED_PROXIES",
    ),
    _weak(
        "allowed-origins-http",
        "Pages of an http origin may call the server: whoever can write to their network can be those pages.",
        "Serve the pages by https, and write https:// in WATCHWORD_ALLOWED_ORIGINS.",
        "ALLOWED_ORIGINS",
    ),
    _note(
        "allowed-origins-loopback",
        "Pages of a developer's machine may call the public server.",
        "Take the localhost origins out of WATCHWORD_ALLOWED_ORIGINS.",
        "ALLOWED_ORIGINS",
    ),
    _weak(
        "master-key-repeated",
        "One master key is given twice, so a rotation that was meant did not happen.",
        f"Put a new key in front. {MASTER_KEY_CURE}",
        "MASTER_KEYS",
    ),
    _note(
        "master-keys-several",
        "Several master keys are given: each of them opens the signing keys.",
        "Run `watchword keys reseal`, and drop the old ones once sessions of their time may end.",
        "MASTER_KEYS",
    ),
    _note(
        "key-rotation-rare",
        "A signing key signs for more than half a year.",
        "Unset WATCHWORD_KEY_ROTATION (30 days); nobody notices a rotation.",
        "KEY_ROTATION",
    ),
    _note(
        "hashing-queue-long",
        "The last in the queue of logins waits for more than 30 seconds, longer than clients do.",
        "Lower WATCHWORD_HASHING_QUEUE, or raise WATCHWORD_HASHING_THREADS on a machine with many processors.",
        "HASHING_QUEUE",
    ),
    _note(
        "revocation-staleness-long",
        "When the feed is silent, a token that was revoked is honoured for more than 10 seconds.",
        "Unset WATCHWORD_REVOCATION_STALENESS (2 seconds).",
        "REVOCATION_STALENESS",
    ),
)

DEPLOYMENT = (
    _note("running-as-root", "This runs as root.", "Give the server an account of its own: `sudo -u watchword …`."),
    _weak(
        "key-file-open",
        "Others on this machine can read the file of the master key, which opens every signing key.",
        "Make it the server's alone: chmod 600 on the file, then a new key if anybody may have read it.",
    ),
    _weak(
        "data-folder-open",
        "Others on this machine can look into the folder of the key and the database.",
        "Make it the server's alone: chmod 700 on the folder.",
        "DATA_DIR",
    ),
    _weak(
        "key-file-invalid", "The file of the master key can't be read or is weak.", "Put the key back from a backup."
    ),
    _weak(
        "key-file-in-git",
        "The file of the master key lies in a git work tree that does not ignore it.",
        "Write its folder into .gitignore; if it was ever committed, make a new key.",
        "DATA_DIR",
    ),
    _weak(
        "database-in-git",
        "The SQLite file lies in a git work tree that does not ignore it.",
        "Write it into .gitignore; if it was ever committed, everybody's password hash was.",
        "DATABASE_URL",
    ),
    _weak(
        "database-file-open",
        "Others on this machine can read the SQLite file, and with it every password hash.",
        "Make it the server's alone: chmod 600 on the file and those beside it (-wal, -shm).",
        "DATABASE_URL",
    ),
    _weak(
        "database-folder-writable",
        "Others on this machine can write to the folder of the SQLite file, so they can replace it.",
        "Make the folder the server's alone: chmod 700.",
        "DATABASE_URL",
    ),
    _weak(
        "database-on-network",
        "The SQLite file lies on a network file system, whose locks do not hold: commits and logouts may be lost.",
        "Move the file to a local disk, or use postgresql://user:password@host/name.",
        "DATABASE_URL",
    ),
    _weak(
        "database-not-wal",
        "The SQLite file is not in WAL mode: readers and writers wait for each other.",
        "Start the server, which sets it (an application's own engine does so itself: PRAGMA journal_mode=WAL at each "
        "connect); where it can't (a network or read-only disk), move the file.",
        "DATABASE_URL",
    ),
    _weak(
        "database-invalid", "The database's URL can't be used.", "Write sqlite:///… or postgresql://….", "DATABASE_URL"
    ),
    _weak(
        "database-unreachable",
        "The database does not answer, or refuses.",
        "Look whether it runs and whether user, password, host and name are right.",
        "DATABASE_URL",
    ),
    _note("database-not-made", "There is no database yet: the first `watchword serve` makes it.", "watchword serve"),
    _weak("database-empty", "The database holds no tables.", "watchword migrate", "DATABASE_URL"),
    _weak("schema-old", "The database is older than this code.", "watchword migrate", "DATABASE_URL"),
    _weak(
        "schema-new",
        "The database is newer than this code.",
        "Install the version of watchword that migrated it, or a newer one.",
        "DATABASE_URL",
    ),
    _note(
        "schema-ahead",
        "The database is newer than this code, which may use it all the same: an upgrade is under way.",
        "Install the newer version here too.",
    ),
    _weak(
        "master-key-foreign",
        "The database belongs to another master key.",
        "Give the key that it was made with (it may stand behind a new one). If it is lost for good: watchword keys abandon",
        "MASTER_KEYS",
    ),
    _weak(
        "keys-none-able", "Every signing key is retired, so nobody can sign in.", "Start the server, which makes one."
    ),
    _weak(
        "keys-unopened",
        "No master key opens a signing key, so its tokens are refused.",
        "Put back the master key that sealed it, behind the new one.",
        "MASTER_KEYS",
    ),
    _weak(
        "keys-sealed-by-old-master",
        "A signing key is still sealed by an old master key.",
        "watchword keys reseal",
        "MASTER_KEYS",
    ),
    _weak(
        "keys-overdue",
        "The signing key should have been followed by another more than a day ago: upkeep does not run.",
        "Run `watchword upkeep` every hour, or keep the server running.",
    ),
    _weak(
        "sessions-unpruned",
        "Sessions that ended more than two days ago pile up: upkeep does not run.",
        "Run `watchword upkeep` every hour, or keep the server running.",
    ),
    _note(
        "hashes-outdated",
        "Passwords are kept with other parameters than today's; each is renewed when its owner signs in.",
        "Nothing to type; after a year, think of asking those that never came back for a new password.",
    ),
    _weak(
        "postgres-unencrypted",
        "The connection to the database on another machine is not encrypted.",
        "Add ?ssl=verify-full to the database's URL (and its CA, if it is not a public one).",
        "DATABASE_URL",
    ),
    _weak(
        "redis-unencrypted",
        "The connection to the Valkey on another machine is not encrypted.",
        "Write rediss:// and let the server speak TLS.",
        "REDIS_URL",
    ),
    _weak(
        "mail-unreachable",
        "The mail server does not take mails: they wait in the outbox.",
        "Look at its address, name and password, and at its certificate; then at watchword's log.",
        "MAIL_URL",
    ),
    _note(
        "redis-unreachable",
        "The Valkey does not answer: attempts are counted in the database.",
        "Start it, or unset WATCHWORD_REDIS_URL.",
        "REDIS_URL",
    ),
    _weak(
        "postgres-superuser",
        "The database role is a superuser: a hole in anything that uses it is a hole in the whole database server.",
        "CREATE ROLE watchword LOGIN PASSWORD '…'; ALTER DATABASE … OWNER TO watchword; and use that role.",
        "DATABASE_URL",
    ),
    _weak(
        "postgres-not-durable",
        "The database may lose commits at a power cut, and with them logouts.",
        "ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on; synchronous_commit is on or stronger.",
    ),
    _weak(
        "clock-offset",
        "The clocks of this machine and of the database differ by more than 5 seconds.",
        "Let both follow a time server (chrony, systemd-timesyncd).",
    ),
)

SERVER = (
    _note(
        "server-not-running",
        "Nothing answers at the issuer's address, so no attack was tried.",
        "Start it (`watchword serve`) or name it with --url, and run this again.",
    ),
    _weak("server-unreachable", "Nothing answers at --url, so no attack was tried.", "Start it, or name it right."),
    _weak(
        "server-not-watchword",
        "What answers is not Watchword, so no attack was tried.",
        "Name the address at whose root /.well-known/oauth-authorization-server is.",
    ),
    _weak(
        "server-of-another-deployment",
        "The server does not know the accounts or keys of this configuration.",
        "Run this with the settings of the server: the same WATCHWORD_DATABASE_URL, _MASTER_KEYS, _ISSUER.",
    ),
)

ALL = (*REFUSED, *CONFIGURATION, *DEPLOYMENT, *SERVER)
BY_ID = {check.id: check for check in ALL}


def found(
    id_: str, weakness: str | None = None, cure: str | None = None, *, note: bool = False, setting: str | None = None
) -> Finding:
    """A finding of the table, in the table's words unless better ones are given; `note` makes it a lighter one."""
    check = BY_ID[id_]
    return Finding(
        id=check.id,
        severity="note" if note else check.severity,
        weakness=weakness or check.weakness,
        cure=cure or check.cure,
        setting=setting or check.setting,
    )


def of_refusal(refusal: Refusal) -> Finding:
    """Why a start is refused, as a finding."""
    return found(refusal.id, refusal.weakness, refusal.cure or None, setting=refusal.setting)
