"""Notes, each user's own. Run it in this folder: uvicorn main:app --reload"""

import asyncio
import itertools
from collections import defaultdict
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, WebSocket
from pydantic import BaseModel

from watchword import Auth, Principal

auth = Auth()
app = FastAPI(title="Notes")
auth.install(app)

Reader = Annotated[Principal, Depends(auth.principal)]
Writer = Annotated[Principal, Depends(auth.requires("notes:write"))]
Recent = Annotated[Principal, Depends(auth.requires(max_age=300))]


class Draft(BaseModel):
    text: str


class Note(Draft):
    id: int


shelves: dict[str, dict[int, Note]] = defaultdict(dict)  # by user; an application of yours has a database
listeners: dict[str, set[asyncio.Queue[Note]]] = defaultdict(set)
numbers = itertools.count(1)


@app.get("/notes")
async def all_notes(who: Reader) -> list[Note]:
    """One's own notes."""
    return list(shelves[who.user_id].values())


@app.get("/notes/{number}")
async def one_note(number: int, who: Reader) -> Note:
    """A note. Somebody else's is not found, whether or not it exists."""
    note = shelves[who.user_id].get(number)
    if note is None:
        raise HTTPException(404)
    return note


@app.post("/notes", status_code=201)
async def write(draft: Draft, who: Writer) -> Note:
    """Keep a note, and tell one's open sockets."""
    note = Note(id=next(numbers), text=draft.text)
    shelves[who.user_id][note.id] = note
    for queue in listeners[who.user_id]:
        queue.put_nowait(note)
    return note


@app.delete("/notes", status_code=204)
async def throw_away(who: Recent) -> None:
    """Throw all one's notes away: only for who has signed in during the last five minutes."""
    shelves.pop(who.user_id, None)


@app.websocket("/live")
async def live(socket: WebSocket, who: Reader) -> None:
    """One's notes as they are written, until the client hangs up, or Watchword does because the session has ended."""
    await socket.accept()
    queue: asyncio.Queue[Note] = asyncio.Queue()
    listeners[who.user_id].add(queue)
    telling = asyncio.create_task(tell(socket, queue))
    try:
        async for _ in socket.iter_text():
            pass
    finally:
        telling.cancel()
        listeners[who.user_id].discard(queue)


async def tell(socket: WebSocket, queue: asyncio.Queue[Note]) -> None:
    while True:
        note = await queue.get()
        await socket.send_json(note.model_dump())
