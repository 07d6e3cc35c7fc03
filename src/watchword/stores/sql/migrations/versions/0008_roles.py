"""Roles, who has them, and the scopes that were granted directly to whoever has one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add three tables, of which code of before knows nothing."""
    op.create_table(
        "watchword_roles",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("name", name="watchword_roles_pkey"),
    )
    op.create_table(
        "watchword_user_roles",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("applied", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role", name="watchword_user_roles_pkey"),
    )
    op.create_index("watchword_user_roles_members_idx", "watchword_user_roles", ["role", "user_id"])
    op.create_index("watchword_user_roles_applied_idx", "watchword_user_roles", ["role", "applied"])
    op.create_table(
        "watchword_user_grants",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("unsettled_since", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", name="watchword_user_grants_pkey"),
    )
    op.create_index("watchword_user_grants_unsettled_since_idx", "watchword_user_grants", ["unsettled_since"])


def downgrade() -> None:
    """Drop them; accounts keep the scopes that they had by their roles."""
    for name in ("watchword_user_grants", "watchword_user_roles", "watchword_roles"):
        op.drop_table(name)
