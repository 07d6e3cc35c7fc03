"""What other software reads: the keys, and the metadata. Both live at the root of the host."""

from typing import Any

from fastapi import APIRouter, Request, Response

from watchword.core.errors import NotAtRoot
from watchword.core.policy import JWKS_MAX_AGE
from watchword.core.published import REVOCATIONS
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Open
from watchword.web.revocations import PATH

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"


def well_known_routes(open_house: Open, prefix: str) -> APIRouter:
    """RFC 7517 5 and RFC 8414."""
    router = APIRouter(route_class=ProblemRoute, tags=["well-known"], responses=problems())
    cached = f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"

    @router.get(JWKS)
    async def jwks(response: Response) -> dict[str, list[dict[str, Any]]]:
        """The public keys that verify access tokens now, or will sign soon."""
        kit = await open_house()
        await kit.keyring.follow(heard=kit.revocations.fresh())
        response.headers["Cache-Control"] = cached
        return kit.keyring.ring.jwks(kit.clock.now())

    @router.get(METADATA, responses=problems(404))
    async def metadata(request: Request, response: Response) -> dict[str, Any]:
        """Only what works. RFC 8414 2."""
        root = request.scope.get("root_path", "")
        if request.scope.get("app_root_path", root) != root:
            raise NotAtRoot("the metadata was asked for below a mount")
        kit = await open_house()
        issuer = kit.policy.issuer.rstrip("/")
        response.headers["Cache-Control"] = cached
        follows = {REVOCATIONS: f"{issuer}{prefix}{PATH}"} if kit.policy.service_keys else {}
        return {
            "issuer": kit.policy.issuer,
            "jwks_uri": issuer + JWKS,
            "token_endpoint": f"{issuer}{prefix}/refresh",
            "token_endpoint_auth_methods_supported": ["none"],
            "grant_types_supported": ["refresh_token"],
            "response_types_supported": [],
            **follows,
        }

    return router
