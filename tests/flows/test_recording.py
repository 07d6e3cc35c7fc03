"""From an event to its sealed row: nothing is lost that could be kept, and no request waits or fails for it."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.flows.conftest import Worker
from tests.house import ADA, PASSWORD

from watchword.core.audit import Batch, Row, Tail
from watchword.core.errors import InvalidGrant, Unavailable
from watchword.core.events import KeyRetired, LoggedIn, Registered, SessionClosed, UserDeleted
from watchword.core.models import Client
from watchword.flows import accounts, audit_verification, password, recording, session, signing_keys
from watchword.flows.kit import Kit
from watchword.flows.recording import Recorder
from watchword.ports import KeysChanged
from watchword.testing import FrozenClock

HERE = Client("a browser", "203.0.113.7")


async def kinds(kit: Kit) -> list[str]:
    await kit.recorder.drain()
    return [one.kind for one in await kit.audit.rows(0, 1000)]


async def whole(kit: Kit) -> bool:
    return not (await audit_verification.verify(kit)).count


class Store:
    """The kit's own store, with somebody in front of it."""

    def __init__(self, kit: Kit) -> None:
        self._audit = kit.audit
        self.before_append: Callable[[Sequence[Row]], Any] = lambda _: None
        self.before_seal: Callable[[], Any] = lambda: None
        self.appended: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._audit, name)

    async def append(self, rows: Sequence[Row]) -> None:
        said = self.before_append(rows)
        if said is not None:
            await said
        await self._audit.append(rows)
        self.appended.append(len(rows))

    async def seal(self, chain: Callable[[Tail, Sequence[Row]], Batch], limit: int, known: int | None = None) -> Any:
        said = self.before_seal()
        return said if said is not None else await self._audit.seal(chain, limit, known)


def in_front(kit: Kit) -> tuple[Store, Recorder]:
    store = Store(kit)
    return store, Recorder(
        store,
        kit.keyring,
        kit.clock,
        kit.entropy,
        asyncio.get_running_loop,
    )


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the recorder has rested; it does not."""
    taken: list[float] = []

    async def rest(seconds: float) -> None:
        taken.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(recording, "rest", rest)
    return taken


async def test_what_happens_is_sealed_with_where_it_came_from(kit: Kit) -> None:
    """LS-03: a login, a guess and their address, in a chain that nobody changes unseen."""
    user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
    proof = await password.prove(kit, ADA, PASSWORD, HERE)
    tokens = await session.open(kit, proof, None, HERE)
    assert tokens.access_token
    assert await kinds(kit) == ["KeyPublished", "Registered", "LoggedIn"]
    login = (await kit.audit.rows(0, 10))[-1]
    assert login.user_id == user.id
    assert json.loads(login.personal or "") == {"ip": HERE.ip, "user_agent": HERE.user_agent}
    assert await whole(kit)


async def test_the_name_that_nobody_has_is_not_kept(kit: Kit) -> None:
    """LS-01: people type their password into the field for their name, and this log is kept for a year."""
    for name in ("my secret password", "nobody@example.com"):
        with pytest.raises(InvalidGrant):
            await password.prove(kit, name, PASSWORD, HERE)
    await kit.recorder.drain()
    for one in await kit.audit.rows(0, 10):
        assert "secret" not in f"{one}"
        assert "nobody" not in f"{one}"


async def test_who_comes_meanwhile_shares_the_next_insert(kit: Kit) -> None:
    store, recorder = in_front(kit)
    first, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        first.set()
        await go_on.wait()

    store.before_append = lambda _: slow()
    recorder.note(Registered("u0"))
    await first.wait()
    for number in range(1, 100):
        recorder.note(Registered(f"u{number}"))
    go_on.set()
    await recorder.drain()
    assert store.appended == [1, 64, 35]
    assert [one.user_id for one in await kit.audit.rows(0, 200) if one.kind == "Registered"] == [
        f"u{number}" for number in range(100)
    ]


async def test_a_store_that_is_away_is_tried_again_and_nothing_is_lost(
    kit: Kit, rests: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    store, recorder = in_front(kit)
    away = [Unavailable("no network")] * 3

    def failing(_: object) -> None:
        if away:
            raise away.pop()

    store.before_append = failing
    recorder.note(Registered("u"))
    await recorder.drain()
    assert [one.user_id for one in await kit.audit.rows(0, 10)][-1] == "u"
    assert rests.count(recording.RETRY_SECONDS) == 3
    assert len([one for one in caplog.records if "can't be written, and waits" in one.message]) == 1, "said once"


async def test_what_comes_over_the_bound_is_told_as_lost(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An attacker who makes events while the database is away must not fill the memory, nor go unseen."""
    monkeypatch.setattr(recording, "MAX_WAITING", 2)
    _, recorder = in_front(kit)
    for event in (Registered("a"), Registered("b"), LoggedIn("c", "s")):
        recorder.note(event)
    assert "LoggedIn was lost" in caplog.text
    await recorder.drain()
    assert [one.user_id for one in await kit.audit.rows(0, 10)][-2:] == ["a", "b"]


async def test_who_announces_thousands_waits_for_what_is_written(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of a million accounts is faster than the log, and none of them may be lost to it."""
    monkeypatch.setattr(recording, "MAX_WAITING", 20)
    store, recorder = in_front(kit)
    for _ in range(10):
        for number in range(10):
            recorder.note(Registered(f"u{number}"))
        await recorder.room()
    await recorder.drain()
    assert sum(store.appended) == 100


async def test_a_mistake_of_ours_costs_the_rows_that_it_met_alone(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    store, recorder = in_front(kit)

    def failing(rows: Sequence[Row]) -> None:
        if any(one.user_id == "bad" for one in rows):
            raise ZeroDivisionError

    store.before_append = failing
    await kit.recorder.drain()
    for name in ("good", "bad", "good", "as good"):
        recorder.note(Registered(name))
    await recorder.drain()
    assert [one.user_id for one in await kit.audit.rows(1, 10)] == ["good", "good", "as good"]
    assert caplog.text.count("lost to the audit log: Registered") == 1
    recorder.note(Registered("later"))
    recorder.note(Registered("later still"))
    await recorder.drain()
    assert store.appended == [1, 1, 1, 2]


@pytest.mark.parametrize("user_id", ["\ud800", "a\0b", "\udfff" * 64])
async def test_an_id_that_no_database_takes_stops_nobody_s_rows(kit: Kit, rests: list[float], user_id: str) -> None:
    """An attacker who gets such an id into an event would end the log of this worker: the row is refused again and again, and
    all others wait behind it."""
    kit.recorder.note(UserDeleted(user_id))
    kit.recorder.note(SessionClosed(user_id, user_id, user_id), Client(user_id, user_id))
    kit.recorder.note(Registered("good"))
    assert await kinds(kit) == ["KeyPublished", "UserDeleted", "SessionClosed", "Registered"]
    assert recording.RETRY_SECONDS not in rests
    assert await whole(kit)


async def test_a_stop_waits_no_longer_than_it_says_and_tells_what_was_lost(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "DRAIN_SECONDS", 0.01)
    store, recorder = in_front(kit)
    store.before_append = lambda _: asyncio.Event().wait()
    for event in (Registered("a"), Registered("b"), LoggedIn("c", "s")):
        recorder.note(event)
    await recorder.drain()
    assert "lost to the audit log: 2 Registered, 1 LoggedIn" in caplog.text
    await recorder.drain()


async def test_while_another_seals_one_waits_and_seals_after_it(kit: Kit, rests: list[float]) -> None:
    store, recorder = in_front(kit)
    answers: list[Batch | None] = [None, None]
    asked: list[int] = []

    async def seal(chain: Any, limit: int, known: int | None = None) -> Batch | None:
        asked.append(1)
        return answers.pop() if answers else await kit.audit.seal(chain, limit, known)

    store.seal = seal  # type: ignore[method-assign]
    recorder.note(Registered("u"))
    await recorder.drain()
    assert len(asked) == 3
    assert (await kit.audit.extent()).unsealed == 0


async def test_a_seal_that_fails_is_tried_again(kit: Kit, rests: list[float], caplog: pytest.LogCaptureFixture) -> None:
    store, recorder = in_front(kit)
    sealed = asyncio.Event()
    fails = [True]

    async def seal(chain: Any, limit: int, known: int | None = None) -> Batch | None:
        if fails.pop() if fails else False:
            raise Unavailable("no network")
        done = await kit.audit.seal(chain, limit, known)
        sealed.set()
        return done

    store.seal = seal  # type: ignore[method-assign]
    recorder.note(Registered("u"))
    await asyncio.wait_for(sealed.wait(), 20)
    assert "was not sealed, and will be later: no network" in caplog.text
    assert (await kit.audit.extent()).unsealed == 0
    await recorder.drain()


async def test_a_mistake_of_ours_in_sealing_is_told_and_ends_there(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    store, recorder = in_front(kit)
    fails = [ZeroDivisionError()]

    def failing() -> None:
        if fails:
            raise fails.pop()

    store.before_seal = failing
    recorder.note(Registered("u"))
    await recorder.drain()
    assert "was not sealed; it will be with the next event" in caplog.text
    assert (await kit.audit.extent()).unsealed == 2
    assert await kinds(kit) == ["KeyPublished", "Registered"]


async def test_more_than_one_seal_takes_is_sealed_at_once(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "SEALED_TOGETHER", 3)
    for number in range(10):
        kit.recorder.note(Registered(f"u{number}"))
    assert len(await kinds(kit)) == 11
    assert await whole(kit)


async def test_a_key_that_another_worker_has_signed_with_at_once_is_looked_up(
    worker: Worker, clock: FrozenClock
) -> None:
    """A chain is not broken for what this worker has not heard yet."""
    one, other = await worker(), await worker()
    await kinds(one)
    clock.tick(120)
    await signing_keys.publish(other, at_once=True)
    await kinds(other)
    one.keyring.stale = False
    one.recorder.note(Registered("u"))
    await kinds(one)
    assert await whole(one)


async def test_what_a_retired_key_has_signed_is_signed_anew_by_whoever_hears_of_it(
    worker: Worker, clock: FrozenClock
) -> None:
    """LS-03: its thief could sign another past in its place."""
    one = await worker()
    clock.tick(120)
    await signing_keys.publish(one, at_once=True)
    await kinds(one)
    records = await one.keyring.records()
    assert len(records) == 2
    assert await one.keys.retire(records[-1].generation, one.clock.now()), "by a command in another process"
    one.keyring.stale = True
    one.recorder.on_change(KeysChanged())
    await one.recorder.drain()
    newest = (await one.audit.extent()).newest
    assert newest is not None
    assert newest.kid == records[0].kid


async def test_news_that_come_before_anything_else_are_let_pass(kit: Kit) -> None:
    """The feed has a thread of its own, and with a host's engine there may be no loop yet."""
    _, recorder = in_front(kit)
    thread = threading.Thread(target=recorder.on_change, args=(KeysChanged(),))
    thread.start()
    await asyncio.to_thread(thread.join)
    recorder.note(KeyRetired(None, "kid"))
    await recorder.drain()
    await asyncio.to_thread(recorder.on_change, KeysChanged())  # then that of the last time is taken
    await recorder.drain()
    assert await kinds(kit) == ["KeyPublished", "KeyRetired"]


async def test_what_a_loop_that_has_gone_left_behind_is_still_written(kit: Kit) -> None:
    """A test client ends its event loop with each request."""
    gone = asyncio.new_event_loop()
    homes = [asyncio.get_running_loop(), gone]
    recorder = Recorder(kit.audit, kit.keyring, kit.clock, kit.entropy, lambda: homes[-1])
    recorder.note(Registered("u"))
    gone.close()
    recorder.note(Registered("v"))  # nobody's request fails for it
    homes.pop()
    await recorder.drain()
    assert "Registered" in await kinds(kit)


async def test_deleting_an_account_erases_its_personal_fields_and_the_chain_stays_whole(kit: Kit) -> None:
    """Who asks to be forgotten is; and nobody can use it to have something else forgotten."""
    user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
    await session.open(kit, await password.prove(kit, ADA, PASSWORD, HERE), None, HERE)
    await kit.recorder.drain()
    await accounts.delete(kit, user.id)
    await kit.recorder.drain()
    rows = await kit.audit.rows(0, 10)
    assert [one.kind for one in rows if one.erased] == ["LoggedIn"]
    assert all(one.personal is None and one.salt is None for one in rows)
    found = await audit_verification.verify(kit)
    assert (found.count, found.erased) == (0, 1)


async def test_a_changed_log_is_told_with_the_next_event(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    """LS-03: nobody runs verify every minute."""
    caplog.set_level(logging.ERROR)
    await kinds(kit)

    def forging(tail: Tail, rows: Sequence[Row]) -> Batch:
        assert tail.newest is not None
        return Batch((), tail.newest._replace(hash=bytes(32)), tail.newest.position)

    await kit.audit.seal(forging, 1)
    kit.recorder.note(Registered("u"))
    await kit.recorder.drain()
    assert "watchword audit verify" in caplog.text
    assert not await whole(kit)
