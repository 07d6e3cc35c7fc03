"""PostgreSQL tells whoever listens of each row of the feed. Code of before is heard too, since the database tells."""

from alembic import op
from sqlalchemy import text

from watchword.stores.sql.tables import schema_of

revision = "0004"
down_revision = "0003"

FUNCTION = """
CREATE FUNCTION {schema}watchword_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(
        'watchword_feed',
        concat_ws(' ', coalesce(NEW.session_id, '-'), NEW.generation, NEW.expires_at)
    );
    RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER watchword_tell AFTER INSERT ON {schema}watchword_feed
FOR EACH ROW EXECUTE FUNCTION {schema}watchword_tell()
"""


def upgrade() -> None:
    """Add the trigger; SQLite's feed is polled."""
    _run(FUNCTION, TRIGGER)


def downgrade() -> None:
    """Remove it."""
    _run("DROP TRIGGER watchword_tell ON {schema}watchword_feed", "DROP FUNCTION {schema}watchword_tell()")


def _run(*statements: str) -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    moved = schema_of(connection)
    schema = connection.dialect.identifier_preparer.quote_schema(moved) + "." if moved else ""
    for statement in statements:
        connection.execute(text(statement.format(schema=schema)))
