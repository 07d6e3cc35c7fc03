"""What an annex is, for `Auth` and for whoever writes one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from watchword.flows.annex import Annex

if TYPE_CHECKING:
    from fastapi import APIRouter

    from watchword.flows.kit import Kit
    from watchword.stores.sql.engine import Database
    from watchword.web.guard import Guard, Open


class Feature:
    """One annex: `Auth(features=[ApiKeys()])`. It is what was configured, and holds nothing of a running house.

    `name` is its own among the features of an application. One that `mails` is of no use where mails go nowhere, so a start
    without a mail server is refused there.
    """

    name: ClassVar[str]
    mails: ClassVar[bool] = False

    def routes(self, open_house: "Open", guard: "Guard") -> "Sequence[APIRouter]":  # noqa: ARG002
        """What stands below the prefix of `install`, in routers whose routes are `ProblemRoute`s or `OAuthRoute`s."""
        return ()

    def open(self, kit: "Kit", db: "Database") -> Annex:  # noqa: ARG002
        """What it has in a house that opens: its stores on the house's database, its tokens, its upkeep.

        Called before the feed is followed, so whatever watches `kit.revocations` misses nothing. It does no I/O.
        """
        return Annex()
