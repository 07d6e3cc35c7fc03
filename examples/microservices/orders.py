"""A service that takes orders. It has no users, no passwords and no keys: whoever the issuer has signed in may order."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket

from watchword import Principal, Verifier

verifier = Verifier(os.environ["ISSUER"], service_key=os.environ["SERVICE_KEY"])
app = FastAPI()
verifier.install(app)

Who = Annotated[Principal, Depends(verifier.principal)]


@app.get("/orders")
async def orders(who: Who) -> dict[str, str | list[str]]:
    """The orders of whoever asks."""
    return {"user_id": who.user_id, "orders": ["two lanterns", "a kettle"]}


@app.websocket("/live")
async def live(socket: WebSocket, who: Who) -> None:
    """Says back what it hears, until the session ends: then it is closed with 4401."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{who.user_id}: {text}")
