"""How good a model is, in numbers. Pure: measured here, judged by the gates.

Arrays have one entry for each row. The definitions are those of scikit-learn, and the tests hold them to it,
so that a data scientist finds the numbers they know.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Labels = NDArray[Any]
"""Class labels as a served model gives them: int64 (false is 0, true is 1) or strings."""


def classified(truth: Labels, labels: Labels, probabilities: Floats, classes: Sequence[int | str]) -> dict[str, float]:
    """What `definition.FOR_TASK` names for classification. `probabilities` is rows × classes, in their order.

    `auc` is for two classes; it is left out for more, and where `truth` has only one of them.
    """
    found = {"accuracy": accuracy(truth, labels), "log_loss": log_loss(truth, probabilities, classes)}
    if len(classes) == 2:
        positive = truth == classes[1]
        if 0 < positive.sum() < len(positive):
            found["auc"] = auc(positive, probabilities[:, 1])
    return found


def estimated(truth: Floats, values: Floats) -> dict[str, float]:
    """What `definition.FOR_TASK` names for regression."""
    return {"rmse": rmse(truth, values), "mae": mae(truth, values)}


def auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """How often a positive row scores higher than a negative one; a tie counts half.

    The area under the receiver operating characteristic by the Mann–Whitney statistic (Hanley and McNeil,
    Radiology 143, 1982). NaN when one of the two is missing.

    >>> auc(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    >>> auc(np.array([False, True]), np.array([0.5, 0.5]))
    0.5
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(sizes) - (sizes - 1) / 2
    wins = middle_rank[group][positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def accuracy(truth: Labels, labels: Labels) -> float:
    """The share of rows whose label is right.

    >>> accuracy(np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1]))
    0.75
    """
    return float(np.mean(truth == labels))


def log_loss(truth: Labels, probabilities: Floats, classes: Sequence[int | str]) -> float:
    """The mean of −ln p over the rows, p being the probability given to the class that was true.

    Rows are scaled to sum to 1 first. A p of 0, as for a class the model does not know, counts as the smallest
    step of the probabilities' type, which keeps the logarithm finite (so does scikit-learn).

    >>> round(log_loss(np.array([1, 0]), np.array([[0.2, 0.8], [0.6, 0.4]]), [0, 1]), 4)
    0.367
    """
    smallest = float(np.finfo(probabilities.dtype).eps)
    clipped = np.clip(probabilities.astype(np.float64), smallest, 1 - smallest)
    sums = clipped.sum(axis=1)
    given = np.full(len(truth), smallest)
    for place, name in enumerate(classes):
        given = np.where(truth == name, clipped[:, place] / sums, given)
    return float(-np.mean(np.log(given)))


def rmse(truth: Floats, values: Floats) -> float:
    """The root of the mean squared error, in the unit of the target.

    >>> rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 2**0.5
    True
    """
    off, power = errors(truth, values)
    return float(np.ldexp(np.sqrt(np.mean(off**2)), power))


def mae(truth: Floats, values: Floats) -> float:
    """The mean absolute error, in the unit of the target.

    >>> mae(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    off, power = errors(truth, values)
    return float(np.ldexp(np.mean(np.abs(off)), power))


def errors(truth: Floats, values: Floats) -> tuple[Floats, int]:
    """How far off each row is, over 2 to the power beside it: one outlier of 1e200 makes no square overflow, and a
    power of two changes no digit of what comes out."""
    sides = [side.astype(np.float64) for side in (truth, values)]
    power = int(np.frexp(max(np.abs(side).max(initial=0.0) for side in sides))[1])
    return np.ldexp(sides[0], -power) - np.ldexp(sides[1], -power), power


def reaches(figure: float, limit: float) -> bool:
    """Whether a figure is at least as large as its limit, but for the last digits of what floats come to.

    >>> reaches(0.9 - 0.8, 0.1), 0.9 - 0.8 >= 0.1
    (True, False)
    """
    return figure >= limit or math.isclose(figure, limit, rel_tol=1e-9)
