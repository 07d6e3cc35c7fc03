"""Taking over accounts: every good line once, every bad one told, and old passwords work."""

import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import importing as files
from tests.flows.conftest import Worker
from tests.house import ADA, OTHER_PASSWORD, PASSWORD

from watchword.core import passwords
from watchword.core.errors import ConfigError, InvalidGrant, Overloaded, Unavailable
from watchword.core.models import Client, User
from watchword.core.passwords import hash_password
from watchword.flows import accounts, importing, password, register, session
from watchword.flows.hashing import HashingPool
from watchword.flows.importing import BATCH, BadLine, Count, Imports, lines_of
from watchword.flows.kit import Kit
from watchword.ports import NewUser
from watchword.testing import FrozenClock

HASH = files.pbkdf2()


def numbered(*lines: dict[str, Any] | bytes) -> list[tuple[int, bytes]]:
    return [(n, line if isinstance(line, bytes) else json.dumps(line).encode()) for n, line in enumerate(lines, 1)]


def store_of(kit: Kit) -> Imports:
    assert isinstance(kit.users, Imports)
    return kit.users


async def taken_over(
    kit: Kit, *lines: dict[str, Any] | bytes, dry_run: bool = False
) -> tuple[tuple[int, int, int], dict[int, str]]:
    """How many were added, were there already and are bad; and why these are, by their numbers."""
    count, told = Count(), list[BadLine]()
    await importing.run(kit, store_of(kit), numbered(*lines), count, told.append, dry_run=dry_run)
    assert [bad.number for bad in told] == sorted(bad.number for bad in told)
    assert len(told) == count.bad
    return (count.added, count.already_there, count.bad), {bad.number: bad.because for bad in told}


async def emails_of(kit: Kit) -> list[str]:
    return [one.user.email for one in await kit.users.page("", 10_000)]


async def user_of(kit: Kit, whom: str) -> User:
    found = await accounts.find(kit, whom)
    assert isinstance(found, User)
    return found


class TestTakingOver:
    async def test_an_account_comes_with_all_that_its_line_says(self, kit: Kit, clock: FrozenClock) -> None:
        line = {
            "email": "Ada@Example.com",
            "username": "Ada",
            "password_hash": HASH,
            "scopes": "b a",
            "disabled": True,
            "created_at": 1_700_000_000,
            "id": "2f1c-42",
        }
        assert await taken_over(kit, line) == ((1, 0, 0), {})
        user = await user_of(kit, "2f1c-42")
        assert (user.email, user.username, user.scopes) == (ADA, "ada", frozenset({"a", "b"}))
        assert (user.created_at.timestamp(), user.disabled_at, user.epoch) == (1_700_000_000, clock.now(), 0)

    async def test_what_a_line_leaves_out_is_filled_in(self, kit: Kit, clock: FrozenClock) -> None:
        await taken_over(kit, {"email": ADA}, {"email": "bob@example.com"})
        ada, bob = await user_of(kit, ADA), await user_of(kit, "bob@example.com")
        assert ada.id != bob.id
        assert (ada.username, ada.scopes, ada.created_at, ada.disabled_at) == (None, frozenset(), clock.now(), None)
        with pytest.raises(InvalidGrant):
            await password.prove(kit, ADA, "")
        await accounts.set_password(kit, ada.id, PASSWORD)
        assert await password.prove(kit, ADA, PASSWORD)

    @pytest.mark.parametrize("stored", [each for each in files.HASHES if each], ids=lambda stored: stored[:7])
    async def test_the_old_password_works_and_its_hash_is_brought_to_ours(self, kit: Kit, stored: str) -> None:
        await taken_over(kit, {"email": ADA, "password_hash": stored})
        with pytest.raises(InvalidGrant):
            await password.prove(kit, ADA, OTHER_PASSWORD)
        proof = await password.prove(kit, ADA, files.PASSWORD)
        assert await session.open(kit, proof, None, Client())
        found = await kit.users.find(ADA)
        assert found is not None
        assert str(found.password_hash).startswith("$argon2id$v=19$m=8,t=1,p=1$")
        assert await password.prove(kit, ADA, files.PASSWORD)

    async def test_an_account_that_was_disabled_stays_out(self, kit: Kit) -> None:
        await taken_over(kit, {"email": ADA, "password_hash": HASH, "disabled": True})
        with pytest.raises(InvalidGrant):
            await password.prove(kit, ADA, files.PASSWORD)
        await accounts.enable(kit, (await user_of(kit, ADA)).id)
        assert await password.prove(kit, ADA, files.PASSWORD)

    async def test_each_is_announced_once_and_no_line_of_the_log_tells_a_hash(
        self, kit: Kit, caplog: pytest.LogCaptureFixture
    ) -> None:
        lines = [{"email": f"user{n}@example.com", "password_hash": HASH} for n in range(3)]
        with caplog.at_level(logging.INFO):
            await taken_over(kit, *lines, b"nonsense")
            await taken_over(kit, *lines)
        assert [record.getMessage().startswith("Registered(") for record in caplog.records].count(True) == 3
        assert HASH not in caplog.text

    async def test_batches_leave_nobody_out(self, kit: Kit) -> None:
        for many in (BATCH - 1, BATCH, BATCH + 1, 2 * BATCH):
            lines = [{"email": f"user{n}@example.com"} for n in range(many)]
            ((_, _, bad), _) = await taken_over(kit, *lines)
            assert bad == 0
            assert len(await emails_of(kit)) == many

    async def test_no_line_is_no_work(self, kit: Kit) -> None:
        assert await taken_over(kit) == ((0, 0, 0), {})


class TestBadLines:
    async def test_they_are_skipped_with_their_numbers_and_reasons(self, kit: Kit) -> None:
        lines: list[dict[str, Any] | bytes] = [
            {"email": ADA, "password_hash": "$2b$31$" + "a" * 53},
            b"nonsense",
            {"email": ADA},
            {"email": "nobody", "shoe_size": 42},
        ]
        assert await taken_over(kit, *lines) == (
            (1, 0, 3),
            {
                1: "password_hash: the stored bcrypt hash has a cost over 16",
                2: "the line is not strict JSON",
                4: "shoe_size: there is no such field: email, password_hash, username, scopes, disabled, created_at, id"
                " email: This is not an email address.",
            },
        )

    async def test_no_reason_shows_a_value(self, kit: Kit) -> None:
        """A line with its columns shifted holds secrets in every place, its names included."""
        secret = "hunter2hunter2"
        names = ("email", "password_hash", "username", "scopes", "disabled", "created_at", "id", "password")
        lines = [{"email": ADA, name: secret + '" '} for name in names]
        _, told = await taken_over(kit, *lines, {"email": ADA, f"$2b$12${secret}": 1}, {"email": ADA, secret + "!": 1})
        assert len(told) == len(lines) + 2
        assert secret not in str(told)
        assert told[len(lines) + 1].startswith("a field: there is no such field")

    async def test_what_stands_in_the_file_twice_is_bad_the_second_time(self, kit: Kit) -> None:
        """Two accounts whose addresses differ in case were two there, and can't be two here: one must not get lost."""
        first = {"email": ADA, "username": "ada", "id": "1", "password_hash": HASH}
        found, told = await taken_over(
            kit,
            first,
            {**first, "email": "ADA@example.com", "password_hash": files.scrypt()},
            {**first, "email": "eve@example.com", "username": "eve"},
            {**first, "email": "eve@example.com", "id": "2"},
            {"email": "eve@example.com"},
        )
        assert found == (2, 0, 3)
        assert told == {
            2: "id: Line 1 has this too, for another account.",
            3: "id: Line 1 has this too, for another account.",
            4: "username: Line 1 has this too, for another account.",
        }

    @pytest.mark.parametrize("dry_run", [True, False])
    async def test_the_same_line_twice_is_one_account(self, kit: Kit, dry_run: bool) -> None:
        lines = [{"email": ADA}, {"email": "bob@example.com", "id": "b"}]
        found = await taken_over(kit, *lines, *lines, {"email": "Ada@example.com"}, dry_run=dry_run)
        assert found == ((2, 3, 0), {})

    @pytest.mark.parametrize("dry_run", [True, False])
    async def test_what_another_account_has_is_bad(self, kit: Kit, dry_run: bool) -> None:
        """Somebody registered with an address before its owner was imported: the owner's hash must not go unnoticed."""
        await register.register(kit, ADA, PASSWORD, "ada")
        taken = (await user_of(kit, ADA)).id
        found, told = await taken_over(
            kit,
            {"email": ADA, "id": "1"},
            {"email": "b@example.com", "username": "ADA"},
            {"email": "c@example.com", "id": taken},
            {"email": ADA.upper(), "created_at": 1_700_000_000, "username": "other"},
            {"email": "d@example.com"},
            dry_run=dry_run,
        )
        assert found == (1, 0, 4)
        assert told == {
            1: "email: There is another account with this (of another id).",
            2: "username: There is another account with this (of another email).",
            3: "id: There is another account with this (of another email).",
            4: "email: Line 1 has this too, for another account.",
        }
        assert await password.prove(kit, ADA, PASSWORD)


class TestStartingAgain:
    async def test_what_is_there_is_left_alone(self, kit: Kit) -> None:
        """After a half import people sign in and operators act: the second half must not undo it."""
        lines = [
            {"email": f"u{n}@example.com", "password_hash": HASH, "created_at": 1.25, "scopes": "a"} for n in range(3)
        ]
        assert await taken_over(kit, *lines[:2]) == ((2, 0, 0), {})
        first = await user_of(kit, "u0@example.com")
        await accounts.set_password(kit, first.id, OTHER_PASSWORD)
        await accounts.grant(kit, first.id, ["admin"])
        await accounts.disable(kit, (await user_of(kit, "u1@example.com")).id)
        assert await taken_over(kit, *lines) == ((1, 2, 0), {})
        after = await user_of(kit, first.id)
        assert after.scopes == {"a", "admin"}
        assert await password.prove(kit, first.email, OTHER_PASSWORD)
        assert (await user_of(kit, "u1@example.com")).disabled

    async def test_a_part_that_is_there_takes_no_lock(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        await taken_over(kit, {"email": ADA})

        async def never(*_: object) -> None:
            raise AssertionError("it wrote")

        monkeypatch.setattr(kit.users, "add_many", never)
        assert await taken_over(kit, {"email": ADA}) == ((0, 1, 0), {})

    async def test_a_dry_run_writes_nothing(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        await taken_over(kit, {"email": ADA})
        lines = [{"email": ADA}, {"email": "bob@example.com"}, {"email": "nobody"}]
        found, told = await taken_over(kit, *lines, dry_run=True)
        assert found == (1, 1, 1)
        assert await emails_of(kit) == [ADA]
        assert await taken_over(kit, *lines) == (found, told)

    async def test_two_imports_at_once_make_each_account_once(self, worker: Worker) -> None:
        """The other one wins between the look and the write."""
        kit, other = await worker(), await worker()
        store, rival = store_of(kit), store_of(other)

        class Overtaken:
            async def in_the_way(self, new: Sequence[NewUser]) -> list[tuple[User, ...]]:
                ways = await store.in_the_way(new)
                await importing.run(other, rival, lines[:2], Count(), lambda _: None)
                return ways

            add_many = staticmethod(store.add_many)

        lines = numbered({"email": ADA}, {"email": "bob@example.com", "id": "b"}, {"email": "eve@example.com"})
        count = Count()
        await importing.run(kit, Overtaken(), lines, count, lambda _: None)
        assert (count.added, count.already_there, count.bad) == (1, 2, 0)

    async def test_a_store_that_fails_leaves_a_true_count(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        store = store_of(kit)
        original, calls = store.add_many, 0

        async def fails_then(new: Sequence[NewUser]) -> list[tuple[User, ...]]:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise Unavailable("the database failed")
            return await original(new)

        monkeypatch.setattr(store, "add_many", fails_then)
        count = Count()
        lines = numbered(*({"email": f"user{n}@example.com"} for n in range(BATCH + 10)))
        with pytest.raises(Unavailable):
            await importing.run(kit, store, lines, count, lambda _: None)
        assert (count.added, len(await emails_of(kit))) == (BATCH, BATCH)


class TestLines:
    def test_they_are_numbered_as_an_editor_does(self) -> None:
        file = io.BytesIO(b'{"a":1}\r\n\n  \n{"b":2}\n{"c":3}')
        assert list(lines_of(file)) == [(1, b'{"a":1}\r\n'), (4, b'{"b":2}\n'), (5, b'{"c":3}')]

    def test_a_line_over_the_bound_is_cut_and_the_next_one_is_whole(self) -> None:
        for long in (65_536, 65_537, 65_538, 131_073, 131_074, 1_000_000):
            lines = list(lines_of(io.BytesIO(b"x" * long + b"\nnext\n" + b"y" * long)))
            assert [number for number, _ in lines] == [1, 2, 3]
            assert lines[1][1] == b"next\n"
            assert all(len(raw) <= 65_537 for _, raw in lines)

    def test_the_mark_of_utf_8_is_passed_over(self) -> None:
        assert list(lines_of(io.BytesIO(b'\xef\xbb\xbf{"a":1}\n'))) == [(1, b'{"a":1}\n')]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
    def test_utf_16_is_refused_whole(self, encoding: str) -> None:
        text = ("" if encoding == "utf-16" else "\ufeff") + '{"email":"ada@example.com"}\n'
        with pytest.raises(ConfigError, match="iconv"):
            list(lines_of(io.BytesIO(text.encode(encoding))))

    def test_a_compressed_file_is_refused_whole(self) -> None:
        with pytest.raises(ConfigError, match="zcat"):
            list(lines_of(io.BytesIO(b"\x1f\x8b\x08\x00rest")))

    def test_an_empty_file_has_none(self) -> None:
        assert list(lines_of(io.BytesIO(b""))) == []


class TestALoginWithAnImportedHash:
    async def test_a_full_queue_leaves_the_hash_for_the_next_login(
        self, kit: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The password was right: a 503 because its hash could not be renewed would lock people out of a busy house."""
        await taken_over(kit, {"email": ADA, "password_hash": HASH})
        with monkeypatch.context() as patch:

            async def full(*_: object) -> str:
                raise Overloaded("the hashing queue is full")

            patch.setattr(HashingPool, "hash", full)
            assert await password.prove(kit, ADA, files.PASSWORD)
        found = await kit.users.find(ADA)
        assert found is not None
        assert found.password_hash == HASH
        await password.prove(kit, ADA, files.PASSWORD)
        assert (await kit.users.find(ADA)) != found

    @pytest.mark.parametrize(
        "stored",
        ["", "x", HASH[:-3], HASH.replace("$1000$", "$999999999$"), "$2b$31$" + "a" * 53],
        ids=["empty", "x", "cut", "costly", "bcrypt"],
    )
    async def test_a_hash_that_can_not_be_used_costs_what_a_wrong_password_costs(
        self, kit: Kit, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, stored: str
    ) -> None:
        """Refused at once, it would tell that there is such an account."""
        user = NewUser("1", ADA, None, stored, frozenset(), clock.now())
        await kit.users.add(user)
        tried: list[str] = []
        original = passwords.verify

        def note(kept: str, *rest: Any) -> Any:
            tried.append(kept)
            return original(kept, *rest)

        monkeypatch.setattr(passwords, "verify", note)
        with pytest.raises(InvalidGrant) as refused:
            await password.prove(kit, ADA, PASSWORD)
        assert refused.value.detail == InvalidGrant.default
        assert tried[0] == stored or not stored
        assert tried[-1].startswith("$argon2id$")

    async def test_a_hash_of_ours_made_elsewhere_needs_no_renewal(self, kit: Kit, tmp_path: Path) -> None:
        ours = hash_password(PASSWORD, kit.policy.argon2)
        await taken_over(kit, {"email": ADA, "password_hash": ours})
        await password.prove(kit, ADA, PASSWORD)
        found = await kit.users.find(ADA)
        assert found is not None
        assert found.password_hash == ours
