"""Notes: an application with tables and migrations of its own, and Watchword in the same database."""

from typing import Annotated

from database import engine, sessions
from fastapi import Depends, FastAPI
from sqlalchemy import select
from tables import Note

from watchword import Auth, Principal

auth = Auth(engine=engine)
app = FastAPI()
auth.install(app)

Who = Annotated[Principal, Depends(auth.principal)]


@app.post("/notes", status_code=201)
async def write(text: str, who: Who) -> dict[str, int]:
    """Keep a note; its number."""
    async with sessions.begin() as session:
        note = Note(owner_id=who.user_id, text=text)
        session.add(note)
        await session.flush()
        return {"id": note.id}


@app.get("/notes")
async def read(who: Who) -> list[str]:
    """One's own notes."""
    async with sessions() as session:
        return list(await session.scalars(select(Note.text).where(Note.owner_id == who.user_id).order_by(Note.id)))
