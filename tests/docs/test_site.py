"""The documentation as it is built: strictly, in both languages, and needing nobody else's servers."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from scripts.pages.errors import codes, slug
from tests.docs import running
from tests.docs.pages import DOCS, LANGUAGES, ROOT

LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}

pytestmark = pytest.mark.xdist_group("site")  # built once


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both languages, built as scripts/docs builds them, from a copy: the tool writes only below its configuration."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    (folder / "src").symlink_to(ROOT / "src")
    for configuration in ROOT.glob("zensical*.yml"):
        shutil.copy(configuration, folder)
    for language in LANGUAGES:
        done = subprocess.run(
            [running.BIN / "zensical", "build", "-f", f"zensical.{language}.yml", "--strict", "--clean"],
            cwd=folder,
            env=running.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "docs"


class Page(HTMLParser):
    """What a built page loads, links and names."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get("rel") in ("canonical", "alternate", "next", "prev"):
            return
        self.loads += [given[name] for name in ("href", "src") if (tag, name) in LOADED and name in given]


def test_every_page_is_built_where_its_address_says(site: Path) -> None:
    for language in LANGUAGES:
        for source in (DOCS / language).rglob("*.md"):
            name = source.relative_to(DOCS / language).with_suffix("")
            built = name.parent if name.name == "index" else name
            assert (site / language / built / "index.html").is_file(), source
        for code in codes():
            assert (site / language / "errors" / slug(code) / "index.html").is_file()


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert [url for url in Page(path).loads if re.match(r"(https?:)?//", url)] == [], path


def test_no_link_of_the_site_is_dead_and_each_page_leads_to_its_other_language(site: Path) -> None:
    built = {path: Page(path) for path in site.rglob("index.html")}
    for path, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            found = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = found / "index.html" if found.is_dir() else found
            assert found.is_file(), f"{path.relative_to(site)}: {link}"
            if parts.fragment and found in built:
                assert unquote(parts.fragment) in built[found].names, f"{path.relative_to(site)}: {link}"
        language, *rest = path.relative_to(site).parts
        other = site.joinpath("ko" if language == "en" else "en", *rest)
        led = {(path.parent / unquote(urlsplit(link).path) / "index.html").resolve() for link in page.links}
        assert other in led, path
