"""Tensors as captures hold them: as people would write them down, and back. Pure."""

import base64
from math import isfinite, isnan
from typing import Any

from functions.predict import tensors
from samara.core.tensors import TEXT, Value

WIDE = 256  # values in one row beyond which a tensor is an image or a text, not a table, and is captured as bytes


def captured(value: Value, rows: int) -> Any:
    """A tensor as a capture holds it: its values in row-major order, those that are missing as null; or, where a row
    has more than `WIDE` of them, its raw bytes in base64."""
    if value.datatype != TEXT and value.size > WIDE * max(rows, 1):
        return {"datatype": value.datatype, "base64": base64.b64encode(value.data).decode()}
    if value.datatype == TEXT:
        return [text.decode(errors="backslashreplace").replace("\0", "\\x00") for text in value.data]
    values = list(tensors.plain(value, ""))
    if value.datatype in tensors.FLOATS and not isfinite(sum(values)):
        return [one if isfinite(one) else spelled(one) for one in values]
    return values


def spelled(value: float) -> str | None:
    """What JSON has no number for: null where it is missing, and a word for what is beyond all numbers."""
    if isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"


def value(datatype: str, shape: list[int], said: Any, name: str) -> Value:
    """The tensor that `captured` wrote down."""
    if isinstance(said, dict):
        return Value(datatype, tuple(shape), base64.b64decode(said["base64"]))
    if datatype in tensors.FLOATS and any(isinstance(one, str) for one in said):
        said = [float(one.replace("Infinity", "inf")) if isinstance(one, str) else one for one in said]
        return Value(
            datatype, tuple(shape), tensors.written([float("nan") if x is None else x for x in said], datatype)
        )
    return Value(datatype, tuple(shape), tensors.decode(said, datatype, name))
