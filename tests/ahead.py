"""A database as the next migration may leave it: more of everything, and nothing less."""

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from watchword.stores.sql.tables import metadata

AHEAD = "9999"


def bring_ahead(connection: Connection) -> None:
    """A column that may be null and one with a default in each table, an index on it, another table, a trigger."""
    op = Operations(MigrationContext.configure(connection))
    for name in metadata.tables:
        op.add_column(name, sa.Column("hue", sa.Text))
        op.add_column(name, sa.Column("shade", sa.Integer, nullable=False, server_default="7"))
        op.create_index(f"{name}_hue_idx", name, ["hue"])
    op.create_table("watchword_hues", sa.Column("id", sa.Integer, primary_key=True))
    for statement in TRIGGERS[connection.dialect.name]:
        connection.execute(text(statement))
    connection.execute(text(f"UPDATE watchword_schema SET version_num = '{AHEAD}'"))


TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER watchword_hue AFTER INSERT ON watchword_sessions "
        "BEGIN INSERT INTO watchword_hues VALUES (NULL); END"
    ],
    "postgresql": [
        "CREATE SEQUENCE watchword_hue_id",
        "CREATE FUNCTION watchword_hue() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO watchword_hues VALUES (nextval(''watchword_hue_id'')); RETURN NULL; END'",
        "CREATE TRIGGER watchword_hue AFTER INSERT ON watchword_sessions FOR EACH ROW EXECUTE FUNCTION watchword_hue()",
    ],
}
"""What notes something of its own beside what the code of before writes."""
