"""Usernames that a reader takes for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.core import emails, lookalikes
from watchword.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("paypal", "paypa1"),
        ("google", "g00gle"),
        ("modern", "modem"),
        ("wendy", "vvendy"),
        ("oca", "оса"),  # Cyrillic
        ("ada.1", "ada.l"),
        ("admin", "admın"),  # Latin, all of it
        ("admin", "ɑdmin"),
        ("google", "ɡooɡle"),
    ],
)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert lookalikes.skeleton(one) == lookalikes.skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ada", "adb"), ("ada.b", "ada_b"), ("김철수", "김철호"), ("kim", "kín"), ("ada1", "ada2"), ("vera", "wera")],
)
def test_names_that_do_not_have_skeletons_of_their_own(one: str, other: str) -> None:
    assert lookalikes.skeleton(one) != lookalikes.skeleton(other)


@pytest.mark.parametrize("name", ["pаypal", "раураl", "ραypal", "adα"])
def test_letters_of_two_scripts_that_pass_for_each_other_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        lookalikes.accept(name)
    assert list(refused.value.fields) == ["username"]


@pytest.mark.parametrize("name", ["ada", "김철수", "kim길동", "оса", "zoë", "さくら", "山田太郎", "ada1", "محمد"])
def test_names_of_all_the_world_are_taken(name: str) -> None:
    assert lookalikes.accept(name) == name


@given(st.text(max_size=32))
def test_any_text_has_a_skeleton_that_is_its_own(text: str) -> None:
    name = emails.canonical_username(text)
    if name is not None:
        seen = lookalikes.skeleton(name)
        assert lookalikes.skeleton(seen) == seen
        assert len(seen) <= 64
