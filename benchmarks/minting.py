"""Distinct access tokens, as many as wanted, beside a running server of ours: `python -m benchmarks.minting 10000`.

Each is for a session of its own, as those of different people are. They are written one a line.
"""

import asyncio
import dataclasses
import secrets
import sys

from benchmarks.peers.people import EMAILS

from watchword import Auth
from watchword.core import tokens
from watchword.core.models import NOWHERE, Proof
from watchword.flows import session


async def main(number: int) -> None:
    auth = Auth()
    kit = await auth.open()
    try:
        found = await kit.users.find(EMAILS[0])
        assert found is not None
        now = kit.clock.now()
        opened = await session.open(kit, Proof(found.user, frozenset({"pwd"}), now), None, NOWHERE)
        first = await kit.sessions.get(opened.refresh_token.removeprefix("wwr_").partition(".")[0], now)
        assert first is not None
        for _ in range(number):
            one = dataclasses.replace(first, id=kit.new_id())
            print(tokens.issue(kit.keyring.ring, kit.policy, one, frozenset(), secrets.token_bytes(16), now))
    finally:
        await auth.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
