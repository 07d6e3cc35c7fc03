"""One line of an import: every field is checked, every fault is named, and no value is shown."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.importing import pbkdf2

from watchword.core import account_lines
from watchword.core.account_lines import CURES, FIELDS, Line
from watchword.core.errors import InvalidInput

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HASH = pbkdf2()
WHOLE: dict[str, Any] = {
    "email": "Ada@Example.com",
    "password_hash": HASH,
    "username": "Ada",
    "scopes": ["b", "a"],
    "disabled": True,
    "created_at": "2024-05-01T12:00:00+09:00",
    "id": "2f1c-42",
}


def read(line: dict[str, Any] | bytes) -> Line:
    return account_lines.read(7, line if isinstance(line, bytes) else json.dumps(line).encode(), NOW)


def faults(line: dict[str, Any] | bytes) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        read(line)
    return caught.value.fields


def because(line: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(line)
    assert caught.value.fields == {}
    return caught.value.because


def test_a_whole_line_is_read_and_canonical() -> None:
    assert read(WHOLE) == Line(
        number=7,
        id="2f1c-42",
        email="ada@example.com",
        username="ada",
        password_hash=HASH,
        scopes=frozenset({"a", "b"}),
        disabled=True,
        created_at=datetime(2024, 5, 1, 3, tzinfo=UTC),
    )


def test_an_address_is_enough_and_null_is_the_same_as_nothing() -> None:
    line = read({"email": "ada@example.com"})
    assert line == read({**dict.fromkeys(FIELDS), "email": "ada@example.com"})
    assert (line.id, line.username, line.password_hash, line.created_at) == (None, None, None, None)
    assert (line.scopes, line.disabled) == (frozenset(), False)


def test_lines_that_say_the_same_are_equal_wherever_they_stand() -> None:
    other = account_lines.read(8, json.dumps({**WHOLE, "email": "ada@EXAMPLE.com"}).encode(), NOW)
    assert other == read(WHOLE)
    assert hash(other) == hash(read(WHOLE))


def test_a_line_s_repr_holds_no_hash() -> None:
    assert HASH not in repr(read(WHOLE))


@pytest.mark.parametrize("given", [["a", "b"], "a b", "  b   a ", ["a", "b", "a"], ["", "a", "b"]])
def test_scopes_are_a_list_or_one_text(given: Any) -> None:
    assert read({**WHOLE, "scopes": given}).scopes == frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2024-05-01T12:00:00Z", datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ("2024-05-01 12:00:00.123456+00:00", datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_700_000_000.5, datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)),
        ("2026-01-01T23:00:00Z", NOW + timedelta(hours=23)),
    ],
)
def test_a_date_is_iso_8601_or_seconds(given: Any, instant: datetime) -> None:
    assert read({**WHOLE, "created_at": given}).created_at == instant


@pytest.mark.parametrize("given", ["x", "~" * 64, "2b6f0cc904d137be2e1730235f5664094b831186", "42", 42, 0, -1])
def test_an_id_is_kept(given: Any) -> None:
    assert read({**WHOLE, "id": given}).id == str(given)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "the line is not strict JSON"),
        (b"nonsense", "the line is not strict JSON"),
        (b'{"email":"ada@example.com"', "the line is not strict JSON"),
        (b'{"email":"ada@example.com"}{}', "the line is not strict JSON"),
        (b'{"email":"a@example.com","email":"b@example.com"}', "the line is not strict JSON"),
        (b'{"email":"ada@example.com","created_at":NaN}', "the line is not strict JSON"),
        (b'{"email":"ada@example.com","created_at":1e999}', "the line is not strict JSON"),
        (b'{"email":"ada@example.com","created_at":' + b"9" * 5000 + b"}", "the line is not strict JSON"),
        (b'["email"]', "the line is not a JSON object"),
        (b'"ada@example.com"', "the line is not a JSON object"),
        (b'{"email":"\\ud800@example.com"}', "the line holds a lone surrogate"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "the line is nested too deeply"),
        (b"[" * 30_000, "the line is not strict JSON"),
        (b'{"email":"\xff@example.com"}', "the line is not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "the line is not UTF-8"),
        (b'{"email":"' + b"a" * 65_536, "the line is over 64 KB"),
    ],
)
def test_what_is_no_line_is_said(line: bytes, told: str) -> None:
    assert because(line) == told


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("email", ["", "nobody", "a b@example.com", "x" * 5000, "@"], "This is not an email address."),
        ("email", [None], "This is needed."),
        ("email", [1, True, ["a@example.com"], {"a": "b"}], "This is a text."),
        ("username", ["", "a", "a b", "x" * 33], "A username has 2 to 32 letters"),
        ("username", [5, []], "This is a text."),
        ("password_hash", [5, [HASH], {"hash": HASH}], "This is a text."),
        ("password_hash", [""], "write null"),
        ("password_hash", [HASH[:-5]], "not whole"),
        ("scopes", [5, {"a": 1}, [5], ["a", None], ["a b"], True], "Scopes are a list of words"),
        ("scopes", ['quo"ted', ["é"], ["x" * 65], [f"s{n}" for n in range(65)]], "a scope is 1 to 64 visible ASCII"),
        ("disabled", [0, 1, "", "true", "no", []], "This is true or false."),
        ("created_at", ["2024-05-01T12:00:00", "2024-05-01"], "The time zone is missing"),
        ("created_at", ["yesterday", "", "2024-13-01T00:00:00Z", 1e300, -1e300], "This is ISO 8601"),
        ("created_at", [10**40], "This is ISO 8601"),
        ("created_at", [True, [], {}], "This is a text."),
        ("created_at", [1_700_000_000_000, "9999-12-31T23:59:59-23:59"], "in the future|ISO 8601"),
        ("created_at", [-1, "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"], "before 1970"),
        ("created_at", ["2026-01-02T00:00:01Z"], "in the future"),
        ("id", ["", "a b", "é", "x" * 65, "a\n", "\x7f", 10**64], "An id has 1 to 64 printable ASCII"),
        ("id", [True, 1.5, ["a"]], "This is a text."),
    ],
)
def test_a_faulty_field_is_named_with_its_fault(name: str, values: list[Any], told: str) -> None:
    for value in values:
        found = faults({**WHOLE, name: value})
        assert list(found) == [name], value
        assert any(text in found[name] for text in told.split("|")), (value, found)


def test_every_fault_is_told_at_once() -> None:
    assert set(faults({"email": "x", "username": "a b", "shoe_size": 42})) == {"email", "username", "shoe_size"}


def test_a_plain_password_is_refused_with_the_cure() -> None:
    told = faults({**WHOLE, "password": "hunter2"})
    assert "hash it, or make the account with `watchword users add`" in told["password"]
    assert "hunter2" not in str(told)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("e-mail", "email"),
        ("Email", "email"),
        ("passwordhash", "password_hash"),
        ("user_name", "username"),
        ("scope", "scopes"),
        ("disable", "disabled"),
        ("createdAt", "created_at"),
        *((name, cure.split("did you mean ")[1].split("?")[0]) for name, cure in CURES.items() if "did you" in cure),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest_name(name: str, nearest: str) -> None:
    """A column that is dropped without a word is lost."""
    assert f"did you mean {nearest}?" in faults({**WHOLE, name: "x"})[name]


def test_a_field_that_is_near_to_nothing_is_told_with_all_there_are() -> None:
    assert faults({**WHOLE, "quantity": 42})["quantity"] == f"there is no such field: {', '.join(FIELDS)}"
    assert "no such thing here" in faults({**WHOLE, "is_verified": True})["is_verified"]


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "password", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_object_is_read_or_refused_with_no_other_error(line: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidInput):
        read(line)
