"""`/administration`: users, sessions, roles, signing keys and mails that wait, for whoever has the scope `watchword:admin`.

Looking asks for the scope; changing something asks for a fresh authentication too (RFC 9470), which an API key never is.
No `from __future__ import annotations` here: FastAPI would turn the guards' parameters into query parameters.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from watchword.core import scopes
from watchword.core.errors import InvalidInput, InvalidRequest
from watchword.core.mail import Queued
from watchword.core.models import Principal
from watchword.core.roles import Role
from watchword.flows import administration, roles
from watchword.flows.administration import Described
from watchword.flows.authenticate import FRESH
from watchword.flows.signing_keys import Listed
from watchword.web.answers import problems
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Guard, Open, requirement
from watchword.web.schemas import (
    NewUserBody,
    OutboxAnswer,
    RoleAnswer,
    RoleBody,
    RoleShown,
    RotatedAnswer,
    ScopesBody,
    SessionAnswer,
    SigningKeyAnswer,
    UserAnswer,
    UsersAnswer,
    WaitingMail,
)
from watchword.web.sessions import shown

TAG = "admin"

After = Annotated[str, Query(max_length=254, description="behind this one: `after` of the page before")]
Limit = Annotated[int, Query(ge=1, le=100, description="at most so many")]
Name = Annotated[str | None, Query(max_length=254)]
Id = Annotated[str | None, Query(alias="id", max_length=64)]
UserId = Annotated[str, Path(max_length=64)]
RoleName = Annotated[str, Path(max_length=64)]


def administration_routes(open_house: Open, guard: Guard) -> APIRouter:
    """Everything below `/administration`."""
    router = APIRouter(
        prefix="/administration", route_class=ProblemRoute, tags=[TAG], responses=problems(401, 403, 422)
    )
    reads = requirement(guard, scopes.ADMIN, max_age=None, methods=())
    acts = requirement(guard, scopes.ADMIN, max_age=FRESH, methods=())
    for add in (_add_users, _add_rights, _add_sessions, _add_roles, _add_keys, _add_mails):
        add(router, open_house, reads, acts)
    return router


def _add_users(router: APIRouter, open_house: Open, reads: Any, acts: Any) -> None:
    Reader = Annotated[Principal, Depends(reads)]  # noqa: N806 - a type
    Who = Annotated[Principal, Depends(acts)]  # noqa: N806 - a type

    @router.get("/users")
    async def list_users(
        _: Reader, after: After = "", limit: Limit = 50, email: Name = None, username: Name = None, user_id: Id = None
    ) -> UsersAnswer:
        """Accounts in the order of their addresses; or the one with exactly this email, username or id."""
        kit = await open_house()
        if (email, username, user_id) != (None, None, None):
            found = await administration.named(kit, email=email, username=username, user_id=user_id)
            return UsersAnswer(users=[_user(one) for one in found], after=None)
        found = await administration.page(kit, after, limit)
        more = found[-1].account.email if len(found) == limit else None
        return UsersAnswer(users=[_user(one) for one in found], after=more)

    @router.post("/users", status_code=201)
    async def make_user(body: NewUserBody, who: Who) -> UserAnswer:
        """Make an account. Nobody is mailed."""
        granted = _words(body.scopes)
        kit = await open_house()
        return _user(await administration.add(kit, who, body.email, body.new_password, body.username, granted))

    @router.get("/users/{user_id}", responses=problems(404))
    async def show_user(user_id: UserId, _: Reader) -> UserAnswer:
        """One account."""
        return _user(await administration.get(await open_house(), user_id))

    @router.delete("/users/{user_id}", status_code=204, responses=problems(404, 409))
    async def delete_user(user_id: UserId, who: Who) -> None:
        """Remove an account with its sessions, at once and for good."""
        await administration.delete(await open_house(), who, user_id)

    @router.post("/users/{user_id}/disable", status_code=204, responses=problems(404, 409))
    async def disable_user(user_id: UserId, who: Who) -> None:
        """Lock an account, and end all its sessions."""
        await administration.disable(await open_house(), who, user_id)

    @router.post("/users/{user_id}/enable", status_code=204, responses=problems(404))
    async def enable_user(user_id: UserId, who: Who) -> None:
        """Unlock an account."""
        await administration.enable(await open_house(), who, user_id)


def _add_rights(router: APIRouter, open_house: Open, _: Any, acts: Any) -> None:
    Who = Annotated[Principal, Depends(acts)]  # noqa: N806 - a type

    @router.put("/users/{user_id}/scopes", responses=problems(404, 409))
    async def grant_scopes(user_id: UserId, body: ScopesBody, who: Who) -> UserAnswer:
        """Let exactly these scopes be granted directly. What the roles give stays."""
        kit = await open_house()
        return _user(await administration.set_scopes(kit, who, user_id, _words(body.scopes)))

    @router.put("/users/{user_id}/roles/{role}", responses=problems(404, 409))
    async def give_role(user_id: UserId, role: RoleName, who: Who) -> UserAnswer:
        """Give a role to a user."""
        return _user(await administration.give(await open_house(), who, user_id, role))

    @router.delete("/users/{user_id}/roles/{role}", responses=problems(404, 409))
    async def take_role(user_id: UserId, role: RoleName, who: Who) -> UserAnswer:
        """Take a role from a user."""
        return _user(await administration.take(await open_house(), who, user_id, role))


def _add_sessions(router: APIRouter, open_house: Open, reads: Any, acts: Any) -> None:
    Reader = Annotated[Principal, Depends(reads)]  # noqa: N806 - a type
    Who = Annotated[Principal, Depends(acts)]  # noqa: N806 - a type

    @router.get("/users/{user_id}/sessions", responses=problems(404))
    async def list_user_sessions(user_id: UserId, who: Reader) -> list[SessionAnswer]:
        """Where a user is signed in, the last used first."""
        return await shown(await administration.sessions(await open_house(), user_id), who)

    @router.delete("/users/{user_id}/sessions", status_code=204, responses=problems(404))
    async def end_user_sessions(user_id: UserId, who: Who) -> None:
        """Sign a user out everywhere."""
        await administration.end_sessions(await open_house(), who, user_id)

    @router.delete("/users/{user_id}/sessions/{session_id}", status_code=204, responses=problems(404))
    async def end_user_session(user_id: UserId, session_id: str, who: Who) -> None:
        """Sign a user out on one device."""
        await administration.end_session(await open_house(), who, user_id, session_id)


def _add_roles(router: APIRouter, open_house: Open, reads: Any, acts: Any) -> None:
    Reader = Annotated[Principal, Depends(reads)]  # noqa: N806 - a type
    Who = Annotated[Principal, Depends(acts)]  # noqa: N806 - a type

    @router.get("/roles")
    async def list_roles(_: Reader) -> list[RoleAnswer]:
        """All roles, in the order of their names."""
        return [RoleAnswer(**_role(one)) for one in await (await open_house()).roles.listed()]

    @router.get("/roles/{name}", responses=problems(404))
    async def show_role(name: RoleName, _: Reader, after: After = "", limit: Limit = 50) -> RoleShown:
        """One role, and those who have it."""
        kit = await open_house()
        found = await roles.find(kit, name)
        who = await roles.members(kit, name, after, limit)
        return RoleShown(**_role(found), members=who, after=who[-1] if len(who) == limit else None)

    @router.put("/roles/{name}", responses=problems(409))
    async def put_role(name: RoleName, body: RoleBody, who: Who) -> RoleAnswer:
        """Make a role, or change it for everybody who has it."""
        kit = await open_house()
        return RoleAnswer(**_role(await administration.put_role(kit, who, name, _words(body.scopes), body.description)))

    @router.delete("/roles/{name}", status_code=204, responses=problems(404, 409))
    async def remove_role(name: RoleName, who: Who) -> None:
        """Take a role from everybody, and forget it."""
        await administration.remove_role(await open_house(), who, name)


def _add_keys(router: APIRouter, open_house: Open, reads: Any, acts: Any) -> None:
    Reader = Annotated[Principal, Depends(reads)]  # noqa: N806 - a type
    Who = Annotated[Principal, Depends(acts)]  # noqa: N806 - a type

    @router.get("/keys")
    async def list_keys(_: Reader) -> list[SigningKeyAnswer]:
        """All signing keys, oldest first."""
        return [_key(one) for one in await administration.keys(await open_house())]

    @router.post("/keys/rotate")
    async def rotate_keys(who: Who) -> RotatedAnswer:
        """Publish the next signing key though none is due. It signs ten minutes later, when everybody has heard of it."""
        done, listed = await administration.rotate(await open_house(), who)
        return RotatedAnswer(key=_key(listed), made=done.made)


def _add_mails(router: APIRouter, open_house: Open, reads: Any, acts: Any) -> None:
    Reader = Annotated[Principal, Depends(reads)]  # noqa: N806 - a type
    Who = Annotated[Principal, Depends(acts)]  # noqa: N806 - a type

    @router.get("/outbox")
    async def list_mails(_: Reader, after: After = "", limit: Limit = 50) -> OutboxAnswer:
        """Mails that were not delivered yet, and why."""
        found, more = await administration.mails(await open_house(), after, limit)
        return OutboxAnswer(mails=[_mail(one) for one in found], after=more)

    @router.post("/outbox/{mail_id}/retry", status_code=202, responses=problems(404))
    async def retry_mail(mail_id: str, who: Who) -> None:
        """Try a mail again now."""
        await administration.retry_mail(await open_house(), who, mail_id)

    @router.delete("/outbox/{mail_id}", status_code=204, responses=problems(404))
    async def discard_mail(mail_id: str, who: Who) -> None:
        """Throw a mail away."""
        await administration.discard_mail(await open_house(), who, mail_id)


def _words(given: Sequence[str]) -> frozenset[str]:
    """The scopes of a body. Raises InvalidInput."""
    try:
        words = scopes.parse(" ".join(given))
    except InvalidRequest as error:
        raise InvalidInput(error.because, fields={"scopes": error.detail}) from None
    if words != frozenset(given):
        raise InvalidInput("a scope with a space", fields={"scopes": "Each scope is an entry of its own."})
    return words


def _user(one: Described) -> UserAnswer:
    account = one.account
    return UserAnswer(
        id=account.id,
        email=account.email,
        username=account.username,
        scopes=sorted(account.scopes),
        granted=sorted(one.granted),
        roles=sorted(one.roles),
        disabled=account.disabled,
        created_at=account.created_at,
        email_verified=getattr(account, "email_verified_at", None) is not None,
        deletes_at=getattr(account, "deletes_at", None),
    )


def _role(one: Role) -> dict[str, Any]:
    return {"name": one.name, "scopes": sorted(one.scopes), "description": one.description}


def _key(one: Listed) -> SigningKeyAnswer:
    record = one.record
    return SigningKeyAnswer(
        kid=record.kid,
        alg=record.alg,
        generation=record.generation,
        state=one.state.value,
        created_at=record.created_at,
        signs_from=record.signs_from,
        verifies_until=one.ends_at,
        retired_at=record.retired_at,
    )


def _mail(one: Queued) -> WaitingMail:
    return WaitingMail(
        id=one.id,
        kind=one.kind,
        recipient=one.recipient,
        queued_at=one.queued_at,
        due_at=one.due_at,
        until=one.until,
        attempts=one.attempts,
        because=one.because,
    )
