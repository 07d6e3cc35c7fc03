"""The README's application does what the text around it says."""

from pathlib import Path

from tests.docs import pages
from tests.docs.test_blocks import run_python

BLOCKS = [block.code for block in pages.blocks(pages.ROOT / "README.md") if block.language == "python"]
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


def test_the_application_fits_in_twelve_lines_and_does_what_it_says(tmp_path: Path) -> None:
    application = BLOCKS[1]
    assert len([line for line in application.splitlines() if line.strip()]) <= 12
    run_python(application + CHECKED, tmp_path)


def test_it_also_works_below_another_application(tmp_path: Path) -> None:
    mounted = "\nouter = FastAPI()\nouter.mount('/api', app)\ninner = app\napp = outer\n"
    checked = CHECKED.replace('"/auth/', '"/api/auth/').replace('"/items/', '"/api/items/')
    checked = checked.replace('"/live"', '"/api/live"').split('assert client.get("/openapi.json")')[0]
    run_python(BLOCKS[1] + mounted + checked, tmp_path)
