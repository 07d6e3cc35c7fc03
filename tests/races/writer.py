"""One worker that writes to the audit log without a rest: `python -m tests.races.writer URL FOLDER EVENTS`.

It says `ready`, waits for a line, writes so many events, each of its batches sealed at once, and says `done`.
"""

import asyncio
import sys
from pathlib import Path

from tests.house import CHEAP

from watchword import Auth, Settings
from watchword.core.events import LoggedIn
from watchword.core.models import Client
from watchword.flows import recording

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"


async def main(url: str, folder: Path, count: int) -> None:
    recording.SEAL_SECONDS = 0.0
    auth = Auth(Settings(database_url=url, data_dir=folder, master_keys=KEY), argon2=CHEAP)
    await auth.start()
    kit = await auth.open()
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(count):
        kit.recorder.note(LoggedIn("u", f"s{number}"), Client("writer", "203.0.113.7"))
        if number % 7 == 0:
            await asyncio.sleep(0.001)
    await auth.stop()
    _say("done")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
