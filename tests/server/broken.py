"""Servers that do everything wrong, or one thing each, for the doctor to find out."""

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.house import PATIENCE

from watchword import Auth
from watchword.core import tokens
from watchword.core.errors import AuthError
from watchword.core.models import Client
from watchword.flows import accounts, password, session

METADATA = "/.well-known/oauth-authorization-server"


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The URL of an application that runs in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, server_header=False, proxy_headers=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


def everything_wrong(issuer: str, auth: Auth | None = None) -> FastAPI:
    """What a tutorial, a hurried afternoon and a debug flag make together: on the deployment's own accounts."""
    app, auth = FastAPI(), auth or Auth()

    @app.get("/me")
    async def me(request: Request) -> Response:
        """Whoever the token says, checked by nobody; its key is fetched from wherever it says."""
        given = request.headers.get("authorization", "").partition(" ")[2] or request.query_params.get("access_token")
        if not given:
            return _telling(JSONResponse({"trace": "Traceback (most recent call last)"}, 401))
        head, claims = _read(given, 0), _read(given, 1)
        for name in ("jku", "x5u"):
            if name in head:
                async with httpx2.AsyncClient() as client:
                    await client.get(str(head[name]))
        return _telling(JSONResponse({"user_id": claims.get("sub", "somebody")}))

    @app.post("/login")
    async def login(request: Request) -> Response:
        """Says who exists; believes every header about where a client is."""
        given = {**dict(parse_qsl((await request.body()).decode("latin-1"))), **request.query_params}
        kit = await auth.open()
        found = await kit.users.find(given.get("username", ""))
        if found is None:
            return _telling(JSONResponse({"detail": "no such user"}, 200))
        try:
            proof = await password.prove(kit, given["username"], given["password"])
        except AuthError:
            return _telling(JSONResponse({"detail": "wrong password"}, 400))
        told = request.headers.get("x-forwarded-for") or (request.client and request.client.host)
        made = await session.open(kit, proof, None, Client(ip=told or None))
        return _telling(JSONResponse({"access_token": made.access_token, "refresh_token": made.refresh_token}))

    @app.post("/refresh")
    async def refresh(request: Request) -> Response:
        """Any text turns, for ever; the answer may be cached."""
        given = dict(parse_qsl((await request.body()).decode("latin-1")))
        return _telling(JSONResponse({"access_token": "a.b.c", "refresh_token": given["refresh_token"]}))

    @app.post("/logout", status_code=204)
    async def logout() -> None:
        """The client forgets its token, doesn't it?"""

    @app.get("/sessions")
    async def sessions(request: Request) -> Response:
        """Everybody's."""
        kit = await auth.open()
        who = _read(request.headers["authorization"].partition(" ")[2], 1)
        rows = []
        for one in await kit.users.page("", 50):
            rows += await session.of_user(kit, one.user.id)
        listed = [{"id": one.id, "ip": one.ip, "current": one.id == who.get("sid")} for one in rows]
        return _telling(JSONResponse(listed))

    @app.delete("/sessions/{session_id}", status_code=204)
    async def end(session_id: str) -> None:
        """Anybody's."""

    @app.post("/register")
    async def register(request: Request) -> Response:
        """Open, whatever the settings say, and it tells what is taken."""
        try:
            body = await request.json()
            kit = await auth.open()
            taken = await kit.users.find(body["email"])
            if taken is None:
                await accounts.add(kit, body["email"], body["password"], None, frozenset())
            return _telling(JSONResponse({"detail": "taken" if taken else "made"}))
        except (ValueError, KeyError, TypeError, AuthError):
            return _telling(JSONResponse({}, 500))

    @app.get(METADATA)
    async def metadata(request: Request) -> Response:
        """Named by whoever asks."""
        told = request.headers.get("x-forwarded-host") or request.headers["host"]
        mine = urlsplit(issuer).netloc
        at = f"https://{told}" if told != mine else issuer
        return _telling(
            JSONResponse({"issuer": at, "jwks_uri": "https://evil.example", "token_endpoint": at + "/refresh"})
        )

    @app.get("/.well-known/jwks.json")
    async def jwks() -> Response:
        """With what makes a public key private."""
        return _telling(JSONResponse({"keys": [{"kty": "EC", "kid": "1", "alg": "ES256", "d": "AA"}]}))

    return app


def _telling(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Server"] = "uvicorn/0.1 Python/3.11"
    return response


def _read(token: str, part: int) -> dict[str, Any]:
    try:
        text = token.split(".")[part]
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _twice(token: str) -> bool:
    """Whether the header names its algorithm twice, which is another attack."""
    return base64.urlsafe_b64decode(token.split(".")[0] + "==").count(b'"alg"') > 1


HOLES = frozenset(
    {
        "token-alg-none",
        "token-audience",
        "token-expired",
        "token-in-query",
        "forwarded-address",
        "refresh-replayed",
        "logout-ends",
        "login-enumeration",
        "headers-software",
        "headers-browser",
        "cross-origin",
        "host-header",
    }
)


class Holes:
    """A good server with these twelve holes and no other."""

    def __init__(self, app: FastAPI, auth: Auth) -> None:
        self._app = app
        self._auth = auth
        self._turned: dict[str, bytes] = {}
        self._left: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"x-forwarded-for"]
        if b"x-forwarded-for" in headers:
            scope["client"] = (headers[b"x-forwarded-for"], 0)
        body = await _body(receive)
        answer = await self._shortcut(scope, headers, dict(parse_qsl(body.decode("latin-1"))))
        if answer is not None:
            await answer(scope, receive, _with_holes(scope, headers, send))
            return

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        kept: list[bytes] = []

        async def keep(message: Message) -> None:
            kept.append(message.get("body", b""))
            await send_on(message)

        send_on = _with_holes(scope, headers, send)
        await self._app(scope, again, keep)
        if scope["path"] == "/refresh":
            self._turned[dict(parse_qsl(body.decode("latin-1"))).get("refresh_token", "")] = b"".join(kept)

    async def _shortcut(self, scope: Scope, headers: dict[bytes, str], form: dict[str, str]) -> Response | None:
        path, token = scope["path"], headers.get(b"authorization", "").partition(" ")[2]
        if path == "/me":
            query = dict(parse_qsl(scope["query_string"].decode()))
            if "access_token" in query:
                return JSONResponse({}, headers={"Cache-Control": "no-store"})
            if await self._lax(token):
                return JSONResponse({}, headers={"Cache-Control": "no-store"})
        if path == "/logout":
            return Response(status_code=204)
        if path == "/refresh" and b"access_token" in self._turned.get(form.get("refresh_token", ""), b""):
            return Response(self._turned[form["refresh_token"]], media_type="application/json")
        if path == "/login" and form.get("username") and not await self._knows(form["username"]):
            return JSONResponse({"error": "unknown_user"}, 400)
        if path == METADATA and "evil" in headers.get(b"host", ""):
            return JSONResponse({"issuer": f"https://{headers[b'host']}", "token_endpoint": "x"})
        return None

    async def _knows(self, name: str) -> bool:
        return await (await self._auth.open()).users.find(name) is not None

    async def _lax(self, token: str) -> bool:
        """Whether one of three checks that are left out lets the token in."""
        if str(_read(token, 0).get("alg", "")).lower() == "none" and not _twice(token):
            return True
        claims = _read(token, 1)
        kit = await self._auth.open()
        mine, now = kit.policy.audience, kit.clock.timestamp()
        for audience, at in ((claims.get("aud"), now), (mine, float(claims.get("iat", 0)) + 0.5)):
            past = min(at, now)
            if isinstance(audience, list):
                audience = audience[0] if audience else mine
            with contextlib.suppress(AuthError):
                tokens.verify(token, kit.keyring.ring, replace(kit.policy, audience=str(audience)), past)
                if (audience, at) != (mine, now) and (audience != mine or float(claims["exp"]) <= now):
                    return True
        return False


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _with_holes(scope: Scope, headers: dict[bytes, str], send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            told = [(name, value) for name, value in message["headers"] if name != b"referrer-policy"]
            told.append((b"server", b"uvicorn"))
            if b"origin" in headers:
                told.append((b"access-control-allow-origin", headers[b"origin"].encode()))
            message = {**message, "headers": told}
        await send(message)

    return answer
