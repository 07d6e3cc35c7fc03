"""Alembic's entry: runs on the connection that `stores/sql/migrate.py` hands over."""

from alembic import context

from watchword.stores.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="watchword_schema",
    transaction_per_migration=False,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
