"""What a window's captures add up to, for each version that answered: the profile of what was asked. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from functions.drift.performance import Labelled
from samara.core import profile
from samara.core.profile import CategoryProfile, Column, NumericProfile, Profile, merge
from samara.core.records import Capture

FLUSH = 20_000  # rows held as they were captured before they join the profile
TRUTHS = frozenset({"true", "false"})


class Gathered:
    """The captures that one version answered in one window, against its baseline."""

    def __init__(self, baseline: Profile) -> None:
        self.baseline = baseline
        self.rows = self.comparable = 0
        self.lines: list[str] = []
        self.labelled = Labelled()
        self._profile = Profile()
        self._held: dict[str, list[Any]] = {name: [] for name in baseline.columns}
        self._holding = 0

    def add(self, key: str, capture: Capture, truth: Sequence[Any]) -> None:
        """One capture, and the truth about its rows so far as it is known.

        A column that is masked was asked, and nobody kept with what: its rows count neither as missing nor as there.
        """
        self.rows += capture.rows
        self.lines.append(f"{key} {capture.digest}\n")
        known = False
        for name, held in self._held.items():
            if name in capture.masked:
                continue
            values = capture.inputs.get(name)
            known = known or isinstance(values, list)
            column = values[: capture.rows] if isinstance(values, list) else []
            held.extend([*column, *[None] * (capture.rows - len(column))])
        self.comparable += capture.rows if known else 0
        self._holding += capture.rows
        if self._holding >= FLUSH:
            self._flush()
        if truth:
            self.labelled.add(capture, truth)

    def profile(self) -> Profile:
        """The profile of all inputs so far, each column as the baseline has it."""
        self._flush()
        return self._profile

    def _flush(self) -> None:
        columns = {name: measured(held, self.baseline.columns[name]) for name, held in self._held.items()}
        self._profile = merge(self._profile, Profile(rows=self._holding, columns=columns))
        self._held = {name: [] for name in self._held}
        self._holding = 0


def answered_most(gathered: Mapping[int, Gathered]) -> int | None:
    """The version that answered most rows; of equals the latest. None when no version answered at all."""
    return max(gathered, key=lambda version: (gathered[version].rows, version), default=None)


def measured(values: Sequence[Any], baseline: Column) -> Column:
    """Captured values as a profile of the kind the baseline has. What does not fit counts as missing."""
    match baseline:
        case NumericProfile():
            return profile.numeric(np.array([as_number(value) for value in values], dtype=np.float64))
        case CategoryProfile():
            truths = bool(baseline.counts) and baseline.counts.keys() <= TRUTHS
            named = [as_category(value, truths=truths) for value in values]
            present = [name for name in named if name]
            return profile.categories(present, len(named) - len(present))
        case _:
            return profile.moments(np.array([]), len(values))


def as_number(value: Any) -> float:
    """A captured value as a float; not finite when it is none."""
    if not isinstance(value, (bool, int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def as_category(value: Any, *, truths: bool) -> str:
    """A captured value as a category's name; empty when it is missing, as empty cells are in training."""
    if isinstance(value, bool) or (truths and value in (0, 1)):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.lower() if truths else value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, (int, float)) else ""
