"""Data contracts: what a dataset's owner promises about each column.

We enforce what is about the data: types, ranges, lengths, patterns, permitted values, keys and the library
metrics. `samara.core.odcs` reads them, `samara.core.draft` writes a first one.
"""

import re
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from samara.core.spelling import Type
from samara.errors import Rejected

Bound = int | float | date | datetime
Scalar = bool | int | float | str | None
Metric = Literal["rowCount", "nullValues", "missingValues", "invalidValues", "duplicateValues"]
METRICS: tuple[Metric, ...] = ("rowCount", "nullValues", "missingValues", "invalidValues", "duplicateValues")
MOST_COLUMNS = 10_000
LONGEST_PATTERN = 1_000
PERSONAL = frozenset(
    {"personal", "pii", "phi", "pci", "sensitive", "private", "restricted", "confidential", "secret"}
)  # words of a `classification`: the standard leaves them to the owner, these are its examples and common ones


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(Section):
    """A library metric and what it must be. `unit` percent is of the rows measured.

    `columns` are those it measures, none for `rowCount`. `fatal` is false when the contract's `severity` says that
    a broken rule is to be reported only.
    """

    metric: Metric
    columns: tuple[str, ...] = ()
    operator: str
    value: float
    upper: float = 0.0
    percent: bool = False
    fatal: bool = True
    valid_values: tuple[Scalar, ...] = ()
    pattern: str | None = None
    missing_values: tuple[Scalar, ...] = ()

    def holds(self, measured: float) -> bool:
        """Whether a measured count (or percentage) is what it must be."""
        return {
            "mustBe": measured == self.value,
            "mustNotBe": measured != self.value,
            "mustBeGreaterThan": measured > self.value,
            "mustBeGreaterOrEqualTo": measured >= self.value,
            "mustBeLessThan": measured < self.value,
            "mustBeLessOrEqualTo": measured <= self.value,
            "mustBeBetween": self.value <= measured <= self.upper,
            "mustNotBeBetween": not self.value <= measured <= self.upper,
        }[self.operator]

    @property
    def words(self) -> str:
        """What it must be, to read: `must be less than 5 percent`."""
        said = re.sub(r"([A-Z])", lambda match: " " + match[1].lower(), self.operator)
        bound = f"{self.value:g} and {self.upper:g}" if self.operator.endswith("Between") else f"{self.value:g}"
        return f"{said} {bound}{' percent' if self.percent else ''}"


OPERATORS = (
    "mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo",
    "mustBeBetween", "mustNotBeBetween",
)  # fmt: skip


class Column(Section):
    """What is promised of each value of one column. `above` and `below` are the standard's exclusive bounds.

    Bounds have the column's type. `patterns` match whole values. `zoned` timestamps must say their offset;
    others without one are UTC. `default` is what a prediction is asked with where the value is missing; it changes
    nothing in the data that is trained on.
    """

    name: str
    type: Type
    required: bool = False
    minimum: Bound | None = None
    maximum: Bound | None = None
    above: Bound | None = None
    below: Bound | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    patterns: tuple[str, ...] = ()
    valid_values: tuple[tuple[Scalar, ...], ...] = ()
    missing_values: tuple[Scalar, ...] = ()
    zoned: bool = False
    classification: str | None = None
    default: Scalar = None
    description: str = ""

    @property
    def personal(self) -> bool:
        """Whether the `classification` says that values are about people or must not spread: one of its words is
        in PERSONAL."""
        return not PERSONAL.isdisjoint(re.split(r"[^a-z]+", (self.classification or "").lower()))


class Contract(Section):
    """One dataset's contract; `dataset` is the name of its one schema object. `keys` are the columns, alone or
    together, whose values occur once.

    `rules` are about the whole of a batch; those that allow no exception to any row have become part of
    their column, so that only the rows concerned are refused. `left_alone` names what another engine must check.
    """

    id: str
    dataset: str
    name: str
    version: str
    status: str
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, ...], ...] = ()
    rules: tuple[Rule, ...] = ()
    left_alone: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise Rejected(name, f"no column of contract {self.name!r}; it has {', '.join(self.names[:20])}")
