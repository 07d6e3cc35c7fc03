"""Sessions no longer point to our table of users: a host may bring its own."""

from alembic import op

revision = "0002"
down_revision = "0001"

FOREIGN_KEY = "watchword_sessions_user_id_fkey"


def upgrade() -> None:
    """Drop the foreign key. SQLite makes the table anew and keeps its rows."""
    with op.batch_alter_table("watchword_sessions") as sessions:
        sessions.drop_constraint(FOREIGN_KEY, type_="foreignkey")


def downgrade() -> None:
    """Put it back; sessions of users that are not ours go first."""
    op.execute("DELETE FROM watchword_sessions WHERE user_id NOT IN (SELECT id FROM watchword_users)")
    with op.batch_alter_table("watchword_sessions") as sessions:
        sessions.create_foreign_key(FOREIGN_KEY, "watchword_users", ["user_id"], ["id"], ondelete="CASCADE")
