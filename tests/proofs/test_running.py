"""The machinery of proofs itself: what is done is kept, what fails stops, and the pages tell of every proof."""

from functools import partial
from pathlib import Path

import pytest
from tests.proofs import ledger, page, registry, running
from tests.proofs.ledger import Entry, Ledger
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, total


def count(trace: Path, bench: Bench) -> Figures:
    """Leaves a line for each time that it runs."""
    with trace.open("a") as file:
        file.write("ran\n")
    return {"things": 2}


def fail(bench: Bench) -> Figures:
    raise AssertionError("two branches, with seed 7")


def test_a_unit_that_is_done_is_not_run_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    units = [Unit(name, partial(count, trace)) for name in ("one", "two")]
    kept = Ledger("things", short=False, place=tmp_path)
    for _ in range(2):
        entries = running.run("things", units, kept, tmp_path, jobs=2)
        assert total([entry.figures for entry in entries], "things") == 4
    assert trace.read_text() == "ran\nran\n"
    kept.forget()
    running.run("things", units, kept, tmp_path, jobs=2)
    assert trace.read_text() == "ran\n" * 4


def test_what_another_program_has_shown_counts_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, kept = Unit("one", fail), Ledger("things", short=False, place=tmp_path)
    kept.keep(unit, Entry({"things": 2}, 1.0, "2026-01-01", "Python"))
    assert kept.entry(unit) is not None
    monkeypatch.setattr(ledger, "fingerprint", lambda: "another")
    assert kept.entry(unit) is None


def test_what_does_not_hold_stops_and_says_how_to_see_it_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    units = [Unit("good", partial(count, trace)), Unit("bad", fail), Unit("never", partial(count, trace))]
    kept = Ledger("things", short=False, place=tmp_path)
    with pytest.raises(running.Disproved, match=r"bad\n(.|\n)*two branches, with seed 7"):
        running.run("things", units, kept, tmp_path, jobs=1)
    assert trace.read_text() == "ran\n"
    assert kept.entry(units[0]) is not None
    assert kept.entries(units) is None


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_proof_has_units_with_names_of_their_own_and_a_place_on_both_pages(name: str) -> None:
    proof = registry.load(name)
    for short in (True, False):
        names = [unit.name for unit in proof.units(short)]
        assert names
        assert len(set(names)) == len(names)
        assert not any(set(name) & set("/\\ ") for name in names)
    for language in page.LANGUAGES:
        assert name in page.parts(page.page(language).read_text("utf-8"))


def test_the_pages_tell_of_no_other_proof_and_of_the_same_run() -> None:
    texts = [page.page(language).read_text("utf-8") for language in page.LANGUAGES]
    assert [page.parts(text) for text in texts] == [list(registry.NAMES)] * 2
    english, korean = ([match[0] for match in page.PART.finditer(text)] for text in texts)
    for one, other in zip(english, korean, strict=True):
        assert _figures(one) == _figures(other)


def _figures(part: str) -> list[str]:
    rows = [line.split(" | ")[-1] for line in part.splitlines() if line.startswith("| ")][1:]
    return [figure for figure in rows if "min" not in figure and "분" not in figure]


def test_a_page_is_filled_where_its_mark_is() -> None:
    text = "a\n<!-- proved: one -->\n\nold\n\n<!-- /proved -->\nb\n<!-- proved: two -->\nold\n<!-- /proved -->\n"
    done = page.filled(text, "one", "new")
    assert done == text.replace("\nold\n\n", "\nnew\n\n", 1)
    with pytest.raises(ValueError, match="three"):
        page.filled(text, "three", "new")


def test_a_table_says_what_and_on_what() -> None:
    proof = Proof("one", lambda short: [], lambda figures: [Row("things", "것", str(total(figures, "things")))])
    entries = [Entry({"things": 2}, 100.0, "2026-01-01", "Python"), Entry({"things": 3}, 100.0, "2026-01-02", "Python")]
    assert "| things | 5 |\n| computing time | 3 min |\n| on | 2026-01-01 – 2026-01-02, Python |" in page.table(
        "en", proof, entries
    )
    assert "| 것 | 5 |\n| 계산 시간 | 3분 |" in page.table("ko", proof, entries)
