"""Which written or typed values are of a contract's type, and what they are in it. Pure; exact, never helpful.

`1.0` is no integer, `0x10` no number, `2023-02-30` no date. Text that is empty is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samara.core.contract import Column
from samara.core.sheet import sentinels
from samara.core.spelling import SPELLING, Type

ARROW: dict[Type, Any] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
EXACT = 2**53  # floats are whole numbers beyond it whether they were meant to be or not
YEARS_S = (-62_135_596_800, 253_402_300_799)  # 0001-01-01 to 9999-12-31T23:59:59, what calendars can say
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Typed:
    """A column in the contract's type, null where a value is `missing` or of the `wrong` type."""

    values: Any
    missing: Mask
    wrong: Mask


def typed(array: Any, column: Column) -> Typed:
    """An Arrow array of any type in the type that the contract gives this column."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if is_text(array.type):
        array = pc.cast(array, pa.string())
        unwritten = pa.array(["", *(v for v in column.missing_values if isinstance(v, str))], pa.string())
        array = pc.if_else(pc.is_in(array, value_set=unwritten), pa.scalar(None, pa.string()), array)
    missing = mask(pc.is_null(array))
    values = READ[column.type](array, column) if not pa.types.is_null(array.type) else None
    if values is None:
        return Typed(pa.nulls(len(array), ARROW[column.type]), missing, ~missing)
    wrong = mask(pc.is_null(values)) & ~missing
    if numbers := sentinels(column.type, column.missing_values):
        exact = pc.add(values, pa.scalar(0, values.type))  # -0.0 is 0
        said = pc.is_in(exact, value_set=pa.array(list(numbers), values.type))
        values, missing = pc.if_else(said, pa.scalar(None, values.type), values), missing | mask(said)
    return Typed(values, missing, wrong)


def is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def mask(array: Any) -> Mask:
    """A boolean Arrow array as numpy; null counts as false."""
    found: Mask = np.asarray(pc.fill_null(array, fill_value=False).to_numpy(zero_copy_only=False), dtype=np.bool_)
    return found


def kept(array: Any, keep: Any) -> Any:
    """The array with null where `keep` is not true."""
    return pc.if_else(pa.array(keep) if isinstance(keep, np.ndarray) else keep, array, pa.scalar(None, array.type))


def whole(pattern: str) -> str:
    """A pattern for RE2 that matches all of a value or nothing."""
    return rf"\A(?:{pattern})\z"


def written(array: Any, kind: Type) -> Any:
    """The texts that are spelt as this type."""
    return kept(array, pc.fill_null(pc.match_substring_regex(array, whole(SPELLING[kind])), fill_value=False))


def integers(array: Any, column: Column) -> Any:
    if pa.types.is_decimal(array.type):
        array = pc.replace_substring_regex(pc.cast(array, pa.string()), r"\A(0)E-[0-9]+\z|\.0+\z", r"\1")
    if is_text(array.type):
        array = written(array, column.type)
        long = np.flatnonzero(mask(pc.greater(pc.utf8_length(array), 18)))
        if long.size:
            fits = np.ones(len(array), dtype=np.bool_)
            fits[long] = [-(2**63) <= int(array[int(row)].as_py()) < 2**63 for row in long]
            array = kept(array, fits)
        return pc.cast(array, pa.int64())
    if pa.types.is_integer(array.type):
        fits = (
            pc.less_equal(array, pa.scalar(2**63 - 1, pa.uint64())) if array.type == pa.uint64() else pc.is_valid(array)
        )
        return pc.cast(kept(array, fits), pa.int64())
    if pa.types.is_floating(array.type):
        floats = pc.cast(array, pa.float64())
        exact = pc.and_(pc.equal(floats, pc.trunc(floats)), pc.less_equal(pc.abs(floats), float(EXACT)))
        return pc.cast(kept(floats, exact), pa.int64())
    return None


def numbers(array: Any, column: Column) -> Any:
    if is_text(array.type):
        array = written(array, column.type)
    elif pa.types.is_decimal(array.type):
        array = pc.cast(array, pa.string())  # which is read to the nearest float: a cast at once may be one beside it
    elif not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return None
    floats = pc.cast(array, pa.float64(), safe=False)
    return kept(floats, pc.is_finite(floats))


def booleans(array: Any, column: Column) -> Any:
    if pa.types.is_boolean(array.type):
        return array
    if is_text(array.type):
        array = pc.utf8_lower(written(array, column.type))
        return kept(pc.is_in(array, value_set=pa.array(["true", "1"])), pc.is_valid(array))
    if pa.types.is_integer(array.type):
        return pc.cast(kept(array, pc.is_in(array, value_set=pa.array([0, 1], array.type))), pa.bool_())
    return None


def dates(array: Any, column: Column) -> Any:
    if is_text(array.type):
        array = written(array, column.type)
        return pc.cast(kept(array, pc.invert(pc.starts_with(array, "0000"))), pa.date32())
    found = timestamps(array, column)
    if found is None:
        return None
    days = pc.cast(found, pa.date32(), safe=False)
    return kept(days, pc.equal(pc.cast(days, ARROW["timestamp"]), found))


def timestamps(array: Any, column: Column) -> Any:
    if is_text(array.type):
        return written_timestamps(written(array, "timestamp"), zoned=column.zoned)
    if pa.types.is_date(array.type):
        array = pc.cast(array, pa.timestamp("s" if array.type == pa.date32() else "ms"))
    elif not pa.types.is_timestamp(array.type) or (column.zoned and array.type.tz is None):
        return None
    least, most = (bound * PER_SECOND[array.type.unit] for bound in YEARS_S)
    raw = pc.cast(array, pa.int64())
    inside = pc.and_(
        pc.greater_equal(raw, pa.scalar(max(least, -(2**63)), pa.int64())),
        pc.less_equal(raw, pa.scalar(min(most, 2**63 - 1), pa.int64())),
    )
    plain = kept(raw, inside).cast(pa.timestamp(array.type.unit, "UTC"))
    return pc.cast(plain, ARROW["timestamp"], safe=False)


def written_timestamps(array: Any, *, zoned: bool) -> Any:
    """Texts spelt as timestamps, in UTC. A day alone is its midnight; no offset is UTC unless one is asked for."""
    has_zone = pc.match_substring_regex(array, r"(?:Z|:[0-9.]+[+-][0-9:]+)\z")
    day_only = pc.equal(pc.utf8_length(array), 10)
    if zoned:
        array = kept(array, pc.fill_null(has_zone, fill_value=False))
    array = pc.if_else(day_only, pc.binary_join_element_wise(array, "T00:00Z", ""), array)
    bare = pc.and_(pc.invert(has_zone), pc.invert(day_only))
    array = pc.if_else(bare, pc.binary_join_element_wise(array, "Z", ""), array)
    found = pc.cast(kept(array, pc.invert(pc.starts_with(array, "0000"))), ARROW["timestamp"])
    raw = pc.cast(found, pa.int64())
    least, most = (bound * PER_SECOND["us"] for bound in YEARS_S)
    return kept(found, pc.and_(pc.greater_equal(raw, least), pc.less_equal(raw, most + PER_SECOND["us"] - 1)))


def strings(array: Any, column: Column) -> Any:  # noqa: ARG001  # one shape for all readers
    return array if is_text(array.type) else None


READ: dict[Type, Callable[[Any, Column], Any]] = {
    "string": strings,
    "integer": integers,
    "number": numbers,
    "boolean": booleans,
    "date": dates,
    "timestamp": timestamps,
}
