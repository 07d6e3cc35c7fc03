"""A host's own claims in access tokens: they get in, they can't touch ours, and a hook that fails lets nothing through.

That it can't touch ours is shown by the attacks of TC-09, in `tests/attacks/test_claims.py`.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from tests.house import ADA, CHEAP, PASSWORD, House

from watchword import Auth, Principal, Session, Settings
from watchword.flows import session
from watchword.testing import FrozenClock

Hook = Callable[[Session], Any]


class Switch:
    """A hook that the test changes."""

    def __init__(self) -> None:
        self.hook: Hook = lambda _: {}

    def __call__(self, session: Session) -> Any:
        return self.hook(session)


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
async def house(tmp_path: Path, switch: Switch) -> AsyncIterator[House]:
    clock, app = FrozenClock(), FastAPI()
    auth = Auth(Settings(data_dir=tmp_path / "home"), claims=switch, clock=clock, argon2=CHEAP)
    auth.install(app)

    @app.get("/claims")
    async def claims(who: Annotated[Principal, Depends(auth.principal)]) -> Mapping[str, Any]:
        return who.claims

    await auth.start()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        house = House(app, auth, clock, client)
        await house.register()
        yield house
    await auth.stop()


async def claims(house: House, access: str) -> dict[str, Any]:
    answer = await house.client.get("/claims", headers={"Authorization": f"Bearer {access}"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_hook_adds_claims_at_login_and_at_each_refresh(house: House, switch: Switch) -> None:
    calls: list[Session] = []

    async def hook(session: Session) -> dict[str, Any]:
        calls.append(session)
        return {"tenant": "acme", "visit": len(calls)}

    switch.hook = hook
    login = await house.login()
    assert (await claims(house, login.access))["visit"] == 1
    refreshed = await house.refresh(login.refresh)
    found = await claims(house, refreshed.access)
    assert (found["tenant"], found["visit"]) == ("acme", 2)
    assert calls[0].user_id == calls[1].user_id == found["sub"]


async def test_claims_and_scopes_that_make_a_token_too_long_give_no_token(
    house: House, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    """A token over 8 KB would be handed out, and then refused by every route: signed in, and locked out. Nor does each try
    leave a session that nobody has, which would push out those of the user."""
    kit = await house.kit()
    user = await kit.users.find(ADA)
    assert user is not None
    await house.grant(ADA, *(f"{number:02}{'x' * 62}" for number in range(64)))
    switch.hook = lambda _: {"long": "x" * 2000}
    assert (await house.try_login()).status_code == 503
    assert "4159 characters of scopes (at most 3072 are given)" in caplog.text
    assert await session.of_user(kit, user.user.id) == []
    switch.hook = lambda _: {"long": "x" * 500}
    assert (await house.me(await house.login())).status_code == 200


@pytest.mark.parametrize("generation", ["older", "the one before"])
@pytest.mark.parametrize("scope", ["", "admin"])
async def test_a_copied_token_ends_the_session_whatever_the_hook_and_the_scope(
    house: House, switch: Switch, generation: str, scope: str
) -> None:
    """RFC 9700 4.14.2. The attack: while the hook is broken, or with a scope that is refused, a copied token is tried
    again and again; each time the refusal came first, and the session that somebody has a copy of lived on."""
    first = await house.login()
    second = await house.refresh(first.refresh)
    newest = second if generation == "the one before" else await house.refresh(second.refresh)
    house.clock.tick(60)

    def fail(_: Session) -> dict[str, Any]:
        raise RuntimeError("away")

    switch.hook = fail
    refused = await house.try_refresh(first.refresh, scope=scope)
    assert refused.json()["error"] == "invalid_grant"
    switch.hook = lambda _: {}
    assert (await house.try_refresh(newest.refresh)).status_code == 400


async def test_a_repeat_within_the_grace_is_refused_a_wider_scope_and_costs_nothing(house: House) -> None:
    first = await house.login()
    await house.refresh(first.refresh)
    assert (await house.try_refresh(first.refresh, scope="admin")).json()["error"] == "invalid_scope"
    await house.refresh(first.refresh)


async def test_claims_are_made_of_the_scopes_that_the_token_has(
    house: House, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: refresh while the operator takes `admin` away. The token came after the revocation, so it lives; its
    scopes were the new ones, and the role that the hook had made of the old ones went in with them."""
    await house.grant(ADA, "admin")
    switch.hook = lambda session: {"role": "admin" if "admin" in session.scopes else "guest"}
    login = await house.login()
    kit = await house.kit()
    turn = kit.sessions.turn

    async def overtaken(*args: Any, **kwargs: Any) -> Any:
        await house.grant(ADA)
        return await turn(*args, **kwargs)

    monkeypatch.setattr(kit.sessions, "turn", overtaken)
    refreshed = await house.refresh(login.refresh)
    assert (await claims(house, refreshed.access))["role"] == "guest"


@pytest.mark.parametrize(
    "made",
    [
        ["tenant"],
        "tenant",
        None,
        {"n": float("nan")},
        {1: "a number for a name"},
        {"t": (1, 2)},
        {"s": "\ud800"},
        {"o": object()},
        {"long": "x" * 3000},
    ],
    ids=lambda made: repr(made)[:20],
)
async def test_what_is_not_plain_json_goes_into_no_token(house: House, switch: Switch, made: object) -> None:
    switch.hook = lambda _: made
    assert (await house.try_login()).status_code == 503


async def test_a_hook_that_fails_lets_nobody_in_and_leaves_no_session(
    house: House, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    """CF-07. The attack: the tenant service is made to fail, in the hope for a token without a tenant."""

    def fail(_: Session) -> dict[str, Any]:
        raise RuntimeError("the tenant service is away")

    switch.hook = fail
    refused = await house.try_login()
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "tenant service" not in refused.text
    assert "the tenant service is away" in caplog.text
    switch.hook = lambda _: {}
    login = await house.login()
    assert len((await house.client.get("/sessions", headers=login.headers)).json()) == 1


async def test_a_failing_hook_does_not_use_a_refresh_token_up(house: House, switch: Switch) -> None:
    """Else a client that came in while the hook was broken would be taken for a thief after the grace."""
    login = await house.login()

    def fail(_: Session) -> dict[str, Any]:
        raise RuntimeError("away")

    switch.hook = fail
    assert (await house.try_refresh(login.refresh)).status_code == 503
    house.clock.tick(60)
    switch.hook = lambda _: {"tenant": "acme"}
    refreshed = await house.refresh(login.refresh)
    assert (await claims(house, refreshed.access))["tenant"] == "acme"


async def test_the_hook_is_not_asked_for_a_session_that_has_ended(house: House, switch: Switch) -> None:
    login = await house.login()
    await house.client.post("/logout", headers=login.headers)
    calls: list[Session] = []

    def note(session: Session) -> dict[str, Any]:
        calls.append(session)
        return {}

    switch.hook = note
    assert (await house.try_refresh(login.refresh)).status_code == 400
    assert calls == []


async def test_the_claims_of_a_principal_cannot_be_changed(house: House, switch: Switch) -> None:
    switch.hook = lambda _: {"tags": ["a", {"b": 1}]}
    login = await house.login(ADA, PASSWORD)
    assert (await claims(house, login.access))["tags"] == ["a", {"b": 1}]
