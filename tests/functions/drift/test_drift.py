"""What drift does on a tick: see `functions/drift/handler.py`."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from functions.drift import handler
from functions.drift.handler import run
from samara import captures
from samara.app import App
from samara.core import keys, profile
from samara.core.aliases import Aliases
from samara.core.digests import short
from samara.core.heads import ModelHead
from samara.core.keys import Prediction
from samara.core.profile import Profile
from samara.core.records import (
    Alert,
    Capture,
    DriftReport,
    Feedback,
    Gate,
    ModelVersion,
    Parity,
    Signature,
)
from samara.core.windows import Window
from samara.events import Tick
from samara.providers.memory import MemoryStore

DEFINITION = """
model: late
dataset: flights
target: late
task: {task}
gates: {{metric: {metric}}}
drift: {{window: {window}, min_rows: 10}}
"""
DAY = Window("2013-02-14")
HOUR = "2013-02-14T05"
MORNING = Tick(datetime(2013, 2, 15, tzinfo=UTC))
Inputs = Mapping[str, Sequence[Any]]


@pytest.fixture
def app(acting_as: Callable[[str], App]) -> App:
    return acting_as("drift")


def table(inputs: Mapping[str, Any]) -> Profile:
    """The training profile of columns of numbers, or of words and truth values."""
    rows = len(next(iter(inputs.values())))
    columns: dict[str, profile.Column] = {
        name: profile.categories([str(v).lower() if isinstance(v, bool) else v for v in values])
        if isinstance(values[0], (str, bool))
        else profile.numeric(np.array(values))
        for name, values in inputs.items()
    }
    return Profile(rows=rows, columns=columns)


def serve(whole: App, trained_on: Inputs, number: int = 1, window: str = "day", task: str = "classification") -> None:
    """A registered version, in service."""
    metric = "rmse" if task == "regression" else "auc"
    definition = whole.keep(DEFINITION.format(window=window, task=task, metric=metric).encode())
    version = ModelVersion(
        made_by=whole.maker,
        model="late",
        version=number,
        run="r",
        artifact="0" * 64,
        signature=Signature(inputs=(), outputs=()),
        metrics={},
        parity=Parity(rows=1, largest_difference=0.0, tolerance=1.0, agreed=True),
        baseline=whole.keep(table(trained_on).to_bytes()),
        compared_with=None,
        compared_metrics={},
        gates=(Gate(name="parity", passed=True, why=""),),
    )
    whole.write(keys.version("late", number), version)
    if number == 1:
        head = ModelHead(definition=definition, bundle="0" * 64, write_id="test")
        whole.store.create(keys.model_head("late"), head.to_bytes())
        whole.store.create(keys.aliases("late"), Aliases(champion=1, write_id="test").to_bytes())


def ask(whole: App, inputs: Inputs, name: str = "a", hour: str = HOUR, **said: Any) -> Prediction:
    """One captured request."""
    prediction = Prediction("late", hour, short(name))
    rows = len(next(iter(inputs.values())))
    capture = Capture(
        made_by=whole.maker,
        model="late",
        version=said.get("version", 1),
        prediction=prediction.id,
        rows=rows,
        status=said.get("status", 200),
        inputs={column: list(values) for column, values in inputs.items()},
        outputs=said.get("outputs", {}),
        masked=said.get("masked", ()),
    )
    whole.write(prediction.capture, capture)
    return prediction


def tell(whole: App, prediction: Prediction, truth: Sequence[Any], at: str = "2013-02-14T06:00:00+00:00") -> None:
    said = Feedback(made_by=whole.maker, model="late", prediction=prediction.id, truth=tuple(truth), noted={"at": at})
    whole.write(prediction.feedback(said.digest), said)


def report(whole: App, window: Window = DAY) -> DriftReport:
    return whole.read(DriftReport, keys.drift("late", window))


def alerts(whole: App) -> list[Alert]:
    return [whole.read(Alert, key) for key in whole.store.list(keys.ALERTS)]


STEADY = [float(value) for value in range(100)]


def test_a_window_like_the_training_data_is_stable(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY, "w": ["a", "b"] * 50})
    asked = ask(whole, {"n": STEADY, "w": ["a", "b"] * 50})

    run(MORNING, app)

    found = report(whole)
    assert (found.verdict, found.rows, found.version, found.window) == ("stable", 100, 1, "2013-02-14")
    assert found.why == "none of 2 columns reached KS 0.2 or PSI 0.25"
    assert [(column.name, column.psi, column.ks) for column in found.columns] == [("n", 0.0, 0.0), ("w", 0.0, None)]
    assert found.made_from == (whole.read(ModelVersion, keys.version("late", 1)).link(keys.version("late", 1)),)
    capture = whole.read(Capture, asked.capture)
    assert whole.blob(found.captures or "").decode() == f"{asked.capture} {capture.digest}\n"


def test_a_drifted_window_says_which_columns_and_by_how_much(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY, "still": STEADY, "w": ["a", "b"] * 50})
    ask(whole, {"n": [value + 50 for value in STEADY], "still": STEADY, "w": ["c"] * 50 + ["a"] * 50})

    run(MORNING, app)

    found = report(whole)
    assert found.verdict == "drifted"
    assert [column.name for column in found.columns if column.drifted] == ["n", "w"]
    assert found.why == "w: PSI 8.52 (limit 0.25); n: KS 0.50 (limit 0.2)"


def test_too_few_rows_are_no_verdict(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": [1e9] * 9})

    run(MORNING, app)

    assert (report(whole).verdict, report(whole).why) == ("too few rows", "9 rows were answered; 10 are needed")


def test_a_window_without_captures_has_no_report_and_one_still_open_neither(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY}, hour="2013-02-15T00")
    ask(whole, {"n": STEADY}, hour="2013-03-01T00")

    run(MORNING, app)

    assert not list(whole.store.list(keys.DRIFT))


@pytest.mark.parametrize(
    ("window", "hour", "tick"),
    [
        ("hour", "2013-02-14T05", datetime(2013, 2, 14, 6, tzinfo=UTC)),
        ("day", "2013-02-14", datetime(2013, 2, 15, 0, 30, tzinfo=UTC)),
        ("month", "2013-02", datetime(2013, 3, 1, tzinfo=UTC)),
    ],
)
def test_every_size_of_window_is_measured_when_it_has_closed(
    window: str, hour: str, tick: datetime, whole: App, app: App
) -> None:
    serve(whole, {"n": STEADY}, window=window)
    ask(whole, {"n": STEADY})

    run(Tick(tick - timedelta(hours=1)), app)
    assert not list(whole.store.list(keys.DRIFT))
    run(Tick(tick), app)

    assert list(whole.store.list(keys.DRIFT)) == [f"drift/late/{hour}.json"]


def test_ticks_late_twice_backwards_and_thirty_at_once_write_one_report(
    whole: App, app: App, store: MemoryStore
) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY})
    run(Tick(MORNING.at + timedelta(days=2)), app)
    before = {key: store.get(key).data for key in store.list("")}

    for days in (0, 5, -3, *[2] * 30):
        run(Tick(MORNING.at + timedelta(days=days)), app)

    assert {key: store.get(key).data for key in store.list("")} == before


def test_the_same_window_measured_twice_has_the_same_digest(whole: App, app: App, store: MemoryStore) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY})
    (first,) = run(MORNING, app)
    key = keys.drift("late", DAY)
    store.delete(key, store.get(key).version)

    (second,) = run(Tick(MORNING.at + timedelta(hours=7)), app)

    assert first.digest == second.digest


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:50],
        lambda data: data.replace(b'"rows":100', b'"rows":101'),
        lambda _: b"",
        lambda _: b'{"a": NaN, "a": 1}',
        lambda data: data.replace(b'"schema":1', b'"schema":2'),
    ],
)
def test_one_corrupt_capture_is_skipped_and_counted(
    damage: Callable[[bytes], bytes], whole: App, app: App, store: MemoryStore
) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY}, "good")
    broken = ask(whole, {"n": STEADY}, "broken").capture
    store.replace(broken, damage(store.get(broken).data), store.get(broken).version)

    run(MORNING, app)

    assert (report(whole).rows, report(whole).unreadable, report(whole).verdict) == (100, 1, "stable")
    assert broken not in whole.blob(report(whole).captures or "").decode()


def together(whole: App, count: int) -> str:
    """The key of an object that holds several captures of five rows each, a line for each."""
    some = Prediction.among("late", HOUR, short("together"), count)
    lines = [
        Capture(
            made_by=whole.maker,
            model="late",
            version=1,
            prediction=one.id,
            rows=5,
            status=200,
            inputs={"n": STEADY[:5]},
            outputs={},
        ).to_bytes()
        for one in some
    ]
    key = some[0].capture.partition("#")[0]
    whole.store.create(key, b"\n".join(lines))
    return key


@pytest.mark.parametrize(
    ("damage", "rows", "unreadable"),
    [
        (lambda data: data, 20, 0),
        (lambda data: data + b"\n", 20, 0),
        (lambda data: data.rpartition(b"\n")[0], 15, 1),
        (lambda data: data.rpartition(b"\n")[0] + b"\n", 15, 1),
        (lambda data: data[: len(data) // 3], 5, 3),
        (lambda data: data.split(b"\n")[0], 5, 3),
        (lambda _: b"", 0, 4),
        (lambda data: data + b"\n" + data, 20, 4),
    ],
)
def test_captures_cut_off_an_object_of_several_are_counted(
    damage: Callable[[bytes], bytes], rows: int, unreadable: int, whole: App, app: App
) -> None:
    serve(whole, {"n": STEADY})
    key = together(whole, 4)
    found = whole.store.get(key)
    whole.store.replace(key, damage(found.data), found.version)

    run(MORNING, app)

    assert (report(whole).rows, report(whole).unreadable) == (rows, unreadable)


def test_each_capture_that_was_cut_off_is_named(whole: App, store: MemoryStore) -> None:
    key = together(whole, 3)
    store.replace(key, store.get(key).data.split(b"\n")[0], store.get(key).version)

    found = [(named, capture is not None) for named, capture in captures.within(key, store.get(key).data)]

    assert found == [(f"{key}#1", True), (f"{key}#2", False), (f"{key}#3", False)]


@pytest.mark.parametrize("name", ["notes.jsonl", "a.b.jsonl", "9999999.jsonl", "a.9", "a.9.jsonl.old"])
def test_a_stray_file_among_captures_is_one_that_cannot_be_read(name: str, whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY})
    whole.store.create(f"captures/late/{HOUR}/{name}", b"?")
    whole.store.create(f"captures/late/2013-02-14.{name}", b"?")

    run(MORNING, app)

    assert (report(whole).rows, report(whole).unreadable) == (100, 2)


@pytest.mark.parametrize("stray", ["captures/late/2013-02-14.json", f"captures/late/{HOUR}/0123456789abcdef.json"])
def test_a_sound_capture_in_another_place_is_one_that_cannot_be_read(
    stray: str, whole: App, app: App, store: MemoryStore
) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY})
    (key,) = store.list("captures/")
    store.create(stray, store.get(key).data)

    run(MORNING, app)

    assert (report(whole).rows, report(whole).unreadable) == (100, 1)


def test_refused_requests_are_not_data(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": [1e9] * 500}, "refused", status=400)
    ask(whole, {"n": STEADY}, "good")

    run(MORNING, app)

    assert (report(whole).rows, report(whole).verdict) == (100, "stable")


def test_a_window_of_refused_requests_alone_has_too_few_rows(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY}, status=400, version=None)

    run(MORNING, app)

    assert (report(whole).rows, report(whole).verdict, report(whole).version) == (0, "too few rows", 1)


def test_the_version_that_answered_most_is_measured_against_its_own_baseline(whole: App, app: App) -> None:
    serve(whole, {"n": [value + 1000 for value in STEADY]})
    serve(whole, {"n": STEADY}, number=2)
    ask(whole, {"n": STEADY[:40]}, "old", version=1)
    ask(whole, {"n": STEADY}, "new", version=2)

    run(MORNING, app)

    assert (report(whole).version, report(whole).rows, report(whole).verdict) == (2, 100, "stable")


def test_of_versions_that_answered_as_much_the_later_is_measured(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    serve(whole, {"n": STEADY}, number=2)
    ask(whole, {"n": STEADY}, "new", version=2)
    ask(whole, {"n": STEADY}, "old", version=1)

    run(MORNING, app)

    assert report(whole).version == 2


def test_a_missing_baseline_is_told_and_nothing_retrains(whole: App, app: App, store: MemoryStore) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY})
    blob = keys.blob(whole.read(ModelVersion, keys.version("late", 1)).baseline)
    store.delete(blob, store.get(blob).version)

    run(MORNING, app)
    run(MORNING, app)

    (alert,) = alerts(whole)
    assert alert.what == f"drift cannot be measured: {blob}"
    assert not list(store.list(keys.DRIFT))


@pytest.mark.parametrize("broken", [keys.aliases("late"), keys.model_head("late")])
def test_a_broken_head_is_told_and_does_not_stop_the_others(
    broken: str, whole: App, app: App, store: MemoryStore
) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": STEADY})
    store.create(keys.aliases("early"), Aliases(write_id="").to_bytes())
    run(MORNING, app)
    assert report(whole).verdict == "stable"
    assert [alert.subject for alert in alerts(whole)] == ["early"]

    store.replace(broken, b"{}", store.get(broken).version)
    run(MORNING, app)

    assert sorted(alert.subject for alert in alerts(whole)) == ["early", "late"]


def test_a_model_without_a_champion_is_left_alone(whole: App, app: App, store: MemoryStore) -> None:
    serve(whole, {"n": STEADY})
    store.replace(keys.aliases("late"), Aliases(write_id="x").to_bytes(), store.get(keys.aliases("late")).version)
    ask(whole, {"n": STEADY})

    run(MORNING, app)

    assert not list(store.list(keys.DRIFT))
    assert not alerts(whole)


ODD: dict[str, tuple[Sequence[Any], Sequence[Any], str]] = {
    "a constant that stays": ([7.0] * 100, [7.0] * 100, "stable"),
    "a constant that moves": ([7.0] * 100, [8.0] * 100, "drifted"),
    "all missing": (STEADY, [None] * 100, "drifted"),
    "a number that became text": (STEADY, ["1.5"] * 100, "drifted"),
    "text that became a number": (["a"] * 100, [3] * 100, "drifted"),
    "numbers captured as whole": (STEADY, [int(value) for value in STEADY], "stable"),
    "truth values as such": ([True, False] * 50, [True, False] * 50, "stable"),
    "truth values as numbers": ([True, False] * 50, [1, 0] * 50, "stable"),
    "truth values as text": ([True, False] * 50, ["true", "False"] * 50, "stable"),
    "truth values gone one way": ([True, False] * 50, [True] * 100, "drifted"),
    "all new categories": (["a", "b"] * 50, [f"new {number}" for number in range(100)], "drifted"),
    "absurd numbers": (STEADY, [1.7e308, -1.7e308] * 50, "drifted"),
    "numbers no float holds": (STEADY, [10**400] * 100, "drifted"),
    "nested values": (STEADY, [[1], {"a": 2}] * 50, "drifted"),
    "empty text is missing": (["a"] * 100, ["a"] * 99 + [""], "stable"),
}


@pytest.mark.parametrize(("before", "now", "verdict"), ODD.values(), ids=ODD.keys())
def test_odd_values_give_finite_figures_and_the_right_verdict(
    before: Sequence[Any], now: Sequence[Any], verdict: str, whole: App, app: App
) -> None:
    serve(whole, {"it": before})
    ask(whole, {"it": now})

    run(MORNING, app)

    (column,) = report(whole).columns
    assert report(whole).verdict == verdict
    assert math.isfinite(column.psi or 0)
    assert math.isfinite(column.ks or 0)


def test_a_column_gone_has_drifted_and_a_new_one_is_ignored(whole: App, app: App) -> None:
    serve(whole, {"here": STEADY, "gone": STEADY})
    ask(whole, {"here": STEADY, "new": STEADY})

    run(MORNING, app)

    assert [(column.name, column.missing, column.drifted) for column in report(whole).columns] == [
        ("gone", 1.0, True),
        ("here", 0.0, False),
    ]
    assert "100% missing" in report(whole).why


def test_a_column_whose_values_are_not_kept_has_not_drifted_as_far_as_is_known(whole: App, app: App) -> None:
    serve(whole, {"here": STEADY, "hidden": STEADY})
    ask(whole, {"here": STEADY}, masked=("hidden",))

    run(MORNING, app)

    assert report(whole).verdict == "stable"
    assert [(column.name, column.rows, column.missing) for column in report(whole).columns] == [
        ("here", 100, 0.0),
        ("hidden", 0, 0.0),
    ]


def test_a_column_kept_in_some_captures_is_measured_in_those(whole: App, app: App) -> None:
    serve(whole, {"here": STEADY, "hidden": STEADY})
    ask(whole, {"here": STEADY}, "a", masked=("hidden",))
    ask(whole, {"here": STEADY, "hidden": [*STEADY[:50], *[None] * 50]}, "b")

    run(MORNING, app)

    assert [(column.name, column.rows, column.missing) for column in report(whole).columns] == [
        ("here", 200, 0.0),
        ("hidden", 50, 0.5),
    ]


def test_captures_of_quite_another_shape_cannot_be_compared_and_retrain_nothing(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"input": STEADY})

    run(MORNING, app)

    assert report(whole).verdict == "too few rows"
    assert "none of the captures has a column of the baseline" in report(whole).why


def test_a_hundred_thousand_categories_in_a_window_are_measured(whole: App, app: App) -> None:
    serve(whole, {"user": [f"user {number}" for number in range(100_000)]})
    for part in range(10):
        ask(whole, {"user": [f"user {number}" for number in range(part, 100_000, 10)]}, f"part {part}")

    run(MORNING, app)

    assert report(whole).verdict == "stable"


ANSWERS = {"output_label": [1, 0, 1, 0] * 5, "output_probability": [0.2, 0.8, 0.9, 0.1, 0.4, 0.6, 0.3, 0.7] * 5}


def test_performance_is_of_the_rows_whose_truth_is_known(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    asked = ask(whole, {"n": STEADY[:20]}, outputs=ANSWERS)
    tell(whole, asked, [True, False, True, True, *[None] * 16])

    run(MORNING, app)

    assert report(whole).labelled_rows == 4
    assert report(whole).performance["accuracy"] == 0.75
    assert report(whole).performance["auc"] == 1.0
    assert report(whole).performance["log_loss"] == pytest.approx(-np.mean(np.log([0.8, 0.9, 0.6, 0.7])))


def test_the_last_word_about_a_prediction_counts(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    asked = ask(whole, {"n": STEADY[:20]}, outputs=ANSWERS)
    tell(whole, asked, [1, 0, 1, 0] * 5, at="2013-02-14T07:00:00+00:00")
    tell(whole, asked, [0, 1, 0, 1] * 5, at="2013-02-14T06:00:00+00:00")
    tell(whole, Prediction("late", HOUR, "f" * 16), [1])

    run(MORNING, app)

    assert report(whole).performance["accuracy"] == 1.0


def test_truths_that_become_known_row_by_row_add_up(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    asked = ask(whole, {"n": STEADY[:20]}, outputs=ANSWERS)
    tell(whole, asked, [0, *[None] * 19], at="2013-02-14T06:00:00+00:00")
    tell(whole, asked, [None, 0, *[None] * 18], at="2013-02-14T07:00:00+00:00")
    tell(whole, asked, [1, *[None] * 19], at="2013-02-14T08:00:00+00:00")

    run(MORNING, app)

    assert report(whole).labelled_rows == 2
    assert report(whole).performance["accuracy"] == 1.0, "and of each row the last word counts"


@pytest.mark.parametrize(("first", "last"), [(9, 10), ("yes", "no"), (0, 1)])
def test_a_model_may_order_its_classes_as_it_likes(first: Any, last: Any, whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    labels = [first, last, last, first] * 5
    outputs = {"label": labels, "probabilities": [0.8, 0.2, 0.1, 0.9, 0.4, 0.6, 0.7, 0.3] * 5}
    tell(whole, ask(whole, {"n": STEADY[:20]}, outputs=outputs), labels)

    run(MORNING, app)

    assert report(whole).performance["auc"] == 1.0
    assert report(whole).performance["log_loss"] < 0.4


@pytest.mark.parametrize("odd", [77, "late", 0.5])
def test_a_truth_that_is_no_class_leaves_the_figures_of_the_other_rows(odd: Any, whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    asked = ask(whole, {"n": STEADY[:20]}, outputs=ANSWERS)
    tell(whole, asked, [True, False, True, True, odd, *[None] * 15])

    run(MORNING, app)

    found = report(whole)
    assert (found.labelled_rows, found.performance["accuracy"]) == (5, 0.6)
    assert found.performance["auc"] == 1.0
    assert found.performance["log_loss"] == pytest.approx(-np.mean(np.log([0.8, 0.9, 0.6, 0.7])))


def test_a_truth_that_is_no_class_counts_not_as_one_where_one_class_was_answered(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    outputs = {"label": [0] * 20, "probabilities": [0.8, 0.2, 0.6, 0.4] * 10}
    tell(whole, ask(whole, {"n": STEADY[:20]}, outputs=outputs), [0, 1] * 9 + [0, 77])

    run(MORNING, app)

    assert report(whole).performance == {"accuracy": 0.5}, "which of 1 and 77 is the other class nobody can say"


@pytest.mark.parametrize(
    ("outputs", "truth"),
    [
        ({"label": [0, 1] * 10, "probabilities": [0.8, 0.2, 0.4, 0.6] * 10}, [77] * 20),
        ({"label": [0, 1] * 10, "probabilities": [0.9, 0.9, 0.2, 0.2] * 10}, [0, 2] * 10),
        ({"label": [0, 1] * 10, "score": [0.9, 0.2] * 10}, [0, 77] * 10),
        ({"label": [0, 1] * 10, "probabilities": [0.1, 0.9, 0.0] * 20}, [0, 2] * 10),
    ],
)
def test_without_truths_of_two_classes_there_is_no_figure_of_both(
    outputs: Any, truth: Sequence[Any], whole: App, app: App
) -> None:
    serve(whole, {"n": STEADY})
    tell(whole, ask(whole, {"n": STEADY[:20]}, outputs=outputs), truth)

    run(MORNING, app)

    assert list(report(whole).performance) == ["accuracy"]


def test_a_share_of_missing_values_that_has_changed_by_just_the_limit_has_drifted(whole: App, app: App) -> None:
    serve(whole, {"n": [*STEADY[:80], *[math.nan] * 20]})
    ask(whole, {"n": [*STEADY[:70], *[None] * 30]})

    run(MORNING, app)

    assert "30% missing, 20% before" in report(whole).why


@pytest.mark.parametrize(
    ("outputs", "truth", "metrics"),
    [
        ({"label": ["AA", "UA"] * 10}, ["AA", "AA"] * 10, {"accuracy": 0.5}),
        ({"label": [0, 1] * 10, "probabilities": [0.1] * 60}, [2, 1] * 10, {"accuracy": 0.5}),
        ({"sigmoid": [0.9, 0.2] * 10}, [1, 0] * 10, {"auc": 1.0}),
        ({"label": [1] * 20}, [1] * 20, {"accuracy": 1.0}),
        ({}, [1] * 20, {}),
        ({"label": "?"}, [1] * 20, {}),
        ({"label": [1] * 7}, [1] * 20, {}),
        ({"label": [1] * 20}, [1] * 3000, {"accuracy": 1.0}),
    ],
)
def test_outputs_are_found_by_name_and_size_or_give_no_figure(
    outputs: Any, truth: Sequence[Any], metrics: dict[str, float], whole: App, app: App
) -> None:
    serve(whole, {"n": STEADY})
    tell(whole, ask(whole, {"n": STEADY[:20]}, outputs=outputs), truth)

    run(MORNING, app)

    found = report(whole).performance
    assert {name: found[name] for name in metrics} == metrics
    assert bool(found) == bool(metrics)


def test_a_regression_is_measured_by_its_errors(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY}, task="regression")
    tell(whole, ask(whole, {"n": STEADY[:20]}, outputs={"variable": [3.0, 5.0] * 10}), [1.0, 5.0] * 10)

    run(MORNING, app)

    assert report(whole).performance == {"rmse": pytest.approx(math.sqrt(2)), "mae": pytest.approx(1.0)}


def test_broken_feedback_is_no_feedback(whole: App, app: App, store: MemoryStore) -> None:
    serve(whole, {"n": STEADY})
    asked = ask(whole, {"n": STEADY[:20]}, outputs=ANSWERS)
    store.create(asked.feedback("0" * 64), b"{}")

    run(MORNING, app)

    assert (report(whole).labelled_rows, report(whole).performance) == (0, {})


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that a test can reach."""
    monkeypatch.setattr(handler, "MOST_CAPTURES", 16)


@pytest.mark.usefixtures("few")
def test_of_a_window_with_more_captures_than_can_be_read_a_fair_part_is_measured(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    asked = [ask(whole, {"n": STEADY}, name=str(number), hour=f"2013-02-14T{number % 24:02}") for number in range(50)]
    for one in asked:
        tell(whole, one, [1] * 100)

    run(MORNING, app)

    found = report(whole)
    assert (found.verdict, found.rows, found.labelled_rows, found.unreadable) == ("stable", 1_300, 1_300, 0)
    assert found.why.endswith("; a fair part was looked at, 13 of 50 captures")
    assert len(whole.blob(found.captures or "").splitlines()) == 13


@pytest.mark.usefixtures("few")
def test_a_part_of_enough_rows_is_enough(whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    for number in range(40):
        ask(whole, {"n": [1e9]}, name=str(number))

    run(MORNING, app)

    assert (report(whole).rows, report(whole).verdict) == (10, "drifted")


@pytest.mark.parametrize(
    "stray", ["notes.2013", ".DS_Store", "old/00112233445566aa.json", "x.json.9999", "x.99.jsonl.bak"]
)
def test_a_stray_file_counts_as_one_that_cannot_be_read_whatever_its_name(stray: str, whole: App, app: App) -> None:
    serve(whole, {"n": STEADY})
    ask(whole, {"n": [1e9] * 5})
    whole.store.create(f"captures/late/{HOUR}/{stray}", b"no capture")

    run(MORNING, app)

    assert (report(whole).verdict, report(whole).rows, report(whole).unreadable) == ("too few rows", 5, 1)
    assert report(whole).why == "5 rows were answered; 10 are needed"
