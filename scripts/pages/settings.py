"""settings.md: every setting, told by the class."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from scripts.pages.marked import Unsaid

from watchword.refusals import PREFIX
from watchword.settings import Settings

KOREAN = Path(__file__).with_name("settings.ko.toml")
WORDS = {
    "en": {
        "text": "text", "secret": "secret text", "path": "path", "bool": "0 or 1", "int": "whole number",
        "float": "number", "list": "comma-separated list", "choice": "one of", "none": "not set by default",
        "default": "default", "bounds": "{low} to {high}",
        "day": "{n} days", "hour": "{n} hours", "minute": "{n} minutes",
    },
    "ko": {
        "text": "문자열", "secret": "비밀 문자열", "path": "경로", "bool": "0 또는 1", "int": "정수",
        "float": "숫자", "list": "쉼표로 구분한 목록", "choice": "다음 중 하나:", "none": "기본값 없음",
        "default": "기본값", "bounds": "{low}~{high}",
        "day": "{n}일", "hour": "{n}시간", "minute": "{n}분",
    },
}  # fmt: skip
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def made(language: str) -> str:
    """A heading, a sentence and a line of facts for each setting. Raises Unsaid for one without a Korean sentence."""
    return "\n\n".join(_setting(name, field, language) for name, field in Settings.model_fields.items())


def unsaid() -> list[str]:
    """The settings that have no Korean sentence, and the sentences that have no setting."""
    return sorted(korean().keys() ^ Settings.model_fields.keys())


def korean() -> dict[str, str]:
    return {name: str(text) for name, text in tomllib.loads(KOREAN.read_text("utf-8")).items()}


def _setting(name: str, field: FieldInfo, language: str) -> str:
    heading = f"## `{PREFIX}{name.upper()}` {{ #{name} }}"
    facts = " · ".join(_facts(field, WORDS[language]))
    return f"{heading}\n\n{_sentence(name, field, language)}\n\n{facts}"


def _sentence(name: str, field: FieldInfo, language: str) -> str:
    if language == "en":
        return field.description or ""
    try:
        return korean()[name]
    except KeyError:
        raise Unsaid(f"{KOREAN.name} says nothing about {name}") from None


def _facts(field: FieldInfo, words: dict[str, str]) -> Iterator[str]:
    seconds = (field.description or "").startswith("Seconds")
    yield _kind(field.annotation, words)
    if field.default is None or field.default == ():
        yield words["none"]
    else:
        yield f"{words['default']} {_value(field.default, words, seconds=seconds)}"
    low, high = _bounds(field)
    if low is not None and high is not None:
        shown = (_value(one, words, seconds=seconds) for one in (low, high))
        yield words["bounds"].format(low=next(shown), high=next(shown))


def _kind(annotation: Any, words: dict[str, str]) -> str:
    options = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is Literal:
        return f"{words['choice']} " + ", ".join(f"`{one}`" for one in options)
    if get_origin(annotation) is tuple:
        return words["list"]
    if options:  # X | None
        return _kind(options[0], words)
    kinds = {str: "text", SecretStr: "secret", Path: "path", bool: "bool", int: "int", float: "float"}
    return words[kinds[annotation]]


def _value(value: Any, words: dict[str, str], *, seconds: bool) -> str:
    if isinstance(value, bool):
        return f"`{int(value)}`"
    shown = f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    if seconds and isinstance(value, int):
        for unit, size in UNITS:
            if value >= 2 * size and value % size == 0:
                return f"{shown} ({words[unit].format(n=value // size)})"
    return shown


def _bounds(field: FieldInfo) -> tuple[Any, Any]:
    low = next((rule.ge for rule in field.metadata if hasattr(rule, "ge")), None)
    high = next((rule.le for rule in field.metadata if hasattr(rule, "le")), None)
    return low, high
