"""The doctor's own accounts: made for the try, removed at its end whatever happens, and never anybody else's."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

from watchword.core import jose, opaque, strict_json
from watchword.core.errors import NotFound
from watchword.core.jose import SigningKey
from watchword.core.models import Account, Client, Proof, Tokens
from watchword.flows import accounts, session
from watchword.flows.kit import Kit
from watchword.server.doctor.attack import NotTried

NAME = re.compile(r"doctor-[a-z2-7]{26}@doctor\.invalid")
"""`.invalid` is nobody's domain. RFC 2606 2."""

LEFT_BEHIND = timedelta(hours=1)
CLIENT = Client(user_agent="watchword-doctor")


@dataclass(frozen=True, slots=True)
class Guest:
    """An account of the doctor's."""

    user: Account
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Party:
    """The doctor's accounts, and the kit of the deployment: with it tokens are truly signed."""

    kit: Kit
    one: Guest
    other: Guest

    async def tokens(self, guest: Guest | None = None) -> Tokens:
        """A new session of a guest (`one`, unless said), as a login would open it."""
        found = await self.kit.users.get((guest or self.one).user.id)
        if found is None:
            raise NotTried("the doctor's account is gone")
        proof = Proof(found.user, frozenset({"pwd"}), auth_time=self.kit.clock.now())
        return await session.open(self.kit, proof, None, CLIENT)

    @property
    def key(self) -> SigningKey:
        """The key that signs now."""
        return self.kit.keyring.ring.signer(self.kit.clock.now())


@contextlib.asynccontextmanager
async def invited(kit: Kit) -> AsyncIterator[Party]:
    """Two accounts without scopes, removed with their sessions at the end, even when the block is cancelled."""
    made: list[str] = []
    try:
        await _sweep(kit)
        one, other = [await _invite(kit, made) for _ in range(2)]
        yield Party(kit, one, other)
    finally:
        await asyncio.shield(_remove(kit, made))


async def forget(kit: Kit, email: str) -> None:
    """Remove an account that an attack has made under an address of ours."""
    if NAME.fullmatch(email):
        found = await kit.users.find(email)
        if found is not None:
            await accounts.delete(kit, found.user.id)


def address(kit: Kit) -> str:
    """An address of ours that nobody has."""
    return f"doctor-{opaque.identifier(kit.entropy(16))}@doctor.invalid"


def claims(token: str) -> dict[str, object]:
    """What a token of ours says."""
    return strict_json.loads(jose.b64decode(token.split(".")[1]), "payload")


async def _invite(kit: Kit, made: list[str]) -> Guest:
    password = jose.b64encode(kit.entropy(24))
    user = await accounts.add(kit, address(kit), password, None, frozenset())
    made.append(user.id)
    return Guest(user, password)


async def _remove(kit: Kit, user_ids: list[str]) -> None:
    for user_id in user_ids:
        with contextlib.suppress(NotFound):
            await accounts.delete(kit, user_id)


async def _sweep(kit: Kit) -> None:
    """Remove what a doctor that was killed has left."""
    before = kit.clock.now() - LEFT_BEHIND
    left = [one.user.id for one in await kit.users.page("doctor-", 50) if NAME.fullmatch(one.user.email)]
    old = [user_id for user_id in left if (found := await kit.users.get(user_id)) and found.user.created_at < before]
    await _remove(kit, old)
