"""Telling owners what was changed of their accounts, with a link for "this was not me"."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from watchword.core.mail import Queued
from watchword.core.models import Account, Client
from watchword.flows import links, post
from watchword.flows.kit import Kit

UNDO_LASTS = timedelta(days=7)
"""How long "this was not me" works: it only takes away, and somebody may be on a journey."""


async def about(
    kit: Kit,
    kind: str,
    user: Account,
    client: Client,
    now: datetime,
    *,
    to: str | None = None,
    undo: bool = True,
    **facts: str,
) -> Sequence[Queued]:
    """The mail that tells the owner of a change; none where mails go nowhere, or where so many of the kind went already that
    one more would tell nothing. "This was not me" gives the account the address again that the mail went to, unless that is
    a new one (`to`)."""
    recipient = to or user.email
    if kit.mailer is None or not await post.may_tell(kit, kind, recipient, now):
        return ()
    told = {"when": moment(now), **facts}
    if undo:
        told["undo"] = links.undoing(kit, user, now, UNDO_LASTS, "" if to else recipient)
    return (post.write(kit, kind, recipient, post.language(kit, user, client), now, told, post.NOTICES_LAST),)


def moment(time: datetime) -> str:
    """A time as both languages read it."""
    return f"{time:%Y-%m-%d %H:%M} UTC"
