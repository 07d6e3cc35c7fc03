"""One worker: `python -m tests.fleet_worker PORT`, or the path of a Unix socket. It ends when whoever started it does."""

import sys
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, WebSocket
from tests import ending

from watchword import Auth, Principal
from watchword.core.passwords import Argon2Parameters
from watchword.features.api_keys import ApiKeys

CHEAP = Argon2Parameters(memory_cost=8, time_cost=1, parallelism=1)

app = FastAPI()
auth = Auth(argon2=CHEAP, features=[ApiKeys()]).install(app, health=True)


@app.get("/items/", dependencies=[Depends(auth.principal)])
async def items() -> list[str]:
    return ["Foo", "Bar", "Baz"]


@app.get("/written", dependencies=[Depends(auth.requires("items:write"))])
async def written() -> str:
    return "ok"


@app.websocket("/ws")
async def echo(socket: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{who.user_id}: {text}")


if __name__ == "__main__":
    ending.with_the_tests()
    place = sys.argv[1]
    if place.isdecimal():
        uvicorn.run(app, port=int(place), log_level="warning", access_log=False)
    else:
        uvicorn.run(app, uds=place, log_level="warning", access_log=False)
