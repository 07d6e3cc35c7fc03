"""Small applications to rehearse."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, WebSocket

from watchword import Auth, Principal, Settings, User
from watchword.testing import FrozenClock


def guarded(folder: Path, *, prefix: str = "", lifespan: Any = None, **settings: Any) -> FastAPI:
    """An application with one route for each kind of guard. Its own things would be in `folder`."""
    auth = Auth(Settings(data_dir=folder / "own", **settings), clock=FrozenClock())
    app = FastAPI(lifespan=lifespan)
    auth.install(app, prefix)

    @app.get("/who")
    async def who(who: Annotated[Principal, Depends(auth.principal)]) -> dict[str, Any]:
        return {"id": who.user_id, "scopes": sorted(who.scopes), "amr": sorted(who.methods)}

    @app.get("/row")
    async def row(user: Annotated[User, Depends(auth.user)]) -> str:
        return user.email

    @app.get("/write", dependencies=[Depends(auth.requires("items:write"))])
    async def write() -> str:
        return "written"

    @app.get("/careful", dependencies=[Depends(auth.requires(max_age=300, methods={"otp"}))])
    async def careful() -> str:
        return "done"

    @app.get("/state")
    async def state(request: Request) -> dict[str, Any]:
        return dict(request.state._state)

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError("of the application")

    @app.websocket("/live")
    async def live(socket: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{who.user_id} {text}")

    return app


def auth_in(app: FastAPI) -> Auth:
    """Where `install` leaves it."""
    auth = app.state.watchword
    assert isinstance(auth, Auth)
    return auth
