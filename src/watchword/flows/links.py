"""Mailed links: made for one purpose, one account and its present address, and used by exactly one caller."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watchword.core import emails, links
from watchword.core.errors import InvalidLink
from watchword.core.links import Link
from watchword.core.mail import Queued
from watchword.core.models import NOWHERE, Account, Client, User
from watchword.flows import post, throttle
from watchword.flows.kit import Kit
from watchword.ports import Once

LASTS = timedelta(hours=1)
"""How long a link may be used that gives something away. OWASP Forgot Password; ASVS 6.4.1."""

MINUTES = str(int(LASTS.total_seconds()) // 60)
"""The same for people."""

USED = "the link was used, or replaced, or the account changed since"

PAGES = {
    "register": "verify-email",
    "verify-email": "verify-email",
    "reset-password": "reset-password",
    "approve-email": "change-email",
    "confirm-email": "change-email",
    "undo": "undo",
}
"""Which page the link of a purpose leads to."""


@dataclass(frozen=True, slots=True)
class Made:
    """A link for a mail, and what is to be kept for its one use."""

    url: str
    once: Once


@dataclass(frozen=True, slots=True)
class Opened:
    """A genuine link that came back, and the account as it is now. Nothing is used up yet."""

    link: Link
    user: Account
    text: str

    @property
    def once(self) -> Once:
        """What is kept for its one use."""
        until = datetime.fromtimestamp(self.link.expires_at, UTC)
        return Once(self.link.purpose, links.place(self.user.id), links.fingerprint(self.text, self.user), until)


def for_user(kit: Kit, purpose: str, user: Account, now: datetime, *, to: str = "", page: str | None = None) -> Made:
    """A link for this account. A later one for the same purpose takes its place. `page` is a path of the application's own
    that it leads to, below the issuer."""
    link = _new(kit, purpose, user.id, now + LASTS, to)
    text = links.mint(link, kit.keyring.link_keys[0])
    once = Once(purpose, links.place(user.id), links.fingerprint(text, user), now + LASTS)
    return Made(url(kit, purpose, text) if page is None else f"{kit.policy.issuer.rstrip('/')}{page}#{text}", once)


async def send(kit: Kit, purpose: str, email: str, client: Client, *, page: str | None = None) -> Account | None:
    """Mail a link to this address if it has an account that is enabled; the account, also where nothing was mailed.

    Nobody learns whether there is one: all take the same steps, and none waits for the mail. Raises InvalidInput for what is
    no address, and TooManyAttempts.
    """
    now = kit.clock.now()
    email = emails.accept_email(email)
    await throttle.mails(kit, client)
    found = await kit.users.find(email)
    user = found.user if found and not found.user.disabled else None
    allowed = await post.may_ask(kit, purpose, email, now)
    mail, once = asked(kit, purpose, user if allowed else None, email, client, page=page)
    await post.queue(kit, [mail], [once])
    return found.user if found else None


def asked(
    kit: Kit, purpose: str, user: Account | None, email: str, client: Client, *, to: str = "", page: str | None = None
) -> tuple[Queued, Once]:
    """The mail of this purpose with its link; or the same for nobody, which costs as much and goes nowhere. `to` is the
    address that it is about, where that is another."""
    now = kit.clock.now()
    nobody = User(kit.new_id(), email, None, frozenset(), now, None, 0)
    made = for_user(kit, purpose, user or nobody, now, to=to, page=page)
    facts = {"link": made.url, "minutes": MINUTES, "to": to}
    mail = post.write(kit, purpose, email, post.language(kit, user, client), now, facts, LASTS)
    return (mail if user else post.unsent(mail)), made.once


def for_nobody(kit: Kit, purpose: str, value: str, now: datetime) -> tuple[str, Once]:
    """The text of a link that leads to no account yet, and `value` for whoever brings it."""
    text = links.mint(_new(kit, purpose, "", now + LASTS), kit.keyring.link_keys[0])
    return text, Once(purpose, links.fingerprint(text), value, now + LASTS)


def undoing(kit: Kit, user: Account, now: datetime, lasts: timedelta, to: str = "") -> str:
    """The address of the page that says "this was not me", and puts the mail address `to` back, where one is given. It opens
    nothing, so it may last; and a later one leaves it be."""
    text = links.mint(_new(kit, "undo", user.id, now + lasts, to, user.epoch), kit.keyring.link_keys[0])
    return url(kit, "undo", text)


def url(kit: Kit, purpose: str, text: str) -> str:
    """Below the configured issuer, whatever the request named. The secret stands behind the `#`: no browser sends that to a
    server, and no server, proxy or Referer tells it. RFC 3986 3.5."""
    return f"{kit.policy.links}/links/{PAGES[purpose]}#{text}"


def read(kit: Kit, text: str, purposes: tuple[str, ...], now: datetime, client: Client = NOWHERE) -> Link:
    """The link, without I/O. Raises InvalidLink, and TooManyAttempts after too many forged ones from a network."""
    try:
        return links.parse(text, purposes, kit.keyring.link_keys, now)
    except InvalidLink:
        throttle.count_forged(kit, client)
        raise


async def open(  # noqa: A001 - `links.open(...)` is the sentence
    kit: Kit, text: str, purposes: tuple[str, ...], now: datetime, client: Client = NOWHERE
) -> Opened:
    """The link and its account, which has to be there and enabled, where it can still be used: nothing that costs more is done
    for one that was used before. Raises InvalidLink and TooManyAttempts."""
    opened = await owner(kit, text, purposes, now, client)
    once = opened.once
    if await kit.scratch.peek(once.purpose, once.key, now) != once.value:
        raise InvalidLink(USED)
    return opened


async def owner(kit: Kit, text: str, purposes: tuple[str, ...], now: datetime, client: Client = NOWHERE) -> Opened:
    """The link and its account, which has to be there and enabled, whether or not the link was used. Raises InvalidLink and
    TooManyAttempts."""
    link = read(kit, text, purposes, now, client)
    found = await kit.users.get(link.user_id)
    if found is None or found.user.disabled:
        raise InvalidLink("the user is gone or disabled")
    return Opened(link, found.user, text)


async def use(kit: Kit, opened: Opened, now: datetime) -> None:
    """Use it up. Of any number of callers exactly one returns; for all others, and where the account's address or
    epoch changed since it was made, InvalidLink is raised."""
    once = opened.once
    if await kit.scratch.consume(once.purpose, once.key, now, value=once.value) is None:
        raise InvalidLink(USED)


async def kept_for_nobody(kit: Kit, link: Link, text: str, now: datetime) -> str:
    """The value that is kept for it, and stays. Raises InvalidLink."""
    value = await kit.scratch.peek(link.purpose, links.fingerprint(text), now)
    if value is None:
        raise InvalidLink(USED)
    return value


def _new(kit: Kit, purpose: str, user_id: str, expires_at: datetime, to: str = "", epoch: int = 0) -> Link:
    nonce = base64.urlsafe_b64encode(kit.entropy(18)).decode()
    return Link(purpose, user_id, nonce, int(expires_at.timestamp()), to, epoch)
