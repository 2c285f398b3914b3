"""What counts as the truth about a prediction: one value for each row, of the kind the model answers. Pure."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from samara.core.digests import canonical, digest
from samara.core.records import Capture
from samara.core.strict import shown
from samara.errors import Rejected

Truth = tuple[bool | int | float | str | None, ...]
LONGEST = 1_000  # characters of one label
LARGEST = 2**63  # beyond it, no column of integers holds the truth


def item(given: Any) -> tuple[str, Any]:
    """The prediction id and the raw truth of one item."""
    if not isinstance(given, dict) or not {"prediction", "truth"} <= given.keys():
        raise Rejected("body", 'each item reads {"prediction": id, "truth": value}', code="bad_request")
    for name in given:
        if name not in ("prediction", "truth"):
            raise Rejected(shown(name), "is not known here; items have prediction and truth", code="unknown_field")
    if not isinstance(given["prediction"], str):
        raise Rejected("prediction", "must be the id that came with the answer", code="bad_id")
    return given["prediction"], given["truth"]


def truth(given: Any, capture: Capture) -> Truth:
    """One value for each row of the prediction; None where it is not known yet.

    `given` is a list with a value for each row, an object from row number (from 0) to value, or, for a prediction
    of one row, the value itself.
    """
    if not capture.rows:
        refused = "was refused, so it " if capture.status != 200 else ""
        raise Rejected(capture.prediction, f"{refused}has no rows to know the truth of", code="bad_truth")
    values = by_row(given, capture.rows)
    for row, value in enumerate(values):
        fits(row, value)
    if all(value is None for value in values):
        raise Rejected("truth", "is null for every row; send it when it is known", code="bad_truth")
    kind = answers(capture)
    if kind and any(value is not None and isinstance(value, str) != (kind == "string") for value in values):
        other = "numbers or booleans" if kind == "string" else "strings"
        needed = "strings" if kind == "string" else "numbers or booleans"
        raise Rejected("truth", f"has {other}, but the model answers with {needed}", code="bad_truth")
    return tuple(values)


def names(truth: Truth) -> Iterator[str]:
    """The name of a truth that is said for the first time, of the same when it is said again, and so on."""
    name = digest(canonical(truth))
    while True:
        yield name
        name = digest(name.encode())


def by_row(given: Any, rows: int) -> Sequence[Any]:
    if isinstance(given, dict):
        return by_number(given, rows)
    values = given if isinstance(given, list) else [given]
    if len(values) != rows:
        raise Rejected("truth", f"has {len(values):,} values, but the prediction {rows:,} rows", code="bad_truth")
    return values


def by_number(given: dict[str, Any], rows: int) -> Sequence[Any]:
    values: dict[int, Any] = {}
    for name, value in given.items():
        if not (name.isascii() and name.isdigit() and len(name) <= 9 and int(name) < rows):
            why = f"is no row of this prediction; they run from 0 to {rows - 1}"
            raise Rejected(shown(name), why, code="bad_truth")
        if int(name) in values:
            raise Rejected(shown(name), f"names row {int(name)} a second time", code="bad_truth")
        values[int(name)] = value
    return [values.get(row) for row in range(rows)]


def fits(row: int, value: Any) -> None:
    """Refuse what cannot be a label or a measurement."""
    if isinstance(value, list | dict):
        raise Rejected("truth", f"has a list or object in row {row}; one value, please", code="bad_truth")
    if isinstance(value, str) and len(value) > LONGEST:
        raise Rejected("truth", f"has more than {LONGEST:,} characters in row {row}", code="bad_truth")
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise Rejected("truth", f"has an integer beyond 64 bits in row {row}", code="bad_truth")
    if isinstance(value, float) and not math.isfinite(value):
        raise Rejected("truth", f"is too large a number in row {row}", code="bad_truth")


def answers(capture: Capture) -> str:
    """The kind of label the model answers with: string or number; empty if its outputs leave that open.

    A label is an output with one value for each row; scores beside it have several, or are numbers as well.
    """
    kinds = {
        "string" if isinstance(values[0], str) else "number"
        for values in capture.outputs.values()
        if isinstance(values, list) and values and len(values) == capture.rows
    }
    return kinds.pop() if len(kinds) == 1 else ""
