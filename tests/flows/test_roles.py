"""Roles: what a user may do is what was granted directly, and what their roles say. Also after a crash, and in a race."""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import update
from tests.flows.conftest import Worker
from tests.house import ADA, BOB, PASSWORD
from tests.interleaved import Act, interleaved, killed_after

from watchword.core.errors import InvalidInput, InvalidToken, NotFound, Unavailable
from watchword.core.events import Event, RoleChanged, RoleGiven, RoleRemoved, RoleTaken, ScopesChanged
from watchword.core.models import NOWHERE, Account, Revoked, Tokens
from watchword.flows import accounts, authenticate, particulars, password, roles, session, upkeep
from watchword.flows.kit import Kit
from watchword.ports import NewUser
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import users as table

READ, WRITE = frozenset({"items:read"}), frozenset({"items:read", "items:write"})
NOBODY = "a" * 26


async def member(kit: Kit, email: str = ADA, *scopes: str) -> str:
    """An account with these scopes; its id."""
    user_id = kit.new_id()
    await kit.users.add(NewUser(user_id, email, None, None, frozenset(scopes), kit.clock.now()))
    return user_id


async def may(kit: Kit, user_id: str) -> frozenset[str]:
    found = await kit.users.get(user_id)
    assert found is not None
    return found.user.scopes


async def everybody_has_what_is_said(kit: Kit) -> None:
    """Each account may do exactly what was granted directly and what its roles say; and nothing is left to be done."""
    assert await kit.roles.members(None, "", 500, unsettled=True) == []
    for one in await kit.users.page("", 500):
        holding = await roles.of_user(kit, one.user.id)
        if holding is not None and not holding.is_idle:
            assert one.user.scopes == holding.scopes, one.user.email


async def login(kit: Kit, email: str = ADA, asked: frozenset[str] | None = None) -> Tokens:
    return await session.open(kit, await password.prove(kit, email, PASSWORD, NOWHERE), asked, NOWHERE)


@pytest.fixture
def heard(kit: Kit) -> list[Event]:
    told: list[Event] = []
    kit.handlers.add(Event, told.append)
    return told


class TestGivingAndTaking:
    async def test_a_user_may_do_what_was_granted_and_what_the_roles_say(self, kit: Kit) -> None:
        ada = await member(kit, ADA, "direct")
        await roles.put(kit, "writer", WRITE, "writes items")
        await roles.put(kit, "clerk", frozenset({"orders:*"}))
        assert await roles.give(kit, ada, "writer") == WRITE | {"direct"}
        assert await roles.give(kit, ada, "clerk") == WRITE | {"direct", "orders:*"}
        assert await roles.take(kit, ada, "writer") == {"direct", "orders:*"} == await may(kit, ada)
        assert await roles.take(kit, ada, "clerk") == {"direct"} == await may(kit, ada)
        assert await roles.give(kit, ada, "clerk") == {"direct", "orders:*"}

    async def test_what_a_role_and_the_operator_both_gave_stays_while_one_of_them_gives_it(self, kit: Kit) -> None:
        ada = await member(kit, ADA, "items:read")
        await roles.put(kit, "writer", WRITE)
        await roles.give(kit, ada, "writer")
        assert await accounts.revoke(kit, ada, ["items:read"]) == WRITE, "by the role it is still theirs"
        assert await accounts.grant(kit, ada, ["items:write", "more"]) == WRITE | {"more"}
        assert await roles.take(kit, ada, "writer") == {"items:write", "more"}
        assert await accounts.set_scopes(kit, ada, READ) == READ == await may(kit, ada)

    async def test_a_user_without_roles_is_changed_as_ever(self, kit: Kit) -> None:
        """And what a host writes into its own table stands, while nobody there has a role."""
        ada = await member(kit, ADA, "direct")
        await roles.put(kit, "writer", WRITE)
        await roles.give(kit, ada, "writer")
        await roles.take(kit, ada, "writer")
        await kit.users.set_scopes(ada, frozenset({"by:host"}), kit.clock.now())
        assert await roles.settle(kit, ada) == frozenset({"by:host"})
        assert await roles.give(kit, ada, "writer") == WRITE | {"by:host"}

    async def test_twice_is_once(self, kit: Kit, heard: list[Event]) -> None:
        ada = await member(kit)
        await roles.put(kit, "writer", WRITE)
        for _ in range(2):
            assert await roles.give(kit, ada, "writer") == WRITE
        await kit.handlers.drain()
        assert [event for event in heard if isinstance(event, RoleGiven)] == [RoleGiven(ada, "writer")]
        await roles.take(kit, ada, "writer")
        with pytest.raises(NotFound, match="does not have the role"):
            await roles.take(kit, ada, "writer")

    async def test_nobody_and_nothing_is_told(self, kit: Kit) -> None:
        await roles.put(kit, "writer", WRITE)
        ada = await member(kit)
        with pytest.raises(NotFound, match="no such role"):
            await roles.give(kit, ada, "editor")
        with pytest.raises(NotFound, match="no such user"):
            await roles.give(kit, NOBODY, "writer")
        with pytest.raises(NotFound, match="no such user"):
            await roles.take(kit, NOBODY, "writer")
        with pytest.raises(NotFound, match="no such role"):
            await roles.remove(kit, "editor")
        with pytest.raises(NotFound, match="no such role"):
            await roles.find(kit, "editor")
        with pytest.raises(NotFound, match="no such role"):
            await roles.find(kit, "\x00")
        assert await roles.members(kit, "editor") == []
        assert await roles.of_users(kit, [ada, NOBODY]) == {}

    @pytest.mark.parametrize("name", ["", "Writer", "-a", "a b", "a/b", "a" * 65, "writer\n", "작가", "ａ"])
    async def test_a_name_is_plain(self, kit: Kit, name: str) -> None:
        with pytest.raises(InvalidInput):
            await roles.put(kit, name, WRITE)

    @pytest.mark.parametrize("text", ["a\nb", "a" * 201, "\x00"])
    async def test_a_description_is_one_line(self, kit: Kit, text: str) -> None:
        with pytest.raises(InvalidInput):
            await roles.put(kit, "writer", WRITE, text)

    async def test_what_is_done_is_told_with_who_did_it(self, kit: Kit, heard: list[Event]) -> None:
        ada = await member(kit)
        await roles.put(kit, "writer", WRITE, by="carol")
        await roles.give(kit, ada, "writer", by="carol")
        await roles.take(kit, ada, "writer")
        await roles.remove(kit, "writer", by="carol")
        await kit.handlers.drain()
        assert heard == [
            RoleChanged(None, "writer", by="carol"),
            RoleGiven(ada, "writer", by="carol"),
            ScopesChanged(ada, by="carol"),
            RoleTaken(ada, "writer"),
            ScopesChanged(ada),
            RoleRemoved(None, "writer", by="carol"),
        ]


class TestChangingARole:
    async def test_everybody_who_has_it_follows(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(roles, "BATCH", 3)
        await roles.put(kit, "writer", READ)
        people = [await member(kit, f"user{number}@example.com", "direct") for number in range(8)]
        stranger = await member(kit, BOB, "direct")
        for one in people:
            await roles.give(kit, one, "writer")
        await roles.put(kit, "writer", WRITE)
        assert [await may(kit, one) for one in people] == [WRITE | {"direct"}] * 8
        assert await roles.members(kit, "writer", limit=100) == sorted(people)
        await roles.remove(kit, "writer")
        assert [await may(kit, one) for one in (*people, stranger)] == [{"direct"}] * 9
        await everybody_has_what_is_said(kit)

    async def test_present_tokens_end_and_sessions_live_on(self, kit: Kit) -> None:
        """The attack: whoever lost a right by a change of their role goes on with the token that still carries it."""
        user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
        await roles.put(kit, "writer", WRITE)
        await roles.give(kit, user.id, "writer")
        follows, asked = await login(kit), await login(kit, asked=READ)
        assert follows.scopes == WRITE
        await roles.put(kit, "writer", READ)
        with pytest.raises(InvalidToken):
            await authenticate.bearer(kit, follows.access_token)
        await authenticate.bearer(kit, asked.access_token)
        assert (await session.refresh(kit, follows.refresh_token, None)).scopes == READ
        await roles.remove(kit, "writer")
        for one in (follows, asked):
            with pytest.raises(InvalidToken):
                await authenticate.bearer(kit, one.access_token)
        assert (await session.refresh(kit, asked.refresh_token, None)).scopes == frozenset()

    async def test_a_name_that_is_given_again_gives_nothing_to_whoever_had_the_old_role(self, kit: Kit) -> None:
        """The attack: the removal of a role broke off; then its name is given to one that may do more."""
        ada = await member(kit)
        await roles.put(kit, "helper", READ)
        await roles.give(kit, ada, "helper")
        assert await kit.roles.remove("helper")
        await roles.put(kit, "helper", frozenset({"admin"}))
        assert await may(kit, ada) == frozenset()
        assert await roles.members(kit, "helper") == []

    async def test_a_removal_that_broke_off_is_finished_by_the_next(self, kit: Kit) -> None:
        ada = await member(kit)
        await roles.put(kit, "helper", READ)
        await roles.give(kit, ada, "helper")
        assert await kit.roles.remove("helper")
        with pytest.raises(NotFound):
            await roles.remove(kit, "helper")
        assert await may(kit, ada) == frozenset()


def long_ones(first: str, number: int = 24) -> frozenset[str]:
    """So many scopes of 64 characters: two times 24 are more than a token can carry."""
    return frozenset(f"{first}{index:03}".ljust(64, "x") for index in range(number))


class TestWhatSomebodyWroteIntoTheTable:
    """An operator's own SQL does not write scopes in the order of ours."""

    @staticmethod
    async def write(url: str, user_id: str, scopes: str) -> None:
        db = Database(url)
        db.settle(here=True)
        async with db.write() as connection:
            await connection.execute(update(table).where(table.c.id == user_id).values(scopes=scopes))
        await db.close()

    @pytest.mark.parametrize("written", ["b a", "a  b", " a b", "a b a"])
    async def test_it_is_changed_as_any_other(self, kit: Kit, database_url: str, written: str) -> None:
        """Each act compared the text in the table with ours, found itself overtaken, and read again without end."""
        ada = await member(kit)
        await self.write(database_url, ada, written)
        assert await accounts.grant(kit, ada, ["c"]) == {"a", "b", "c"} == await may(kit, ada)
        await self.write(database_url, ada, written)
        await roles.put(kit, "writer", WRITE)
        assert await roles.give(kit, ada, "writer") == WRITE | {"a", "b"}
        await self.write(database_url, ada, written)
        assert await roles.take(kit, ada, "writer") == {"a", "b"} == await may(kit, ada)

    @pytest.mark.parametrize("name", ["grant", "give", "put", "take"])
    async def test_a_table_that_always_says_that_it_was_changed_ends_the_act(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
    ) -> None:
        """The attack: a host's table compares how scopes are written. Whoever changed such an account, and upkeep, went on
        for ever."""
        await village(kit)
        acts: dict[str, Act] = {
            "grant": lambda kit: accounts.grant(kit, "bob", ["c"]),
            "give": lambda kit: roles.give(kit, "bob", "writer"),
            "put": lambda kit: roles.put(kit, "writer", READ),
            "take": lambda kit: roles.take(kit, "ada", "writer"),
        }

        async def overtaken(*_: object, **__: object) -> None:
            return None

        monkeypatch.setattr(roles, "ATTEMPTS", 3)
        monkeypatch.setattr(kit.users, "set_scopes", overtaken)
        with pytest.raises(Unavailable, match="keeps changing"):
            await acts[name](kit)
        await roles.settle_left(kit, 100)
        assert name == "grant" or "keeps changing" in caplog.text
        monkeypatch.undo()
        await upkeep.run(kit)
        await everybody_has_what_is_said(kit)

    @pytest.mark.parametrize("name", ["give", "take", "put"])
    async def test_roles_that_always_say_so_end_it_too(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        await village(kit)
        acts: dict[str, Act] = {
            "give": lambda kit: roles.give(kit, "bob", "writer"),
            "take": lambda kit: roles.take(kit, "ada", "writer"),
            "put": lambda kit: roles.put(kit, "writer", READ),
        }

        async def overtaken(*_: object, **__: object) -> None:
            return None

        monkeypatch.setattr(roles, "ATTEMPTS", 3)
        monkeypatch.setattr(kit.roles, "put" if name == "put" else "hold", overtaken)
        with pytest.raises(Unavailable, match="keeps changing"):
            await acts[name](kit)


class TestMoreThanATokenCanCarry:
    """The attack: whoever may change roles gives so many long scopes that nobody who has them can sign in or refresh, the
    administrators first of all."""

    async def test_a_second_role_that_is_too_much_is_not_given(self, kit: Kit, heard: list[Event]) -> None:
        user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
        await roles.put(kit, "one", long_ones("a"))
        await roles.put(kit, "two", long_ones("b"))
        await roles.give(kit, user.id, "one")
        with pytest.raises(InvalidInput, match="more scopes than a token can carry"):
            await roles.give(kit, user.id, "two")
        assert await may(kit, user.id) == long_ones("a")
        assert RoleGiven(user.id, "two") not in heard
        assert (await login(kit)).scopes == long_ones("a")

    async def test_nor_is_a_role_made_so_large_for_one_who_has_it(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where that is the last of many members; then it is not changed for any of them."""
        monkeypatch.setattr(roles, "BATCH", 2)
        for number in range(5):
            last = await member(kit, f"user{number}@example.com")
            await roles.put(kit, "one", READ)
            await roles.give(kit, last, "one")
        await accounts.grant(kit, max(await roles.members(kit, "one")), long_ones("a"))
        with pytest.raises(InvalidInput, match="more scopes than a token can carry"):
            await roles.put(kit, "one", READ | long_ones("b"))
        assert (await roles.find(kit, "one")).scopes == READ
        await everybody_has_what_is_said(kit)
        await roles.put(kit, "one", WRITE)
        await roles.put(kit, "other", long_ones("b"))

    async def test_nor_is_so_much_granted_directly_with_roles_or_without(self, kit: Kit) -> None:
        ada, bob = await member(kit), await member(kit, BOB, *long_ones("a"))
        await roles.put(kit, "one", long_ones("a"))
        await roles.give(kit, ada, "one")
        for one in (ada, bob):
            for act in (accounts.grant(kit, one, long_ones("b")), accounts.set_scopes(kit, one, long_ones("c", 48))):
                with pytest.raises(InvalidInput, match="more scopes than a token can carry"):
                    await act
            assert await may(kit, one) == long_ones("a")
        with pytest.raises(InvalidInput, match="more scopes than a token can carry"):
            await accounts.add(kit, "carol@example.com", None, None, long_ones("c", 48))
        with pytest.raises(InvalidInput, match="more scopes than a token can carry"):
            await roles.put(kit, "three", long_ones("c", 48))

    async def test_whoever_has_too_much_can_always_be_given_less(self, kit: Kit) -> None:
        """What a host wrote into its table, or was given by an older version."""
        await roles.put(kit, "one", long_ones("a"))
        ada = await member(kit, ADA, *long_ones("b", 48))
        with pytest.raises(InvalidInput):
            await roles.give(kit, ada, "one")
        await kit.roles.put("one", long_ones("a"), None)
        holding = await roles.of_user(kit, ada)
        assert holding is not None
        names = frozenset({"one"})
        await kit.roles.hold(ada, long_ones("b", 48), names, kit.clock.now(), replacing=holding.generation)
        await roles.settle(kit, ada)
        await roles.put(kit, "one", long_ones("a", 20))
        await accounts.revoke(kit, ada, [min(long_ones("b"))])
        await roles.take(kit, ada, "one")
        assert await may(kit, ada) == long_ones("b", 48) - {min(long_ones("b"))}
        await everybody_has_what_is_said(kit)


class TestAnAccountThatGoes:
    async def test_its_roles_go_with_it(self, kit: Kit) -> None:
        ada = await member(kit)
        await roles.put(kit, "writer", WRITE)
        await roles.give(kit, ada, "writer")
        await accounts.delete(kit, ada)
        assert await roles.members(kit, "writer") == []
        assert await roles.of_user(kit, ada) is None

    async def test_one_that_a_host_has_deleted_is_forgotten(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        ada = await member(kit)
        await roles.put(kit, "writer", WRITE)
        await roles.give(kit, ada, "writer")

        async def gone(_: str) -> None:
            return None

        monkeypatch.setattr(kit.users, "get", gone)
        await roles.put(kit, "writer", READ)
        assert await kit.roles.of([ada]) == {}

    async def test_a_role_that_is_given_while_the_account_goes_stays_with_nobody(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = await member(kit)
        await roles.put(kit, "writer", WRITE)
        await roles.give(kit, ada, "writer")
        hold = kit.roles.hold

        async def late(user_id: str, *arguments: object, **more: object) -> bool:
            await accounts.delete(kit, user_id)
            return await hold(user_id, *arguments, **{**more, "replacing": None})  # type: ignore[arg-type]

        monkeypatch.setattr(kit.roles, "hold", late)
        with pytest.raises(NotFound, match="no such user"):
            await roles.take(kit, ada, "writer")
        assert await kit.roles.of([ada]) == {}

    async def test_the_export_names_the_roles(self, kit: Kit) -> None:
        user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
        who = (await authenticate.bearer(kit, (await login(kit)).access_token)).principal
        assert (await particulars.export(kit, who))["account"]["roles"] == []
        await roles.put(kit, "writer", WRITE)
        await roles.give(kit, user.id, "writer")
        assert (await particulars.export(kit, who))["account"]["roles"] == ["writer"]


ACTS: dict[str, Act] = {
    "change": lambda kit: roles.put(kit, "writer", frozenset({"items:delete"})),
    "remove": lambda kit: roles.remove(kit, "writer"),
    "remove and make anew": lambda kit: _anew(kit),
    "give the first": lambda kit: roles.give(kit, "bob", "writer"),
    "give another": lambda kit: roles.give(kit, "ada", "clerk"),
    "take": lambda kit: roles.take(kit, "ada", "writer"),
    "grant": lambda kit: accounts.grant(kit, "ada", ["more"]),
    "revoke": lambda kit: accounts.revoke(kit, "ada", ["direct"]),
    "grant to one without roles": lambda kit: accounts.grant(kit, "bob", ["more"]),
    "delete": lambda kit: accounts.delete(kit, "ada"),
}


async def _anew(kit: Kit) -> None:
    await roles.remove(kit, "writer")
    await roles.put(kit, "writer", frozenset({"admin"}))


VILLAGE = ("ada", "bob", "carol")


async def village(kit: Kit) -> None:
    """Ada and Carol write; Bob has no role."""
    await roles.put(kit, "writer", WRITE)
    await roles.put(kit, "clerk", frozenset({"orders:*"}))
    for name in VILLAGE:
        new = NewUser(name, f"{name}@example.com", None, None, frozenset({"direct"}), kit.clock.now())
        await kit.users.add(new)
        if name != "bob":
            await roles.give(kit, name, "writer")


@pytest.mark.parametrize("name", ACTS)
async def test_an_act_that_is_killed_anywhere_is_finished_or_was_never_begun(
    kit: Kit, worker: Worker, name: str
) -> None:
    """The attack: an operator takes a right away, and the process dies on the way, at each of its steps in turn. After the
    next upkeep, on another worker, everybody may do exactly what is said, and what was noted is done for all."""
    verbs, died = 0, True
    while died:
        for one in VILLAGE:
            if await kit.users.get(one) is not None:
                await accounts.delete(kit, one)
        await village(kit)
        died = await killed_after(kit, verbs, ACTS[name])
        other = await worker()
        await upkeep.run(other)
        await everybody_has_what_is_said(other)
        verbs += 1
    assert verbs > 1


TOGETHER: dict[str, tuple[Act, Act, dict[str, frozenset[str]]]] = {
    "a first role beside a grant": (
        lambda kit: roles.give(kit, "bob", "clerk"),
        lambda kit: accounts.grant(kit, "bob", ["more"]),
        {"bob": frozenset({"direct", "more", "orders:*"})},
    ),
    "a first role beside a revocation": (
        lambda kit: roles.give(kit, "bob", "clerk"),
        lambda kit: accounts.revoke(kit, "bob", ["direct"]),
        {"bob": frozenset({"orders:*"})},
    ),
    "the last role beside a grant": (
        lambda kit: roles.take(kit, "ada", "writer"),
        lambda kit: accounts.grant(kit, "ada", ["more"]),
        {"ada": frozenset({"direct", "more"})},
    ),
    "two roles at once": (
        lambda kit: roles.give(kit, "bob", "writer"),
        lambda kit: roles.give(kit, "bob", "clerk"),
        {"bob": WRITE | {"direct", "orders:*"}},
    ),
    "a change beside a taking": (
        lambda kit: roles.put(kit, "writer", READ),
        lambda kit: roles.take(kit, "ada", "writer"),
        {"ada": frozenset({"direct"}), "carol": READ | {"direct"}},
    ),
    "a removal beside a giving": (
        lambda kit: _gone(kit),
        lambda kit: _tried(kit),
        {"ada": frozenset({"direct"}), "bob": frozenset({"direct"})},
    ),
    "a scope that comes and goes": (
        lambda kit: _there_and_back(kit),
        lambda kit: roles.settle(kit, "ada"),
        {"ada": WRITE | {"direct"}},
    ),
}


async def _gone(kit: Kit) -> None:
    await roles.remove(kit, "writer")


async def _tried(kit: Kit) -> None:
    try:
        await roles.give(kit, "bob", "writer")
    except NotFound:
        return


async def _there_and_back(kit: Kit) -> None:
    await accounts.grant(kit, "ada", ["more"])
    await accounts.revoke(kit, "ada", ["more"])


@pytest.mark.parametrize("name", TOGETHER)
async def test_two_acts_at_once_lose_nothing_in_any_order_of_their_steps(kit: Kit, name: str) -> None:
    """The attack: a right is taken away while somebody else changes the same user or role, and comes back by what he had read
    before. The steps of both are mixed in many ways; nobody has to mend anything afterwards."""
    one, other, expected = TOGETHER[name]
    for seed in range(15):
        await village(kit)
        await interleaved(kit, seed, one, other)
        for user_id, scopes in expected.items():
            assert await may(kit, user_id) == scopes, f"{user_id}, seed {seed}"
        await everybody_has_what_is_said(kit)
        for user_id in VILLAGE:
            await accounts.delete(kit, user_id)


async def test_two_administrators_change_one_role_beside_logins(kit: Kit, worker: Worker) -> None:
    """On two workers at once: in the end all have what the role says, and no session or token has more."""
    other = await worker()
    user = await accounts.add(kit, ADA, PASSWORD, None, frozenset())
    people = [user.id, *[await member(kit, f"user{number}@example.com") for number in range(5)]]
    await roles.put(kit, "writer", WRITE)
    for one in people:
        await roles.give(kit, one, "writer")
    for round_ in range(6):
        scopes = [frozenset({f"{name}:{round_}"}) for name in ("a", "b")]
        *_, tokens, more = await asyncio.gather(
            roles.put(kit, "writer", scopes[0]), roles.put(other, "writer", scopes[1]), login(kit), login(other)
        )
        role = await roles.find(kit, "writer")
        assert role.scopes in scopes
        assert [await may(kit, one) for one in people] == [role.scopes] * 6
        for given in (tokens, more):
            assert (await session.refresh(kit, given.refresh_token, None)).scopes == role.scopes
        for live in await session.of_user(kit, user.id):
            assert live.scopes == role.scopes
    await everybody_has_what_is_said(kit)


async def test_an_account_that_can_not_be_changed_keeps_no_other_waiting(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A host's table may refuse one account. Upkeep goes on with the next, and says so."""
    await village(kit)
    await kit.roles.put("writer", READ, None)
    set_scopes = kit.users.set_scopes

    async def but_not_ada(
        user_id: str, scopes: frozenset[str], now: datetime, *, replacing: frozenset[str] | None = None
    ) -> tuple[Revoked, ...] | None:
        if user_id == "ada":
            raise Unavailable("this row is locked")
        return await set_scopes(user_id, scopes, now, replacing=replacing)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "watchword.roles"):
        patched.setattr(kit.users, "set_scopes", but_not_ada)
        assert (await upkeep.run(kit)).roles == 2
    assert "the account ada could not be brought to its roles: this row is locked" in caplog.text
    assert [await may(kit, name) for name in ("ada", "carol")] == [WRITE | {"direct"}, READ | {"direct"}]
    assert (await upkeep.run(kit)).roles == 1
    await everybody_has_what_is_said(kit)


async def test_upkeep_goes_on_at_once_where_much_is_left(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    await village(kit)
    await kit.roles.put("writer", READ, None)
    monkeypatch.setattr(upkeep, "ROLES", 1)
    monkeypatch.setattr(roles, "BATCH", 1)
    done = await upkeep.run(kit)
    assert (done.roles, done.left) == (1, True)
    assert (await upkeep.run(kit)).roles == 1
    done = await upkeep.run(kit)
    assert (done.roles, done.left) == (0, False)
    await everybody_has_what_is_said(kit)


async def test_roles_work_for_a_host_s_own_accounts(kit: Kit) -> None:
    """Nothing but `ports.Users` is asked of them; a host's account may be of any class."""

    class Theirs:
        def __init__(self, account: Account) -> None:
            self.id, self.email, self.username = account.id, account.email, account.username
            self.scopes, self.created_at = account.scopes, account.created_at
            self.disabled, self.epoch = account.disabled, account.epoch

    class Table:
        def __getattr__(self, name: str) -> object:
            return getattr(kit.users, name)

        async def get(self, user_id: str) -> object:
            found = await kit.users.get(user_id)
            return found and replace(found, user=Theirs(found.user))

    hosts = replace(kit, users=Table(), hosts_users=True, accounts=None)  # type: ignore[arg-type]
    ada = await member(kit, ADA, "direct")
    await roles.put(hosts, "writer", WRITE)
    assert await roles.give(hosts, ada, "writer") == WRITE | {"direct"}
    assert await accounts.revoke(hosts, ada, ["direct"]) == WRITE
    await roles.remove(hosts, "writer")
    assert await may(kit, ada) == frozenset()
    await accounts.delete(hosts, ada)
    assert await roles.of_user(hosts, ada) is None
