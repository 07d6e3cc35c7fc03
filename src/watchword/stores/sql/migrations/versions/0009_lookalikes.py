"""What a username looks like, once in the database. Names that looked alike before keep both, and then only one is guarded."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from watchword.core import lookalikes
from watchword.stores.sql.tables import schema_of

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column, fill it, and make it unique."""
    with op.batch_alter_table("watchword_users", schema=schema_of(op.get_bind())) as users:
        users.add_column(sa.Column("username_skeleton", sa.String(64)))
    connection = op.get_bind()
    columns: list[Any] = [sa.column(name) for name in ("id", "username", "username_skeleton")]
    accounts = sa.table("watchword_users", *columns, schema=schema_of(op.get_bind()))
    named = (
        sa.select(accounts.c.id, accounts.c.username).where(accounts.c.username.is_not(None)).order_by(accounts.c.id)
    )
    first: dict[str, str] = {}
    for row in connection.execute(named):
        first.setdefault(lookalikes.skeleton(row.username), row.id)
    fill = accounts.update().where(accounts.c.id == sa.bindparam("whose"))
    if first:
        connection.execute(
            fill.values(username_skeleton=sa.bindparam("seen")),
            [{"whose": user_id, "seen": seen} for seen, user_id in first.items()],
        )
    op.create_index(
        "watchword_users_username_skeleton_idx",
        "watchword_users",
        ["username_skeleton"],
        unique=True,
        schema=schema_of(op.get_bind()),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_index("watchword_users_username_skeleton_idx", "watchword_users", schema=schema_of(op.get_bind()))
    with op.batch_alter_table("watchword_users", schema=schema_of(op.get_bind())) as users:
        users.drop_column("username_skeleton")
