"""Watchword in the shape of the peers: `GET /` unprotected, `GET /items/` protected in three ways, and a login.

Settings come from the environment as ever. `python -m uvicorn --factory benchmarks.ours:dependency` serves one of them.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from benchmarks.peers.people import EMAILS, ITEMS, PASSWORD
from fastapi import Depends, FastAPI

from watchword import Auth, Principal
from watchword.core import passwords
from watchword.core.models import NOWHERE, Proof
from watchword.flows import session
from watchword.ports import NewUser


def plain() -> FastAPI:
    """FastAPI alone: what everything is compared with."""
    app = FastAPI()

    @app.get("/")
    async def read_root() -> Any:
        return ITEMS

    @app.get("/items/")
    async def read_items() -> Any:
        return ITEMS

    return app


def idle() -> FastAPI:
    """FastAPI alone, with a dependency that does nothing."""
    app = FastAPI()

    async def nothing() -> None:
        pass

    @app.get("/")
    async def read_root() -> Any:
        return ITEMS

    @app.get("/items/")
    async def read_items(who: Annotated[None, Depends(nothing)]) -> Any:
        return ITEMS

    return app


def dependency() -> FastAPI:
    """`/items/` asks for `auth.principal`."""
    auth, app = _house(protect=False)

    @app.get("/")
    async def read_root() -> Any:
        return ITEMS

    @app.get("/items/")
    async def read_items(who: Annotated[Principal, Depends(auth.principal)]) -> Any:
        return ITEMS

    return app


def protected() -> FastAPI:
    """Deny by default: `/items/` says nothing, `/` is public."""
    auth, app = _house(protect=True)

    @app.get("/")
    @auth.public
    async def read_root() -> Any:
        return ITEMS

    @app.get("/items/")
    async def read_items() -> Any:
        return ITEMS

    return app


def protected_dependency() -> FastAPI:
    """Deny by default, and `/items/` wants to know who it is."""
    auth, app = _house(protect=True)

    @app.get("/")
    @auth.public
    async def read_root() -> Any:
        return ITEMS

    @app.get("/items/")
    async def read_items(who: Annotated[Principal, Depends(auth.principal)]) -> Any:
        return ITEMS

    return app


async def token(app: FastAPI) -> str:
    """A credential for `/items/`, once the application has started."""
    auth: Auth = app.state.watchword
    kit = await auth.open()
    found = await kit.users.find(EMAILS[0])
    assert found is not None
    proof = Proof(found.user, frozenset({"pwd"}), kit.clock.now())
    return (await session.open(kit, proof, None, NOWHERE)).access_token


def _house(*, protect: bool) -> tuple[Auth, FastAPI]:
    auth = Auth()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        kit = await auth.open()
        hashed = passwords.hash_password(PASSWORD) if EMAILS else ""
        for email in EMAILS:
            await kit.users.add(NewUser(kit.new_id(), email, None, hashed, frozenset(), kit.clock.now()))
        yield

    app = FastAPI(lifespan=lifespan)
    auth.install(app, protect=protect)
    return auth, app
