"""What mails and owners do to accounts, where others are quicker, and on a host's own table."""

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update
from tests.flows.conftest import Worker
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD

from watchword.core.errors import InvalidLink, InvalidToken, RegistrationClosed, StillReferenced, Unavailable
from watchword.core.events import EmailVerified, Event, Registered, UserDeleted
from watchword.core.mail import Mail, Queued
from watchword.core.models import NOWHERE, Account, FrozenDict, Principal
from watchword.flows import accounts, change_email, links, notices, particulars, post, recover, verify_email
from watchword.flows import password as passwords
from watchword.flows.annex import Annex
from watchword.flows.kit import Kit
from watchword.flows.register import register
from watchword.ports import Altered, Ending, Particulars
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import users as table
from watchword.testing import FrozenClock


class Box:
    """Carries mails nowhere, and keeps them."""

    languages = ("en", "ko")

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def deliver(self, mail: Mail) -> None:
        if mail.recipient:
            self.mails.append(mail)

    def token(self, fact: str = "link") -> str:
        return self.mails[-1].facts[fact].partition("#")[2]


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def mailing(kit: Kit, box: Box) -> Kit:
    """The kit, with mails that can be looked at."""
    return dataclasses.replace(kit, mailer=box)


@pytest.fixture
def hosts(mailing: Kit) -> Kit:
    """The same on a host's table, which has the eight verbs of `Users` alone."""
    return dataclasses.replace(mailing, accounts=None)


async def user_of(kit: Kit, email: str = ADA) -> Account:
    return await accounts.add(kit, email, PASSWORD, None, frozenset())


def signed_in(kit: Kit, user: Account) -> Principal:
    now = int(kit.clock.timestamp())
    return Principal(user.id, "session", frozenset(), frozenset({"pwd"}), now, FrozenDict())


async def delivered(kit: Kit) -> int:
    await kit.post.drain()
    return await post.deliver(kit)


# A host's own table


async def test_a_host_s_user_gets_another_password_by_a_link(hosts: Kit, box: Box) -> None:
    user = await user_of(hosts)
    await recover.request(hosts, ADA)
    await delivered(hosts)
    await recover.reset(hosts, box.token(), OTHER_PASSWORD)
    await delivered(hosts)
    assert [mail.kind for mail in box.mails] == ["reset-password", "password-changed"]
    assert (await passwords.prove(hosts, ADA, OTHER_PASSWORD)).user.id == user.id
    await recover.disown(hosts, box.token("undo"))
    await delivered(hosts)
    assert box.mails[-1].kind == "reset-password"


async def test_a_host_s_user_is_deleted_at_once(hosts: Kit, box: Box) -> None:
    user = await user_of(hosts)
    assert await particulars.delete(hosts, signed_in(hosts, user)) is None
    await delivered(hosts)
    assert [mail.kind for mail in box.mails] == ["account-deleted"]
    assert await particulars.delete_due(hosts, 10) == 0
    assert await particulars.keep(hosts, user)


async def test_a_host_s_user_verifies_an_address(hosts: Kit, box: Box) -> None:
    user = await user_of(hosts)
    await verify_email.request(hosts, signed_in(hosts, user))
    await delivered(hosts)
    await verify_email.confirm(hosts, box.token())
    with pytest.raises(InvalidLink):
        await verify_email.confirm(hosts, box.token())


async def test_a_password_that_was_changed_meanwhile_stays(hosts: Kit, box: Box) -> None:
    user = await user_of(hosts)
    expecting = Particulars(password_hash="another")
    now = hosts.clock.now()
    assert await passwords.replace(hosts, user, "new", NOWHERE, now, ending=Ending.ALL, expecting=expecting) is None
    await delivered(hosts)
    assert box.mails == []


# Who comes too late


async def test_a_link_to_a_new_account_makes_one(mailing: Kit, box: Box) -> None:
    kit = dataclasses.replace(mailing, policy=dataclasses.replace(mailing.policy, confirms=True))
    await register(kit, ADA, PASSWORD, None)
    await delivered(kit)
    token = box.token()
    await verify_email.confirm(kit, token)
    with pytest.raises(InvalidLink):
        await verify_email.confirm(kit, token)
    await register(kit, ADA, OTHER_PASSWORD, None)
    await delivered(kit)
    assert box.mails[-1].kind == "already-registered"
    for _ in range(post.ASKED_PER_HOUR):
        await register(kit, ADA, OTHER_PASSWORD, None)
        await delivered(kit)
    assert len(box.mails) == post.ASKED_PER_HOUR


async def test_where_registration_is_closed_nobody_is_mailed(worker: Worker) -> None:
    kit = await worker(registration="closed")
    with pytest.raises(RegistrationClosed):
        await register(kit, ADA, PASSWORD, None)


async def test_a_reset_that_is_overtaken_by_the_operator_changes_nothing(
    mailing: Kit, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator locks the account between the look at the link and the new password."""
    user = await user_of(mailing)
    await recover.request(mailing, ADA)
    await delivered(mailing)
    opened = links.open

    async def then_disabled(*arguments: Any) -> Any:
        answer = await opened(*arguments)
        await accounts.disable(mailing, user.id)
        return answer

    monkeypatch.setattr(links, "open", then_disabled)
    with pytest.raises(InvalidLink):
        await recover.reset(mailing, box.token(), OTHER_PASSWORD)


async def test_an_owner_who_is_deleted_meanwhile_is_told_nothing(
    mailing: Kit, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await user_of(mailing)
    await recover.request(mailing, ADA)
    await accounts.set_password(mailing, user.id, OTHER_PASSWORD)
    await delivered(mailing)
    assert mailing.accounts is not None
    alter = mailing.accounts.alter

    async def then_deleted(*arguments: Any, **more: Any) -> Any:
        answer = await alter(*arguments, **more)
        await accounts.delete(mailing, user.id)
        return answer

    monkeypatch.setattr(type(mailing.accounts), "alter", lambda _, *arguments, **more: then_deleted(*arguments, **more))
    undo = next(mail.facts["undo"] for mail in box.mails if "undo" in mail.facts).partition("#")[2]
    await recover.disown(mailing, undo)
    assert await mailing.outbox.page("", 10) == []


async def test_a_reset_of_an_account_that_goes_at_that_moment_is_done_all_the_same(
    mailing: Kit, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await user_of(mailing)
    await recover.request(mailing, ADA)
    await delivered(mailing)
    replace = passwords.replace

    async def then_deleted(*arguments: Any, **more: Any) -> Any:
        answer = await replace(*arguments, **more)
        await accounts.delete(mailing, user.id)
        return answer

    monkeypatch.setattr(passwords, "replace", then_deleted)
    await recover.reset(mailing, box.token(), OTHER_PASSWORD)
    assert await mailing.users.get(user.id) is None


async def test_mails_that_are_used_up_are_left_out_and_nobody_is_told(mailing: Kit, box: Box) -> None:
    user = await user_of(mailing)
    who = signed_in(mailing, user)
    for _ in range(post.ASKED_PER_HOUR + 1):
        await verify_email.request(mailing, who)
        await change_email.request(mailing, who, "new@example.com")
        await delivered(mailing)
    kinds = [mail.kind for mail in box.mails]
    assert [kinds.count(kind) for kind in ("verify-email", "approve-email")] == [post.ASKED_PER_HOUR] * 2
    await verify_email.request(mailing, dataclasses.replace(who, user_id="nobody"))
    told: Sequence[Queued] = ()
    for _ in range(post.NOTICES_PER_HOUR + 1):
        told = await notices.about(mailing, "password-changed", user, NOWHERE, mailing.clock.now())
    assert told == ()


async def test_a_new_address_whose_mails_are_used_up_is_not_asked(mailing: Kit, box: Box) -> None:
    user = await user_of(mailing)
    for _ in range(post.ASKED_PER_HOUR):
        assert await post.may_ask(mailing, change_email.CONFIRM, "new@example.com", mailing.clock.now())
    await change_email.request(mailing, signed_in(mailing, user), "new@example.com")
    await delivered(mailing)
    assert mailing.accounts is not None
    assert await change_email.agree(mailing, mailing.accounts, box.token()) is False
    await delivered(mailing)
    assert [mail.kind for mail in box.mails] == ["approve-email"]


async def test_of_two_deletions_at_once_one_is_told(hosts: Kit, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    who = signed_in(hosts, await user_of(hosts))

    async def gone(*_: object) -> None:
        """The other one was quicker."""

    monkeypatch.setattr(type(hosts.users), "remove", gone)
    with pytest.raises(InvalidToken):
        await particulars.delete(hosts, who)
    await delivered(hosts)
    assert box.mails == []


@pytest.mark.parametrize("act", ["username", "deletion"])
async def test_whoever_is_gone_changes_nothing(mailing: Kit, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    user = await user_of(mailing)
    about = notices.about

    async def then_deleted(*arguments: Any, **more: Any) -> Any:
        answer = await about(*arguments, **more)
        await accounts.delete(mailing, user.id)
        return answer

    monkeypatch.setattr(notices, "about", then_deleted)
    assert mailing.accounts is not None
    who = signed_in(mailing, user)
    acting: Awaitable[object] = (
        particulars.change_username(mailing, mailing.accounts, who, "lovelace")
        if act == "username"
        else particulars.delete(mailing, who)
    )
    with pytest.raises(InvalidToken):
        await acting
    assert await delivered(mailing) == 0


async def test_a_new_account_is_told_whatever_fails_behind_it(
    mailing: Kit, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LS-03: the database goes away behind the commit, and nobody hears of an account that is there."""
    await verify_email.ask_newcomer(mailing, ADA, None, "hash", NOWHERE)
    await delivered(mailing)
    told: list[Event] = []
    monkeypatch.setattr(type(mailing), "announce", lambda _, event, *more, **named: told.append(event))
    monkeypatch.setattr(type(mailing.scratch), "consume", unavailable)
    with pytest.raises(Unavailable):
        await verify_email.confirm(mailing, box.token())
    found = await mailing.users.find(ADA)
    assert found is not None
    assert told == [Registered(found.user.id), EmailVerified(found.user.id)]


@pytest.mark.parametrize("by", ["owner", "upkeep", "administrator"])
async def test_a_deletion_is_told_whatever_fails_behind_it(
    mailing: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """LS-03: the database goes away behind the commit, nobody hears of the deletion, and the audit log keeps the person."""
    kit = dataclasses.replace(mailing, policy=dataclasses.replace(mailing.policy, deletion_grace=timedelta(0)))
    user = await user_of(kit)
    if by == "upkeep":
        await particulars.delete(mailing, signed_in(mailing, user))
        clock.tick(timedelta(days=60))
    told: list[Event] = []
    monkeypatch.setattr(type(kit), "announce", lambda _, event, *more, **named: told.append(event))
    monkeypatch.setattr(type(kit.roles), "forget", unavailable)
    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "owner": lambda: particulars.delete(kit, signed_in(kit, user)),
        "upkeep": lambda: particulars.delete_due(mailing, 10),
        "administrator": lambda: accounts.delete(kit, user.id),
    }
    with pytest.raises(Unavailable):
        await acts[by]()
    assert told == [UserDeleted(user.id)]


async def unavailable(*_: object, **__: object) -> None:
    raise Unavailable("the database failed")


async def test_a_profile_that_two_change_at_once_has_both_changes(mailing: Kit) -> None:
    user = await user_of(mailing)
    who = signed_in(mailing, user)
    assert mailing.accounts is not None
    store = mailing.accounts
    overtaken = False

    def first(old: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**old, "first": True}

    async def second() -> None:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            changes = Particulars(profile={"second": True})
            assert (await store.alter(user.id, changes, mailing.clock.now())).done

    class Overtaken:
        """Somebody else is quicker, once."""

        async def alter(self, *arguments: Any, **more: Any) -> Any:
            await second()
            return await store.alter(*arguments, **more)

    await particulars.change_profile(mailing, Overtaken(), who, language=None, profile=first)  # type: ignore[arg-type]
    found = await mailing.users.get(user.id)
    assert found is not None
    assert getattr(found.user, "profile") == {"first": True, "second": True}  # noqa: B009 - of the port's Account


@pytest.mark.parametrize("written", ['{"a":1}', '{ "a" : 1.0 }', "{}", "", '{"word": "\\uac00"}'])
async def test_a_profile_that_somebody_wrote_into_the_table_is_changed_as_any_other(
    mailing: Kit, database_url: str, written: str
) -> None:
    """An operator's own SQL writes no JSON as ours. Whoever changed such a profile compared the texts, found that
    somebody was quicker, and read again without end."""
    user = await user_of(mailing)
    db = Database(database_url)
    db.settle(here=True)
    async with db.write() as connection:
        await connection.execute(update(table).where(table.c.id == user.id).values(profile=written))
    await db.close()
    who = signed_in(mailing, user)
    assert mailing.accounts is not None
    more: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda old: {**old, "more": True}  # noqa: E731
    await particulars.change_profile(mailing, mailing.accounts, who, language=None, profile=more)
    found = await mailing.users.get(user.id)
    assert found is not None
    expected = {**json.loads(written or "{}"), "more": True}
    assert getattr(found.user, "profile") == expected  # noqa: B009 - of the port's Account


async def test_a_profile_that_always_changes_is_left_alone(mailing: Kit) -> None:
    """The attack: a table that never finds what it has just told keeps a worker at one request for ever."""
    who = signed_in(mailing, await user_of(mailing))

    class Never:
        async def alter(self, *_: Any, **__: Any) -> Any:
            return Altered(done=False)

    never: Any = Never()
    with pytest.raises(Unavailable, match="keeps changing"):
        await particulars.change_profile(mailing, never, who, language=None, profile=dict)


async def test_an_account_that_other_rows_hold_on_to_is_tried_again(
    mailing: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kit = dataclasses.replace(
        mailing, policy=dataclasses.replace(mailing.policy, deletion_grace=mailing.policy.access_ttl)
    )
    for email in (ADA, BOB):
        await particulars.delete(kit, signed_in(kit, await user_of(kit, email)))
    clock.tick(kit.policy.deletion_grace)
    assert kit.accounts is not None
    remove = kit.accounts.remove_due
    held = await kit.users.find(ADA)
    assert held is not None

    async def refused(user_id: str, now: Any) -> Any:
        if user_id == held.user.id:
            raise StillReferenced("a row of another table points to the account")
        return await remove(user_id, now)

    monkeypatch.setattr(type(kit.accounts), "remove_due", lambda _, *arguments: refused(*arguments))
    assert await particulars.delete_due(kit, 10) == 1
    assert "could not be deleted: a row of another table" in caplog.text
    monkeypatch.undo()
    monkeypatch.setattr(type(kit.accounts), "due", _nobody_else(kit, held.user.id))
    assert await particulars.delete_due(kit, 10) == 1


@pytest.mark.parametrize("act", ["verify", "reset"])
@pytest.mark.parametrize("whose", ["ours", "a host's"])
async def test_a_link_that_somebody_else_uses_between_the_look_and_the_act_is_refused(
    mailing: Kit, hosts: Kit, box: Box, monkeypatch: pytest.MonkeyPatch, act: str, whose: str
) -> None:
    kit = mailing if whose == "ours" else hosts
    user = await user_of(kit)
    await (recover.request(kit, ADA) if act == "reset" else verify_email.request(kit, signed_in(kit, user)))
    await delivered(kit)
    opened = links.open

    async def then_used(*arguments: Any) -> Any:
        found = await opened(*arguments)
        await links.use(kit, found, kit.clock.now())
        return found

    monkeypatch.setattr(links, "open", then_used)
    with pytest.raises(InvalidLink):
        await (
            recover.reset(kit, box.token(), OTHER_PASSWORD)
            if act == "reset"
            else verify_email.confirm(kit, box.token())
        )
    assert (await passwords.prove(kit, ADA, PASSWORD)).user.id == user.id


async def moved(kit: Kit, box: Box) -> tuple[Account, str]:
    """An account that was given another address, and the owner's link against that."""
    assert kit.accounts is not None
    user = await user_of(kit)
    await change_email.request(kit, signed_in(kit, user), BOB)
    for _ in range(2):
        await delivered(kit)
        await change_email.agree(kit, kit.accounts, box.token())
    await delivered(kit)
    return user, next(mail.facts["undo"] for mail in box.mails if mail.recipient == ADA and "undo" in mail.facts)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_an_account_that_changes_at_the_same_moment_is_taken_away_all_the_same(
    mailing: Kit, box: Box, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """RS-06: the attacker changes the account whenever the owner's link reads it, so that it is never as it was read."""
    monkeypatch.setattr(recover, "ATTEMPTS", 3)
    user, url = await moved(mailing, box)
    token = url.partition("#")[2]
    store = mailing.accounts
    assert store is not None
    alter, left = store.alter, times

    async def changed(*arguments: Any, **more: Any) -> Any:
        nonlocal left
        if left and (left := left - 1) >= 0:
            await mailing.users.set_password(user.id, "another", mailing.clock.now(), ending=Ending.ALL)
        return await alter(*arguments, **more)

    monkeypatch.setattr(type(store), "alter", lambda _, *arguments, **more: changed(*arguments, **more))
    if times == 3:
        with pytest.raises(Unavailable):
            await recover.disown(mailing, token)
    await recover.disown(mailing, token)
    found = await mailing.users.get(user.id)
    assert found is not None
    assert (found.user.email, found.password_hash) == (ADA, None)


async def test_on_a_host_s_table_of_two_at_once_one_is_refused_and_what_fails_uses_nothing_up(
    hosts: Kit, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await user_of(hosts)
    await recover.request(hosts, ADA)
    await delivered(hosts)
    await recover.reset(hosts, box.token(), OTHER_PASSWORD)
    await delivered(hosts)
    token = box.token("undo")
    with monkeypatch.context() as patched:
        patched.setattr(type(hosts.users), "set_password", unavailable)
        with pytest.raises(Unavailable):
            await recover.disown(hosts, token)
    await recover.disown(hosts, token)

    async def nothing(*_: object) -> None:
        """The other one is a moment ahead."""

    monkeypatch.setattr(type(hosts.scratch), "peek", nothing)
    with pytest.raises(InvalidLink):
        await recover.disown(hosts, token)
    assert (await hosts.users.get(user.id)) is not None


async def test_accounts_that_others_hold_on_to_keep_nobody_else_from_going(
    mailing: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = sorted([await user_of(mailing, f"user{number}@example.com") for number in range(7)], key=lambda one: one.id)
    for user in users:
        await particulars.delete(mailing, signed_in(mailing, user))
    clock.tick(timedelta(days=60))
    assert mailing.accounts is not None
    remove = mailing.accounts.remove_due

    async def refused(user_id: str, now: datetime) -> Any:
        if user_id in {one.id for one in users[:5]}:
            raise StillReferenced("a row of another table points to the account")
        return await remove(user_id, now)

    monkeypatch.setattr(type(mailing.accounts), "remove_due", lambda _, *arguments: refused(*arguments))
    assert await particulars.delete_due(mailing, 2) == 2


def _nobody_else(kit: Kit, user_id: str) -> Any:
    async def due(_store: object, _now: datetime, after: str, _limit: int) -> list[str]:
        return [] if after else [user_id, "gone already"]

    assert kit
    return due


async def test_an_export_has_all_events_or_says_where_the_rest_begins(
    mailing: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes the newest of them for everything that is held."""
    user = await user_of(mailing)
    for _ in range(3):
        await accounts.grant(mailing, user.id, ["a"])
        await accounts.revoke(mailing, user.id, ["a"])
    await mailing.recorder.drain()
    monkeypatch.setattr(particulars, "EVENTS", 2)
    said = await particulars.export(mailing, signed_in(mailing, user))
    assert (len(said["events"]), said["events_before"]) == (7, None)
    everything = said["events"]
    monkeypatch.setattr(particulars, "MOST_EVENTS", 4)
    said = await particulars.export(mailing, signed_in(mailing, user))
    assert said["events"] == everything[:4]
    rest = await mailing.audit.page(before=said["events_before"], limit=100, user_id=user.id, kind=None)
    assert [row.kind for row in rest] == [one["kind"] for one in everything[4:]]


# The post


async def test_a_mail_of_another_master_key_is_given_up_and_the_others_go(
    mailing: Kit, box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    await user_of(mailing)
    now = mailing.clock.now()
    strange = post.write(mailing, "reset-password", BOB, "en", now, {}, links.LASTS)
    await mailing.outbox.add([dataclasses.replace(strange, sealed=b"\x01" + bytes(40))])
    await recover.request(mailing, ADA)
    assert await delivered(mailing) + len(box.mails) >= 1
    assert [mail.recipient for mail in box.mails] == [ADA]
    assert "master key" in caplog.text


async def test_a_database_that_is_away_keeps_the_post_waiting(
    mailing: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any) -> Any:
        raise Unavailable("the database failed")

    monkeypatch.setattr(type(mailing.outbox), "take", away)
    mailing.post.go(mailing)
    await mailing.post.drain()
    assert "mails wait: the database failed" in caplog.text


async def test_nothing_to_say_is_nothing_to_queue(mailing: Kit) -> None:
    await post.queue(mailing, [])
    assert await mailing.outbox.page("", 10) == []


async def test_whoever_comes_too_late_keeps_no_account(mailing: Kit) -> None:
    user = await user_of(mailing)
    await accounts.delete(mailing, user.id)
    assert await particulars.keep(mailing, user) is False


async def test_small_things_that_are_not_there_are_no_fault(mailing: Kit) -> None:
    """No mail to let go, a feature that holds nothing, and a host's class that has no more than it must."""
    post.go(mailing, [])
    assert await Annex().disowned("nobody") is None  # type: ignore[func-returns-value]
    assert await Annex().held("nobody") == {}
    account = await user_of(mailing)
    names = ("id", "email", "username", "scopes", "created_at", "disabled", "epoch")
    bare: Any = SimpleNamespace(**{name: getattr(account, name) for name in names})
    assert "profile" not in particulars._account(bare)
