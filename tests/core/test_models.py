"""The values that the floors hand to one another can't be changed, however deep one reaches."""

import copy
import dataclasses
import inspect
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core import forge

from watchword.core import events, models, tokens
from watchword.core.models import Credentials, FrozenDict, Principal, Tokens, User, freeze

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
DEEP = {"a": [1, {"b": [2, {"c": 3}]}], "d": {"e": {"f": []}}}


def principal(**claims: Any) -> Principal:
    token = forge.signed(forge.header(), forge.claims(**claims), forge.signer("ES256", "kid-1", 1))
    return tokens.verify(token, forge.ring(), forge.POLICY, forge.T).principal


CHANGES: list[Callable[[Any], object]] = [
    lambda frozen: frozen.__setitem__("a", 1),
    lambda frozen: frozen.__delitem__("a"),
    lambda frozen: frozen.__ior__({"a": 1}),
    lambda frozen: frozen.update({"a": 1}),
    lambda frozen: frozen.update(a=1),
    lambda frozen: frozen.clear(),
    lambda frozen: frozen.pop("a"),
    lambda frozen: frozen.pop("nothing", None),
    lambda frozen: frozen.popitem(),
    lambda frozen: frozen.setdefault("new", 1),
    lambda frozen: frozen.setdefault("a", 1),
    lambda frozen: setattr(frozen, "a", 1),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_frozen_dict_refuses_every_change(change: Callable[[Any], object]) -> None:
    frozen = FrozenDict(DEEP)
    for target in (frozen, frozen["d"], frozen["d"]["e"], frozen["a"][1], frozen["a"][1]["b"][1]):
        with pytest.raises((TypeError, AttributeError)):
            change(target)
    assert frozen == FrozenDict(DEEP)


def test_a_frozen_dict_refuses_every_change_that_a_dict_offers() -> None:
    """A method that Python adds to dict some day is noticed here."""
    reading = {"get", "items", "keys", "values", "copy", "fromkeys"}
    writing = {name for name in dir(dict) if not name.startswith("_")} - reading
    for name in writing | {"__setitem__", "__delitem__", "__ior__"}:
        assert getattr(FrozenDict, name) is FrozenDict._refuse, name


def test_what_it_was_made_of_can_be_changed_without_changing_it() -> None:
    source: dict[str, Any] = {"list": [1], "dict": {"a": 1}}
    frozen = FrozenDict(source)
    source["list"].append(2)
    source["dict"]["b"] = 2
    source["new"] = 1
    assert frozen == {"list": (1,), "dict": {"a": 1}}


def test_lists_become_tuples_and_dicts_frozen_at_any_depth() -> None:
    frozen = FrozenDict(DEEP)
    assert frozen == {"a": (1, {"b": (2, {"c": 3})}), "d": {"e": {"f": ()}}}
    assert isinstance(frozen["a"], tuple)
    assert isinstance(frozen["a"][1]["b"][1], FrozenDict)
    assert isinstance(frozen["d"]["e"], FrozenDict)
    assert freeze([[{}]]) == (({},),)


def test_a_union_makes_a_new_dict_and_leaves_the_old_one() -> None:
    frozen = FrozenDict({"a": 1})
    assert frozen | {"a": 2} == {"a": 2}
    frozen_before = frozen
    with pytest.raises(TypeError):
        frozen |= {"a": 2}
    assert frozen_before == {"a": 1}


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_it_is_serialised_like_the_dict_that_it_was_made_of(value: dict[str, Any]) -> None:
    frozen = FrozenDict(value)
    assert json.dumps(frozen) == json.dumps(value)
    assert json.loads(json.dumps(frozen)) == value
    assert isinstance(frozen, dict)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_it_survives_pickling_and_copying_and_stays_frozen(value: dict[str, Any]) -> None:
    frozen = FrozenDict(value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(frozen, protocol))
        assert again == frozen
        assert type(again) is FrozenDict
        assert all(type(inner) is not dict and type(inner) is not list for inner in again.values())
    assert copy.copy(frozen) is frozen
    assert copy.deepcopy(frozen) is frozen
    assert hash(frozen) == hash(FrozenDict(value))


def test_a_copy_is_an_ordinary_dict_whose_inside_is_still_frozen() -> None:
    frozen = FrozenDict(DEEP)
    ordinary = frozen.copy()
    ordinary["a"] = 1
    assert frozen["a"] != 1
    with pytest.raises(TypeError):
        ordinary["d"]["e"]["f"] = 1


# Principal


def test_a_principal_refuses_every_change() -> None:
    who = principal(extra=DEEP)
    for name in ("user_id", "session_id", "scopes", "methods", "auth_time", "claims"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(who, name, "mallory")
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(who, name)
    with pytest.raises((AttributeError, TypeError)):
        who.admin = True  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        who.scopes.add("admin")  # type: ignore[attr-defined]
    assert isinstance(who.scopes, frozenset)
    assert isinstance(who.methods, frozenset)


@pytest.mark.parametrize("change", CHANGES)
def test_the_claims_of_a_principal_refuse_every_change_at_any_depth(change: Callable[[Any], object]) -> None:
    """The principal is kept in the cache: who could change it would change it for the next request too."""
    who = principal(extra=DEEP)
    for target in (who.claims, who.claims["extra"], who.claims["extra"]["a"][1], who.claims["extra"]["d"]["e"]):
        with pytest.raises((TypeError, AttributeError)):
            change(target)
    assert who == principal(extra=DEEP)


def test_a_principal_is_a_value() -> None:
    who, same, other = principal(), principal(), principal(sub="somebody-else")
    assert who == same
    assert hash(who) == hash(same)
    assert who != other
    assert {who: 1}[same] == 1
    assert who != principal(extra=1)


def test_a_principal_survives_pickling_and_copying_and_stays_frozen() -> None:
    who = principal(extra=DEEP)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(who, protocol))
        assert again == who
        with pytest.raises(TypeError):
            again.claims["extra"]["d"]["e"] = 1
    deep = copy.deepcopy(who)
    assert deep == who
    with pytest.raises(TypeError):
        deep.claims["extra"]["d"]["e"] = 1
    assert copy.copy(who) == who
    assert json.loads(json.dumps(who.claims))["extra"] == DEEP
    assert dataclasses.replace(who, user_id="x").user_id == "x"
    assert who.user_id != "x"


def test_the_text_of_a_principal_does_not_hold_its_claims() -> None:
    assert "private-matter" not in repr(principal(extra="private-matter"))


# The others


def dataclasses_of(module: Any) -> list[type]:
    return [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if dataclasses.is_dataclass(each) and each.__module__ == module.__name__
    ]


@pytest.mark.parametrize("model", [*dataclasses_of(models), *dataclasses_of(events)], ids=lambda model: model.__name__)
def test_every_model_and_event_is_frozen_and_has_no_room_for_more(model: Any) -> None:
    assert model.__dataclass_params__.frozen
    assert not hasattr(model.__new__(model), "__dict__")


def test_the_text_of_what_holds_secrets_does_not_show_them() -> None:
    user = User("u", "ada@example.com", None, frozenset(), forge.NOW, None, 0)
    assert "secret" not in repr(Credentials(user, "$argon2id$secret"))
    assert "secret" not in repr(Tokens("secret-access", "secret-refresh", 600, frozenset({"read"})))


def test_a_user_is_disabled_from_the_moment_that_he_is() -> None:
    user = User("u", "ada@example.com", None, frozenset(), forge.NOW, None, 0)
    assert not user.disabled
    assert dataclasses.replace(user, disabled_at=forge.NOW).disabled
