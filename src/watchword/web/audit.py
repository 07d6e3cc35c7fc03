"""`GET /audit`: what has happened."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from watchword.core.audit import Row
from watchword.core.models import Principal
from watchword.flows import audit
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Guard, Open
from watchword.web.schemas import EventAnswer, EventsAnswer

MOST = 2**63 - 1
WHERE = ("ip", "user_agent")


def audit_routes(open_house: Open, guard: Guard) -> APIRouter:
    """`/audit`."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"])

    @router.get("/audit", responses=problems(401, 403, 422))
    async def events(
        who: Annotated[Principal, Depends(guard)],
        before: Annotated[int | None, Query(ge=1, le=MOST, description="those with a smaller number")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        user_id: Annotated[
            str | None, Query(pattern=r"^[!-~]{1,64}$", description="of this user; another's takes watchword:admin")
        ] = None,
        kind: Annotated[str | None, Query(pattern="^[A-Za-z]{1,64}$", description="of this kind")] = None,
    ) -> EventsAnswer:
        """Your own events, the newest first; with the scope `watchword:admin` everybody's."""
        found = await audit.listed(await open_house(), who, before=before, limit=limit, user_id=user_id, kind=kind)
        more = found[-1].number if len(found) == limit else None
        return EventsAnswer(events=[_answer(one) for one in found], before=more)

    return router


def _answer(one: Row) -> EventAnswer:
    personal: dict[str, Any] = json.loads(one.personal) if one.personal else {}
    facts = json.loads(one.facts) | {name: value for name, value in personal.items() if name not in WHERE}
    where = {name: personal.get(name) for name in WHERE}
    return EventAnswer(number=one.number, at=one.at, kind=one.kind, user_id=one.user_id, facts=facts, **where)
