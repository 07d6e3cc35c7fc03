"""The shortest way to a database: a refresh is one statement and one trip on PostgreSQL, and shares its commit on SQLite."""

import asyncio
import contextlib
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from tests.house import PATIENCE
from tests.servers import PostgresServer
from tests.services import until

from watchword.core.errors import Unavailable
from watchword.core.models import Session
from watchword.core.opaque import Presented
from watchword.ports import Limit, NewUser, Turn, Turned
from watchword.stores.sql import engine, hot, kept, turning
from watchword.stores.sql.engine import Database
from watchword.stores.sql.kept import REFRESHES
from watchword.stores.sql.scratch import SqlScratch
from watchword.stores.sql.sessions import END, GET, OVER, SqlSessions, keep_out
from watchword.stores.sql.tables import feed, sessions
from watchword.stores.sql.users import SqlUsers
from watchword.testing import FrozenClock

NOW = FrozenClock().now()
LATER = NOW + timedelta(days=1)
R = b"r" * 32
LIFETIMES = {"grace": timedelta(seconds=30), "idle": timedelta(days=1), "access_ttl": timedelta(minutes=10)}
CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def session(name: str) -> Session:
    return Session(
        name, "u", 0, frozenset(), True, frozenset({"pwd"}), NOW, "first-party", NOW, NOW, LATER, LATER, LATER, None, None
    )  # fmt: skip


async def turn(store: SqlSessions, name: str, generation: int) -> Turned:
    return await store.turn(Presented(name, generation, R), NOW, **LIFETIMES)


async def opened(url: str) -> AsyncIterator[Database]:
    made = Database(url)
    made.settle(here=True)
    yield made
    await made.close()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async for made in opened(database_url):
        yield made


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    async for made in opened(sqlite_url):
        yield made


@pytest.fixture
async def postgres(postgres_server: PostgresServer, postgres_template: str) -> AsyncIterator[Database]:
    url = postgres_server.create_database(postgres_template)
    async for made in opened(url):
        yield made
    postgres_server.drop_database(url)


async def test_as_many_as_come_are_turned(db: Database) -> None:
    """More than there are connections, and each its own session: nobody gets another's answer."""
    store = SqlSessions(db)
    names = [f"s{number}" for number in range(4 * kept.MOST)]
    for name in names:
        await store.open(session(name), R)
    turned = await asyncio.gather(*(turn(store, name, 0) for name in names))
    assert [(one.answer, one.session and one.session.id) for one in turned] == [(Turn.TURNED, name) for name in names]


async def test_a_copy_in_a_crowd_closes_its_session_alone(db: Database) -> None:
    """RF-02: the thief's old token comes among many good ones, whose transaction it may share."""
    store = SqlSessions(db)
    for name in ("a", "b", "c"):
        await store.open(session(name), R)
    for generation in range(3):
        await turn(store, "b", generation)
    crowd = await asyncio.gather(turn(store, "a", 0), turn(store, "b", 0), turn(store, "c", 0))
    assert [one.answer for one in crowd] == [Turn.TURNED, Turn.REUSED, Turn.TURNED]
    assert [one.session_id for one in crowd[1].revoked] == ["b"]
    assert [one is None for one in [await store.get(name, NOW) for name in ("a", "b", "c")]] == [False, True, False]
    async with db.read() as connection:
        told = (await connection.execute(text("SELECT session_id, expires_at FROM watchword_feed"))).all()
    assert [tuple(row) for row in told] == [("b", crowd[1].revoked[0].expires_at)]


async def test_connections_that_were_cut_meanwhile_are_not_tried(postgres: Database) -> None:
    """PostgreSQL was restarted: nobody is told to come again for each connection that is gone."""
    store = SqlSessions(postgres)
    names = [f"s{number}" for number in range(kept.MOST)]
    for name in names:
        await store.open(session(name), R)
    await asyncio.gather(*(turn(store, name, 0) for name in names))
    await postgres.engine.dispose()  # what the pool has is cut too, and this test could not see when it notices
    async with postgres.read() as connection:
        await connection.execute(text(CUT))

    async def all_gone() -> bool:
        return all(one.driver.is_closed() for one in postgres.kept[REFRESHES]._idle)

    await until(all_gone)
    turned = await asyncio.gather(*(turn(store, name, 1) for name in names))
    assert {one.answer for one in turned} == {Turn.TURNED}


async def test_who_waits_too_long_for_a_connection_is_told(postgres: Database) -> None:
    """DL-06: a database that hangs does not pile up requests without end."""
    store = SqlSessions(postgres)
    await store.open(session("s"), R)
    await turn(store, "s", 0)
    postgres.kept[REFRESHES]._patience = 0.0
    for _ in range(kept.MOST):
        await postgres.kept[REFRESHES]._places.acquire()
    with pytest.raises(Unavailable):
        await turn(store, "s", 1)
    postgres.kept[REFRESHES]._places.release()
    assert (await turn(store, "s", 1)).answer is Turn.TURNED


async def test_a_refresh_that_is_cancelled_leaves_no_half_used_connection(postgres: Database) -> None:
    """The client hangs up while the statement waits behind another transaction: whoever comes next must not get its answer."""
    store = SqlSessions(postgres)
    await store.open(session("s"), R)
    await turn(store, "s", 0)
    ((driver, _),) = postgres.kept[REFRESHES]._idle
    async with postgres.write() as other:
        await other.execute(text("SELECT 1 FROM watchword_sessions FOR UPDATE"))
        going = asyncio.create_task(
            postgres.kept[REFRESHES].fetch("UPDATE watchword_sessions SET ip = ip RETURNING id", [])
        )

        async def waits() -> bool:
            async with postgres.read() as third:
                return bool((await third.execute(text(WAITING))).scalar_one())

        await until(waits)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
    assert postgres.kept[REFRESHES]._idle == []
    assert driver.is_closed(), "and it is not kept open by nobody either"
    assert (await turn(store, "s", 1)).answer is Turn.TURNED


async def test_what_takes_too_long_is_broken_off_on_the_server_too(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DL-06, RF-04: a lock is held for long. Whoever was told to come again must leave no statement behind that waits on: each
    would be one connection more, until the server has none, and in the end do what was called undone, after which the token
    that its owner still has is an old one."""
    store = SqlSessions(postgres)
    await store.open(session("s"), R)
    await turn(store, "s", 0)

    async def nobody_waits() -> bool:
        async with postgres.read() as third:
            return not (await third.execute(text(WAITING))).scalar_one()

    async with postgres.write() as other:
        await keep_out(other, "u")
        await other.execute(text("SELECT 1 FROM watchword_sessions FOR UPDATE"))
        with monkeypatch.context() as patch:
            patch.setattr(engine, "ANSWER_SECONDS", 0.2)
            for verb in (turn(store, "s", 1), store.open(session("new"), R)):
                with pytest.raises(Unavailable):
                    await verb
        await until(nobody_waits)
    assert await store.get("new", NOW) is None
    found = await store.get("s", NOW)
    assert found is not None
    assert found.generation == 1


async def test_a_close_hangs_up_what_was_kept(postgres: Database) -> None:
    store = SqlSessions(postgres)
    await store.open(session("s"), R)
    await turn(store, "s", 0)
    ((driver, _),) = postgres.kept[REFRESHES]._idle
    await postgres.close()
    assert driver.is_closed()
    postgres.settle(here=True)
    assert (await turn(store, "s", 1)).answer is Turn.TURNED


async def test_under_another_default_isolation_a_crowd_still_gets_one_successor(postgres: Database) -> None:
    """RF-04: the administrator made `repeatable read` the default: a statement by itself would fail where it had to wait."""
    async with postgres.write() as connection:
        name = str(postgres.url.database)
        await connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation TO 'repeatable read'"))
    await postgres.close()
    postgres.settle(here=True)
    store = SqlSessions(postgres)
    await store.open(session("s"), R)
    turned = await asyncio.gather(*(turn(store, "s", 0) for _ in range(8)))
    assert sorted(one.answer.name for one in turned) == ["REPEATED"] * 7 + ["TURNED"]


async def test_who_comes_while_others_commit_shares_the_next_transaction(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlSessions(sqlite)
    names = [f"s{number}" for number in range(10)]
    for name in names:
        await store.open(session(name), R)
    sizes = []
    do_all = hot._do_all

    def counted(connection: sqlite3.Connection, works: Sequence[Any]) -> list[Any]:
        sizes.append(len(works))
        return do_all(connection, list(works))

    monkeypatch.setattr(hot, "_do_all", counted)
    monkeypatch.setattr(hot, "TOGETHER", 4)
    await asyncio.gather(*(turn(store, name, 0) for name in names))
    assert sum(sizes) == 10
    assert max(sizes) == 4
    assert len(sizes) < 10


async def test_who_is_cancelled_in_a_crowd_takes_no_answer_from_the_others(sqlite: Database) -> None:
    """One of three is gone when their transaction is committed: the others were turned, and are told so."""
    together = hot.Together(sqlite, REFRESHES)
    begun, go_on = threading.Event(), threading.Event()

    def slow(_connection: sqlite3.Connection) -> str:
        begun.set()
        go_on.wait(PATIENCE)
        return "done"

    crowd = [asyncio.create_task(together.share(hot._one_by_one, slow)) for _ in range(3)]
    await asyncio.to_thread(begun.wait, PATIENCE)
    crowd[0].cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(*crowd[1:]) == ["done", "done"]


async def test_one_session_comes_twice_in_a_crowd(sqlite: Database) -> None:
    """RF-02: two tabs and a thief share a transaction. It is as if they came one after another, as they came."""
    store = SqlSessions(sqlite)
    for name in ("a", "b"):
        await store.open(session(name), R)
    wanted = [("a", 0), ("a", 0), ("b", 0), ("a", 1), ("a", 0), ("b", 1), ("a", 2), ("nobody", 0)]
    go_on = threading.Event()
    together: Any = store._refreshes
    first = asyncio.create_task(together.share(hot._one_by_one, lambda _connection: go_on.wait(PATIENCE)))
    await asyncio.sleep(0)
    crowd = [asyncio.create_task(turn(store, *one)) for one in wanted]
    await asyncio.sleep(0)
    go_on.set()
    answers = [one.answer.name for one in await asyncio.gather(*crowd)]
    assert answers == ["TURNED", "REPEATED", "TURNED", "TURNED", "REUSED", "TURNED", "UNKNOWN", "UNKNOWN"]
    assert await first is True
    assert await store.get("a", NOW) is None
    b = await store.get("b", NOW)
    assert b is not None
    assert b.generation == 2


@pytest.mark.parametrize("seed", range(3))
async def test_a_crowd_is_answered_as_postgresql_answers_one_after_another(
    sqlite: Database, postgres: Database, seed: int
) -> None:
    """RF-13: two forms of one statement. Where they differed, one of them would have a second branch, or revive a token."""
    chance = random.Random(seed)
    crowded, single = SqlSessions(sqlite), SqlSessions(postgres)
    agents = (None, "", 'a "quoted\\ one', "null", "[1]", "\u2028", "\U0001f600")
    names = [f"s{number}" for number in range(5)]
    for name in names:
        short = replace(session(name), user_agent=chance.choice(agents), follows_user=chance.random() < 0.5)
        for store in (crowded, single):
            await store.open(replace(short, idle_expires_at=NOW + timedelta(seconds=90), access_expires_at=NOW), R)
    now = NOW
    for _ in range(25):
        now += chance.choice([timedelta(), timedelta(microseconds=1), timedelta(seconds=30), -timedelta(seconds=20)])
        known = {name: found.generation for name in names if (found := await single.get(name, now)) is not None}
        asked = [
            (
                Presented(name, max(0, known.get(name, 0) + chance.choice([0, 0, 0, 0, -1, -1, -2, 1])), secret),
                {**LIFETIMES, "idle": timedelta(seconds=chance.choice([40, 90]))},
            )
            for name in chance.choices([*names, "nobody"], k=chance.randint(1, 6))
            for secret in chance.choices([R, b"x" * 32], [9, 1])
        ]
        go_on = threading.Event()
        together: Any = crowded._refreshes
        before = asyncio.create_task(together.share(hot._one_by_one, lambda _, gone=go_on: gone.wait(PATIENCE)))
        await asyncio.sleep(0)
        crowd = [asyncio.create_task(crowded.turn(one, now, **times)) for one, times in asked]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*crowd) == [await single.turn(one, now, **times) for one, times in asked]
        await before
    assert await everything(sqlite) == await everything(postgres)


async def everything(db: Database) -> list[tuple[Any, ...]]:
    """The rows of all sessions, and what the feed was told of them."""
    told = select(feed.c.session_id, feed.c.generation, feed.c.expires_at).order_by(feed.c.session_id)
    async with db.read() as connection:
        rows = (await connection.execute(select(sessions).order_by(sessions.c.id))).all()
        return [tuple(row) for row in [*rows, *(await connection.execute(told)).all()]]


async def test_somebody_else_s_secret_turns_nothing_in_a_crowd(sqlite: Database) -> None:
    """The attacker knows a session's id, and sends it with a secret of their own, beside the owner."""
    store = SqlSessions(sqlite)
    await store.open(session("a"), R)
    forged = store.turn(Presented("a", 0, b"x" * 32), NOW, **LIFETIMES)
    answers = [one.answer for one in await asyncio.gather(forged, turn(store, "a", 0))]
    assert answers == [Turn.UNKNOWN, Turn.TURNED]


@pytest.mark.parametrize("statement", [turning.LOOK, turning.TURN_CROWD], ids=["look", "turn"])
async def test_a_crowd_is_found_by_the_ids_of_its_sessions(sqlite: Database, statement: hot.Statement) -> None:
    """DL-06: a plan that begins with all open sessions would make each refresh cost what a million of them do."""
    async with sqlite.read() as connection:
        prepared = statement.prepared(connection.dialect)
        values = tuple(prepared.arguments({"asked": "[]"}))
        found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {prepared.sql}", values)
        plan = [str(row.detail) for row in found]
    assert len(plan) == 2
    assert plan[0].startswith("SCAN asked")
    assert plan[1].startswith("SEARCH watchword_sessions")
    assert plan[1].endswith("(id=?)")


@pytest.mark.parametrize("statement", [OVER, END, GET], ids=["over", "end", "get"])
async def test_a_login_looks_at_the_sessions_of_its_user_alone(sqlite: Database, statement: hot.Statement) -> None:
    """DL-06: the same with a login: SQLite knows nothing of how many sessions are open, and may begin with all of them."""
    async with sqlite.read() as connection:
        prepared = statement.prepared(connection.dialect)
        values = tuple(None for _ in prepared._names)
        found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {prepared.sql}", values)
        plan = [str(row.detail) for row in found]
    assert plan[0].startswith("SEARCH watchword_sessions USING INDEX ")
    assert plan[0].endswith(("(id=?)", "(user_id=?)"))


async def test_what_is_undone_in_a_shared_transaction_is_one_s_own_part(sqlite: Database) -> None:
    """RL-01: a guess that is refused has counted against one limit before another had no room. That is taken back, and the
    guess of somebody else, whose transaction it shared, stays counted."""
    scratch = SqlScratch(sqlite)
    full, free = (Limit(key, 1, timedelta(minutes=1)) for key in ("full", "free"))
    assert (await scratch.hit([full], NOW)).wait is None
    refused, counted = await asyncio.gather(
        scratch.hit([free, full], NOW), scratch.hit([Limit("other", 1, timedelta(minutes=1))], NOW)
    )
    assert refused.wait is not None
    assert counted.wait is None
    assert (await scratch.hit([free], NOW)).wait is None
    assert (await scratch.hit([Limit("other", 1, timedelta(minutes=1))], NOW)).wait is not None


async def test_a_file_that_was_replaced_is_not_read_on_a_kept_connection(sqlite: Database, tmp_path: Path) -> None:
    """A backup was put in the place of the database: what is kept open leads to the old file, which nobody else sees."""
    store = SqlSessions(sqlite)
    await store.open(session("before"), R)
    assert sqlite.path is not None
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
        contextlib.closing(sqlite3.connect(sqlite.path)) as whole,
    ):
        whole.backup(copy)
    await store.open(session("after"), R)
    assert await store.get("after", NOW) is not None
    for one in sqlite.path.parent.glob(f"{sqlite.path.name}-*"):
        one.unlink()
    (tmp_path / "copy.db").replace(sqlite.path)
    assert await store.get("before", NOW) is not None
    assert await store.get("after", NOW) is None
    assert (await turn(store, "before", 0)).answer is Turn.TURNED


async def test_logins_that_wait_for_each_other_keep_no_refresh_waiting(postgres: Database) -> None:
    """DL-06: the attacker signs in to one account in many tabs at once: each login waits for the account's lock, and holds a
    connection. Whoever refreshes has others, and so has who is signed in: to read their account, and to log out."""
    store, users = SqlSessions(postgres), SqlUsers(postgres)
    await users.add(NewUser("v", "v@example.com", None, None, frozenset(), NOW))
    await store.open(replace(session("theirs"), user_id="v"), R)
    await store.open(session("s"), R)
    async with postgres.write() as other:
        await keep_out(other, "u")
        logins = [asyncio.create_task(store.open(session(f"s{number}"), R)) for number in range(3 * kept.MOST)]

        async def all_wait() -> bool:
            async with postgres.read() as third:
                return int((await third.execute(text(WAITING))).scalar_one()) == kept.MOST

        await until(all_wait)
        assert (await turn(store, "s", 0)).answer is Turn.TURNED
        assert await users.get("v") is not None
        assert await store.close("theirs", "v", NOW)
    await asyncio.gather(*logins)


async def test_who_asks_for_what_can_t_be_done_harms_none_of_a_crowd(db: Database) -> None:
    """DL-06: the attacker finds a value that the database refuses, or that can't be written, and sends it again and again
    among the logins of others, whose transaction it shares. It fails alone, as a 503 and no 500, and nothing of it is done."""
    store = SqlSessions(db)
    await store.open(session("a"), R)
    taken, odd = session("a"), replace(session("odd"), user_agent="\ud800")
    tried = await asyncio.gather(
        *(store.open(one, R) for one in (session("b"), taken, session("c"), odd, session("d"))), return_exceptions=True
    )
    assert [type(one) for one in tried] == [tuple, Unavailable, tuple, Unavailable, tuple]
    there = [await store.get(name, NOW) is not None for name in ("a", "b", "c", "d", "odd")]
    assert there == [True, True, True, True, False]


@pytest.mark.parametrize("what", ["garbage", "a folder", "nothing"])
async def test_a_file_that_can_t_be_opened_is_unavailable(sqlite: Database, what: str) -> None:
    """A disk fault, or a restore gone wrong. A refresh opens the connection itself: it is told to come again, and no 500."""
    store = SqlSessions(sqlite)
    assert sqlite.path is not None
    for one in sqlite.path.parent.glob(f"{sqlite.path.name}*"):
        one.unlink()
    if what == "garbage":
        sqlite.path.write_bytes(b"garbage" * 1024)
    elif what == "a folder":
        sqlite.path.mkdir()
    for verb in (turn(store, "s", 0), store.open(session("s"), R), store.get("s", NOW)):
        with pytest.raises(Unavailable):
            await verb


async def test_a_connection_to_a_file_that_nobody_may_look_at_is_let_go(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's rights were changed: who tries again and again must not leave a thread behind at each try."""
    store = SqlSessions(sqlite)
    await turn(store, "s", 0)
    ((driver, _),) = sqlite.kept[REFRESHES]._idle

    def refuse(_path: Path) -> engine.FileIdentity:
        raise PermissionError

    monkeypatch.setattr(engine, "identity", refuse)
    with pytest.raises(Unavailable):
        await turn(store, "s", 0)
    await asyncio.to_thread(driver._thread.join, PATIENCE)
    assert not driver._thread.is_alive()


async def test_what_is_on_loan_at_a_close_is_hung_up_at_its_end(db: Database) -> None:
    """A stop waits for what is at work, but not for ever: a connection that comes back later is kept by nobody."""
    lender = db.kept[REFRESHES]
    lent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    go_on = asyncio.Event()

    async def work(driver: Any) -> None:
        lent.set_result(driver)
        await go_on.wait()

    working = asyncio.create_task(lender.lend(work))
    driver = await lent
    await db.close()
    go_on.set()
    await working
    assert lender._idle == []
    if db.is_sqlite:
        await asyncio.to_thread(driver._thread.join, PATIENCE)
        assert not driver._thread.is_alive()
    else:
        assert driver.is_closed()


async def test_a_transaction_that_fails_did_nothing_for_anybody(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full after three were turned: none must not believe that it was turned, nor be turned."""
    store = SqlSessions(sqlite)
    for name in ("a", "b", "c"):
        await store.open(session(name), R)
    turn_crowd = store._crowd.turn

    def full(connection: sqlite3.Connection, crowd: Sequence[Any]) -> list[Any]:
        turn_crowd(connection, crowd)
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store._crowd, "turn", full)
        failed = await asyncio.gather(*(turn(store, name, 0) for name in ("a", "b", "c")), return_exceptions=True)
    assert [type(one) for one in failed] == [Unavailable] * 3
    turned = await asyncio.gather(*(turn(store, name, 0) for name in ("a", "b", "c")))
    assert {(one.answer, one.session and one.session.generation) for one in turned} == {(Turn.TURNED, 1)}


@pytest.mark.parametrize("hosts", [False, True], ids=["our engine", "a host's engine"])
async def test_a_mistake_of_ours_is_no_fault_of_the_database(db: Database, hosts: bool) -> None:
    """Whoever called a wrong argument of ours an outage would have us look for it in the database, and all its clients try
    again for ever. It is raised as it is, with its trace; and the others of its transaction are served."""
    used = Database.of_host(db.engine) if hosts else db
    store = SqlSessions(used)
    mistaken = replace(session("odd"), created_at="yesterday")  # type: ignore[arg-type]
    tried = await asyncio.gather(
        *(store.open(one, R) for one in (session("a"), mistaken, session("b"))), return_exceptions=True
    )
    assert [type(one) for one in tried if not isinstance(one, Exception)] == [tuple, tuple]
    (failed,) = (one for one in tried if isinstance(one, Exception))
    assert not isinstance(failed, Unavailable)
    assert [await store.get(name, NOW) is not None for name in ("a", "b", "odd")] == [True, True, False]


async def test_a_connection_that_was_closed_is_a_fault_of_the_database(sqlite: Database) -> None:
    store = SqlSessions(sqlite)
    await store.open(session("s"), R)
    for one in sqlite.kept[REFRESHES]._idle:
        await one.driver.close()
    with pytest.raises(Unavailable):
        await turn(store, "s", 0)
    assert (await turn(store, "s", 0)).answer is Turn.TURNED


async def test_a_server_that_takes_nobody_in_is_a_fault_of_the_database(
    postgres_server: PostgresServer, postgres: Database
) -> None:
    """PostgreSQL starts up, shuts down or has too many clients: it answers, and refuses. SQLAlchemy raises that in a form of
    its own for a connection that goes straight to the driver, and every login of those seconds was a 500."""
    store, name = SqlSessions(postgres), str(postgres.url.database)
    await store.open(session("s"), R)
    postgres_server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    postgres_server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    limit = Limit("l", 1, timedelta(minutes=1))
    for verb in (store.get("s", NOW), store.open(session("t"), R), SqlScratch(postgres).hit([limit], NOW)):
        with pytest.raises(Unavailable):
            await verb
    postgres_server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert (await turn(store, "s", 0)).answer is Turn.TURNED


@pytest.mark.parametrize("fault", [RuntimeError("can't start new thread"), MemoryError()], ids=["threads", "memory"])
async def test_a_system_that_gives_no_more_is_no_mistake_of_ours(
    sqlite: Database, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container is at its limit: who comes later may be served. It was a 500, and of another fault."""
    store = SqlSessions(sqlite)

    def refuse(_thread: threading.Thread) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for verb in (store.open(session("s"), R), turn(store, "s", 0), SqlUsers(sqlite).page("", 1)):
            with pytest.raises(Unavailable):
                await verb
    await store.open(session("s"), R)
    assert (await turn(store, "s", 0)).answer is Turn.TURNED
