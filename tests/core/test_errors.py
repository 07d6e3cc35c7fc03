"""The tree that is drawn at the top of core/errors.py is the tree that there is."""

import inspect
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
import pytest

from watchword.core import errors, jose
from watchword.core.errors import AuthError, ConfigError

NO_CODE = "(no error code)"
LINE = re.compile(
    r"^(?P<branch>[ │├└─]*)(?P<name>[A-Z]\w+)(?: +(?P<status>[1-5]\d\d) (?P<code>\(no error code\)|[a-z_]+))?(?P<rest> .*)?$"
)


@dataclass(frozen=True)
class Drawn:
    name: str
    parent: str | None
    status: int | None
    code: str | None
    rest: str


def drawing() -> list[Drawn]:
    """The indented block of the docstring, read line by line."""
    block = [line[4:] for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    drawn: list[Drawn] = []
    ancestors: dict[int, str | None] = {-1: None}
    for line in block:
        match = LINE.match(line)
        assert match is not None, line
        depth = len(match["branch"]) // 4
        ancestors[depth] = match["name"]
        status = int(match["status"]) if match["status"] else None
        drawn.append(Drawn(match["name"], ancestors[depth - 1], status, match["code"], (match["rest"] or "").strip()))
    return drawn


CLASSES: dict[str, Any] = {
    name: each for name, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__
}
DRAWN = {drawn.name: drawn for drawn in drawing()}


def test_every_class_is_drawn_once_and_everything_drawn_is_a_class() -> None:
    assert len(drawing()) == len(DRAWN)
    assert set(DRAWN) == set(CLASSES)


def test_every_class_hangs_where_it_is_drawn() -> None:
    for name, drawn in DRAWN.items():
        roots: dict[str, type] = {"AuthError": Exception, "ConfigError": ValueError, "Undeliverable": Exception}
        assert CLASSES[name].__bases__ == (CLASSES[drawn.parent] if drawn.parent else roots[name],)


def test_every_class_has_the_status_and_the_code_that_are_drawn() -> None:
    for name, drawn in DRAWN.items():
        if not issubclass(CLASSES[name], AuthError) or name == "AuthError":
            assert drawn.status is None
        elif drawn.code == NO_CODE:
            assert (name, CLASSES[name].status) == ("MissingToken", drawn.status)
        else:
            assert (CLASSES[name].status, CLASSES[name].code) == (drawn.status, drawn.code)


def test_the_tree_is_drawn_in_the_order_of_its_statuses() -> None:
    statuses = [drawn.status for drawn in drawing() if drawn.status is not None]
    assert statuses == sorted(statuses)


LEAVES: list[Any] = [each for each in CLASSES.values() if issubclass(each, AuthError) and each is not AuthError]


def make(error: Any, because: str) -> AuthError:
    needs: dict[Any, dict[str, Any]] = {
        errors.InsufficientScope: {"needed": frozenset()},
        errors.TooManyAttempts: {"wait": timedelta(seconds=1)},
    }
    made: AuthError = error(because, **needs.get(error, {}))
    return made


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_what_the_caller_is_told_is_not_what_the_log_is_told(error: Any) -> None:
    made = make(error, "for the log alone")
    assert made.because == str(made) == "for the log alone"
    assert made.detail == error.default
    assert "for the log" not in made.detail
    assert made.detail.endswith(".")
    assert made.detail[0].isupper()


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_a_refusal_without_a_reason_has_the_same_words_for_both(error: Any) -> None:
    made = make(error, "")
    assert made.because == made.detail == error.default


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_error_has_one_sentence_of_its_own(error: Any) -> None:
    assert error.__doc__
    assert error.__doc__ != error.__base__.__doc__


def test_every_reason_to_refuse_a_token_or_a_grant_has_one_status_and_code() -> None:
    for error in LEAVES:
        if issubclass(error, errors.InvalidToken):
            assert (error.status, error.code) == (401, "invalid_token")
        if issubclass(error, errors.InvalidGrant):
            assert (error.status, error.code, error.default) == (400, "invalid_grant", errors.InvalidGrant.default)


def test_what_an_error_knows_besides_is_kept() -> None:
    assert errors.StepUpRequired("x", max_age=5, methods=frozenset({"otp"})).max_age == 5
    assert errors.StepUpRequired("x", methods=frozenset({"otp"})).methods == {"otp"}
    assert errors.InsufficientScope("x", needed=frozenset({"a"})).needed == {"a"}
    assert errors.InvalidInput("x", fields={"email": "wrong"}).fields == {"email": "wrong"}
    assert errors.InvalidInput("x").fields == {}
    assert errors.WeakPassword("x", detail="Longer, please.").detail == "Longer, please."
    assert errors.Overloaded("x").retry_after == 1
    assert errors.Unavailable("x", retry_after=7).retry_after == 7


def test_a_refused_start_is_a_value_error_and_no_refusal_of_a_request() -> None:
    assert issubclass(ConfigError, ValueError)
    assert not issubclass(ConfigError, AuthError)
    assert str(errors.WeakSecret("WATCHWORD_X: too short")) == "WATCHWORD_X: too short"


@pytest.mark.parametrize(
    ("ours", "theirs", "tree"),
    [
        (jose.TokenExpired, jwt.ExpiredSignatureError, errors.ExpiredToken),
        (jose.TokenSignatureInvalid, jwt.InvalidSignatureError, errors.BadSignature),
        (jose.TokenMalformed, jwt.DecodeError, errors.MalformedToken),
        (jose.TokenRefused, jwt.InvalidTokenError, errors.InvalidToken),
    ],
)
def test_the_tutorials_errors_are_ours_and_pyjwts_at_once(ours: Any, theirs: type, tree: type) -> None:
    made: AuthError = ours("because")
    assert issubclass(ours, theirs)
    assert issubclass(ours, tree)
    assert (made.status, made.code, made.because) == (401, "invalid_token", "because")
