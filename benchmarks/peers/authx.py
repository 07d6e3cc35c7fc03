"""AuthX as its documentation shows it: tokens in headers, HS256, no storage."""

from typing import Annotated, Any

from authx import AuthX, AuthXConfig, TokenPayload
from benchmarks.peers.people import EMAILS, ITEMS, PASSWORD, SECRET
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordRequestForm
from pwdlib import PasswordHash

password_hash = PasswordHash.recommended()
db = dict.fromkeys(EMAILS, password_hash.hash(PASSWORD) if EMAILS else "")
auth = AuthX(config=AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["headers"]))
app = FastAPI()
auth.handle_errors(app)


@app.post("/login")
def login(form_data: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    hashed = db.get(form_data.username)
    if hashed is None or not password_hash.verify(form_data.password, hashed):
        raise HTTPException(401, detail="Invalid credentials")
    return {"access_token": auth.create_access_token(uid=form_data.username), "token_type": "bearer"}


@app.get("/")
async def read_root() -> Any:
    return ITEMS


@app.get("/items/")
async def read_items(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]) -> Any:
    return ITEMS


async def token() -> str:
    """A credential for `/items/`."""
    return auth.create_access_token(uid=EMAILS[0])
