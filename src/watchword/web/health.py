"""For load balancers. They belong to the server, and are opt-in when embedded."""

from fastapi import APIRouter, Response

from watchword.core.errors import AuthError
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Open
from watchword.web.stopping import draining


def health_routes(open_house: Open) -> APIRouter:
    """`/healthz`: the process answers. `/readyz`: it can do its work."""
    router = APIRouter(route_class=ProblemRoute, tags=["health"], responses=problems())

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"model": dict[str, str], "description": "Not ready"}})
    async def readyz(response: Response) -> dict[str, str]:
        """The database answers and the keys are there; `feed` tells how revocations reach this worker. 503 as soon as it is
        to stop, though it serves for a while yet."""
        if draining():
            response.status_code = 503
            return {"status": "draining"}
        try:
            kit = await open_house()
            await kit.keyring.reload()
            kit.keyring.ring.signer(kit.clock.now())
        except AuthError:
            response.status_code = 503
            return {"status": "unavailable"}
        return {"status": "ok", "feed": "following" if kit.revocations.fresh() else "asking the database"}

    return router
