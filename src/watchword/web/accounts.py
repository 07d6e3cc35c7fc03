"""One's own account."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from watchword.core.models import Account, Principal
from watchword.flows import password
from watchword.flows.register import register
from watchword.web import client
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Guard, Open, signed_in_of, user_of
from watchword.web.schemas import Accepted, ChangePasswordBody, Me, RegisterBody


def account_routes(open_house: Open, guard: Guard) -> APIRouter:
    """`/register`, `/me`, `/change-password`."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"])

    @router.post("/register", status_code=202, responses=problems(403, 409, 422, 429))
    async def sign_up(request: Request, body: RegisterBody) -> Accepted:
        """Make an account. The answer is the same whether or not the address was free."""
        kit = await open_house()
        await register(kit, body.email, body.password, body.username, client.describe(request, kit.policy))
        return Accepted()

    @router.get("/me", responses=problems(401))
    async def me(
        who: Annotated[Principal, Depends(guard)], user: Annotated[Account, Depends(user_of(guard, open_house))]
    ) -> Me:
        """Whoever is signed in."""
        return Me(
            user_id=user.id,
            email=user.email,
            username=user.username,
            scopes=sorted(who.scopes),
            session_id=who.session_id,
            created_at=user.created_at,
        )

    @router.post("/change-password", status_code=204, responses=problems(401, 403, 422, 429))
    async def change_password(
        request: Request, body: ChangePasswordBody, who: Annotated[Principal, Depends(signed_in_of(guard))]
    ) -> None:
        """Replace the password. Every other session ends; this one lives on."""
        kit = await open_house()
        origin = client.describe(request, kit.policy)
        await password.change(kit, who, body.current_password, body.new_password, origin)

    return router
