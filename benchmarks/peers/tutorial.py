"""FastAPI's own tutorial, "OAuth2 with Password (and hashing), Bearer with JWT tokens": users in a dict, HS256, no storage."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from benchmarks.peers.people import EMAILS, ITEMS, PASSWORD, SECRET
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jwt.exceptions import InvalidTokenError
from pwdlib import PasswordHash
from pydantic import BaseModel

password_hash = PasswordHash.recommended()
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="login")
hashed = password_hash.hash(PASSWORD) if EMAILS else ""
db: dict[str, dict[str, Any]] = {
    email: {"username": email, "email": email, "hashed_password": hashed, "disabled": False} for email in EMAILS
}
app = FastAPI()


class Token(BaseModel):
    access_token: str
    token_type: str


class TokenData(BaseModel):
    username: str | None = None


class User(BaseModel):
    username: str
    email: str | None = None
    disabled: bool | None = None


class UserInDB(User):
    hashed_password: str


def get_user(username: str | None) -> UserInDB | None:
    return UserInDB(**db[username]) if username in db else None


def create_access_token(data: dict[str, Any]) -> str:
    expire = datetime.now(UTC) + timedelta(minutes=30)
    return jwt.encode({**data, "exp": expire}, SECRET, algorithm="HS256")


async def get_current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> User:
    refused = HTTPException(
        status_code=status.HTTP_401_UNAUTHORIZED,
        detail="Could not validate credentials",
        headers={"WWW-Authenticate": "Bearer"},
    )
    try:
        payload = jwt.decode(token, SECRET, algorithms=["HS256"])
        username = payload.get("sub")
        if username is None:
            raise refused
        token_data = TokenData(username=username)
    except InvalidTokenError:
        raise refused from None
    user = get_user(username=token_data.username)
    if user is None:
        raise refused
    return user


async def get_current_active_user(current_user: Annotated[User, Depends(get_current_user)]) -> User:
    if current_user.disabled:
        raise HTTPException(status_code=400, detail="Inactive user")
    return current_user


@app.post("/login")
async def login(form_data: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Token:
    user = get_user(form_data.username)
    if user is None or not password_hash.verify(form_data.password, user.hashed_password):
        raise HTTPException(status_code=401, detail="Incorrect username or password")
    return Token(access_token=create_access_token({"sub": user.username}), token_type="bearer")


@app.get("/")
async def read_root() -> Any:
    return ITEMS


@app.get("/items/")
async def read_items(current_user: Annotated[User, Depends(get_current_active_user)]) -> Any:
    return ITEMS


async def token() -> str:
    """A credential for `/items/`."""
    return create_access_token({"sub": EMAILS[0]})
