"""A service that knows what there is. Everybody who is signed in may look; to change something takes a scope."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from watchword import Principal, Verifier

verifier = Verifier(os.environ["ISSUER"], service_key=os.environ["SERVICE_KEY"])
app = FastAPI()
verifier.install(app)

STOCK = {"lanterns": 7, "kettles": 9}


@app.get("/stock", dependencies=[Depends(verifier.principal)])
async def stock() -> dict[str, int]:
    """What there is."""
    return STOCK


@app.put("/stock/{thing}")
async def count(
    thing: str, number: int, who: Annotated[Principal, Depends(verifier.requires("stock:write"))]
) -> dict[str, str | int]:
    """Say how many there are."""
    STOCK[thing] = number
    return {"thing": thing, "number": number, "said_by": who.user_id}
