"""How good the answers were, where the truth is known. Pure.

A classifier's outputs are the label and the probabilities of its classes, a regressor's the value itself; which
output is which is found by name and size, as converters to ONNX name them. What cannot be read gives no figure.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from samara.core import metrics
from samara.core.classes import named
from samara.core.records import Capture

Task = Literal["classification", "regression"]
CERTAIN = 1e-3  # how far from 1 probabilities of half precision may add up


class Labelled:
    """Answers beside their truths, row by row, for one version. `paired` where each row had two probabilities."""

    def __init__(self) -> None:
        self.rows = 0
        self.paired = True
        self.truths: list[Any] = []
        self.labels: list[Any] = []
        self.scores: list[float | None] = []

    def add(self, capture: Capture, truth: Sequence[Any]) -> None:
        labels, (scores, paired) = label_of(capture), score_of(capture)
        self.paired = self.paired and paired
        for row, known in enumerate(truth[: capture.rows]):
            if known is not None:
                self.rows += 1
                self.truths.append(known)
                self.labels.append(labels[row] if labels is not None else None)
                self.scores.append(scores[row] if scores is not None else None)

    def answers(self) -> Iterator[tuple[Any, float]]:
        """The label and the score of each row that has a score."""
        return ((label, score) for label, score in zip(self.labels, self.scores, strict=True) if score is not None)

    def performance(self, task: Task) -> dict[str, float]:
        """The metrics that these rows allow, by the names that gates use."""
        found = regression(self) if task == "regression" else classification(self)
        return {name: value for name, value in found.items() if math.isfinite(value)}


def columns_of(capture: Capture) -> dict[str, list[Any]]:
    """The outputs with at least one value for each row."""
    rows = capture.rows
    return {
        name: values
        for name, values in capture.outputs.items()
        if isinstance(values, list) and rows and len(values) >= rows and len(values) % rows == 0
    }


def label_of(capture: Capture) -> list[Any] | None:
    """The predicted value of each row: an output with one value a row, one named for a label before all others."""
    single = {name: values for name, values in columns_of(capture).items() if len(values) == capture.rows}
    named = [name for name in single if "label" in name.lower()]
    return single[(named or list(single))[0]] if single else None


def score_of(capture: Capture) -> tuple[list[float] | None, bool]:
    """The probability of the last of two classes: the second of each row's pair, or the only one there is.

    And whether it is of a pair that together is certain: who answers so knows two classes and no more.
    """
    found = None
    for values in columns_of(capture).values():
        if all(isinstance(value, float) and 0 <= value <= 1 for value in values):
            if len(values) == 2 * capture.rows:
                firsts, lasts = values[::2], values[1::2]
                return lasts, all(abs(sum(pair) - 1) < CERTAIN for pair in zip(firsts, lasts, strict=True))
            if len(values) == capture.rows:
                found = list(values)
    return found, False


def classification(rows: Labelled) -> dict[str, float]:
    told = [(named(t), named(p)) for t, p in zip(rows.truths, rows.labels, strict=True) if is_class(p)]
    found = {"accuracy": sum(t == p for t, p in told) / len(told)} if told else {}
    classes = classes_of(rows, {label for _, label in told})
    if len(classes) == 2 and all(score is not None for score in rows.scores):
        found |= of_two(classes, rows)
    return found


def classes_of(rows: Labelled, answered: set[str]) -> list[str]:
    """The classes there are, by name. Where a model answered with both it knows, a truth that is neither is none."""
    if rows.paired and len(answered) == 2:
        return sorted(answered)
    return sorted(answered | {named(truth) for truth in rows.truths})


def of_two(classes: Sequence[str], rows: Labelled) -> dict[str, float]:
    """What the scores of two classes are worth, over the rows whose truth is one of them."""
    told = [(named(t), score) for t, score in zip(rows.truths, rows.scores, strict=True) if named(t) in classes]
    if not told:
        return {}
    last = last_of(classes, rows)
    positive = np.array([truth == last for truth, _ in told])
    scores = np.array([score for _, score in told], dtype=np.float64)
    pairs = np.stack([1 - scores, scores], axis=1)
    return {
        "log_loss": metrics.log_loss(positive.astype(np.int64), pairs, [0, 1]),
        "auc": metrics.auc(positive, scores),
    }


def last_of(classes: Sequence[str], rows: Labelled) -> str:
    """The class that the scores are of. A model may order its classes as it likes, and its surest answer tells: a
    label is the class of the largest probability. Without labels, it is the last by name."""
    sure = [(abs(score - 0.5), score, named(label)) for label, score in rows.answers() if is_class(label)]
    if not sure:
        return classes[1]
    _, score, label = max(sure)
    return label if score > 0.5 else next(name for name in classes if name != label)


def regression(rows: Labelled) -> dict[str, float]:
    pairs = [(t, p) for t, p in zip(rows.truths, rows.labels, strict=True) if is_number(t) and is_number(p)]
    if not pairs:
        return {}
    truths, values = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    return metrics.estimated(truths, values)


def is_class(label: Any) -> bool:
    """Whether a predicted value can name a class: a share of one cannot."""
    return label is not None and not (isinstance(label, float) and not label.is_integer())


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e308
