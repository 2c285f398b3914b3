"""Asking in one's own words: rows by column, as JSON or CSV, with what was unusual, what was vetoed, and why."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from onnx import TensorProto, helper

from functions.predict import served
from functions.predict.handler import run, within
from functions.predict.warm import Kept
from samara import captures, engines
from samara.app import App
from samara.core import keys
from samara.core.definition import Guardrail, Serve
from samara.core.heads import ModelHead
from samara.core.keys import Prediction
from samara.core.records import Capture, Signature, Tensor
from samara.core.sheet import Column, Seen, Sheet, Target
from samara.core.tensors import Value
from samara.entry import refused
from samara.errors import Rejected, SamaraError
from samara.events import HttpRequest, HttpResponse
from samara.ports import ObjectStore
from tests.functions.predict.conftest import Point, Publish

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
SHEET = Sheet(
    columns=(
        Column("distance", "number", required=True, seen=Seen(low=10.0, high=4000.0, minimum=1.0, maximum=5000.0)),
        Column("carrier", "string", personal=True),
    ),
    task="regression",
    target=Target("delay", "number"),
    ignored=("delay",),
    rowwise=True,
    background={"distance": (1.0, 3.0), "carrier": ("", "")},
)


def asked(path: str, body: bytes, content_type: str = "application/json") -> HttpRequest:
    return HttpRequest("POST", path, NOON, headers={"content-type": content_type}, body=body)


def rows(*given: dict[str, Any], what: str = "rows", **more: Any) -> HttpRequest:
    return asked(f"/v2/models/late/{what}", json.dumps({"rows": given, **more}).encode())


def told(event: HttpRequest, app: App) -> tuple[int, Any]:
    try:
        response: HttpResponse = run(event, app)
    except SamaraError as error:
        response = refused(error)
    return response.status, json.loads(response.body)


@pytest.fixture
def app(acting_as: Callable[[str], App], publish: Publish, point: Point) -> App:
    publish(1, 2.0, sheet=SHEET)
    point(champion=1)
    return acting_as("predict")


def test_rows_are_answered_by_row_and_what_is_unusual_is_said(app: App) -> None:
    status, said = told(rows({"distance": 5.0, "carrier": "UA"}, {"distance": 9000, "carrier": "UA"}), app)

    assert status == 200
    assert [one["score"] for one in said["predictions"]] == [10.0, 18000.0]
    assert [[flag["code"] for flag in flags] for flags in said["flags"]] == [[], ["out_of_range"]]
    assert said["receipt"]["version"] == 1


def test_csv_is_asked_by_its_header(app: App) -> None:
    body = b"carrier,distance,delay\nUA,5,\nAA,7.5,3\n"

    status, said = told(asked("/v2/models/late/rows", body, "text/csv"), app)

    assert status == 200
    assert [one["score"] for one in said["predictions"]] == [10.0, 15.0]
    assert said["ignored"] == ["delay"]


def test_a_row_in_the_wrong_words_is_refused_by_row_and_column(app: App) -> None:
    assert told(rows({"distance": "far"}), app)[1]["error"].startswith("row 1: distance")
    assert told(rows({"distance": 1.0, "speed": 3}), app)[1]["code"] == "unknown_column"
    assert told(rows({"carrier": "UA"}), app)[1]["code"] == "no_column"


def test_what_is_captured_of_rows_leaves_personal_columns_out(app: App, store: ObjectStore) -> None:
    told(rows({"distance": 5.0, "carrier": "UA"}), app)

    (key,) = store.list("captures/")
    capture = app.read(Capture, key)
    assert (capture.inputs, capture.masked) == ({"distance": [5.0]}, ("carrier",))


def test_rows_that_come_again_under_their_id_meet_their_first_answer(app: App, publish: Publish, point: Point) -> None:
    event = rows({"distance": 5.0, "carrier": "UA"}, id="order-1")
    first = told(event, app)
    publish(2, 3.0, sheet=SHEET)
    point(champion=2)

    again = told(event._replace(at=NOON.replace(minute=1)), app)

    assert again == first


SPEED = Signature(
    inputs=(Tensor(name="speed", datatype="FP32", shape=(-1, 1)),),
    outputs=(Tensor(name="score", datatype="FP32", shape=(-1, 1)),),
)


@pytest.mark.parametrize("what", ["rows", "explain", "infer"])
def test_a_repeated_request_meets_its_first_answer_though_who_is_live_now_takes_something_else(
    app: App, publish: Publish, point: Point, what: str
) -> None:
    event = rows({"distance": 5.0, "carrier": "UA"}, id="order-1", what=what)
    if what == "infer":
        event = asked("/v2/models/late/infer", json.dumps({"id": "order-1", "inputs": TENSORS}).encode())
    first = told(event, app)
    publish(2, data=twice("speed"), signature=SPEED, sheet=Sheet((Column("speed", "number", required=True),)))
    point(champion=2)

    again = told(event._replace(at=NOON.replace(minute=1)), app)
    later = told(event._replace(at=NOON.replace(hour=13, minute=30)), app)

    assert first[0] == 200
    assert again == first
    assert later[0] == 400, "an hour later it is another request, which the new version does not take"


TENSORS = [
    {"name": "distance", "shape": [1, 1], "datatype": "FP32", "data": [5]},
    {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": ["UA"]},
]


def twice(name: str) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", [name, name], ["score"])],
        "twice",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )


def test_repeated_rows_keep_the_flags_of_their_first_answer(app: App, publish: Publish, point: Point) -> None:
    event = rows({"distance": 9000.0, "carrier": "UA"}, id="order-1")
    first = told(event, app)
    publish(2, 2.0, sheet=SHEET._replace(columns=(Column("distance", "number"), SHEET.columns[1])))
    point(champion=2)

    again = told(event._replace(at=NOON.replace(minute=1)), app)

    assert [flag["code"] for flag in first[1]["flags"][0]] == ["out_of_range"]
    assert again == first


def test_a_new_limit_of_a_contained_model_holds_from_when_it_is_known(
    app: App, whole: App, publish: Publish, point: Point, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "SESSIONS", Kept(2))  # whose processes end with it
    publish(2, data=sum_of_zeros(), signature=SUM)
    point(champion=2)
    key = keys.model_head("late")
    body = b'{"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [60000000]}]}'
    event = asked("/v2/models/late/infer", body)
    before = whole.store.create(key, serving(whole, contained=True, memory_mb=128))
    refusal = told(event, app)

    whole.store.replace(key, serving(whole, contained=True, memory_mb=1024), before)
    answer = told(event._replace(at=NOON.replace(minute=1)), app)

    assert (refusal[0], refusal[1]["code"]) == (422, "model_failed"), "240 MB of zeros"
    assert answer[0] == 200


SUM = Signature(
    inputs=(Tensor(name="n", datatype="INT64", shape=(1,)),), outputs=(Tensor(name="y", datatype="FP32", shape=()),)
)


def sum_of_zeros() -> bytes:
    """As many zeros as it is told, added."""
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["n"], ["many"]),
            helper.make_node("ReduceSum", ["many"], ["y"], keepdims=0),
        ],
        "sum",
        [helper.make_tensor_value_info("n", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )


def serving(whole: App, **policy: Any) -> bytes:
    """The head of a model that answers so."""
    kept = whole.keep(Serve(**policy).to_bytes())
    return ModelHead(write_id="one", definition="0" * 64, bundle="0" * 64, serving=kept).to_bytes()


def test_why_an_answer_is_what_it_is_adds_up(app: App) -> None:
    status, said = told(rows({"distance": 5.0, "carrier": "UA"}, what="explain"), app)

    (why,) = said["explanations"]
    assert status == 200
    assert why["exact"]
    assert why["base"] == 4.0, "twice the average distance of the background"
    assert {one["feature"]: one["value"] for one in why["attributions"]} == {"distance": 6.0, "carrier": 0.0}
    assert why["base"] + sum(one["value"] for one in why["attributions"]) == why["prediction"] == 10.0


def test_a_version_without_a_background_says_that_it_cannot_be_explained(
    app: App, publish: Publish, point: Point
) -> None:
    publish(2, 2.0, sheet=SHEET._replace(background={}))

    status, said = told(asked("/v2/models/late/versions/2/explain", b'{"rows":[{"distance":1.0}]}'), app)

    assert (status, said["code"]) == (422, "no_background")


def chance() -> tuple[bytes, Signature]:
    """A model that takes a chance for the distance it is given, and whether it is more than even for the label."""
    takes = [helper.make_tensor_value_info("distance", TensorProto.FLOAT, [None, 1])]
    gives = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
    ]
    nodes = [
        helper.make_node("Sub", ["one", "distance"], ["rest"]),
        helper.make_node("Concat", ["rest", "distance"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(nodes, "chance", takes, gives, [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    signature = Signature(
        inputs=(Tensor(name="distance", datatype="FP32", shape=(-1, 1)),),
        outputs=(
            Tensor(name="label", datatype="INT64", shape=(-1,)),
            Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
        ),
    )
    return bytes(model.SerializeToString()), signature


def test_the_class_that_is_explained_is_called_what_the_answer_calls_it(app: App, publish: Publish) -> None:
    data, signature = chance()
    sheet = Sheet(
        columns=(Column("distance", "number"),),
        task="classification",
        target=Target("late", "boolean"),
        classes=(0, 1),
        background={"distance": (0.25, 0.5)},
    )
    publish(2, data=data, signature=signature, sheet=sheet)

    status, said = told(asked("/v2/models/late/versions/2/explain", b'{"rows":[{"distance":0.75}]}'), app)

    assert status == 200
    assert said["predictions"][0]["label"] is said["explanations"][0]["class"] is True


def test_what_cannot_be_explained_is_refused_and_captured_as_refused(app: App, whole: App) -> None:
    response = run(rows(*[{"distance": 5.0, "carrier": "UA"}] * 21, what="explain"), app)

    (capture,) = [one for _, one in captures.each(whole, whole.store.list("captures/")) if one]
    assert (response.status, json.loads(response.body)["code"]) == (413, "too_many_rows")
    assert (capture.status, capture.code) == (413, "too_many_rows")
    assert response.headers["samara-prediction"] == capture.prediction


def test_an_explanation_takes_no_longer_altogether_than_one_answer_may(app: App) -> None:
    data, _ = chance()
    ask = within(0.05, engines.load(data))
    given = {"distance": Value("FP32", (1, 1), b"\0" * 4)}
    first = ask(given)
    time.sleep(0.05)

    with pytest.raises(Rejected) as refused_later:
        ask(given)

    assert first["label"].shape == (1,)
    assert refused_later.value.code == "too_slow"


def test_why_is_told_again_to_who_asks_again(app: App) -> None:
    event = rows({"distance": 5.0, "carrier": "UA"}, what="explain", id="mine")

    assert told(event, app)[1]["explanations"] == told(event, app)[1]["explanations"]


@pytest.fixture
def guarded(app: App, whole: App) -> App:
    rule = Guardrail(name="near", input="distance", maximum=100.0)
    whole.store.create(keys.model_head("late"), serving(whole, guardrails=(rule,)))
    return app


def test_a_guardrail_takes_back_one_row_and_says_why(guarded: App) -> None:
    _, said = told(rows({"distance": 5.0}, {"distance": 500.0}), guarded)

    assert said["predictions"][0]["score"] == 10.0
    assert said["predictions"][1]["score"] is None
    assert said["predictions"][1]["vetoed"]["rule"] == "near"


def test_a_guardrail_refuses_a_request_of_tensors_as_a_whole(guarded: App) -> None:
    inputs = [
        {"name": "distance", "shape": [2, 1], "datatype": "FP32", "data": [5, 500]},
        {"name": "carrier", "shape": [2, 1], "datatype": "BYTES", "data": ["", ""]},
    ]

    status, said = told(asked("/v2/models/late/infer", json.dumps({"inputs": inputs}).encode()), guarded)

    assert (status, said["code"]) == (422, "vetoed")
    assert said["error"].startswith("near: vetoes row 2")


def test_what_may_not_be_said_is_not_explained_either(guarded: App) -> None:
    _, said = told(rows({"distance": 5.0}, {"distance": 500.0}, what="explain"), guarded)

    assert [why is not None for why in said["explanations"]] == [True, False]


def test_what_became_personal_after_training_is_neither_kept_nor_said(app: App, whole: App) -> None:
    serving = whole.keep(Serve().to_bytes(["distance"]))
    head = ModelHead(write_id="one", definition="0" * 64, bundle="0" * 64, serving=serving)
    whole.store.create(keys.model_head("late"), head.to_bytes())

    _, answer = told(rows({"distance": 1234.5, "carrier": "UA"}), app)
    _, refusal = told(rows({"distance": "1234.5 miles", "carrier": "UA"}), app)

    kept = [one for _, one in captures.each(whole, whole.store.list("captures/")) if one]
    assert answer["predictions"][0]["score"] == 2469.0
    assert "miles" not in str(refusal)
    assert not [one for one in kept if "1234.5" in str(one.inputs) or "1234.5" in str(one.noted)]
    assert {one.masked for one in kept if one.status == 200} == {("distance", "carrier")}


def test_a_vetoed_answer_is_captured_with_the_rule(guarded: App) -> None:
    _, said = told(rows({"distance": 500.0}), guarded)

    capture = guarded.read(Capture, Prediction.parse(said["receipt"]["prediction"]).capture)
    assert capture.noted["vetoed"] == {"1": "near"}
