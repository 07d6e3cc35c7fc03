"""What ends an API key on one worker has ended it on all of them, whoever remembers it. Real processes, real databases."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import fleet
from tests.races.deployed import Deployment, deployment

from watchword.features.api_keys import ApiKeys
from watchword.features.api_keys.flow import OPERATOR, Shown, annex_of
from watchword.features.api_keys.rules import Owner, Wanted
from watchword.flows import accounts

pytestmark = pytest.mark.xdist_group("races")


def bearer(shown: Shown) -> dict[str, str]:
    return {"Authorization": f"Bearer {shown.text}"}


async def remembered(d: Deployment) -> Shown:
    """A key of a fresh user, which every worker remembers."""
    user = await d.user("items:write")
    shown = await annex_of(d.kit).create(Owner.USER, user.id, Wanted("k", frozenset({"items:write"})), OPERATOR)
    for url in d.urls:
        for _ in range(2):
            assert await d.status(url, bearer(shown), "/written") == 200
    return shown


async def revoke(d: Deployment, one: Shown) -> None:
    await annex_of(d.kit).revoke(Owner.USER, one.key.owner_id, one.key.id, OPERATOR)


async def rotate(d: Deployment, one: Shown) -> None:
    await annex_of(d.kit).rotate(Owner.USER, one.key.owner_id, one.key.id, timedelta(0), OPERATOR)


ENDS: dict[str, Callable[[Deployment, Shown], Awaitable[Any]]] = {
    "revoke": revoke,
    "rotate": rotate,
    "this was not me": lambda d, one: annex_of(d.kit).disowned(one.key.owner_id),
    "disable the owner": lambda d, one: accounts.disable(d.kit, one.key.owner_id),
    "delete the owner": lambda d, one: accounts.delete(d.kit, one.key.owner_id),
}


async def test_every_act_that_ends_a_key_ends_it_on_every_worker(
    running: tuple[str, list[fleet.Worker]], tmp_path: Path
) -> None:
    """RV-04: a stolen key must not outlive its end by going to another worker, which remembers it. So it is with a service
    account that is disabled, and with a scope that its owner has no more; and what was given back holds again."""
    async with deployment(running, tmp_path, [ApiKeys()]) as d:
        keys = annex_of(d.kit)
        for act in ENDS.values():
            one = await remembered(d)
            await act(d, one)
            await d.everywhere(bearer(one), 401)
        account = await keys.add_account("ci", frozenset(), OPERATOR)
        theirs = await keys.create(Owner.SERVICE_ACCOUNT, account.id, Wanted("k"), OPERATOR)
        await d.everywhere(bearer(theirs), 200)
        await keys.disable_account(account.id, OPERATOR)
        await d.everywhere(bearer(theirs), 401)
        one = await remembered(d)
        await accounts.revoke(d.kit, one.key.owner_id, ["items:write"])
        await d.everywhere(bearer(one), 403, "/written")
        await accounts.grant(d.kit, one.key.owner_id, ["items:write"])
        await d.everywhere(bearer(one), 200, "/written")
