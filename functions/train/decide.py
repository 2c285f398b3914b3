"""Whether a cause leads to training. Pure: what is known goes in, a verdict with its reason comes out."""

from collections.abc import Iterable
from dataclasses import dataclass

from samara.core.definition import Definition
from samara.core.records import DriftReport, Result
from samara.core.windows import Window

FIRST = "first"
OF_THE_DEAD = "reconcile"  # it writes the result of a job that died before it could
WAYS_ON = 'change code, data or settings, or ask with --again ("again": true) where none of these is wrong'


@dataclass(frozen=True, slots=True)
class Verdict:
    train: bool
    why: str


def first(definition: Definition) -> Verdict:
    """The first accepted batch of a model's dataset trains its first version."""
    return Verdict(train=True, why=f"the first accepted batch of {definition.dataset}")


def drifted(report: DriftReport, definition: Definition, trained: Iterable[Window]) -> Verdict:
    """Whether this window's drift is worth a training. `trained` are windows that have led to one already.

    Only windows matter, never the clock: told again, late or in another order, the same window is judged by
    the same neighbours.
    """
    window = Window(report.window)
    if report.verdict != "drifted":
        return Verdict(train=False, why=f"{report.verdict}: {report.why}")
    if not definition.drift.retrain:
        return Verdict(train=False, why="retraining is switched off (drift.retrain); train by hand when it is time")
    cooling_from = earliest(window, definition.drift.cooldown)
    for other in sorted(trained, key=lambda other: other.start, reverse=True):
        if other.start > window.start:
            return Verdict(train=False, why=f"came late: the later window {other.name} has led to training already")
        if cooling_from.start <= other.start < window.start:
            windows = f"{definition.drift.cooldown} window{'s' * (definition.drift.cooldown != 1)}"
            return Verdict(train=False, why=f"cooling down for {windows} after the training for {other.name}")
    return Verdict(train=True, why=f"drifted: {report.why}")


def tried(verdict: Verdict, run: str, result: Result | None) -> Verdict:
    """Whether drift is worth a training on what this run was to be trained on, now that there is nothing newer. It is
    where the job died, which may pass: what the job itself says of a failure, it would say again."""
    if result is None or result.status == "succeeded":
        why = f"but run {run} has trained on all there is: wait for the next accepted batch"
        return Verdict(train=False, why=f"{verdict.why}; {why}")
    if result.made_by.function == OF_THE_DEAD:
        return Verdict(train=True, why=f"{verdict.why}; once more, for the job of run {run} died without a word")
    return Verdict(train=False, why=f"{verdict.why}; but run {run} failed on all there is: {WAYS_ON}")


def cooling(window: Window, cooldown: int) -> list[Window]:
    """The windows before this one, oldest first, whose training keeps it from starting another."""
    windows = [window]
    for _ in range(cooldown):
        windows.append(windows[-1].previous)
    return windows[:0:-1]


def earliest(window: Window, cooldown: int) -> Window:
    """The first window whose training still keeps this one from starting another."""
    return [*cooling(window, cooldown), window][0]
