"""Users, sessions, the feed of revocations, signing keys, facts.

Frozen: a migration never imports the tables of today.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.String(64)
BIG_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def instant(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    """A column with an instant."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Make everything."""
    op.create_table(
        "watchword_users",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("username", sa.String(64)),
        sa.Column("password_hash", sa.Text),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        instant("created_at"),
        instant("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="watchword_users_pkey"),
        sa.UniqueConstraint("email", name="watchword_users_email_key"),
        sa.UniqueConstraint("username", name="watchword_users_username_key"),
    )
    op.create_table(
        "watchword_sessions",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("r_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.SmallInteger, nullable=False),
        instant("turned_at"),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("follows_user", sa.Boolean, nullable=False),
        sa.Column("methods", sa.Text, nullable=False),
        instant("auth_time"),
        sa.Column("client_id", sa.Text, nullable=False),
        instant("created_at"),
        instant("used_at"),
        instant("idle_expires_at"),
        instant("expires_at"),
        instant("access_expires_at"),
        instant("closed_at", nullable=True),
        sa.Column("user_agent", sa.Text),
        sa.Column("ip", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="watchword_sessions_pkey"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["watchword_users.id"], name="watchword_sessions_user_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("watchword_sessions_user_id_idx", "watchword_sessions", ["user_id"])
    op.create_index("watchword_sessions_idle_expires_at_idx", "watchword_sessions", ["idle_expires_at"])
    op.create_index("watchword_sessions_closed_at_idx", "watchword_sessions", ["closed_at"])
    op.create_table(
        "watchword_feed",
        sa.Column("position", BIG_SERIAL, nullable=False, autoincrement=True),
        sa.Column("session_id", ID),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("position", name="watchword_feed_pkey"),
        sqlite_autoincrement=True,
    )
    op.create_index("watchword_feed_session_id_idx", "watchword_feed", ["session_id"])
    op.create_index("watchword_feed_expires_at_idx", "watchword_feed", ["expires_at"])
    op.create_table(
        "watchword_keys",
        sa.Column("generation", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("kid", sa.String(64), nullable=False),
        sa.Column("alg", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        instant("created_at"),
        instant("signs_from"),
        instant("retired_at", nullable=True),
        sa.PrimaryKeyConstraint("generation", name="watchword_keys_pkey"),
        sa.UniqueConstraint("kid", name="watchword_keys_kid_key"),
    )
    op.create_table(
        "watchword_facts",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="watchword_facts_pkey"),
    )


def downgrade() -> None:
    """Drop everything."""
    for name in ("facts", "keys", "feed", "sessions", "users"):
        op.drop_table(f"watchword_{name}")
