"""Whether the JSON that a page prints is what really came: the same names and types, and an error's own words."""

import json
from collections.abc import Iterator
from typing import Any

SAID = {"type", "title", "status", "detail", "code", "error", "error_description"}
"""What an error says is compared as it is, because a program may look for it."""


def printed(text: str) -> Any:
    """The last JSON object or array of an output, or None."""
    found = list(_values(text))
    return found[-1] if found else None


def _values(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        if text[position] in "{[":
            try:
                value, position = decoder.raw_decode(text, position)
            except ValueError:
                pass
            else:
                yield value
                continue
        position += 1


def differences(page: Any, real: Any, where: str = "") -> list[str]:
    """Where the two part, in words; a null stands for any type."""
    if page is None or real is None:
        return []
    if isinstance(page, dict) and isinstance(real, dict):
        return _in_objects(page, real, where)
    if isinstance(page, list) and isinstance(real, list):
        return _in_lists(page, real, where)
    if _kind(page) != _kind(real):
        return [f"{where or 'it'} is {_kind(page)} on the page and {_kind(real)} in truth"]
    return []


def _in_objects(page: dict[str, Any], real: dict[str, Any], where: str) -> list[str]:
    found = [f"{where}.{name} stands only on the page" for name in page.keys() - real.keys()]
    found += [f"{where}.{name} is missing on the page" for name in real.keys() - page.keys()]
    error = isinstance(real.get("error"), str) or {"code", "status"} <= real.keys()
    for name in page.keys() & real.keys():
        if error and name in SAID and page[name] != real[name]:
            found.append(f"{where}.{name} is {real[name]!r} in truth")
        found += differences(page[name], real[name], f"{where}.{name}")
    return found


def _in_lists(page: list[Any], real: list[Any], where: str) -> list[str]:
    """Each item of the page looks like one of the real ones."""
    if bool(page) != bool(real):
        return [f"{where or 'it'} has {len(page)} items on the page and {len(real)} in truth"]
    found: list[str] = []
    for item in page:
        tried: list[list[str]] = [list(differences(item, other, f"{where}[]")) for other in real]
        nearest = min(tried, key=len)
        found += nearest
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    kinds: dict[type, str] = {str: "a text", dict: "an object", list: "a list"}
    return kinds[type(value)]
