"""How often somebody may try: guesses are counted before they are evaluated, so parallel ones can't slip through.

A wrong password counts against four limits: of the name from this network, the same for a day, of the network, and of the
account from everywhere. The two that last a day spare networks from which the owner has signed in, so nobody is locked out
for good by strangers; and no one network can use up what an account has from everywhere.

What is counted is the name that was typed, in its one spelling: names that nobody has are counted as those of accounts are,
and nobody learns which address belongs to which username. A right password takes its own attempt back, and no other.

A refresh token can't be guessed (opaque's mac), and garbage never reaches the database; so bad ones are counted in this
worker's memory, and a good one is never refused for what others send.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from watchword.core import emails, tokens
from watchword.core.errors import AuthError, InvalidGrant, Overloaded, TooManyAttempts
from watchword.core.events import AttemptsExhausted
from watchword.core.models import Account, Client
from watchword.core.opaque import Presented
from watchword.flows.kit import Kit
from watchword.ports import Limit

WINDOW = timedelta(minutes=15)
"""How long until all attempts of a limit have come back."""

DAY = timedelta(days=1)
FROM_EVERYWHERE = 100
"""Wrong passwords in a day for one account from all networks that its owner never came from. SP 800-63B-4 3.2.2."""

FROM_ONE_NETWORK = 24
"""How many of them may come from one network: else a single stranger, who tries without a pause, keeps the owner out."""

REMEMBERED = timedelta(days=90)
"""How long a network is known after somebody has signed in from there, with the password that the account still has."""


@contextlib.asynccontextmanager
async def guess(kit: Kit, user: Account | None, name: str, client: Client) -> AsyncIterator[None]:
    """Count an attempt at a password around its evaluation: under the name that was typed, and for the user who has it.

    It is taken back when the block ends well, or could not be evaluated for want of room. Raises TooManyAttempts, and then
    the block is not entered. Of any number of parallel guesses exactly as many are evaluated as the limits allow.
    """
    limits, known = _of_guess(kit, user, emails.one_spelling(name), client)
    hit = await kit.scratch.hit(limits, kit.clock.now())
    if hit.wait is not None:
        raise TooManyAttempts("too many wrong passwords", wait=hit.wait)
    try:
        yield
    except Overloaded:
        await kit.scratch.take_back(hit.counted)
        raise
    except AuthError:
        if hit.last:
            kit.announce(AttemptsExhausted(user.id if user else None), client=client)
        raise
    await kit.scratch.take_back(hit.counted, remember=known, until=kit.clock.now() + REMEMBERED)


async def registration(kit: Kit, client: Client) -> None:
    """Count a registration from this network. Raises TooManyAttempts."""
    await _from_network(kit, "register", client, "too many registrations from this network")


async def mails(kit: Kit, client: Client) -> None:
    """Count a mail that somebody asks for from this network, whether or not one goes out. Raises TooManyAttempts."""
    await _from_network(kit, "mails", client, "too many mails were asked for from this network")


async def _from_network(kit: Kit, what: str, client: Client, because: str) -> None:
    limit = _limit(kit, kit.policy.attempts_per_network, what, client.network)
    counted = await kit.scratch.hit([limit], kit.clock.now())
    if counted.wait is not None:
        raise TooManyAttempts(because, wait=counted.wait)


async def welcome(kit: Kit, user: Account, client: Client) -> None:
    """Remember that the owner came from this network, who has shown it in another way than by the password."""
    _, known = _of_guess(kit, user, emails.one_spelling(user.email), client)
    await kit.scratch.take_back((), remember=known, until=kit.clock.now() + REMEMBERED)


def read_refresh(kit: Kit, text: str, client: Client) -> Presented:
    """The refresh token in `text`. Raises InvalidGrant when it was not made here, and TooManyAttempts after too many such.

    One that was made here is let through whatever came before it, also when its session has long ended.
    """
    try:
        return tokens.read_refresh(text, kit.keyring.ring)
    except InvalidGrant:
        count_forged(kit, client)
        raise


def count_forged(kit: Kit, client: Client) -> None:
    """Count a forged secret that can't be guessed: a refresh token, a service key. Raises TooManyAttempts after too many."""
    wait = kit.tally.count(client.network, kit.policy.attempts_per_network, WINDOW, kit.clock.timestamp())
    if wait is not None:
        raise TooManyAttempts("too many forged tokens from this network", wait=wait) from None


def refuse_forgers(kit: Kit, client: Client) -> None:
    """Raise TooManyAttempts after too many forged secrets from this network, before another one is looked for."""
    wait = kit.tally.full(client.network, kit.policy.attempts_per_network, WINDOW, kit.clock.timestamp())
    if wait is not None:
        raise TooManyAttempts("too many forged tokens from this network", wait=wait)


def _of_guess(kit: Kit, user: Account | None, name: str, client: Client) -> tuple[list[Limit], str]:
    """The limits, in the one order in which every caller locks them; and the key of this account's known network.

    An unknown name has all of them too. It is no user's id, whatever was typed.
    """
    policy, network, pseudonym = kit.policy, client.network, kit.keyring.pseudonym
    account = ("user", user.id) if user else ("name", name)
    known = pseudonym("known", *account, network, str(user.epoch) if user else "")
    return [
        _limit(kit, policy.attempts_per_account, "guess", name, network),
        _limit(kit, policy.attempts_per_network, "guesses", network),
        Limit(pseudonym("day", name, network), max(FROM_ONE_NETWORK, policy.attempts_per_account), DAY, unless=known),
        Limit(pseudonym("account", *account), FROM_EVERYWHERE, DAY, unless=known),
    ], known


def _limit(kit: Kit, hits: int, *whose: str) -> Limit:
    return Limit(kit.keyring.pseudonym(*whose), hits, WINDOW)
