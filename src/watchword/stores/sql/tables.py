"""The tables. They never depend on options; `migrations/` makes them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    case,
)

SCHEMA_VERSION = "0009"
"""The newest migration: what this code reads and writes."""

COMPATIBLE_FROM = "0003"
"""The oldest schema whose code goes on working on a database at `SCHEMA_VERSION`: every migration since has only added what
that code need not know. It is raised with a minor version alone, and never beyond the last schema of the one before."""


def schema_of(connection: Connection) -> str | None:
    """Where a host's engine moves tables without a schema to (`schema_translate_map`): what is not made of `metadata` has to
    be moved by hand."""
    return (connection.get_execution_options().get("schema_translate_map") or {}).get(None)


metadata: MetaData = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC; SQLite keeps it as text that sorts by time."""

    impl: DateTime = DateTime(timezone=True)
    cache_ok: bool | None = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value if value.tzinfo is UTC else value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def greatest(one: Any, other: Any) -> Any:
    """The greater of two expressions, in both databases' words."""
    return case((one > other, one), else_=other)


ID = String(64)
BIG_SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers only an INTEGER PRIMARY KEY by itself."""

users: Table = Table(
    "watchword_users",
    metadata,
    Column("id", ID, primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("username", String(64), unique=True),
    Column("password_hash", Text),
    Column("scopes", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("email_verified_at", UtcDateTime),
    Column("language", String(35)),
    Column("profile", Text),
    Column("deletes_at", UtcDateTime, index=True),
    Column("username_skeleton", String(64)),
)
Index("watchword_users_username_skeleton_idx", users.c.username_skeleton, unique=True)

sessions: Table = Table(
    "watchword_sessions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, nullable=False, index=True),
    Column("r_hash", LargeBinary(32), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("answer", SmallInteger, nullable=False),
    Column("turned_at", UtcDateTime, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("follows_user", Boolean, nullable=False),
    Column("methods", Text, nullable=False),
    Column("auth_time", UtcDateTime, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, nullable=False),
    Column("idle_expires_at", UtcDateTime, nullable=False, index=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("access_expires_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("user_agent", Text),
    Column("ip", String(64)),
)
Index("watchword_sessions_closed_at_idx", sessions.c.closed_at)

feed: Table = Table(
    "watchword_feed",
    metadata,
    Column("position", BIG_SERIAL, primary_key=True, autoincrement=True),
    Column("session_id", ID, index=True),
    Column("generation", BigInteger, nullable=False),
    Column("expires_at", Float(53), nullable=False, index=True),
    sqlite_autoincrement=True,
)
"""Revocations in the order of their commits; a row without a session says that the signing keys changed."""

keys: Table = Table(
    "watchword_keys",
    metadata,
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("kid", String(64), nullable=False, unique=True),
    Column("alg", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("signs_from", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
)

facts: Table = Table(
    "watchword_facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""What is true once for the whole database: the check value of its master key, and the oldest code that may use it."""

hits: Table = Table(
    "watchword_hits",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("until", BigInteger, nullable=False, index=True),
)
"""Attempts: when all that were counted will have come back, in milliseconds since the epoch (GCRA's arrival time). And what
is remembered until then."""

single_use: Table = Table(
    "watchword_single_use",
    metadata,
    Column("purpose", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("until", UtcDateTime, nullable=False, index=True),
)
"""What may be used once. Using it is deleting its row."""

outbox: Table = Table(
    "watchword_outbox",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("recipient", String(254), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("queued_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False, index=True),
    Column("until", UtcDateTime, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("because", Text),
)
"""Mails that wait to be delivered. What they say is sealed: it may hold a link."""

service_accounts: Table = Table(
    "watchword_service_accounts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)
"""Owners of API keys that are nobody's: a job, a machine. They can't sign in."""

api_keys: Table = Table(
    "watchword_api_keys",
    metadata,
    Column("id", ID, primary_key=True),
    Column("owner_id", ID, nullable=False, index=True),
    Column("of_service_account", Boolean, nullable=False),
    Column("name", String(64), nullable=False),
    Column("shown", String(16), nullable=False),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("limit_per_minute", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, index=True),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime, index=True),
    Column("rotated_to", ID, index=True),
)
"""API keys, by the SHA-256 of their text. `rotated_to` is the successor of one that ends when its overlap does."""

audit: Table = Table(
    "watchword_audit",
    metadata,
    Column("number", BIG_SERIAL, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("user_id", ID),
    Column("facts", Text, nullable=False),
    Column("personal", Text),
    Column("salt", LargeBinary(32)),
    Column("personal_hash", LargeBinary(32)),
    Column("position", BigInteger, unique=True),
    Column("hash", LargeBinary(32)),
    sqlite_autoincrement=True,
)
"""Every event, as core/audit says. A row has no position until it is sealed; after that only its personal fields may go."""

Index("watchword_audit_user_id_number_idx", audit.c.user_id, audit.c.number)
Index("watchword_audit_kind_number_idx", audit.c.kind, audit.c.number)
Index(
    "watchword_audit_unsealed_idx",
    audit.c.number,
    sqlite_where=audit.c.position.is_(None),
    postgresql_where=audit.c.position.is_(None),
)

audit_checkpoints: Table = Table(
    "watchword_audit_checkpoints",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("kid", String(64), nullable=False),
    Column("signed", Text, nullable=False),
)
"""Signatures over the chain up to a position; the newest is over all of it."""

roles: Table = Table(
    "watchword_roles",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("scopes", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("removed", Boolean, nullable=False),
)
"""Roles. A removed one stays, so that its generation goes on where the name is given again."""

memberships: Table = Table(
    "watchword_user_roles",
    metadata,
    Column("user_id", ID, primary_key=True),
    Column("role", String(64), primary_key=True),
    Column("applied", BigInteger, nullable=False),
)
"""Who has which role, and the role's generation that the user's scopes follow already."""
Index("watchword_user_roles_members_idx", memberships.c.role, memberships.c.user_id)
Index("watchword_user_roles_applied_idx", memberships.c.role, memberships.c.applied)

grants: Table = Table(
    "watchword_user_grants",
    metadata,
    Column("user_id", ID, primary_key=True),
    Column("scopes", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("unsettled_since", UtcDateTime, index=True),
)
"""The scopes that were granted directly to whoever has, or had, a role; and whether the user's scopes follow already."""
