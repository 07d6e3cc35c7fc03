"""One line of an import: an account of another system as a JSON object, checked field by field.

No refusal shows a value: a line may hold anything, a password in the wrong place too.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from watchword.core import emails, foreign_hashes, scopes, strict_json
from watchword.core.errors import InvalidInput, InvalidRequest, MalformedToken

MAX_LINE = 64 * 1024
"""In bytes. The fields of an account with 64 scopes have some 6 KB."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""How far a date may lie in the future: the clock of another system."""

ID = re.compile(r"[\x21-\x7e]{1,64}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")

CURES = {
    "password": "a plain password is not taken over: hash it, or make the account with `watchword users add`",
    "hashed_password": "did you mean password_hash?",
    "pk": "did you mean id?",
    "uuid": "did you mean id?",
    "user_id": "did you mean id?",
    "name": "did you mean username?",
    "login": "did you mean username?",
    "roles": "did you mean scopes?",
    "groups": "did you mean scopes?",
    "permissions": "did you mean scopes?",
    "is_superuser": "did you mean scopes? Write what the account may do, or leave it out",
    "is_active": "did you mean disabled? It says the opposite",
    "is_verified": "there is no such thing here: leave it out",
    "date_joined": "did you mean created_at?",
}
"""What other systems call things, and what it is here."""


@dataclass(frozen=True, slots=True)
class Line:
    """An account as a good line says it, canonical; None for what it leaves out. Equal lines say the same."""

    number: int = field(compare=False)
    id: str | None
    email: str
    username: str | None
    password_hash: str | None = field(repr=False)
    scopes: frozenset[str]
    disabled: bool
    created_at: datetime | None


def read(number: int, raw: bytes, now: datetime) -> Line:
    """The account that the line says. Raises InvalidInput, with every faulty field in `fields`.

    Raises ConfigError for a bcrypt hash when the extra is not installed.
    """
    given = _object(raw)
    faults = {name: _unknown(name) for name in given if name not in FIELDS}
    read: dict[str, Any] = dict.fromkeys(FIELDS)
    if given.get("email") is None:
        faults["email"] = "This is needed."
    for name, accept in FIELDS.items():
        if given.get(name) is not None:
            try:
                read[name] = accept(given[name], now)
            except InvalidInput as error:
                faults[name] = error.fields.get(name, error.because)
    if faults:
        raise InvalidInput("a bad line", fields=faults)
    return Line(number, **{**read, "scopes": read["scopes"] or frozenset(), "disabled": read["disabled"] or False})


def _object(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_LINE:
        raise InvalidInput(f"the line is over {MAX_LINE // 1024} KB")
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput("the line is not UTF-8") from None
    try:
        return strict_json.loads(raw, "line")
    except MalformedToken as error:
        raise InvalidInput(error.because) from None


def _unknown(name: str) -> str:
    """What is wrong with a field that is not ours. The caller shows its name, unless that could be a value."""
    if name in CURES:
        return CURES[name]
    near = difflib.get_close_matches(name[:64].lower(), FIELDS, n=1, cutoff=0.6)
    return (
        f"there is no such field: did you mean {near[0]}?" if near else f"there is no such field: {', '.join(FIELDS)}"
    )


def _email(value: object, _now: datetime) -> str:
    return emails.accept_email(_string(value))


def _username(value: object, _now: datetime) -> str:
    return emails.accept_username(_string(value))


def _password_hash(value: object, _now: datetime) -> str:
    return foreign_hashes.accept(_string(value))


def _id(value: object, _now: datetime) -> str:
    """Kept as it is, so that the foreign keys of other tables still hold; a number becomes its digits."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _string(value)
    if not ID.fullmatch(text):
        raise InvalidInput("An id has 1 to 64 printable ASCII characters without spaces.")
    return text


def _scopes(value: object, _now: datetime) -> frozenset[str]:
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) and " " not in word for word in words):
        raise InvalidInput("Scopes are a list of words, or one text with spaces between them.")
    try:
        return scopes.parse(" ".join(words))
    except InvalidRequest as error:
        raise InvalidInput(error.because) from None


def _disabled(value: object, _now: datetime) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput("This is true or false.")
    return value


def _created_at(value: object, now: datetime) -> datetime:
    """ISO 8601 with a time zone, or seconds since the epoch."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            instant = EPOCH + timedelta(seconds=value)
        else:
            instant = datetime.fromisoformat(_string(value))
    except (ValueError, OverflowError):
        raise InvalidInput("This is ISO 8601 with a time zone, or seconds since 1970 (not milliseconds).") from None
    if instant.tzinfo is None:
        raise InvalidInput("The time zone is missing: write 2024-05-01T12:00:00Z.")
    if not EPOCH <= instant <= now + AHEAD:
        raise InvalidInput("This is before 1970 or in the future; seconds, not milliseconds, are counted since 1970.")
    return instant.astimezone(UTC)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput("This is a text.")
    return value


FIELDS: dict[str, Callable[[object, datetime], Any]] = {
    "email": _email,
    "password_hash": _password_hash,
    "username": _username,
    "scopes": _scopes,
    "disabled": _disabled,
    "created_at": _created_at,
    "id": _id,
}
