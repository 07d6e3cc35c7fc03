"""What README and docs print is what happens: every Python block runs, and the README's curl journey too."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.live import serving

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*/*.md"))]
PASSWORD = "correct horse battery staple"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


PYTHON = [(page, number) for page in PAGES for number in range(len(blocks(page, "python")))]


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    return {**kept, "WATCHWORD_DATA_DIR": str(folder / ".watchword")}


def run(code: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "number"), PYTHON, ids=[f"{page.parent.name}-{page.stem}-{n}" for page, n in PYTHON])
def test_every_python_block_runs(page: Path, number: int, tmp_path: Path) -> None:
    run(blocks(page, "python")[number], tmp_path)


CHECKED = """
from fastapi.testclient import TestClient
client = TestClient(app)
password = "correct horse battery staple"
client.post("/auth/register", json={"email": "ada@example.com", "password": password})
tokens = client.post("/auth/login", data={"username": "ada@example.com", "password": password}).json()
bearer = {"Authorization": "Bearer " + tokens["access_token"]}
assert client.get("/items/").status_code == 401
assert client.get("/items/", headers=bearer).json() == ["Foo", "Bar", "Baz"]
assert client.delete("/items/Foo", headers=bearer).status_code == 403
with client.websocket_connect("/live", subprotocols=["bearer", tokens["access_token"]]) as socket:
    assert socket.receive_json()["user_id"]
assert client.get("/openapi.json").json()["components"]["securitySchemes"]["Watchword"]["flows"]["password"][
    "tokenUrl"] == "/auth/login"
"""


def test_the_readme_application_fits_in_twelve_lines_and_does_what_it_says(tmp_path: Path) -> None:
    application = blocks(ROOT / "README.md", "python")[1]
    assert len([line for line in application.splitlines() if line.strip()]) <= 12
    run(application + CHECKED, tmp_path)


def test_it_also_works_below_another_application(tmp_path: Path) -> None:
    application = blocks(ROOT / "README.md", "python")[1]
    mounted = "\nouter = FastAPI()\nouter.mount('/api', app)\ninner = app\napp = outer\n"
    checked = CHECKED.replace('"/auth/', '"/api/auth/').replace('"/items/', '"/api/items/')
    checked = checked.replace('"/live"', '"/api/live"').split('assert client.get("/openapi.json")')[0]
    run(application + mounted + checked, tmp_path)


def test_the_curl_journey_of_the_readme_ends_with_204_and_401(tmp_path: Path) -> None:
    script = next(block for block in blocks(ROOT / "README.md", "sh") if "field()" in block)
    with serving(tmp_path) as url:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("http://localhost:8000", url)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert '"email":"ada@example.com"' in done.stdout
    assert done.stdout.split()[-2:] == ["204", "401"]
