"""What a feature has in a house that is open: the tokens that it knows, what it prunes, what it hears."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from watchword.core.events import Event
from watchword.core.models import Client
from watchword.core.tokens import Access

Way = Callable[[str, Callable[[], Client]], Awaitable[Access]]
"""Gives the access of a bearer token, which comes with a way to ask for the client. Raises AuthError; InvalidToken for what is
not good, Unavailable where nobody can say. It makes no query for what it knows, and does no I/O for garbage."""

Prune = Callable[[datetime, int], Awaitable[int]]
"""Removes at most so many rows that were dead by that instant, and says how many there were."""


class Annex:
    """The part of a house that is a feature's. Each says what it has; what it does not say, it has not."""

    @property
    def ways(self) -> Mapping[str, Way]:
        """Bearer tokens that are no JWT, by their first characters: a word of its own and `_`, as in `wwk_`."""
        return {}

    @property
    def prunes(self) -> Sequence[Prune]:
        """What upkeep runs, in small batches, beside the house's own."""
        return ()

    async def held(self, user_id: str) -> Mapping[str, Any]:  # noqa: ARG002
        """What it keeps about a user, in plain values under names of its own, for their export. Nothing of it opens a door."""
        return {}

    async def disowned(self, user_id: str) -> None:
        """Take away what lets somebody into this account who is not its owner: it says that it was somebody else."""

    def hear(self, event: Event) -> None:
        """A fact of this worker's, after its commit and before whoever asked for it is answered. Others' come by the feed."""

    async def close(self) -> None:
        """Bring to its end what is at work beside requests. The database is still there."""
