"""Tensors as captures hold them: as people would write them down, and back. Pure."""

import base64
from math import isfinite, isnan, nan
from typing import Any

from functions.predict import tensors
from samara.core.tensors import TEXT, Value

WIDE = 256  # values in one row beyond which a tensor is an image or a text, not a table, and is captured as bytes


def captured(value: Value, rows: int, listed: list[Any] | None = None) -> Any:
    """A tensor as a capture holds it: its values in row-major order, those that are missing as null; or, where a row
    has more than `WIDE` of them or one of them is no text, its raw bytes in base64. `listed` are its values, if they
    have been listed already.

    Null keeps neither the sign nor the payload of a NaN: answered again in raw bytes, that may be another NaN.
    """
    datatype, shape, data = value
    if datatype == TEXT:
        try:
            return listed or [text.decode() for text in data]
        except UnicodeDecodeError:
            return [{"base64": base64.b64encode(text).decode()} for text in data]
    if len(shape) > 1 and value.size > WIDE * max(rows, 1):
        return {"datatype": datatype, "base64": base64.b64encode(data).decode()}
    values = tensors.plain(value, "") if listed is None else listed
    if listed is None and datatype in tensors.FLOATS and not isfinite(sum(values)):
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
    if datatype == TEXT and said and isinstance(said[0], dict):
        return Value(datatype, tuple(shape), [base64.b64decode(one["base64"]) for one in said])
    if datatype in tensors.FLOATS and any(isinstance(one, str) for one in said):
        numbers = [nan if one is None else float(one) for one in said]  # which reads "-Infinity" too
        return Value(datatype, tuple(shape), tensors.written(numbers, datatype))
    return Value(datatype, tuple(shape), tensors.decode(said, datatype, name))
