"""The audit log, and the signatures over it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

BIG_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "watchword_audit",
        sa.Column("number", BIG_SERIAL, autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64)),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("personal", sa.Text),
        sa.Column("salt", sa.LargeBinary(32)),
        sa.Column("personal_hash", sa.LargeBinary(32)),
        sa.Column("position", sa.BigInteger),
        sa.Column("hash", sa.LargeBinary(32)),
        sa.PrimaryKeyConstraint("number", name="watchword_audit_pkey"),
        sa.UniqueConstraint("position", name="watchword_audit_position_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("watchword_audit_user_id_number_idx", "watchword_audit", ["user_id", "number"])
    op.create_index("watchword_audit_kind_number_idx", "watchword_audit", ["kind", "number"])
    unsealed = sa.text("position IS NULL")
    op.create_index(
        "watchword_audit_unsealed_idx",
        "watchword_audit",
        ["number"],
        sqlite_where=unsealed,
        postgresql_where=unsealed,
    )
    op.create_table(
        "watchword_audit_checkpoints",
        sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kid", sa.String(64), nullable=False),
        sa.Column("signed", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="watchword_audit_checkpoints_pkey"),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("watchword_audit_checkpoints")
    op.drop_table("watchword_audit")
