"""What Watchword asks of the customers: scopes, and an epoch that rises when all sessions of somebody end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Two columns; every row stays as it is."""
    op.add_column("people", sa.Column("scopes", sa.String(), nullable=False, server_default=""))
    op.add_column("people", sa.Column("epoch", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Take them away."""
    with op.batch_alter_table("people") as people:
        people.drop_column("epoch")
        people.drop_column("scopes")
