"""One process that wants what may be used once: `python -m tests.races.consumer URL CALLERS ROUNDS`.

For each line that it is told, all callers ask at once; it answers with how many of them got the value.
"""

import asyncio
import sys

from watchword.stores.sql.engine import Database
from watchword.stores.sql.scratch import SqlScratch
from watchword.testing.contracts import NOW


async def main(url: str, callers: int, rounds: int) -> None:
    db = Database(url)
    db.settle(here=True)
    scratch = SqlScratch(db)
    for number in range(rounds):
        if not await asyncio.to_thread(sys.stdin.readline):
            break
        got = await asyncio.gather(*(scratch.consume("race", f"round {number}", NOW) for _ in range(callers)))
        sys.stdout.write(f"{sum(value is not None for value in got)}\n")
        sys.stdout.flush()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
