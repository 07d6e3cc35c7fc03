"""SQLite and PostgreSQL, one code. The only place that knows SQLAlchemy."""
