"""From the rows of a table to what a model is asked, and from what it answers to columns. Pure.

What a column becomes on its way to a model is decided in `samara.scoring`, as for training and for the gates.
"""

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samara import scoring
from samara.core.tensors import TEXT, Spec, Value
from samara.errors import Rejected

ROW = "row"  # the number of a row within its batch, from 1: a name for rows that have no other
NUMBERS: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


def given(table: Any, inputs: Sequence[Spec]) -> dict[str, Value]:
    """The rows of `table` as the tensors that the model takes. Numbers are not copied."""
    asked = scoring.asked(table, [spec.name for spec in inputs])
    return {spec.name: tensor(asked[spec.name], spec) for spec in inputs}


def tensor(column: Any, spec: Spec) -> Value:
    datatype = TEXT if pa.types.is_string(column.type) else "FP32"
    if spec.datatype != datatype:
        why = f"the model takes {spec.datatype} where the column is asked as {datatype}"
        raise Rejected(spec.name, why, code="bad_signature")
    shape = (len(column), 1) if len(spec.shape) == 2 else (len(column),)
    if datatype == TEXT:
        return Value(TEXT, shape, pc.cast(column, pa.binary()).to_pylist())
    values = np.ascontiguousarray(column.to_numpy())
    if np.isinf(values).any():  # no contract lets infinity in
        raise Rejected(spec.name, "holds a value that is too large for FP32", code="too_large")
    return Value(datatype, shape, values.data.cast("B"))


def answered(outputs: Mapping[str, Value], rows: int) -> dict[str, Any]:
    """Each output as an array with a row for each row asked, or `Rejected` when the model answers otherwise."""
    found = {}
    for name, value in outputs.items():
        if value.shape[:1] != (rows,):
            why = f"answers {rows:,} rows with {name} of shape {list(value.shape)}"
            raise Rejected("model", why, code="bad_signature")
        wide = prod(value.shape[1:])
        if value.datatype == TEXT:
            array = np.array([text.decode(errors="replace") for text in value.data], dtype=object)
        elif value.datatype in NUMBERS:
            array = np.frombuffer(value.data, dtype=NUMBERS[value.datatype])
        else:
            why = f"answers with {value.datatype}, which Parquet has no type for"
            raise Rejected(name, why, code="bad_signature")
        found[name] = array.reshape(rows, wide)
    return found


def unanswered(arrays: Mapping[str, Any], rows: int) -> Any:
    """Which rows were answered with NaN or infinity in any output."""
    bad = np.zeros(rows, dtype=np.bool_)
    for array in arrays.values():
        if array.dtype.kind == "f":
            bad |= ~np.isfinite(array).all(axis=1)
    return bad


def named(arrays: Mapping[str, Any], metadata: Mapping[str, str], taken: Sequence[str]) -> dict[str, list[str]]:
    """What the columns of each output are called, so that no two are called the same.

    `probabilities` has one for each class, named for it; any other output of several columns numbers them.
    """
    classes = known_classes(metadata)
    names: dict[str, list[str]] = {}
    used = set(taken)
    for name, array in arrays.items():
        width = array.shape[1]
        if name == "probabilities" and len(classes) == width:
            wanted = [f"probability_{label}" for label in classes]
        else:
            wanted = [name] if width == 1 else [f"{name}_{place}" for place in range(width)]
        names[name] = [unlike(one, used) for one in wanted]
    return names


def known_classes(metadata: Mapping[str, str]) -> list[Any]:
    """The classes as the model's metadata names them; none where it does not."""
    try:
        found = json.loads(metadata.get(scoring.CLASSES, "[]"))
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def unlike(name: str, used: set[str]) -> str:
    """`name`, told apart from those `used`, and from now on one of them."""
    while name in used:
        name = f"predicted_{name}"
    used.add(name)
    return name


def written(kept: Any, first: int, arrays: Mapping[str, Any], refused: Any, names: Mapping[str, Sequence[str]]) -> Any:
    """The table of answers: the rows' numbers from `first` on, what is `kept` of their columns, and the answers."""
    rows = len(refused)
    columns = {ROW: pa.array(np.arange(first, first + rows, dtype=np.int64))}
    columns |= {name: kept[name] for name in kept.column_names}
    for output, array in arrays.items():
        for place, name in enumerate(names[output]):
            kind = pa.string() if array.dtype == object else None
            columns[name] = pa.array(np.ascontiguousarray(array[:, place]), type=kind, mask=refused)
    return pa.table(columns)
