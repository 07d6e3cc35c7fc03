"""An application with an engine and users of its own is rehearsed on them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

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


def build(folder: Path, sqlite_url: str) -> Built:
    engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
    users = SqlUsers(Database.of_host(engine))
    auth, app = Auth(Settings(data_dir=folder / "never"), engine=engine, users=users), FastAPI()
    auth.install(app)

    @app.get("/items")
    async def items(who: Annotated[Principal, Depends(auth.principal)]) -> str:
        return who.user_id

    return Built(app, auth)


def test_a_rehearsal_keeps_the_hosts_engine_and_users_and_makes_nothing_beside(tmp_path: Path, sqlite_url: str) -> None:
    built = build(tmp_path, sqlite_url)
    with rehearsal(built.app) as stage:
        ada = stage.signed_in("ada@example.com", scopes={"items:read"})
        assert ada.get("/items").json() == ada.user.id
        ada.refresh()
        stage.clock.tick(600)
        assert ada.get("/items").status_code == 401
    assert not (tmp_path / "never").exists()
    with rehearsal(built.app) as again:
        assert again.signed_in("ada@example.com").user.id == ada.user.id, "the host's database is the host's to empty"
