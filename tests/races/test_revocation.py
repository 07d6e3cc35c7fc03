"""What ends on one worker has ended on all of them. How fast is measured by `benchmarks/revocation`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests import fleet
from tests.house import PASSWORD
from tests.races.deployed import DEADLINE, Deployment, deployment
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from watchword.core.models import Account
from watchword.flows import accounts, roles
from watchword.web.lines import CLOSE_CODE

pytestmark = pytest.mark.xdist_group("races")


class SignedIn:
    """A user's tokens."""

    def __init__(self, user: Account, tokens: dict[str, Any]) -> None:
        self.user_id = user.id
        self.email = user.email
        self.tokens = tokens
        self.bearer = {"Authorization": f"Bearer {tokens['access_token']}"}


async def signed_in(d: Deployment, *scopes: str) -> SignedIn:
    """A fresh user with one session, known to every worker."""
    user = await d.user(*scopes)
    answer = await d.client.post(f"{d.urls[0]}/login", data={"username": user.email, "password": PASSWORD})
    who = SignedIn(user, answer.json())
    for url in d.urls:
        assert await d.status(url, who.bearer) == 200
    return who


Act = Callable[[Deployment, SignedIn], Awaitable[Any]]

ACTS: dict[str, Act] = {
    "logout": lambda d, who: d.client.post(f"{d.urls[0]}/logout", headers=who.bearer),
    "logout everywhere": lambda d, who: d.client.delete(f"{d.urls[0]}/sessions", headers=who.bearer),
    "disable": lambda d, who: accounts.disable(d.kit, who.user_id),
    "delete": lambda d, who: accounts.delete(d.kit, who.user_id),
    "password": lambda d, who: accounts.set_password(d.kit, who.user_id, "another long passphrase"),
    "password, by its owner": lambda d, who: change_password(d, who),
    "reused refresh token": lambda d, who: reuse(d, who),
}


async def reuse(d: Deployment, who: SignedIn) -> None:
    """Two turns, and then the first token again."""
    token = who.tokens["refresh_token"]
    for _ in range(2):
        answer = await d.client.post(
            f"{d.urls[0]}/refresh", data={"grant_type": "refresh_token", "refresh_token": token}
        )
        token = answer.json()["refresh_token"]
    first = {"grant_type": "refresh_token", "refresh_token": who.tokens["refresh_token"]}
    assert (await d.client.post(f"{d.urls[0]}/refresh", data=first)).status_code == 400


async def change_password(d: Deployment, who: SignedIn) -> None:
    """From another device, which stays signed in on every worker."""
    form = {"username": who.email, "password": PASSWORD}
    tokens = (await d.client.post(f"{d.urls[-1]}/login", data=form)).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
    assert (await d.client.post(f"{d.urls[0]}/change-password", json=body, headers=bearer)).status_code == 204
    await d.everywhere(who.bearer, 401)
    for url in d.urls:
        assert (await d.client.get(f"{url}/items/", headers=bearer)).status_code == 200


async def test_every_act_that_ends_sessions_ends_their_access_tokens_on_every_worker(
    running: tuple[str, list[fleet.Worker]], tmp_path: Path
) -> None:
    """RV-01, RV-04: a stolen access token must not outlive the logout by going to another worker."""
    async with deployment(running, tmp_path) as d:
        for act in ACTS.values():
            who = await signed_in(d)
            await act(d, who)
            await d.everywhere(who.bearer, 401)
            refresh = {"grant_type": "refresh_token", "refresh_token": who.tokens["refresh_token"]}
            assert (await d.client.post(f"{d.urls[-1]}/refresh", data=refresh)).status_code == 400


async def test_a_scope_that_is_taken_away_ends_the_tokens_and_not_the_session(
    running: tuple[str, list[fleet.Worker]], tmp_path: Path
) -> None:
    """TC-11: whoever lost a right must not keep using the token that still carries it."""
    async with deployment(running, tmp_path) as d:
        who = await signed_in(d, "items:write")
        assert (await d.client.get(f"{d.urls[1]}/written", headers=who.bearer)).status_code == 200
        await accounts.revoke(d.kit, who.user_id, {"items:write"})
        await d.everywhere(who.bearer, 401)
        refresh = {"grant_type": "refresh_token", "refresh_token": who.tokens["refresh_token"]}
        tokens = (await d.client.post(f"{d.urls[1]}/refresh", data=refresh)).json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        for url in d.urls:
            assert (await d.client.get(f"{url}/items/", headers=bearer)).status_code == 200
            assert (await d.client.get(f"{url}/written", headers=bearer)).status_code == 403


async def test_a_role_that_gives_less_ends_the_tokens_of_all_who_have_it_and_no_session(
    running: tuple[str, list[fleet.Worker]], tmp_path: Path
) -> None:
    """TC-11: a right that came by a role must not be used on, either, on no worker and by none of many."""
    async with deployment(running, tmp_path) as d:
        await roles.put(d.kit, "writer", frozenset({"items:*"}))
        people = [await signed_in(d) for _ in range(3)]
        for one in people:
            await roles.give(d.kit, one.user_id, "writer")
        bearers = [await refreshed(d, one) for one in people]
        for bearer in bearers:
            assert (await d.client.get(f"{d.urls[1]}/written", headers=bearer)).status_code == 200
        await roles.put(d.kit, "writer", frozenset({"items:read"}))
        for one, bearer in zip(people, bearers, strict=True):
            await d.everywhere(bearer, 401)
            again = await refreshed(d, one)
            for url in d.urls:
                assert (await d.client.get(f"{url}/items/", headers=again)).status_code == 200
                assert (await d.client.get(f"{url}/written", headers=again)).status_code == 403


async def refreshed(d: Deployment, who: SignedIn) -> dict[str, str]:
    """The header of the next access token of the same session."""
    refresh = {"grant_type": "refresh_token", "refresh_token": who.tokens["refresh_token"]}
    answer = await d.client.post(f"{d.urls[1]}/refresh", data=refresh)
    assert answer.status_code == 200, answer.text
    who.tokens = answer.json()
    return {"Authorization": f"Bearer {who.tokens['access_token']}"}


async def test_an_open_websocket_on_another_worker_is_closed(
    running: tuple[str, list[fleet.Worker]], tmp_path: Path
) -> None:
    """A socket that was opened before the logout must not go on as the user who left."""
    async with deployment(running, tmp_path) as d:
        who = await signed_in(d)
        url = d.urls[-1].replace("http://", "ws://") + "/ws"
        token = who.tokens["access_token"]
        async with connect(url, subprotocols=["bearer", token], proxy=None) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "bearer"
            await socket.send("hello")
            assert await socket.recv() == f"{who.user_id}: hello"
            await d.client.post(f"{d.urls[0]}/logout", headers=who.bearer)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), DEADLINE)
            assert socket.close_code == CLOSE_CODE


async def test_a_worker_that_starts_later_refuses_what_was_ended_before(
    running: tuple[str, list[fleet.Worker]], tmp_path: Path
) -> None:
    """RV-06: a restart must not revive a token."""
    database_url, _ = running
    async with deployment(running, tmp_path) as d:
        who = await signed_in(d)
        await d.client.post(f"{d.urls[0]}/logout", headers=who.bearer)
        late = fleet.start(fleet.settings(database_url, tmp_path), tmp_path)
        try:
            fleet.ready(late)
            assert (await d.client.get(f"{late.url}/items/", headers=who.bearer)).status_code == 401
        finally:
            late.stop()
