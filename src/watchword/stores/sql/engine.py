"""One database, reached from whichever event loop asks.

A transaction that writes takes the lock first, so SQLite never has to refuse one halfway. An engine belongs to one event
loop: the lifespan's, or a loop of our own in a thread when no lifespan ran (a mounted application, `TestClient(app)`
without `with`); a verb that is called on another loop travels there and back.
"""

import asyncio
import contextlib
import functools
import importlib
import inspect
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import aiosqlite
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from watchword.core.errors import ConfigError
from watchword.stores.sql import kept, trips
from watchword.stores.sql.checkpoints import AT_LAST, Checkpoints
from watchword.stores.sql.faults import unavailable
from watchword.stores.sql.kept import Kept

NAME = "WATCHWORD_DATABASE_URL"
FEED_NAME = "WATCHWORD_FEED_DATABASE_URL"

BUSY_TIMEOUT_MS = 10_000
TURN_SECONDS = 10.0
"""How long a writer waits for the writers before it. While somebody else holds SQLite's lock each of them waits for it in
full, so the tenth in the row would be told after a hundred seconds."""

POOL_SECONDS = 3.0
"""How long a request waits for a free connection before it is told to come again."""

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""How long PostgreSQL may take for a verb: a network that swallows everything breaks no connection."""

ISOLATION = "READ COMMITTED"
"""PostgreSQL's own default, which an administrator may change: who waits for a lock must see what was committed meanwhile."""

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}

OPTIONS = ("prepared_statement_cache_size", "prepared_statement_name_func")
"""What SQLAlchemy itself takes from the URL of an asyncpg engine."""

NUMBERS: dict[str, Callable[[str], float]] = {
    "timeout": float,
    "command_timeout": float,
    "statement_cache_size": int,
    "max_cached_statement_lifetime": int,
    "max_cacheable_statement_size": int,
}

FileIdentity = tuple[int, int]

P = ParamSpec("P")
R = TypeVar("R")


class Database:
    """A connection pool with the two kinds of transaction that the verbs use: one of our own, or the host's."""

    def __init__(self, url: str, *, hosts: AsyncEngine | None = None) -> None:
        self.url: URL = parse(url)
        self.is_sqlite: bool = self.url.get_backend_name() == "sqlite"
        self._hosts = hosts
        self.engine: AsyncEngine = self._make()
        self.kept: dict[str, Kept] = self._keep()
        self.home: asyncio.AbstractEventLoop | None = None
        self._writing = _Turns()
        self._working: set[asyncio.Task[Any]] = set()
        self._checkpoints: Checkpoints | None = self._check()
        self._retire: weakref.finalize[..., Any] | None = None

    @classmethod
    def of_host(cls, engine: object) -> "Database":
        """The database of an application's own engine, which stays the application's: it is never disposed of here.

        Raises ConfigError for an engine that is synchronous, has another driver or one connection for all, or keeps its
        database in memory.
        """
        if isinstance(engine, Engine):
            raise ConfigError(
                "Auth(engine=…) takes an AsyncEngine. Beside a synchronous engine give Watchword a pool of its own on the "
                "same database: Auth(Settings(database_url=engine.url.render_as_string(hide_password=False)))."
            )
        if not isinstance(engine, AsyncEngine):
            raise ConfigError("Auth(engine=…) takes SQLAlchemy's AsyncEngine, from create_async_engine(…).")
        if engine.url.drivername not in DRIVERS.values():
            raise ConfigError(
                f"Auth(engine=…): the driver {engine.url.drivername} is not supported. "
                f"Use {' or '.join(sorted(set(DRIVERS.values())))}."
            )
        made = cls(engine.url.render_as_string(hide_password=False), hosts=engine)
        if isinstance(engine.pool, StaticPool):
            raise ConfigError(
                "Auth(engine=…): StaticPool gives everybody one connection, so your transactions and Watchword's would "
                "commit and roll back each other. Leave poolclass out, or take NullPool."
            )
        return made

    def leads_to(self, url: str) -> bool:
        """Whether `url` names this same database, whoever signs in to it."""
        return _place(parse(url)) == _place(self.url)

    @property
    def path(self) -> Path | None:
        """The SQLite file, or None for PostgreSQL."""
        return Path(str(self.url.database)) if self.is_sqlite else None

    @property
    def public_url(self) -> str:
        """The URL without its password and its query, which may hold one too; for logs."""
        return self.url.set(query={}).render_as_string(hide_password=True)

    def settle(self, *, here: bool) -> None:
        """Choose the loop that the engine lives on: the running one (`here`), or one of our own in a thread.

        A host's engine is used on whichever loop asks, as the host itself uses it.
        """
        if self._hosts is not None:
            return
        if here:
            self.home = asyncio.get_running_loop()
            return
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_live, args=(loop,), name="watchword-database", daemon=True)
        thread.start()
        self.home = loop
        self._retire = weakref.finalize(self, _shut_down, loop, thread, self.engine, self.kept, self._checkpoints)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that stays as long as this is open: the engine's, or (with a host's engine) the running one."""
        return self.home or asyncio.get_running_loop()

    async def call(self, work: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Run `work` on the engine's own loop, to its end, also when whoever asked is cancelled.

        SQLAlchemy throws the connection of a cancelled statement away; a cursor of it, in a cycle with the traceback, would
        keep SQLite's lock until the garbage collector comes by, and nobody could write until then.
        """
        loop = asyncio.get_running_loop()
        if self.home is None or self.home is loop:
            task = loop.create_task(work())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
            return await asyncio.shield(task)
        return await asyncio.shield(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self.home)))

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement that only reads."""
        async with self.engine.connect() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds SQLite's write lock from its first moment; it commits when the block ends well."""
        async with self.writing(), self.engine.connect() as connection:
            await connection.execution_options(**self._writing_options())
            async with connection.begin():
                if self.is_sqlite and self._hosts is not None:
                    await _begin_anew(connection)
                yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Until its end nobody else of this process writes to SQLite, who waited for it or not."""
        if not self.is_sqlite:
            yield
            return
        async with self._writing.take():
            yield
        if self._checkpoints is not None:
            self._checkpoints.due()

    async def checkpoint(self) -> None:
        """Bring what was written on SQLite into the file. A host's engine does it in its own way, PostgreSQL by itself."""
        if self._checkpoints is not None:
            await self._checkpoints.take()

    @property
    def is_hosts(self) -> bool:
        """Whether the engine is the application's, which may watch each statement and begin transactions in its own way."""
        return self._hosts is not None

    async def close(self) -> None:
        """Let what is at work come to its end, and give every connection back."""
        if self._checkpoints is not None:
            self._checkpoints.end()
        if here := [task for task in self._working if task.get_loop() is asyncio.get_running_loop()]:
            await asyncio.wait(here, timeout=BUSY_TIMEOUT_MS / 1000)
        if self._retire is not None:
            retire, self._retire = self._retire, None
            await asyncio.to_thread(retire)
        elif self._hosts is None and (self.home is None or self.home is asyncio.get_running_loop()):
            for one in self.kept.values():
                await one.close()
            await self.engine.dispose()
        else:
            for one in self.kept.values():
                one.let_go()
        self.home = None
        self.engine = self._make()
        self.kept = self._keep()
        self._writing = _Turns()
        self._checkpoints = self._check()

    def aside(self, url: str | None = None) -> AsyncEngine:
        """An engine with connections of its own to the same database (by way of `url`, where one is given), for another event
        loop. Whoever asks disposes of it."""
        if url is not None:
            return _create(parse(url, FEED_NAME), is_sqlite=False, name=FEED_NAME)
        made = create_async_engine(self.url, pool=self.engine.pool.recreate(), hide_parameters=True)
        made = made.execution_options(**self.engine.get_execution_options())
        _silence(made.sync_engine)
        return made

    def _make(self) -> AsyncEngine:
        hosts = self._hosts and self._hosts.execution_options()  # the same pool, with a face of its own
        engine = hosts or _create(self.url, is_sqlite=self.is_sqlite)
        _silence(engine.sync_engine)
        return engine

    def _keep(self) -> dict[str, Kept]:
        if (path := self.path) is not None:
            return dict.fromkeys(kept.PURPOSES, Kept(self.engine, POOL_SECONDS, functools.partial(_is_of_file, path)))
        return {purpose: Kept(self.engine, POOL_SECONDS, _is_open) for purpose in kept.PURPOSES}

    def _check(self) -> Checkpoints | None:
        if not self.is_sqlite or self._hosts is not None:
            return None
        return Checkpoints(self.kept[kept.REFRESHES], self._writing.take, self._working)

    def _writing_options(self) -> dict[str, Any]:
        """A host's driver may begin transactions by itself, or isolate them otherwise than the verbs are written for."""
        if self._hosts is None:
            return {"watchword_writes": True}
        return {"isolation_level": "AUTOCOMMIT" if self.is_sqlite else ISOLATION}


class _Turns:
    """One writer at a time on each event loop: SQLite lets those wait badly who ask all at once."""

    def __init__(self) -> None:
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Be the running loop's one writer. Raises TimeoutError when those before take too long."""
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with asyncio.timeout(TURN_SECONDS):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()


class _HasDatabase(Protocol):
    _db: Database


S = TypeVar("S", bound=_HasDatabase)


def verb(
    method: Callable[Concatenate[S, P], Awaitable[R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A verb of a port: runs on the engine's loop, and a database that fails is `Unavailable`, not a traceback."""

    @functools.wraps(method)
    async def called(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        async def work() -> R:
            with unavailable():
                async with asyncio.timeout(None if self._db.is_sqlite else ANSWER_SECONDS):
                    return await method(self, *args, **kwargs)

        return await self._db.call(work)

    return cast("Callable[Concatenate[S, P], Coroutine[Any, Any, R]]", called)


def parse(text: str, name: str = NAME) -> URL:
    """The URL with the driver that is used, and with the whole path of a file: the process may change its directory.

    Raises ConfigError for what is neither SQLite in a file nor PostgreSQL.
    """
    try:
        text.encode()
        url = make_url(text)
    except (ArgumentError, SQLAlchemyError, ValueError):
        raise ConfigError(
            f"{name} is not a database URL. Write sqlite:///path/to/file.db or postgresql://user:password@host/name."
        ) from None
    if url.port is not None and not 0 < url.port < 2**16:
        raise ConfigError(f"{name}: there is no such port. Write a number from 1 to 65535, or leave it out.")
    backend = url.drivername.partition("+")[0]
    if backend not in DRIVERS:
        raise ConfigError(f"{name}: {backend} is not supported. Use sqlite or postgresql.")
    if backend == "sqlite" and (not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"):
        raise ConfigError(
            f"{name}: a database in memory is lost with its worker and not seen by the next one. "
            "Name a file: sqlite:///watchword.db (in tests, one below tmp_path)."
        )
    database = str(Path(str(url.database)).absolute()) if backend == "sqlite" else url.database
    return url.set(drivername=DRIVERS[backend], database=database)


def _place(url: URL) -> tuple[object, ...]:
    if url.get_backend_name() == "sqlite":
        return ("sqlite", Path(str(url.database)).absolute())
    return ("postgresql", url.host or "localhost", url.port or 5432, url.database)


def identity(path: Path) -> FileIdentity:
    """Which file the path leads to now: a restored backup is another one. Raises FileNotFoundError."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _create(url: URL, *, is_sqlite: bool, name: str = NAME) -> AsyncEngine:
    try:
        if is_sqlite:
            return _create_sqlite(url)
        engine = create_async_engine(
            url,
            pool_size=10,
            max_overflow=10 - len(kept.PURPOSES) * kept.MOST,
            pool_timeout=POOL_SECONDS,
            hide_parameters=True,
            isolation_level=ISOLATION,
            connect_args={"timeout": CONNECT_SECONDS, **_numbers(url, name)},
        )
        options = engine.dialect.create_connect_args(engine.url)[1]
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install {error.name}") from error
    except (ArgumentError, ValueError):
        raise ConfigError(f"{name}: what stands behind the ? can't be read.") from None
    _refuse_unknown(options, name)
    return engine


def _numbers(url: URL, name: str) -> dict[str, float]:
    """What stands behind the `?` is text, and asyncpg wants numbers for some of it. Raises ConfigError for another text."""
    found: dict[str, float] = {}
    for option, kind in NUMBERS.items():
        if option in url.query:
            try:
                found[option] = kind(str(url.query[option]))
            except ValueError:
                raise ConfigError(f"{name}: {option} is a number.") from None
    return found


def _refuse_unknown(options: Iterable[str], name: str) -> None:
    """What stands behind the `?` goes to asyncpg, which spells it otherwise than libpq, and raises TypeError."""
    known = {*inspect.signature(importlib.import_module("asyncpg").connect).parameters, *OPTIONS}
    unknown = sorted(set(options) - known)
    if unknown:
        hint = "Write ssl=require for sslmode=require. " if "sslmode" in unknown else ""
        raise ConfigError(
            f"{name}: asyncpg has no option {', '.join(unknown)}. {hint}"
            "Its options are the parameters of asyncpg.connect."
        )


def _create_sqlite(url: URL) -> AsyncEngine:
    path = Path(str(url.database))
    engine = create_async_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
        connect_args={
            "isolation_level": None,
            "timeout": BUSY_TIMEOUT_MS / 1000,
            "async_creator_fn": _open_sqlite,
        },
    )
    event.listen(engine.sync_engine, "connect", functools.partial(_prepare_sqlite, path))
    event.listen(engine.sync_engine, "checkout", functools.partial(_check_file, path))
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _silence(engine: Engine) -> None:
    """Whoever turns logging up, for a moment or for good, must not find password hashes in the log.

    SQLAlchemy writes parameters at INFO (`echo=True`) and rows at DEBUG, aiosqlite parameters at DEBUG. A level that was
    chosen for aiosqlite's own logger stays.
    """
    engine.hide_parameters = True
    engine._should_log_debug = _never  # type: ignore[method-assign]
    driver = logging.getLogger("aiosqlite")
    if driver.level == logging.NOTSET:
        driver.setLevel(logging.INFO)


def _never() -> bool:
    return False


async def _begin_anew(connection: AsyncConnection) -> None:
    """Take the lock first. A host's listener may have begun already, and held nothing: SQLAlchemy's recipe for SQLite does."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if driver.in_transaction:
        await connection.exec_driver_sql("ROLLBACK")
    await connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _open_sqlite(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    """A connection. When it fails, its thread has a last word for the event loop: it must not come after the loop's end."""
    connection = trips.connect(*arguments, **options)
    thread = connection._thread
    thread.daemon = True
    try:
        return await connection
    except BaseException:
        if thread.ident is not None:  # else there was no thread to be had
            await asyncio.to_thread(thread.join)
        raise


def _prepare_sqlite(path: Path, connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"wal_autocheckpoint={AT_LAST}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    record.info["file"] = identity(path)


def _check_file(path: Path, _connection: object, record: Any, _proxy: object) -> None:
    """A connection to a file that was replaced would go on reading and writing what nobody else sees."""
    if record.info["file"] != identity(path):
        raise DisconnectionError("the database's file was replaced")


def _is_of_file(path: Path, one: kept.One) -> bool:
    with contextlib.suppress(OSError):  # it is gone, or nobody may look at it any more
        return bool(one.info["file"] == identity(path))
    return False


def _is_open(one: kept.One) -> bool:
    return not one.driver.is_closed()


def _begin_sqlite(connection: Connection) -> None:
    """Write transactions take the lock first; a single reading statement needs no transaction."""
    if connection.get_execution_options().get("watchword_writes"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _live(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _shut_down(
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    engine: AsyncEngine,
    kept: dict[str, Kept],
    checkpoints: Checkpoints | None,
) -> None:
    """End a loop of our own, after what is at work there. Where that work was the last to hold the database, this runs in
    the loop's own thread, which can't wait for itself."""
    ending = asyncio.run_coroutine_threadsafe(_end(engine, kept, checkpoints), loop)
    ending.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
    if threading.current_thread() is not thread:
        thread.join(timeout=BUSY_TIMEOUT_MS / 1000 + 5)


async def _end(engine: AsyncEngine, kept: dict[str, Kept], checkpoints: Checkpoints | None) -> None:
    if checkpoints is not None:
        checkpoints.end()
    if at_work := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(at_work, timeout=BUSY_TIMEOUT_MS / 1000)
    for one in kept.values():
        await one.close()
    with contextlib.suppress(Exception):
        await engine.dispose()
