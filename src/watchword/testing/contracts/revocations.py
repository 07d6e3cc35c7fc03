"""The contract of `ports.Revocations`."""

from watchword.core import opaque
from watchword.core.models import Revoked
from watchword.core.policy import LEEWAY
from watchword.ports import (
    Change,
    KeysChanged,
)
from watchword.testing.contracts.grounds import (
    ACCESS,
    NOW,
    Stores,
    opened,
    published,
    user,
)


class RevocationsContract:
    """`ports.Revocations`."""

    async def test_what_was_revoked_before_the_start_is_known_after_it(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await stores.sessions.close(session.id, None, NOW)
        await stores.revocations.start()
        try:
            known = stores.revocations.covers(session.id, 0)
            assert known or not stores.revocations.fresh(), "a feed that calls itself fresh knows everything"
            assert await stores.revocations.ask(session.id, 0)
        finally:
            await stores.revocations.stop()

    async def test_what_this_worker_committed_is_heeded_at_once(self, stores: Stores) -> None:
        changes: list[Change] = []
        stop = stores.revocations.watch(changes.append)
        stores.revocations.apply([Revoked("s", 3, NOW.timestamp())])
        stores.revocations.apply([Revoked("s", 2, NOW.timestamp())])
        assert stores.revocations.covers("s", 3)
        assert not stores.revocations.covers("s", 4)
        assert not stores.revocations.covers("t", 0)
        assert changes == [Revoked("s", 3, NOW.timestamp())]
        stop()
        stores.revocations.apply([Revoked("t", 1, NOW.timestamp())])
        assert len(changes) == 1

    async def test_what_a_living_token_could_meet_is_listed_once_for_each_session(self, stores: Stores) -> None:
        ada = await user(stores)
        ended = [await opened(stores, ada, number, access_expires_at=NOW + number * ACCESS) for number in (1, 2, 3)]
        for session in reversed(ended[1:]):
            await stores.sessions.close(session.id, None, NOW)
        await stores.revocations.start()
        try:
            both = [revoked.session_id for revoked in await stores.revocations.live(NOW)]
            assert both == sorted(session.id for session in ended[1:])
            (last,) = await stores.revocations.live(NOW + 2 * ACCESS + LEEWAY)
            assert last.session_id == ended[2].id
        finally:
            await stores.revocations.stop()
        assert [revoked.session_id for revoked in await stores.revocations.live(NOW)] == both, (
            "the database says the same"
        )

    async def test_a_stopped_feed_is_not_fresh(self, stores: Stores) -> None:
        await stores.revocations.start()
        await stores.revocations.stop()
        assert not stores.revocations.fresh()

    async def test_only_what_no_token_can_meet_any_more_is_pruned(self, stores: Stores) -> None:
        ada = await user(stores)
        for number in (1, 2, 3):
            session = await opened(stores, ada, number, access_expires_at=NOW + number * ACCESS)
            await stores.sessions.close(session.id, None, NOW)
        assert await stores.revocations.prune(NOW + ACCESS, 100) == 0
        assert await stores.revocations.prune(NOW + ACCESS + LEEWAY, 100) == 1
        assert await stores.revocations.ask(opaque.identifier((2).to_bytes(16)), 0)

    async def test_published_and_retired_keys_are_told_by_the_feed(self, stores: Stores) -> None:
        await published(stores, 1)
        changes: list[Change] = []
        stores.revocations.watch(changes.append)
        await stores.revocations.start()
        await stores.revocations.stop()
        assert changes in ([], [KeysChanged()])
