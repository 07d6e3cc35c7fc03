"""What an annex adds to a house, and what a house refuses."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from fastapi import APIRouter, Depends, FastAPI
from tests.house import House, make_auth, open_house

from watchword import ConfigError, Feature, Principal
from watchword.core.errors import InvalidToken
from watchword.core.events import Event, Registered
from watchword.core.models import Client, FrozenDict
from watchword.core.tokens import Access
from watchword.flows import upkeep
from watchword.flows.annex import Annex, Prune, Way
from watchword.flows.kit import Kit
from watchword.stores.sql.engine import Database
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Guard, Open

WHO = Principal("robot", "wwt", frozenset({"read"}), frozenset({"test"}), 0, FrozenDict())


class Tickets(Feature):
    """Lets in whoever has the one ticket."""

    name: ClassVar[str] = "tickets"

    def __init__(self) -> None:
        self.opened: list[TicketOffice] = []

    def routes(self, open_house: Open, guard: Guard) -> Sequence[APIRouter]:
        router = APIRouter(route_class=ProblemRoute)

        @router.get("/tickets")
        async def tickets(who: Annotated[Principal, Depends(guard)]) -> str:
            return who.user_id

        return [router]

    def open(self, kit: Kit, db: Database) -> "TicketOffice":
        office = TicketOffice()
        self.opened.append(office)
        return office


class TicketOffice(Annex):
    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.pruned: list[datetime] = []
        self.asked: list[Client] = []
        self.closed = False

    @property
    def ways(self) -> Mapping[str, Way]:
        return {"wwt_": self.access}

    @property
    def prunes(self) -> Sequence[Prune]:
        return [self.prune]

    async def access(self, token: str, origin: Callable[[], Client]) -> Access:
        self.asked.append(origin())
        if token != "wwt_one":
            raise InvalidToken("no ticket")
        return Access(WHO, "", 0, float("inf"))

    async def prune(self, now: datetime, limit: int) -> int:
        self.pruned.append(now)
        return 0

    def hear(self, event: Event) -> None:
        self.heard.append(event)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def tickets() -> Tickets:
    return Tickets()


async def test_its_tokens_open_every_door_its_routes_included(
    tmp_path: Path, sqlite_url: str, tickets: Tickets
) -> None:
    app = FastAPI()
    async with open_house(tmp_path, prefix="/auth", app=app, database_url=sqlite_url, features=[tickets]) as house:

        @app.get("/mine")
        async def mine(who: Annotated[Principal, Depends(house.auth.requires("read"))]) -> str:
            return who.user_id

        for path in ("/mine", "/auth/tickets"):
            good = await house.client.get(path, headers={"Authorization": "Bearer wwt_one"})
            assert (good.status_code, good.json()) == (200, "robot")
            bad = await house.client.get(path, headers={"Authorization": "Bearer wwt_two"})
            assert (bad.status_code, bad.json()["code"]) == (401, "invalid_token")
        assert {one.ip for one in tickets.opened[0].asked} == {"203.0.113.7"}


async def test_it_hears_prunes_and_is_closed(tmp_path: Path, sqlite_url: str, tickets: Tickets) -> None:
    async with open_house(tmp_path, database_url=sqlite_url, features=[tickets]) as house:
        user_id = await house.register()
        await upkeep.run(await house.kit())
        (office,) = tickets.opened
        assert Registered(user_id) in office.heard
        assert len(office.pruned) == 1
        assert not office.closed
    assert office.closed


async def test_each_start_has_an_annex_of_its_own(tmp_path: Path, sqlite_url: str, tickets: Tickets) -> None:
    auth = make_auth(tmp_path, database_url=sqlite_url, features=[tickets])
    for _ in range(2):
        await auth.start()
        await auth.stop()
    assert [one.closed for one in tickets.opened] == [True, True]


@pytest.mark.parametrize(
    ("features", "told"),
    [([Tickets(), Tickets()], "tickets twice"), ([Tickets], "that are made"), (["tickets"], "that are made")],
)
def test_what_is_no_list_of_different_features_is_refused(tmp_path: Path, features: list[Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_auth(tmp_path, features=features)


async def test_two_features_can_t_have_one_kind_of_token(tmp_path: Path, sqlite_url: str) -> None:
    class Others(Tickets):
        name: ClassVar[str] = "others"

    with pytest.raises(ConfigError, match="two features have 'wwt_'"):
        await make_auth(tmp_path, database_url=sqlite_url, features=[Tickets(), Others()]).start()


async def test_two_annexes_can_t_have_one_name(house: House) -> None:
    kit = await house.kit()
    kit.add("one", Annex())
    with pytest.raises(ConfigError, match="two features have 'one'"):
        kit.add("one", Annex())


async def test_a_feature_that_says_nothing_adds_nothing(tmp_path: Path, sqlite_url: str) -> None:
    class Nothing(Feature):
        name: ClassVar[str] = "nothing"

    async with open_house(tmp_path, database_url=sqlite_url, features=[Nothing()]) as house:
        user_id = await house.register()
        assert (await house.me(await house.login())).json()["user_id"] == user_id
        assert not (await upkeep.run(await house.kit())).features
