"""What a database that is away, locked, damaged or full is known by, or that it can't write a text. Any other exception is a
mistake of ours: a 500 with its trace in the log, and no reason to come again later."""

import contextlib
import sqlite3
import sys
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from watchword.core.errors import Unavailable

ANYWHERE = (PoolTimeoutError, DBAPIError, sqlite3.Error, OSError, TimeoutError, UnicodeEncodeError)


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turn the faults of SQLAlchemy, of the drivers and of the network into `Unavailable`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (*ANYWHERE, *_of_asyncpg())):
            raise
        raise Unavailable(f"the database failed: {type(getattr(error, 'orig', None) or error).__name__}") from error


def _of_asyncpg() -> tuple[type[Exception], ...]:
    """The roots of its exceptions, where it is installed and at work."""
    asyncpg = sys.modules.get("asyncpg")
    return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) if asyncpg else ()
