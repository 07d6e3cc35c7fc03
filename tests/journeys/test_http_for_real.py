"""A day of one user, over real sockets: uvicorn on one side, an HTTP and a WebSocket client on the other."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import httpx2
import pytest
import uvicorn
import websockets
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from tests.house import ADA, OTHER_PASSWORD, PASSWORD, PATIENCE, make_auth
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from watchword import Principal


@pytest.fixture
async def port(tmp_path: Path, database_url: str) -> AsyncIterator[int]:
    """Where an application with a guarded WebSocket listens."""
    app = FastAPI()
    auth = make_auth(tmp_path, database_url=database_url)
    auth.install(app)

    @app.websocket("/chat")
    async def chat(line: WebSocket, who: Annotated[Principal, Depends(auth.principal)]) -> None:
        await line.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await line.send_text(f"{who.user_id} said {await line.receive_text()}")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE)


async def test_a_day_of_one_user(port: int) -> None:
    async with httpx2.AsyncClient(base_url=f"http://localhost:{port}", timeout=PATIENCE) as client:
        await client.post("/register", json={"email": ADA, "password": PASSWORD})
        form = {"username": ADA, "password": PASSWORD}
        laptop = (await client.post("/login", data=form, headers={"User-Agent": "laptop/1.0"})).json()
        phone = (await client.post("/login", data=form, headers={"User-Agent": "phone/2.0"})).json()

        def bearer(tokens: dict[str, str]) -> dict[str, str]:
            return {"Authorization": f"Bearer {tokens['access_token']}"}

        async with connect(f"ws://localhost:{port}/chat", additional_headers=bearer(phone)) as line:
            await line.send("hello")
            assert (await line.recv()).endswith(" said hello")  # type: ignore[arg-type]

            refresh = {"grant_type": "refresh_token", "refresh_token": laptop["refresh_token"]}
            laptop = (await client.post("/refresh", data=refresh)).json()
            listed = (await client.get("/sessions", headers=bearer(laptop))).json()
            assert {session["device"] for session in listed} == {"laptop 1.0", "phone 2.0"}
            lost = next(session for session in listed if session["device"] == "phone 2.0")
            assert (await client.delete(f"/sessions/{lost['id']}", headers=bearer(laptop))).status_code == 204
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(line.recv(), PATIENCE)
            assert line.close_code == 4401

        assert (await client.get("/me", headers=bearer(phone))).status_code == 401
        change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        assert (await client.post("/change-password", json=change, headers=bearer(laptop))).status_code == 204
        assert (await client.post("/logout", headers=bearer(laptop))).status_code == 204
        assert (await client.get("/me", headers=bearer(laptop))).status_code == 401
        assert (await client.post("/login", data=form)).json()["error"] == "invalid_grant"
        form["password"] = OTHER_PASSWORD
        assert (await client.post("/login", data=form)).status_code == 200


async def test_a_browser_opens_a_socket_with_its_token_among_the_subprotocols(port: int) -> None:
    async with httpx2.AsyncClient(base_url=f"http://localhost:{port}", timeout=PATIENCE) as client:
        await client.post("/register", json={"email": ADA, "password": PASSWORD})
        answer = await client.post("/login", data={"username": ADA, "password": PASSWORD})
    token = answer.json()["access_token"]
    offered = [Subprotocol("bearer"), Subprotocol(token)]
    async with connect(f"ws://localhost:{port}/chat", subprotocols=offered) as line:
        assert line.subprotocol == "bearer"


async def test_a_refused_handshake_is_answered_with_the_challenge(port: int) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(f"ws://localhost:{port}/chat?token=x")
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["www-authenticate"] == 'Bearer realm="watchword"'


async def test_a_foreign_host_name_is_misdirected(port: int) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(f"ws://evil.example.com:{port}/chat", host="127.0.0.1", port=port)
    assert refused.value.response.status_code == 421


async def test_bytes_that_are_no_http_harm_nobody(port: int) -> None:
    """What scanners send: the process must survive it, and answer the next request."""
    for sent in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /me HTTP/1.0\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(4096), PATIENCE)
        assert b" 200 " not in answer.split(b"\r\n")[0]
        assert b" 500 " not in answer.split(b"\r\n")[0]
        writer.close()
    async with httpx2.AsyncClient(base_url=f"http://localhost:{port}", timeout=PATIENCE) as client:
        assert (await client.get("/.well-known/jwks.json")).status_code == 200
