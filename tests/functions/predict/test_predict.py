"""The handler: which version answers, what is captured, and what happens when something is missing or broken."""

import gc
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.predict import handler
from functions.predict import served as served_now
from functions.predict.handler import run, together
from functions.predict.work import Work
from samara import captures
from samara.app import App
from samara.core import keys
from samara.core.heads import ModelHead
from samara.core.keys import Prediction
from samara.core.records import Capture, Gate, Signature, Tensor
from samara.core.sheet import Sheet
from samara.entry import refused
from samara.errors import NotAtOnce, Rejected, SamaraError, Unavailable
from samara.events import HttpRequest, HttpResponse
from samara.ports import Version
from samara.providers.memory import MemoryStore
from tests.functions.predict.conftest import ROWWISE

NOON = datetime(2013, 2, 14, 12, 0, tzinfo=UTC)
INFER = "/v2/models/late/infer"


def body(distances: list[Any], carriers: list[Any] | None = None, **more: Any) -> bytes:
    rows = len(distances)
    inputs = [
        {"name": "distance", "shape": [rows, 1], "datatype": "FP32", "data": distances},
        {"name": "carrier", "shape": [rows, 1], "datatype": "BYTES", "data": carriers or ["UA"] * rows},
    ]
    return json.dumps({"inputs": inputs, **more}).encode()


def post(data: bytes, path: str = INFER, at: datetime = NOON, **headers: str) -> HttpRequest:
    return HttpRequest("POST", path, at, headers={"content-type": "application/json", **headers}, body=data)


def get(path: str) -> HttpRequest:
    return HttpRequest("GET", path, NOON)


def answered(response: HttpResponse) -> Any:
    assert response.status == 200, response.body
    return json.loads(response.body)


def refusal_of(event: HttpRequest, app: App) -> tuple[int, str, str]:
    """Status, code and words, as the HTTP seam would send them."""
    try:
        response: HttpResponse = run(event, app)
    except SamaraError as error:
        response = refused(error)
    said = json.loads(response.body)
    return response.status, said["code"], said["error"]


@pytest.fixture
def app(acting_as: Callable[[str], App]) -> App:
    return acting_as("predict")


@pytest.fixture
def served(app: App, publish: Any, point: Any) -> App:
    """The app with version 1 as champion."""
    publish(1)
    point(champion=1)
    return app


def test_the_champion_answers_and_says_who_it_is(app: App, publish: Any, point: Any) -> None:
    publish(1)
    publish(2)
    point(champion=2, challenger=1)

    response = run(post(body([1.0, 2.5], ["UA", "AA"])), app)

    said = answered(response)
    assert said["model_name"] == "late"
    assert said["model_version"] == response.headers["samara-version"] == "2"
    assert said["outputs"] == [
        {"name": "score", "shape": [2, 1], "datatype": "FP32", "data": [2.0, 5.0]},
        {"name": "airline", "shape": [2, 1], "datatype": "BYTES", "data": ["UA", "AA"]},
    ]
    assert said["id"] == said["parameters"]["prediction"] == response.headers["samara-prediction"]


def test_what_was_asked_and_answered_is_captured_with_where_it_came_from(app: App, publish: Any, point: Any) -> None:
    version = publish(1, 3)
    point(champion=1)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    response = run(post(body([2], id="mine"), traceparent=trace), app)

    said = answered(response)
    capture = app.read(Capture, Prediction.parse(said["parameters"]["prediction"]).capture)
    assert capture.inputs == {"distance": [2.0], "carrier": ["UA"]}
    assert capture.outputs == {"score": [6.0], "airline": ["UA"]}
    assert capture.shapes["distance"] == capture.shapes["score"] == (1, 1)
    assert (capture.version, capture.rows, capture.status) == (1, 1, 200)
    assert capture.made_from == (version.link(keys.version("late", 1)),)
    assert capture.digest == said["parameters"]["capture"]
    assert said["parameters"]["digest"] == version.artifact
    assert (capture.noted["id"], capture.noted["traceparent"], capture.noted["move"]) == ("mine", trace, 1)
    assert said["id"] == "mine"


def test_a_version_is_asked_for_by_number_or_alias(app: App, publish: Any, point: Any) -> None:
    publish(1)
    publish(2)
    publish(3)
    point(champion=2, challenger=3)

    versions = [
        answered(run(post(body([1]), f"/v2/models/late/versions/{asked}/infer"), app))["model_version"]
        for asked in ("1", "champion", "challenger")
    ]

    assert versions == ["1", "2", "3"]


def test_the_same_request_under_the_same_id_is_one_prediction(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1)
    publish(2)
    point(champion=1)
    first = run(post(body([7], id="order-1")), app)
    point(champion=2)

    again = run(post(body([7], id="order-1"), at=NOON + timedelta(minutes=1)), app)

    assert again.body == first.body
    assert len(list(store.list("captures/"))) == 1


def test_a_retry_just_after_the_hour_meets_the_first_answer(app: App, publish: Any, point: Any) -> None:
    publish(1)
    point(champion=1)
    first = run(post(body([7], id="order-1"), at=NOON - timedelta(seconds=1)), app)

    again = run(post(body([7], id="order-1"), at=NOON + timedelta(seconds=1)), app)

    assert again.body == first.body


@pytest.mark.parametrize("other", [body([8], id="order-1"), body([7], id="order-2"), body([7])])
def test_another_body_another_id_or_no_id_is_another_prediction(
    app: App, publish: Any, point: Any, other: bytes
) -> None:
    publish(1)
    point(champion=1)
    first = answered(run(post(body([7], id="order-1")), app))

    second = answered(run(post(other), app))

    assert second["parameters"]["prediction"] != first["parameters"]["prediction"]


def test_a_promotion_is_noticed_within_the_stated_staleness(app: App, publish: Any, point: Any) -> None:
    publish(1)
    publish(2)
    point(champion=1)
    run(post(body([1])), app)
    point(champion=2)

    soon = run(post(body([1]), at=NOON + timedelta(seconds=0.5)), app)
    later = run(post(body([1]), at=NOON + timedelta(seconds=1.01)), app)
    standing = run(post(body([1]), at=NOON + timedelta(seconds=1.01)), app)

    assert [answered(one)["model_version"] for one in (soon, later, standing)] == ["1", "2", "2"]
    assert [one.headers["samara-alias-age-ms"] for one in (soon, later)] == ["500", "0"]


class Filling(MemoryStore):
    """A store that takes no more captures once it is full."""

    full = False

    def create(self, key: str, data: bytes) -> Version:
        if self.full and key.startswith("captures/"):
            raise Unavailable(key)
        return super().create(key, data)


@pytest.fixture
def store() -> Filling:
    return Filling()


@pytest.mark.parametrize("named", [{}, {"id": "mine"}], ids=["without an id", "with the client's id"])
def test_what_cannot_be_captured_is_neither_answered_nor_given_a_name(
    app: App, store: Filling, publish: Any, point: Any, named: dict[str, Any]
) -> None:
    publish(1)
    point(champion=1)
    store.full = True

    (response,) = together([post(body([1], **named))], app)

    assert (response.status, json.loads(response.body)["code"]) == (503, "unavailable")
    assert "samara-prediction" not in response.headers


def test_a_refusal_that_cannot_be_captured_is_logged(
    app: App, store: Filling, publish: Any, point: Any, caplog: pytest.LogCaptureFixture
) -> None:
    publish(1)
    point(champion=1)
    store.full = True

    assert refusal_of(post(b"{"), app)[0] == 400

    (line,) = [json.loads(record.message) for record in caplog.records if "not captured" in record.message]
    assert (line["model"], line["status"]) == ("late", 400)


def test_what_cannot_be_captured_is_not_answered(app: App, store: Filling, publish: Any, point: Any) -> None:
    publish(1)
    point(champion=1)
    store.full = True

    status, code, why = refusal_of(post(body([1])), app)

    assert (status, code) == (503, "unavailable")
    assert "captures" not in why


def test_an_unknown_model_and_one_without_a_champion_are_told_apart(
    app: App, whole: App, publish: Any, point: Any
) -> None:
    unknown = refusal_of(post(body([1])), app)
    defined = ModelHead(definition="0" * 64, bundle="0" * 64, write_id="one")
    whole.store.create(keys.model_head("late"), defined.to_bytes())
    untrained = refusal_of(post(body([1])), app)
    publish(1)
    point(champion=None, challenger=1)
    unpromoted = refusal_of(post(body([1])), app)

    assert unknown[:2] == (404, "unknown_model")
    assert untrained[:2] == unpromoted[:2] == (503, "no_model")
    assert "train one" in untrained[2]
    assert "promote" in unpromoted[2]


def test_a_broken_model_is_unavailable_and_shows_nothing_of_the_library(app: App, publish: Any, point: Any) -> None:
    publish(1, data=b"no model at all")
    point(champion=1)

    status, code, why = refusal_of(post(body([1])), app)

    assert (status, code) == (503, "model_unavailable")
    assert "onnx" not in why.lower()
    assert refusal_of(get("/v2/models/late/ready"), app)[0] == 503


def test_an_altered_model_is_never_loaded(app: App, store: MemoryStore, publish: Any, point: Any) -> None:
    version = publish(1, 0.123)  # a model no other test has loaded
    point(champion=1)
    key = keys.blob(version.artifact)
    store.replace(key, store.get(key).data + b"\0", store.get(key).version)

    assert refusal_of(post(body([1])), app)[:2] == (503, "model_unavailable")


def test_a_sound_version_in_the_place_of_another_is_never_asked(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1)
    store.create(keys.version("late", 2), store.get(keys.version("late", 1)).data)
    point(champion=2)

    status, code, _ = refusal_of(post(body([1])), app)

    assert (status, code) == (503, "unavailable")


def test_a_model_that_fails_on_some_inputs_says_only_that(app: App, publish: Any, point: Any) -> None:
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "reshaped",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [None]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    signature = Signature(
        inputs=(Tensor(name="x", datatype="FP32", shape=(-1,)), Tensor(name="shape", datatype="INT64", shape=(-1,))),
        outputs=(Tensor(name="y", datatype="FP32", shape=(-1,)),),
    )
    publish(1, data=model.SerializeToString(), signature=signature)
    point(champion=1)
    inputs = [
        {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]},
        {"name": "shape", "shape": [2], "datatype": "INT64", "data": [5, 5]},
    ]

    status, code, why = refusal_of(post(json.dumps({"inputs": inputs}).encode()), app)

    assert (status, code) == (422, "model_failed")
    assert why == "late: version 1 failed on these inputs"


def test_an_answer_that_json_cannot_carry_is_refused_and_captured_as_refused(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1, 1e38)
    point(champion=1)

    status, code, _ = refusal_of(post(body([1e38])), app)

    (key,) = store.list("captures/")
    capture = app.read(Capture, key)
    assert (status, code) == (capture.status, capture.code) == (422, "not_finite")
    assert capture.outputs["score"] == ["Infinity"]


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (post(b"{"), 400, "bad_json"),
        (post(body([1]), "/v2/models/late/versions/challenger/infer"), 503, "no_model"),
        (post(body(["far"])), 400, "bad_input"),
    ],
)
def test_a_refusal_leaves_its_record_too(
    served: App, store: MemoryStore, event: HttpRequest, status: int, code: str
) -> None:
    response = run(event, served)

    (key,) = store.list("captures/")
    capture = served.read(Capture, key)
    assert (response.status, json.loads(response.body)["code"]) == (status, code)
    assert (capture.status, capture.code, capture.inputs) == (status, code, {})
    assert response.headers["samara-prediction"] == capture.prediction
    assert capture.noted["why"] == json.loads(response.body)["error"]


def test_what_asks_for_a_model_that_is_not_there_leaves_nothing(served: App, store: MemoryStore) -> None:
    assert refusal_of(post(body([1]), "/v2/models/other/infer"), served)[0] == 404
    assert not list(store.list("captures/"))


def test_a_refusal_does_not_stand_in_the_way_of_the_same_id(app: App, publish: Any, point: Any) -> None:
    publish(1, data=b"no model at all")
    publish(2)
    point(champion=1)
    failed = run(post(body([7], id="order-1")), app)
    point(champion=2)

    again = run(post(body([7], id="order-1"), at=NOON + timedelta(seconds=2)), app)

    assert (failed.status, again.status) == (503, 200)
    assert app.read(Capture, Prediction.parse(again.headers["samara-prediction"]).capture).status == 200


def test_a_version_that_failed_what_each_must_pass_is_not_served_whoever_asks(
    app: App, publish: Any, point: Any
) -> None:
    publish(1, gates=(Gate(name="parity", passed=False, why="strays by 0.1"),))
    point(champion=None)

    status, code, why = refusal_of(post(body([1]), "/v2/models/late/versions/1/infer"), app)

    assert (status, code) == (503, "model_unavailable")
    assert "gate" in why


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_versions_of_the_same_bytes_are_each_judged_by_their_own_gates(
    app: App, publish: Any, point: Any, order: tuple[int, int]
) -> None:
    publish(1, 3, sheet=ROWWISE)
    publish(2, 3, sheet=ROWWISE, gates=(Gate(name="parity", passed=False, why="strays by 0.1"),))
    point(champion=1)

    answers = several(*(post(body([1]), f"/v2/models/late/versions/{number}/infer") for number in order), app=app)

    assert {number: status for number, (status, _) in zip(order, answers, strict=True)} == {1: 200, 2: 503}


def test_a_model_whose_weights_lie_in_a_file_is_not_loaded(
    app: App, publish: Any, point: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.ones(1, dtype=np.float32).tofile(tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    weights = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="weights")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "outside",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    publish(1, data=model.SerializeToString())
    point(champion=1)

    assert refusal_of(post(body([1])), app)[:2] == (503, "model_unavailable")


def test_metadata_is_the_signature(app: App, publish: Any, point: Any) -> None:
    publish(1)
    publish(2)
    point(champion=1)

    said = answered(run(get("/v2/models/late"), app))

    assert said["name"] == "late"
    assert said["versions"] == ["1", "2"]
    assert said["platform"] == "onnxruntime_onnx"
    assert said["inputs"] == [
        {"name": "distance", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    assert [output["name"] for output in said["outputs"]] == ["score", "airline"]
    assert said["parameters"]["version"] == 1


def test_server_health_and_listing_follow_the_protocol(app: App, publish: Any, point: Any) -> None:
    publish(1)
    point(champion=1)

    assert answered(run(get("/v2"), app))["name"] == "samara"
    assert answered(run(get("/v2/health/live"), app)) == {"live": True}
    assert answered(run(get("/v2/health/ready"), app)) == {"ready": True}
    assert answered(run(get("/v2/models/late/versions/1/ready"), app)) == {"name": "late", "ready": True}
    assert answered(run(get("/v2/models"), app)) == {"models": [{"name": "late"}]}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/nothing", 404, "unknown_path"),
        ("/v2/models/late/unload", 404, "unknown_path"),
        ("/v2/repository/models/late/unload", 403, "not_ours"),
        ("/v2/models/Late", 404, "unknown_model"),
        ("/v2/models/other", 404, "unknown_model"),
        ("/v2/models/late/versions/9", 404, "unknown_version"),
        ("/v2/models/late/versions/01", 404, "unknown_version"),
        ("/v2/models/late/versions/latest", 404, "unknown_version"),
        (INFER, 405, "bad_method"),
    ],
)
def test_what_is_not_there_is_said_by_name(served: App, path: str, status: int, code: str) -> None:
    assert refusal_of(get(path), served)[:2] == (status, code)


def test_only_the_wanted_outputs_are_answered_and_all_are_captured(app: App, publish: Any, point: Any) -> None:
    publish(1)
    point(champion=1)

    said = answered(run(post(body([1], outputs=[{"name": "airline"}])), app))

    assert [output["name"] for output in said["outputs"]] == ["airline"]
    assert set(app.read(Capture, Prediction.parse(said["id"]).capture).outputs) == {"airline", "score"}


def test_a_missing_number_is_null_in_the_request_and_in_the_capture(app: App, publish: Any, point: Any) -> None:
    publish(1, signature=Signature(inputs=LATENESS_INPUTS, outputs=AIRLINE_ONLY))
    point(champion=1)

    said = answered(run(post(body([None, 2.0])), app))

    assert app.read(Capture, Prediction.parse(said["id"]).capture).inputs["distance"] == [None, 2.0]


LATENESS_INPUTS = (
    Tensor(name="distance", datatype="FP32", shape=(-1, 1)),
    Tensor(name="carrier", datatype="BYTES", shape=(-1, 1)),
)
AIRLINE_ONLY = (Tensor(name="airline", datatype="BYTES", shape=(-1, 1)),)


def test_a_corrupt_capture_is_not_the_clients_fault(app: App, store: MemoryStore, publish: Any, point: Any) -> None:
    publish(1)
    point(champion=1)
    run(post(body([1], id="once")), app)
    (key,) = store.list("captures/")
    store.replace(key, b"{", store.get(key).version)

    assert refusal_of(post(body([1], id="once")), app)[:2] == (503, "unavailable")


def test_a_run_refuses_by_raising_so_that_every_cloud_answers_alike(app: App) -> None:
    with pytest.raises(Rejected) as raised:
        run(post(b"{"), app)

    assert raised.value.code == "unknown_model"


@pytest.mark.parametrize(
    "event",
    [
        post(b"no JSON"),
        post(body([1], carriers=["UA", "AA"])),
        post(body([None])),
        post(body([1]), "/v2/models/late/versions/9/infer"),
        post(body([1]), "/v2/models/early/infer"),
        post(b'{"rows": [{"distance": "far"}]}', "/v2/models/late/rows"),
        post(b'{"rows": [{"distance": 1, "carrier": "UA"}]}', "/v2/models/late/explain"),
    ],
    ids=["no JSON", "no rows", "not a number", "no version", "no model", "no value", "no background"],
)
def test_what_is_refused_is_freed_before_anybody_looks_for_garbage(served: App, event: HttpRequest) -> None:
    def refuse() -> None:
        assert together([event], served)[0].status >= 400
        assert refusal_of(event, served)

    refuse()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        refuse()
        gc.collect()

        assert not [one for one in gc.garbage if isinstance(one, TracebackType | FrameType | HttpRequest)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def several(*events: HttpRequest, app: App) -> list[tuple[int, Any]]:
    return [(response.status, json.loads(response.body)) for response in together(events, app)]


def test_requests_that_came_together_are_captured_in_one_object_and_read_back_each_by_its_id(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1, 3, sheet=ROWWISE)
    point(champion=1)

    answers = several(post(body([1.0])), post(body([2.0, 4.0])), post(b"{"), app=app)

    (key,) = store.list("captures/")
    assert key.endswith(".3.jsonl")
    assert [status for status, _ in answers] == [200, 200, 400]
    assert [said["outputs"][0]["data"] for _, said in answers[:2]] == [[3.0], [6.0, 12.0]]
    for _, said in answers[:2]:
        capture = app.read(Capture, Prediction.parse(said["parameters"]["prediction"]).capture)
        assert capture.digest == said["parameters"]["capture"]
        assert capture.outputs["score"] == said["outputs"][0]["data"]
    assert [one.status for _, one in captures.each(app, app.store.list("captures/")) if one] == [200, 200, 400]


def test_one_request_that_breaks_the_run_does_not_break_the_others(app: App, publish: Any, point: Any) -> None:
    publish(1, data=by_table(10.0, 20.0, 30.0), signature=TABLE, sheet=Sheet(columns=(), rowwise=True))
    point(champion=1)

    answers = several(*(post(place(index)) for index in (2, 7, 0)), app=app)

    assert [status for status, _ in answers] == [200, 422, 200]
    assert [said["outputs"][0]["data"] for status, said in answers if status == 200] == [[30.0], [10.0]]


def raw(*carriers: bytes, **more: Any) -> HttpRequest:
    """A request with raw tensors, in which a carrier may be any bytes."""
    distances = np.ones(len(carriers), np.float32).tobytes()
    texts = b"".join(len(one).to_bytes(4, "little") + one for one in carriers)
    inputs = [
        {"name": name, "shape": [len(carriers), 1], "datatype": kind, "parameters": {"binary_data_size": len(data)}}
        for name, kind, data in (("distance", "FP32", distances), ("carrier", "BYTES", texts))
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return post(head + distances + texts)._replace(headers=headers)


BOTH = [{"name": "score"}, {"name": "airline", "parameters": {"classification": 1}}]


@pytest.mark.parametrize(
    ("bad", "refused_with"),
    [
        (post(body([1e38])), (422, "not_finite")),
        (raw(b"\xff"), (422, "not_text")),
        (post(body([1], outputs=BOTH)), (400, "bad_output")),
    ],
    ids=["a number that JSON lacks", "bytes that are no text", "text that is to be ranked"],
)
def test_an_answer_that_cannot_go_out_as_it_is_wanted_is_refused_alone_and_captured_as_refused(
    app: App, publish: Any, point: Any, bad: HttpRequest, refused_with: tuple[int, str]
) -> None:
    publish(1, 1e38, sheet=ROWWISE)
    point(champion=1)

    answers = several(post(body([1])), bad, post(body([2])), app=app)
    alone = refusal_of(bad, app)

    kept = [one for _, one in captures.each(app, app.store.list("captures/")) if one]
    assert [(told, said.get("code")) for told, said in answers] == [(200, None), refused_with, (200, None)]
    assert alone[:2] == refused_with
    assert sorted((one.status, one.code) for one in kept) == sorted([(200, ""), (200, ""), refused_with, refused_with])


def test_bytes_that_are_no_text_are_captured_and_found_again(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1)
    point(champion=1)
    event = raw(b"UA", b"\xff\x00", b"", id="mine", parameters={"binary_data_output": True})

    first, again = run(event, app), run(event, app)

    (key,) = store.list("captures/")
    capture = app.read(Capture, key)
    texts = [{"base64": "VUE="}, {"base64": "/wA="}, {"base64": ""}]
    assert (first.status, first.body, first.headers) == (again.status, again.body, again.headers)
    assert first.status == 200
    assert (capture.inputs["carrier"], capture.outputs["airline"]) == (texts, texts)


def test_a_model_that_cannot_be_loaded_is_tried_once_for_all_who_came_together(
    app: App, publish: Any, point: Any, caplog: pytest.LogCaptureFixture
) -> None:
    publish(1, data=b"no model at all", sheet=ROWWISE)
    point(champion=1)

    answers = several(*(post(body([number])) for number in range(5)), app=app)

    assert [status for status, _ in answers] == [503] * 5
    assert len([record for record in caplog.records if "no model" in record.message or "failed" in record.message]) == 1


def test_a_request_that_comes_again_compressed_anew_is_the_same(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1)
    point(champion=1)

    for mtime in (1, 2):
        event = post(gzip.compress(body([1], id="mine"), mtime=mtime))
        assert run(event._replace(headers={**event.headers, "content-encoding": "gzip"}), app).status == 200

    assert len([*store.list("captures/")]) == 1


def test_a_capture_in_the_place_of_another_is_nobodys_first_answer(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1)
    point(champion=1)
    names = [run(post(body([1], id=name)), app).headers["samara-prediction"] for name in ("mine", "other")]
    mine, other = (Prediction.parse(name).capture for name in names)
    store.replace(mine, store.get(other).data, store.get(mine).version)

    assert refusal_of(post(body([1], id="mine")), app)[:2] == (503, "unavailable")


def test_a_bug_in_telling_one_answer_is_not_felt_by_others_and_nothing_is_captured_twice(
    app: App, store: MemoryStore, publish: Any, point: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(1, sheet=ROWWISE)
    point(champion=1)
    told = handler.told

    def buggy(work: Work, app: App) -> Any:
        if work.count == 2:
            raise RuntimeError("a bug")
        return told(work, app)

    monkeypatch.setattr(handler, "told", buggy)

    answers = several(post(body([1])), post(body([2, 3])), post(body([4])), app=app)

    assert [status for status, _ in answers] == [200, 500, 200]
    assert [key.rpartition(".")[0][-2:] for key in store.list("captures/")] == [".3"]


def test_nobody_is_looked_up_and_no_model_loaded_while_everybody_waits(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1, 3.7)
    publish(2, 3.8)
    point(champion=1)
    hasty = app._replace(hasty=True)
    soon = post(body([1]), at=NOON + timedelta(milliseconds=1))
    by_number = post(body([1]), "/v2/models/late/versions/2/infer", at=NOON + timedelta(milliseconds=1))
    later = post(body([1]), at=NOON + timedelta(seconds=5))

    for event in (post(body([1])), by_number, later):
        with pytest.raises(NotAtOnce):
            together([event], hasty)
        assert together([event], app)[0].status == 200
    again = [together([one._replace(at=later.at + timedelta(milliseconds=1))], hasty)[0] for one in (soon, by_number)]

    assert [answered(one)["model_version"] for one in again] == ["1", "2"]
    assert len([*store.list("captures/")]) == 5


def test_who_comes_while_another_looks_up_who_is_live_is_answered_as_before(
    app: App, publish: Any, point: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(1)
    point(champion=1)
    run(post(body([1])), app)
    looked_up, meanwhile = served_now.looked_up, []

    def slowly(*given: Any) -> Any:
        later = post(body([1]), at=NOON + timedelta(seconds=5, milliseconds=1))
        meanwhile.append(together([later], app._replace(hasty=True))[0])
        return looked_up(*given)

    monkeypatch.setattr(served_now, "looked_up", slowly)

    assert run(post(body([1]), at=NOON + timedelta(seconds=5)), app).headers["samara-alias-age-ms"] == "0"
    assert [one.headers["samara-alias-age-ms"] for one in meanwhile] == ["5001"]


def test_an_id_of_the_client_is_kept_alone_so_that_it_is_found_again(
    app: App, store: MemoryStore, publish: Any, point: Any
) -> None:
    publish(1, sheet=ROWWISE)
    point(champion=1)
    first = several(post(body([1], id="mine")), post(body([2])), post(body([3])), app=app)

    again = several(post(body([1], id="mine")), app=app)

    assert again[0] == first[0]
    assert sorted(key.rpartition(".")[2] for key in store.list("captures/")) == ["json", "jsonl"]


TABLE = Signature(
    inputs=(Tensor(name="place", datatype="INT64", shape=(-1,)),),
    outputs=(Tensor(name="value", datatype="FP32", shape=(-1,)),),
)


def by_table(*values: float) -> bytes:
    """value = values[place]; a place that is not there is an error of the whole run."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["values", "place"], ["value"])],
        "by_table",
        [helper.make_tensor_value_info("place", TensorProto.INT64, [None])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(np.array(values, dtype=np.float32), "values")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def place(index: int) -> bytes:
    inputs = [{"name": "place", "shape": [1], "datatype": "INT64", "data": [index]}]
    return json.dumps({"inputs": inputs}).encode()


def keyed(key: str) -> HttpRequest:
    return post(body([1]))._replace(headers={"samara-key": key})


def test_shares_send_each_key_always_to_the_same_version(app: App, publish: Any, point: Any) -> None:
    publish(1)
    publish(2)
    point(champion=1, weights={1: 0.75, 2: 0.25})
    callers = [str(number) for number in range(200)]

    first = [answered(run(keyed(key), app))["model_version"] for key in callers]
    again = [answered(run(keyed(key), app))["model_version"] for key in callers]

    assert first == again
    assert 20 < first.count("2") < 80


def test_a_promotion_ends_the_shares(app: App, publish: Any, point: Any) -> None:
    publish(1)
    publish(2)
    point(champion=1, weights={1: 0.5, 2: 0.5})
    point(champion=2)

    said = [answered(run(post(body([1])), app))["model_version"] for _ in range(20)]

    assert set(said) == {"2"}


def test_the_caller_is_written_down_and_never_told(served: App, store: MemoryStore) -> None:
    event = post(body([1]))._replace(caller="arn:aws:iam::1:user/ann")

    response = run(event, served)

    (key,) = store.list("captures/")
    assert served.read(Capture, key).noted["caller"] == "arn:aws:iam::1:user/ann"
    assert b"ann" not in response.body
