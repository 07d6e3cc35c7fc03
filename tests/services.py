"""A service that only verifies, and an issuer that is told what to answer: an honest one, unless a test makes it lie."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI, WebSocket
from tests.core import forge
from tests.house import PATIENCE, House, Socket

from watchword import Principal, Verifier
from watchword.core import strict_json
from watchword.testing import FrozenClock

ISSUER = "https://auth.example.com"
METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"
REVOCATIONS = "/revocations"
SERVICE_KEY = "kZ3-vQ8wT1bXn5Jr7LdYc0HsFm2PgA9e"
"""The key by which an issuer knows the service."""

Answer = httpx2.Response | Exception | Callable[[httpx2.Request], Awaitable[httpx2.Response]]


class Scripted:
    """An issuer whose answers are a test's. `fetched` are the paths that were asked for."""

    def __init__(self, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self.fetched: list[str] = []
        self.requests: list[httpx2.Request] = []
        self.answers: dict[str, Answer] = {}
        self.tells(METADATA, self.metadata())
        self.publishes("kid-1")

    def metadata(self, **changes: Any) -> dict[str, Any]:
        return {"issuer": self.issuer, "jwks_uri": self.issuer + JWKS} | changes

    def tells(self, path: str, body: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer so from now on; what is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else strict_json.dumps({"": body})[4:-1]
        self.answers[path] = _again(status, content, headers or {})

    def publishes(self, *kids: str, headers: dict[str, str] | None = None) -> None:
        """Have exactly these keys from now on: `kid-1` is that of `forge.access_token()`."""
        keys = [forge.jwk("ES256", kid, nth=int(kid[-1])) for kid in kids]
        self.tells(JWKS, forge.jwks(*keys), headers=headers)

    def token(self, kid: str = "kid-1", **claims: Any) -> str:
        """A good access token of this issuer."""
        payload = forge.claims(iss=self.issuer, aud=self.issuer) | claims
        key = forge.signer("ES256", kid, int(kid[-1]) if kid[-1].isdigit() else 9)
        return forge.signed(forge.header(kid=kid), strict_json.dumps(payload), key)

    def announces(self) -> None:
        """Offer a list of revocations from now on, an empty one at first."""
        self.tells(METADATA, self.metadata(watchword_revocations_uri=self.issuer + REVOCATIONS))
        self.revokes()

    def revokes(self, *sessions: str, **changes: Any) -> None:
        """Answer with this list from now on."""
        self.tells(REVOCATIONS, self.listed(*sessions, **changes).encode())

    def listed(self, *sessions: str, kid: str = "kid-1", **changes: Any) -> str:
        """A good list; a claim that is given as `...` is left out, `header` changes the header."""
        until = int(forge.T) + 600
        claims = {"iss": self.issuer, "iat": int(forge.T), "exp": int(forge.T) + 15}
        claims |= {"revoked": [[session_id, 3, until] for session_id in sessions], "retired": []}
        head = forge.header(kid=kid, typ="revocations+jwt") | changes.pop("header", {})
        claims = {name: value for name, value in (claims | changes).items() if value is not ...}
        head = {name: value for name, value in head.items() if value is not ...}
        return forge.signed(head, strict_json.dumps(claims), forge.signer("ES256", kid, int(kid[-1])))

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.fetched.append(request.url.path)
        self.requests.append(request)
        answer = self.answers.get(request.url.path, _again(404, b"", {}))
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx2.Response) else await answer(request)


def _again(status: int, content: bytes, headers: dict[str, str]) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content, headers=headers)

    return answer


@dataclass(frozen=True)
class Service:
    """An application with a Verifier, and its client."""

    app: FastAPI
    verifier: Verifier
    clock: FrozenClock
    client: httpx2.AsyncClient

    def socket(self, token: str) -> Socket:
        """A WebSocket to the service, on the test's own event loop."""
        return Socket(
            self.app,
            {
                "type": "websocket",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "scheme": "ws",
                "path": "/ws",
                "raw_path": b"/ws",
                "query_string": b"",
                "root_path": "",
                "headers": [(b"host", b"items.example.com"), (b"authorization", f"Bearer {token}".encode())],
                "subprotocols": [],
                "client": ("203.0.113.7", 50000),
                "server": ("items.example.com", 80),
                "state": {},
                "extensions": {},
            },
        )

    async def get(self, token: str | None, path: str = "/items/") -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return await self.client.get(path, headers=headers)


@contextlib.asynccontextmanager
async def serving(issuer: Scripted, clock: FrozenClock | None = None, **options: Any) -> AsyncIterator[Service]:
    """A started service that believes this issuer."""
    clock = clock or FrozenClock(forge.NOW)
    verifier = Verifier(issuer.issuer, clock=clock, transport=issuer.transport, **options)
    async with started(verifier, clock) as service:
        yield service


@contextlib.asynccontextmanager
async def beside(house: House, **options: Any) -> AsyncIterator[Service]:
    """A started service that believes a real house, whose clock is its own too."""
    loop = asyncio.get_running_loop()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        """The Verifier asks from a thread; the house lives on the test's event loop."""
        asked = house.client.request("GET", request.url, headers=request.headers)
        answer = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, loop))
        return httpx2.Response(answer.status_code, content=answer.content, headers=answer.headers)

    transport = httpx2.MockTransport(answer)
    issuer = (await house.kit()).policy.issuer
    async with started(Verifier(issuer, clock=house.clock, transport=transport, **options), house.clock) as service:
        yield service


@contextlib.asynccontextmanager
async def started(verifier: Verifier, clock: FrozenClock) -> AsyncIterator[Service]:
    """The same with a Verifier that is there already."""
    app = FastAPI()
    verifier.install(app)

    @app.get("/items/")
    async def items(who: Annotated[Principal, Depends(verifier.principal)]) -> dict[str, str]:
        return {"user_id": who.user_id}

    @app.get("/written", dependencies=[Depends(verifier.requires("items:write", max_age=300))])
    async def written() -> str:
        return "ok"

    @app.get("/greeting")
    async def greeting(who: Annotated[Principal | None, Depends(verifier.optional)]) -> str:
        return who.user_id if who else "stranger"

    @app.websocket("/ws")
    async def echo(socket: WebSocket, who: Annotated[Principal, Depends(verifier.principal)]) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{who.user_id}: {text}")

    await verifier.start()
    try:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://items.example.com") as client:
            yield Service(app, verifier, clock, client)
    finally:
        await verifier.stop()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what happens on another thread. Raises AssertionError when it does not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not await true():  # noqa: ASYNC110 - on another thread there is nobody to tell
                await asyncio.sleep(0.01)
            return
    raise AssertionError("what was waited for did not happen")


async def until_answered(service: Service, token: str, status: int) -> httpx2.Response:
    """Wait until this token is answered so."""
    answer: httpx2.Response | None = None

    async def answered() -> bool:
        nonlocal answer
        answer = await service.get(token)
        return answer.status_code == status

    try:
        await until(answered)
    except AssertionError:
        assert answer is not None
        raise AssertionError(f"{answer.status_code} {answer.text}") from None
    assert answer is not None
    return answer
