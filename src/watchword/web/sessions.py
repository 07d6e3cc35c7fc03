"""Logging in, staying in, logging out, and the list of sessions."""

from collections.abc import Sequence
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Form, Request, Response

from watchword.core import scopes
from watchword.core.errors import UnsupportedGrantType
from watchword.core.models import Principal, Session, Tokens
from watchword.flows import authenticate, password, session
from watchword.web import client, device
from watchword.web.answers import oauth_errors, problems
from watchword.web.errors import NO_STORE, OAuthRoute, ProblemRoute
from watchword.web.guard import Guard, Open, presented, signed_in_of
from watchword.web.schemas import (
    LoginForm,
    LogoutForm,
    RefreshForm,
    SessionAnswer,
    TokenAnswer,
)


def token_routes(open_house: Open) -> APIRouter:
    """`/login` and `/refresh`, in the dialect of RFC 6749."""
    router = APIRouter(route_class=OAuthRoute, tags=["auth"])
    refusals = oauth_errors(429)

    @router.post("/login", response_model=TokenAnswer, responses=refusals)
    async def login(request: Request, response: Response, form: Annotated[LoginForm, Form()]) -> TokenAnswer:
        """Sign in with an email address or a username. `scope` in the answer says what was granted."""
        kit = await open_house()
        asked = scopes.parse(form.scope) or None
        origin = client.describe(request, kit.policy)
        async with client.watched(request) as gone:
            proof = await password.prove(kit, form.username, form.password, origin, gone)
        return token_answer(response, await session.open(kit, proof, asked, origin))

    @router.post("/refresh", response_model=TokenAnswer, responses=refusals)
    async def refresh(request: Request, response: Response, form: Annotated[RefreshForm, Form()]) -> TokenAnswer:
        """Turn a refresh token. A retry with the same token within the grace gets the same successor."""
        if form.grant_type != "refresh_token":
            raise UnsupportedGrantType("another grant_type at /refresh")
        asked = scopes.parse(form.scope) or None
        kit = await open_house()
        origin = client.describe(request, kit.policy)
        turned = await session.refresh(kit, form.refresh_token, asked, origin, client_id=form.client_id)
        return token_answer(response, turned)

    return router


def session_routes(open_house: Open, guard: Guard) -> APIRouter:
    """`/logout` and `/sessions`."""
    router = APIRouter(route_class=ProblemRoute, tags=["auth"], responses=problems(401))
    Who = Annotated[Principal, Depends(signed_in_of(guard))]  # noqa: N806 - a type

    @router.post("/logout", status_code=204, responses=problems(422, 429))
    async def logout(request: Request, form: Annotated[LogoutForm, Form()]) -> None:
        """End this session and every token made from it. With an expired access token, send the refresh token too."""
        kit = await open_house()
        access_token, _ = presented(request.scope)
        origin = client.describe(request, kit.policy)
        for session_id in await authenticate.leaving(kit, access_token, form.refresh_token, origin):
            await session.close(kit, session_id, client=origin)

    @router.get("/sessions", response_model=list[SessionAnswer])
    async def list_sessions(who: Who) -> list[SessionAnswer]:
        """Where you are signed in, the last used first."""
        return await shown(await session.of_user(await open_house(), who.user_id), who)

    @router.delete("/sessions/{session_id}", status_code=204, responses=problems(404))
    async def end_session(request: Request, session_id: str, who: Who) -> None:
        """Sign out one device."""
        kit = await open_house()
        await session.close_listed(kit, session_id, who.user_id, client.describe(request, kit.policy))

    @router.delete("/sessions", status_code=204)
    async def end_sessions(request: Request, who: Who) -> None:
        """Sign out everywhere, here included."""
        kit = await open_house()
        await session.close_all(kit, who.user_id, client.describe(request, kit.policy))

    return router


async def shown(live: Sequence[Session], who: Principal) -> list[SessionAnswer]:
    """Sessions for people. Telling what a device is takes too long for an event loop."""
    devices = await anyio.to_thread.run_sync(lambda: [device.name(one.user_agent) for one in live])
    return [
        SessionAnswer(
            id=one.id,
            device=name,
            ip=one.ip,
            created_at=one.created_at,
            last_used_at=one.used_at,
            expires_at=min(one.idle_expires_at, one.expires_at),
            current=one.id == who.session_id,
        )
        for one, name in zip(live, devices, strict=True)
    ]


def token_answer(response: Response, tokens: Tokens) -> TokenAnswer:
    """What hands tokens out. RFC 6749 5.1."""
    response.headers.update(NO_STORE)
    return TokenAnswer(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        scope=scopes.text(tokens.scopes),
    )
