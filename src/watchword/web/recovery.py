"""What mails are for: showing that an address is one's own, a forgotten password, another address. For programs;
`web/pages` is where a browser comes to."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from watchword.core.models import Principal
from watchword.flows import change_email, recover, verify_email
from watchword.web import client
from watchword.web.accounts import accounts_of
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Guard, Open, signed_in_of
from watchword.web.schemas import Agreed, EmailBody, MailAsked, ResetBody, TokenBody

REFUSALS = (422, 429)


def recovery_routes(open_house: Open, guard: Guard, *, accounts: bool) -> APIRouter:
    """`/verify-email`, `/forgot-password`, `/reset-password`; and `/change-email` where the accounts' table can do it."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"])
    Who = Annotated[Principal, Depends(signed_in_of(guard))]  # noqa: N806 - a type

    @router.post("/verify-email", status_code=202, responses=problems(401, 429))
    async def verify(request: Request, who: Who) -> MailAsked:
        """Mail a link to the address of whoever is signed in, unless it was verified."""
        kit = await open_house()
        await verify_email.request(kit, who, client.describe(request, kit.policy))
        return MailAsked()

    @router.post("/verify-email/confirm", status_code=204, responses=problems(409, *REFUSALS))
    async def confirm(request: Request, body: TokenBody) -> None:
        """Take a link that came back. It works once; for a new account this is when it begins to count."""
        kit = await open_house()
        await verify_email.confirm(kit, body.token, client.describe(request, kit.policy))

    @router.post("/forgot-password", status_code=202, responses=problems(*REFUSALS))
    async def forgot(request: Request, body: EmailBody) -> MailAsked:
        """Mail a link to a new password. The answer is the same whether or not the address has an account."""
        kit = await open_house()
        await recover.request(kit, body.email, client.describe(request, kit.policy))
        return MailAsked()

    @router.post("/reset-password", status_code=204, responses=problems(*REFUSALS))
    async def reset(request: Request, body: ResetBody) -> None:
        """Replace the password. Every session ends, and nobody is signed in by it."""
        kit = await open_house()
        await recover.reset(kit, body.token, body.new_password, client.describe(request, kit.policy))

    @router.post("/disown", status_code=204, responses=problems(*REFUSALS))
    async def disown(request: Request, body: TokenBody) -> None:
        """Say of a change that it was not the owner's: every session ends, and a mail brings a link to a new password."""
        kit = await open_house()
        await recover.disown(kit, body.token, client.describe(request, kit.policy))

    if not accounts:
        return router

    @router.post("/change-email", status_code=202, responses=problems(401, *REFUSALS))
    async def another(request: Request, body: EmailBody, who: Who) -> MailAsked:
        """Ask the present address whether the account may have another one, and then that one."""
        kit = await open_house()
        await change_email.request(kit, who, body.email, client.describe(request, kit.policy))
        return MailAsked()

    @router.post("/change-email/confirm", responses=problems(*REFUSALS))
    async def agree(request: Request, body: TokenBody) -> Agreed:
        """One of the two addresses agrees."""
        kit = await open_house()
        origin = client.describe(request, kit.policy)
        return Agreed(changed=await change_email.agree(kit, accounts_of(kit), body.token, origin))

    return router
