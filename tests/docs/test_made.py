"""What a page says of the program is what the program says of itself."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from scripts.pages import command_line, doctor, errors, security, settings
from scripts.pages.__main__ import pages as made
from scripts.pages.marked import DOCS, LANGUAGES, ROOT, Unsaid, filled, parts

from watchword import Settings
from watchword.server.doctor import findings
from watchword.web.errors import DOCS as ERRORS
from watchword.web.errors import page as address

SOURCE = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "src").rglob("*.py")))
SITES = {language: f"https://watchword.readthedocs.io/{language}/latest/" for language in LANGUAGES}


def test_every_made_part_is_up_to_date() -> None:
    """After a change: python3 scripts/docs --write. The answers on the pages of errors are provoked anew here."""
    assert [path.relative_to(ROOT).as_posix() for path, text in made() if text != path.read_text("utf-8")] == []


def test_every_part_that_is_marked_is_made() -> None:
    marked = {path for path in DOCS.rglob("*.md") if parts(path.read_text("utf-8"))}
    assert marked == {path for path, _ in made()}


def test_there_are_at_most_thirty_settings_and_each_says_who_would_change_it() -> None:
    assert len(Settings.model_fields) <= 30
    assert all(field.description for field in Settings.model_fields.values())


def test_every_setting_has_its_korean_sentence_and_no_sentence_is_left_over() -> None:
    assert settings.unsaid() == []


def test_every_text_of_the_command_line_has_a_korean_one() -> None:
    assert command_line.unsaid() == []


def test_every_check_of_the_doctor_has_its_korean_texts_and_no_text_is_left_over() -> None:
    assert doctor.unsaid() == []


def test_a_check_without_a_korean_text_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "korean", dict)
    with pytest.raises(Unsaid, match="setting-unknown"):
        doctor.refusals("ko")
    assert {"setting-unknown.weakness", "token-alg-none.title"} <= set(doctor.unsaid())


def test_every_promise_of_the_security_page_is_shown_by_a_test() -> None:
    """Or the page says what is not there yet that it could hold for, and no test shows it then."""
    assert security.unshown() == []
    assert security.no_more_absent() == []


def test_every_row_that_a_test_names_is_promised_in_both_languages() -> None:
    assert security.unpromised() == []
    assert security.unsaid() == []
    english, korean = ([(one.name, list(one.promises)) for one in security.groups(each)] for each in LANGUAGES)
    assert english == korean, "in one order"
    assert all(row.startswith(f"{group}-") for group, rows in english for row in rows)
    assert all(rows == sorted(rows) for _, rows in english)


def test_no_test_is_left_out_because_its_row_is_misspelt() -> None:
    """`TF-01: …`, `RV-01, RV-04: …`, `RF-03, on PostgreSQL: …`: a docstring that begins with a row goes on like that."""
    assert security.misspelt() == []


@pytest.mark.parametrize(
    ("docstring", "rows"),
    [
        ("TF-01: the attacker takes a token", ("TF-01",)),
        ("RV-01, RV-04: a stolen token", ("RV-01", "RV-04")),
        ("CF-01, CF-02 and CF-03: in a hurry", ("CF-01", "CF-02", "CF-03")),
        ("RF-03, under READ COMMITTED: the row's lock", ("RF-03",)),
        ("TF-01 is not shown here: it is elsewhere", ()),
        ("TF-011: no row", ()),
        ("As TF-01: no beginning", ()),
        ("RFC 9068: no row", ()),
    ],
)
def test_a_docstring_shows_the_rows_that_it_begins_with(docstring: str, rows: tuple[str, ...]) -> None:
    assert security.rows(docstring) == rows


def test_the_tests_of_a_file_are_its_functions_and_the_methods_of_its_classes() -> None:
    source = """
async def test_one(): "TF-01: one"
def helper(): "TF-02: none"
class TestMore:
    "TF-03: none"
    def test_two(self):
        '''TF-04: of
        two lines'''
def test_three(): ...
"""
    found = list(security.read(source, "tests/attacks/test_it.py"))
    assert [(one.name, one.rows) for one in found] == [
        ("test_one", ("TF-01",)),
        ("test_three", ()),
        ("test_two", ("TF-04",)),
    ]


def test_a_promise_names_its_tests_or_says_why_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_text(
        '[TF]\nheading = "Forged"\nTF-01 = "One."\nTF-02 = { text = "Two.", absent = "There is no two yet." }\n'
        'TF-03 = "Three."\nTF-04 = "Four."\n'
    )
    for language in LANGUAGES:
        monkeypatch.setitem(security.PROMISES, language, tmp_path / "rows.toml")
    found = [("a.py", "test_one"), ("b.py", "test_two"), ("b.py", "test_three")]
    tests = [security.Test(file, name, "TF-01, TF-04: it") for file, name in found]
    monkeypatch.setattr(security, "shown", lambda: {"TF-01": tests, "TF-04": tests[:1]})
    assert security.made("en") == (
        "### Forged { #tf }\n\n| row | promise | shown by |\n|---|---|---|\n"
        "| TF-01 | One. | `a.py`: `test_one`<br>`b.py`: 2 tests |\n| TF-02 | Two. | There is no two yet. |\n"
        "| TF-03 | Three. | — |\n| TF-04 | Four. | `a.py`: `test_one` |"
    )
    assert (security.unshown(), security.no_more_absent()) == (["TF-03"], [])
    monkeypatch.setattr(security, "shown", lambda: {"TF-02": tests})
    assert security.no_more_absent() == ["TF-02"]


def test_a_promise_in_one_language_alone_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text('[TF]\nheading = "위조"\nTF-01 = "거절합니다."\n', encoding="utf-8")
    monkeypatch.setitem(security.PROMISES, "ko", tmp_path / "short.toml")
    with pytest.raises(Unsaid, match="TF-02"):
        security.made("ko")


def test_every_finding_leads_to_a_place_that_is_there() -> None:
    """`docs` of a finding, below the documentation's root."""
    page_, _, anchor = findings.DOCS.partition("/#")
    for language in LANGUAGES:
        assert f"{{ #{anchor} }}" in (DOCS / language / f"{page_}.md").read_text("utf-8")


def test_every_code_has_its_page_in_both_languages_and_every_page_a_code() -> None:
    wanted = {f"{errors.slug(code)}.md" for code in errors.codes()} | {"index.md"}
    for language in LANGUAGES:
        assert {path.name for path in (DOCS / language / "errors").iterdir()} == wanted
    assert set(errors.PROVOKED) == set(errors.codes())


def test_an_answer_links_the_page_that_is_built() -> None:
    assert SITES["en"] + "errors/" == ERRORS
    configured = (ROOT / "zensical.en.yml").read_text("utf-8")
    assert f"site_url: {SITES['en']}\n" in configured
    for code in errors.codes():
        path = urlsplit(address(code)).path.removeprefix(urlsplit(SITES["en"]).path)
        assert (DOCS / "en" / f"{path}.md").is_file()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_reasons_that_a_page_explains_are_those_of_the_log(language: str) -> None:
    for path in sorted((DOCS / language / "errors").glob("*-*.md")):
        for reason in _reasons(path):
            assert reason in SOURCE, f"{path.name}: {reason}"


def _reasons(path: Path) -> list[str]:
    table = re.search(r"^\| (?:in the log|로그) \|.*\n\|[-|]+\n((?:\|.*\n)+)", path.read_text("utf-8"), re.MULTILINE)
    assert table is not None, path
    return re.findall(r"^\| `(.+?)`", table[1], re.MULTILINE)


def test_a_page_keeps_what_is_written_around_its_made_parts() -> None:
    page = "before\n<!-- made: one -->\nold\n<!-- /made -->\nbetween\n<!-- made: two -->\n<!-- /made -->\nafter\n"
    done = filled(page, "ko", {"one": lambda language: f"new in {language}", "two": lambda _: "2"})
    one, two = "<!-- made: one -->\n\nnew in ko\n\n<!-- /made -->", "<!-- made: two -->\n\n2\n\n<!-- /made -->"
    assert done == f"before\n{one}\nbetween\n{two}\nafter\n"
    assert parts(page) == ["one", "two"]


def test_a_setting_without_a_korean_sentence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "korean", dict)
    with pytest.raises(Unsaid, match="issuer"):
        settings.made("ko")
    assert "issuer" in settings.unsaid()
