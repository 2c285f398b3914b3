"""How values are read in a contract's types: see `functions/validate/typed.py`."""

from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from functions.validate.typed import typed
from samara.core.contract import Column

Decimals = st.lists(st.none() | st.decimals(-(10**28), 10**28, allow_nan=False, places=9), min_size=1)


def decimals(values: list[Decimal | None], places: int = 9) -> pa.Array:
    return pa.array(values, pa.decimal128(38, places))


@given(Decimals)
def test_a_decimal_is_the_number_that_its_digits_are_read_as_from_csv(values: list[Decimal | None]) -> None:
    found = typed(decimals(values), Column(name="price", type="number"))

    assert found.values.to_pylist() == [None if value is None else float(value) for value in values]


def test_whole_decimals_are_integers_to_the_last_of_64_bits() -> None:
    written = ["9007199254740993.00", "9223372036854775807", "-9223372036854775808", "100", "0", "9223372036854775808"]
    fractions = ["0.01", "9007199254740992.50"]

    found = typed(decimals([Decimal(one) for one in written + fractions], 2), Column(name="id", type="integer"))

    assert found.values.to_pylist() == [2**53 + 1, 2**63 - 1, -(2**63), 100, 0, None, None, None]
    assert found.wrong.tolist() == [False] * 5 + [True] * 3


def test_a_decimal_of_many_places_may_be_whole_only_as_nothing() -> None:
    found = typed(decimals([Decimal(0), Decimal("5e-38")], 38), Column(name="share", type="integer"))

    assert found.values.to_pylist() == [0, None]
