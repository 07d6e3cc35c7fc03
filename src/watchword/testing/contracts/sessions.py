"""The contract of `ports.Sessions`: among the rest, each row of the refresh table."""

import asyncio
from datetime import timedelta

from watchword.core import opaque
from watchword.core.models import Revoked
from watchword.core.policy import LEEWAY, MAX_SESSIONS
from watchword.ports import (
    Turn,
)
from watchword.testing.contracts.grounds import (
    ABSOLUTE,
    ACCESS,
    IDLE,
    NOW,
    RACERS,
    SECOND,
    R,
    Stores,
    a_session,
    opened,
    turn,
    user,
)


class SessionsContract:
    """`ports.Sessions`: among the rest, each row of the refresh table."""

    async def test_an_open_session_is_found_and_listed(self, stores: Stores) -> None:
        ada = await user(stores)
        session = await opened(stores, ada)
        assert await stores.sessions.get(session.id, NOW) == session
        assert await stores.sessions.of_user(ada.id, NOW) == [session]

    async def test_the_current_generation_turns(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        turned = await turn(stores, session, 0, after=60)
        assert turned.answer is Turn.TURNED
        assert turned.session is not None
        assert turned.session.generation == 1
        assert turned.session.used_at == NOW + timedelta(seconds=60)
        assert turned.session.idle_expires_at == NOW + timedelta(seconds=60) + IDLE
        assert turned.session.access_expires_at == NOW + timedelta(seconds=60) + ACCESS

    async def test_the_generation_before_gets_the_same_successor_within_the_grace(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        for after in (0, 1, 29.999):
            repeated = await turn(stores, session, 0, after=after)
            assert repeated.answer is Turn.REPEATED
            assert repeated.session is not None
            assert repeated.session.generation == 1

    async def test_a_repeat_does_not_prolong_the_grace(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        await turn(stores, session, 0, after=29)
        assert (await turn(stores, session, 0, after=31)).answer is Turn.REUSED

    async def test_the_generation_before_after_the_grace_closes_the_session(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        reused = await turn(stores, session, 0, after=30)
        assert reused.answer is Turn.REUSED
        assert reused.session is None
        assert [one.session_id for one in reused.revoked] == [session.id]
        assert (await turn(stores, session, 1, after=30)).answer is Turn.UNKNOWN

    async def test_any_older_generation_closes_the_session_even_at_once(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0)
        await turn(stores, session, 1)
        assert (await turn(stores, session, 0)).answer is Turn.REUSED
        assert await stores.sessions.get(session.id, NOW) is None
        assert await stores.revocations.ask(session.id, 10_000)

    async def test_a_newer_generation_moves_the_session_forward(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        rewound = await turn(stores, session, 7)
        assert rewound.answer is Turn.REWOUND
        assert rewound.session is not None
        assert rewound.session.generation == 8
        assert (await turn(stores, session, 8)).answer is Turn.TURNED

    async def test_another_secret_changes_nothing(self, stores: Stores) -> None:
        """Knowing a session id (and even the mac key) is not enough to turn or to close a session."""
        session = await opened(stores, await user(stores))
        for generation in (0, 1, 5):
            assert (await turn(stores, session, generation, r=bytes(32))).answer is Turn.UNKNOWN
        assert (await turn(stores, session, 0)).answer is Turn.TURNED

    async def test_a_clock_that_runs_back_counts_as_no_time_at_all(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        await turn(stores, session, 0, after=3600)
        assert (await turn(stores, session, 0, after=0)).answer is Turn.REPEATED

    async def test_order_does_not_rest_on_time(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        for generation in range(20):
            assert (await turn(stores, session, generation)).answer is Turn.TURNED
        assert (await turn(stores, session, 18)).answer is Turn.REUSED

    async def test_exactly_one_of_many_turns_and_the_others_get_its_successor(self, stores: Stores) -> None:
        session = await opened(stores, await user(stores))
        for generation in range(3):
            answers = await asyncio.gather(*(turn(stores, session, generation) for _ in range(RACERS)))
            kinds = [answer.answer for answer in answers]
            assert kinds.count(Turn.TURNED) == 1
            assert kinds.count(Turn.REPEATED) == RACERS - 1
            assert {answer.session.generation for answer in answers if answer.session} == {generation + 1}

    async def test_the_idle_and_absolute_lifetimes_end_a_session(self, stores: Stores) -> None:
        ada = await user(stores)
        idle, old = await opened(stores, ada, 1), await opened(stores, ada, 2)
        assert (await turn(stores, idle, 0, after=IDLE.total_seconds())).answer is Turn.UNKNOWN
        generation, days = 0, timedelta(0)
        while (days := days + timedelta(days=13)) < ABSOLUTE:
            turned = await turn(stores, old, generation, after=days.total_seconds())
            assert turned.session is not None
            assert turned.session.idle_expires_at <= turned.session.expires_at == NOW + ABSOLUTE
            generation += 1
        assert (await turn(stores, old, generation, after=ABSOLUTE.total_seconds())).answer is Turn.UNKNOWN

    async def test_closing_revokes_every_access_token_of_the_session(self, stores: Stores) -> None:
        ada = await user(stores)
        session, other = await opened(stores, ada, 1), await opened(stores, ada, 2)
        (revoked,) = await stores.sessions.close(session.id, None, NOW)
        assert revoked == Revoked(session.id, opaque.MAX_GENERATION, (NOW + ACCESS + LEEWAY).timestamp())
        assert revoked.user_id == session.user_id
        assert await stores.sessions.close(session.id, None, NOW) == ()
        assert await stores.revocations.ask(session.id, 5)
        assert not await stores.revocations.ask(other.id, 0)

    async def test_nobody_closes_the_session_of_another(self, stores: Stores) -> None:
        ada, eve = await user(stores), await user(stores, "eve")
        session = await opened(stores, ada)
        assert await stores.sessions.close(session.id, eve.id, NOW) == ()
        assert await stores.sessions.get(session.id, NOW) is not None

    async def test_closing_all_ends_the_sessions_of_one_user(self, stores: Stores) -> None:
        ada, eve = await user(stores), await user(stores, "eve")
        await opened(stores, ada, 1)
        await opened(stores, ada, 2)
        spared = await opened(stores, eve, 3)
        assert len(await stores.sessions.close_all(ada.id, NOW)) == 2
        assert await stores.sessions.of_user(ada.id, NOW) == []
        assert await stores.sessions.get(spared.id, NOW) is not None

    async def test_a_user_has_so_many_sessions_and_no_more(self, stores: Stores) -> None:
        ada, eve = await user(stores), await user(stores, "eve")
        spared = await opened(stores, eve, 0)
        first = await opened(stores, ada, 1)
        for number in range(2, MAX_SESSIONS + 1):
            await opened(stores, ada, number)
        await turn(stores, first, 0, after=10)
        new = a_session(ada, MAX_SESSIONS + 1, NOW + 20 * SECOND)
        (revoked,) = await stores.sessions.open(new, R)
        listed = {one.id for one in await stores.sessions.of_user(ada.id, new.created_at)}
        assert {first.id, new.id} <= listed, "the one that was used last stays, whenever it was opened"
        assert len(listed) == MAX_SESSIONS
        assert revoked.session_id not in listed
        assert await stores.revocations.ask(revoked.session_id, 0)
        assert await stores.sessions.get(spared.id, NOW) is not None

    async def test_of_many_sessions_opened_at_once_so_many_stay(self, stores: Stores) -> None:
        ada = await user(stores)
        for number in range(1, MAX_SESSIONS):
            await opened(stores, ada, number)
        racing = [a_session(ada, MAX_SESSIONS + number, NOW + SECOND) for number in range(RACERS)]
        ended = await asyncio.gather(*(stores.sessions.open(one, R) for one in racing))
        assert sum(len(revoked) for revoked in ended) == RACERS - 1
        assert len(await stores.sessions.of_user(ada.id, NOW + SECOND)) == MAX_SESSIONS

    async def test_the_last_used_session_is_listed_first(self, stores: Stores) -> None:
        ada = await user(stores)
        first, second = await opened(stores, ada, 1), await opened(stores, ada, 2)
        await turn(stores, first, 0, after=10)
        listed = await stores.sessions.of_user(ada.id, NOW + SECOND)
        assert [one.id for one in listed] == [first.id, second.id]

    async def test_only_dead_sessions_are_pruned_in_batches(self, stores: Stores) -> None:
        ada = await user(stores)
        for number in range(1, 6):
            await opened(stores, ada, number)
        alive = await opened(stores, ada, 9, idle_expires_at=NOW + ABSOLUTE)
        later = NOW + IDLE + LEEWAY
        assert await stores.sessions.prune(NOW, 100) == 0
        assert [await stores.sessions.prune(later, 3) for _ in range(3)] == [3, 2, 0]
        assert await stores.sessions.get(alive.id, later) is not None

    async def test_a_session_is_kept_while_an_access_token_of_it_may_live(self, stores: Stores) -> None:
        """What is pruned can't be revoked any more: a logout or a disable would say yes and do nothing."""
        ada = await user(stores)
        idle = NOW + 60 * SECOND
        session = await opened(stores, ada, idle_expires_at=idle, access_expires_at=NOW + 3600 * SECOND)
        assert await stores.sessions.prune(idle + LEEWAY, 100) == 0
        assert len(await stores.sessions.close(session.id, None, idle + LEEWAY)) == 1
        assert await stores.sessions.prune(NOW + 3600 * SECOND + LEEWAY, 100) == 1

    async def test_a_turn_never_shortens_what_a_revocation_must_outlive(self, stores: Stores) -> None:
        """After a restart with shorter lifetimes the long-lived tokens of before still have to stay revoked."""
        session = await opened(stores, await user(stores), access_expires_at=NOW + 3600 * SECOND)
        await turn(stores, session, 0)
        (revoked,) = await stores.sessions.close(session.id, None, NOW)
        assert revoked.expires_at == (NOW + 3600 * SECOND + LEEWAY).timestamp()

    async def test_a_revocation_is_kept_from_when_it_was_written(self, stores: Stores) -> None:
        """A restored database knows nothing of the tokens that were made since, and a logout has to end those too."""
        session = await opened(stores, await user(stores), access_expires_at=NOW)
        later = NOW + 3600 * SECOND
        (revoked,) = await stores.sessions.close(session.id, None, later)
        assert revoked.expires_at == (later + LEEWAY).timestamp()
