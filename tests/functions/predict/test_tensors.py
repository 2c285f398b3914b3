"""Laws of the tensor codec: what JSON can say survives, value for value; what it cannot is refused."""

import json
import math
import re
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from functions.predict.tensors import decode, encode, flat, plain
from samara.core.tensors import WIDTH, Value
from samara.errors import Rejected

NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
}


def value(array: NDArray[Any], datatype: str) -> Value:
    return Value(datatype, array.shape, array.tobytes())


def test_every_datatype_but_bf16_is_held_against_numpy() -> None:
    assert NUMPY.keys() == WIDTH.keys() - {"BF16"}


@pytest.mark.parametrize("datatype", NUMPY)
@given(data=st.data())
def test_every_array_survives_json_bit_for_bit(datatype: str, data: Any) -> None:
    finite = {"allow_nan": False, "allow_infinity": False} if datatype.startswith("FP") else None
    array = data.draw(arrays.arrays(NUMPY[datatype], arrays.array_shapes(max_side=4), elements=finite))

    said = json.loads(json.dumps(encode(value(array, datatype), "x")))

    assert said == array.reshape(-1).tolist()
    assert decode(said, datatype, "x") == array.tobytes()


@given(st.lists(st.floats(-1e39, 1e39) | st.integers(-(2**130), 2**130), min_size=1))
def test_numbers_are_rounded_as_numpy_rounds_them_or_refused(numbers: list[float]) -> None:
    with np.errstate(over="ignore"):
        array = np.array([float(number) for number in numbers]).astype(np.float32)

    if np.isfinite(array).all():
        assert decode(numbers, "FP32", "x") == array.tobytes()
    else:
        with pytest.raises(Rejected, match="is too large for FP32"):
            decode(numbers, "FP32", "x")


NUMBERS = st.floats(allow_nan=False) | st.integers() | st.floats(65000, 66000) | st.floats(3.38e38, 3.42e38)
EXACT = st.integers(-128, 255) | st.sampled_from([1 + 2**-8, 1 + 2**-8 + 2**-40, -(2**63), 2**64 - 1, -0.0, 2**1024])


@given(st.sampled_from(sorted(WIDTH.keys() - {"BOOL"})), st.lists(EXACT | NUMBERS | st.none(), max_size=9))
def test_many_values_are_what_each_is_by_itself_and_the_first_that_does_not_fit_is_named(
    datatype: str, values: list[Any]
) -> None:
    kind = int if "INT" in datatype else object
    values = [each for each in values if isinstance(each, kind)]
    alone = [outcome([each], datatype) for each in values]
    refused = [(number, one) for number, one in enumerate(alone, 1) if isinstance(one, str)]

    found = outcome(values, datatype)

    if refused:
        number, why = refused[0]
        assert found == why.replace("value 1 ", f"value {number} ")
    else:
        assert found == b"".join(one for one in alone if isinstance(one, bytes))


def outcome(values: list[Any], datatype: str) -> bytes | str:
    """The values' bytes, or why there are none."""
    try:
        return bytes(decode(values, datatype, "x"))
    except Rejected as error:
        return str(error)


@given(st.integers(0, 2**15 - 129).filter(lambda bits: bits & 0x7F80 != 0x7F80))
def test_every_bf16_survives_json(bits: int) -> None:
    for sign in (0, 0x8000):
        data = struct.pack("<H", sign | bits)

        assert decode(encode(Value("BF16", (1,), data), "x"), "BF16", "x") == data


@given(st.floats(-3.38e38, 3.38e38))
def test_bf16_is_the_nearest_there_is_and_of_two_the_even_one(number: float) -> None:
    (bits,) = struct.unpack("<H", decode([number], "BF16", "x"))

    off = abs(exactly(bits) - Fraction(number))
    around = [abs(exactly(other) - Fraction(number)) for other in neighbours(bits)]
    assert off <= min(around)
    assert off < min(around) or bits % 2 == 0


def exactly(bits: int) -> Fraction:
    return Fraction(struct.unpack("<f", struct.pack("<I", bits << 16))[0])


def neighbours(bits: int) -> list[int]:
    size = bits & 0x7FFF
    return [bits & 0x8000 | other for other in (size - 1, size + 1) if 0 <= other < 0x7F80]


@pytest.mark.parametrize(
    ("number", "bits"),
    [
        (1 + 2**-8, 0x3F80),
        (1 + 2**-8 + 2**-40, 0x3F81),
        (1 + 3 * 2**-8, 0x3F82),
        (1 + 3 * 2**-8 - 2**-40, 0x3F81),
        (-(1 + 2**-8 + 2**-40), 0xBF81),
    ],
)
def test_bf16_is_rounded_once_not_by_way_of_fp32(number: float, bits: int) -> None:
    assert decode([number], "BF16", "x") == struct.pack("<H", bits)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_every_text_survives_json(texts: list[str]) -> None:
    data = decode(json.loads(json.dumps(texts)), "BYTES", "x")

    assert encode(Value("BYTES", (len(texts),), data), "x") == texts


@given(arrays.arrays(np.float64, arrays.array_shapes(min_dims=1, max_dims=5), elements={"allow_nan": False}))
def test_nested_and_flat_are_the_same_tensor(array: NDArray[Any]) -> None:
    assert flat(array.tolist(), array.shape, "x") == flat(array.reshape(-1).tolist(), array.shape, "x")


@pytest.mark.parametrize(
    ("values", "datatype", "why"),
    [
        ([1, True], "FP32", "booleans where FP32 needs numbers"),
        ([True], "BF16", "booleans where BF16 needs numbers"),
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
        ([256], "UINT8", "outside 0 … 255"),
        ([-1], "UINT64", "outside 0 …"),
        ([2**64], "UINT64", "outside 0 …"),
        ([2.0**64], "UINT64", "outside 0 …"),
        ([2**63], "INT64", "outside"),
        ([1e39], "FP32", "value 1 is too large for FP32"),
        ([0, 70000], "FP16", "value 2 is too large for FP16"),
        ([0, 65520], "FP16", "value 2 is too large for FP16"),
        ([None, 3.4e38], "BF16", "value 2 is too large for BF16"),
        ([1e39], "BF16", "value 1 is too large for BF16"),
        ([math.inf], "FP64", "too large"),
        ([math.inf], "BF16", "too large"),
        ([10**400], "FP64", "too large"),
        ([10**400], "INT64", "outside"),
        ([1], "FP8", "FP8, which is not served"),
        ([], "FP8", "not served"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_converted(values: list[Any], datatype: str, why: str) -> None:
    with pytest.raises(Rejected, match=re.escape(why)):
        decode(values, datatype, "x")


@pytest.mark.parametrize(
    ("values", "datatype"),
    [([1.7e308, 1.7e308], "FP64"), ([10**308] * 30, "FP64"), ([65504, 65519.9], "FP16"), ([3.4028235e38] * 2, "FP32")],
)
def test_the_largest_numbers_fit(values: list[Any], datatype: str) -> None:
    assert np.isfinite(np.frombuffer(decode(values, datatype, "x"), NUMPY[datatype])).all()


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([1, 2, 3], (2, 2)),
        ([[1, 2], [3]], (2, 2)),
        ([[1], 2], (2, 1)),
        ([[[1]], [[2]]], (2, 1)),
        ([1, 2], (2**62, 4)),
        ([], ()),
        ("12", (2,)),
        (None, (0,)),
        ({}, (0,)),
    ],
)
def test_data_that_is_not_of_its_shape_is_refused(data: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(Rejected):
        decode(flat(data, shape, "x"), "FP32", "x")


def test_a_null_is_a_missing_number() -> None:
    for datatype in ("FP16", "FP32", "FP64", "BF16"):
        back = plain(Value(datatype, (3,), decode([1, None, 2.5], datatype, "x")), "x")

        assert back[::2] == [1.0, 2.5]
        assert math.isnan(back[1])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_an_answer_json_cannot_carry_is_refused_with_the_way_out(number: float, datatype: str) -> None:
    answered = value(np.array([1, number], NUMPY[datatype]), datatype)

    with pytest.raises(Rejected, match="binary_data") as raised:
        encode(answered, "x")

    assert raised.value.code == "not_finite"


def test_finite_answers_whose_sum_is_not_are_given() -> None:
    assert encode(value(np.array([1.7e308, 1.7e308]), "FP64"), "x") == [1.7e308, 1.7e308]


def test_bytes_that_are_no_text_are_refused_with_the_way_out() -> None:
    with pytest.raises(Rejected, match="binary_data") as raised:
        encode(Value("BYTES", (1,), [b"\xff"]), "x")

    assert raised.value.code == "not_text"


def test_a_view_of_a_request_is_as_good_as_bytes() -> None:
    data = memoryview(b"...." + struct.pack("<2f", 1, 2))[4:]

    assert encode(Value("FP32", (2,), data), "x") == [1.0, 2.0]
