"""examples/with_alembic: the application's tables point to ours, and its Alembic leaves ours alone."""

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.examples.example import PASSWORD, Example

ADA = "ada@example.com"


@pytest.fixture(params=["sqlite", "postgresql"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    settings = {}
    if request.param == "postgresql":
        settings["NOTES_DATABASE"] = request.getfixturevalue("postgres_url")
    return Example.copy("with_alembic", tmp_path, **settings)


def test_it_runs_by_the_command_of_its_readme(example: Example) -> None:
    command = example.blocks()[0].strip()
    assert command == "sh run.sh"
    with example.serving(command) as url, httpx2.Client(base_url=url) as client:
        assert client.post("/register", json={"email": ADA, "password": PASSWORD}).status_code == 202
        tokens = client.post("/login", data={"username": ADA, "password": PASSWORD}).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert client.post("/notes", params={"text": "milk"}, headers=headers).status_code == 201
        assert client.get("/notes", headers=headers).json() == ["milk"]
        assert client.get("/notes").status_code == 401
        example.run(f"watchword --app main:auth users delete {ADA} --yes")  # and the notes go with the account
        assert client.get("/notes", headers=headers).status_code == 401
    assert rows(example, "notes") == 0


def test_autogenerate_sees_the_applications_tables_and_none_of_ours(example: Example) -> None:
    example.run("watchword --app main:auth migrate")
    example.run("alembic upgrade head")
    assert "No new upgrade operations detected" in example.run("alembic check")
    tables = example.folder / "tables.py"
    tables.write_text(tables.read_text() + "    colour: Mapped[str | None]\n")
    example.run("alembic revision --autogenerate -m colour --rev-id 0002")
    (made,) = (example.folder / "migrations" / "versions").glob("0002_*.py")
    upgrade = made.read_text().split("def upgrade")[1].split("def downgrade")[0]
    assert re.findall(r"(\w+)\(", upgrade.split(":", 1)[1])[:3] == ["batch_alter_table", "add_column", "Column"]
    assert "watchword" not in made.read_text()
    example.run("alembic upgrade head")


def rows(example: Example, table: str) -> Any:
    """How many rows there are, read from outside."""
    if "NOTES_DATABASE" in example.settings:
        return int(example.run(f"python -c '{COUNT.format(table=table)}'").split()[-1])
    with contextlib.closing(sqlite3.connect(example.folder / "notes.db")) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


COUNT = """
import asyncio, sqlalchemy
from database import engine
async def main():
    async with engine.connect() as connection:
        print((await connection.execute(sqlalchemy.text("SELECT count(*) FROM {table}"))).scalar_one())
asyncio.run(main())
"""
