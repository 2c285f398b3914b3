"""What a shadow says beside what was answered, row by row. Pure.

Outputs are compared by name, as captures hold them. Those of numbers have differences; all others are labels, which
are equal or not. What is only in one of the two, or has another number of values, is compared with nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from samara.core.classes import named

NUMBERS = ("FP16", "FP32", "FP64", "BF16")
Outputs = Mapping[str, Any]


@dataclass(slots=True)
class Comparison:
    """The sums over what has been compared so far."""

    rows: int = 0
    captures: int = 0
    left_out: int = 0
    labelled_rows: int = 0
    _with_labels: int = 0
    _equal: int = 0
    _numbers: int = 0
    _difference: float = 0.0
    _largest: float = 0.0
    _errors: tuple[float, float] = (0.0, 0.0)

    def add(
        self, answered: Outputs, shadow: Outputs, datatypes: Mapping[str, str], rows: int, truth: Sequence[Any] = ()
    ) -> None:
        """One capture's outputs and the shadow's for the same inputs. Without a common output it is left out.

        `datatypes` are those of the shadow's outputs; `truth` has a value for each row, None where it is not known.
        """
        common = [name for name in shadow if alike(answered.get(name), shadow[name], rows)]
        if not common:
            self.left_out += 1
            return
        self.captures += 1
        self.rows += rows
        numbers = [name for name in common if datatypes[name] in NUMBERS]
        labels = [name for name in common if name not in numbers]
        for name in numbers:
            self._differ(answered[name], shadow[name])
        if labels:
            self._with_labels += rows
            pairs = [(by_row(answered[name], rows), by_row(shadow[name], rows)) for name in labels]
            self._equal += sum(all(one[row] == other[row] for one, other in pairs) for row in range(rows))
        told = [name for name in (*labels, *numbers) if len(shadow[name]) == rows]
        if told:
            self._judge(answered[told[0]], shadow[told[0]], truth[:rows])

    def said(self) -> dict[str, Any]:
        """The comparison as a `ShadowReport` has it."""
        answered, shadow = (error / self.labelled_rows if self.labelled_rows else None for error in self._errors)
        return {
            "rows": self.rows,
            "captures": self.captures,
            "left_out": self.left_out,
            "equal": self._equal / self._with_labels if self._with_labels else None,
            "mean_difference": self._difference / self._numbers if self._numbers else None,
            "largest_difference": self._largest if self._numbers else None,
            "labelled_rows": self.labelled_rows,
            "answered_error": answered,
            "shadow_error": shadow,
        }

    def _differ(self, answered: Sequence[Any], shadow: Sequence[Any]) -> None:
        for one, other in zip(answered, shadow, strict=True):
            if number(one) and number(other):
                difference = abs(one - other)
                self._numbers += 1
                self._difference += difference
                self._largest = max(self._largest, difference)

    def _judge(self, answered: Sequence[Any], shadow: Sequence[Any], truth: Sequence[Any]) -> None:
        for row, known in enumerate(truth):
            errors = error(known, answered[row]), error(known, shadow[row])
            if known is not None and None not in errors:
                self.labelled_rows += 1
                self._errors = (self._errors[0] + (errors[0] or 0.0), self._errors[1] + (errors[1] or 0.0))


def alike(one: Any, other: Any, rows: int) -> bool:
    """Whether both are lists of as many values, the same number for each row."""
    if not isinstance(one, list) or not isinstance(other, list):
        return False
    return rows > 0 and len(one) == len(other) > 0 and len(one) % rows == 0


def by_row(values: Sequence[Any], rows: int) -> list[Sequence[Any]]:
    """
    >>> by_row(["a", "b", "c", "d"], 2)
    [['a', 'b'], ['c', 'd']]
    """
    width = len(values) // rows
    return [values[row * width : (row + 1) * width] for row in range(rows)]


def error(truth: Any, said: Any) -> float | None:
    """How wrong an answer is: the distance of numbers, 0 or 1 for labels; None where the two cannot be compared.

    >>> error(3, 2.5), error(True, 1), error("tin", "gold"), error(None, 1.0)
    (0.5, 0.0, 1.0, None)
    """
    if truth is None or said is None:
        return None
    if isinstance(said, float):
        return abs(truth - said) if number(truth) and isfinite(said) else None
    return float(named(truth) != named(said))


def number(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)
