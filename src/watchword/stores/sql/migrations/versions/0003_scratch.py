"""Counted attempts, and what may be used once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "watchword_hits",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="watchword_hits_pkey"),
    )
    op.create_index("watchword_hits_until_idx", "watchword_hits", ["until"])
    op.create_table(
        "watchword_single_use",
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "key", name="watchword_single_use_pkey"),
    )
    op.create_index("watchword_single_use_until_idx", "watchword_single_use", ["until"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("watchword_single_use")
    op.drop_table("watchword_hits")
