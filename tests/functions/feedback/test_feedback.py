"""The truth about a prediction: taken once, corrected as often as people learn better."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.feedback.handler import run
from samara import captures
from samara.app import App
from samara.core.keys import Prediction
from samara.core.records import Capture, Feedback
from samara.core.windows import Window
from samara.entry import refused
from samara.errors import SamaraError
from samara.events import HttpRequest
from samara.ports import ObjectStore, Version
from samara.providers.memory import MemoryStore

NOON = datetime(2013, 3, 1, 12, 0, tzinfo=UTC)
PREDICTION = Prediction("late", "2013-02-14T05", "00112233445566aa")
OTHER = Prediction("late", "2013-02-14T06", "00112233445566bb")


@pytest.fixture
def app(acting_as: Callable[[str], App], whole: App) -> App:
    """The app of feedback, with two predictions of two rows: labels 0 and 1, and names of airlines."""
    for prediction, outputs in (
        (PREDICTION, {"label": [0, 1], "probabilities": [0.9, 0.1, 0.2, 0.8]}),
        (OTHER, {"airline": ["UA", "AA"]}),
    ):
        capture = Capture(
            made_by=whole.maker,
            model="late",
            version=1,
            prediction=prediction.id,
            rows=2,
            status=200,
            inputs={"distance": [1.0, 2.0]},
            outputs=outputs,
        )
        whole.write(prediction.capture, capture)
    return acting_as("feedback")


def post(
    value: Any, app: App, kind: str = "application/json", method: str = "POST", at: datetime = NOON
) -> tuple[int, Any]:
    """The status and the answer, as the HTTP seam would send them."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        response = run(HttpRequest(method, "/feedback", at, headers={"content-type": kind}, body=body), app)
    except SamaraError as error:
        response = refused(error)
    return response.status, json.loads(response.body)


def about(truth: Any, prediction: str = PREDICTION.id) -> dict[str, Any]:
    return {"prediction": prediction, "truth": truth}


def stored(app: App) -> list[Feedback]:
    return [app.read(Feedback, key) for key in app.store.list("feedback/")]


def test_the_truth_is_kept_with_what_it_is_about(app: App) -> None:
    status, said = post(about([1, 0]), app)

    (feedback,) = stored(app)
    assert (status, said["accepted"], said["results"][0]["status"]) == (200, 1, "recorded")
    assert (feedback.model, feedback.prediction, feedback.truth) == ("late", PREDICTION.id, (1, 0))
    assert feedback.made_from[0].key == PREDICTION.capture
    assert feedback.noted["at"] == "2013-03-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([True, False], (True, False)),
        ([1.5, 2], (1.5, 2)),
        ([1, None], (1, None)),
        ({"1": 0}, (None, 0)),
        ({"01": 0}, (None, 0)),
        ({"0": 1, "1": 0}, (1, 0)),
    ],
)
def test_the_truth_comes_as_a_list_or_by_row_and_keeps_its_types(app: App, given: Any, kept: tuple[Any, ...]) -> None:
    post(about(given), app)

    (feedback,) = stored(app)
    assert feedback.truth == kept
    assert [type(value) for value in feedback.truth] == [type(value) for value in kept]


def test_the_truth_about_one_row_needs_no_list(app: App, whole: App) -> None:
    single = Prediction("late", "2013-02-14T05", "00112233445566cc")
    whole.write(
        single.capture,
        Capture(
            made_by=whole.maker,
            model="late",
            version=1,
            prediction=single.id,
            rows=1,
            status=200,
            inputs={},
            outputs={"y": [0.5]},
        ),
    )

    status, _ = post(about(3.5, single.id), app)

    assert status == 200
    assert stored(app)[0].truth == (3.5,)


def test_the_same_truth_twice_is_one_object_and_another_is_kept_beside_it(app: App, store: MemoryStore) -> None:
    post(about([1, 0]), app)
    status, _ = post(about([1, 0]), app)
    once = len(list(store.list("feedback/")))
    post(about([1, 1]), app)

    assert status == 200
    assert once == 1
    assert len(list(store.list("feedback/"))) == 2


def say(app: App, *truths: Any, first: int = 0) -> None:
    """One word after the other, a minute between them, the first so many minutes after noon."""
    for minute, truth in enumerate(truths, start=first):
        assert post(about(truth), app, at=NOON + timedelta(minutes=minute))[0] == 200


def known(app: App) -> tuple[Any, ...]:
    said = captures.said(app, "late", Window("2013-02-14T05"), [PREDICTION.capture])
    return captures.told(app, said, [PREDICTION.capture])[PREDICTION.id]


@pytest.mark.parametrize(
    ("truths", "last", "kept"),
    [
        (([1, 0], [1, 1], [1, 0]), (1, 0), 3),
        (([1, 0], [1, 1], [1, 0], [1, 1], [1, 0]), (1, 0), 5),
        (([1, 0], [1, 1], [1, 0], [1, 0]), (1, 0), 3),
        (([1, None], [0, 1], [1, None]), (1, 1), 3),
        (([1, 0], [True, False], [1, 0]), (1, 0), 3),
    ],
)
def test_the_last_word_counts_also_when_it_was_said_before(
    app: App, truths: tuple[Any, ...], last: tuple[Any, ...], kept: int
) -> None:
    say(app, *truths)

    assert known(app) == last
    assert [type(value) for value in known(app)] == [type(value) for value in last]
    assert len(stored(app)) == kept


def test_a_word_that_still_holds_is_not_kept_again(app: App) -> None:
    say(app, [1, None], [None, 0], [1, None])

    assert known(app) == (1, 0)
    assert len(stored(app)) == 2


def test_a_word_that_arrived_before_the_last_one_does_not_take_its_place(app: App) -> None:
    say(app, [1, 0], [1, 1], first=1)

    say(app, [1, 0], first=0)

    assert known(app) == (1, 1)
    assert len(stored(app)) == 2


class Contended:
    """A store that lets somebody else come first, once, before the n-th write."""

    def __init__(self, store: ObjectStore, before: int, other: Callable[[], object]) -> None:
        self._store, self._writes, self._others = store, before, [other]
        self.listed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list(self, prefix: str, after: str = "") -> Any:
        self.listed += 1
        return self._store.list(prefix, after)

    def create(self, key: str, data: bytes) -> Version:
        if not self._writes and self._others:
            self._others.pop()()
        self._writes -= 1
        return self._store.create(key, data)


@pytest.mark.parametrize(("others", "last", "kept"), [([1, 0], (1, 0), 3), ([0, 0], (1, 0), 4)])
def test_of_two_who_take_their_word_back_at_once_both_are_heard(
    app: App, others: list[int], last: tuple[int, int], kept: int
) -> None:
    say(app, [1, 0], [1, 1])
    store = Contended(app.store, 1, lambda: say(app, others, first=2))

    say(app._replace(store=store), [1, 0], first=3)

    assert known(app) == last
    assert len(stored(app)) == kept


def test_whoever_says_something_new_waits_for_no_listing(app: App) -> None:
    store = Contended(app.store, 0, lambda: None)

    say(app._replace(store=store), [1, 0], [1, 1])

    assert not store.listed


def test_an_altered_word_is_said_again_beside_it(app: App, store: MemoryStore) -> None:
    say(app, [1, 0])
    (key,) = store.list("feedback/")
    found = store.get(key)
    store.replace(key, found.data.replace(b"[1,0]", b"[1,1]"), found.version)

    say(app, [1, 0], first=1)

    assert known(app) == (1, 0)


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        (about([1, 0], "late.2013-02-14T05.ffffffffffffffff"), 404, "unknown_prediction"),
        (about([1, 0], "../x"), 400, "bad_id"),
        (about([1, 0], "late.2013-99-14T05.ffffffffffffffff"), 400, "bad_id"),
        (about([1, 0], "x" * 5000), 400, "bad_id"),
        ({"prediction": 7, "truth": 1}, 400, "bad_id"),
        (about([1]), 400, "bad_truth"),
        (about([]), 400, "bad_truth"),
        (about(1), 400, "bad_truth"),
        (about([1, 0, 1]), 400, "bad_truth"),
        (about([None, None]), 400, "bad_truth"),
        (about({"2": 1}), 400, "bad_truth"),
        (about({"-1": 1}), 400, "bad_truth"),
        (about({"٣": 1}), 400, "bad_truth"),
        (about({}), 400, "bad_truth"),
        (about({"01": 1, "1": 0}), 400, "bad_truth"),
        (about({"1": None, "001": 0}), 400, "bad_truth"),
        (about([1, [0]]), 400, "bad_truth"),
        (about([1, {}]), 400, "bad_truth"),
        (about([1, 2**63]), 400, "bad_truth"),
        (about([1, "1"]), 400, "bad_truth"),
        (about([1, 0], OTHER.id), 400, "bad_truth"),
        (about(["UA", "x" * 1001], OTHER.id), 400, "bad_truth"),
        (b'{"prediction": "%s", "truth": [1, 1e400]}' % PREDICTION.id.encode(), 400, "bad_truth"),
        (b'{"prediction": "%s", "truth": [1, NaN]}' % PREDICTION.id.encode(), 400, "bad_json"),
        ({"prediction": PREDICTION.id}, 400, "bad_request"),
        ({**about([1, 0]), "at": 1}, 400, "unknown_field"),
        ([], 400, "bad_request"),
        (None, 400, "bad_request"),
        ([7], 400, "bad_request"),
        ([about([1, 0])] * 1001, 413, "too_many_rows"),
        (b'"' + b"x" * (6 << 20) + b'"', 413, "too_large"),
        (b"", 400, "bad_json"),
    ],
)
def test_what_is_no_truth_is_refused_and_nothing_is_stored(app: App, given: Any, status: int, code: str) -> None:
    answered, said = post(given, app)

    assert (answered, said["code"]) == (status, code), said
    assert not stored(app)


def test_text_is_kept_as_it_is(app: App) -> None:
    status, _ = post(about(["=HYPERLINK(1)", "<svg onload=1>"], OTHER.id), app)

    assert status == 200
    assert stored(app)[0].truth == ("=HYPERLINK(1)", "<svg onload=1>")


def test_a_bad_item_leaves_the_others_alone(app: App) -> None:
    status, said = post([about([1, 0]), about([1]), about(["UA", "UA"], OTHER.id)], app)

    assert status == 200
    assert (said["accepted"], said["refused"], said["failed"]) == (2, 1, 0)
    assert [result["status"] for result in said["results"]] == ["recorded", "refused", "recorded"]
    assert said["results"][1]["code"] == "bad_truth"
    assert len(stored(app)) == 2


def test_lines_are_read_one_by_one(app: App) -> None:
    lines = b"\n".join([json.dumps(about([1, 0])).encode(), b"", b"{broken", json.dumps(about([0, 0])).encode(), b""])

    status, said = post(lines, app, "application/x-ndjson")

    assert status == 200
    assert [result.get("code") for result in said["results"]] == [None, "bad_json", None]
    assert "line 2" in said["results"][1]["why"]


def test_only_posts_are_taken_and_only_here(app: App) -> None:
    assert post(about([1, 0]), app, method="GET")[0] == 405
    assert post(about([1, 0]), app, kind="text/csv")[0] == 415


@pytest.mark.parametrize("truth", [[], [True], {"0": True}, True])
def test_of_a_request_that_was_refused_no_truth_is_taken(app: App, whole: App, truth: Any) -> None:
    refused = Prediction("late", "2013-02-14T05", "00112233445566dd")
    capture = whole.read(Capture, PREDICTION.capture).model_copy(
        update={"prediction": refused.id, "rows": 0, "status": 400, "code": "bad_value", "inputs": {}, "outputs": {}}
    )
    whole.write(refused.capture, capture)

    status, said = post(about(truth, refused.id), app)

    assert (status, said["code"]) == (400, "bad_truth")
    assert said["error"] == f"{refused.id}: was refused, so it has no rows to know the truth of"
    assert not stored(app)


def altered(store: MemoryStore) -> None:
    found = store.get(PREDICTION.capture)
    store.replace(PREDICTION.capture, found.data.replace(b'"rows":2', b'"rows":3'), found.version)


def misplaced(store: MemoryStore) -> None:
    store.replace(PREDICTION.capture, store.get(OTHER.capture).data, store.get(PREDICTION.capture).version)


broken = pytest.mark.parametrize(
    ("damage", "why"), [(altered, "altered since it was written"), (misplaced, f"another prediction, {OTHER.id}")]
)


@broken
def test_a_broken_capture_is_not_the_callers_fault(
    app: App, store: MemoryStore, damage: Callable[[MemoryStore], None], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(store)

    status, said = post(about([1, 0]), app)

    assert (status, said["code"]) == (503, "unavailable")
    assert why in caplog.text
    assert not stored(app)


@broken
def test_a_broken_capture_leaves_the_other_items_alone(
    app: App, store: MemoryStore, damage: Callable[[MemoryStore], None], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(store)

    status, said = post([about([1, 0]), about([1]), about(["UA", "UA"], OTHER.id)], app)

    assert (status, said["accepted"], said["refused"], said["failed"]) == (200, 1, 0, 2)
    assert said["results"] == [
        {
            "prediction": PREDICTION.id,
            "status": "failed",
            "code": "unavailable",
            "why": "the service cannot take this just now; its log says why",
        }
    ] * 2 + [{"prediction": OTHER.id, "status": "recorded"}]
    assert [feedback.prediction for feedback in stored(app)] == [OTHER.id]
    assert why in caplog.text
    assert PREDICTION.capture in caplog.text
