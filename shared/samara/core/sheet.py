"""What an answer needs to know of a model's columns: their types, what the contract promises and what training saw.

`register` writes the sheet of a version as a blob, and the version names it; `predict` reads it before its first
answer, so nothing here needs more than the standard library. Pure.

Of a personal column a sheet keeps nothing that training saw but how much of it was missing: no category, no extreme,
and no value in the background.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from samara.core.digests import canonical
from samara.core.sealed import known
from samara.core.spelling import SPELLING, Type
from samara.errors import Rejected

SCHEMA = 1

Scalar = bool | int | float | str | None


class Seen(NamedTuple):
    """What training saw of a column. `missing` is a share of its rows.

    Of numbers: the extremes, and `low` and `high`, between which 98 % of the values lie. Of text and truth values:
    how often each category occurs, and whether these are all there were: of very many, only some are `complete`.
    """

    missing: float = 0.0
    low: float | None = None
    high: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: Mapping[str, int] | None = None
    complete: bool = False


class Column(NamedTuple):
    """One column that the model is asked with. Bounds and `valid` values are the contract's, `above` and `below`
    exclusive; those of dates and timestamps are ISO 8601 texts. Lengths are in letters. What is one of
    `missing_values` is not there."""

    name: str
    type: Type
    required: bool = False
    minimum: float | str | None = None
    maximum: float | str | None = None
    above: float | str | None = None
    below: float | str | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    valid: tuple[Scalar, ...] | None = None
    missing_values: tuple[Scalar, ...] = ()
    default: Scalar = None
    personal: bool = False
    seen: Seen | None = None


class Target(NamedTuple):
    """What is predicted."""

    name: str
    type: Type


class Sheet(NamedTuple):
    """A version's columns in the order of its inputs.

    `ignored` are the contract's columns that the model is not asked with. `classes` are in the order of the columns
    of `probabilities`. `rowwise` says that rows asked together get, bit for bit, the answers they get apart, in
    whatever order: only then may requests share a run. `background` are rows for explanations to compare with.
    """

    columns: tuple[Column, ...]
    task: Literal["classification", "regression"] | None = None
    target: Target | None = None
    ignored: tuple[str, ...] = ()
    classes: tuple[int | str, ...] = ()
    rowwise: bool = False
    background: Mapping[str, tuple[Scalar, ...]] = MappingProxyType({})

    @property
    def background_rows(self) -> int:
        return max(map(len, self.background.values()), default=0)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def masked(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What of these inputs may be kept, and the names of the personal ones, which are left out. An input that
        holds several columns is personal when one of them is."""
        personal = {column.name for column in self.columns if column.personal}
        if not personal:
            return dict(values), ()
        others = {column.name for column in self.columns} - personal
        kept = {name: value for name, value in values.items() if name in others}
        return kept, tuple(name for name in values if name not in kept)

    def to_bytes(self) -> bytes:
        """Canonical JSON. A field at its default is left out, so that a later Samara may add one."""
        return canonical({**told(self), "schema": SCHEMA})

    @classmethod
    def read(cls, data: bytes, where: str = "sheet") -> "Sheet":
        """The sheet in `data`, or `Rejected` when it is none, or of a later Samara."""
        try:
            said = json.loads(data)
            known(said.pop("schema"), SCHEMA, where)
            columns = tuple(one_column(column) for column in said.pop("columns"))
            target = said.pop("target", None)
            lists: dict[str, Any] = {name: tuple(said.pop(name)) for name in ("ignored", "classes") if name in said}
            background = {name: tuple(values) for name, values in said.pop("background", {}).items()}
            target = Target(**target) if target else None
            return cls(columns=columns, target=target, background=background, **lists, **said)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            why = "not a sheet of a model's columns; register the version's run again"
            raise Rejected(where, why, code="bad_record") from error


def sentinels(kind: Type, missing_values: Iterable[Scalar]) -> set[int] | set[float]:
    """The numbers that mean that nothing is there, as a column of this type has them; a text may spell one, too.

    >>> sorted(sentinels("integer", ("-999", -1.0, 0.5, "NA", 2**63)))
    [-999, -1]
    """
    found = [one for one in numbers(missing_values) if abs(one) <= sys.float_info.max]
    if kind == "integer":
        return {int(one) for one in found if one == int(one) and -(2**63) <= one < 2**63}
    return {float(one) for one in found} if kind == "number" else set()


def numbers(values: Iterable[Scalar]) -> Iterator[float]:
    for value in values:
        if isinstance(value, str) and re.fullmatch(SPELLING["number"], value):
            yield int(value) if re.fullmatch(SPELLING["integer"], value) else float(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield value


def told(part: Any) -> dict[str, Any]:
    """What a part of a sheet says that is not said by default."""
    usual: dict[str, Any] = part._field_defaults
    return {name: plain(value) for name, value in part._asdict().items() if name not in usual or value != usual[name]}


def plain(value: Any) -> Any:
    if isinstance(value, Seen | Column | Target):
        return told(value)
    return [plain(one) for one in value] if isinstance(value, tuple) else value


def one_column(said: dict[str, Any]) -> Column:
    seen = said.pop("seen", None)
    lists: dict[str, Any] = {name: tuple(said.pop(name)) for name in ("valid", "missing_values") if name in said}
    return Column(**said, **lists, seen=Seen(**seen) if seen is not None else None)
