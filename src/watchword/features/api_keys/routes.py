"""`/api-keys`: one's own. `/service-accounts`: an administrator's.

A key makes no keys: all of this needs somebody who has signed in, and what gives a key out somebody who has done so lately.
No `from __future__ import annotations` here: FastAPI would turn the guards' parameters into query parameters.
"""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from watchword.core import scopes
from watchword.core.models import Principal
from watchword.features.api_keys import rules
from watchword.features.api_keys.flow import Shown, actor, annex_of
from watchword.features.api_keys.rules import ApiKey, Owner, ServiceAccount, Wanted
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Guard, Open, requirement, signed_in_of
from watchword.web.schemas import Body

FRESH = 300
"""Seconds since the sign-in. ASVS 7.5.1."""

Name = Annotated[str, Field(min_length=1, max_length=rules.MAX_NAME, description="what it is for, for people")]
Scopes = Annotated[list[str], Field(max_length=64, default_factory=list)]


class NewApiKey(Body):
    """A key to be made."""

    name: Name
    scopes: Annotated[Scopes, Field(description="some of the owner's; without any it only says who comes")]
    expires_in: Annotated[int | None, Field(ge=60, le=315_360_000, description="seconds; left out: it has no end")] = (
        None
    )
    limit_per_minute: Annotated[
        int | None, Field(ge=1, le=rules.MAX_LIMIT, description="requests per minute on each worker")
    ] = None


class Rotation(Body):
    """How long both keys are good."""

    overlap: Annotated[int, Field(ge=0, le=604_800, description="seconds until the old one ends")] = 86_400


class ApiKeyAnswer(BaseModel):
    """A key as it is listed: nothing here opens anything."""

    id: str
    name: str
    shown: Annotated[str, Field(description="how the key begins")]
    scopes: list[str]
    limit_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="to the minute")]
    rotated_to: Annotated[str | None, Field(description="the id of its successor; it ends at `expires_at`")]


class ApiKeyMade(ApiKeyAnswer):
    """A new key."""

    key: Annotated[str, Field(description="the key itself: it is shown this once")]


class NewServiceAccount(Body):
    """A service account to be made."""

    name: Name
    scopes: Annotated[Scopes, Field(description="some of your own; its keys have some of these")]


class ServiceAccountAnswer(BaseModel):
    """An owner of keys that is nobody."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime


def key_routes(open_house: Open, guard: Guard) -> APIRouter:
    """One's own keys."""
    router = APIRouter(route_class=ProblemRoute, tags=["api keys"], responses=problems(401))
    Who = Annotated[Principal, Depends(signed_in_of(guard))]  # noqa: N806 - a type
    Fresh = Annotated[Principal, Depends(requirement(guard, (), max_age=FRESH, methods=()))]  # noqa: N806

    @router.post("/api-keys", status_code=201, responses=problems(422, 429))
    async def make(body: NewApiKey, who: Fresh) -> ApiKeyMade:
        """Make a key. Its text is in this answer, and nowhere else ever again."""
        keys = annex_of(await open_house())
        return _shown(await keys.create_own(who, _wanted(body)))

    @router.get("/api-keys")
    async def list_keys(who: Who) -> list[ApiKeyAnswer]:
        """Your live keys, the newest first."""
        keys = annex_of(await open_house())
        return [_listed(one) for one in await keys.of_owner(Owner.USER, who.user_id)]

    @router.post("/api-keys/{key_id}/rotate", status_code=201, responses=problems(403, 404, 422, 429))
    async def rotate(key_id: str, who: Fresh, body: Rotation | None = None) -> ApiKeyMade:
        """Make the successor of a key: the same name, limit and length of life, and those of its scopes that you have. The old
        one ends after the overlap."""
        keys = annex_of(await open_house())
        return _shown(await keys.rotate(Owner.USER, who.user_id, key_id, _overlap(body), actor(who)))

    @router.delete("/api-keys/{key_id}", status_code=204, responses=problems(404))
    async def revoke(key_id: str, who: Who) -> None:
        """End a key, on every worker."""
        await annex_of(await open_house()).revoke(Owner.USER, who.user_id, key_id, actor(who))

    return router


def service_account_routes(open_house: Open, guard: Guard) -> APIRouter:
    """For administrators: accounts that are nobody's, and their keys."""
    router = APIRouter(route_class=ProblemRoute, tags=["service accounts"], responses=problems(401, 403))
    lately = requirement(guard, scopes.ADMIN, max_age=FRESH, methods=())
    Fresh = Annotated[Principal, Depends(lately)]  # noqa: N806 - a type
    Admin = Annotated[Principal, Depends(requirement(guard, scopes.ADMIN, max_age=None, methods=()))]  # noqa: N806
    person = [Depends(signed_in_of(guard))]

    @router.post("/service-accounts", status_code=201, responses=problems(422))
    async def make_account(body: NewServiceAccount, who: Fresh) -> ServiceAccountAnswer:
        """Make a service account. It may do no more than you may."""
        keys = annex_of(await open_house())
        granted = rules.accept_scopes(body.scopes)
        return _account(await keys.add_account(body.name, granted, actor(who)))

    @router.get("/service-accounts", dependencies=person)
    async def list_accounts(_: Admin) -> list[ServiceAccountAnswer]:
        """The service accounts, by their names."""
        return [_account(one) for one in await annex_of(await open_house()).accounts()]

    @router.delete("/service-accounts/{account_id}", status_code=204, responses=problems(404), dependencies=person)
    async def disable_account(account_id: str, who: Admin) -> None:
        """Disable a service account for good, and end its keys on every worker."""
        await annex_of(await open_house()).disable_account(account_id, actor(who))

    @router.post("/service-accounts/{account_id}/api-keys", status_code=201, responses=problems(404, 422, 429))
    async def make_key(account_id: str, body: NewApiKey, who: Fresh) -> ApiKeyMade:
        """Make a key of a service account's. It may do no more than the account, nor than you."""
        keys = annex_of(await open_house())
        account = await keys.account(account_id)
        return _shown(await keys.create(Owner.SERVICE_ACCOUNT, account.id, _wanted(body), actor(who)))

    @router.get("/service-accounts/{account_id}/api-keys", responses=problems(404), dependencies=person)
    async def list_account_keys(account_id: str, _: Admin) -> list[ApiKeyAnswer]:
        """The live keys of a service account, the newest first."""
        keys = annex_of(await open_house())
        account = await keys.account(account_id)
        return [_listed(one) for one in await keys.of_owner(Owner.SERVICE_ACCOUNT, account.id)]

    @router.post(
        "/service-accounts/{account_id}/api-keys/{key_id}/rotate", status_code=201, responses=problems(404, 422, 429)
    )
    async def rotate_account_key(account_id: str, key_id: str, who: Fresh, body: Rotation | None = None) -> ApiKeyMade:
        """Make the successor of a service account's key. The old one ends after the overlap."""
        keys = annex_of(await open_house())
        account = await keys.account(account_id)
        return _shown(await keys.rotate(Owner.SERVICE_ACCOUNT, account.id, key_id, _overlap(body), actor(who)))

    @router.delete(
        "/service-accounts/{account_id}/api-keys/{key_id}",
        status_code=204,
        responses=problems(404),
        dependencies=person,
    )
    async def revoke_account_key(account_id: str, key_id: str, who: Admin) -> None:
        """End a key of a service account's, on every worker."""
        keys = annex_of(await open_house())
        account = await keys.account(account_id)
        await keys.revoke(Owner.SERVICE_ACCOUNT, account.id, key_id, actor(who))

    return router


def _wanted(body: NewApiKey) -> Wanted:
    lives = None if body.expires_in is None else timedelta(seconds=body.expires_in)
    return Wanted(body.name, rules.accept_scopes(body.scopes), lives, body.limit_per_minute)


def _overlap(body: Rotation | None) -> timedelta:
    return rules.OVERLAP if body is None else timedelta(seconds=body.overlap)


def _shown(made: Shown) -> ApiKeyMade:
    return ApiKeyMade(**dict(_listed(made.key)), key=made.text)


def _listed(key: ApiKey) -> ApiKeyAnswer:
    return ApiKeyAnswer(
        id=key.id,
        name=key.name,
        shown=key.shown,
        scopes=sorted(key.scopes),
        limit_per_minute=key.limit,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        rotated_to=key.rotated_to,
    )


def _account(account: ServiceAccount) -> ServiceAccountAnswer:
    return ServiceAccountAnswer(
        id=account.id, name=account.name, scopes=sorted(account.scopes), created_at=account.created_at
    )
