"""`/one-time-code`: ask for a code, and bring it.

No `from __future__ import annotations` here: FastAPI would turn parameters into query parameters.
"""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from watchword.core import scopes
from watchword.features.one_time_code import flow
from watchword.flows import session
from watchword.web import client
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Open
from watchword.web.schemas import EmailBody, MailAsked, Text, TokenAnswer
from watchword.web.sessions import token_answer


class CodeLogin(EmailBody):
    """The address that asked, and the code from its mail."""

    code: Annotated[Text, Field(description="six digits")]
    scope: Annotated[Text, Field(description="space-separated; empty asks for all that the user may have")] = ""


def code_routes(open_house: Open) -> APIRouter:
    """The two routes."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"])

    @router.post("/one-time-code", status_code=202, responses=problems(422, 429))
    async def one_time_code(request: Request, body: EmailBody) -> MailAsked:
        """Mail a code to sign in with. The answer is the same whether or not the address has an account."""
        kit = await open_house()
        await flow.request(kit, body.email, client.describe(request, kit.policy))
        return MailAsked()

    @router.post("/one-time-code/confirm", responses=problems(422, 429))
    async def sign_in(request: Request, response: Response, body: CodeLogin) -> TokenAnswer:
        """Sign in with a code. It works once."""
        kit = await open_house()
        asked = scopes.parse(body.scope) or None
        origin = client.describe(request, kit.policy)
        proof = await flow.prove(kit, body.email, body.code, origin)
        return token_answer(response, await session.open(kit, proof, asked, origin))

    return router
