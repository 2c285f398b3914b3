"""Laws of the tensor codec: what JSON can say survives, value for value; what it cannot is refused."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from functions.predict.tensors import DTYPES, Array, decode, encode, flat
from samara.errors import Rejected

NUMBERS = [name for name in DTYPES if name != "BYTES"]


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
def test_every_array_survives_json_bit_for_bit(datatype: str, data: Any) -> None:
    dtype = DTYPES[datatype]
    finite = {"allow_nan": False, "allow_infinity": False} if datatype.startswith("FP") else {}
    array: Array = data.draw(arrays.arrays(dtype, st.integers(1, 20), elements=finite or None))

    back = decode(json.loads(json.dumps(encode(array, datatype, "x"))), datatype, "x")

    assert back.dtype == dtype
    assert back.tobytes() == array.tobytes()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_every_text_survives_json(texts: list[str]) -> None:
    array = decode(json.loads(json.dumps(texts)), "BYTES", "x")

    assert encode(array, "BYTES", "x") == texts


@given(arrays.arrays(np.float64, arrays.array_shapes(min_dims=1, max_dims=5), elements={"allow_nan": False}))
def test_nested_and_flat_are_the_same_tensor(array: Array) -> None:
    assert flat(array.tolist(), array.shape, "x") == flat(array.reshape(-1).tolist(), array.shape, "x")


@pytest.mark.parametrize(
    ("values", "datatype", "why"),
    [
        ([1, True], "FP32", "booleans where FP32 needs numbers"),
        (["1"], "FP64", "strings where FP64 needs numbers"),
        ([1, {}], "FP32", "objects"),
        ([1, [2]], "FP32", "lists"),
        ([1.0], "INT64", "numbers with a fraction where INT64 needs integers"),
        ([None], "INT64", "null where INT64 needs integers"),
        ([True], "INT8", "booleans where INT8 needs integers"),
        ([1], "BOOL", "integers where BOOL needs booleans"),
        ([1], "BYTES", "integers where BYTES needs strings"),
        ([None], "BYTES", "null where BYTES needs strings"),
        ([128], "INT8", "outside -128 … 127"),
        ([-1], "UINT64", "outside 0 …"),
        ([2**64], "UINT64", "outside 0 …"),
        ([2**63], "INT64", "outside"),
        ([1e39], "FP32", "value 1 is too large for float32"),
        ([0, 70000], "FP16", "value 2 is too large for float16"),
        ([float("inf")], "FP64", "too large"),
        ([10**400], "FP64", "too large"),
        ([1], "BF16", "not served"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_converted(values: list[Any], datatype: str, why: str) -> None:
    with pytest.raises(Rejected, match=re.escape(why)):
        decode(values, datatype, "x")


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([1, 2, 3], (2, 2)),
        ([[1, 2], [3]], (2, 2)),
        ([[1], 2], (2, 1)),
        ([[[1]], [[2]]], (2, 1)),
        ("12", (2,)),
        ({}, (0,)),
    ],
)
def test_data_that_is_not_of_its_shape_is_refused(data: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(Rejected):
        decode(flat(data, shape, "x"), "FP32", "x")


def test_a_null_is_a_missing_number() -> None:
    array = decode([1, None, 2.5], "FP32", "x")

    assert array.tolist()[::2] == [1.0, 2.5]
    assert np.isnan(array[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_json_cannot_carry_is_refused(value: float) -> None:
    with pytest.raises(Rejected) as raised:
        encode(np.array([1, value]), "FP64", "x")

    assert raised.value.code == "not_finite"
