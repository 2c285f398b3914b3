"""The numbers are those of scikit-learn."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs

from samara.core import metrics

Rows = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2, max_size=50)


@given(Rows.filter(lambda rows: len({truth for truth, _ in rows}) == 2))
def test_auc_counts_ties_as_scikit_learn_does(rows: list[tuple[bool, float]]) -> None:
    truth, score = (np.array(column) for column in zip(*rows, strict=True))

    assert metrics.auc(truth, score) == pytest.approx(theirs.roc_auc_score(truth, score))


@given(Rows)
def test_turning_the_scores_round_turns_auc_round(rows: list[tuple[bool, float]]) -> None:
    truth, score = (np.array(column) for column in zip(*rows, strict=True))

    one, other = metrics.auc(truth, score), metrics.auc(truth, -score)

    assert math.isnan(one) == (len(set(truth.tolist())) == 1)
    assert math.isnan(one) or one + other == pytest.approx(1)


@given(Rows, st.sampled_from([np.float32, np.float64]))
def test_log_loss_and_accuracy_are_scikit_learns(rows: list[tuple[bool, float]], kind: Any) -> None:
    truth = np.array([int(truth) for truth, _ in rows])
    probabilities = np.array([[1 - score, score] for _, score in rows], dtype=kind)
    labels = (probabilities[:, 1] > 0.5).astype(int)

    found = metrics.classified(truth, labels, probabilities, [0, 1])

    assert found["log_loss"] == pytest.approx(theirs.log_loss(truth, probabilities, labels=[0, 1]), rel=1e-5, abs=1e-6)
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(truth, labels))


Numbers = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=50)


@given(Numbers)
def test_errors_of_estimates_are_scikit_learns(rows: list[tuple[float, float]]) -> None:
    truth, values = (np.array(column) for column in zip(*rows, strict=True))

    found = metrics.estimated(truth, values)

    assert found["rmse"] == pytest.approx(theirs.root_mean_squared_error(truth, values))
    assert found["mae"] == pytest.approx(theirs.mean_absolute_error(truth, values))


def test_one_outlier_makes_no_error_infinite() -> None:
    found = metrics.estimated(np.array([1e200, 1.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0, 1.0]))

    assert found == {"rmse": pytest.approx(5e199), "mae": pytest.approx(2.5e199)}


def test_a_class_the_model_never_met_costs_much_and_not_infinitely() -> None:
    found = metrics.log_loss(np.array(["c"]), np.array([[0.5, 0.5]]), ["a", "b"])

    assert found == pytest.approx(36.04, abs=0.01)


def test_three_classes_have_no_auc() -> None:
    found = metrics.classified(np.array(["a", "b"]), np.array(["a", "b"]), np.eye(3)[:2], ["a", "b", "c"])

    assert set(found) == {"accuracy", "log_loss"}
