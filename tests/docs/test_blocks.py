"""What README and docs print is what happens: every code block of every page is run, by the rules of pages.py."""

import configparser
import itertools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from tests.docs import pages, running, shapes
from tests.docs.pages import BEFORE, KNOWN, ROOT, Block

PAGES = pages.found()
RUN = [page for page in PAGES if not pages.repeats(page)]
ALONE = [(page, block) for page in RUN for block in pages.blocks(page) if block.alone]
ORDERED = [page for page in RUN if pages.runs(page)]


def called(page: Path, block: Block | None = None) -> str:
    return pages.name(page) + (f":{block.line}" if block else "")


@pytest.mark.parametrize(("page", "block"), ALONE, ids=[called(*one) for one in ALONE])
def test_a_python_block_runs_alone(page: Path, block: Block, tmp_path: Path) -> None:
    run_python(block.code, tmp_path)


def run_python(code: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=running.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=running.PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ORDERED, ids=called)
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "page"
    if page.is_relative_to(ROOT / "examples"):
        running.copied(page.parent, folder)
    blocks = pages.blocks(page)
    printed = running.Page(folder, blocks, lambda: request.getfixturevalue("postgres_url")).run()
    for before, block in itertools.pairwise(blocks):
        real = shapes.printed(printed.get(before.line, "")) if before.language in pages.RUN else None
        if block.language == "json" and not block.title and real is not None:
            assert shapes.differences(json.loads(block.code), real) == [], called(page, block)


@pytest.mark.parametrize("page", PAGES, ids=called)
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    for block in pages.blocks(page):
        assert block.language in KNOWN, f"{called(page, block)}: {block.language or 'no language'}"
        if block.language == "python":
            compile(block.code, called(page, block), "exec", dont_inherit=True)
        if block.title == BEFORE:
            assert page.name.startswith("from-"), f"{called(page, block)}: code that isn't run"
        if block.language in pages.READ:
            read(block)
        if block.language == "sh":
            check_shell(block.code)


def test_no_fence_is_left_open() -> None:
    """An odd fence would turn code into prose, and nobody would run it."""
    for page in PAGES:
        assert "```" not in re.sub(r"`{4}.*?`{4}", "", pages.prose(page.read_text("utf-8"))), called(page)


def read(block: Block) -> Any:
    """What the block says, in its own language. Raises ValueError."""
    match block.language:
        case "json":
            return json.loads(block.code)
        case "toml":
            return tomllib.loads(block.code)
        case "yaml":
            return yaml.safe_load(block.code)
        case _:
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string(block.code if block.code.lstrip().startswith("[") else "[top]\n" + block.code)
            return parser


def check_shell(code: str) -> None:
    typed = re.sub(r"(?:^|\s)#.*", "", code)
    assert "…" not in typed, "a command that nobody can type: keep what it needs in a variable"
    assert not re.search(r"^\s*[$>%] ", code, re.MULTILINE), "a prompt stands in front of a command"
    for line in code.splitlines():
        words = shlex.split(line, comments=True) if line.lstrip().startswith(("pip ", "python3 scripts/")) else []
        if words[:2] == ["pip", "install"]:
            for word in words[2:]:
                check_installed(word)
        elif words[:1] == ["pip"]:
            raise AssertionError(f"{line}: only pip install is checked, so it alone may stand here")
        elif words:
            assert (ROOT / words[1]).is_file(), line


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
LOCKED = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))


def check_installed(word: str) -> None:
    """A word of `pip install`: this project from its folder or by name, with extras that exist, or a package we know."""
    if word in ("-e", "-U", "--upgrade"):
        return
    if local := re.fullmatch(r"(?:\.|(?:\.\./)+[\w.-]*|\./?[\w.-]*)(?:\[([\w,]+)\])?", word):
        asked = set((local[1] or "").split(",")) - {""}
    else:
        wanted = Requirement(word)
        assert wanted.name == "watchword" or wanted.name.lower() in LOCKED, (
            f"{word} is not a package that is known here"
        )
        asked = wanted.extras if wanted.name == "watchword" else set()
    assert asked <= set(EXTRAS), f"{word}: there is no such extra"
