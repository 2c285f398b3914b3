"""The cells of one column as values of its type, and what is unusual about them. Pure.

Values are read as exactly as `validate` reads those that are trained on: `1.5` is no integer and `2023-02-30` no
date. What is of the right type is never refused: what training did not see, or the contract forbids, is flagged. Only
its patterns are not looked at: they are written for RE2, and `re` may take for ever to match a stranger's text.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite, ulp
from operator import ge, gt, le, lt
from types import NoneType
from typing import Any, NamedTuple

from samara.core.sheet import Column, Scalar, sentinels
from samara.core.spelling import SPELLING, Type
from samara.core.strict import shown
from samara.errors import Rejected

LONGEST = 32_767  # letters of one cell: what a spreadsheet's cell holds
LONGEST_CATEGORY = (
    200  # letters, beyond which a profile shortens a category's name, so nobody knows whether it was seen
)
EXACT = 2**53  # floats are whole numbers beyond it whether they were meant to be or not
INTEGERS = (-(2**63), 2**63 - 1)


class Flag(NamedTuple):
    """What is unusual about one value, although it was scored.

    `code` is `defaulted`, `unseen_missing`, `unseen_category`, `out_of_range` or `breaks_contract`.
    """

    column: str
    code: str
    why: str


Flagged = Iterator[tuple[int, Flag]]
"""Flags with the number of their row, from 0."""


def typed(values: Sequence[Any], column: Column, *, written: bool) -> list[Scalar]:
    """The values in the column's type, None where one is missing; `Rejected` naming the first row that is wrong.

    `written` says that every value may be the text of itself, as in CSV; JSON has types of its own.
    """
    kinds = set(map(type, values))
    if str in kinds:
        absent = {"", *(value for value in column.missing_values if isinstance(value, str))}
        values = [None if type(value) is str and value in absent else value for value in values]
        kinds = set(map(type, values))
    if not (kinds <= AS_THEY_ARE[column.type] and unremarkable(values, kinds, column.type)):
        values = each(values, column, written=written)
    if column.missing_values and (numbers := sentinels(column.type, column.missing_values)):
        values = [None if value in numbers else value for value in values]
    return list(values)


AS_THEY_ARE: dict[Type, set[type]] = {
    "string": {str, NoneType},
    "integer": {int, NoneType},
    "number": {float, int, NoneType},
    "boolean": {bool, NoneType},
    "date": {NoneType},
    "timestamp": {NoneType},
}


def unremarkable(values: Sequence[Any], kinds: set[type], kind: Type) -> bool:
    """Whether values of these kinds need no look at each of them, told from all together."""
    present = [value for value in values if value is not None] if NoneType in kinds else values
    match kind:
        case "string":
            return max(map(len, present), default=0) <= LONGEST
        case "integer":
            return INTEGERS[0] <= min(present, default=0) and max(present, default=0) <= INTEGERS[1]
        case "number":
            try:
                return isfinite(sum(map(float, present))) and (int not in kinds or max(map(abs, present)) <= EXACT)
            except OverflowError:
                return False
    return True


def each(values: Sequence[Any], column: Column, *, written: bool) -> list[Scalar]:
    """The values one by one; a text that comes again is read once."""
    texts: dict[str, Scalar] = {}
    found = []
    for row, value in enumerate(values):
        if type(value) is not str:
            found.append(one(value, row, column, written=written))
            continue
        if value not in texts:
            texts[value] = one(value, row, column, written=written)
        found.append(texts[value])
    return found


def one(value: Any, row: int, column: Column, *, written: bool) -> Scalar:
    if value is None:
        return None
    found = READ[column.type](value, written and isinstance(value, str))
    if found is not None:
        return found
    said = type(value).__name__ if column.personal or isinstance(value, (list, dict, bytes)) else shown(str(value))
    why = f"{said} is no {column.type}; {WRITE[column.type]}"
    raise Rejected(f"row {row + 1}: {column.name}", why, code="bad_value")


def spelt(value: Any, kind: Type) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(SPELLING[kind], value)) and not value.startswith("0000")


def integer(value: Any, written: bool) -> int | None:
    if written and re.fullmatch(SPELLING["integer"], value):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and INTEGERS[0] <= value <= INTEGERS[1] else None


def number(value: Any, written: bool) -> float | None:
    """A finite number. A whole one that floats have not is the nearest that they have, as in what is trained on."""
    if written and re.fullmatch(SPELLING["number"], value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        if not isfinite(value):
            return None
        return value if abs(value) <= EXACT else float(value)
    except OverflowError:
        return None


def boolean(value: Any, written: bool) -> bool | None:
    if isinstance(value, bool):
        return value
    if written and re.fullmatch(SPELLING["boolean"], value):
        return bool(value.lower() in ("true", "1"))
    return bool(value) if type(value) is int and value in (0, 1) else None


def string(value: Any, written: bool) -> str | None:  # noqa: ARG001  # one shape for all readers
    return value if isinstance(value, str) and len(value) <= LONGEST else None


def date(value: Any, written: bool) -> str | None:  # noqa: ARG001  # one shape for all readers
    return value if spelt(value, "date") else None


def timestamp(value: Any, written: bool) -> str | None:  # noqa: ARG001  # one shape for all readers
    """The instant in UTC. A day alone is its midnight; no offset is UTC, as in what is trained on."""
    return instant(value) if spelt(value, "timestamp") else None


def instant(text: str) -> str | None:
    """
    >>> instant("2013-02-14T13:00+01:00")
    '2013-02-14T12:00:00.000000+00:00'
    """
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:  # in UTC it is before the year 1 or after 9999
        return None
    return found.isoformat(timespec="microseconds")


READ: dict[Type, Callable[[Any, bool], Scalar]] = {
    "string": string,
    "integer": integer,
    "number": number,
    "boolean": boolean,
    "date": date,
    "timestamp": timestamp,
}
WRITE: dict[Type, str] = {
    "string": f"write text in quotes, at most {LONGEST:,} letters",
    "integer": "write a whole number of 64 bits, without quotes",
    "number": "write a finite number, without quotes, or null where it is missing",
    "boolean": "write true or false",
    "date": "write it as in 2013-02-14",
    "timestamp": "write it as in 2013-02-14T12:00:00Z",
}


def filled(values: list[Scalar], column: Column) -> tuple[list[Scalar], list[tuple[int, Flag]]]:
    """The values with the column's default where they are missing, and what that calls for saying."""
    if None not in values:
        return values, []
    rows = [row for row, value in enumerate(values) if value is None]
    if column.default is not None:
        why = "was missing" if column.personal else f"was missing, so it is {column.default!r}"
        flag = Flag(column.name, "defaulted", why)
        return [column.default if value is None else value for value in values], [(row, flag) for row in rows]
    if column.required:
        raise Rejected(f"row {rows[0] + 1}: {column.name}", "is required, and missing", code="missing_value")
    if column.seen is None or column.seen.missing:
        return values, []
    flag = Flag(column.name, "unseen_missing", "is missing, and training never saw it missing")
    return values, [(row, flag) for row in rows]


def unusual(values: Sequence[Scalar], column: Column) -> Flagged:
    """What the contract forbids, or else what training did not see. At most one flag for each value."""
    strange: dict[Scalar, Flag] = {}
    for value in suspects(values, column):
        if why := forbidden(value, column):
            strange[value] = Flag(column.name, "breaks_contract", why)
        elif flag := unseen(value, column):
            strange[value] = flag
    if strange:
        yield from ((row, strange[value]) for row, value in enumerate(values) if value in strange)


def suspects(values: Sequence[Scalar], column: Column) -> set[Scalar]:
    """The values that could be unusual; of numbers none, when even the smallest and the largest are not."""
    distinct = set(values) - {None}
    each_counts = column.valid is not None or column.multiple_of is not None
    if column.type not in ("integer", "number") or each_counts or not distinct:
        return distinct
    extremes = {min(distinct), max(distinct)}  # type: ignore[type-var]  # these are numbers
    return distinct if any(forbidden(value, column) or unseen(value, column) for value in extremes) else set()


def forbidden(value: Any, column: Column) -> str:
    """Which rule of the contract a value breaks, or nothing."""
    broken = broken_rule(value, column)
    if not broken:
        return ""
    return f"{'it' if column.personal else shown(str(value))} is {broken}"


def broken_rule(value: Any, column: Column) -> str:
    if column.valid is not None and value not in column.valid:
        return "none of the values that the contract permits"
    for bound, words, holds in (
        (column.minimum, "at least", ge),
        (column.maximum, "at most", le),
        (column.above, "more than", gt),
        (column.below, "less than", lt),
    ):
        if bound is None:
            continue
        limit: Any = instant(str(bound)) if column.type == "timestamp" else bound
        if not holds(value, limit):
            return f"not {words} {bound}, as the contract promises"
    if column.multiple_of is not None and uneven(value, column.multiple_of, column.type):
        return f"no multiple of {in_full(column.multiple_of)}, as the contract promises"
    if column.min_length is not None and len(value) < column.min_length:
        return f"not at least {column.min_length} letters long, as the contract promises"
    if column.max_length is not None and len(value) > column.max_length:
        return f"not at most {column.max_length} letters long, as the contract promises"
    return ""


def uneven(value: float, multiple: float, kind: Type) -> bool:
    """Whether a number is no multiple, told as `validate` tells it: of integers exactly, else as far as floats can."""
    if kind == "integer" and multiple == int(multiple):
        return value % int(multiple) != 0
    ratio = abs(value / multiple)
    return isfinite(ratio) and abs(ratio - round(ratio)) > max(1e-9, 4 * ulp(ratio))


def unseen(value: Any, column: Column) -> Flag | None:
    seen = column.seen
    if seen is None:
        return None
    if seen.missing >= 1:
        code = "unseen_category" if column.type in ("string", "boolean") else "out_of_range"
        return Flag(column.name, code, "is there, and training always saw it missing")
    if seen.categories is not None and seen.complete:
        name = category(value)
        if not never_seen(name, seen.categories):
            return None
        return Flag(column.name, "unseen_category", f"{shown(name)} was not in the training data")
    if seen.minimum is not None and value < seen.minimum:
        why = f"{value} is below {in_full(seen.minimum)}, the least that training saw"
    elif seen.maximum is not None and value > seen.maximum:
        why = f"{value} is above {in_full(seen.maximum)}, the most that training saw"
    else:
        return None
    return Flag(column.name, "out_of_range", why)


def in_full(number: float) -> str:
    """
    >>> in_full(1700000400.0), in_full(0.1)
    ('1700000400', '0.1')
    """
    return repr(number).removesuffix(".0")


def never_seen(name: str, categories: Mapping[str, int]) -> bool:
    """Whether no category of that name is among all those of a profile, as far as the profile can tell."""
    return name not in categories and len(name) <= LONGEST_CATEGORY


def category(value: Scalar) -> str:
    """A value's name among the categories of a profile."""
    return str(value).lower() if isinstance(value, bool) else str(value)
