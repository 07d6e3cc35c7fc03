"""What an application does when something has happened: after the commit, beside the request, and never in its way."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from tests.house import ADA, PASSWORD, open_house

from watchword import ConfigError, events
from watchword.core.events import LoggedIn, LoginFailed
from watchword.flows import accounts, handlers
from watchword.flows.handlers import Handlers


async def test_handlers_hear_what_happened_in_the_order_of_the_commits(tmp_path: Path) -> None:
    heard: list[events.Event] = []
    async with open_house(tmp_path) as house:
        house.auth.on(events.Event, heard.append)
        user_id = await house.register()
        await house.login()
        await house.try_login(password="not the password of ada")
        kit = await house.kit()
        await accounts.disable(kit, user_id)
        await accounts.enable(kit, user_id)
        await kit.handlers.drain()
    kinds = [type(event) for event in heard]
    assert kinds == [events.Registered, LoggedIn, LoginFailed, events.UserDisabled, events.UserEnabled]
    assert {event.user_id for event in heard} == {user_id}


async def test_a_handler_is_asked_for_its_kind_alone_and_may_be_a_decorated_coroutine(tmp_path: Path) -> None:
    heard: list[str] = []
    async with open_house(tmp_path) as house:

        @house.auth.on(LoggedIn)
        async def note(event: LoggedIn) -> None:
            await asyncio.sleep(0)
            heard.append(event.session_id)

        await house.register()
        login = await house.login()
        sessions = await house.client.get("/sessions", headers=login.headers)
        await (await house.kit()).handlers.drain()
    assert heard == [sessions.json()[0]["id"]]


async def test_a_handler_that_fails_is_logged_and_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[LoggedIn] = []

    def fail(event: LoggedIn) -> None:
        heard.append(event)
        raise RuntimeError("the mail server is away")

    async with open_house(tmp_path) as house:
        house.auth.on(LoggedIn, fail)
        house.auth.on(LoggedIn, heard.append)
        await house.register()
        await house.login()
        await house.login()
        await (await house.kit()).handlers.drain()
    assert len(heard) == 4, "each got each, whatever the other did"
    assert caplog.text.count("a handler of LoggedIn failed") == 2
    assert "the mail server is away" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_slow_handler_holds_up_neither_the_login_nor_the_loop(tmp_path: Path) -> None:
    """The attack: a handler that writes a mail for known users alone would tell by its time who has an account."""
    release, started = threading.Event(), threading.Event()

    def wait(_: LoggedIn) -> None:
        started.set()
        release.wait(20)

    async with open_house(tmp_path) as house:
        house.auth.on(LoggedIn, wait)
        await house.register()
        login = await house.login()  # answers although the handler is still at work
        await asyncio.to_thread(started.wait, 20)
        assert (await house.me(login)).status_code == 200
        release.set()


async def test_a_stop_waits_for_the_handlers(tmp_path: Path) -> None:
    heard: list[str] = []

    async def slow(_: LoggedIn) -> None:
        for _turn in range(50):
            await asyncio.sleep(0)
        heard.append("done")

    async with open_house(tmp_path) as house:
        house.auth.on(LoggedIn, slow)
        await house.register()
        await house.login()
    assert heard == ["done"]


async def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(handlers, "DRAIN_SECONDS", 0.0)
    posts = Handlers()
    never = asyncio.Event()
    posts.add(LoginFailed, lambda _: never.wait())
    posts.tell(LoginFailed(None, "unknown user"))
    await posts.drain()
    assert "1 event handlers were still at work" in caplog.text
    never.set()
    monkeypatch.setattr(handlers, "DRAIN_SECONDS", 20.0)
    await posts.drain()


def test_a_loop_that_ends_takes_its_handlers_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """`asyncio.run` cancels what is left and waits for it: a handler that took it for a failure would go on for ever."""
    posts, heard, begun = Handlers(), list[LoginFailed](), asyncio.Event()

    async def wait(event: LoginFailed) -> None:
        heard.append(event)
        begun.set()
        await asyncio.Event().wait()

    async def tell() -> None:
        posts.add(LoginFailed, wait)
        posts.tell(LoginFailed(None, "unknown user"))
        posts.tell(LoginFailed(None, "unknown user"))
        await begun.wait()

    asyncio.run(tell())
    assert len(heard) == 1
    assert not caplog.records


async def test_a_flood_that_a_handler_cannot_follow_is_logged_as_lost_and_memory_stays_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The attack: thousands of failed logins a second, each an event in the memory of a slow handler."""
    monkeypatch.setattr(handlers, "MAX_WAITING", 3)
    posts, heard = Handlers(), []

    async def note(event: LoginFailed) -> None:
        heard.append(event)

    posts.add(LoginFailed, note)
    for _ in range(5):
        posts.tell(LoginFailed(None, "unknown user"))
    await posts.drain()
    assert len(heard) == 3
    assert caplog.text.count("was lost to it") == 2


async def test_an_object_with_an_async_call_is_a_handler_too() -> None:
    heard: list[LoginFailed] = []

    class Mailer:
        async def __call__(self, event: LoginFailed) -> None:
            heard.append(event)

    posts = Handlers()
    posts.add(LoginFailed, Mailer())
    posts.tell(LoginFailed(None, "unknown user"))
    await posts.drain()
    await posts.drain()  # nothing to wait for any more
    assert len(heard) == 1


def below(kind: type[events.Event]) -> set[type[events.Event]]:
    return {one for child in kind.__subclasses__() for one in (child, *below(child))}


async def test_what_can_be_listened_to_is_listed() -> None:
    ours = {kind for kind in below(events.Event) if kind.__module__ == events.Event.__module__}
    kinds = {kind.__name__ for kind in ours} | {"Event"}
    assert kinds == set(events.__all__)


async def test_the_host_signs_a_user_out_everywhere(tmp_path: Path) -> None:
    """For a host whose accounts are in another database: the account first, then this."""
    async with open_house(tmp_path) as house:
        user_id = await house.register()
        first, second = await house.login(), await house.login()
        assert len(await house.auth.sign_out_everywhere(user_id)) == 2
        for login in (first, second):
            assert (await house.me(login)).status_code == 401
        assert (await house.try_login(ADA)).status_code == 200


async def test_a_handler_knows_nothing_of_the_request_that_came_first() -> None:
    """The attack: two tenants sign in at once, and a handler that asks a context variable whose request this is writes the
    second one's event into the first one's books."""
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    heard: list[tuple[str | None, str]] = []
    posts = Handlers()
    posts.add(LoginFailed, lambda event: heard.append((event.user_id, tenant.get())))
    for name in ("acme", "zenith"):
        tenant.set(name)
        posts.tell(LoginFailed(name, "wrong password"))
    await posts.drain()
    assert heard == [("acme", "nobody"), ("zenith", "nobody")]


def stop(_: LoginFailed) -> None:
    next(iter(()))


async def cancel(_: LoginFailed) -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    task.cancel()
    await task


@pytest.mark.parametrize("handler", [stop, cancel])
async def test_a_handler_that_fails_oddly_still_gets_the_next_event(
    handler: Callable[[LoginFailed], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """StopIteration can't be put into a future, which then waits for ever; CancelledError is no Exception."""
    heard: list[LoginFailed] = []

    def both(event: LoginFailed) -> Any:
        heard.append(event)
        return handler(event)

    posts = Handlers()
    posts.add(LoginFailed, both)
    for name in ("one", "two"):
        posts.tell(LoginFailed(name, "wrong password"))
    async with asyncio.timeout(20):
        await posts.drain()
    assert [event.user_id for event in heard] == ["one", "two"]
    assert "LoginFailed" in caplog.text


@pytest.mark.parametrize(
    ("kind", "handler"), [(print, LoginFailed), ("LoggedIn", print), (int, print), (LoginFailed, 7)]
)
def test_what_is_no_event_or_no_handler_is_refused_at_once(kind: Any, handler: Any) -> None:
    """Else the first login after the deployment raises TypeError, and every one after it."""
    with pytest.raises(ConfigError, match=r"auth\.on\(LoggedIn, handler\)"):
        Handlers().add(kind, handler)
