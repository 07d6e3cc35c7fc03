"""doctor.md: everything that the doctor may find and every attack that it tries, told by the doctor itself."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.pages.marked import Unsaid

from watchword.server.doctor import catalogue

KOREAN = Path(__file__).with_name("doctor.ko.toml")
WORDS = {
    "en": {
        "id": "id", "weakness": "what is weak", "cure": "cure", "note": "note", "attack": "attack",
        "accepted": "if it succeeds",
    },
    "ko": {
        "id": "id", "weakness": "무엇이 약한가", "cure": "고치는 방법", "note": "참고", "attack": "공격",
        "accepted": "성공한다면",
    },
}  # fmt: skip


def refusals(language: str) -> str:
    """What refuses a start. Raises Unsaid where Korean is missing."""
    return _checks("refusal", language)


def configuration(language: str) -> str:
    """What starts, and is weak all the same. Raises Unsaid where Korean is missing."""
    return _checks("configuration", language)


def deployment(language: str) -> str:
    """What is weak where things are kept. Raises Unsaid where Korean is missing."""
    return _checks("deployment", language)


def server(language: str) -> str:
    """Why no attack was tried. Raises Unsaid where Korean is missing."""
    return _checks("server", language)


def attacks(language: str) -> str:
    """What is tried on the running server. Raises Unsaid where Korean is missing."""
    words = WORDS[language]
    return _table(
        (words["attack"], words["accepted"], words["cure"]),
        [
            (f"{_name(one, words)}<br>{_said(one, 'title', language)}", *_texts(one, language))
            for one in catalogue()
            if one["kind"] == "attack"
        ],
    )


def unsaid() -> list[str]:
    """What has no Korean text, and the texts that belong to nothing."""
    wanted = {
        f"{one['id']}.{name}"
        for one in catalogue()
        for name in ("title", "weakness", "cure")
        if one.get(name) is not None
    }
    known = {f"{id_}.{name}" for id_, texts in korean().items() for name in texts}
    return sorted(wanted ^ known)


def korean() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = tomllib.loads(KOREAN.read_text("utf-8"))
    return found


def _checks(kind: str, language: str) -> str:
    words = WORDS[language]
    rows: list[tuple[str, ...]] = [
        (_name(one, words), *_texts(one, language)) for one in catalogue() if one["kind"] == kind
    ]
    return _table((words["id"], words["weakness"], words["cure"]), rows)


def _name(one: dict[str, Any], words: dict[str, str]) -> str:
    return f"`{one['id']}`" + (f" ({words['note']})" if one["severity"] == "note" else "")


def _texts(one: dict[str, Any], language: str) -> tuple[str, str]:
    setting = f"`{one['setting']}`: " if one["setting"] else ""
    return setting + _said(one, "weakness", language), _said(one, "cure", language)


def _said(one: dict[str, Any], name: str, language: str) -> str:
    if language == "en":
        return str(one[name])
    try:
        return korean()[one["id"]][name]
    except KeyError:
        raise Unsaid(f"{KOREAN.name} has no {name} of {one['id']}") from None


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [head, *rows]]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
