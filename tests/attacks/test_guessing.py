"""Guessing: passwords tried one after another and at once, from one address and from many, behind forged headers.

Each docstring begins with the row of the security requirements that it shows. Many guesses at several workers are in
`tests/races/test_guessing.py`.
"""

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, House, open_house
from tests.wired import said, wired

from watchword import Settings
from watchword.core import foreign_hashes, links, opaque, passwords
from watchword.core.errors import UnusableHash
from watchword.core.events import AttemptsExhausted
from watchword.core.policy import CLOCK_JUMP
from watchword.core.tally import Tally
from watchword.flows import accounts, throttle
from watchword.flows.upkeep import run as upkeep
from watchword.ports import NewUser
from watchword.server.app import create_app
from watchword.stores.sql import hot

WRONG = "not the password of today"
LIMIT = 10
NOBODY = "nobody@example.com"
ELSEWHERE = "198.51.100.20"


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that is compared with a hash."""
    seen: list[str] = []
    verify = passwords.verify

    def noted(stored: str, password: str, *more: Any) -> Any:
        seen.append(password)
        return verify(stored, password, *more)

    monkeypatch.setattr(passwords, "verify", noted)
    return seen


async def from_address(house: House, address: str, name: str, password: str, **headers: str) -> httpx2.Response:
    """A login that comes from another address."""
    transport = httpx2.ASGITransport(app=house.app, client=(address, 50000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        form = {"username": name, "password": password}
        return await client.post("/login", data=form, headers=headers)


async def guess(house: House, times: int, name: str = ADA) -> list[int]:
    """The statuses of so many wrong passwords."""
    return [(await house.try_login(name, f"{WRONG} {number}")).status_code for number in range(times)]


async def test_after_ten_wrong_passwords_nothing_is_evaluated_for_a_while(either: House, evaluated: list[str]) -> None:
    """RL-01: the attacker has a list of two hundred passwords. Peers evaluate two hundred; here the eleventh is the first that
    nobody looks at, were it the right one, and the wait is told."""
    await either.register()
    assert await guess(either, 200) == [400] * LIMIT + [429] * 190
    refused = await either.try_login()
    assert (refused.status_code, refused.json()["error"]) == (429, "too_many_attempts")
    assert refused.headers["retry-after"] == "90"
    assert len(evaluated) == LIMIT


async def test_the_attempts_come_back_one_by_one(house: House) -> None:
    """RL-08: a window that every attempt prolongs never ends for whoever is attacked; one that ends at once gives a whole new
    list. Here one attempt comes back each ninety seconds, whatever is tried meanwhile."""
    await house.register()
    await guess(house, LIMIT)
    for _ in range(3):
        house.clock.tick(89)
        assert await guess(house, 5) == [429] * 5
        house.clock.tick(1)
        assert await guess(house, 2) == [400, 429]
    house.clock.tick(throttle.WINDOW)
    await house.login()


async def test_parallel_guesses_are_counted_before_they_are_evaluated(either: House, evaluated: list[str]) -> None:
    """RL-02: five hundred guesses at once, so that each is checked before any of them is counted. On a machine that is busy
    some of them get no connection in time and are told to come again: nobody looks at those either."""
    await either.register()
    answers = await asyncio.gather(*(either.try_login(ADA, f"{WRONG} {number}") for number in range(500)))
    told = Counter(answer.status_code for answer in answers)
    assert told[400] == len(evaluated) == LIMIT
    assert told[429] + told[503] == 500 - LIMIT


FORGED = [
    lambda n: {"x-forwarded-for": f"203.0.113.{n}"},
    lambda n: {"x-real-ip": f"203.0.113.{n}"},
    lambda n: {"forwarded": f"for=203.0.113.{n}"},
    lambda n: {
        "x-client-ip": f"203.0.113.{n}",
        "cf-connecting-ip": f"203.0.113.{n}",
        "true-client-ip": f"203.0.113.{n}",
    },
]


@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_address_is_not_another_network(house: House, forged: Callable[[int], dict[str, str]]) -> None:
    """RL-03: each guess says that it comes from somewhere else. Nobody who was not configured is believed."""
    await house.register()
    answers = [await from_address(house, "203.0.113.7", ADA, WRONG, **forged(n)) for n in range(LIMIT + 5)]
    assert [answer.status_code for answer in answers] == [400] * LIMIT + [429] * 5


async def test_behind_a_trusted_proxy_each_client_is_counted_by_its_own_address(
    tmp_path: Path, sqlite_url: str
) -> None:
    """RL-03: what the proxy itself adds is believed, what the attacker wrote to the left of it is not."""
    async with open_house(tmp_path, database_url=sqlite_url, trusted_proxies=("10.0.0.0/8",)) as house:
        await house.register()
        for number in range(LIMIT + 5):
            forged = f"192.0.2.{number}, {ELSEWHERE}"
            answer = await from_address(house, "10.0.0.1", ADA, WRONG, **{"x-forwarded-for": forged})
            assert answer.status_code == (400 if number < LIMIT else 429)
        beside = await from_address(house, "10.0.0.1", ADA, WRONG, **{"x-forwarded-for": "198.51.100.21"})
        assert beside.status_code == 400


@pytest.mark.parametrize("written", ["198.51.100.7:4711", "[2001:db8:1:2::7]:4711", "[2001:db8:1:2::8]"])
async def test_a_proxy_that_writes_the_port_is_understood(tmp_path: Path, sqlite_url: str, written: str) -> None:
    """RL-03: if what such a proxy writes were no address, all its clients would be one network, and one of them could lock
    out all others."""
    async with open_house(tmp_path, database_url=sqlite_url, trusted_proxies=("10.0.0.0/8",)) as house:
        await house.register()
        for _ in range(LIMIT):
            await from_address(house, "10.0.0.1", ADA, WRONG, **{"x-forwarded-for": written})
        answer = await from_address(house, "10.0.0.1", ADA, WRONG, **{"x-forwarded-for": f"{ELSEWHERE}:80, {written}"})
        assert answer.status_code == 429
        beside = await from_address(house, "10.0.0.1", ADA, WRONG, **{"x-forwarded-for": "203.0.113.9:4711"})
        assert beside.status_code == 400


@pytest.mark.usefixtures("logging_as_before")
def test_an_address_in_a_trailer_is_not_another_network(tmp_path: Path) -> None:
    """RL-03: a trusted proxy writes its header and passes the body on, trailers included. One of them would be the last
    `X-Forwarded-For`, and each guess come from a network of its own."""
    body = b"username=nobody%40example.com&password=wrong+wrong+wrong"
    head = (
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: 198.51.100.20\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with wired(create_app(Settings(data_dir=tmp_path / "home", trusted_proxies=("127.0.0.1",)))) as port:
        answers = [
            said(port, head + b"%x\r\n%b\r\n0\r\nX-Forwarded-For: 203.0.113.%d\r\n\r\n" % (len(body), body, number))
            for number in range(LIMIT + 2)
        ]
    assert [answer[9:12] for answer in answers] == [b"400"] * LIMIT + [b"429"] * 2


async def test_a_login_of_ones_own_between_the_guesses_does_not_clear_them(house: House) -> None:
    """RL-04: the attacker has an account too, and signs in to it after every ninth guess."""
    await house.register()
    await house.register(BOB, OTHER_PASSWORD)
    statuses = []
    for _ in range(4):
        statuses += await guess(house, 5)
        await house.login(BOB, OTHER_PASSWORD)
    assert statuses == [400] * LIMIT + [429] * 10


async def test_the_owners_own_login_does_not_give_the_attacker_new_guesses(house: House) -> None:
    """RL-04: nor does the victim's login, which the attacker can wait for."""
    await house.register()
    statuses = []
    for _ in range(5):
        statuses += await guess(house, 3)
        await house.try_login()
    assert statuses.count(400) == LIMIT


async def test_workers_that_were_given_a_new_master_key_count_with_the_others(tmp_path: Path, sqlite_url: str) -> None:
    """RL-01: while a master key is changed, worker by worker, each half of them would count for itself."""
    old, new = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    async with open_house(tmp_path, database_url=sqlite_url, master_keys=(old,)) as house:
        await house.register()
        statuses = await guess(house, LIMIT)
        async with open_house(tmp_path, database_url=sqlite_url, master_keys=(new, old)) as other:
            assert statuses + await guess(other, 1) == [400] * LIMIT + [429]


@pytest.mark.parametrize("spellings", [
    (ADA, " ada@EXAMPLE.com", "Ada@Example.com", "\uff41da@example.com"),
    ("countess", "COUNTESS ", " Countess", "\uff43ountess"),
])  # fmt: skip
async def test_the_spellings_of_a_name_are_counted_together(house: House, spellings: tuple[str, ...]) -> None:
    """RL-01: a name is found in many spellings. Each would be ten more guesses."""
    await house.register(username="countess")
    statuses = [code for name in spellings for code in await guess(house, 4, name)]
    assert statuses == [400] * LIMIT + [429] * (4 * len(spellings) - LIMIT)


async def test_a_limit_does_not_tell_which_names_are_of_one_account(house: House) -> None:
    """EN-05: the attacker knows a username and tries out addresses. If ten guesses under one name were refused under the
    other, the eleventh would say whose they are, and that the account is there. So each name has ten of its own; where all
    guesses come from many networks, the account has a hundred in a day under all of its names."""
    user_id = await house.register(username="countess")
    await guess(house, LIMIT + 1)
    await guess(house, LIMIT + 1, NOBODY)
    assert await guess(house, 1, "countess") == await guess(house, 1, "duchess") == [400]
    for n in range(101):
        await from_address(house, f"203.0.113.{n}", user_id, WRONG)
    assert await guess(house, 1, "countess") == [400], "and an id is the name of nobody"
    for n in range(90):
        name = (ADA, "countess")[n % 2]
        await from_address(house, f"198.51.100.{n}", name, WRONG)
    for name in (ADA, "countess"):
        assert (await from_address(house, "192.0.2.1", name, WRONG)).status_code == 429


async def test_the_network_has_a_limit_over_all_accounts(tmp_path: Path, sqlite_url: str) -> None:
    """RL-01: one password for every account (spraying) stays below each account's limit."""
    async with open_house(tmp_path, database_url=sqlite_url, attempts_per_network=25) as house:
        statuses = [code for n in range(30) for code in await guess(house, 1, f"user{n}@example.com")]
        assert statuses == [400] * 25 + [429] * 5
        assert (await from_address(house, ELSEWHERE, ADA, WRONG)).status_code == 400


@pytest.mark.parametrize(("one", "other", "same"), [
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
    ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ("::ffff:203.0.113.9", "203.0.113.9", True),
    ("203.0.113.9", "203.0.113.10", False),
])  # fmt: skip
async def test_an_ipv6_network_is_counted_as_one(house: House, one: str, other: str, same: bool) -> None:
    """RL-08: a customer of IPv6 has 2^64 addresses, one for each guess."""
    await house.register()
    for _ in range(LIMIT):
        await from_address(house, one, ADA, WRONG)
    assert (await from_address(house, other, ADA, WRONG)).status_code == (429 if same else 400)


async def test_guesses_from_many_networks_have_a_limit_of_the_account(house: House) -> None:
    """RL-01: ten guesses from each of a thousand machines. After a hundred, nobody from an unknown network is heard."""
    await house.register()
    statuses = [
        (await from_address(house, f"198.51.{n}.{m}", ADA, WRONG)).status_code for n in range(30) for m in range(5)
    ]
    assert statuses == [400] * 100 + [429] * 50


async def test_a_victim_is_let_in_from_where_they_have_been(house: House) -> None:
    """RL-06: the attacker does not want in, but the victim out: guesses from everywhere, for ever. Where the victim has signed
    in before, they sign in; the session that they have lives on; elsewhere it is a matter of minutes."""
    await house.register()
    login = await house.login()
    for n in range(150):
        await from_address(house, f"198.51.100.{n}", ADA, WRONG)
    assert (await from_address(house, "192.0.2.1", ADA, PASSWORD)).status_code == 429
    again = await house.login()
    assert (await house.me(again)).status_code == 200
    assert (await house.me(await house.refresh(login.refresh))).status_code == 200
    house.clock.tick(timedelta(minutes=15))
    assert (await from_address(house, "192.0.2.1", ADA, PASSWORD)).status_code == 200


async def test_one_network_alone_keeps_nobody_out(house: House) -> None:
    """RL-06: one machine that tries every ten seconds would use up what the account has from everywhere, and its owner, who
    is nowhere known today, would stand outside for as long as it goes on. So one network has a small part of that."""
    await house.register()
    for _ in range(3 * 24 * 6):
        house.clock.tick(timedelta(minutes=10))
        await from_address(house, ELSEWHERE, ADA, WRONG)
    assert (await from_address(house, ELSEWHERE, ADA, PASSWORD)).status_code == 429
    assert (await from_address(house, "192.0.2.1", ADA, PASSWORD)).status_code == 200


async def test_the_owner_who_signs_in_gives_strangers_no_guesses(house: House) -> None:
    """RL-04: the account's guesses of today are used up. A script of the owner's signs in each minute from where it is known:
    what it takes back must not be what strangers had used."""
    await house.register()
    await house.login()
    for n in range(101):
        await from_address(house, f"198.51.100.{n}", ADA, WRONG)
    for _ in range(5):
        await house.login()
    statuses = [(await from_address(house, f"203.0.113.{n}", ADA, WRONG)).status_code for n in range(5)]
    assert statuses == [429] * 5


async def test_where_a_thief_has_been_is_not_known_after_the_password_was_changed(house: House) -> None:
    """RL-06: whoever signed in once with a stolen password would be spared for 90 days, while the account is locked for
    others."""
    await house.register()
    login = await house.login()
    assert (await from_address(house, ELSEWHERE, ADA, PASSWORD)).status_code == 200
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await house.client.post("/change-password", json=body, headers=login.headers)).status_code == 204
    for n in range(101):
        await from_address(house, f"203.0.113.{n}", ADA, WRONG)
    assert (await from_address(house, ELSEWHERE, ADA, WRONG)).status_code == 429


async def test_where_nobody_had_the_right_password_no_network_is_known(house: House) -> None:
    """RL-06, the other side: the exception is for the owner. The attacker's own logins, and their guesses, earn none."""
    await house.register()
    await house.register(BOB, OTHER_PASSWORD)
    assert (await from_address(house, ELSEWHERE, BOB, OTHER_PASSWORD)).status_code == 200
    for n in range(150):
        await from_address(house, f"203.0.113.{n}", ADA, WRONG)
    for network in (ELSEWHERE, "203.0.113.1"):
        assert (await from_address(house, network, ADA, WRONG)).status_code == 429


async def test_an_unknown_name_meets_the_same_limit(either: House) -> None:
    """EN-05: if only real accounts were locked, a lock would tell that there is one."""
    await either.register()
    answers = {}
    for name in (ADA, NOBODY, "nobody", "not a name at all"):
        tried = [await either.try_login(name, WRONG) for _ in range(LIMIT + 1)]
        answers[name] = [(answer.status_code, answer.content, answer.headers.get("retry-after")) for answer in tried]
    assert [status for status, _, _ in answers[ADA]] == [400] * LIMIT + [429]
    assert all(answers[name] == answers[ADA] for name in answers)


async def test_without_its_store_nothing_is_evaluated(either: House, evaluated: list[str]) -> None:
    """RL-07: the attacker floods the database until it fails, and guesses without being counted. The limits are in the
    database itself, there is no other store to lose: what can't be counted is not evaluated, and it goes on afterwards."""
    await either.register()
    home = either.auth._home
    assert home is not None

    def broken(*_: Any) -> None:
        raise OperationalError("", {}, Exception("gone"))

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "watchword_hits" in statement:
            broken()

    arguments = hot.Prepared.arguments

    def refuse_straight(statement: hot.Prepared, values: Any) -> list[Any]:
        refuse(None, None, statement.sql)
        return arguments(statement, values)

    event.listen(home.db.engine.sync_engine, "before_cursor_execute", refuse)
    with mock.patch.object(hot.Prepared, "arguments", refuse_straight):
        for _ in range(LIMIT + 1):
            answer = await either.try_login()
            assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert evaluated == []
    event.remove(home.db.engine.sync_engine, "before_cursor_execute", refuse)
    assert (await either.try_login()).status_code == 200


async def test_what_was_counted_is_forgotten_and_holds_no_name(either: House) -> None:
    """RL-08: a million names fill the table. Whoever is refused leaves no row, a row goes when it means nothing any more, and
    none can be read: people type their password into the field for the name."""
    typed_in_the_wrong_field = "Blaue Kacheln im Treppenhaus"
    await guess(either, 3, typed_in_the_wrong_field)
    assert either.auth._home is not None
    async with either.auth._home.db.engine.connect() as connection:
        keys = [row.key for row in await connection.execute(text("SELECT key FROM watchword_hits"))]
    assert len(keys) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)
    await guess(either, 300)
    kit = await either.kit()
    either.clock.tick(timedelta(days=1) + CLOCK_JUMP)
    await upkeep(kit)
    async with either.auth._home.db.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM watchword_hits"))).scalar_one() == 0


def test_the_tally_in_memory_is_bounded() -> None:
    """RL-08: forged refresh tokens from a million networks. The memory for them has an end, and who sends most stays in it."""
    tally = Tally()
    day, refused = timedelta(days=1), None
    for number in range(3 * Tally.MAX):
        tally.count(f"network {number}", 1, day, 0.0)
        refused = tally.count("busy", 5, day, 0.0)
    assert refused is not None
    assert len(tally._until) == Tally.MAX
    assert tally.count(f"network {3 * Tally.MAX - 1}", 1, day, 0.0) is not None


async def test_the_owner_can_be_told_and_is_told_once(house: House) -> None:
    """LS-03: whoever reads the log of events sees that an account is being guessed at, and is not drowned in it."""
    told: list[AttemptsExhausted] = []
    house.auth.on(AttemptsExhausted, told.append)
    user_id = await house.register()
    await guess(house, 100)
    await (await house.kit()).handlers.drain()
    assert told == [AttemptsExhausted(user_id)]


# Every route that takes a secret

SECRETS = {"password", "current_password", "refresh_token", "token"}
MAILED = {"/verify-email", "/forgot-password", "/change-email"}
"""Take no secret, and send one."""


def takes_a_secret(house: House) -> set[str]:
    """The routes whose body has a field for a secret that exists already, and `/register`: from the OpenAPI document."""
    document = house.app.openapi()
    found = {f"POST {path}" for path in MAILED}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
                if SECRETS & set(schema["properties"]):
                    found.add(f"{method.upper()} {path}")
    return found


def says_429(house: House) -> set[str]:
    """The routes that the document says may answer with 429."""
    paths = house.app.openapi()["paths"]
    return {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "429" in operation["responses"]
    }


def forged_refresh(number: int) -> dict[str, str]:
    forged = opaque.mint(opaque.identifier(bytes(16)), number, bytes(32), (b"another key",))
    return {"grant_type": "refresh_token", "refresh_token": forged}


def forged_link(number: int) -> str:
    return links.mint(links.Link("reset-password", "someone", f"{number:024}", 2**31), b"another key")


SIGNED_IN = {"/change-password", "/reauthenticate", "/verify-email", "/change-email"}

BODIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "POST /login": lambda n: {"data": {"username": ADA, "password": f"{WRONG} {n}"}},
    "POST /register": lambda n: {"json": {"email": f"user{n}@example.com", "password": OTHER_PASSWORD}},
    "POST /refresh": lambda n: {"data": forged_refresh(n)},
    "POST /logout": lambda n: {"data": forged_refresh(n)},
    "POST /change-password": lambda n: {"json": {"current_password": f"{WRONG} {n}", "new_password": OTHER_PASSWORD}},
    "POST /reauthenticate": lambda n: {"json": {"password": f"{WRONG} {n}"}},
    "POST /verify-email": lambda _: {},
    "POST /verify-email/confirm": lambda n: {"json": {"token": forged_link(n)}},
    "POST /forgot-password": lambda n: {"json": {"email": f"user{n}@example.com"}},
    "POST /reset-password": lambda n: {"json": {"token": forged_link(n), "new_password": OTHER_PASSWORD}},
    "POST /disown": lambda n: {"json": {"token": forged_link(n)}},
    "POST /change-email": lambda n: {"json": {"email": f"user{n}@example.com"}},
    "POST /change-email/confirm": lambda n: {"json": {"token": forged_link(n)}},
}


async def test_the_routes_that_take_a_secret_are_those_that_have_a_limit(house: House) -> None:
    """RL-05: the door that was forgotten. Both lists come from the routes themselves, and a third says how to try each."""
    assert takes_a_secret(house) == says_429(house) == set(BODIES)


@pytest.mark.parametrize("route", BODIES)
async def test_every_route_that_takes_a_secret_ends_in_429(tmp_path: Path, sqlite_url: str, route: str) -> None:
    """RL-05: a limit at the front door alone sends the attacker to the next one."""
    async with open_house(tmp_path, database_url=sqlite_url, attempts_per_network=20) as house:
        await house.register()
        login = await house.login()
        method, path = route.split()
        headers = login.headers if path in SIGNED_IN else {}
        answers = [await house.client.request(method, path, headers=headers, **BODIES[route](n)) for n in range(25)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
        assert sum(answer.status_code != 429 for answer in answers) <= 20
        assert (await house.me(await house.refresh(login.refresh))).status_code == 200, "a good token is never refused"


async def test_noise_from_the_same_network_keeps_nobody_from_going(tmp_path: Path, sqlite_url: str) -> None:
    """RV-07: a client logs out, and its refresh token has been damaged on the way. Where others have sent forged ones, it must
    not stay signed in for that; a forged access token beside it is no way past the limit."""
    async with open_house(tmp_path, database_url=sqlite_url, attempts_per_network=10) as house:
        await house.register()
        login = await house.login()
        for number in range(11):
            await house.client.post("/logout", data=forged_refresh(number))
        forged = {"Authorization": f"Bearer {login.access[:-4]}AAAA"}
        assert (await house.client.post("/logout", headers=forged, data=forged_refresh(20))).status_code == 429
        assert (await house.client.post("/logout", headers=login.headers, data=forged_refresh(21))).status_code == 204
        assert (await house.me(login)).status_code == 401


async def test_guessed_service_keys_end_in_429(tmp_path: Path, sqlite_url: str) -> None:
    """RL-05: the route for other services takes a secret too, in its header. It stands in no document: it is tried by name."""
    key = secrets.token_urlsafe(32)
    async with open_house(tmp_path, database_url=sqlite_url, attempts_per_network=20, service_keys=(key,)) as house:
        statuses = []
        for number in range(25):
            headers = {"Authorization": f"Bearer guessed {number}"}
            statuses.append((await house.client.get("/revocations", headers=headers)).status_code)
        assert statuses == [401] * 20 + [429] * 5
        assert (await house.client.get("/revocations", headers={"Authorization": f"Bearer {key}"})).status_code == 200


async def test_a_stolen_access_token_gives_no_more_guesses_than_the_login(house: House) -> None:
    """RL-05: the thief of an access token guesses at /change-password, where the password would be theirs to change, and at
    the login in turn."""
    await house.register()
    login = await house.login()
    statuses = []
    for number in range(8):
        statuses += await guess(house, 1)
        body = {"current_password": f"{WRONG} {number}", "new_password": OTHER_PASSWORD}
        statuses.append((await house.client.post("/change-password", json=body, headers=login.headers)).status_code)
    assert statuses == [400, 403] * 5 + [429] * 6


async def test_people_who_sign_in_are_not_counted(house: House) -> None:
    """RL-04: a limit that counts good logins too is a lock that everybody turns on themselves."""
    await house.register()
    for _ in range(3 * LIMIT):
        await house.login()


# What a refusal costs

OLD = {
    "bcrypt": "$2b$04$eeeeeeeeeeeeeeeeeeeeeO9XrB9uHsXcNMkpP7JjH0ePb1wBhLnIW",
    "PBKDF2": "pbkdf2_sha256$1000$saltsalt$" + "b" * 42 + "A=",
}


async def test_an_unknown_name_costs_what_some_account_costs(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """EN-02: half of the accounts were imported with hashes that take ten times as long, and the attacker has a watch. A name
    that nobody has is compared with a hash like those that are stored, in their proportions, and the same at every try."""
    kit = await either.kit()
    hashes = {"ours": passwords.hash_password(PASSWORD, either.auth.policy.argon2), **OLD}
    for number in range(60):
        stored = hashes["ours"] if number % 2 else hashes["bcrypt" if number % 4 else "PBKDF2"]
        await kit.users.add(
            NewUser(kit.new_id(), f"user{number}@example.com", None, stored, frozenset(), kit.clock.now())
        )
    await upkeep(kit)
    compared: list[str] = []
    read = foreign_hashes.read

    def noted(stored: str) -> foreign_hashes.Hash:
        compared.append(stored.partition("$")[0] or stored.split("$")[1])
        return read(stored)

    monkeypatch.setattr(foreign_hashes, "read", noted)
    names = [f"nobody{number}@example.com" for number in range(120)]
    first = []
    for name in names:
        await either.try_login(name, WRONG)
        first.append(compared.pop())
    kinds = Counter(first)
    assert set(kinds) == {"argon2id", "2b", "pbkdf2_sha256"}
    assert 40 <= kinds["argon2id"] <= 80
    either.clock.tick(throttle.WINDOW)
    for name, kind in zip(names, first, strict=True):
        await either.try_login(name.upper(), WRONG)
        assert compared.pop() == kind


@pytest.mark.parametrize("stored", ["$2b$12$" + "e" * 21 + "O" + "9" * 31, OLD["PBKDF2"], "scrypt:32768:8:1$salt$" + "0f" * 64,
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "b" * 42 + "A",
    "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHQ$" + "b" * 42 + "A", "argon2$argon2id$v=19$m=512,t=2,p=2$c2FsdHNhbHQ$" + "b" * 42 + "A",
])  # fmt: skip
def test_a_likeness_costs_the_same_and_shows_nothing(stored: str) -> None:
    """EN-02: what imitates a stored hash stays in memory for hours. It must not be the hash."""
    likeness = foreign_hashes.likeness(stored)
    assert len(likeness) == len(stored)
    assert likeness.rpartition("$")[2] != stored.rpartition("$")[2]
    like, kept = foreign_hashes.read(likeness), foreign_hashes.read(stored)
    assert type(like) is type(kept)
    for cost in ("cost", "iterations", "digest", "n", "r", "p", "memory", "passes", "lanes", "tag"):
        assert getattr(like, cost, None) == getattr(kept, cost, None)
    for secret in ("salt", "expected", "text", "phc"):
        assert getattr(like, secret, 1) != getattr(kept, secret, 2)


def test_what_is_no_hash_has_no_likeness() -> None:
    """EN-02: a row that somebody has spoilt must not spoil the sample."""
    for stored in ("", "x", "$2b$12$", "plain text"):
        with pytest.raises(UnusableHash):
            foreign_hashes.likeness(stored)


async def test_unknown_wrong_disabled_and_overlong_are_one_answer(either: House) -> None:
    """EN-02: the words must tell no more than the time."""
    await either.register()
    await either.register(BOB, OTHER_PASSWORD)
    kit = await either.kit()
    await accounts.disable(kit, (await accounts.find(kit, BOB)).id)
    answers = [
        await either.try_login(NOBODY, PASSWORD),
        await either.try_login(ADA, WRONG),
        await either.try_login(BOB, OTHER_PASSWORD),
        await either.try_login(ADA, "x" * 70_000),
    ]
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
