"""Asking a served model about a table: the one way in which training, the gates and their tests do it.

A model takes one input for each feature, named for it, of shape [rows, 1]: FP32 for numbers and booleans, BYTES
for text. It answers with

    classification   `label` [rows], INT64 or BYTES, and `probabilities` [rows, classes], FP32
    regression       `prediction` [rows] or [rows, 1], FP32

The names of the classes, in the order of the columns of `probabilities`, stand in the model's metadata as the
JSON list `classes`; without it they are 0, 1, …
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from samara.core import metrics, strict
from samara.core.records import Signature, Tensor
from samara.errors import Rejected
from samara.loading import first_line

ROWS = 10_000  # asked at once: bounds the memory that a graph's intermediate values need
CLASSES = "classes"
OUTPUTS = {"classification": ("label", "probabilities"), "regression": ("prediction",)}
NUMBERS = {"classification": "f", "regression": "fiu"}  # the kinds of numbers that the last output may be of
SINGLE = ("label", "prediction")  # outputs with one value for each row
DATATYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64", "tensor(string)": "BYTES"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said, row by row. For regression `scores` are the predictions and `labels` is None."""

    labels: NDArray[Any] | None
    scores: NDArray[Any]
    classes: tuple[int | str, ...] = ()


def asked(table: Any, names: Sequence[str]) -> Any:
    """The columns of that name as a model is asked with them; the other columns of the table as they are.

    Numbers and booleans become float32, NaN where missing; text stays text, empty where missing. Done twice, it
    is done once.
    """
    columns, fields = table.columns, list(table.schema)
    for name in names:
        place = table.schema.get_field_index(name)
        if place < 0:
            raise Rejected(
                name, f"there is no such column; there are {', '.join(table.column_names)}", code="no_column"
            )
        column, kind = columns[place], fields[place].type
        if pa.types.is_string(kind):
            given = pc.fill_null(column, "")
        elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
            given = pc.fill_null(pc.cast(column, pa.float32(), safe=False), float("nan"))
        else:
            why = f"is a {kind}, which no model can be asked with; derive a number or text from it, or leave it out"
            raise Rejected(name, why, code="no_feature")
        columns[place], fields[place] = given, pa.field(name, given.type)
    return pa.table(columns, schema=pa.schema(fields, table.schema.metadata))


def truth(table: Any, target: str, task: str) -> NDArray[Any]:
    """The target as models answer it: int64 (booleans as 0 and 1) or text for classes, float64 for estimates."""
    column, kind = table[target], table.schema.field(target).type
    if task == "regression" and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy())
    if task == "classification" and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return np.asarray(pc.cast(column, pa.int64()).to_numpy())
    if task == "classification" and pa.types.is_string(kind):
        return np.asarray(column.to_numpy(), dtype=object)
    raise Rejected(target, f"is a {kind}, which cannot be the target of {task}", code="bad_target")


def signature(loaded: Any) -> Signature:
    """What a loaded model takes and gives."""
    return Signature(
        inputs=tuple(tensor(node) for node in loaded.get_inputs()),
        outputs=tuple(tensor(node) for node in loaded.get_outputs()),
    )


def tensor(node: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return Tensor(name=node.name, datatype=DATATYPES.get(node.type, node.type), shape=shape)


def answers(loaded: Any, table: Any, task: str) -> Answers:
    """What the model says about each row, or `Rejected` when that is not what `task` needs."""
    names = [node.name for node in loaded.get_inputs()]
    given = asked(table, names).select(names)
    for node in loaded.get_inputs():
        needed = "tensor(string)" if pa.types.is_string(given.schema.field(node.name).type) else "tensor(float)"
        if node.type != needed:
            why = f"the model takes {node.type} where the column is asked as {needed}"
            raise Rejected(node.name, why, code="bad_signature")
    wanted = OUTPUTS[task]
    missing = set(wanted) - {node.name for node in loaded.get_outputs()}
    if missing:
        raise Rejected("model", f"has no output named {' or '.join(sorted(missing))}", code="bad_signature")
    found = [np.concatenate(pieces) for pieces in zip(*answered(loaded, given, wanted), strict=True)]
    if found[-1].dtype.kind not in NUMBERS[task]:
        said = next(tensor(node).datatype for node in loaded.get_outputs() if node.name == wanted[-1])
        raise Rejected("model", f"answers with {wanted[-1]} of {said}; answer with FP32", code="bad_signature")
    scores = found[-1].astype(np.float64) if task == "regression" else found[-1]
    if not np.isfinite(scores).all():
        rows = int((~np.isfinite(scores)).reshape(len(scores), -1).any(axis=1).sum())
        why = f"answers {rows:,} of {len(scores):,} rows with NaN or infinity"
        raise Rejected("model", why, code="not_finite")
    if task == "regression":
        return Answers(None, scores.reshape(len(scores), -1)[:, 0])
    return Answers(found[0], scores, named_classes(loaded, scores.shape[1]))


def answered(loaded: Any, given: Any, wanted: Sequence[str]) -> Iterator[list[NDArray[Any]]]:
    """The outputs `wanted`, some rows at a time."""
    for start in range(0, max(given.num_rows, 1), ROWS):
        rows = given.slice(start, ROWS)
        feeds = {name: fed(rows[name]) for name in rows.column_names}
        try:
            outputs = loaded.run(list(wanted), feeds)
        except Exception as error:  # onnxruntime's errors share no base class
            raise Rejected("model", f"fails when it is asked: {first_line(error)}", code="model_fails") from error
        for name, output in zip(wanted, outputs, strict=True):
            shape = list(getattr(output, "shape", ()))
            single = name in SINGLE and shape in ([rows.num_rows], [rows.num_rows, 1])
            several = name not in SINGLE and len(shape) == 2 and shape[0] == rows.num_rows and shape[-1] > 1
            if not single and not several:
                why = f"answers {rows.num_rows:,} rows with {name} of shape {shape}"
                raise Rejected("model", why, code="bad_signature")
        yield [output.reshape(-1) if name in SINGLE else output for name, output in zip(wanted, outputs, strict=True)]


def fed(column: Any) -> NDArray[Any]:
    values = np.asarray(column.to_numpy())
    return values.reshape(-1, 1)


def named_classes(loaded: Any, count: int) -> tuple[int | str, ...]:
    written = loaded.get_modelmeta().custom_metadata_map.get(CLASSES)
    if written is None:
        return tuple(range(count))
    try:
        names = strict.value(written.encode(), CLASSES)
    except Rejected:
        names = None
    if not isinstance(names, list) or not all(isinstance(n, (int, str)) for n in names) or len({*names}) != count:
        why = f"its metadata does not name its {count} classes, each by a name of its own"
        raise Rejected("model", why, code="bad_signature")
    return tuple(names)


def measured(said: Answers, target: NDArray[Any]) -> dict[str, float]:
    """The metrics of these answers against the truth, as far as they are numbers."""
    if said.labels is None:
        found = metrics.estimated(target, said.scores)
    else:
        found = metrics.classified(target, said.labels, said.scores, said.classes)
    return {name: value for name, value in found.items() if isfinite(value)}
