"""What to do about a database that fails: from the fault's name to words for the person at the keyboard."""

from watchword.core.errors import Unavailable

PLACE = "look at WATCHWORD_DATABASE_URL"
CURES = {
    # SQLite, by the beginning of its own name for the fault
    "SQLITE_CANTOPEN": f"the file can't be opened; {PLACE}: its folder must be there, and be writable for this user",
    "SQLITE_READONLY": "the file, or its folder, is not writable for this user",
    "SQLITE_BUSY": "another program holds its lock; try again, and close what has the file open",
    "SQLITE_LOCKED": "another program holds its lock; try again, and close what has the file open",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the disk can't be read or written",
    "SQLITE_NOTADB": f"the file is not a SQLite database; {PLACE}, or put a backup in its place",
    "SQLITE_CORRUPT": "the file is damaged; put a backup in its place",
    # PostgreSQL and the network, by the name of the exception
    "ConnectionRefusedError": f"nothing answers there; start the database, or {PLACE}",
    "gaierror": f"its host is not known; {PLACE}",
    "TimeoutError": f"it does not answer in time; {PLACE}",
    "InvalidCatalogNameError": f"there is no database of that name; make it (createdb), or {PLACE}",
    "InvalidPasswordError": f"it refuses the user or the password; {PLACE}",
    "InvalidAuthorizationSpecificationError": f"it refuses the user; {PLACE}",
    "InsufficientPrivilegeError": "its user may not do this; grant it the rights, or name another in WATCHWORD_DATABASE_URL",
    "TooManyConnectionsError": "it has no connection left; raise its max_connections, or run fewer workers",
}


def database(error: Unavailable) -> str | None:
    """The text for a database that failed; None when it was not the database."""
    failed = error.__cause__
    if failed is None:
        return None
    name = _name(failed)
    cure = next(
        (cure for start, cure in CURES.items() if name.startswith(start)), f"{PLACE}, and at the database's log"
    )
    return f"The database is not available: {cure}. ({name})"


def _name(failed: BaseException) -> str:
    """What the database itself calls the fault: beneath what its drivers make of it."""
    fault: BaseException = getattr(failed, "orig", None) or failed
    while type(fault).__name__ not in CURES and fault.__cause__ is not None:
        fault = fault.__cause__
    return str(getattr(fault, "sqlite_errorname", None) or type(fault).__name__)
