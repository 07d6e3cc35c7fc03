"""Mails that wait to be delivered, and what owners change of their accounts."""

import sqlalchemy as sa
from alembic import op

from watchword.stores.sql.tables import schema_of

revision = "0005"
down_revision = "0004"

NEW = ("email_verified_at", "language", "profile", "deletes_at")


def upgrade() -> None:
    """Add the outbox, and columns that code of before leaves alone."""
    moment = sa.DateTime(timezone=True)
    with op.batch_alter_table("watchword_users", schema=schema_of(op.get_bind())) as users:
        users.add_column(sa.Column("email_verified_at", moment))
        users.add_column(sa.Column("language", sa.String(35)))
        users.add_column(sa.Column("profile", sa.Text))
        users.add_column(sa.Column("deletes_at", moment))
    op.create_index("watchword_users_deletes_at_idx", "watchword_users", ["deletes_at"])
    op.create_table(
        "watchword_outbox",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("queued_at", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("because", sa.Text),
        sa.PrimaryKeyConstraint("id", name="watchword_outbox_pkey"),
    )
    op.create_index("watchword_outbox_recipient_idx", "watchword_outbox", ["recipient"])
    op.create_index("watchword_outbox_due_at_idx", "watchword_outbox", ["due_at"])
    op.create_index("watchword_outbox_until_idx", "watchword_outbox", ["until"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("watchword_outbox")
    op.drop_index("watchword_users_deletes_at_idx", "watchword_users")
    with op.batch_alter_table("watchword_users", schema=schema_of(op.get_bind())) as users:
        for name in reversed(NEW):
            users.drop_column(name)
