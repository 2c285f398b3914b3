"""An ensemble is one graph that says what its members, asked one by one, come to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pyarrow as pa
import pytest
import skl2onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from functions.register import inspect_model
from functions.train import ensemble, fit
from functions.train.ask import Ask
from samara import loading, scoring
from samara.core.definition import Ensemble
from samara.errors import Rejected

FEATURES = ("metal", "weight", "size")


def rows(count: int = 200, seed: int = 0) -> Any:
    """Coins of a metal, a weight and a size, with what they are worth in words, in whole numbers, and exactly."""
    random = np.random.default_rng(seed)
    weight, size = random.normal(10, 2, count).astype(np.float32), random.normal(3, 1, count).astype(np.float32)
    metal = random.choice(["gold", "tin"], count)
    worth = weight * 2 + size + 5 * (metal == "gold") + random.normal(0, 1, count)
    grade = np.digitize(worth, [22, 27])
    columns = {"metal": metal, "weight": weight, "size": size, "worth": worth, "grade": grade}
    return pa.table({**columns, "word": np.array(["poor", "fair", "fine"])[grade]})


def logistic(strength: float = 1.0) -> Any:
    return LogisticRegression(C=strength, max_iter=5000)


def asked(how: str, target: str, members: int = 2, *, weights: Any = (), features: Any = FEATURES) -> Ask:
    names = tuple(f"member-{place}@1" for place in range(members))
    return Ask(
        entry="train:train",
        features=features,
        target=target,
        task="regression" if target == "worth" else "classification",
        metric="rmse" if target == "worth" else "accuracy",
        tolerance=1e-4,
        seed=0,
        threads=1,
        parameters={},
        ensemble=Ensemble.model_validate({"how": how, "members": names, "weights": weights}),
    )


def boosted(rounds: int = 5) -> Any:
    return GradientBoostingClassifier(n_estimators=rounds, random_state=0)


def trained(
    estimator: Any,
    target: str,
    features: tuple[str, ...] = FEATURES,
    count: int = 200,
    opset: tuple[int, int] = (17, 3),
) -> bytes:
    """A model of these features, exported as the training program exports it. Made once, for it takes a while."""
    known = (repr(estimator), target, features, count, opset)
    if known not in MADE:
        MADE[known] = exported(
            estimator, target, features, rows(count), dict(zip(("", "ai.onnx.ml"), opset, strict=True))
        )
    return MADE[known]


MADE: dict[Any, bytes] = {}


def exported(estimator: Any, target: str, features: tuple[str, ...], table: Any, opset: dict[str, int]) -> bytes:
    text = [name for name in features if name == "metal"]
    columns = ColumnTransformer([("text", OneHotEncoder(sparse_output=False), text)], remainder="passthrough")
    model = make_pipeline(columns, estimator).fit(table.select(features), table[target].to_numpy())
    types = [(name, (StringTensorType if name in text else FloatTensorType)([None, 1])) for name in features]
    options = None if target == "worth" else {id(model): {"zipmap": False}}
    made = skl2onnx.to_onnx(model, initial_types=types, options=options, target_opset=opset)
    if target == "worth":
        fit.renamed(made.graph, {made.graph.output[0].name: "prediction"})
    else:
        helper.set_model_props(made, {"classes": json.dumps(model.classes_.tolist())})
    return bytes(made.SerializeToString())


class Case(NamedTuple):
    target: str
    members: tuple[Callable[[], Any], ...]


CASES = {
    "classes in words": Case("word", (logistic, boosted)),
    "numbered classes": Case("grade", (logistic, boosted)),
    "estimates": Case("worth", (LinearRegression, lambda: RandomForestRegressor(n_estimators=5, random_state=0))),
}
of_each_kind = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def models(case: Case) -> list[bytes]:
    """Two members, of which one leaves a feature out."""
    one, other = case.members
    return [trained(one(), case.target, ("metal", "weight")), trained(other(), case.target)]


def said(model: bytes, ask: Ask, table: Any) -> scoring.Answers:
    return scoring.answers(loading.session(model), table, ask.task)


@of_each_kind
@pytest.mark.parametrize(("how", "weights"), [("mean", ()), ("weighted", (0.8, 0.2)), ("stacked", ())])
def test_the_graph_says_what_its_members_come_to(case: Case, how: str, weights: Any) -> None:
    ask, unseen = asked(how, case.target, weights=weights), rows(500, seed=1)

    found = ensemble.combined(models(case), ask, rows())

    parity = fit.compared(found, said(found.onnx, ask, unseen), unseen, ask, Path())
    assert parity.agreed
    assert parity.rows == 500
    assert parity.largest_difference < 5e-5


@of_each_kind
@pytest.mark.parametrize("how", ["mean", "stacked"])
def test_the_graph_passes_the_gate_that_every_model_must(case: Case, how: str) -> None:
    found = ensemble.combined(models(case), asked(how, case.target), rows())

    assert inspect_model.flaws(found.onnx) == []


@of_each_kind
def test_the_mean_is_the_mean_in_numpy(case: Case) -> None:
    ask, unseen = asked("mean", case.target), rows(100, seed=1)
    apart = [said(model, ask, unseen).scores for model in models(case)]

    together = said(ensemble.combined(models(case), ask, rows()).onnx, ask, unseen)

    assert together.scores == pytest.approx(np.mean(apart, axis=0), rel=1e-5, abs=1e-6)
    if together.labels is not None:
        assert together.labels.tolist() == [together.classes[place] for place in together.scores.argmax(axis=1)]


@pytest.mark.parametrize("target", ["word", "grade"])
@pytest.mark.parametrize("count", [2, 3])
def test_votes_are_counted_and_of_equals_the_first_class_wins(target: str, count: int) -> None:
    ask, unseen = asked("vote", target, count), rows(300, seed=1)
    members = [trained(estimator, target) for estimator in (logistic(), boosted(1), logistic(0.001))[:count]]
    labels = np.array([said(model, ask, unseen).labels for model in members])

    found = ensemble.combined(members, ask, rows())

    together = said(found.onnx, ask, unseen)
    assert together.labels is not None
    counts = np.array([(labels == name).sum(axis=0) for name in together.classes])
    assert together.scores == pytest.approx(counts.T / count)
    assert together.labels.tolist() == [together.classes[place] for place in counts.argmax(axis=0)]
    assert count == 3 or ((counts == 1).sum(axis=0) == 2).any(), "no tie was tried"
    assert fit.compared(found, together, unseen, ask, Path()).agreed
    assert inspect_model.flaws(found.onnx) == []


@of_each_kind
def test_the_signature_is_the_members_inputs_and_the_tasks_outputs(case: Case) -> None:
    ask = asked("mean", case.target)

    signature = scoring.signature(loading.session(ensemble.combined(models(case), ask, rows()).onnx))

    assert {tensor.name: (tensor.datatype, tensor.shape) for tensor in signature.inputs} == {
        "metal": ("BYTES", (-1, 1)),
        "weight": ("FP32", (-1, 1)),
        "size": ("FP32", (-1, 1)),
    }
    assert tuple(tensor.name for tensor in signature.outputs) == scoring.OUTPUTS[ask.task]


def test_the_classes_are_named_as_the_members_name_them() -> None:
    for target, classes in (("word", ("fair", "fine", "poor")), ("grade", (0, 1, 2))):
        for how in ("mean", "vote", "stacked"):
            ask = asked(how, target)
            found = ensemble.combined([trained(logistic(), target)] * 2, ask, rows())

            together = said(found.onnx, ask, rows(50, seed=2))

            assert together.classes == classes
            assert together.labels is not None
            assert set(together.labels.tolist()) <= set(classes)


@of_each_kind
def test_the_same_members_give_the_same_bytes(case: Case) -> None:
    for how in ("mean", "stacked"):
        one, other = (ensemble.combined(models(case), asked(how, case.target), rows()).onnx for _ in range(2))

        assert one == other


@given(weights=st.lists(st.integers(1, 100), min_size=2, max_size=5), case=st.sampled_from(sorted(CASES)))
@settings(max_examples=15, deadline=None)
def test_members_that_are_one_model_come_to_that_model_however_they_are_weighed(weights: list[int], case: str) -> None:
    target, unseen = CASES[case].target, rows(50, seed=3)
    model = trained(CASES[case].members[0](), target)
    ask = asked("weighted", target, len(weights), weights=tuple(weight / sum(weights) for weight in weights))
    alone = said(model, ask, unseen)

    together = said(ensemble.combined([model] * len(weights), ask, rows()).onnx, ask, unseen)

    assert together.scores == pytest.approx(alone.scores, rel=1e-5, abs=1e-6)


def test_a_stack_learns_which_member_to_believe() -> None:
    good, bad = trained(LinearRegression(), "worth"), trained(LinearRegression(), "worth", ("size",), 5)
    ask, unseen = asked("stacked", "worth"), rows(300, seed=1)
    truth = scoring.truth(unseen, "worth", "regression")

    together = said(ensemble.combined([bad, good], ask, rows()).onnx, ask, unseen)

    alone = scoring.measured(said(good, ask, unseen), truth)["rmse"]
    assert scoring.measured(together, truth)["rmse"] < 1.1 * alone


@pytest.mark.parametrize("how", ["mean", "vote", "stacked"])
def test_an_ensemble_may_be_a_member_of_another(how: str) -> None:
    ask, unseen = asked(how, "word"), rows(100, seed=1)
    inner = ensemble.combined(models(CASES["classes in words"]), ask, rows()).onnx

    found = ensemble.combined([inner, trained(logistic(), "word")], ask, rows())

    assert inspect_model.flaws(found.onnx) == []
    assert fit.compared(found, said(found.onnx, ask, unseen), unseen, ask, Path()).agreed


def test_members_of_older_opsets_are_brought_to_the_newest() -> None:
    old = trained(boosted(), "word", opset=(11, 1))
    new = trained(logistic(), "word", opset=(18, 3))
    ask, unseen = asked("mean", "word"), rows(100, seed=1)

    found = ensemble.combined([old, new], ask, rows())

    opsets = {one.domain: one.version for one in onnx.ModelProto.FromString(found.onnx).opset_import}
    assert opsets == {"": 18, "ai.onnx.ml": 3}
    assert fit.compared(found, said(found.onnx, ask, unseen), unseen, ask, Path()).agreed


def reordered(model: bytes) -> bytes:
    """The model with the columns of its probabilities, and their names, the other way round."""
    turned = onnx.ModelProto.FromString(model)
    order = helper.make_tensor("turn", onnx.TensorProto.INT64, [3], [2, 1, 0])
    before = "probabilities_before"
    for node in turned.graph.node:
        node.output[:] = [before if name == "probabilities" else name for name in node.output]
        node.input[:] = [before if name == "probabilities" else name for name in node.input]
    turned.graph.initializer.append(order)
    turned.graph.node.append(helper.make_node("Gather", [before, "turn"], ["probabilities"], axis=1))
    names = json.loads({one.key: one.value for one in turned.metadata_props}["classes"])
    helper.set_model_props(turned, {"classes": json.dumps(names[::-1])})
    return bytes(turned.SerializeToString())


@pytest.mark.parametrize("how", ["mean", "vote", "stacked"])
def test_members_that_list_their_classes_in_another_order_are_matched_by_name(how: str) -> None:
    model, unseen, ask = trained(logistic(), "word"), rows(100, seed=1), asked(how, "word")
    plain = said(ensemble.combined([model, model], ask, rows()).onnx, ask, unseen)

    found = ensemble.combined([model, reordered(model)], ask, rows())

    together = said(found.onnx, ask, unseen)
    assert together.classes == plain.classes
    assert together.scores == pytest.approx(plain.scores, abs=1e-4)
    assert fit.compared(found, together, unseen, ask, Path()).agreed


@pytest.mark.parametrize(
    ("members", "how", "target", "features", "words"),
    [
        (("grade", "word"), "mean", "grade", FEATURES, "member-1@1: tells apart fair, fine, poor, where member-0@1"),
        (("word", "worth"), "mean", "word", FEATURES, "member-1@1: cannot be a member: .* no output named label"),
        (("worth", "word"), "mean", "worth", FEATURES, "member-1@1: cannot be a member: .* no output named prediction"),
        (("word", "word"), "mean", "word", ("metal", "weight"), "member-0@1: takes 'size', which is no feature"),
        (
            ("word", "word"),
            "mean",
            "word",
            (*FEATURES, "worth"),
            "features: no member takes worth; .* metal, weight, size",
        ),
        (("word", "word"), "stacked", "grade", FEATURES, "is 0, 1, 2 in the rows; the members tell apart fair"),
    ],
)
def test_models_that_do_not_belong_together_are_refused(
    members: tuple[str, ...], how: str, target: str, features: Any, words: str
) -> None:
    estimators = {"worth": LinearRegression, "word": logistic, "grade": logistic}
    given_models = [trained(estimators[name](), name) for name in members]

    with pytest.raises(Rejected, match=words):
        ensemble.combined(given_models, asked(how, target, features=features), rows())


def test_a_column_that_is_text_to_one_member_and_a_number_to_another_is_refused() -> None:
    coded = make_pipeline(logistic()).fit(np.zeros((2, 1), np.float32), [0, 1])
    types, options = [("metal", FloatTensorType([None, 1]))], {id(coded): {"zipmap": False}}
    other = skl2onnx.to_onnx(coded, initial_types=types, options=options, target_opset=17).SerializeToString()

    with pytest.raises(Rejected, match=r"member-1@1: cannot be a member: metal: the model takes tensor\(float\)"):
        ensemble.combined([trained(logistic(), "grade"), other], asked("mean", "grade"), rows())


def test_an_operator_whose_meaning_has_changed_since_is_not_guessed_at() -> None:
    old = onnx.ModelProto.FromString(trained(logistic(), "word", opset=(12, 1)))
    old.graph.node[0].op_type, old.graph.node[0].domain = "LabelEncoder", "ai.onnx.ml"

    with pytest.raises(Rejected, match=r"late@3: uses LabelEncoder of ai.onnx.ml 1, .* export it anew"):
        ensemble.at({"": 17, "ai.onnx.ml": 3}, "late@3", old)
