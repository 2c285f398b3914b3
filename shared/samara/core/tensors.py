"""Tensors as they travel: a datatype, a shape, and raw values. No numpy, whose import alone costs two thirds of a
cold start; `numpy.frombuffer` makes an array of one without a copy, for whoever computes. Pure.

Datatypes are those of the Open Inference Protocol v2. Values are little-endian and row-major, as the protocol's
binary tensors are and as onnxruntime holds them.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

WIDTH: dict[str, int] = {
    "BOOL": 1,
    "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8,
    "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "FP32": 4, "FP64": 8, "BF16": 2,
}  # fmt: skip
"""Bytes of one value, of each datatype but BYTES."""

TEXT = "BYTES"

Raw = bytes | memoryview
"""The values of a tensor of numbers as they lie in memory, little-endian."""

Form = tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]
"""What runs of a model have in common: which outputs are wanted, and the shapes of all inputs."""


class Value(NamedTuple):
    """One tensor. `data` holds `prod(shape)` values: any buffer of them, raw and contiguous; or, where `datatype`
    is BYTES, a list of byte strings."""

    datatype: str
    shape: tuple[int, ...]
    data: Any

    @property
    def size(self) -> int:
        """How many values it has."""
        return prod(self.shape)

    @property
    def weight(self) -> int:
        """How many bytes they take."""
        return sum(map(len, self.data)) if self.datatype == TEXT else self.size * WIDTH[self.datatype]


class Spec(NamedTuple):
    """What a model says of one of its inputs or outputs; −1 stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def joined(values: Sequence[Value]) -> Value:
    """Values whose shapes differ at most in the first size, as one, in that order."""
    first = values[0]
    if len(values) == 1:
        return first
    shape = (sum(value.shape[0] for value in values), *first.shape[1:])
    if first.datatype == TEXT:
        return Value(TEXT, shape, [text for value in values for text in value.data])
    return Value(first.datatype, shape, b"".join(value.data for value in values))


def cut(value: Value, sizes: Sequence[int]) -> list[Value]:
    """`joined` undone: as many rows for each as `sizes` says, sharing memory with `value`."""
    rest = value.shape[1:]
    each = prod(rest)
    pieces, start = [], 0
    data = value.data if value.datatype == TEXT else memoryview(value.data)
    width = 1 if value.datatype == TEXT else WIDTH[value.datatype]
    for size in sizes:
        end = start + size * each * width
        pieces.append(Value(value.datatype, (size, *rest), data[start:end]))
        start = end
    return pieces
