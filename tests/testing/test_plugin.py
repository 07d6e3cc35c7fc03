"""The pytest plugin, in pytests of its own."""

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

import pytest_watchword

MAIN = """
    from typing import Annotated
    from fastapi import Depends, FastAPI
    from watchword import Auth, Principal

    auth = Auth()
    app = FastAPI()
    bare = FastAPI(title="Bare")
    auth.install(app)

    @app.get("/who")
    async def who(who: Annotated[Principal, Depends(auth.principal)]) -> str:
        return who.user_id
"""


@dataclass(frozen=True)
class Run:
    code: int
    text: str


def run(folder: Path, *arguments: str, **files: str) -> Run:
    """A pytest in this folder, with these files (`tests__test_it` is tests/test_it.py)."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + (".toml" if name == "pyproject" else ".py"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--strict-config", *arguments],
        cwd=folder,
        env={**kept, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr)


def configured(app: str) -> str:
    return f'[tool.pytest.ini_options]\nwatchword_app = "{app}"\n'


def test_one_line_of_configuration_is_enough(tmp_path: Path) -> None:
    """Three tests that would meet each other's users, were they not on a deployment of their own."""
    done = run(
        tmp_path,
        pyproject=configured("main:app"),
        main=MAIN,
        tests__test_it="""
            import pytest
            from main import app, auth  # found as the plugin finds it

            @pytest.mark.parametrize("time", ["first", "second", "third"])
            def test_it(auth_client, signed_in, watchword_clock, watchword_rehearsal, time):
                account = {"email": "ada@example.com", "password": "correct horse battery staple", "username": "ada"}
                assert auth_client.post("/register", json=account).status_code == 202
                ada = signed_in("ada@example.com")
                assert ada.user.username == "ada"
                assert ada.get("/who").json() == ada.user.id
                watchword_clock.tick(600)
                assert ada.get("/who").status_code == 401
                assert watchword_rehearsal.auth is auth is app.state.watchword
        """,
    )
    assert done.code == 0, done.text
    assert "3 passed" in done.text
    assert {path.name for path in tmp_path.iterdir()} == {"main.py", "pyproject.toml", "tests"}


def test_a_project_gives_its_own_application_and_clock(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        main=MAIN,
        conftest="""
            from datetime import UTC, datetime
            import pytest
            from watchword.testing import FrozenClock

            @pytest.fixture(scope="session")
            def watchword_app():
                from main import app
                return app

            @pytest.fixture
            def watchword_clock():
                return FrozenClock(datetime(2031, 5, 1, tzinfo=UTC))
        """,
        test_it="""
            def test_it(signed_in):
                assert signed_in("ada").user.created_at.year == 2031
        """,
    )
    assert done.code == 0, done.text


def test_what_is_wrong_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        main=MAIN,
        test_it="""
            import pytest
            from fastapi.testclient import TestClient

            def test_none_is_named(signed_in): ...

            class TestBare:
                @pytest.fixture
                def watchword_app(self):
                    from main import bare
                    return bare

                def test_bare(self, auth_client): ...

            class TestRunning:
                @pytest.fixture
                def watchword_app(self, tmp_path, monkeypatch):
                    monkeypatch.chdir(tmp_path)
                    from main import app
                    with TestClient(app):
                        yield app

                def test_running(self, auth_client): ...
        """,
    )
    assert done.code == 1
    assert "3 errors" in done.text
    assert 'Write watchword_app = "main:app" below [tool.pytest.ini_options]' in done.text
    assert "the application 'Bare' has no Auth" in done.text
    assert "auth runs already" in done.text
    assert "Traceback" not in done.text
    assert not re.search(r"^>", done.text, re.MULTILINE)


def test_a_pytest_that_does_not_use_it_loads_nothing(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "-s",
        test_it="""
            import sys

            def test_it():
                assert "pytest_watchword" in sys.modules
                heavy = {"watchword", "fastapi", "starlette", "sqlalchemy", "httpx2", "pydantic"}
                assert heavy.isdisjoint(sys.modules)
        """,
    )
    assert done.code == 0, done.text
    assert list(tmp_path.iterdir()) == [tmp_path / "test_it.py"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", 'Write watchword_app = "main:app"'),
        ("main", '"main" does not name an application'),
        (":app", '":app" does not name an application'),
        ("no_such_shop:app", "there is no module no_such_shop"),
        ("os.no_such_shop:app", "there is no module os.no_such_shop"),
        ("os:no_such_name", "has no attribute 'no_such_name'"),
        ("os:path.no_such_name", "has no attribute 'no_such_name'"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name: str, text: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=re.escape(text)):
        pytest_watchword.named(name)


def test_a_name_that_leads_somewhere() -> None:
    assert pytest_watchword.named("os:path.join") is os.path.join


def test_a_module_that_misses_another_one_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "halfway_shop.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        pytest_watchword.named("halfway_shop:app")
