"""The tutorial's application, built again in our words: the same routes, the same answers, the same mistakes.

The constant, the lifetime, the names and the bare `except` are the tutorial's; nothing here is repaired. It stands on the
real PyJWT, so that what the tests show is what happens to whoever copied it.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer

SECRET_KEY = "your-secret-key"
ALGORITHM = "HS256"


class JWTManager:
    """Signs and reads with the constant above."""

    @staticmethod
    def create_token(data: dict[str, Any], expires_delta: timedelta) -> str:
        # utcnow() is deprecated since Python 3.12; PyJWT makes the same number of both
        return jwt.encode({**data, "exp": datetime.now(UTC) + expires_delta}, SECRET_KEY, algorithm=ALGORITHM)

    @staticmethod
    def decode_token(token: str) -> Any:
        # the tutorial catches each error here, and raises each again
        return jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM])


app = FastAPI()
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="/login")


async def get_current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> Any:
    try:
        return JWTManager.decode_token(token)["user_id"]
    except:  # noqa: E722 - the tutorial's own
        raise HTTPException(status_code=401, detail="Invalid Token")  # noqa: B904


@app.get("/items/")
async def read_items(token: Annotated[Any, Depends(get_current_user)]) -> Any:
    return {"user_id": token, "items": ["Foo", "Bar", "Baz"]}


@app.post("/login")
async def login() -> Any:
    access_token = JWTManager.create_token({"user_id": "my_user_id"}, timedelta(minutes=30))
    return {"access_token": access_token, "token_type": "bearer"}
