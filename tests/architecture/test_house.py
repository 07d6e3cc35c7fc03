"""The house stands as docs/en/design.md says."""

import ast
import asyncio
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

import watchword
from watchword import ports
from watchword.stores.sql.engine import Database
from watchword.stores.sql.migrate import VERSION_TABLE
from watchword.stores.sql.tables import metadata

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "watchword"
VAGUE = {"utils", "helpers", "common", "manager", "service", "backend", "strategy"}
HEAVY = {"sqlalchemy", "alembic", "pydantic_settings", "uvicorn", "typer", "rich", "structlog", "ua_parser", "asyncpg"}


def test_nobody_looks_up() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_front_door_opens_to_exactly_what_it_lists() -> None:
    watchword.Settings  # noqa: B018 - loads on first use
    listed = {name for name in dir(watchword) if not name.startswith("_") and not _is_module(name)}
    assert listed - {"TYPE_CHECKING", "Any"} | {"Settings"} == set(watchword.__all__)
    assert all(hasattr(watchword, name) for name in watchword.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        watchword.Nothing  # type: ignore[attr-defined]  # noqa: B018


def _is_module(name: str) -> bool:
    return inspect.ismodule(getattr(watchword, name))


def test_importing_the_front_door_leaves_the_heavy_libraries_alone() -> None:
    code = "import sys; from watchword import Auth, Principal, JWTManager; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())


def test_no_room_has_a_vague_name() -> None:
    names = {path.stem for path in SOURCE.rglob("*.py")} | {path.name for path in SOURCE.rglob("*") if path.is_dir()}
    assert VAGUE.isdisjoint(names)


def test_every_public_thing_says_what_it_is() -> None:
    silent = []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        if path.stat().st_size and ast.get_docstring(tree) is None:
            silent.append(str(path.relative_to(SOURCE)))
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if not node.name.startswith("_") and ast.get_docstring(node) is None:
                silent.append(f"{path.relative_to(SOURCE)}: {node.name}")
    assert silent == []


def test_a_port_has_at_most_eight_verbs_and_each_states_its_contract() -> None:
    for port in (ports.Users, ports.Sessions, ports.Keys, ports.Revocations, ports.Audit, ports.Roles):
        verbs = {name: verb for name, verb in vars(port).items() if inspect.isfunction(verb) and name[0] != "_"}
        verbs.pop("start", None), verbs.pop("stop", None)  # life and death are not verbs of the trade
        assert len(verbs) <= 8, port
        assert all(verb.__doc__ for verb in verbs.values()), port


def test_the_migrations_make_the_tables(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        return list(compare_metadata(context, metadata))

    async def read() -> list[object]:
        db = Database(database_url)
        async with db.engine.connect() as connection:
            found = await connection.run_sync(differences)
        await db.close()
        return found

    assert asyncio.run(read()) == []


def test_every_module_can_be_imported_alone() -> None:
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        if not name.startswith("watchword.stores.sql.migrations.") and not name.endswith("__main__"):
            importlib.import_module(name.removesuffix(".__init__"))
