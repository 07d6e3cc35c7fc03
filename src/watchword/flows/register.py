"""Making an account for oneself."""

from watchword.core import emails, lookalikes
from watchword.core.errors import RegistrationClosed, UsernameTaken
from watchword.core.events import Registered
from watchword.core.models import NOWHERE, Client
from watchword.flows import password as passwords
from watchword.flows import throttle, verify_email
from watchword.flows.kit import Kit
from watchword.ports import Added, NewUser


async def register(kit: Kit, email: str, password: str, username: str | None, client: Client = NOWHERE) -> None:
    """Make an account, or where mail is configured ask the address first: then there is none until its link comes back.

    A taken address looks like success, at the same cost; a taken username is told (they are public).

    Raises RegistrationClosed, TooManyAttempts, InvalidInput, WeakPassword, UsernameTaken, Overloaded.
    """
    now = kit.clock.now()
    if kit.policy.registration != "open":
        raise RegistrationClosed()
    await throttle.registration(kit, client)
    email = emails.accept_email(email)
    username = None if username is None else lookalikes.accept(emails.accept_username(username))
    await passwords.accept_for(kit, password, email, username)
    if username is not None and await _taken(kit, username):
        raise UsernameTaken("taken before")
    if kit.policy.confirms:
        await verify_email.ask_newcomer(kit, email, username, await kit.hashing.hash(password), client)
        return
    user = NewUser(
        id=kit.new_id(),
        email=email,
        username=username,
        password_hash=await kit.hashing.hash(password),
        scopes=frozenset(),
        created_at=now,
    )
    added = await kit.users.add(user)
    found = await kit.users.find(email)  # a host's table may make ids of its own; asked either way, so it tells nothing
    if added is Added.USERNAME_TAKEN:
        raise UsernameTaken("taken at the same time")
    if added is Added.ADDED and found is not None:
        kit.announce(Registered(found.user.id), client=client)


async def _taken(kit: Kit, username: str) -> bool:
    """Whether an account has this username, or one that can be taken for it."""
    if await kit.users.find(username) is not None:
        return True
    return kit.accounts is not None and await kit.accounts.resembles(username)
