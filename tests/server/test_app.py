"""The application that `watchword serve` runs."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from tests.house import ADA, PASSWORD

from watchword import Settings
from watchword.server.app import create_app

APP = "https://app.example.com"


pytestmark = pytest.mark.usefixtures("logging_as_before")


def test_it_has_every_route_and_its_pages(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json", "/.well-known/jwks.json"):
            assert client.get(path).status_code == 200, path
        assert client.get("/redoc").status_code == 404
        assert client.post("/register", json={"email": ADA, "password": PASSWORD}).status_code == 202
        assert client.post("/login", data={"username": ADA, "password": PASSWORD}).status_code == 200


def test_pages_of_no_other_origin_may_read_its_answers(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        answer = client.get("/.well-known/jwks.json", headers={"Origin": APP})
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_pages_of_an_allowed_origin_may(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data_dir=tmp_path, allowed_origins=APP))) as client:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        answer = client.options("/logout", headers={"Origin": APP, **preflight})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert "access-control-allow-credentials" not in answer.headers  # tokens, no cookies
        for origin in (
            "https://evil.example.com",
            "https://app.example.com.evil.net",
            "http://app.example.com",
            "null",
        ):
            answer = client.options("/logout", headers={"Origin": origin, **preflight})
            assert "access-control-allow-origin" not in answer.headers
        refused = client.get("/me", headers={"Origin": APP})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == APP


def test_a_log_line_can_not_be_forged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user name with a line break would write a line of its own: `LoggedIn(user_id='admin')`, say."""
    create_app(Settings(data_dir=tmp_path))
    logging.getLogger("watchword.audit").info("refused %s", "x\n2026-01-01 level=info event=forged\r\x1b[2J")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "logger=watchword.audit" in lines[0]
    assert re.search(r"[\x00-\x1f\x7f]", lines[0]) is None


def test_a_process_of_its_own_is_tuned(tmp_path: Path) -> None:
    """Otherwise it would pause for tens of milliseconds again and again, while what never goes is searched for garbage."""
    look = (
        "import gc, sys; from watchword.server.app import create_served_app; create_served_app(); "
        "print(gc.get_freeze_count() > 10_000, sys.getswitchinterval())"
    )
    environment = {**os.environ, "WATCHWORD_DATA_DIR": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0.0005"]


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_as_a_process_and_stops_when_it_is_told(tmp_path: Path, workers: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "watchword", "serve", "--port", str(port), "--workers", str(workers)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:  # until it says that it serves
            if "startup complete" in line:
                break
        else:
            pytest.fail(f"it did not start: {process.communicate()}")
        with httpx2.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
            assert client.get("/readyz").json()["status"] == "ok"
            assert client.post("/register", json={"email": ADA, "password": PASSWORD}).status_code == 202
            token = client.post("/login", data={"username": ADA, "password": PASSWORD}).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            assert client.get("/me", headers=headers).json()["email"] == ADA
            assert client.post("/logout", headers=headers).status_code == 204
            answer = client.get("/readyz", headers={"Host": "example.com"})
            assert answer.status_code == 421
            assert "server" not in answer.headers
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in out + err
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
