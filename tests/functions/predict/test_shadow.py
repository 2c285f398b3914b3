"""The shadow is asked afterwards what others answered: it can neither delay an answer nor fail one."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from functions.predict import ticks
from functions.predict.handler import run
from functions.predict.shadow import Comparison
from functions.predict.ticks import compared
from samara.app import App
from samara.core import keys
from samara.core.keys import Prediction
from samara.core.records import Alert, Capture, Feedback, Gate, ShadowReport
from samara.events import HttpRequest, HttpResponse, Tick
from samara.providers.memory import MemoryStore
from tests.conftest import NOON
from tests.functions.predict.conftest import Point, Publish

HOUR = "2013-02-14T12"
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def app(acting_as: Callable[[str], App]) -> App:
    return acting_as("predict")


def asked(app: App, *distances: float | None, carrier: str = "UA") -> str:
    """The id of the prediction for a request with one row for each distance."""
    rows = len(distances)
    inputs = [
        {"name": "distance", "shape": [rows, 1], "datatype": "FP32", "data": distances},
        {"name": "carrier", "shape": [rows, 1], "datatype": "BYTES", "data": [carrier] * rows},
    ]
    headers = {"content-type": "application/json"}
    body = json.dumps({"inputs": inputs}).encode()
    response: HttpResponse = run(HttpRequest("POST", "/v2/models/late/infer", NOON, headers=headers, body=body), app)
    assert response.status == 200, response.body
    return response.headers["samara-prediction"]


def captured(whole: App, unique: str, **changed: Any) -> None:
    """A capture as some other time or version would have left it."""
    prediction = Prediction("late", HOUR, unique)
    said: dict[str, Any] = {
        "model": "late", "version": 1, "rows": 1, "status": 200, "inputs": {"distance": [1.0], "carrier": ["UA"]},
        "outputs": {"score": [1.0], "airline": ["UA"]},
        "shapes": {"distance": (1, 1), "carrier": (1, 1), "score": (1, 1), "airline": (1, 1)},
    }  # fmt: skip
    record = Capture(made_by=whole.maker, prediction=prediction.id, **{**said, **changed})
    whole.write(prediction.capture, record)


def truth(whole: App, prediction: str, *values: Any) -> None:
    said = Feedback(made_by=whole.maker, model="late", prediction=prediction, truth=values)
    whole.write(Prediction.parse(prediction).feedback(said.digest), said)


def test_each_closed_hour_is_asked_about_once(app: App, publish: Publish, point: Point, whole: App) -> None:
    publish(1, 2.0)
    publish(2, 2.5)
    point(champion=1, shadow=2)
    asked(app, 10.0, 20.0)
    asked(app, 30.0)

    (report,) = compared(Tick(LATER), app)
    again = compared(Tick(LATER + timedelta(hours=1)), app)

    assert (report.version, report.hour, report.rows, report.captures) == (2, HOUR, 3, 2)
    assert (report.equal, report.mean_difference, report.largest_difference) == (1.0, 10.0, 15.0)
    assert again == []
    assert whole.read(ShadowReport, keys.shadow("late", HOUR)) == report


def test_an_hour_that_is_not_over_waits(app: App, publish: Publish, point: Point) -> None:
    publish(1)
    publish(2)
    point(champion=1, shadow=2)
    asked(app, 10.0)

    assert compared(Tick(NOON + timedelta(minutes=59)), app) == []


def test_an_hour_that_is_slow_to_read_is_not_reported_as_empty(
    app: App, publish: Publish, point: Point, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(1)
    publish(2)
    point(champion=1, shadow=2)
    asked(app, 10.0)
    monkeypatch.setattr(ticks, "HOUR_S", -1.0)

    (report,) = compared(Tick(LATER), app)

    assert (report.captures, report.rows) == (1, 1)


def test_without_a_shadow_nothing_is_asked(app: App, publish: Publish, point: Point, store: MemoryStore) -> None:
    publish(1)
    point(champion=1)
    asked(app, 10.0)

    assert compared(Tick(LATER), app) == []
    assert not list(store.list(keys.SHADOWS))


def test_a_missing_value_is_missing_for_the_shadow_too(app: App, publish: Publish, point: Point, whole: App) -> None:
    publish(1)
    publish(2)
    point(champion=1, shadow=2)
    captured(
        whole, "0" * 16, inputs={"distance": [None], "carrier": ["UA"]}, outputs={"score": [None], "airline": ["UA"]}
    )

    (report,) = compared(Tick(LATER), app)

    assert (report.rows, report.left_out, report.mean_difference) == (1, 0, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"masked": ("carrier",), "inputs": {"distance": [1.0]}},
        {"status": 422, "code": "model_failed", "outputs": {}},
        {"inputs": {"distance": [1.0]}},
        {"inputs": {"distance": ["far"], "carrier": ["UA"]}},
        {"inputs": {"distance": [1.0, 2.0], "carrier": ["UA"]}},
        {"outputs": {"another": [1.0]}},
        {"version": 2},
        {"model": "early"},
    ],
    ids=["masked", "failed", "absent", "another kind", "another shape", "other outputs", "its own", "another's"],
)
def test_what_cannot_be_compared_is_left_out_and_counted(
    app: App, publish: Publish, point: Point, whole: App, changed: dict[str, Any]
) -> None:
    publish(1)
    publish(2)
    point(champion=1, shadow=2)
    captured(whole, "0" * 16, **changed)
    captured(whole, "1" * 16)

    (report,) = compared(Tick(LATER), app)

    assert (report.rows, report.captures, report.left_out) == (1, 1, 1)


def test_where_the_truth_is_known_both_are_held_against_it(
    app: App, publish: Publish, point: Point, whole: App
) -> None:
    publish(1, 2.0)
    publish(2, 3.0)
    point(champion=1, shadow=2)
    known = asked(app, 10.0, 20.0, carrier="UA")
    asked(app, 30.0)
    truth(whole, known, "UA", "AA")

    (report,) = compared(Tick(LATER), app)

    assert (report.labelled_rows, report.answered_error, report.shadow_error) == (2, 0.5, 0.5)


def test_a_shadow_that_may_not_be_served_is_told_and_stops_nobody(
    app: App, publish: Publish, point: Point, whole: App, store: MemoryStore
) -> None:
    publish(1)
    publish(2, gates=(Gate(name="safe", passed=False, why="reads files"),))
    point(champion=1, shadow=2)
    asked(app, 10.0)

    written = compared(Tick(LATER), app)

    (alert,) = (whole.read(Alert, key) for key in store.list(keys.ALERTS))
    assert written == []
    assert alert.subject == "late"
    assert "shadow cannot be asked" in alert.what


def test_labels_are_equal_row_by_row_and_numbers_differ_one_by_one() -> None:
    found = Comparison()
    datatypes = {"label": "BYTES", "probabilities": "FP32"}

    found.add(
        {"label": ["a", "b", "a"], "probabilities": [0.75, 0.25, 0.5, 0.5, 1.0, 0.0]},
        {"label": ["a", "a", "a"], "probabilities": [0.75, 0.25, 0.75, 0.25, 1.0, 0.0]},
        datatypes,
        3,
        ["a", "a", None],
    )

    assert found.said() == {
        "rows": 3, "captures": 1, "left_out": 0, "equal": 2 / 3, "mean_difference": 0.5 / 6,
        "largest_difference": 0.25, "labelled_rows": 2, "answered_error": 0.5, "shadow_error": 0.0,
    }  # fmt: skip
