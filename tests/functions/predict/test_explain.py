"""Explanations add up, treat features alike, and say what `shap` says of the same models and background."""

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shap
import skl2onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from functions.predict import explain
from functions.predict.explain import Attributions, Target, attributions
from samara import loading
from samara.core.tensors import Value
from samara.errors import Rejected

Matrix = NDArray[Any]
Ask = Callable[[dict[str, Value]], Mapping[str, Value]]
PREDICTION = Target("prediction")


def fp32(values: Any) -> Value:
    array = np.asarray(values, dtype=np.float32)
    return Value("FP32", array.shape, memoryview(array.tobytes()))


def column(values: Any) -> Value:
    return fp32(np.asarray(values).reshape(-1, 1))


def texts(*values: str) -> Value:
    return Value("BYTES", (len(values), 1), [value.encode() for value in values])


def array(value: Value) -> Matrix:
    if value.datatype == "BYTES":
        return np.array([text.decode() for text in value.data], dtype=object).reshape(value.shape)
    return np.frombuffer(value.data, dtype=explain.NUMBERS[value.datatype]).reshape(value.shape)


def served(model: Any, types: Any, **options: Any) -> Ask:
    """A scikit-learn model as it is served: exported to ONNX, and asked through onnxruntime."""
    session = loading.session(
        skl2onnx.to_onnx(model, initial_types=types, target_opset=17, **options).SerializeToString()
    )
    names = [node.name for node in session.get_outputs()]

    def ask(values: dict[str, Value]) -> dict[str, Value]:
        outputs = session.run(None, {name: array(value) for name, value in values.items()})
        found = zip(names, outputs, strict=True)
        return {"prediction" if name == "variable" else name: fp32(output) for name, output in found if name != "label"}

    return ask


def function(formula: Callable[..., Any], *names: str) -> Ask:
    """A model that is a formula of its inputs."""

    def ask(values: dict[str, Value]) -> dict[str, Value]:
        return {"prediction": fp64(formula(*(array(values[name])[:, 0].astype(np.float64) for name in names)))}

    return ask


def fp64(values: Matrix) -> Value:
    return Value("FP64", values.shape, memoryview(np.asarray(values, dtype=np.float64).tobytes()))


def adds_up(found: Attributions) -> bool:
    total = found.base + sum(found.values.values())
    scale = max(1.0, abs(found.base), *map(abs, found.values.values()))
    return total == pytest.approx(found.prediction, abs=2e-5 * scale)


FORMULAS: dict[str, Callable[..., Any]] = {
    "a sum": lambda a, b, c: a + 2 * b - c,
    "a product": lambda a, b, c: a * b + c,
    "a threshold": lambda a, b, c: np.where((a > 0) & (b > c), 3.0, -1.0),
    "a curve": lambda a, b, c: np.tanh(a * c) + np.sin(b),
    "a constant": lambda *x: 7.0 + 0 * x[0],
}
NAMES = ("a", "b", "c")
numbers = st.floats(-4, 4, width=32)
rows = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5)


def asked(formula: Callable[..., Any], row: tuple[float, ...], background: list[tuple[float, ...]]) -> Attributions:
    others = np.array(background, dtype=np.float32)
    return attributions(
        function(formula, *NAMES),
        {name: column([value]) for name, value in zip(NAMES, row, strict=True)},
        {name: column(others[:, place]) for place, name in enumerate(NAMES)},
        target=PREDICTION,
    )


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@given(row=st.tuples(numbers, numbers, numbers), background=rows)
@settings(max_examples=25, deadline=None)
def test_what_the_features_added_adds_up_to_the_prediction(formula: Any, row: Any, background: Any) -> None:
    assert adds_up(asked(formula, row, background))


@given(row=st.tuples(numbers, numbers, numbers), background=rows)
@settings(max_examples=25, deadline=None)
def test_a_feature_that_changes_nothing_added_nothing(row: Any, background: Any) -> None:
    found = asked(lambda *x: x[0] * x[2], row, background)

    assert found.values["b"] == 0


@given(one=numbers, other=numbers, background=rows)
@settings(max_examples=25, deadline=None)
def test_features_that_do_the_same_added_the_same(one: float, other: float, background: Any) -> None:
    alike: list[tuple[float, ...]] = [(same, same, c) for same, _, c in background]

    found = asked(lambda a, b, c: np.maximum(a, 0) * np.maximum(b, 0) + c, (one, one, other), alike)

    assert found.values["a"] == pytest.approx(found.values["b"])


@given(row=st.tuples(numbers, numbers, numbers), background=rows)
@settings(max_examples=25, deadline=None)
def test_of_the_sum_of_two_models_each_feature_added_what_it_added_to_both(row: Any, background: Any) -> None:
    one, other = FORMULAS["a threshold"], FORMULAS["a curve"]

    both = asked(lambda *x: one(*x) + other(*x), row, background)

    apart = [asked(formula, row, background).values for formula in (one, other)]
    assert both.values == pytest.approx({name: sum(each[name] for each in apart) for name in NAMES})


def test_a_feature_that_is_as_in_all_the_background_added_nothing() -> None:
    found = asked(FORMULAS["a curve"], (1.0, 2.0, 3.0), [(1.0, -1.0, 0.5), (1.0, 0.0, 0.0)])

    assert found.values["a"] == 0


def boosted(features: int, classes: int = 2) -> tuple[Any, Ask, Matrix]:
    """A classifier of a wide input, how it is asked, and rows it was trained on."""
    made, labels = make_classification(300, features, n_informative=5, n_redundant=0, n_classes=classes, random_state=0)
    table = made.astype(np.float32)
    model = GradientBoostingClassifier(n_estimators=20, random_state=0).fit(table, labels)
    types, options = [("x", FloatTensorType([None, features]))], {"zipmap": False}
    return model, served(model, types, options={id(model): options}), table


def test_the_exact_values_are_those_of_shap() -> None:
    model, ask, table = boosted(6, classes=3)
    row, background = table[:1], table[100:120]
    theirs = shap.explainers.Exact(model.predict_proba, background)(row)

    for place in range(3):
        found = attributions(ask, {"x": fp32(row)}, {"x": fp32(background)}, target=Target("probabilities", place))

        assert found.how == "enumerated"
        assert list(found.values) == [f"x[{number}]" for number in range(6)]
        assert list(found.values.values()) == pytest.approx(theirs.values[0, :, place].tolist(), abs=1e-5)
        assert found.base == pytest.approx(theirs.base_values[0, place], abs=1e-5)
        assert found.errors == dict.fromkeys(found.values, 0.0)
        assert adds_up(found)


def test_sampled_values_are_those_of_shap_within_their_stated_errors() -> None:
    model, ask, table = boosted(11)
    row, background = table[:1], table[100:110]
    exact = shap.explainers.Exact(lambda rows: model.predict_proba(rows)[:, 1], background)(row).values[0]

    found = [
        attributions(
            ask,
            {"x": fp32(row)},
            {"x": fp32(background)},
            target=Target("probabilities", 1),
            samples=400,
            seed=seed,
        )
        for seed in range(5)
    ]

    assert {one.how for one in found} == {"sampled"}
    assert all(adds_up(one) for one in found)
    values = np.array([list(one.values.values()) for one in found])
    errors = np.array([list(one.errors.values()) for one in found])
    off = np.abs(values - exact) / np.maximum(errors, 1e-6)
    assert (off < 5).all()
    assert (off < 2).mean() > 0.8, "or the errors are stated too small"
    assert off.mean() > 0.3, "or they are stated too large"


def test_more_samples_leave_smaller_errors() -> None:
    _, ask, table = boosted(13)
    row, background = {"x": fp32(table[:1])}, {"x": fp32(table[100:105])}

    errors = [
        max(attributions(ask, row, background, target=Target("probabilities", 1), samples=samples).errors.values())
        for samples in (100, 400, 1600, 6400)
    ]

    assert all(later < before for before, later in pairwise(errors))


def test_of_a_forest_estimates_are_explained_as_by_the_kernel_explainer() -> None:
    made, target = make_regression(200, 5, random_state=0)
    table = made.astype(np.float32)
    model = RandomForestRegressor(n_estimators=10, max_depth=4, random_state=0).fit(table, target)
    row, background = table[:1], table[100:115]
    theirs = shap.KernelExplainer(model.predict, background).shap_values(row, nsamples=1000, silent=True)

    found = attributions(
        served(model, [("x", FloatTensorType([None, 5]))]),
        {"x": fp32(row)},
        {"x": fp32(background)},
        target=PREDICTION,
    )

    assert list(found.values.values()) == pytest.approx(theirs[0].tolist(), rel=1e-4, abs=1e-3)


def test_a_linear_model_is_seen_to_be_additive_and_asked_little() -> None:
    made, target = make_regression(200, 30, random_state=0)
    table = made.astype(np.float32)
    model = LinearRegression().fit(table, target)
    row, background = table[:1], table[100:125]
    theirs = shap.LinearExplainer(model, shap.maskers.Independent(background)).shap_values(row)

    found = attributions(
        served(model, [("x", FloatTensorType([None, 30]))]),
        {"x": fp32(row)},
        {"x": fp32(background)},
        target=PREDICTION,
        samples=100_000,
    )

    assert (found.how, found.exact) == ("additive", True)
    assert found.coalitions < 100
    assert list(found.values.values()) == pytest.approx(theirs[0].tolist(), abs=1e-4 * float(np.ptp(theirs)))
    assert adds_up(found)


def test_one_pair_of_features_that_act_on_each_other_is_not_missed() -> None:
    names = [f"f{number}" for number in range(20)]
    formula = lambda *x: sum(x) + x[3] * x[17]  # noqa: E731  # a formula

    found = attributions(
        function(formula, *names),
        {name: column([1.0]) for name in names},
        {name: column([0.0]) for name in names},
        target=PREDICTION,
    )

    assert found.how == "sampled"
    assert found.values["f3"] == pytest.approx(1.5, abs=0.2)
    assert found.values["f0"] == pytest.approx(1.0)


def test_text_and_numbers_are_explained_alike() -> None:
    random = np.random.default_rng(0)
    metal, weight = random.choice(["gold", "tin"], 200).astype(object), random.normal(10, 2, 200).astype(np.float32)
    real = weight + 2 * (metal == "gold") > 11
    table = np.array([metal, weight], dtype=object).T
    encoder = ColumnTransformer([("text", OneHotEncoder(sparse_output=False), [0])], remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression()).fit(table, real)
    types = [("metal", StringTensorType([None, 1])), ("weight", FloatTensorType([None, 1]))]
    ask = served(model, types, options={id(model): {"zipmap": False}})
    background = {"metal": texts(*metal[:20]), "weight": column(weight[:20])}

    found = attributions(
        ask, {"metal": texts("gold"), "weight": column([10.0])}, background, target=Target("probabilities", 1)
    )

    coded = np.array([metal == "gold", weight], dtype=np.float64).T  # shap compares cells as numbers

    def probability(rows: Matrix) -> Matrix:
        named = np.array([np.where(rows[:, 0] == 1, "gold", "tin"), rows[:, 1]], dtype=object).T
        return np.asarray(model.predict_proba(named)[:, 1])

    theirs = shap.explainers.Exact(probability, coded[:20])(np.array([[1.0, 10.0]]))
    assert list(found.values) == ["metal", "weight"]
    assert list(found.values.values()) == pytest.approx(theirs.values[0].tolist(), abs=1e-5)
    assert found.values["metal"] > 0


def test_the_same_seed_gives_the_same_explanation() -> None:
    _, ask, table = boosted(13)
    first, again, other = (
        attributions(
            ask, {"x": fp32(table[:1])}, {"x": fp32(table[9:12])}, target=Target("probabilities"), samples=99, seed=seed
        )
        for seed in (7, 7, 8)
    )

    assert first == again
    assert first.values != other.values


def test_the_model_is_asked_in_batches_of_bounded_size() -> None:
    sizes: list[int] = []

    def ask(values: dict[str, Value]) -> dict[str, Value]:
        sizes.append(values["x"].shape[0])
        return {"prediction": fp64(array(values["x"])[:, 0] * array(values["x"])[:, 1].astype(np.float64))}

    table = np.random.default_rng(0).normal(size=(3001, 12)).astype(np.float32)

    attributions(ask, {"x": fp32(table[:1])}, {"x": fp32(table[1:])}, target=PREDICTION, samples=50)

    assert max(sizes) <= explain.ROWS
    assert sum(sizes) > 50 * 3000


def test_integers_booleans_and_halves_are_features_too() -> None:
    def ask(values: dict[str, Value]) -> dict[str, Value]:
        a, b, c = (array(values[name])[:, 0].astype(np.float64) for name in NAMES)
        return {"prediction": fp64(a * b + c)}

    kinds = {"a": np.int64, "b": np.bool_, "c": np.float16}
    datatypes = {"a": "INT64", "b": "BOOL", "c": "FP16"}

    def tensors(**columns: list[Any]) -> dict[str, Value]:
        return {
            name: Value(datatypes[name], (len(given), 1), np.array(given, dtype=kinds[name]).tobytes())
            for name, given in columns.items()
        }

    found = attributions(ask, tensors(a=[2], b=[True], c=[0.5]), tensors(a=[0], b=[False], c=[0]), target=PREDICTION)

    assert found.values == pytest.approx({"a": 1.0, "b": 1.0, "c": 0.5})


WIDE = fp32([[1.0, 2.0]])
HERE = {"prediction": fp64(np.array([1.0]))}


@pytest.mark.parametrize(
    ("row", "background", "words"),
    [
        ({"x": fp32([[1.0], [2.0]])}, {"x": column([0])}, "one row is explained at a time"),
        ({"x": WIDE}, {"x": column([0])}, r"FP32 \[2\]"),
        ({"x": WIDE}, {}, r"background: x"),
        ({"x": WIDE}, {"x": texts("a")}, r"background: x"),
        ({"x": WIDE}, {"x": fp32(np.zeros((0, 2)))}, "at most 10,000"),
        ({"x": WIDE}, {"x": fp32(np.zeros((10_001, 2)))}, "at most 10,000"),
        ({"a": column([1]), "b": column([1])}, {"a": column([1]), "b": column([1, 2])}, r"\[1, 2\] rows"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(row: Any, background: Any, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        attributions(lambda _values: HERE, row, background, target=PREDICTION)


@pytest.mark.parametrize(
    ("answer", "target", "words"),
    [
        ({"label": texts("a")}, Target("label"), "BYTES, of which no average"),
        (HERE, Target("probabilities"), "is no output of numbers"),
        (HERE, Target("prediction", 1), "column 1 is explained"),
        ({"prediction": fp64(np.zeros(3))}, PREDICTION, r"shape \[3\] where 1 rows"),
        ({"prediction": fp64(np.array([np.nan]))}, PREDICTION, "NaN or infinity"),
    ],
)
def test_answers_that_have_no_average_are_refused(answer: Any, target: Target, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        attributions(lambda _values: answer, {"x": WIDE}, {"x": WIDE}, target=target)


def test_what_is_explained_is_the_prediction_or_the_most_probable_class_or_the_one_asked_for() -> None:
    said = {"label": texts("b"), "probabilities": fp32([[0.2, 0.7, 0.1]])}

    assert explain.target_of({"prediction": column([1])}, ()) == Target("prediction", 0, None)
    assert explain.target_of(said, ("a", "b", "c")) == Target("probabilities", 1, "b")
    assert explain.target_of(said, ("a", "b", "c"), "c") == Target("probabilities", 2, "c")
    assert explain.target_of(said, ()) == Target("probabilities", 1, 1)
    with pytest.raises(Rejected, match="'d' is no class of the model; they are a, b, c"):
        explain.target_of(said, ("a", "b", "c"), "d")
    with pytest.raises(Rejected, match="names a class, and the model answers with none"):
        explain.target_of({"prediction": column([1])}, (), "d")


def test_an_explanation_is_told_with_what_weighs_most_first() -> None:
    values = {"small": 0.1, "large": -0.5, "none": 0.0}
    target = Target("probabilities", 1, "late")
    exact = Attributions(target, 0.6, 0.2, values, dict.fromkeys(values, 0.0), "enumerated", 8)

    said = explain.told(exact)
    sampled = explain.told(exact._replace(how="sampled", errors=dict.fromkeys(values, 0.01)))

    assert json.loads(json.dumps(said)) == said
    assert [entry["feature"] for entry in said["attributions"]] == ["large", "small", "none"]
    assert (said["class"], said["base"], said["prediction"], said["exact"]) == ("late", 0.6, 0.2, True)
    assert "standard_error" not in said["attributions"][0]
    assert sampled["attributions"][0] == {"feature": "large", "value": -0.5, "standard_error": 0.01}
