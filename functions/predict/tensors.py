"""JSON lists to arrays and back, by Open Inference Protocol datatype, value for value. Pure."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samara.errors import Rejected

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    "BYTES": np.dtype(object),
}
"""What each datatype is in numpy. BYTES are strings, as onnxruntime takes them: UTF-8 text in object arrays."""


def flat(data: Any, shape: Sequence[int], name: str) -> list[Any]:
    """The values of a tensor in row-major order. `data` may be flat or nested exactly as `shape` says."""
    if not isinstance(data, list):
        raise Rejected(name, "its data must be a list of values", code="bad_input")
    values = data
    if data and isinstance(data[0], list):
        for size in shape[1:]:
            if set(map(type, values)) - {list} or set(map(len, values)) - {size}:
                raise Rejected(name, f"its lists are not nested as its shape {list(shape)} says", code="bad_input")
            values = [value for row in values for value in row]
    if len(values) != prod(shape):
        why = f"has {len(values):,} values, but its shape {list(shape)} holds {prod(shape):,}"
        raise Rejected(name, why, code="bad_input")
    return values


def decode(values: list[Any], datatype: str, name: str) -> Array:
    """The values as a one-dimensional array; null is NaN where the datatype has one.

    Numbers must be numbers: no boolean or string is converted, and nothing wraps round or becomes infinite.
    """
    if datatype not in DTYPES:
        raise Rejected(name, f"has datatype {datatype}, which is not served", code="bad_input")
    strange = set(map(type, values)) - ACCEPTED[family(datatype)]
    if strange:
        words = ", ".join(sorted(JSON_WORDS.get(kind, "something else") for kind in strange))
        raise Rejected(name, f"has {words} where {datatype} needs {NEEDED[family(datatype)]}", code="bad_input")
    match family(datatype):
        case "float":
            return floats(values, DTYPES[datatype], name)
        case "int":
            return integers(values, DTYPES[datatype], name)
        case _:
            return np.array(values, dtype=DTYPES[datatype])


def family(datatype: str) -> str:
    """
    >>> family("FP32"), family("UINT8"), family("BOOL"), family("BYTES")
    ('float', 'int', 'bool', 'string')
    """
    if datatype.startswith("FP"):
        return "float"
    return {"BOOL": "bool", "BYTES": "string"}.get(datatype, "int")


ACCEPTED: dict[str, set[type]] = {
    "float": {int, float, type(None)},
    "int": {int},
    "bool": {bool},
    "string": {str},
}
NEEDED = {"float": "numbers, or null where one is missing", "int": "integers", "bool": "booleans", "string": "strings"}
JSON_WORDS: dict[type, str] = {
    bool: "booleans",
    int: "integers",
    float: "numbers with a fraction",
    str: "strings",
    list: "lists",
    dict: "objects",
    type(None): "null",
}


def floats(values: list[Any], dtype: np.dtype[Any], name: str) -> Array:
    try:
        wide = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except OverflowError as error:
        raise Rejected(name, "has an integer too large for a number with a fraction", code="bad_input") from error
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if np.isinf(array).any():
        row = int(np.flatnonzero(np.isinf(array))[0])
        raise Rejected(name, f"value {row + 1} is too large for {dtype.name}", code="bad_input")
    return array


def integers(values: list[Any], dtype: np.dtype[Any], name: str) -> Array:
    limits = np.iinfo(dtype)
    if values and (min(values) < limits.min or max(values) > limits.max):
        raise Rejected(name, f"has integers outside {limits.min} … {limits.max}", code="bad_input")
    return np.array(values, dtype=dtype)


def encode(array: Array, datatype: str, name: str) -> list[Any]:
    """The values of an array in row-major order as JSON has them. `decode` gives back the same array, bit for bit.

    JSON has no NaN and no infinity, so an answer that holds one is refused as `not_finite`.
    """
    if family(datatype) == "float" and not np.isfinite(array).all():
        raise Rejected(name, "the model answers with NaN or infinity, which JSON cannot carry", code="not_finite")
    values: list[Any] = array.reshape(-1).tolist()
    return values
