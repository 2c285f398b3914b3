"""Which rows keep a contract, and which promise each of the others breaks. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil, floor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from functions.validate.profiled import profiled
from functions.validate.repeated import Seen, repeats
from functions.validate.typed import ARROW, Mask, Typed, mask, typed, whole
from samara.core.contract import Column, Contract, Rule
from samara.core.profile import Profile, merge
from samara.errors import Rejected

EXAMPLES = 5  # row numbers in a report: enough to find the pattern


@dataclass(slots=True)
class Tally:
    """How many rows break one promise, and the numbers of the first of them."""

    rows: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, broken: Mask, offset: int) -> None:
        found = np.flatnonzero(broken)
        self.rows += int(found.size)
        self.first += (found[: EXAMPLES - len(self.first)] + offset + 1).tolist()


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing a contract says of single rows: the check's name, the column (or columns of a key), in words."""

    check: str
    column: str
    why: str


@dataclass(frozen=True, slots=True)
class Judged:
    """Some rows after the checks: those `accepted`, typed, and where the others are and what they break."""

    accepted: Any
    refused: Mask
    broken: tuple[tuple[Promise, Mask], ...]


class Judge:
    """Takes a batch's rows in order and remembers what a verdict needs: tallies, keys, measures, the profile."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.schema = pa.schema([(column.name, ARROW[column.type]) for column in contract.columns])
        self.promises: dict[Promise, Tally] = {p: Tally() for c in contract.columns for p in promises(c)}
        self.promises |= {unique(key): Tally() for key in contract.keys}
        self.rows = self.refused = 0
        self.measured: dict[Rule, int] = defaultdict(int)
        self.profile = Profile()
        self._keys = {key: Seen() for key in contract.keys}
        self._counted = {rule: Seen() for rule in contract.rules if rule.metric == "duplicateValues"}

    def take(self, rows: Any) -> Judged:
        """The next rows, a record batch that may lack columns or have others."""
        columns = {column.name: typed(column_of(rows, column), column) for column in self.contract.columns}
        broken = [(p, m) for c in self.contract.columns for p, m in violations(c, columns[c.name]) if m.any()]
        good = ~np.logical_or.reduce([np.zeros(rows.num_rows, dtype=np.bool_), *(m for _, m in broken)])
        keys = [[columns[name].values for name in key] for key in self._keys]
        repeated = repeats(list(self._keys.values()), keys, good)
        broken += [(unique(key), again) for key, again in zip(self._keys, repeated, strict=True) if again.any()]
        good = ~np.logical_or.reduce([~good, *repeated])
        for promise, where in broken:
            self.promises[promise].add(where, self.rows)
        accepted = pa.RecordBatch.from_arrays([c.values for c in columns.values()], schema=self.schema)
        accepted = accepted.filter(pa.array(good))
        self._measure(accepted)
        self.rows += rows.num_rows
        self.refused += rows.num_rows - accepted.num_rows
        return Judged(accepted, ~good, tuple(broken))

    def _measure(self, accepted: Any) -> None:
        """What the rules about the whole need to know of these rows."""
        if accepted.num_rows:
            self.profile = merge(self.profile, profiled(accepted))
        for rule in self.contract.rules:
            columns = [accepted.column(name) for name in rule.columns]
            match rule.metric:
                case "rowCount":
                    self.measured[rule] += accepted.num_rows
                case "nullValues" | "missingValues":
                    self.measured[rule] += columns[0].null_count
                case "invalidValues":
                    kind = self.contract.column(rule.columns[0])
                    self.measured[rule] += int(invalid(columns[0], rule, kind).sum())
                case "duplicateValues":
                    everyone = np.ones(accepted.num_rows, dtype=np.bool_)
                    (again,) = repeats([self._counted[rule]], [columns], everyone)
                    self.measured[rule] += int(again.sum())


def runnable(contract: Contract) -> None:
    """`Rejected` when RE2, which runs the contract's patterns in linear time, cannot read one of them."""
    patterns = [p for c in contract.columns for p in c.patterns] + [r.pattern for r in contract.rules if r.pattern]
    for pattern in patterns:
        try:
            pc.match_substring_regex(pa.array([""]), whole(pattern))
        except pa.ArrowInvalid as error:
            raise Rejected(f"pattern {pattern[:80]!r}", f"{error}; write it simpler", code="bad_contract") from error


def column_of(rows: Any, column: Column) -> Any:
    """The written values of a column, all missing when the batch lacks it."""
    place = rows.schema.get_field_index(column.name)
    return rows.column(place) if place >= 0 else pa.nulls(rows.num_rows)


def unique(key: tuple[str, ...]) -> Promise:
    return Promise("unique", ", ".join(key), "repeats the key of an earlier row")


def promises(column: Column) -> Iterator[Promise]:
    """What a contract says of single values of a column."""
    if column.required:
        yield Promise("required", column.name, "is missing")
    yield Promise("type", column.name, f"is no {column.type}{', or says no offset' if column.zoned else ''}")
    if any(bound is not None for bound in (column.minimum, column.maximum, column.above, column.below)):
        yield Promise("range", column.name, f"is not {span(column)}")
    if column.multiple_of is not None:
        yield Promise("multiple_of", column.name, f"is no multiple of {column.multiple_of:g}")
    if column.min_length is not None or column.max_length is not None:
        yield Promise("length", column.name, f"has not {column.min_length or 0} to {column.max_length or '∞'} letters")
    if column.patterns:
        yield Promise("pattern", column.name, f"does not match {' and '.join(column.patterns)}")
    if column.valid_values:
        yield Promise("valid_values", column.name, "is none of the valid values")


def span(column: Column) -> str:
    """The permitted range, to read: `at least 0 and less than 10`."""
    words = {
        "at least": column.minimum,
        "more than": column.above,
        "at most": column.maximum,
        "less than": column.below,
    }
    return " and ".join(f"{word} {bound}" for word, bound in words.items() if bound is not None)


def violations(column: Column, found: Typed) -> Iterator[tuple[Promise, Mask]]:
    """Each promise about a column and the rows that break it. What is missing breaks `required` alone."""
    for promise in promises(column):
        match promise.check:
            case "required":
                yield promise, found.missing
            case "type":
                yield promise, found.wrong
            case "range":
                yield promise, outside(column, found.values)
            case "multiple_of":
                yield promise, uneven(column, found.values)
            case "length":
                yield promise, ill_sized(column, found.values)
            case "pattern":
                yield promise, unlike(found.values, column.patterns)
            case "valid_values":
                yield promise, none_of(found.values, column, column.valid_values)


def outside(column: Column, values: Any) -> Mask:
    found = np.zeros(len(values), dtype=np.bool_)
    for wrong, bound, rounded in (
        (pc.less, column.minimum, ceil),
        (pc.greater, column.maximum, floor),
        (pc.less_equal, column.above, floor),
        (pc.greater_equal, column.below, ceil),
    ):
        if isinstance(bound, (int, float)) and column.type == "integer":
            found |= mask(wrong(values, whole_number(rounded(bound))))
        elif bound is not None:
            found |= mask(wrong(values, pa.scalar(bound, ARROW[column.type])))
    return found


def whole_number(bound: int) -> Any:
    """A bound that 64-bit integers are compared with exactly, even if it is beyond them."""
    return pa.scalar(bound, pa.int64()) if -(2**63) <= bound < 2**63 else pa.scalar(Decimal(bound))


def uneven(column: Column, values: Any) -> Mask:
    """Values that are no multiple: of integers exactly, of other numbers as far as floats can tell."""
    multiple = column.multiple_of or 1.0
    present = pc.fill_null(values, 0)
    if column.type == "integer" and multiple.is_integer():
        sizes = np.abs(present.to_numpy(zero_copy_only=False)).view(np.uint64)  # unsigned holds −2⁶³ without its sign
        rest: Mask = sizes % np.uint64(multiple) != 0
        return rest
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.abs(pc.cast(present, pa.float64(), safe=False).to_numpy(zero_copy_only=False) / multiple)
        far: Mask = np.abs(ratios - np.round(ratios)) > np.maximum(1e-9, 4 * np.spacing(ratios))
    return far


def ill_sized(column: Column, values: Any) -> Mask:
    letters = pc.utf8_length(values)
    short = mask(pc.less(letters, column.min_length or 0))
    return short if column.max_length is None else short | mask(pc.greater(letters, column.max_length))


def unlike(values: Any, patterns: tuple[str, ...]) -> Mask:
    found = np.zeros(len(values), dtype=np.bool_)
    for pattern in patterns:
        found |= mask(pc.invert(pc.match_substring_regex(values, whole(pattern))))
    return found


def none_of(values: Any, column: Column, sets: tuple[tuple[Any, ...], ...]) -> Mask:
    present = mask(pc.is_valid(values))
    found = np.zeros(len(values), dtype=np.bool_)
    for one in sets:
        given = [value for value in one if value is not None]
        if column.type in ("date", "timestamp"):
            valid = typed(pa.array([str(value) for value in given]), Column(name=column.name, type=column.type)).values
        else:
            valid = pa.array(given, ARROW[column.type])
        found |= present & ~mask(pc.is_in(values, value_set=valid))
    return found


def invalid(values: Any, rule: Rule, column: Column) -> Mask:
    """The rows that a rule about the whole counts as invalid."""
    found = none_of(values, column, (rule.valid_values,)) if rule.valid_values else np.zeros(len(values), np.bool_)
    if rule.pattern and column.type == "string":
        found = found | unlike(values, (rule.pattern,))
    return found
