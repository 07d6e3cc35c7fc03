"""API keys, and the service accounts that some of them belong to."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "watchword_service_accounts",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="watchword_service_accounts_pkey"),
    )
    op.create_table(
        "watchword_api_keys",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("of_service_account", sa.Boolean, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("shown", sa.String(16), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("limit_per_minute", sa.Integer),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("rotated_to", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="watchword_api_keys_pkey"),
        sa.UniqueConstraint("hash", name="watchword_api_keys_hash_key"),
    )
    for column in ("owner_id", "expires_at", "revoked_at", "rotated_to"):
        op.create_index(f"watchword_api_keys_{column}_idx", "watchword_api_keys", [column])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("watchword_api_keys")
    op.drop_table("watchword_service_accounts")
