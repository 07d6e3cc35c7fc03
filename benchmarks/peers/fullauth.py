"""fastapi-fullauth as its documentation shows it, with the SQLAlchemy adapter; its rate limits and its lockout are off."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.peers.people import DATABASE_URL, EMAILS, ITEMS, PASSWORD, SECRET
from fastapi import FastAPI
from fastapi_fullauth import CreateUserSchema, FullAuth, FullAuthConfig
from fastapi_fullauth.adapters import SQLAlchemyAdapter
from fastapi_fullauth.core.crypto import hash_password
from fastapi_fullauth.dependencies import CurrentUser
from fastapi_fullauth.models.sqlalchemy import RefreshTokenMixin, UserMixin
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


class RefreshToken(RefreshTokenMixin, Base):
    pass


class User(UserMixin, Base):
    pass


engine = create_async_engine(DATABASE_URL)
session_maker = async_sessionmaker(engine, expire_on_commit=False)
fullauth = FullAuth(
    adapter=SQLAlchemyAdapter(session_maker=session_maker, user_model=User, refresh_token_model=RefreshToken),
    config=FullAuthConfig(SECRET_KEY=SECRET, AUTH_RATE_LIMIT_ENABLED=False, LOCKOUT_ENABLED=False),
)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    hashed = hash_password(PASSWORD) if EMAILS else ""
    for email in EMAILS:
        await fullauth.adapter.create_user(CreateUserSchema(email=email, password=PASSWORD), hashed)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
fullauth.init_app(app, include_routers=["auth", "profile"])


@app.get("/")
async def read_root() -> Any:
    return ITEMS


@app.get("/items/")
async def read_items(user: CurrentUser) -> Any:
    return ITEMS


async def token() -> str:
    """A credential for `/items/`, once the application has started."""
    user = await fullauth.adapter.get_user_by_field("email", EMAILS[0])
    assert user is not None
    access, _ = fullauth.token_engine.create_token_pair(str(user.id))
    return access
