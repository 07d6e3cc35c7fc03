"""One's own account."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError

from watchword.core import scopes, strict_json
from watchword.core.errors import InvalidInput, NotFound
from watchword.core.models import Account, Principal
from watchword.flows import authenticate, particulars, password, reauthenticate
from watchword.flows.kit import Kit
from watchword.flows.register import register
from watchword.ports import Accounts
from watchword.web import client
from watchword.web.answers import problems
from watchword.web.errors import NO_STORE, ProblemRoute
from watchword.web.guard import Guard, Open, signed_in_of, user_of
from watchword.web.offers import Offers
from watchword.web.schemas import (
    ON_ITS_WAY,
    Accepted,
    ChangePasswordBody,
    DeletionPlannedAnswer,
    FreshAnswer,
    Me,
    MePatch,
    PasswordBody,
    RegisterBody,
    UsernameBody,
)

MOST_LEVELS = 16
"""How deep a profile may be nested. Far deeper ones could be kept, and not be read again by whoever lists accounts."""

NO_JSON = f"This is not JSON, or nested more than {MOST_LEVELS} levels deep."


def account_routes(open_house: Open, guard: Guard) -> APIRouter:
    """`/register`, `/me`, `/change-password`, `/reauthenticate`, `/export`, `/delete-account`."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"])
    Anybody = Annotated[Principal, Depends(guard)]  # noqa: N806 - a type
    Who = Annotated[Principal, Depends(signed_in_of(guard))]  # noqa: N806 - a type

    @router.post("/register", status_code=202, responses=problems(403, 409, 422, 429))
    async def sign_up(request: Request, body: RegisterBody) -> Accepted:
        """Make an account. The answer is the same whether or not the address was free."""
        kit = await open_house()
        await register(kit, body.email, body.password, body.username, client.describe(request, kit.policy))
        return Accepted(detail=ON_ITS_WAY) if kit.policy.confirms else Accepted()

    @router.get("/me", responses=problems(401))
    async def me(who: Anybody, user: Annotated[Account, Depends(user_of(guard, open_house))]) -> Me:
        """Whoever is signed in."""
        return _me(who, user)

    @router.post("/change-password", status_code=204, responses=problems(401, 403, 422, 429))
    async def change_password(request: Request, body: ChangePasswordBody, who: Who) -> None:
        """Replace the password. Every other session ends; this one lives on."""
        kit = await open_house()
        origin = client.describe(request, kit.policy)
        await password.change(kit, who, body.current_password, body.new_password, origin)

    @router.post("/reauthenticate", responses=problems(401, 403, 422, 429))
    async def show_again(request: Request, response: Response, body: PasswordBody, who: Who) -> FreshAnswer:
        """An access token that is as fresh as a login's, for what asks for a fresh one. RFC 9470."""
        kit = await open_house()
        fresh = await reauthenticate.by_password(kit, who, body.password, client.describe(request, kit.policy))
        response.headers.update(NO_STORE)
        return FreshAnswer(
            access_token=fresh.access_token, expires_in=fresh.expires_in, scope=scopes.text(fresh.scopes)
        )

    @router.get("/export", responses=problems(401))
    async def export(who: Who) -> dict[str, Any]:
        """What is held about whoever is signed in. Of very many events the newest; `events_before` is then the `before` with
        which `/audit` goes on."""
        return await particulars.export(await open_house(), who)

    @router.post("/delete-account", status_code=202, responses=problems(401, 409))
    async def delete_account(request: Request, who: Who) -> DeletionPlannedAnswer:
        """Sign out everywhere, and delete the account after some days. Whoever signs in before keeps it."""
        kit = await open_house()
        left = await particulars.delete(kit, who, client.describe(request, kit.policy))
        return DeletionPlannedAnswer(deletes_at=getattr(left, "deletes_at", None))

    return router


def particulars_routes(open_house: Open, guard: Guard, offers: Offers) -> APIRouter:
    """`PATCH /me` and `/change-username`, where the accounts' table has what they change."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"])
    Who = Annotated[Principal, Depends(signed_in_of(guard))]  # noqa: N806 - a type

    @router.patch("/me", responses=problems(401, 422))
    async def change_me(body: MePatch, who: Who) -> Me:
        """Change what the application lets owners keep. What can't be changed here is ignored."""
        kit = await open_house()
        profile = None if body.profile is None else _patch(offers.profile, body.profile)
        await particulars.change_profile(kit, accounts_of(kit), who, language=body.language, profile=profile)
        return _me(who, await authenticate.user(kit, who))

    @router.post("/change-username", status_code=204, responses=problems(401, 409, 422))
    async def change_username(request: Request, body: UsernameBody, who: Who) -> None:
        """Take another username."""
        kit = await open_house()
        origin = client.describe(request, kit.policy)
        await particulars.change_username(kit, accounts_of(kit), who, body.username, origin)

    return router


def accounts_of(kit: Kit) -> Accounts:
    """Where the particulars are changed. Raises NotFound where nothing can."""
    if kit.accounts is None:
        raise NotFound("the accounts' table does not have it")
    return kit.accounts


def _me(who: Principal, user: Account) -> Me:
    return Me(
        user_id=user.id,
        email=user.email,
        username=user.username,
        scopes=sorted(who.scopes),
        session_id=who.session_id,
        created_at=user.created_at,
        email_verified=getattr(user, "email_verified_at", None) is not None,
        language=getattr(user, "language", None),
        profile=dict(getattr(user, "profile", {})),
    )


def _patch(model: type[BaseModel] | None, given: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """How the application's own fields change: each that was given takes the place of the old one, and the whole has
    to be what the application's model allows. What that does not name is ignored."""

    def patched(old: Mapping[str, Any]) -> Mapping[str, Any]:
        if model is None:
            return old
        try:
            made = model.model_validate({**old, **given}).model_dump(mode="json", exclude_unset=True)
            strict_json.dumps(made)
        except ValidationError as error:
            fields = {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors(include_input=False)}
            raise InvalidInput("the application's model refuses it", fields=fields) from None
        except (ValueError, RecursionError):  # a lone surrogate, no number, or deeper than pydantic goes
            raise InvalidInput("a profile that is no JSON", fields={"profile": NO_JSON}) from None
        if not _shallow(made):
            raise InvalidInput("a profile of too many levels", fields={"profile": NO_JSON})
        return made

    return patched


def _shallow(profile: Mapping[str, Any]) -> bool:
    """Whether it has no more than so many levels; without recursion."""
    level: list[Any] = [profile]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, Mapping) else one)
            if isinstance(inner, Mapping | list | tuple)
        ]
    return not level
