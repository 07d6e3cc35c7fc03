"""What a database that is away, locked, damaged or full is known by, or that it can't write a text. Any other exception is a
mistake of ours: a 500 with its trace in the log, and no reason to come again later."""

import contextlib
import sqlite3
import sys
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from watchword.core.errors import Unavailable

ANYWHERE = (
    PoolTimeoutError,
    DBAPIError,
    EmulatedDBAPIException,
    sqlite3.Error,
    OSError,
    UnicodeEncodeError,
    MemoryError,
)
"""`EmulatedDBAPIException` is SQLAlchemy's form of asyncpg's faults, bare where one of its raw connections is opened:
PostgreSQL starts up or shuts down, or has too many clients. `MemoryError` is SQLite's form of having found no memory."""

NO_THREAD = "can't start new thread"
"""Python's `RuntimeError` where the system gives no more of them: each of SQLite's connections has one, and host names are
looked up in one."""


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turn the faults of SQLAlchemy, of the drivers and of the network into `Unavailable`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (*ANYWHERE, *_of_asyncpg())) and str(error) != NO_THREAD:
            raise
        raise Unavailable(f"the database failed: {type(getattr(error, 'orig', None) or error).__name__}") from error


def _of_asyncpg() -> tuple[type[Exception], ...]:
    """The roots of its exceptions, where it is installed and at work."""
    asyncpg = sys.modules.get("asyncpg")
    return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) if asyncpg else ()
