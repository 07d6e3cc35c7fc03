"""The harness itself: a page that does not tell the truth fails."""

import json
from pathlib import Path

import pytest
from tests.docs import pages, running, shapes
from tests.docs.test_blocks import check_installed, check_shell


def run(page: str, folder: Path) -> dict[int, str]:
    return running.Page(folder / "page", pages.blocks_of(page), lambda: "postgresql://real").run()


def test_blocks_share_a_shell_and_what_it_exported(tmp_path: Path) -> None:
    page = """
```sh
export NAME=ada
MINE=$NAME
```

```js title="greet.mjs"
export const greet = (name) => `hello ${name}`;
```

```js
import { greet } from "./greet.mjs";
console.log(JSON.stringify({ said: greet(process.env.NAME) }));
```

```ts
const port: number = Number(location.port);
localStorage.setItem("port", String(port));
console.log(localStorage.getItem("port") !== null && "locks" in navigator);
```

```sh
echo "$MINE postgresql://user:password@host/name"
```
"""
    printed = list(run(page, tmp_path).values())
    assert {"said": "hello ada"} in [shapes.printed(text) for text in printed]
    assert {"true\n", "ada postgresql://real\n"} <= set(printed)


def test_a_command_that_fails_fails_the_page(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"line 5 failed(.|\n)*exit 3"):
        run("```sh\necho fine\n```\n\n```sh\n(exit 3)\necho never\n```\n", tmp_path)


def test_a_failure_that_the_page_announces_has_to_come(tmp_path: Path) -> None:
    run("```sh\n(exit 3)  # exit 3\n```\n", tmp_path)
    with pytest.raises(AssertionError, match="exit 0, and the page says 3"):
        run("```sh\ntrue  # exit 3\n```\n", tmp_path / "other")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("curl -s $URL/healthz", ""),
        ("curl -s $URL/me   # 401", ""),
        ("curl -s -o /dev/null -w '%{http_code}' $URL/me", ""),
        ("curl -s $URL/me", "401, and the page does not say so"),
        ("TOKENS=$(curl -s $URL/me)", "401, and the page does not say so"),
        ("curl -s $URL/healthz   # 401: no token", "200, and the page says 401"),
    ],
)
def test_an_answer_that_is_a_refusal_has_to_be_announced(command: str, told: str, tmp_path: Path) -> None:
    page = f"```sh\nURL=http://localhost:8000\n{command}\n```\n"
    if not told:
        run(page, tmp_path)
        return
    with pytest.raises(AssertionError, match=told):
        run(page, tmp_path)


def test_a_saved_file_is_imported_and_a_test_is_run(tmp_path: Path) -> None:
    page = '```python title="app/two.py"\ntwo = 2\n```\n\n```python title="test_two.py"\n{}\n```\n'
    run(page.format("from app.two import two\n\n\ndef test_two():\n    assert two == 2\n"), tmp_path)
    with pytest.raises(AssertionError, match="1 failed"):
        run(page.format("def test_two():\n    assert False\n"), tmp_path / "other")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run('```python title="main.py"\n1 / 0\n```\n', tmp_path / "third")


@pytest.mark.parametrize(
    ("page", "real", "told"),
    [
        ('{"a": "x", "b": [1]}', '{"a": "y", "b": [2, 3]}', []),
        ('{"a": 1}', '{"a": "1"}', [".a is a number on the page and a text in truth"]),
        ('{"a": 1}', '{"a": 1, "b": 2}', [".b is missing on the page"]),
        ('{"a": {"b": 1}}', '{"a": {}}', [".a.b stands only on the page"]),
        ('[{"a": 1}]', "[]", ["it has 1 items on the page and 0 in truth"]),
        ('{"error": "x"}', '{"error": "y"}', [".error is 'y' in truth"]),
        ('{"name": null}', '{"name": "ada"}', []),
    ],
)
def test_json_has_the_shape_of_the_answer(page: str, real: str, told: list[str]) -> None:
    assert shapes.differences(json.loads(page), json.loads(real)) == told


def test_the_last_json_of_an_output_counts() -> None:
    assert shapes.printed('first {"a": 1}{"b": [2]}\nHTTP {no} 200\n') == {"b": [2]}
    assert shapes.printed("none") is None


@pytest.mark.parametrize("word", ["watchword[nothing]", "'.[nothing]'".strip("'"), "some-unknown-package"])
def test_what_can_not_be_installed_is_told(word: str) -> None:
    with pytest.raises(AssertionError):
        check_installed(word)


@pytest.mark.parametrize(
    "code", ["$ watchword serve", "curl -d token=wwr_…", "pip uninstall watchword", "python3 scripts/no"]
)
def test_what_nobody_could_type_is_told(code: str) -> None:
    with pytest.raises(AssertionError):
        check_shell(code)


def test_blocks_are_found_where_they_are_indented() -> None:
    (block,) = pages.blocks_of('1. so:\n\n    ```python title="a.py"\n    if True:\n        pass\n    ```\n')
    assert (block.language, block.title, block.code, block.line) == ("python", "a.py", "if True:\n    pass\n", 3)
