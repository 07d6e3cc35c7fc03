"""The servers that the tests stand on."""

import signal
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tests import keeper, servers
from tests.servers import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

KILLED_SESSION = """
import os, signal, sys
from tests import keeper, servers
home = keeper.Home()
server = home.path / "server"
server.mkdir()
keeper.keep(server, ["touch", sys.argv[1]])
print(home.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def ask(url: str, statement: str) -> object:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        answer = await connection.execute(text(statement))
        value: object = answer.scalar() if answer.returns_rows else None
    await engine.dispose()
    return value


async def test_a_fresh_database_answers_and_is_empty(postgres_url: str) -> None:
    assert await ask(postgres_url, TABLES) == 0


async def test_a_database_made_from_a_template_has_its_tables(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    await ask(template, "CREATE TABLE things (id int)")
    copy = postgres_server.create_database(template)
    assert await ask(copy, TABLES) == 1
    postgres_server.drop_database(copy)
    postgres_server.drop_database(template)


def test_the_servers_of_a_killed_session_are_stopped_and_removed(tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    session = subprocess.run(
        [sys.executable, "-c", KILLED_SESSION, stopped], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert session.returncode == -signal.SIGKILL
    keeper.wait_until_gone(Path(session.stdout.strip()))
    assert stopped.exists()


def test_a_server_that_stands_still_goes_with_its_session_too() -> None:
    """Whoever has stopped it may be killed before letting it go on; no process of it stays behind for that."""
    home = keeper.Home()
    servers.postgres(home.path)
    pid = servers.postmaster(home.path)
    servers.freeze(home.path)
    home.close()
    keeper.wait_until_gone(Path(f"/proc/{pid}"))
