"""What an application's author sees of `Auth`. Checked by mypy and pyright, never run."""

from collections.abc import Awaitable, Callable
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from watchword import Auth, Principal, Settings, User

app = FastAPI()
auth = Auth()

assert_type(auth, Auth)
assert_type(auth.install(app), Auth)
assert_type(Auth(Settings()).install(app, "/auth", health=True), Auth)
assert_type(auth.settings, Settings)
assert_type(auth.user, Callable[..., Awaitable[User]])
assert_type(auth.requires("items:write"), Callable[..., Awaitable[Principal]])
assert_type(auth.requires(["a", "b"], "c", max_age=300, methods={"pwd"}), Callable[..., Awaitable[Principal]])
assert_type(auth.describe(), list[str])


@app.get("/items/")
async def items(
    who: Annotated[Principal, Depends(auth.principal)],
    user: Annotated[User, Depends(auth.user)],
    writer: Annotated[Principal, Depends(auth.requires("items:write"))],
) -> str:
    return who.user_id + user.email + writer.session_id


async def by_hand(connection: HTTPConnection) -> None:
    who = await auth.principal(connection, SecurityScopes())
    assert_type(who, Principal)
    assert_type(await auth.user(who), User)
    assert_type(await auth.start(), Auth)


def refused() -> None:
    Auth("sqlite:///users.db")  # type: ignore[arg-type]
    auth.install("app")  # type: ignore[arg-type]
    auth.requires(max_age="5 minutes")  # type: ignore[arg-type]
