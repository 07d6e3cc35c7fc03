"""docs/*/testing.md prints what is so: the example's file, fixtures that work, texts that are said."""

import re
from pathlib import Path

import pytest
from tests.testing.test_plugin import MAIN, configured, run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tested"
PAGES = {language: (ROOT / "docs" / language / "testing.md").read_text() for language in ("en", "ko")}


def blocks(page: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("language", PAGES)
def test_the_page_shows_the_example_as_it_is(language: str) -> None:
    assert blocks(PAGES[language])[0] == (EXAMPLE / "tests" / "test_notes.py").read_text()
    assert blocks(PAGES[language], "toml") == [(EXAMPLE / "pyproject.toml").read_text()]


def test_both_languages_show_the_same_code() -> None:
    assert blocks(PAGES["en"]) == blocks(PAGES["ko"])


def with_the(text: str) -> str:
    """The one block that has this text in it."""
    (block,) = (block for block in blocks(PAGES["en"]) if text in block)
    return block


def test_the_fixtures_of_the_page_work(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        shop=f"{MAIN}\n    def create_app(testing):\n        return app\n",
        conftest=with_the("create_app") + with_the("base_url"),
        test_it="""
            def test_it(signed_in, watchword_clock):
                ada = signed_in("ada")
                assert ada.scopes == {"items:read", "items:write"}
                assert ada.user.created_at.year == 2031
                assert str(ada.get("/who").url) == "https://testserver/who"
        """,
    )
    assert done.code == 0, done.text


def test_the_asynchronous_fixture_of_the_page_works(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        pyproject=configured("main:app") + 'anyio_mode = "auto"\n',
        main=MAIN,
        conftest=with_the("async def stage") + "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n",
        test_it="""
            async def test_it(stage):
                ada = await stage.signed_in("ada")
                assert (await ada.get("/who")).json() == ada.user.id
        """,
    )
    assert done.code == 0, done.text


@pytest.mark.parametrize(
    "text",
    [
        "No application is named",
        "has no Auth",
        "applications with an Auth of their own",
        "auth runs already",
    ],
)
def test_a_text_of_the_page_is_said_by_the_code(text: str) -> None:
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    assert all(text in page for page in PAGES.values())
    assert any(text in source for source in sources)
