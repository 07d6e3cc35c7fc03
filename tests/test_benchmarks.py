"""What the benchmarks promise of themselves: a missed figure is said, a plot can be read, the peers run on what we run on."""

import argparse
import asyncio
import json
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import pytest
from benchmarks import in_process, report, seeding
from benchmarks.report import Bar, Report, Row
from benchmarks.seeding import SESSIONS, Plan

from watchword.core.opaque import Presented
from watchword.ports import Turn
from watchword.stores.sql.engine import Database
from watchword.stores.sql.scratch import SqlScratch
from watchword.stores.sql.sessions import SqlSessions
from watchword.stores.sql.users import SqlUsers

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("value", "bound", "at_least", "verdict"),
    [
        (1.05, 1.05, False, "kept"),
        (1.0501, 1.05, False, "MISSED"),
        (30.0, 30.0, True, "kept"),
        (29.999, 30.0, True, "MISSED"),
    ],
)
def test_a_figure_is_judged_before_it_is_rounded(value: float, bound: float, at_least: bool, verdict: str) -> None:
    row = Row("a figure", value, "µs", bound, at_least)
    assert row.verdict == verdict
    assert report.table([row]).endswith(verdict)


def test_where_nothing_is_promised_nothing_is_judged() -> None:
    assert Row("a figure", 1.0).verdict == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0124, "0.0124"), (1.0637, "1.06"), (36.53, "36.5"), (1360.4, "1,360"), (12.0, "12.0")],
)
def test_a_number_has_three_digits_that_say_something(value: float, text: str) -> None:
    assert report.number(value) == text


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.5, 5000.0], [], [0.0]])
def test_a_plot_is_an_svg_that_says_in_words_what_it_shows(values: list[float]) -> None:
    bars = [Bar(f"<{index}> & so on", value, mark=1.5, ours=True) for index, value in enumerate(values)]
    root = ET.fromstring(report.plot("A <title>", "About & for whom.", bars, "ms"))
    title, description = root[0], root[1]
    assert root.attrib["role"] == "img"
    assert title.text == "A <title>"
    assert description.text is not None
    assert all(bar.name in description.text for bar in bars)


def test_only_what_is_published_goes_into_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "PUBLISHED", tmp_path / "published")
    monkeypatch.setattr(report, "DOCS", tmp_path)
    for language in ("en", "ko"):
        (tmp_path / language).mkdir()
        page = tmp_path / language / "performance.md"
        page.write_text("Before.\n<!-- measured: some -->\nold\n<!-- end -->\nAfter.\n")
    ending = Report("some", "Some", "About.", [Row("a figure", 2.0, bound=1.0)], [Bar("it", 2.0)], "ms", raw=[2.0])
    ending.finish(argparse.Namespace(publish=False))
    told = json.loads((tmp_path / "results" / "some.json").read_text())
    assert told["rows"][0]["verdict"] == "MISSED"
    assert told["raw"] == [2.0]
    assert not (tmp_path / "published").exists()
    ending.finish(argparse.Namespace(publish=True))
    assert (tmp_path / "published" / "some.json").exists()
    english, korean = ((tmp_path / language / "performance.md").read_text() for language in ("en", "ko"))
    assert "| a figure | 2.00 |  | ≤ 1.00 | MISSED |" in english
    assert "| a figure | 2.00 |  | ≤ 1.00 | 미달 |" in korean
    assert "old" not in english
    assert english.startswith("Before.\n")
    assert english.endswith("<!-- end -->\nAfter.\n")
    assert (tmp_path / "ko" / "figures" / "some.svg").exists()


def test_a_page_without_a_place_for_the_figures_is_told() -> None:
    with pytest.raises(ValueError, match="measured: some"):
        report.shown("A page.", "some", "figures")


async def test_an_answer_other_than_200_is_not_measured() -> None:
    async def app(scope: object, receive: object, send: in_process.Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})

    with pytest.raises(AssertionError, match="401"):
        await in_process.least({"it": in_process.request(app, "/", "token")}, 1, 1)


def test_what_is_seeded_is_what_the_stores_would_have_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the benchmark of growth measured something else."""
    monkeypatch.setattr(seeding, "FOLDER", tmp_path)
    plan = Plan(users=3, dead=4)
    url = f"sqlite:///{seeding.sqlite(plan)}"
    assert url == f"sqlite:///{seeding.sqlite(plan)}", "it is kept"

    async def look() -> None:
        db = Database(url)
        db.settle(here=True)
        store = SqlSessions(db)
        found = await SqlUsers(db).find(seeding.username(2))
        assert found is not None
        assert (found.user.id, found.user.email) == (seeding.user_id(2), seeding.email(2))
        alive = await store.of_user(seeding.user_id(2), seeding.NOW)
        assert {one.id for one in alive} == {seeding.session_id(2 * SESSIONS + one) for one in range(SESSIONS)}
        presented = Presented(seeding.session_id(7), 0, seeding.secret(7))
        terms = {"grace": timedelta(seconds=30), "idle": timedelta(days=14), "access_ttl": timedelta(minutes=10)}
        assert (await store.turn(presented, seeding.NOW, **terms)).answer is Turn.TURNED
        an_hour_ago = seeding.NOW - timedelta(hours=1)
        assert await store.prune(an_hour_ago, 100) == plan.dead
        assert await SqlScratch(db).prune(an_hour_ago, 100) == plan.dead
        await db.close()

    asyncio.run(look())


def locked(path: Path) -> dict[str, str]:
    lines = [line.partition(" ")[0] for line in path.read_text().splitlines() if "==" in line and line[0] != " "]
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def test_the_peers_run_on_the_fastapi_that_we_run_on() -> None:
    ours, theirs = locked(ROOT / "requirements.lock"), locked(ROOT / "benchmarks" / "peers.lock")
    for name in (
        "fastapi",
        "starlette",
        "pydantic",
        "pydantic-core",
        "uvicorn",
        "anyio",
        "cryptography",
        "pyjwt",
        "httptools",
    ):
        assert theirs[name] == ours[name], name


def test_the_lock_of_the_peers_names_no_place() -> None:
    text = (ROOT / "benchmarks" / "peers.lock").read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") > len(locked(ROOT / "benchmarks" / "peers.lock"))
