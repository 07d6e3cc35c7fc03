"""An application with an engine and users of its own is rehearsed on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

from watchword import Auth, Principal, Settings
from watchword.stores.sql.engine import Database
from watchword.stores.sql.users import SqlUsers
from watchword.testing import rehearsal


@dataclass
class Built:
    app: FastAPI
    auth: Auth


@pytest.fixture
def built(tmp_path: Path, sqlite_url: str) -> Iterator[Built]:
    engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
    users = SqlUsers(Database.of_host(engine))
    auth, app = Auth(Settings(data_dir=tmp_path / "never"), engine=engine, users=users), FastAPI()
    auth.install(app)

    @app.get("/items")
    async def items(who: Annotated[Principal, Depends(auth.principal)]) -> str:
        return who.user_id

    yield Built(app, auth)
    anyio.run(engine.dispose)


def test_a_rehearsal_keeps_the_hosts_engine_and_users_and_makes_nothing_beside(tmp_path: Path, built: Built) -> None:
    with rehearsal(built.app) as stage:
        ada = stage.signed_in("ada@example.com", scopes={"items:read"})
        assert ada.get("/items").json() == ada.user.id
        ada.refresh()
        stage.clock.tick(600)
        assert ada.get("/items").status_code == 401
    assert not (tmp_path / "never").exists()
    with rehearsal(built.app) as again:
        assert again.signed_in("ada@example.com").user.id == ada.user.id, "the host's database is the host's to empty"
