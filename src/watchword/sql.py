"""For applications that use SQLAlchemy too: our users to point foreign keys at, what ends sessions, what Alembic leaves alone.

Nothing here is needed to use Watchword; it loads SQLAlchemy, so it is not part of the front door.
"""

from watchword.stores.sql.hosts import change_session_scopes, end_sessions, include_name, users

__all__ = ["change_session_scopes", "end_sessions", "include_name", "users"]
