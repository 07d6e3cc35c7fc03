"""Mails: what is said to whom, and how long somebody goes on trying to deliver it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

LANGUAGE = re.compile(r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*")
"""A language tag. RFC 5646 2.1."""

ENGLISH = "en"

MAX_RANGES = 20
"""Of an Accept-Language header so many are looked at."""

DELIVERY = timedelta(seconds=45)
"""How long one delivery may take, from the connection to its end."""

LEASE = timedelta(minutes=2)
"""How long whoever took a mail has for it, before somebody else tries: more than a delivery may take and than clocks
differ."""

FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail. `kind` names its text; `facts` are what that text mentions, and may hold a link, so they are never shown."""

    id: str
    kind: str
    recipient: str
    language: str
    facts: Mapping[str, str] = field(repr=False)
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class Queued:
    """A mail as it lies in the outbox: what it says is sealed. After `until` nobody tries any more."""

    id: str
    kind: str
    recipient: str
    sealed: bytes = field(repr=False)
    queued_at: datetime
    due_at: datetime
    until: datetime
    attempts: int = 0
    because: str | None = None

    @property
    def place(self) -> str:
        """Where its content is sealed for."""
        return place(self.id)


def place(mail_id: str) -> str:
    """Where the content of a mail is sealed for: table, column, row."""
    return f"watchword_outbox/sealed/{mail_id}"


def packed(language: str, facts: Mapping[str, str]) -> bytes:
    """What is sealed of a mail."""
    return json.dumps({"language": language, "facts": dict(facts)}, ensure_ascii=False).encode()


def unpacked(queued: Queued, content: bytes) -> Mail:
    """The mail whose content that was."""
    said = json.loads(content)
    return Mail(queued.id, queued.kind, queued.recipient, said["language"], said["facts"], queued.queued_at)


def wait(attempts: int) -> timedelta:
    """How long to wait after so many attempts: twice as long each time, up to some minutes."""
    doublings: int = min(attempts - 1, 10)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def language(accepted: str, known: Sequence[str]) -> str:
    """Of the `known` languages the one that an Accept-Language header likes best; the first one for none. RFC 9110 12.5.4.

    `ko-KR` is served with `ko` (RFC 4647 3.4, lookup).
    """
    liked: list[tuple[float, int, str]] = []
    for place_, part in enumerate(accepted.split(",")[:MAX_RANGES]):
        tag, _, weight = part.strip().partition(";")
        quality = _quality(weight)
        if quality > 0 and LANGUAGE.fullmatch(tag):
            liked.append((-quality, place_, tag.lower()))
    for _, _, wanted in sorted(liked):
        while wanted:
            if wanted in known:
                return wanted
            wanted = wanted.rpartition("-")[0]
    return known[0]


def _quality(weight: str) -> float:
    """RFC 9110 12.4.2."""
    match = re.fullmatch(r"\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", weight, re.IGNORECASE)
    return 1.0 if not weight.strip() else float(match[1]) if match else 0.0
