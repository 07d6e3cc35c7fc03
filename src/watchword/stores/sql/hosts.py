"""What an application's own tables and transactions may touch of ours. Its front door is `watchword.sql`."""

from collections.abc import MutableMapping
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.core.models import Revoked
from watchword.stores.sql import sessions
from watchword.stores.sql.tables import users

__all__ = ["PREFIX", "change_session_scopes", "end_sessions", "include_name", "users"]

PREFIX = "watchword_"
"""Every table, index and constraint of ours begins with it."""

Kind = Literal["schema", "table", "column", "index", "unique_constraint", "foreign_key_constraint", "check_constraint"]


def include_name(
    name: str | None,
    type_: Kind,
    parent_names: MutableMapping[Literal["schema_name", "table_name", "schema_qualified_table_name"], str | None],  # noqa: ARG001
) -> bool:
    """For `context.configure(include_name=…)` in an application's Alembic: its autogenerate leaves our tables alone.

    They have migrations of their own, which `watchword migrate` runs (on a loopback issuer the start does).
    """
    return type_ != "table" or not (name or "").startswith(PREFIX)


async def end_sessions(
    connection: AsyncConnection, user_id: str, now: datetime, *, keep: str | None = None
) -> tuple[Revoked, ...]:
    """Close the live sessions of a user, all but `keep`, and revoke their access tokens, in the caller's transaction.

    Call it after the change of the account (disable, delete, new password) and before the commit, and return its answer
    from the verb of `Users`: then a session that is opened at the same time is either ended here, or refused because its
    login reads the changed account. Raises ConfigError for a PostgreSQL transaction that is not READ COMMITTED: it would
    miss such a session.
    """
    return await sessions.end_all(connection, user_id, now, keep=keep)


async def change_session_scopes(
    connection: AsyncConnection, user_id: str, scopes: frozenset[str], now: datetime
) -> tuple[Revoked, ...]:
    """Let the live sessions of a user follow what the user may do now, in the caller's transaction.

    The present access tokens of the sessions that change are revoked; a refresh brings new ones. Raises ConfigError as
    `end_sessions` does.
    """
    return await sessions.change_scopes(connection, user_id, scopes, now)
