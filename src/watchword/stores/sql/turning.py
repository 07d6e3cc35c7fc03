"""The one statement that answers every row of the refresh table, in the form that each database is quickest with."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from sqlite3 import Connection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    Float,
    LargeBinary,
    Text,
    and_,
    bindparam,
    case,
    cast,
    extract,
    func,
    insert,
    literal_column,
    null,
    select,
    type_coerce,
    update,
)

from watchword.core.opaque import MAX_GENERATION
from watchword.core.policy import LEEWAY
from watchword.stores.sql.hot import Statement
from watchword.stores.sql.tables import ID, UtcDateTime, feed, greatest, sessions

TURNED, REPEATED, REUSED, REWOUND = range(4)
INSTANTS = ("now", "repeats_since", "idle_until", "access_until")


def alive(now: datetime) -> Any:
    """The condition for a session that may still be refreshed: open, and within its idle and absolute lifetimes."""
    return and_(sessions.c.closed_at.is_(None), sessions.c.idle_expires_at > now, sessions.c.expires_at > now)


def instant(name: str) -> Any:
    """A bind parameter for a time."""
    return bindparam(name, type_=UtcDateTime)


class Crowd:
    """SQLite's form: a whole crowd is turned by two statements, which read from JSON what is asked of them.

    The driver gives Python's lock away at each statement and each row, and has to wait for it again. While the event loop is
    busy, that takes far longer than the statements.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._instant: Any = UtcDateTime().dialect_impl(dialect).bind_processor(dialect)
        self._row = ROW.prepared(dialect).row

    def turn(self, connection: Connection, crowd: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The row of each as it is then, None where there is no such live session. Who comes with a session that somebody
        before has too is turned after them."""
        rows: list[Any] = [None] * len(crowd)
        left = list(range(len(crowd)))
        while left:
            first = {crowd[place]["session"]: place for place in reversed(left)}
            now = sorted(first.values())
            for place, row in self._turn_different(connection, [(place, crowd[place]) for place in now]):
                rows[place] = row
            left = [place for place in left if first[crowd[place]["session"]] != place]
        return rows

    def _turn_different(
        self, connection: Connection, crowd: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> Iterator[tuple[int, Any]]:
        asked = {"asked": json.dumps([self._asked(place, values) for place, values in crowd])}
        look, turn = LOOK.prepared(self._dialect), TURN_CROWD.prepared(self._dialect)
        (found,) = connection.execute(look.sql, look.arguments(asked)).fetchall()
        connection.execute(turn.sql, turn.arguments(asked))
        return ((place, self._row(cells)) for place, *cells in json.loads(found[0]))

    def _asked(self, place: int, values: Mapping[str, Any]) -> list[Any]:
        times = [self._instant(values[name]) for name in INSTANTS]
        return [place, values["session"], values["hash_of_r"].hex().upper(), values["presented"], *times]


def _changes(presented: Any, now: Any, repeats_since: Any, idle_until: Any, access_until: Any) -> dict[str, Any]:
    """What becomes of a session, by its columns. Each expression reads the row as it was before."""
    current, turned_at = sessions.c.generation, sessions.c.turned_at
    moves = presented >= current
    repeats = and_(presented == current - 1, turned_at > repeats_since)
    return {
        "generation": case((moves, presented + 1), else_=current),
        "turned_at": case((moves, now), else_=turned_at),
        "answer": case(
            (presented == current, literal_column(str(TURNED))),
            (presented > current, literal_column(str(REWOUND))),
            (repeats, literal_column(str(REPEATED))),
            else_=literal_column(str(REUSED)),
        ),
        "closed_at": case((moves | repeats, null()), else_=now),
        "used_at": now,
        "idle_expires_at": _least(idle_until, sessions.c.expires_at),
        "access_expires_at": greatest(sessions.c.access_expires_at, _least(access_until, sessions.c.expires_at)),
    }


def _least(one: Any, other: Any) -> Any:
    return case((one < other, one), else_=other)


def _turning() -> Any:
    theirs = and_(
        sessions.c.id == bindparam("session", type_=ID),
        sessions.c.r_hash == bindparam("hash_of_r", type_=LargeBinary),
        alive(instant("now")),
    )
    changes = _changes(bindparam("presented", type_=BigInteger), *map(instant, INSTANTS))
    return update(sessions).where(theirs).values(changes).returning(sessions)


def _telling(turn: Any) -> Any:
    """PostgreSQL's form: the feed hears of a session that was closed in the same statement."""
    turned = turn.cte("turned")
    end = greatest(turned.c.access_expires_at, instant("now"))
    revoked = select(
        turned.c.id,
        literal_column(str(MAX_GENERATION)),
        cast(extract("epoch", end), Float(53)) + LEEWAY.total_seconds(),
    )
    told = insert(feed).from_select(
        [feed.c.session_id, feed.c.generation, feed.c.expires_at], revoked.where(turned.c.answer == REUSED)
    )
    return select(turned).add_cte(told.cte("told"))


def _of_crowd() -> tuple[Any, Any]:
    """What the sessions will be, as one cell of JSON; and the statement that makes them so."""
    asked = func.json_each(bindparam("asked", type_=Text)).table_valued("value", name="asked")

    def given(place: int, kind: Any) -> Any:
        return type_coerce(func.json_extract(asked.c.value, literal_column(f"'$[{place}]'")), kind)

    times = [given(place, UtcDateTime) for place in range(4, 4 + len(INSTANTS))]
    changes = _changes(given(3, BigInteger), *times)
    theirs = and_(
        sessions.c.id == given(1, ID),
        func.hex(sessions.c.r_hash) == given(2, Text),
        func.typeof(sessions.c.closed_at) == literal_column("'null'"),  # for IS NULL it would take that index first
        sessions.c.idle_expires_at > times[0],
        sessions.c.expires_at > times[0],
    )
    shown = [null() if one is sessions.c.r_hash else changes.get(one.name, one) for one in sessions.c]
    cells = func.json_group_array(func.json_array(given(0, BigInteger), *shown))
    return select(cells.label("cells")).select_from(asked).where(theirs), update(sessions).where(theirs).values(changes)


TURN: Statement = Statement(_turning())
TURN_AND_TELL: Statement = Statement(_telling(TURN.core))
ROW: Statement = Statement(select(sessions))
LOOK, TURN_CROWD = map(Statement, _of_crowd())
