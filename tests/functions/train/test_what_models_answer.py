"""A model answers with the labels of its framework and with the classes of its target, or its run fails."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from samara.core.records import Result
from tests.bench import Bench, coins

TUNED = """
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV


def train(table, *, features, target, seed):
    model = TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy", random_state=seed)
    model.fit(table.select(features), table[target].to_numpy())
    {last}
"""

FITTED = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelEncoder


def train(table, *, features, target, seed):
    y = table[target].to_numpy()
    return LogisticRegression().fit(table.select(features), {y})
"""

BROUGHT = (
    FITTED.replace("def train(", "def fitted(")
    + """

class Brought:
    def __init__(self, model, onnx, features):
        self.model, self.onnx, self.features = model, onnx, features

    def predict(self, table):
        return self.model.predict_proba(table.select(self.features))


def train(table, **asked):
    import json, onnx, skl2onnx
    from skl2onnx.common.data_types import FloatTensorType
    model = fitted(table, **asked)
    graph = skl2onnx.to_onnx(
        model, initial_types=[("weight", FloatTensorType([None, 1]))], options={"zipmap": False}, target_opset=17
    )
    names = [name if isinstance(name, str) else int(name) for name in model.classes_]
    onnx.helper.set_model_props(graph, {"classes": json.dumps(names)})
    return Brought(model, graph.SerializeToString(), asked["features"])
"""
)

FLOWERS = pa.array(["iris", "rose", "tulip"] * 100)
ASKED: dict[str, Any] = {"features": ["weight"], "gates": {"metric": "accuracy"}}


def ran(bench: Bench, code: str, target: Any = None) -> Result:
    """The run of this code on the coins, or on coins of which this is to be told."""
    table = coins()
    bench.publish(code, **ASKED)
    bench.accept(table if target is None else table.set_column(3, "real", target))
    return bench.result()


def rare() -> Any:
    """A target that one coin in eight has, and that its weight tells only roughly."""
    noise = np.random.default_rng(1).normal(0, 2, 300)
    return pa.array(coins()["weight"].to_numpy() + noise > 13)


def test_a_graph_that_has_lost_the_tuned_threshold_of_its_model_is_refused(bench: Bench) -> None:
    result = ran(bench, TUNED.replace("{last}", "return model"), rare())

    assert result.status == "failed"
    assert "of 60 rows with another label than predict does" in result.why
    assert "a tuned threshold" in result.why


def test_the_model_inside_which_answers_by_its_probabilities_is_not(bench: Bench) -> None:
    result = ran(bench, TUNED.replace("{last}", "return model.estimator_"), rare())

    assert result.status == "succeeded", result.why
    assert result.parity
    assert result.parity.agreed


@pytest.mark.parametrize("more", [1e-5, 1e-2])
def test_between_two_classes_as_good_as_equal_framework_and_graph_may_choose_otherwise(
    bench: Bench, more: float
) -> None:
    """A model that knows nothing but how many there are of each, and whose predict takes the other."""
    code = f"""
import numpy as np
from sklearn.linear_model import LogisticRegression


def train(table, *, features, target, seed):
    model = LogisticRegression().fit(table.select(features), table[target].to_numpy())
    model.coef_, model.intercept_ = np.zeros((1, 1)), np.array([{more}])
    model.predict = lambda rows: np.zeros(rows.num_rows, dtype=bool)
    return model
"""

    result = ran(bench, code)

    assert result.status == ("succeeded" if more < 1e-4 else "failed"), result.why
    assert ("60 of 60 rows" in result.why) is (more > 1e-4)


@pytest.mark.parametrize("code", [FITTED, BROUGHT], ids=["exported", "brought"])
@pytest.mark.parametrize(
    ("y", "target", "words"),
    [
        ("LabelEncoder().fit_transform(y)", FLOWERS, "the classes 0, 1, 2; real has 'iris', 'rose', 'tulip'"),
        ("y.astype(str)", pa.array([3, 7, 7] * 100), "the classes '3', '7'; real has 3, 7"),
        ("y.astype(str)", None, "the classes 'False', 'True'; real has 0, 1"),
        ("y.astype(int) + 1", None, "the classes 1, 2; real has 0, 1"),
    ],
    ids=["encoded", "numbers as text", "booleans as text", "moved"],
)
def test_a_model_of_other_classes_than_its_target_has_is_refused(
    bench: Bench, code: str, y: str, target: Any, words: str
) -> None:
    result = ran(bench, code.replace("{y}", y), target)

    assert result.status == "failed"
    assert f"answers with {words}: fit on the target as it is" in result.why


@pytest.mark.parametrize("target", [None, FLOWERS, pa.array([-3, 7, 7] * 100)], ids=["booleans", "text", "numbers"])
@pytest.mark.parametrize("y", ["y", "y.astype(float) if y.dtype == int else y"], ids=["itself", "as floats"])
@pytest.mark.parametrize("code", [FITTED, BROUGHT], ids=["exported", "brought"])
def test_a_model_of_the_classes_of_its_target_is_not(bench: Bench, code: str, y: str, target: Any) -> None:
    result = ran(bench, code.replace("{y}", y), target)

    assert result.status == "succeeded", result.why
    assert result.parity
    assert result.parity.agreed


def test_a_rare_class_that_a_model_does_not_know_is_no_mistake(bench: Bench) -> None:
    code = FITTED.replace("y = table[target].to_numpy()", "table = table.slice(1); y = table[target].to_numpy()")

    result = ran(bench, code.replace("{y}", "y"), pa.array(["orchid", *FLOWERS.to_pylist()[1:]]))

    assert result.status == "succeeded", result.why


def test_of_many_classes_the_first_are_named(bench: Bench) -> None:
    result = ran(bench, FITTED.replace("{y}", "y + 100"), pa.array(list(range(50)) * 6))

    assert "103, 104, 105, 106, 107, 108, 109, …; real has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …: fit on" in result.why


def test_a_class_that_a_model_is_told_of_and_no_row_has_is_no_mistake(bench: Bench) -> None:
    code = """
from sklearn.linear_model import SGDClassifier


def train(table, *, features, target, seed):
    model = SGDClassifier(loss="log_loss", random_state=seed)
    return model.partial_fit(table.select(features), table[target].to_numpy(), classes=[-3, 7, 9])
"""

    result = ran(bench, code, pa.array([-3, 7, 7] * 100))

    assert result.status == "succeeded", result.why
