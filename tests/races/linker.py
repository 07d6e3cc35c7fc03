"""One process that uses mailed links: `python -m tests.races.linker CALLERS`, with the settings in the environment.

For each line of JSON that it is told (what for, and the link's token) all callers use it at once; it answers with how many of
them it worked for.
"""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.house import CHEAP, OTHER_PASSWORD

from watchword import Auth
from watchword.core.errors import InvalidLink, TooManyAttempts
from watchword.features.magic_link import flow as magic_link
from watchword.features.one_time_code import flow as one_time_code
from watchword.flows import change_email, recover, verify_email
from watchword.flows.kit import Kit


async def agree(kit: Kit, token: str) -> object:
    assert kit.accounts is not None
    return await change_email.agree(kit, kit.accounts, token)


USES: Mapping[str, Callable[[Kit, str], Awaitable[object]]] = {
    "reset-password": lambda kit, token: recover.reset(kit, token, OTHER_PASSWORD),
    "register": verify_email.confirm,
    "verify-email": verify_email.confirm,
    "approve-email": agree,
    "confirm-email": agree,
    "undo": recover.disown,
    "magic-link": magic_link.prove,
    "one-time-code": lambda kit, token: one_time_code.prove(kit, token.split()[0], token.split()[1]),
}


async def won(kit: Kit, use: Callable[[Kit, str], Awaitable[Any]], token: str) -> bool:
    try:
        await use(kit, token)
    except (InvalidLink, TooManyAttempts):
        return False
    return True


async def main(callers: int) -> None:
    auth = Auth(argon2=CHEAP)
    await auth.start()
    kit = dataclasses.replace(await auth.open(), mailer=None)  # whoever asked for the links wants to see them
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        purpose, token = json.loads(line)
        winners = await asyncio.gather(*(won(kit, USES[purpose], token) for _ in range(callers)))
        sys.stdout.write(f"{sum(winners)}\n")
        sys.stdout.flush()
    await auth.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
