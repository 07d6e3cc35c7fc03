"""The tutorial's application, on Watchword. Run it in this folder: uvicorn main:app --reload"""

from typing import Annotated, Any

from fastapi import Depends, FastAPI

from watchword import Auth, Principal

app = FastAPI()
auth = Auth()  # instead of oauth2_scheme, get_current_user and jwt_manager.py
auth.install(app)  # instead of the /login that asks for nothing; /register, /refresh, /logout, … come with it


@app.get("/items/")
async def read_items(who: Annotated[Principal, Depends(auth.principal)]) -> dict[str, Any]:
    """What only those who are signed in may see."""
    return {"user_id": who.user_id, "items": ["Foo", "Bar", "Baz"]}
