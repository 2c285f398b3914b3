"""What a version's sheet says of its columns: from the contract, the profile of training and held-out rows. Pure."""

import math
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from samara import scoring
from samara.core import contract as promised
from samara.core import profile
from samara.core.contract import Bound, Contract
from samara.core.definition import Definition
from samara.core.profile import CategoryProfile, NumericProfile, Profile
from samara.core.sheet import Column, Scalar, Seen, Sheet, Target
from samara.core.spelling import Type

COMMON = (0.01, 0.99)  # the quantiles between which a number is nothing unusual
TRIED = 64  # rows asked in several ways
GROUPS = (1, 3, 7)  # sizes in which they are asked: kernels differ for single rows, and for what fills no block
BACKGROUND = 100  # rows: attributions hardly move with more
CELLS = 20_000  # of the background: a wide table gets fewer rows
LONGEST = 2_000  # letters of a text in the background


def sheet(
    definition: Definition,
    contract: Contract | None,
    seen: Profile,
    holdout: Any,
    inputs: Sequence[str],
    *,
    classes: tuple[int | str, ...] = (),
    rowwise: bool = False,
) -> Sheet:
    """The sheet of a model that is asked with `inputs`, columns of `holdout`. Without a contract, types are those of
    the data."""
    promises = {column.name: column for column in contract.columns} if contract else {}
    columns = tuple(described(name, promises.get(name), seen, holdout) for name in inputs)
    known = contract.names if contract else holdout.column_names
    return Sheet(
        columns=columns,
        task=definition.task,
        target=Target(definition.target, type_of(promises.get(definition.target), definition.target, holdout)),
        ignored=tuple(name for name in known if name not in inputs),
        classes=classes,
        rowwise=rowwise,
        background=background(columns, holdout),
    )


def described(name: str, promise: promised.Column | None, seen: Profile, holdout: Any) -> Column:
    """One column as the contract, if there is one, and training know it."""
    kind, found = type_of(promise, name, holdout), seen.columns.get(name)
    if promise is None:
        return Column(name, kind, seen=measured(found, seen.rows, personal=False))
    return Column(
        name=name,
        type=kind,
        required=promise.required,
        minimum=sayable(promise.minimum),
        maximum=sayable(promise.maximum),
        above=sayable(promise.above),
        below=sayable(promise.below),
        multiple_of=promise.multiple_of,
        min_length=promise.min_length,
        max_length=promise.max_length,
        valid=permitted(promise),
        missing_values=promise.missing_values,
        default=promise.default,
        personal=promise.personal,
        seen=measured(found, seen.rows, personal=promise.personal),
    )


def type_of(promise: promised.Column | None, name: str, holdout: Any) -> Type:
    if promise is not None:
        return promise.type
    kind = holdout.schema.field(name).type
    tests: tuple[tuple[Type, Any], ...] = (
        ("boolean", pa.types.is_boolean),
        ("integer", pa.types.is_integer),
        ("number", pa.types.is_floating),
        ("date", pa.types.is_date),
        ("timestamp", pa.types.is_timestamp),
    )
    return next((word for word, holds in tests if holds(kind)), "string")


def sayable(bound: Bound | None) -> float | str | None:
    return bound.isoformat() if isinstance(bound, date) else bound


def permitted(promise: promised.Column) -> tuple[Scalar, ...] | None:
    """The values that are in every list of valid values."""
    if not promise.valid_values:
        return None
    first, *others = promise.valid_values
    return tuple(value for value in first if all(value in values for values in others))


def measured(found: profile.Column | None, rows: int, *, personal: bool) -> Seen | None:
    if found is None or not rows:
        return None
    missing = min(found.missing / rows, 1.0)
    match found:
        case _ if personal:
            return Seen(missing)
        case NumericProfile():
            low, high = (found.quantile(share) for share in COMMON)
            return Seen(missing, low=low, high=high, minimum=found.minimum, maximum=found.maximum)
        case CategoryProfile():
            return Seen(missing, categories=dict(found.counts), complete=found.level == 0)
    return Seen(missing)


def background(columns: Sequence[Column], holdout: Any) -> dict[str, tuple[Scalar, ...]]:
    """Some held-out rows from first to last, by column. What is personal is missing from every one of them."""
    count = min(BACKGROUND, max(1, CELLS // max(len(columns), 1)), holdout.num_rows)
    rows = holdout.take(np.linspace(0, holdout.num_rows - 1, count).astype(np.int64)) if count else holdout
    return {
        column.name: (None,) * count
        if column.personal
        else tuple(plain(value) for value in rows[column.name].to_pylist())
        for column in columns
    }


def plain(value: Any) -> Scalar:
    """A value as JSON can hold it."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case str():
            return value[:LONGEST]
        case bool() | int() | float() | None:
            return value
    return str(value.isoformat())


def rowwise(loaded: Any, holdout: Any, task: str) -> bool:
    """Whether rows asked together get the answers they get alone, in small groups, and in reverse: bit for bit.

    It is measured on TRIED rows, so it is no proof; a model that normalises over its batch, or whose sums are added
    in another order for another number of rows, does not pass.
    """
    rows = holdout.slice(0, TRIED)
    together = bits(scoring.answers(loaded, rows, task))
    backwards = rows.take(np.arange(rows.num_rows)[::-1])
    return bits(scoring.answers(loaded, backwards, task))[::-1] == together and all(
        [bit for part in grouped(rows, size) for bit in bits(scoring.answers(loaded, part, task))] == together
        for size in GROUPS
    )


def grouped(rows: Any, size: int) -> Iterator[Any]:
    return (rows.slice(start, size) for start in range(0, rows.num_rows, size))


def bits(said: scoring.Answers) -> list[tuple[Any, bytes]]:
    """Each row's answer, to be compared without any tolerance."""
    labels = said.labels.tolist() if said.labels is not None else [None] * len(said.scores)
    return [(label, score.tobytes()) for label, score in zip(labels, said.scores, strict=True)]
