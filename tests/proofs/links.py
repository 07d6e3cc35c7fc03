"""RS-02: 64 callers in four processes use one mailed link at once, of each purpose, on SQLite and on PostgreSQL. One wins."""

import asyncio
import dataclasses
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from unittest import mock

from tests import databases, fleet
from tests.house import CHEAP
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total
from tests.races.linker import USES, agree

from watchword import Auth
from watchword.core.mail import Mail
from watchword.core.models import NOWHERE, Principal
from watchword.features.magic_link import flow as magic_link
from watchword.features.one_time_code import flow as one_time_code
from watchword.flows import notices, post, recover, verify_email
from watchword.flows.change_email import request as change_email
from watchword.flows.kit import Kit
from watchword.ports import NewUser

ROUNDS = 200
SHORT = 2
PROCESSES = 4
CALLERS = 16
"""In each process."""


class Catcher:
    """Carries no mail away, and keeps the link of the last."""

    languages = ("en",)
    link = ""

    async def deliver(self, mail: Mail) -> None:
        told = mail.facts
        self.link = told.get("link") or told.get("undo") or f"#{mail.recipient} {told['code']}"


async def token(kit: Kit, purpose: str, place: int) -> str:
    """A live link of this purpose, asked for as its owner does; for an account of its own."""
    email = f"{purpose}-{place}@example.com"
    now = kit.clock.now()
    if purpose == "register":
        await verify_email.ask_newcomer(kit, email, None, "hash", NOWHERE)
        return await caught(kit)
    await kit.users.add(NewUser(kit.new_id(), email, None, "hash", frozenset(), now))
    found = await kit.users.find(email)
    assert found is not None
    who = Principal(found.user.id, "", frozenset(), frozenset(), int(now.timestamp()), {})
    if purpose == "reset-password":
        await recover.request(kit, email)
    elif purpose == "magic-link":
        await magic_link.request(kit, email, "/welcome")
    elif purpose == "one-time-code":
        await one_time_code.request(kit, email)
    elif purpose == "verify-email":
        await verify_email.request(kit, who)
    elif purpose == "undo":
        await post.queue(kit, await notices.about(kit, "password-changed", found.user, NOWHERE, now))
    else:
        await change_email(kit, who, f"new-{email}")
        if purpose == "confirm-email":
            await agree(kit, await caught(kit))
    return await caught(kit)


async def caught(kit: Kit) -> str:
    await kit.post.drain()
    await post.deliver(kit)
    assert isinstance(kit.mailer, Catcher)
    return kit.mailer.link.partition("#")[2]


@asynccontextmanager
async def racers(environment: Mapping[str, str]) -> AsyncIterator[Callable[[str, str], Awaitable[list[int]]]]:
    """Processes at the ready: gives what lets all of them use one link, and says how often it worked in each."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.races.linker", str(CALLERS),
            env=dict(environment), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip

    async def said(process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        return (await process.stdout.readline()).decode().strip()

    async def use(purpose: str, secret: str) -> list[int]:
        for process in started:
            assert process.stdin is not None
            process.stdin.write(json.dumps([purpose, secret]).encode() + b"\n")
        return [int(await said(process)) for process in started]

    try:
        assert [await said(process) for process in started] == ["ready"] * PROCESSES
        yield use
    finally:
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


async def race(environment: Mapping[str, str], purposes: Sequence[str], rounds: int) -> None:
    with mock.patch.dict(os.environ, environment):
        auth = Auth(argon2=CHEAP)
    await auth.start()
    kit = dataclasses.replace(await auth.open(), mailer=Catcher())
    try:
        async with racers(environment) as use:
            for purpose, place in itertools.product(purposes, range(rounds)):
                won = await use(purpose, await token(kit, purpose, place))
                assert sum(won) == 1, f"{purpose}, round {place}: {won} callers won"
    finally:
        await auth.stop()


def run(kind: str, purposes: Sequence[str], rounds: int, bench: Bench) -> Figures:
    ground = bench.ground(kind)
    try:
        environment = fleet.settings(ground.url, bench.folder) | {"WATCHWORD_ATTEMPTS_PER_NETWORK": "10000"}
        asyncio.run(race(environment, purposes, rounds))
    finally:
        ground.close()
    links = rounds * len(purposes)
    return {"rounds": links, "uses": links * PROCESSES * CALLERS}


def units(short: bool) -> Sequence[Unit]:
    if short:
        return [Unit(kind, partial(run, kind, tuple(USES), SHORT)) for kind in databases.KINDS]
    each = itertools.product(databases.KINDS, USES)
    return [Unit(f"{kind}-{purpose}", partial(run, kind, (purpose,), ROUNDS)) for kind, purpose in each]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    return [
        Row("links, each used 64 times at once", "동시에 64번씩 사용한 링크", number(total(figures, "rounds"))),
        Row("uses", "사용 시도", number(total(figures, "uses"))),
        Row("links that worked twice, or for nobody", "두 번 통했거나 아무에게도 통하지 않은 링크", "0"),
    ]  # fmt: skip


PROOF = Proof("links", units, report)
