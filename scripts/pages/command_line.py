"""command-line.md: every command, told by the command line itself."""

import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from scripts.pages.marked import Unsaid

from watchword.server.cli import app

KOREAN = Path(__file__).with_name("command_line.ko.toml")
WORDS = {
    "en": {"option": "option", "what": "what it is", "default": "default", "many": "…"},
    "ko": {"option": "옵션", "what": "설명", "default": "기본값", "many": "…"},
}


def made(language: str) -> str:
    """Each command: how it is written, what it does, what it takes. Raises Unsaid where Korean is missing."""
    return "\n\n".join(_commands(typer.main.get_command(app), ["watchword"], _korean() if language == "ko" else None))


def unsaid() -> list[str]:
    """The English texts that have no Korean one."""
    known = _korean()
    return [text for text in _texts(typer.main.get_command(app)) if text not in known]


def _korean() -> dict[str, str]:
    return {_flat(pair["en"]): pair["ko"].strip() for pair in tomllib.loads(KOREAN.read_text("utf-8"))["text"]}


def _commands(group: Any, path: list[str], known: dict[str, str] | None) -> Iterator[str]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        where = [*path, name]
        yield f"{'#' * len(where)} `{' '.join(where)}` {{ #{'-'.join(where[1:])} }}"
        yield from (_said(paragraph, known) for paragraph in _paragraphs(command.help))
        if hasattr(command, "commands"):
            yield from _commands(command, where, known)
            continue
        yield f"```text\n{' '.join([*where, *(_usage(one) for one in _shown(command))])}\n```"
        if table := _table(command, known):
            yield table


def _texts(group: Any) -> Iterator[str]:
    for command in group.commands.values():
        yield from _paragraphs(command.help)
        yield from (_flat(one.help) for one in _shown(command) if one.help)
        if hasattr(command, "commands"):
            yield from _texts(command)


def _table(command: Any, known: dict[str, str] | None) -> str:
    words = WORDS["en" if known is None else "ko"]
    rows = [
        f"| `{_name(one)}` | {_said(_flat(one.help), known)} | {_default(one)} |".replace("|  |", "| |")
        for one in _shown(command)
        if one.help
    ]
    if not rows:
        return ""
    return "\n".join([f"| {words['option']} | {words['what']} | {words['default']} |", "|---|---|---|", *rows])


def _shown(command: Any) -> list[Any]:
    return [one for one in command.params if not one.hidden and one.name != "help"]


def _usage(parameter: Any) -> str:
    name = _name(parameter)
    if parameter.param_type_name == "option" and not parameter.is_flag:
        name += f" {(parameter.metavar or parameter.name).upper()}"
    if parameter.nargs == -1 or getattr(parameter, "multiple", False):
        name += "…"
    return name if parameter.required else f"[{name}]"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return str(parameter.opts[-1])


def _default(parameter: Any) -> str:
    return "" if parameter.default in (None, False, ()) else f"`{parameter.default}`"


def _paragraphs(text: str | None) -> list[str]:
    return [_flat(part) for part in inspect.cleandoc(text or "").split("\n\n") if part.strip()]


def _flat(text: str) -> str:
    return " ".join(text.split())


def _said(text: str, known: dict[str, str] | None) -> str:
    if known is None:
        return text[:1].upper() + text[1:]
    if text not in known:
        raise Unsaid(f"{KOREAN.name} has no Korean for: {text}")
    return known[text]
