"""The shop: it had customers long before Watchword came, and it keeps them in its own table."""

from typing import Annotated

from database import engine
from fastapi import Depends, FastAPI
from people import People, Person, orders
from sqlalchemy import select

from watchword import Auth, Principal

auth = Auth(engine=engine, users=People(engine))
app = FastAPI()
auth.install(app)


@app.get("/hello")
async def hello(person: Annotated[Person, Depends(auth.user)]) -> str:
    """The shop's own class: `full_name` is a column that Watchword has never heard of."""
    return f"Welcome back, {person.full_name}"


@app.get("/orders")
async def own_orders(who: Annotated[Principal, Depends(auth.principal)]) -> list[str]:
    """What the customer bought, before and since."""
    statement = select(orders.c.what).where(orders.c.person_id == int(who.user_id)).order_by(orders.c.id)
    async with engine.connect() as connection:
        return list((await connection.execute(statement)).scalars())
