"""`/magic-link`: ask for a link, and bring it.

No `from __future__ import annotations` here: FastAPI would turn parameters into query parameters.
"""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from watchword.core import scopes
from watchword.features.magic_link import flow
from watchword.flows import session
from watchword.web import client
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Open
from watchword.web.schemas import EmailBody, MailAsked, Text, TokenAnswer, TokenBody
from watchword.web.sessions import token_answer


class LinkLogin(TokenBody):
    """What stood behind the `#` of the link."""

    scope: Annotated[Text, Field(description="space-separated; empty asks for all that the user may have")] = ""


def link_routes(open_house: Open, page: str) -> APIRouter:
    """The two routes; the link itself leads to the application's own `page`."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"])

    @router.post("/magic-link", status_code=202, responses=problems(422, 429))
    async def magic_link(request: Request, body: EmailBody) -> MailAsked:
        """Mail a link to sign in with. The answer is the same whether or not the address has an account."""
        kit = await open_house()
        await flow.request(kit, body.email, page, client.describe(request, kit.policy))
        return MailAsked()

    @router.post("/magic-link/confirm", responses=problems(422, 429))
    async def sign_in(request: Request, response: Response, body: LinkLogin) -> TokenAnswer:
        """Sign in with a link. It works once."""
        kit = await open_house()
        asked = scopes.parse(body.scope) or None
        origin = client.describe(request, kit.policy)
        proof = await flow.prove(kit, body.token, origin)
        return token_answer(response, await session.open(kit, proof, asked, origin))

    return router
