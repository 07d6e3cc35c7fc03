"""The pages, and what their code blocks mean. Every block of README, docs and examples is run by these rules:

```python                       runs alone, in an empty folder, with every warning an error.
```python title="main.py"       is saved as that file in the page's folder, and imported. Below a folder: `app/main.py`.
                                `test_….py` and `conftest.py` belong to pytest: the former are run with it.
```python title="before"        another library's code, on from-*.md pages only: has to compile, isn't run.
```sh                           all of a page run in order, in one bash, in the page's folder. See below.
```js, ```ts                    run in node as modules, in the page's folder, in order with the sh blocks, and see the
                                variables that those exported. With `title` they are saved, to be imported by later ones.
```json                         right after a block that ran and printed JSON: has its shape (names and types), and the
                                texts of an error exactly. Elsewhere: is JSON. With `title`: is saved too.
```toml, ```ini, ```yaml        can be read, and is saved when it has a `title`.
```text                         is output or a drawing, not code.

A Korean page whose code is that of the English page to the letter, comments aside, is not run a second time: that it is the
same is the proof. The quick start and the READMEs are run in both languages whatever they say.

There are no other languages, and no block without one. A page's folder is empty at first, or, for an example's README, a
copy of the example. `http://localhost:8000` is a real server: the page's own `watchword serve` or `uvicorn main:app`, which
run in the background until the page ends; where a page starts none before it asks one, the harness starts `uvicorn main:app`
if the page has such a file by then, and `watchword serve` otherwise. (Each port from 8000 to 9999 becomes a free one.) A new
server on a port replaces the old one, and a saved file that changes restarts it.

In sh blocks:

- A command that fails fails the page, and so does a curl whose answer is 4xx or 5xx. Where that is what the page shows, the
  line ends with a comment that begins with the status, `# 401` or `# 401: revoked`, or with the exit code, `# exit 1`.
- `watchword users add` and `set-password` find `correct horse battery staple` on stdin, where a person would type it.
- `pip install …` is checked for form (the extras exist) and not executed; of `python3 scripts/…` only `serve` is.
- `python3 -m venv` makes a folder to activate that changes nothing; `sh run.sh` of an example serves.
- `postgresql://user:password@host/name` becomes a fresh PostgreSQL, `/var/lib/app/` a folder of the page's.
- No `…`, no prompt: what a later command needs is kept in a shell variable. Of programs there are bash, curl, python3, node,
  PostgreSQL's, and what the environment brings: watchword, uvicorn, pytest.
"""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LANGUAGES = ("en", "ko")
FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"(?:(?<=\s)|^)(?:#|//)(?P<meant>\s*(?:[45]\d\d|exit \d+)\b)?.*$")
TITLE = re.compile(r"title=\"([^\"]+)\"")
BEFORE = "before"
RUN = ("sh", "js", "ts")
READ = ("json", "toml", "ini", "yaml")
KNOWN = {"python", *RUN, *READ, "text"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its title, and the line that it begins on."""

    language: str
    title: str
    code: str
    line: int

    @property
    def alone(self) -> bool:
        """A Python block that needs nothing else of its page."""
        return self.language == "python" and not self.title

    @property
    def saved(self) -> bool:
        return bool(self.title) and self.title != BEFORE and self.language != "text"


def found() -> list[Path]:
    """Every page there is."""
    top = [ROOT / name for name in ("README.md", "README.ko.md", "CONTRIBUTING.md", "SECURITY.md")]
    examples = sorted((ROOT / "examples").glob("*/README*.md"))
    return [*(page for page in top if page.exists()), *sorted(DOCS.glob("*/**/*.md")), *examples]


def name(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The page's blocks, in order."""
    return blocks_of(page.read_text(encoding="utf-8"))


def blocks_of(text: str) -> list[Block]:
    return [_block(match, text) for match in FENCE.finditer(text)]


def _block(match: re.Match[str], text: str) -> Block:
    language, _, more = match["info"].strip().partition(" ")
    title = TITLE.search(more)
    code = textwrap.dedent(match["code"])
    return Block(language, title[1] if title else "", code, text.count("\n", 0, match.start()) + 1)


def repeats(page: Path) -> bool:
    """Whether the page's code is what the English page already shows by running."""
    korean = DOCS / "ko"
    if not page.is_relative_to(korean) or page.name == "quickstart.md":
        return False
    english = DOCS / "en" / page.relative_to(korean)
    return english.exists() and list(map(_typed, blocks(page))) == list(map(_typed, blocks(english)))


def _typed(block: Block) -> tuple[str, str, list[str]]:
    """What a machine reads of a block: of a comment only the status or exit code that the harness heeds."""
    lines = [COMMENT.sub(lambda match: match["meant"] or "", line).rstrip() for line in block.code.splitlines()]
    return block.language, block.title, [] if block.language == "text" else lines


def prose(text: str) -> str:
    """What is left of a page without its blocks; the lines stay where they are."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def runs(page: Path) -> bool:
    """Whether the page has something that runs in order."""
    return any(block.language in RUN or block.saved for block in blocks(page))
