"""What is captured is spelled as every record is, to the byte: its digest depends on it."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.predict.spelled import number, numbers, spelled
from samara.core.digests import canonical

FLOATS = st.floats() | st.floats(width=32) | st.floats(-1e-3, 1e-3)
SCALARS = st.none() | st.booleans() | FLOATS | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(codec="utf-8"))
KEYS = st.text(st.characters(codec="utf-8"), max_size=4)
BORDERS = [1e-5, 9.99e-5, 1e-4, 0.00012, 1e15, 1e16, 123456789012345678.0, 5e-324, 1.7976931348623157e308, -0.0, 0.0]


def outcome(spell: Any, value: Any) -> bytes | str:
    try:
        said: bytes = spell(value)
    except ValueError:
        return "refused"
    return said


@given(st.lists(SCALARS, max_size=9) | st.lists(FLOATS | st.none(), max_size=9))
@example(BORDERS)
@example([*BORDERS, None])
@example([float("nan"), None])
@example([1.0, "Infinity", None])
@example(["\x7f\x1f\u2028", 0.5])
def test_values_are_spelled_as_everywhere_or_refused_as_everywhere(values: list[Any]) -> None:
    assert outcome(lambda said: spelled(numbers(said)), values) == outcome(canonical, values)


@pytest.mark.parametrize("value", BORDERS)
def test_numbers_at_which_spellings_part_are_spelled_alike(value: float) -> None:
    assert spelled({"values": numbers([value])}) == canonical({"values": [value]})
    assert spelled({"b": number(-value), "a": numbers([0.5, value])}) == canonical({"b": -value, "a": [0.5, value]})


@given(st.dictionaries(KEYS, KEYS | st.dictionaries(KEYS, KEYS), max_size=6))
@example({"b": "", "a": "", "\U0001f600": "", "\uffff": ""})
def test_names_are_in_the_same_order(value: dict[str, Any]) -> None:
    assert spelled(value) == canonical(value)
