"""JSON as tokens need it: UTF-8, objects without repeated names, finite numbers, shallow. RFC 8725 3.7, RFC 8259."""

import json
import math
from typing import Any, NoReturn

from watchword.core.errors import MalformedToken

MAX_DEPTH = 8


def loads(raw: bytes, what: str) -> dict[str, Any]:
    """The object in `raw`. Raises MalformedToken, naming `what`, for anything that two parsers could read in two ways."""
    try:
        text = raw.decode("utf-8")
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise MalformedToken(f"the {what} is not strict JSON") from error
    if not isinstance(value, dict):
        raise MalformedToken(f"the {what} is not a JSON object")
    if "\\u" in text or text.count("{") + text.count("[") >= MAX_DEPTH:
        _check(value, what)  # without an escape there is no lone surrogate in UTF-8, and with few brackets no depth
    return value


def dumps(value: dict[str, Any]) -> bytes:
    """The shortest UTF-8 JSON of `value`. Raises ValueError for NaN, infinities and lone surrogates."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number out of range")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)


def _check(value: object, what: str) -> None:
    """Refuse deep nesting and lone surrogates, without recursion."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, dict):
                deeper += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, str) and not _encodable(item):
                raise MalformedToken(f"the {what} holds a lone surrogate")
        if not deeper:
            return
        level = deeper
    raise MalformedToken(f"the {what} is nested too deeply")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
