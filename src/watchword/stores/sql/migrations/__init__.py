"""Alembic's migrations, shipped in the wheel and run by `stores/sql/migrate.py`."""
