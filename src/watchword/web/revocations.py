"""`GET /revocations`: for other services, which check tokens by themselves, what was revoked. RFC 9110 13.1.2."""

from fastapi import APIRouter, Request, Response

from watchword.core.revocation_list import MEDIA_TYPE
from watchword.flows import bulletin
from watchword.web import client
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Open, presented
from watchword.web.stopping import stopping

PATH = "/revocations"


def revocation_routes(open_house: Open) -> APIRouter:
    """For callers with a service key alone, so it stands in no OpenAPI document."""
    router = APIRouter(route_class=ProblemRoute)
    boards = bulletin.Boards()

    @router.get(PATH, include_in_schema=False)
    async def revocations(request: Request) -> Response:
        """The signed list, as soon as it is another one than that of If-None-Match, and at the latest after some seconds.

        There is no 304: what is the same is signed anew, for a list that was signed a while ago proves nothing.
        """
        kit = await open_house()
        token, _ = presented(request.scope)
        bulletin.admit(kit, token, client.describe(request, kit.policy))
        seen = request.headers.get("if-none-match", "").removeprefix("W/").strip('"')
        told = await boards.here(kit).next(seen, stopping)
        headers = {"ETag": f'"{told.name}"', "Cache-Control": "no-store"}
        return Response(told.text, media_type=MEDIA_TYPE, headers=headers)

    return router
