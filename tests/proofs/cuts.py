"""FT-02, FT-03: the connection to PostgreSQL is cut before COMMIT, or after it with the answer lost.

The act has happened, or it has not; the client hears 503 either way, tries again, and has what it asked for, once.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial

import httpx2
from tests.house import OTHER_PASSWORD, PASSWORD, House, Login, open_house
from tests.proofs.deployment import MASTER
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total
from tests.proxy import Fault, Wire, wire
from tests.services import until

ROUNDS, UNITS = 25, 5
"""Four cuts in each round: 500 for each fault."""


async def _rounds(fault: Fault, rounds: int, bench: Bench, url: str) -> Figures:
    async with (
        wire(url) as line,
        open_house(
            bench.folder,
            database_url=line.url,
            master_keys=MASTER,
            attempts_per_network=10_000,
            attempts_per_account=100,
        ) as house,
    ):
        for count in range(rounds):
            email = f"ada{count}@example.com"
            await house.register(email)
            await _refresh(house, line, fault, await house.login(email))
            await _logout(house, line, fault, await house.login(email))
            await _register(house, line, fault, f"bob{count}@example.com")
            await _change_password(house, line, fault, email)
            assert line.cuts == 4 * (count + 1)
        return {"cuts": line.cuts, fault.value: line.cuts}


async def _refresh(house: House, line: Wire, fault: Fault, login: Login) -> None:
    await house.written()
    line.fail(fault)
    await unavailable(house.try_refresh(login.refresh))
    first = await house.refresh(login.refresh)
    assert (await house.refresh(login.refresh)).refresh == first.refresh, "a second branch"
    assert first.refresh.split(".")[1] == "1", "one step, though it was asked for twice"
    assert (await house.me(first)).status_code == 200


async def _logout(house: House, line: Wire, fault: Fault, login: Login) -> None:
    await house.written()
    line.fail(fault)
    await unavailable(house.client.post("/logout", headers=login.headers))
    over = fault is Fault.AFTER_COMMIT
    await _answered(house, login, 401 if over else 200)
    assert (await house.client.post("/logout", headers=login.headers)).status_code == 204
    assert (await house.me(login)).status_code == 401
    assert (await house.try_refresh(login.refresh)).status_code == 400


async def _register(house: House, line: Wire, fault: Fault, email: str) -> None:
    body = {"email": email, "password": PASSWORD}
    await house.written()
    line.fail(fault, skip=1)  # the first COMMIT is that of the attempt, which is counted
    await unavailable(house.client.post("/register", json=body))
    found = await (await house.kit()).users.find(email)
    assert (found is not None) is (fault is Fault.AFTER_COMMIT)
    assert (await house.client.post("/register", json=body)).status_code == 202
    await house.login(email)


async def _change_password(house: House, line: Wire, fault: Fault, email: str) -> None:
    login, other = await house.login(email), await house.login(email)
    await house.written()
    line.fail(fault, skip=3)  # those of the attempt, counted and taken back, and of the notice, which is counted
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    await unavailable(house.client.post("/change-password", headers=login.headers, json=body))
    changed = fault is Fault.AFTER_COMMIT
    assert (await house.try_login(email, OTHER_PASSWORD)).status_code == (200 if changed else 400)
    assert (await house.try_login(email, PASSWORD)).status_code == (400 if changed else 200)
    await _answered(house, other, 401 if changed else 200)
    assert (await house.me(login)).status_code == 200


async def _answered(house: House, login: Login, status: int) -> None:
    """The worker that lost the answer hears of the act by the feed, as all others do."""

    async def so() -> bool:
        return (await house.me(login)).status_code == status

    await until(so)


async def unavailable(asking: Awaitable[httpx2.Response]) -> None:
    """The one answer to a fault of the database."""
    answer = await asking
    assert answer.status_code == 503, answer.text
    assert "retry-after" in answer.headers


def run(fault: Fault, rounds: int, bench: Bench) -> Figures:
    ground = bench.ground("postgresql")
    try:
        return asyncio.run(_rounds(fault, rounds, bench, ground.url))
    finally:
        ground.close()


def units(short: bool) -> Sequence[Unit]:
    rounds, count = (2, 1) if short else (ROUNDS, UNITS)
    return [
        Unit(f"{fault.value.replace(' ', '-')}-{number_}", partial(run, fault, rounds))
        for fault in (Fault.BEFORE_COMMIT, Fault.AFTER_COMMIT)
        for number_ in range(1, count + 1)
    ]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    rows = [
        ("connections cut before COMMIT arrived", "COMMIT이 도착하기 전에 끊은 연결", Fault.BEFORE_COMMIT.value),
        (
            "connections cut after COMMIT, its answer lost",
            "COMMIT 뒤 응답을 잃은 채 끊은 연결",
            Fault.AFTER_COMMIT.value,
        ),
    ]
    return [
        *(Row(en, ko, number(total(figures, name))) for en, ko, name in rows),
        Row(
            "half done, done twice, or a client lost that tried again",
            "절반만 반영, 두 번 반영, 재시도한 클라이언트가 로그아웃된 경우",
            "0",
        ),
    ]


PROOF = Proof("cuts", units, report)
