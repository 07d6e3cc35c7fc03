"""JSON that two parsers read in one way: everything else is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.core import strict_json
from watchword.core.errors import MalformedToken

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def refused(raw: bytes) -> str:
    with pytest.raises(MalformedToken) as caught:
        strict_json.loads(raw, "paper")
    assert "paper" in caught.value.because
    return caught.value.because


def levels(value: Any) -> int:
    """How many levels there are, the value itself and what is innermost included."""
    inner = list(value.values()) + list(value) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(levels, inner), default=0)


def nested(depth: int) -> bytes:
    """An object that holds `depth` lists, each in the one before."""
    return b'{"x":' + b"[" * depth + b"]" * depth + b"}"


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=4))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    raw = strict_json.dumps(value)
    if levels(value) > strict_json.MAX_DEPTH:
        assert "deeply" in refused(raw)
    else:
        assert strict_json.loads(raw, "paper") == value


@given(st.binary())
def test_any_bytes_are_an_object_or_malformed(raw: bytes) -> None:
    try:
        assert strict_json.loads(raw, "paper") == json.loads(raw)
    except MalformedToken:
        return


@pytest.mark.parametrize(
    "raw", [b"{}", b' {"a" : 1}\n', b'\t\r\n{"":""}', '{"é":"\U0001f600"}'.encode(), b'{"a":"\\ud83d\\ude00"}']
)
def test_an_object_with_white_space_and_escapes_is_read(raw: bytes) -> None:
    assert strict_json.loads(raw, "paper") == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"null", b"1", b"true", b'"a"', b"[]", b"[{}]", b"{", b"}", b"{}{}", b"{},", b"{}\0", b"\0{}", b"\x0b{}",
        b"{'a':1}", b"{a:1}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a":1 "b":2}', b'{"a":01}', b'{"a":+1}',
        b'{"a":.5}', b'{"a":1.}', b'{"a":1e}', b'{"a":0x1}', b'{"a":1_0}', b'{"a":True}', b'{"a":undefined}', b'{1:1}',
        b'{"a":"\t"}', b'{"a":"\\x41"}', b'{"a":"\\u12"}', b'{"a":"\\u 041"}', b"{}//", b"/**/{}", b"\xc2\xa0{}",
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":3}',
        b'{"a":1,"\\u0061":2}',
        b'{"":1,"":2}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":[[{"a":1,"a":2}]]}',
        b'{"a":{},"a":{}}',
    ],
)
def test_a_name_that_stands_twice_is_refused_at_any_depth(raw: bytes) -> None:
    refused(raw)


def test_names_that_only_look_alike_are_two_names() -> None:
    assert strict_json.loads('{"a":1,"A":2,"а":3,"a ":4,"é":5,"e\u0301":6}'.encode(), "paper").keys() == {
        "a", "A", "а", "a ", "é", "e\u0301",
    }  # fmt: skip


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e309", "nan", "inf", "1.8e308"]
)
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    refused(f'{{"a":{number}}}'.encode())
    refused(f'{{"a":[{{"b":{number}}}]}}'.encode())


@pytest.mark.parametrize(
    ("number", "value"), [("1e308", 1e308), ("1e-999", 0.0), ("-0", 0), ("-0.0", -0.0), ("1E+2", 100.0)]
)
def test_a_finite_number_is_read(number: str, value: float) -> None:
    read = strict_json.loads(f'{{"a":{number}}}'.encode(), "paper")["a"]
    assert read == value
    assert math.isfinite(read)


def test_a_number_of_more_digits_than_python_reads_is_refused() -> None:
    refused(b'{"a":1' + b"0" * 5000 + b"}")
    refused(b'{"a":-1' + b"0" * 1_000_000 + b"}")


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xe9"}',
        b'{"a":"\xc3',
    ],
)
def test_other_encodings_than_utf_8_are_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"a":["x",["\\udfff"]]}',
        b'{"a":{"\\ud800":1}}',
    ],
)
def test_a_lone_surrogate_is_refused_in_values_and_names(raw: bytes) -> None:
    assert "surrogate" in refused(raw)


def test_eight_levels_are_read_and_nine_are_too_deep() -> None:
    assert strict_json.MAX_DEPTH == 8
    assert strict_json.loads(nested(7), "paper")
    assert strict_json.loads(b'{"a":' * 7 + b"1" + b"}" * 7, "paper")
    for deep in (nested(8), b'{"a":' * 8 + b"1" + b"}" * 8, nested(50), nested(500)):
        assert "deeply" in refused(deep)


@pytest.mark.parametrize("depth", [1_000, 100_000, 1_000_000])
def test_json_as_deep_as_can_be_sent_is_refused_and_kills_nobody(depth: int) -> None:
    refused(nested(depth))
    refused(b'{"x":' + b"[" * depth)
    refused(b'{"x":' * depth)


def test_a_wide_object_is_read() -> None:
    value = {str(number): [number] for number in range(10_000)}
    assert strict_json.loads(strict_json.dumps(value), "paper") == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "\ud800", {"\udc00": 1}, ["\ud800"]])
def test_what_is_not_strict_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        strict_json.dumps({"a": value})
    assert not isinstance(caught.value, MalformedToken)


def test_what_is_written_is_as_short_as_can_be() -> None:
    assert strict_json.dumps({"a": [1, "é"], "b": None}) == '{"a":[1,"é"],"b":null}'.encode()
