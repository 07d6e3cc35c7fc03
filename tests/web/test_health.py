"""`/healthz` and `/readyz`."""

from pathlib import Path

import pytest
from tests.house import House, open_house

from watchword.core.errors import Unavailable
from watchword.core.keys import KeyRecord
from watchword.testing.contracts import a_key


async def test_they_are_opt_in_when_embedded(house: House) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await house.client.get(path)).status_code == 404


async def test_a_live_and_ready_process_says_so(tmp_path: Path, database_url: str) -> None:
    async with open_house(tmp_path, health=True, database_url=database_url) as house:
        healthy = await house.client.get("/healthz")
        assert (healthy.status_code, healthy.json()) == (200, {"status": "ok"})
        ready = await house.client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["status"] == "ok"


async def test_it_says_how_revocations_reach_the_worker(tmp_path: Path, database_url: str) -> None:
    async with open_house(tmp_path, health=True, database_url=database_url) as house:
        assert (await house.client.get("/readyz")).json() == {"status": "ok", "feed": "following"}
        await (await house.kit()).revocations.stop()
        assert (await house.client.get("/readyz")).json() == {"status": "ok", "feed": "asking the database"}


async def test_while_the_database_is_away_it_lives_and_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path, health=True) as house:
        kit = await house.kit()

        async def away() -> None:
            raise Unavailable("the database failed")

        monkeypatch.setattr(kit.keyring._store, "load", away)
        assert (await house.client.get("/healthz")).status_code == 200
        answer = await house.client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})


async def test_a_worker_whose_master_key_is_not_the_databases_any_more_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `keys abandon` it can open no key: a balancer must not send anybody to it."""
    async with open_house(tmp_path, health=True) as house:
        kit = await house.kit()

        async def others() -> list[KeyRecord]:
            return [a_key(2)]

        monkeypatch.setattr(kit.keyring._store, "load", others)
        answer = await house.client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})


async def test_they_stay_at_the_root_under_a_prefix(tmp_path: Path) -> None:
    async with open_house(tmp_path, prefix="/auth", health=True) as house:
        assert (await house.client.get("/healthz")).status_code == 200
        assert (await house.client.get("/auth/healthz")).status_code == 404
