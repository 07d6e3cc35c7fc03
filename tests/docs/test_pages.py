"""The pages as they are read: nothing stale, nothing dead, and the same in both languages."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs import pages, shapes
from tests.docs.pages import DOCS, LANGUAGES, ROOT

from watchword import Settings
from watchword.refusals import PREFIX

PAGES = pages.found()
HEADING = re.compile(r"^(#{1,6}) +(.*?)(?: *\{ *#([\w-]+) *\})?$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\](?:\(([^)\s]+)\))")
MACHINE = re.compile(r"/work/|/root/|/home/|/Users/|[A-Z]:\\")
UNDONE = re.compile(r"\b(TODO|FIXME|XXX|TBD|lorem ipsum)\b", re.IGNORECASE)
SETTING = re.compile(rf"\b{PREFIX}[A-Z][A-Z_]*\b")
CODE = re.compile(r"`[^`\n]*`")
STRING = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
COMMENT = re.compile(r"(?:(?<=\s)|^)(?:#|//).*$", re.MULTILINE)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def in_language(language: str) -> dict[str, Path]:
    """The pages of one language by their path in it."""
    folder = DOCS / language
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.md")}


BOTH = sorted(in_language("en").keys() & in_language("ko").keys())


def test_both_languages_have_the_same_pages() -> None:
    assert in_language("en").keys() == in_language("ko").keys()


@pytest.mark.parametrize("name", BOTH)
def test_a_page_has_the_same_headings_and_code_in_both_languages(name: str) -> None:
    english, korean = (in_language(language)[name] for language in LANGUAGES)
    assert outline(english) == outline(korean)
    ours, theirs = pages.blocks(english), pages.blocks(korean)
    assert [(one.language, one.title) for one in ours] == [(one.language, one.title) for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert bare(one) == bare(other), (
            f"{pages.name(korean)}:{other.line} differs from the English page's :{one.line}"
        )


def outline(page: Path) -> list[tuple[int, str | None]]:
    """The levels of the headings, and the names that were given to them."""
    return [(len(found[1]), found[3]) for found in HEADING.finditer(pages.prose(read(page)))]


def bare(block: pages.Block) -> Any:
    """What of a block has to be the same: all but the words for people."""
    if block.language == "text":
        return None
    if block.language == "json":
        return shapes.printed(STRING.sub('""', block.code))
    return STRING.sub('""', COMMENT.sub("", block.code)).split()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_navigation_names_every_page_once_and_no_other(language: str) -> None:
    named = [path for _, path in navigation(language)]
    assert len(named) == len(set(named))
    assert set(named) == in_language(language).keys()


def test_the_navigation_has_one_order() -> None:
    english, korean = navigation("en"), navigation("ko")
    assert [path for _, path in english] == [path for _, path in korean]
    untranslated = {title for title, _ in english} & {title for title, _ in korean}
    assert {title for title in untranslated if " " in title} == set()


def navigation(language: str) -> list[tuple[str, str]]:
    """Titles and paths, in order."""
    configuration = yaml.safe_load((ROOT / f"zensical.{language}.yml").read_text("utf-8"))
    return list(_flat(configuration["nav"]))


def _flat(entries: list[Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(("", entry))
            continue
        ((title, value),) = entry.items()
        found += [(title, value)] if isinstance(value, str) else _flat(value)
    return found


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_a_page_names_no_machine_and_leaves_nothing_undone(page: Path) -> None:
    text = read(page)
    assert MACHINE.search(text) is None
    assert UNDONE.search(text) is None


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(SETTING.findall(read(page))) <= known


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_no_link_of_a_page_is_dead(page: Path) -> None:
    """Within the repository; the built site is checked by the build itself."""
    for target in LINK.findall(CODE.sub("", pages.prose(read(page)))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if page.is_relative_to(DOCS):
            assert found.is_relative_to(DOCS / page.relative_to(DOCS).parts[0]), f"{target} is not on the built site"
        if anchor:
            assert anchor in anchors(found), target


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub and the built site make them."""
    return {found[3] or slug(found[2]) for found in HEADING.finditer(pages.prose(read(page)))}


def slug(title: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", ""))
    return kept.strip().lower().replace(" ", "-")


KOREAN = [page for page in PAGES if page.is_relative_to(DOCS / "ko") or page.name.endswith(".ko.md")]


@pytest.mark.parametrize("page", KOREAN, ids=pages.name)
def test_a_korean_page_is_korean(page: Path) -> None:
    """A page, or a paragraph of it, that was left in English."""
    names = r"<!--.*?-->|\]\([^)]*\)|^:::.*$|\b\w+/\w+\b"
    text = re.sub(names, "", CODE.sub("", pages.prose(read(page))), flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        if "“" in paragraph and "|" in paragraph:
            continue  # an answer's own words
        latin = len(re.findall(r"[A-Za-z]", paragraph))
        hangul = len(re.findall(r"[가-힣]", paragraph))
        assert latin < 40 or hangul > latin / 3, paragraph
    assert len(re.findall(r"[가-힣]", text)) > 30


def test_the_korean_journeys_are_the_english_ones() -> None:
    tables = [re.findall(r"^\|.*→.*\|$", read(DOCS / language / "journeys.md"), re.MULTILINE) for language in LANGUAGES]
    walked = [[row.split("|")[2:] for row in table] for table in tables]
    assert walked[0] == walked[1]
    assert len(walked[0]) >= 4
